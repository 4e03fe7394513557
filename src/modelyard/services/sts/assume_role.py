"""AssumeRole: the trust policy and the caller's own policies decide; temporary credentials come back.

Source: STS API reference, AssumeRole; IAM User Guide, "Pass session tags" (sts:TagSession), "Monitor and control actions taken with
assumed roles" (sts:SetSourceIdentity), "Configuring MFA-protected API access".
"""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.services.iam import denial, mfa_codes, names
from modelyard.services.sts import api
from modelyard.services.sts.session import chained_tags, credentials_field, invalid, packed_size, role_duration, session_policies


@api.operation
def assume_role(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    arn, caller = request["RoleArn"], call.principal
    if names.split_role_arn(arn) is None:
        raise invalid(f"{arn} is invalid")
    if caller.kind == "root":
        raise ApiError("AccessDenied", "Roles may not be assumed by root accounts.", 403)
    role = call.platform.identity.role(arn)
    tags, transitive = chained_tags(caller, request)
    source = _source_identity(call, request)
    with_mfa = mfa_codes.present(call, request)
    if call.platform.settings.auth != "open" or role is None:
        more: dict[str, Any] = {"aws:MultiFactorAuthPresent": True, "aws:MultiFactorAuthAge": 0} if with_mfa else {}
        asked = ["sts:AssumeRole", *(["sts:TagSession"] if tags else []), *(["sts:SetSourceIdentity"] if source else [])]
        for action in asked:
            _permit(call, {**request, "SourceIdentity": source}, more, action, arn, role)
    assert role is not None  # _permit refuses a missing one
    duration = role_duration(request, role, caller.kind == "role")
    policies = session_policies(call, role.account, request)
    packed = packed_size(request, tags)
    session = {"transitive": transitive, "source_identity": source}
    credential = call.platform.identity.new_role_session(role, request["RoleSessionName"], duration, policies, tags, session)
    return {
        "Credentials": credentials_field(credential),
        "AssumedRoleUser": {"AssumedRoleId": credential.principal.user_id, "Arn": credential.principal.arn},
        **packed,
        **({"SourceIdentity": source} if source else {}),
    }


def _source_identity(call: Call, request: dict[str, Any]) -> str | None:
    """Once set it stays through the whole chain of roles."""
    have, asked = call.principal.session.get("source_identity"), request.get("SourceIdentity")
    if have and asked and have != asked:
        raise ApiError("AccessDenied", "The SourceIdentity of the calling session cannot be changed.", 403)
    return have or asked


def _permit(call: Call, request: dict[str, Any], more: dict[str, Any], action: str, arn: str, role: Record | None) -> None:
    """A missing role is refused with the same words as a forbidden one, so that names of roles do not leak."""
    if role is None:
        raise denial.error("sts", denial.sentence(call.principal, action, arn))
    call.platform.identity.require(call, action, arn, more, request)
