"""GetCallerIdentity and GetAccessKeyInfo."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.service import Call
from modelyard.services.iam import keys
from modelyard.services.sts import api


@api.operation
def get_caller_identity(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    """Needs no permission, whatever the policies say."""
    principal = call.principal
    if principal.kind == "anonymous":
        raise ApiError("MissingAuthenticationToken", "Request is missing Authentication Token", 403)
    return {"UserId": principal.user_id, "Account": principal.account, "Arn": principal.arn}


@api.operation
def get_access_key_info(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    account = keys.account_of(request["AccessKeyId"])
    if account is None:
        raise ApiError("ValidationError", f"The access key ID {request['AccessKeyId']} is not valid", 400)
    return {"Account": account}
