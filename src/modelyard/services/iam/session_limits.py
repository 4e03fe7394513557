"""What temporary credentials may not call, whatever the policies say.

Source: IAM User Guide, "Compare AWS STS credentials": credentials of GetSessionToken call no IAM operation unless MFA came with them,
and of STS only AssumeRole and GetCallerIdentity; those of GetFederationToken no IAM operation, and of STS only GetCallerIdentity; those of a role
neither GetSessionToken nor GetFederationToken.
"""

from __future__ import annotations

from modelyard.kernel.errors import ApiError
from modelyard.kernel.service import Call
from modelyard.services.iam.keys import TEMPORARY

_STS = {
    "root": ("AssumeRole", "GetCallerIdentity"),
    "user": ("AssumeRole", "GetCallerIdentity"),
    "federated-user": ("GetCallerIdentity",),
}


def check(call: Call) -> None:
    """Raises AWS's refusal of a call of IAM or STS with credentials that are not for it."""
    caller = call.principal
    if not caller.access_key.startswith(TEMPORARY):
        return
    if call.service == "iam":
        if caller.kind == "federated-user" or (caller.kind in ("user", "root") and caller.session.get("mfa_at") is None):
            raise ApiError("InvalidClientTokenId", "The security token included in the request is invalid", 403)
    elif caller.kind == "role":
        if call.operation in ("GetSessionToken", "GetFederationToken"):
            raise _refused(call.operation)
    elif call.operation not in _STS.get(caller.kind, (call.operation,)):
        raise _refused(call.operation)


def _refused(operation: str) -> ApiError:
    return ApiError("AccessDenied", f"Cannot call {operation} with session credentials", 403)
