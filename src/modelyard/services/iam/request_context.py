"""Condition keys of a call: global ones, those of the service, and tags.

Source: IAM User Guide, "AWS global condition context keys"; the services' own keys are data (`actions.condition_keys`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from modelyard.kernel.identity import Principal
from modelyard.kernel.service import Call
from modelyard.services.iam import names
from modelyard.services.iam.actions import Need, condition_keys
from modelyard.services.iam.context import Context, iso, request_tags
from modelyard.services.iam.keys import TEMPORARY

if TYPE_CHECKING:
    from modelyard.services.iam.directory import Caller

_TAG_MEMBERS = ("Tags", "tags", "TagSet", "TagList")
_TAG_KEY_MEMBERS = ("TagKeys", "tagKeys")
_MAY_BE_EMPTY = ("Prefix", "Delimiter")  # of S3's lists: `prefix=` says "from the top", and policies of home folders allow it
_TYPES = {
    "root": "Account",
    "user": "User",
    "role": "AssumedRole",
    "anonymous": "Anonymous",
    "service": "AWSService",
    "federated-user": "FederatedUser",
}


def of_principal(principal: Principal, tags: Mapping[str, str]) -> dict[str, Any]:
    """Keys that depend on the caller only. aws:PrincipalArn is the role's ARN for a session, as AWS has it."""
    keys: dict[str, Any] = {
        **(_of_session(principal) if principal.access_key.startswith(TEMPORARY) else {}),
        "aws:PrincipalArn": principal.role_arn or principal.arn,
        "aws:PrincipalAccount": principal.account or None,
        "aws:PrincipalType": _TYPES.get(principal.kind),
        "aws:userid": principal.user_id or None,
        "aws:PrincipalIsAWSService": principal.kind == "service",
    }
    if principal.kind == "service":
        keys["aws:PrincipalServiceName"] = principal.arn
    if principal.kind == "user":
        keys["aws:username"] = principal.arn.rsplit("/", 1)[-1]
    for key, value in tags.items():
        keys[f"aws:PrincipalTag/{key}"] = value
    return keys


def _of_session(principal: Principal) -> dict[str, Any]:
    """Keys that AWS sends with temporary credentials only."""
    said = principal.session
    keys = {"aws:MultiFactorAuthPresent": said.get("mfa_at") is not None, **said.get("keys", {})}
    if said.get("issued_at") is not None:
        keys["aws:TokenIssueTime"] = iso(said["issued_at"])
    if said.get("source_identity"):
        keys["aws:SourceIdentity"] = said["source_identity"]
    return keys


def of_call(
    call: Call, caller: Caller, request: Mapping[str, Any], more: Mapping[str, Any], need: Need, owner: str | None = None
) -> Context:
    """`owner` is the account of the resource (None: the caller's). Nothing is computed until a statement asks for a key; tags of the resource are read from the store only then."""
    service = need.action.partition(":")[0]
    return Context(
        call.condition,
        lambda: of_transport(call),
        lambda: {**_of_iam_entity(call, request), **of_request(request, "iam")} if service == "iam" else of_request(request, service),
        lambda: of_principal(call.principal, caller.tags),
        {"aws:ResourceAccount": owner or call.account, "s3:ResourceAccount": owner or call.account},
        _on_the_way(call, need.action) if call.service == "sagemaker" else {},
        more,
        lazy=_further(call, need, request),
    )


def _on_the_way(call: Call, action: str) -> dict[str, Any]:
    """Of what SageMaker does with a resource that it makes: its tags, and the grant for its volumes."""
    if action == "sagemaker:AddTags" and call.operation != "AddTags":
        return {"sagemaker:TaggingAction": call.operation}
    if action == "kms:CreateGrant":
        via = {
            "kms:ViaService": f"sagemaker.{call.region}.amazonaws.com",
            "aws:ViaAWSService": True,
            "aws:CalledVia": ["sagemaker.amazonaws.com"],
        }
        return {**via, "kms:GrantIsForAWSResource": True, "kms:CallerAccount": call.principal.account}
    return {}


def of_transport(call: Call) -> dict[str, Any]:
    now = call.now()
    mfa_at = call.principal.session.get("mfa_at")
    return {
        "aws:MultiFactorAuthAge": None if mfa_at is None else max(0, int(now - mfa_at)),
        "aws:SourceIp": call.source_ip,
        "aws:SecureTransport": call.secure,
        "aws:UserAgent": call.user_agent or None,
        "aws:RequestedRegion": call.region,
        "aws:CurrentTime": iso(now),
        "aws:EpochTime": int(now),
        "aws:ViaAWSService": False,
    }


def _of_iam_entity(call: Call, request: Mapping[str, Any]) -> dict[str, Any]:
    """iam:PermissionsBoundary is the boundary of the user or role that is changed, unless the request itself sets one."""
    for member, kind in (("RoleName", names.ROLE), ("UserName", names.USER)):
        if isinstance(request.get(member), str):
            record = names.of_name(call.store, kind.kind, call.account, request[member])
            return {"iam:PermissionsBoundary": record.spec.get("PermissionsBoundary")} if record is not None else {}
    return {}


def of_request(request: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    keys: dict[str, Any] = {}
    for member in _TAG_MEMBERS:
        if request.get(member) and not isinstance(request[member], str):
            tags = request_tags(request[member])
            keys.update({f"aws:RequestTag/{key}": value for key, value in tags.items()})
            keys["aws:TagKeys"] = list(tags)
    for member in _TAG_KEY_MEMBERS:
        if request.get(member):
            keys["aws:TagKeys"] = list(request[member])
    for key, path in condition_keys(prefix).items():
        if path.member is not None and path.member not in request:
            continue
        found = path.values(request)
        if found or (path.member in _MAY_BE_EMPTY and request[path.member] == ""):
            keys[key] = found or ""
    return keys


def _further(call: Call, need: Need, request: Mapping[str, Any]) -> Callable[[str], Any]:
    """Tags of the resource, and what the service itself can tell (`parts["condition_keys"]`: service → look-up)."""
    tags, of_service = _resource_tags(call, need), call.platform.parts.get("condition_keys", {}).get(need.action.partition(":")[0])
    if of_service is None:
        return tags
    told = of_service(call, need.resource, request)

    def value(key: str) -> Any:
        found = told(key)
        return tags(key) if found is None else found

    return value


def _resource_tags(call: Call, need: Need) -> Callable[[str], str | None]:
    tags: dict[str, str] | None = None

    def value(key: str) -> str | None:
        nonlocal tags
        scope, slash, name = key.partition("/")
        if not slash or not scope.endswith(":resourcetag"):
            return None
        if tags is None:
            tags = {k.lower(): v for k, v in call.store.tags(need.resource).items()}
        return tags.get(name)

    return value
