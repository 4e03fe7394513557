"""GetFederationToken: credentials for somebody outside, with what the calling user and the passed policies both allow.

Source: STS API reference, GetFederationToken: without a session policy the session may do nothing, but for what a resource's policy
grants to the federated user by name.
"""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.service import Call
from modelyard.services.iam.keys import TEMPORARY
from modelyard.services.sts import api
from modelyard.services.sts.session import check_tags, credentials_field, packed_size, session_policies

DEFAULT_S, ROOT_S = 43_200, 3600
NOTHING: dict[str, Any] = {"Version": "2012-10-17", "Statement": []}


@api.operation
def get_federation_token(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    caller, name = call.principal, request["Name"]
    if caller.kind not in ("user", "root") or caller.access_key.startswith(TEMPORARY):
        raise ApiError("AccessDenied", "Cannot call GetFederationToken with session credentials", 403)
    tags = check_tags(request)
    arn = f"arn:aws:sts::{call.account}:federated-user/{name}"
    if tags:
        call.authorize("sts:TagSession", arn, {f"aws:RequestTag/{key}": value for key, value in tags.items()} | {"aws:TagKeys": list(tags)})
    policies = session_policies(call, call.account, request) or (NOTHING,)
    packed = packed_size(request, tags)
    seconds = request.get("DurationSeconds", ROOT_S if caller.kind == "root" else DEFAULT_S)
    fields = {
        "kind": "federated-user",
        "account": call.account,
        "arn": arn,
        "user_id": f"{call.account}:{name}",
        "session_policies": policies,
        "tags": tags,
        "session": {"issued_at": call.now(), "user_arn": caller.arn, "user_id": caller.user_id},
    }
    until = call.now() + (min(seconds, ROOT_S) if caller.kind == "root" else seconds)
    credential = call.platform.identity.credentials.new_session(fields, until)
    return {
        "Credentials": credentials_field(credential),
        "FederatedUser": {"FederatedUserId": credential.principal.user_id, "Arn": arn},
        **(packed or {"PackedPolicySize": 0}),
    }
