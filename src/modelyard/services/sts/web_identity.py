"""AssumeRoleWithWebIdentity: a token of a recorded OpenID Connect provider, for credentials of a role that trusts it.

Source: STS API reference, AssumeRoleWithWebIdentity; IAM User Guide, "Available keys for AWS OIDC federation".
"""

from __future__ import annotations

from typing import Any

from modelyard.kernel.clock import real_now
from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.services.iam import names
from modelyard.services.sts import api, jwt, provider_keys
from modelyard.services.sts.federated import admitted
from modelyard.services.sts.session import credentials_field, invalid, packed_size, role_duration, session_policies

_TAGS, _SOURCE = "https://aws.amazon.com/tags", "https://aws.amazon.com/source_identity"
_ACTION = "sts:AssumeRoleWithWebIdentity"


@api.operation
def assume_role_with_web_identity(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    arn = request["RoleArn"]
    split = names.split_role_arn(arn)
    if split is None:
        raise invalid(f"{arn} is invalid")
    token = _token(request["WebIdentityToken"])
    provider = _provider(call, split[0], token)
    claims = _believed(call, provider, token)
    role = call.platform.identity.role(arn)
    tags, transitive, source = _passed(claims)
    keys = _keys(provider, claims)
    if role is None or not admitted(call, role, provider, _ACTION, keys, request["RoleSessionName"], tags, source):
        raise ApiError("AccessDenied", f"Not authorized to perform {_ACTION}", 403)
    duration = role_duration(request, role, False)
    policies = session_policies(call, role.account, request)
    packed = packed_size(request, tags)
    session = {"transitive": transitive, "source_identity": source, "keys": {**keys, "aws:FederatedProvider": provider.arn}}
    credential = call.platform.identity.new_role_session(role, request["RoleSessionName"], duration, policies, tags, session)
    return {
        "Credentials": credentials_field(credential),
        "SubjectFromWebIdentityToken": claims["sub"],
        "AssumedRoleUser": {"AssumedRoleId": credential.principal.user_id, "Arn": credential.principal.arn},
        "Provider": provider.arn,
        "Audience": keys[f"{provider.name}:aud"],
        **packed,
        **({"SourceIdentity": source} if source else {}),
    }


def _token(text: str) -> jwt.Token:
    try:
        token = jwt.read(text)
    except jwt.BadToken as problem:
        raise api.error.InvalidIdentityTokenException(str(problem)) from None
    for claim in ("iss", "sub"):
        if not isinstance(token.claims.get(claim), str):
            raise api.error.InvalidIdentityTokenException(f"Missing a required claim: {claim}")
    return token


def _provider(call: Call, account: str, token: jwt.Token) -> Record:
    issuer = token.claims["iss"]
    bare = issuer.partition("://")[2].rstrip("/") or issuer
    record = call.store.get(names.OIDC_PROVIDER.kind, account, names.GLOBAL, bare)
    if record is None:
        raise api.error.InvalidIdentityTokenException(f"No OpenIDConnect provider found in your account for {issuer}")
    return record


def _believed(call: Call, provider: Record, token: jwt.Token) -> dict[str, Any]:
    """The claims, once audience, time and signature hold."""
    claims = dict(token.claims)
    audiences = claims.get("azp") or claims.get("aud")
    audiences = audiences if isinstance(audiences, list) else [audiences]
    if not any(one in provider.spec["ClientIDList"] for one in audiences):
        raise api.error.InvalidIdentityTokenException("Incorrect token audience")
    try:
        until, now = float(claims["exp"]), real_now()  # a provider outside tells real time
        begins = float(claims.get("nbf", claims.get("iat", now)))
    except (KeyError, TypeError, ValueError):
        raise api.error.InvalidIdentityTokenException("Missing a required claim: exp") from None
    if now >= until:
        raise api.error.ExpiredTokenException(
            f"Token expired: current date/time {int(now)} must be before the expiration date/time {int(until)}"
        )
    if begins > now + 300:
        raise api.error.InvalidIdentityTokenException("The token is not valid yet")
    try:
        jwt.verify(token, provider_keys.of(call.platform, provider))
    except jwt.BadToken as problem:
        raise api.error.InvalidIdentityTokenException(str(problem)) from None
    return {**claims, "aud": next(one for one in audiences if one in provider.spec["ClientIDList"])}


def _passed(claims: dict[str, Any]) -> tuple[dict[str, str], list[str], str | None]:
    """Session tags, transitive keys and source identity that the provider puts into its token."""
    said = claims.get(_TAGS) if isinstance(claims.get(_TAGS), dict) else {}
    asked = said.get("principal_tags") if isinstance(said.get("principal_tags"), dict) else {}
    tags = {str(key): str(value[0] if isinstance(value, list) and value else value) for key, value in asked.items()}
    transitive = [str(key) for key in said.get("transitive_tag_keys") or [] if str(key) in tags]
    return tags, transitive, str(claims[_SOURCE]) if claims.get(_SOURCE) else None


def _keys(provider: Record, claims: dict[str, Any]) -> dict[str, Any]:
    said = {claim: claims[claim] for claim in ("aud", "sub", "amr", "email", "oaud") if isinstance(claims.get(claim), (str, list))}
    return {f"{provider.name}:{claim}": value for claim, value in said.items()}
