"""Subscription filters: matching events go on to another service by its ARN, compressed as AWS compresses them."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.kernel.targets import Delivery, deliver
from modelyard.services.logs import api
from modelyard.services.logs.filter_store import SUBSCRIPTION, Entry, Filter, FilterStore, TooMany
from modelyard.services.logs.groups import group_arn, the_group
from modelyard.services.logs.metric_filters import delete_filter, paged, refuse_unbuilt
from modelyard.services.logs.patterns import Pattern, matcher

SOURCE = "logs.amazonaws.com"
NEEDS_ROLE = ("kinesis", "firehose")
NOT_BUILT = ("applyOnTransformedLogs", "fieldSelectionCriteria", "emitSystemFields")


@api.operation
def put_subscription_filter(call, request):
    """A message goes to the destination first, as on AWS: a filter to something that takes none is not made."""
    group = the_group(call, request["logGroupName"])
    refuse_unbuilt(request, NOT_BUILT)
    matcher(request["filterPattern"], api.error.InvalidParameterException)
    arn, role = request["destinationArn"], request.get("roleArn")
    parts = arn.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn":
        raise api.error.InvalidParameterException("destinationArn is not a valid ARN.")
    if parts[2] in NEEDS_ROLE and role is None:
        raise api.error.InvalidParameterException(f"destinationArn for vendor {parts[2]} requires a roleArn.")
    if role is not None:
        call.platform.identity.check_pass_role(call, role, SOURCE)
    now = int(call.now() * 1000)
    filters = FilterStore(call.platform.logs.db)
    try:
        _deliver(call.platform, arn, group_arn(call, group.name), call.account, call.region, f"check-{call.request_id}", _check(arn, now))
    except ApiError as problem:
        raise api.error.InvalidParameterException(
            f"Could not deliver test message to specified destination {arn}. Check if the destination is valid: {problem.message}"
        ) from problem
    spec = {member: request[member] for member in ("destinationArn", "roleArn") if member in request}
    spec["distribution"] = request.get("distribution", "ByLogStream")
    try:
        filters.put(group.id, SUBSCRIPTION, request["filterName"], request["filterPattern"], spec, now)
    except TooMany:
        raise api.error.LimitExceededException("Resource limit exceeded.") from None
    return {}


@api.operation
def describe_subscription_filters(call, request):
    group = the_group(call, request["logGroupName"])
    found = FilterStore(call.platform.logs.db).list(
        call.account, call.region, SUBSCRIPTION, group_id=group.id, prefix=request.get("filterNamePrefix", "")
    )
    return paged(request, "subscriptionFilters", found, lambda f: f.spec)


@api.operation
def delete_subscription_filter(call, request):
    delete_filter(call, request, SUBSCRIPTION)
    return {}


# --- deliveries --------------------------------------------------------------------------------------


def forward(platform: Any, subscription: Filter, pattern: Pattern, entry: Entry) -> None:
    """Delivers what matches of an outbox entry; raises ApiError where the destination refuses."""
    events = [
        {"id": f"{at:020d}{entry.id:020d}{place:016d}", "timestamp": at, "message": message}
        for place, (at, message) in enumerate(entry.events)
        if pattern(message)
    ]
    if not events:
        return
    body = {
        "messageType": "DATA_MESSAGE",
        "owner": subscription.account,
        "logGroup": subscription.group,
        "logStream": entry.stream,
        "subscriptionFilters": [subscription.name],
        "logEvents": events,
    }
    source = f"arn:aws:logs:{subscription.region}:{subscription.account}:log-group:{subscription.group}"
    key = f"logs-{subscription.id}-{entry.id}"
    _deliver(platform, subscription.spec["destinationArn"], source, subscription.account, subscription.region, key, body)


def _deliver(platform: Any, arn: str, source: str, account: str, region: str, key: str, body: dict) -> None:
    data = base64.b64encode(gzip.compress(orjson.dumps(body), 6, mtime=0)).decode()
    said = orjson.dumps({"awslogs": {"data": data}}).decode()
    deliver(platform, Delivery(arn, said, SOURCE, source, account, region, key))


def _check(arn: str, now_ms: int) -> dict:
    return {
        "messageType": "CONTROL_MESSAGE",
        "owner": "CloudwatchLogs",
        "logGroup": "",
        "logStream": "",
        "subscriptionFilters": [],
        "logEvents": [{"id": "", "timestamp": now_ms, "message": f"CWL CONTROL MESSAGE: Checking health of destination {arn}"}],
    }
