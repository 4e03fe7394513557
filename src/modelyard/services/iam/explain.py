"""ExplainCall: a call of the audit trail, told policy by policy: by the policies of then, and whether those of now decide otherwise.

A denied call's decision was kept as it was made. Of an allowed one the trail has the caller's policies and those of resources as they were; what else
conditions read (tags of resources) is that of now.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from modelyard.kernel.identity import Principal
from modelyard.kernel.service import Call
from modelyard.services.iam import denial
from modelyard.services.iam.actions import Need
from modelyard.services.iam.directory import Caller, of_snapshot
from modelyard.services.iam.document import PolicySet, compile_set
from modelyard.services.iam.judgement import Judgement
from modelyard.services.iam.request_context import of_call
from modelyard.services.modelyard import api

LAST = "last"
"""In place of a request ID: the last call that was denied."""
_BY_NOW = "It was allowed then. Of a data call the policies of that moment are not kept: this is decided by those of now."
Checks = list[dict[str, Any]]
Ruling = tuple[PolicySet | None, str | None, bool]
"""A resource's policy, whose the resource is, and whether that policy must grant."""


@api.operation
def explain_call(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    trail, wanted = call.platform.trail, request["RequestId"]
    stored = trail.last_denied(call.account) if wanted == LAST else trail.find(call.account, wanted)
    if stored is None:
        raise api.error.ResourceNotFound(
            f"No call of account {call.account} was denied."
            if wanted == LAST
            else f"The audit trail has no call with the request ID {request['RequestId']} in account {call.account}. It keeps, for 90 days: every "
            "management call, data calls (GetObject, InvokeEndpoint, …) that were denied or that a trail asks for, and what was refused for its "
            "signature; of other data calls only the last ones. All are counted (modelyard policy least-privilege). The ID is the RequestId of "
            "an error message or of ResponseMetadata; `aws --debug` shows it too."
        )
    if "r" in stored:
        return _refused(stored["r"])
    event, kept = stored["e"], stored["c"]
    if not kept and event["userIdentity"]["type"] == "AWSAccount":
        raise api.error.ResourceNotFound(
            f"{request['RequestId']} is a call of account {event['userIdentity']['accountId']} about a resource of this one: it is explained there."
        )
    if not kept:
        raise api.error.ResourceNotFound(
            f"{request['RequestId']} is a call of {event['userIdentity'].get('invokedBy')} itself: it needs no permission."
        )
    then = _call(call, event, kept)
    now = [_now(then, Need(action, resource), kept, condition) for action, resource, condition in _needs(kept)]
    checks = _then(then, kept, call.platform.trail, now)
    open_mode = call.platform.settings.auth == "open"
    found = {
        "RequestId": event["requestID"],
        "EventTime": event["eventTime"],
        "EventName": event["eventName"],
        "EventSource": event["eventSource"],
        "PrincipalArn": then.principal.arn,
        "ErrorCode": event.get("errorCode"),
        "ErrorMessage": event.get("errorMessage"),
        "DeniedThen": kept.get("denied") is not None or event.get("errorCode") == "AccessDenied",
        "AllowedNow": open_mode or all(check["Decision"] == "allowed" for check in now),
        "Checks": checks,
        "Hint": _BY_NOW if "from" in kept else None,
        "ChecksNow": now if [c["Decision"] for c in now] != [c["Decision"] for c in checks] else None,
    }
    return {name: value for name, value in found.items() if value is not None}


def _refused(said: Mapping[str, Any]) -> dict[str, Any]:
    """A request that was not let in: nobody's policies were asked."""
    return {
        "RequestId": said["requestID"],
        "EventTime": said["eventTime"],
        "EventName": said["eventName"],
        "EventSource": said["eventSource"],
        "PrincipalArn": said["who"],
        "ErrorCode": said["errorCode"],
        "ErrorMessage": said["errorMessage"],
        "Hint": said["hint"],
        "DeniedThen": True,
        "AllowedNow": False,
        "Checks": [],
    }


def _call(call: Call, event: Mapping[str, Any], kept: Mapping[str, Any]) -> Call:
    """The call of then, to be decided again."""
    said = dict(kept["principal"])
    said["session_policies"] = tuple(said.get("session_policies", ()))
    return Call(
        call.platform,
        kept["service"],
        kept["operation"],
        event["recipientAccountId"],
        kept.get("region", event["awsRegion"]),
        Principal(**{"account": "", "arn": "*", "user_id": "", **said}),
        event["requestID"],
        event["sourceIPAddress"],
        event["userAgent"],
        kept["secure"],
        kept["host"],
        kept["condition"],
    )


def _needs(kept: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """What the operation asks for, what it asked for while it ran, and at the least what it was denied."""
    found = [(action, resource, {}) for action, resource in kept["needs"]]
    found += [(action, resource, condition) for action, resource, condition in kept["further"]]
    denied = kept.get("denied")
    if denied is not None and not any((action, resource) == (denied["Action"], denied["Resource"]) for action, resource, _ in found):
        found.append((denied["Action"], denied["Resource"], {}))
    return list({(action, resource): (action, resource, condition) for action, resource, condition in found}.values())


def _then(then: Call, kept: Mapping[str, Any], trail: Any, now: Checks) -> Checks:
    """The decisions as they were. The denied one is the last that was made: what comes after it nobody asked for."""
    said, denied = trail.snapshot(kept.get("caller")), kept.get("denied")
    if said is None:
        return [denied, *now] if denied is not None else now
    caller = of_snapshot(said, then.principal)
    rulings = {(action, resource): _ruling(trail, rest) for action, resource, *rest in kept.get("ruled", [])}
    checks = []
    for action, resource, condition in _needs(kept):
        if denied is not None and (action, resource) == (denied["Action"], denied["Resource"]):
            return [*checks, denied]
        account = resource.split(":")[4] if resource.count(":") >= 5 and resource.split(":")[4].isdigit() else None
        checks.append(
            _decided(then, caller, Need(action, resource), kept, condition, rulings.get((action, resource), (None, account, False)))
        )
    return checks


def _ruling(trail: Any, kept: list[Any]) -> Ruling:
    fingerprint, name, account, must_grant = kept
    text = trail.snapshot(fingerprint)
    return (compile_set(orjson.dumps(text).decode(), name) if text is not None else None), account, must_grant


def _now(then: Call, need: Need, kept: Mapping[str, Any], condition: Mapping[str, Any]) -> dict[str, Any]:
    identity = then.platform.identity
    ruling = identity.resource_policy(then, need, kept["request"] or {})
    return _decided(then, identity.directory.caller(then.principal), need, kept, condition, ruling)


def _decided(
    then: Call, caller: Caller, need: Need, kept: Mapping[str, Any], condition: Mapping[str, Any], ruling: Ruling
) -> dict[str, Any]:
    policy, account, must_grant = ruling
    context = of_call(then, caller, kept["request"] or {}, condition, need, account)
    judged = Judgement(
        then.principal,
        caller.name,
        caller.policies,
        need.action,
        need.resource,
        context,
        policy,
        account,
        must_grant,
        condition,
        caller.gone,
    )
    return denial.told(judged, judged.verdict())
