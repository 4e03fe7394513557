"""ExplainCall: a call of the audit trail, decided once more by the policies of now, and told policy by policy."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from modelyard.kernel.identity import Principal
from modelyard.kernel.service import Call
from modelyard.services.iam import denial
from modelyard.services.iam.actions import Need
from modelyard.services.iam.context import Context
from modelyard.services.iam.directory import Caller
from modelyard.services.iam.document import PolicySet, Statement
from modelyard.services.iam.evaluate import BOUNDARY, IDENTITY, RESOURCE, SESSION, Policies, Verdict, evaluate
from modelyard.services.iam.request_context import of_call
from modelyard.services.modelyard import api

_DENIED = re.compile(r'not authorized to perform: (\S+) on resource: "?([^\s"]+)"?')


@api.operation
def explain_call(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    stored = call.platform.trail.find(call.account, request["RequestId"])
    if stored is None:
        raise api.error.ResourceNotFound(
            f"The audit trail has no call with the request ID {request['RequestId']}. It keeps management calls, and data calls that were "
            "denied, for 90 days; what was refused for its signature or before it reached an operation is not in it."
        )
    event, kept = stored["e"], stored["c"]
    then = _call(call, event, kept)
    checks = [_check(then, Need(action, resource), kept, condition) for action, resource, condition in _needs(event, kept)]
    open_mode = call.platform.settings.auth == "open"
    found = {
        "RequestId": event["requestID"],
        "EventTime": event["eventTime"],
        "EventName": event["eventName"],
        "EventSource": event["eventSource"],
        "PrincipalArn": then.principal.arn,
        "ErrorCode": event.get("errorCode"),
        "ErrorMessage": event.get("errorMessage"),
        "DeniedThen": event.get("errorCode") == "AccessDenied",
        "AllowedNow": open_mode or all(check["Decision"] == "allowed" for check in checks),
        "Checks": checks,
    }
    return {name: value for name, value in found.items() if value is not None}


def _call(call: Call, event: Mapping[str, Any], kept: Mapping[str, Any]) -> Call:
    """The call of then, to be decided now."""
    said = dict(kept["principal"])
    said["session_policies"] = tuple(said.get("session_policies", ()))
    return Call(
        call.platform,
        kept["service"],
        kept["operation"],
        event["recipientAccountId"],
        event["awsRegion"],
        Principal(**{"account": "", "arn": "*", "user_id": "", **said}),
        event["requestID"],
        event["sourceIPAddress"],
        event["userAgent"],
        kept["secure"],
        kept["host"],
        kept["condition"],
    )


def _needs(event: Mapping[str, Any], kept: Mapping[str, Any]) -> list[tuple[str, str, Mapping[str, Any]]]:
    """What the operation asks for, what it asked for while it ran, and at the least what it was denied."""
    found = [(action, resource, {}) for action, resource in kept["needs"]]
    found += [(action, resource, condition) for action, resource, condition in kept["further"]]
    denied = _DENIED.search(event.get("errorMessage", "")) if event.get("errorCode") == "AccessDenied" else None
    if denied is not None and not any((action, resource) == denied.groups() for action, resource, _ in found):
        found.append((denied[1], denied[2], {}))
    unique = {(action, resource): (action, resource, condition) for action, resource, condition in found}
    return list(unique.values())


def _check(call: Call, need: Need, kept: Mapping[str, Any], condition: Mapping[str, Any]) -> dict[str, Any]:
    identity = call.platform.identity
    caller: Caller = identity.directory.caller(call.principal)
    asked = kept["request"] or {}
    policy, account, must_grant = identity.resource_policy(call, need, asked)
    context = of_call(call, caller, asked, condition, need, account)
    verdict = evaluate(call.principal, caller.policies, need.action, need.resource, context, policy, account, must_grant)
    text = denial.explain(call.principal, caller.name, need.action, need.resource, verdict)
    found: dict[str, Any] = {
        "Action": need.action,
        "Resource": need.resource,
        "Decision": "allowed" if verdict.allowed else "explicitDeny" if verdict.explicit else "implicitDeny",
        "Reason": _reason(call.principal, need, verdict, text),
        "Policies": _considered(caller.policies, policy, call.principal, need, context),
    }
    if not verdict.allowed and not verdict.explicit:
        found["MissingStatement"] = text[text.index("{") :]
        found["AddTo"] = text.partition("add this statement to ")[2].partition(": {")[0]
    return found


def _reason(principal: Principal, need: Need, verdict: Verdict, text: str) -> str:
    if verdict.explicit:
        return f"Denied by {verdict.statement.label}." if verdict.statement else text
    if not verdict.allowed:
        return f"No {verdict.kind} allows {need.action}."
    if verdict.statement is None:
        return "The root user needs no policy." if principal.kind == "root" else "Allowed."
    return f"Allowed by {verdict.statement.label}."


def _considered(
    policies: Policies, resource_policy: PolicySet | None, principal: Principal, need: Need, context: Context
) -> list[dict[str, Any]]:
    """Every policy that had a say, with the statements that speak of the action, and whether they hold for this request."""
    sets = [(IDENTITY, policies.identity), (BOUNDARY, policies.boundary), (SESSION, policies.session), (RESOURCE, resource_policy)]
    found = []
    for kind, policy_set in sets:
        if policy_set is None:
            continue
        for name in dict.fromkeys(statement.policy for statement in policy_set.statements):
            own = [statement for statement in policy_set.statements if statement.policy == name]
            speaking = [
                _statement(s, need, context, principal if kind == RESOURCE else None) for s in own if s.for_action(need.action.lower())
            ]
            found.append({"Name": name, "Type": kind, "Statements": speaking})
    return found


def _statement(statement: Statement, need: Need, context: Context, principal: Principal | None) -> dict[str, Any]:
    named = principal is None or statement.for_principal(principal) is not None
    fits, holds = statement.for_resource(need.resource, context), statement.for_conditions(context)
    why = [
        text
        for text, lacks in (
            ("names other principals", not named),
            ("speaks of other resources", not fits),
            ("its conditions do not hold", not holds),
        )
        if lacks
    ]
    found = {
        "Statement": statement.sid or f"number {statement.number}",
        "Effect": "Allow" if statement.allow else "Deny",
        "Applies": not why,
    }
    return {**found, **({"Why": ", ".join(why)} if why else {})}
