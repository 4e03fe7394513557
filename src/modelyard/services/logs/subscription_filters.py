"""Subscription filters: matching events go on to another service by its ARN, compressed as AWS compresses them."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.targets import Delivery, deliver
from modelyard.services.logs import api
from modelyard.services.logs.awslogs import SOURCE, control_message, packed
from modelyard.services.logs.destinations import check_subscriber
from modelyard.services.logs.filter_store import SUBSCRIPTION, Entry, Filter, FilterStore, TooMany
from modelyard.services.logs.groups import group_arn, the_group
from modelyard.services.logs.metric_filters import delete_filter, paged, refuse_unbuilt
from modelyard.services.logs.patterns import Pattern, matcher

NEEDS_ROLE, HAS_NO_ROLE = ("kinesis", "firehose"), ("lambda", "logs")
NOT_BUILT = ("applyOnTransformedLogs", "fieldSelectionCriteria", "emitSystemFields")


@api.operation
def put_subscription_filter(call, request):
    """A message goes to the destination first, as on AWS: a filter to something that takes none is not made."""
    arn, role = request["destinationArn"], request.get("roleArn")
    _check_destination(call, arn, role)
    group = the_group(call, request["logGroupName"])
    refuse_unbuilt(request, NOT_BUILT)
    matcher(request["filterPattern"], api.error.InvalidParameterException)
    now = int(call.now() * 1000)
    filters = FilterStore(call.platform.logs.db)
    if arn.split(":")[2] != "logs":  # PutDestination has asked its target already
        _ask(call, arn, group_arn(call, group.name), now)
    spec = {member: request[member] for member in ("destinationArn", "roleArn") if member in request}
    spec["distribution"] = request.get("distribution", "ByLogStream")
    try:
        filters.put(group.id, SUBSCRIPTION, request["filterName"], request["filterPattern"], spec, now)
    except TooMany:
        raise api.error.LimitExceededException("Resource limit exceeded.") from None
    return {}


def _check_destination(call: Any, arn: str, role: str | None) -> None:
    parts = arn.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn":
        raise api.error.InvalidParameterException("destinationArn is not a valid ARN.")
    vendor = parts[2]
    if vendor in NEEDS_ROLE and role is None:
        raise api.error.InvalidParameterException(f"destinationArn for vendor {vendor} cannot be used without roleArn")
    if vendor in HAS_NO_ROLE and role is not None:
        raise api.error.InvalidParameterException(f"destinationArn for vendor {vendor} cannot be used with roleArn")
    if vendor == "lambda" and parts[4] != call.account:
        raise ApiError(
            "AccessDeniedException",
            "Cross-account lambda invocation passing is not allowed. You must use DestinationPolicies to create cross account lambda triggers.",
            400,
        )
    if vendor == "logs":
        check_subscriber(call, arn)
    if role is not None:
        call.platform.identity.check_pass_role(call, role, SOURCE)


def _ask(call: Any, arn: str, source: str, now: int) -> None:
    """Sends the control message; raises what AWS says of a destination that does not take it."""
    try:
        deliver(
            call.platform, Delivery(arn, control_message(arn, now), SOURCE, source, call.account, call.region, f"check-{call.request_id}")
        )
    except ApiError as problem:
        said = f"Could not deliver test message to specified destination {arn}. Check if the destination is valid: {problem.message}"
        if arn.split(":")[2] == "lambda":
            said = "Could not execute the lambda function. Make sure you have given CloudWatch Logs permission to execute your function."
        raise api.error.InvalidParameterException(said) from problem


@api.operation
def describe_subscription_filters(call, request):
    group = the_group(call, request["logGroupName"])
    found = FilterStore(call.platform.logs.db).list(
        call.account, call.region, SUBSCRIPTION, group_id=group.id, prefix=request.get("filterNamePrefix", "")
    )
    return paged(request, "subscriptionFilters", found, lambda f: {**f.spec})


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
    arn = subscription.spec["destinationArn"]
    deliver(platform, Delivery(arn, packed(body), SOURCE, source, subscription.account, subscription.region, key))
