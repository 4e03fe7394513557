"""Destinations: a name in front of something that takes deliveries, to which other accounts may subscribe their log groups.

A destination's policy says which accounts may (`logs:PutSubscriptionFilter`); without one nobody may, its own account neither, as on AWS.
What goes to a destination is handed on to its target with the destination as the source.
"""

from __future__ import annotations

from typing import Any

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.kernel.identity import Principal
from modelyard.kernel.lifecycle import static
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved
from modelyard.kernel.targets import Delivery, deliver
from modelyard.services.iam.resource_documents import BadDocument, checked
from modelyard.services.logs import api, named
from modelyard.services.logs.awslogs import SOURCE, control_message
from modelyard.services.logs.named import after_token, with_token

DESTINATION = static("log-destination")
PAGE, LONGEST_POLICY = 50, 5120


@api.operation
def put_destination(call, request):
    """A message goes to the target first, as on AWS: what takes none cannot be one."""
    target, role = request["targetArn"], request["roleArn"]
    if target.count(":") < 5 or target.split(":")[2] == "logs":
        raise api.error.InvalidParameterException("targetArn is not a valid ARN of something that takes deliveries.")
    call.platform.identity.check_pass_role(call, role, SOURCE)
    name = request["destinationName"]
    there = _find(call, name)
    arn = _arn(call, name)
    spec = {"targetArn": target, "roleArn": role, "accessPolicy": there.spec.get("accessPolicy") if there else None}
    body = control_message(target, int(call.now() * 1000))
    try:
        deliver(call.platform, Delivery(target, body, SOURCE, arn, call.account, call.region, f"check-{call.request_id}"))
    except ApiError as problem:
        raise api.error.InvalidParameterException(
            f"Could not deliver test message to specified destination {target}. Check if the destination is valid: {problem.message}"
        ) from problem
    there = named.put(call, there, DESTINATION, name, arn, spec, _under_way)
    if request.get("tags"):
        call.store.set_tags(arn, request["tags"])
    return {"destination": _describe(there)}


@api.operation
def put_destination_policy(call, request):
    there, text = _the_destination(call, request["destinationName"]), request["accessPolicy"]
    try:
        checked(text, "logs")
    except BadDocument as problem:
        raise api.error.InvalidParameterException(f"Invalid access policy: {problem}") from None
    if len(text.encode()) > LONGEST_POLICY:
        raise api.error.InvalidParameterException(f"An access policy has at most {LONGEST_POLICY} bytes.")
    try:
        call.store.request(there, {**there.spec, "accessPolicy": text}, due=False)
    except Moved:
        raise _under_way() from None
    return {}


@api.operation
def describe_destinations(call, request):
    prefix, after, size = request.get("DestinationNamePrefix", ""), after_token(request), request.get("limit", PAGE)
    found = call.store.list(DESTINATION.kind, call.account, call.region, order_by="name")
    return with_token("destinations", [one for one in found if one.name.startswith(prefix) and one.name > after], size, _describe)


@api.operation
def delete_destination(call, request):
    named.delete(call, _the_destination(call, request["destinationName"]), _under_way)
    return {}


# --- subscriptions and deliveries ------------------------------------------------------------------


def check_subscriber(call: Any, arn: str) -> None:
    """Whether the caller's account may subscribe to the destination; raises AWS's errors."""
    there = call.platform.store.by_arn(arn)
    if there is None or there.kind != DESTINATION.kind:
        raise api.error.ResourceNotFoundException("The specified destination does not exist.")
    if arn.split(":")[3] != call.region:
        raise api.error.InvalidParameterException("The destination must be in the region of the log group.")
    if call.platform.settings.auth == "open":
        return
    policy = orjson.loads(there.spec.get("accessPolicy") or '{"Statement": []}')
    account = Principal("root", call.account, f"arn:aws:iam::{call.account}:root", call.account)
    who = (account, call.principal)  # policies of destinations name accounts
    may = (call.platform.identity.decide(one, "logs:PutSubscriptionFilter", arn, {}, policy, there.account, must_grant=True) for one in who)
    if not any(decision.allowed for decision in may):
        raise ApiError(
            "AccessDeniedException",
            f"User with accountId: {call.account} is not authorized to perform: logs:PutSubscriptionFilter on resource: {arn}"
            " (the destination's access policy, which its own account puts with PutDestinationPolicy, must allow this account)",
            400,
        )


@api.target
def deliver_on(platform, delivery):
    """What is delivered to a destination goes on to its target."""
    there = platform.store.by_arn(delivery.arn)
    if there is None or there.kind != DESTINATION.kind:
        raise api.error.ResourceNotFoundException("The specified destination does not exist.")
    deliver(platform, Delivery(there.spec["targetArn"], delivery.body, SOURCE, there.arn, there.account, there.region, delivery.key))


# --- helpers -------------------------------------------------------------------------------------


def _arn(call: Any, name: str) -> str:
    return f"arn:aws:logs:{call.region}:{call.account}:destination:{name}"


def _find(call: Any, name: str) -> Record | None:
    return call.store.get(DESTINATION.kind, call.account, call.region, name)


def _the_destination(call: Any, name: str) -> Record:
    there = _find(call, name)
    if there is None:
        raise api.error.ResourceNotFoundException("The specified destination does not exist.")
    return there


def _under_way() -> ApiError:
    return api.error.OperationAbortedException("A conflicting operation is currently in progress against this resource.")


def _describe(there: Record) -> dict[str, Any]:
    said = {
        "destinationName": there.name,
        "targetArn": there.spec["targetArn"],
        "roleArn": there.spec["roleArn"],
        "arn": there.arn,
        "creationTime": int(there.created_at * 1000),
    }
    if there.spec.get("accessPolicy"):
        said["accessPolicy"] = there.spec["accessPolicy"]
    return said
