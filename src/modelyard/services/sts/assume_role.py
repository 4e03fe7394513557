"""AssumeRole: the trust policy and the caller's own policies decide; temporary credentials come back.

Source: STS API reference, AssumeRole; IAM User Guide, "Role chaining" (1 hour at most).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.identity import Credential
from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.services.iam import denial, names
from modelyard.services.iam.actions import Need
from modelyard.services.iam.checks import tags_of
from modelyard.services.iam.document import PolicySet, compile_policy, parse
from modelyard.services.iam.evaluate import evaluate
from modelyard.services.iam.request_context import of_call
from modelyard.services.iam.validate import identity_policy
from modelyard.services.sts import api

CHAINED_S = 3600
PACKED_POLICY_BYTES = 2048


@api.operation
def assume_role(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    arn = request["RoleArn"]
    if names.split_role_arn(arn) is None:
        raise ApiError("ValidationError", f"{arn} is invalid", 400)
    if call.principal.kind == "root":
        raise ApiError("AccessDenied", "Roles may not be assumed by root accounts.", 403)
    role = call.platform.identity.role(arn)
    if call.platform.settings.auth != "open" or role is None:
        for action in ("sts:AssumeRole", *(["sts:TagSession"] if request.get("Tags") else [])):
            _permit(call, request, action, arn, role)
    assert role is not None  # _permit refuses a missing one
    duration = _duration(call, request, role)
    policies = _session_policies(call, request)
    name = request["RoleSessionName"]
    credential = call.platform.identity.new_role_session(role, name, duration, policies, tags_of(request))
    answer: dict[str, Any] = {
        "Credentials": credentials_field(credential),
        "AssumedRoleUser": {"AssumedRoleId": credential.principal.user_id, "Arn": credential.principal.arn},
    }
    if request.get("Policy"):
        answer["PackedPolicySize"] = max(1, len(request["Policy"]) * 100 // PACKED_POLICY_BYTES)
    return answer


def credentials_field(credential: Credential) -> dict[str, Any]:
    return {
        "AccessKeyId": credential.access_key,
        "SecretAccessKey": credential.secret_key,
        "SessionToken": credential.token,
        "Expiration": credential.expires_at,
    }


def _permit(call: Call, request: dict[str, Any], action: str, arn: str, role: Record | None) -> None:
    """A missing role is refused with the same words as a forbidden one, so that names of roles do not leak."""
    identity = call.platform.identity
    caller = identity.directory.caller(call.principal)
    need = Need(action, arn)
    if role is None:
        raise denial.error("sts", f"User: {call.principal.arn} is not authorized to perform: {action} on resource: {arn}")
    trust = PolicySet(compile_policy(role.spec["AssumeRolePolicyDocument"], f"the trust policy of role {role.name}"))
    context = of_call(call, caller, request, {}, need, role.account)
    verdict = evaluate(call.principal, caller.policies, action, arn, context, trust, role.account, must_grant=True)
    if not verdict.allowed:
        raise denial.error("sts", denial.explain(call.principal, caller.name, action, arn, verdict))


def _duration(call: Call, request: dict[str, Any], role: Record) -> float:
    seconds = request.get("DurationSeconds", 3600)
    if seconds < 900:
        raise ApiError(
            "ValidationError",
            f"1 validation error detected: Value '{seconds}' at 'durationSeconds' failed to satisfy constraint: "
            "Member must have value greater than or equal to 900",
            400,
        )
    if call.principal.kind == "role" and seconds > CHAINED_S:
        raise ApiError(
            "ValidationError", "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.", 400
        )
    if seconds > role.spec.get("MaxSessionDuration", 3600):
        raise ApiError("ValidationError", "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.", 400)
    return float(seconds)


def _session_policies(call: Call, request: dict[str, Any]) -> tuple[Mapping[str, Any], ...]:
    found: list[Mapping[str, Any]] = []
    for entry in request.get("PolicyArns", []):
        document = call.platform.identity.directory.managed_document(call.account, entry["arn"])
        if document is None:
            raise ApiError("ValidationError", f"PolicyArn {entry['arn']} does not exist or is not attachable.", 400)
        found.append(parse(document))
    if request.get("Policy"):
        if len(request["Policy"]) > PACKED_POLICY_BYTES:
            raise api.error.PackedPolicyTooLargeException(f"Packed size of session policy is more than {PACKED_POLICY_BYTES} characters.")
        found.append(identity_policy(request["Policy"]))
    return tuple(found)
