"""One call as CloudTrail tells it. Source: CloudTrail User Guide, "CloudTrail record contents" and "userIdentity element"."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from modelyard.kernel import models
from modelyard.kernel.errors import ApiError
from modelyard.kernel.identity import Principal
from modelyard.kernel.service import Call
from modelyard.services.cloudtrail import kinds, resources, s3_names
from modelyard.services.cloudtrail.redact import HIDDEN, Redacted, told_moment

VERSION = "1.11"
MOST_PARAMETERS = 100_000
"""Bytes of requestParameters or responseElements; CloudTrail leaves larger ones out and says so."""
MOST_TEXT = 1024
_DENIED = ("AccessDeniedException", "AuthorizationError", "UnauthorizedOperation")


def moment(at: float) -> str:
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def make(
    call: Call, at: float, asked: Mapping[str, Any] | None, said: Mapping[str, Any] | None, error: ApiError | None, arns: list[str]
) -> dict[str, Any]:
    """`arns` are the resources that the call asked permission for."""
    shapes = models.service_model(call.service)["operations"][call.operation]
    reads, s3 = kinds.reads(call.service, call.operation), call.service == "s3"
    request = Redacted(call.service, shapes.get("input", {}).get("shape"), asked, as_asked=s3)
    answer = Redacted(call.service, shapes.get("output", {}).get("shape"), None if reads or error is not None else said, as_asked=s3)
    management = not kinds.is_data(call.service, call.operation)
    event: dict[str, Any] = {
        "eventVersion": VERSION,
        "userIdentity": identity(call.principal, call, said),
        "eventTime": moment(at),
        "eventSource": kinds.source(call.service),
        "eventName": kinds.name(call.service, call.operation),
        "awsRegion": "us-east-1" if call.service == "iam" else call.region,  # where IAM is, for CloudTrail
        "sourceIPAddress": call.source_ip,
        "userAgent": call.user_agent[:MOST_TEXT],
    }
    if call.invoked_by:
        host = kinds.source(call.invoked_by)
        event["userIdentity"]["invokedBy"] = event["sourceIPAddress"] = event["userAgent"] = host
    if error is not None:
        event["errorCode"] = _code(call.service, error.code)
        event["errorMessage"] = request.without_secrets(error.message)[: 4 * MOST_TEXT]
    if s3:
        event["additionalEventData"] = s3_names.additional(call, asked or {}, said or {})
    event |= {
        "requestParameters": _bounded(s3_names.request(call, request) if s3 else request.value),
        "responseElements": _bounded(s3_names.answer(call, answer) if s3 else answer.value),
        "requestID": call.request_id,
        "eventID": str(uuid.uuid4()),
        "readOnly": reads,
        "resources": resources.of_call(call, arns, said if error is None else None),
        "eventType": "AwsApiCall",
        "managementEvent": management,
        "recipientAccountId": call.account,
        "eventCategory": "Management" if management else "Data",
    }
    if call.host:
        version = call.condition.get("s3:TlsVersion")
        event["tlsDetails"] = {**({"tlsVersion": f"TLSv{version}"} if version else {}), "clientProvidedHostHeader": call.host}
    return event


def for_owners(event: dict[str, Any], call: Call, error: ApiError | None) -> Iterator[dict[str, Any]]:
    """The same call for the accounts whose resources it used: they hear of the caller's account, and of nobody's refusals. Both events
    have one sharedEventID."""
    owners = {one["accountId"] for one in event["resources"] if one.get("accountId", "").isdigit()} - {event["recipientAccountId"]}
    if error is not None or not owners:
        return
    event["sharedEventID"] = str(uuid.uuid4())
    who = {"type": "AWSAccount", "principalId": call.principal.user_id, "accountId": call.principal.account or "ANONYMOUS_PRINCIPAL"}
    for owner in sorted(owners):
        yield {**event, "userIdentity": who, "eventID": str(uuid.uuid4()), "recipientAccountId": owner}


def of_service(role: Any, credential: Any, service: str, at: float, region: str) -> dict[str, Any]:
    """AssumeRole, as a service does it to work in an account's name."""
    host = service
    return {
        "eventVersion": VERSION,
        "userIdentity": {"type": "AWSService", "invokedBy": host},
        "eventTime": moment(at),
        "eventSource": "sts.amazonaws.com",
        "eventName": "AssumeRole",
        "awsRegion": region,
        "sourceIPAddress": host,
        "userAgent": host,
        "requestParameters": {"roleArn": role.arn, "roleSessionName": credential.principal.arn.rsplit("/", 1)[-1]},
        "responseElements": {
            "credentials": {
                "accessKeyId": credential.access_key,
                "sessionToken": HIDDEN,
                "expiration": told_moment(credential.expires_at) if credential.expires_at is not None else None,
            },
            "assumedRoleUser": {"assumedRoleId": credential.principal.user_id, "arn": credential.principal.arn},
        },
        "requestID": str(uuid.uuid4()),
        "eventID": str(uuid.uuid4()),
        "readOnly": True,
        "resources": [{"ARN": role.arn, "accountId": role.account, "type": "AWS::IAM::Role"}],
        "eventType": "AwsApiCall",
        "managementEvent": True,
        "recipientAccountId": role.account,
        "sharedEventID": str(uuid.uuid4()),
        "eventCategory": "Management",
    }


def _code(service: str, code: str) -> str:
    if code in _DENIED:
        return "AccessDenied"
    if service == "iam" and not code.endswith(("Exception", "Denied")):
        return f"{code}Exception"
    return code


def _bounded(value: dict[str, Any] | None) -> dict[str, Any] | None:
    if not value:
        return None
    size = len(orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS))
    return value if size <= MOST_PARAMETERS else {"omitted": True, "originalSize": size, "reason": "too large"}


def identity(who: Principal, call: Call, said: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The userIdentity element."""
    if who.kind == "anonymous":
        return _outsider(call, said or {})
    if who.kind == "service":
        return {"type": "AWSService", "invokedBy": who.arn}
    found: dict[str, Any] = {
        "type": _IDENTITIES.get(who.kind, "Unknown"),
        "principalId": who.user_id,
        "arn": who.arn,
        "accountId": who.account,
    }
    if who.access_key:
        found["accessKeyId"] = who.access_key
    if who.kind == "user":
        found["userName"] = who.arn.rsplit("/", 1)[-1]
    session: dict[str, Any] = {}
    if who.kind == "role" and who.role_arn:
        session["sessionIssuer"] = {
            "type": "Role",
            "principalId": who.user_id.partition(":")[0],
            "arn": who.role_arn,
            "accountId": who.account,
            "userName": who.role_arn.rsplit("/", 1)[-1],
        }
    elif who.kind == "federated-user":
        arn = who.session.get("user_arn", "")
        session["sessionIssuer"] = {
            "type": "Root" if arn.endswith(":root") else "IAMUser",
            "principalId": who.session.get("user_id", ""),
            "arn": arn,
            "accountId": who.account,
            "userName": arn.rsplit("/", 1)[-1],
        }
    if session or who.access_key.startswith("ASIA"):
        issued = who.session.get("issued_at")
        session["attributes"] = {
            **({"creationDate": moment(issued)} if issued is not None else {}),
            "mfaAuthenticated": "true" if who.session.get("mfa_at") is not None else "false",
        }
        if who.session.get("source_identity"):
            session["sourceIdentity"] = who.session["source_identity"]
        found["sessionContext"] = session
    return found


_IDENTITIES = {"root": "Root", "user": "IAMUser", "role": "AssumedRole", "federated-user": "FederatedUser"}


def _outsider(call: Call, said: Mapping[str, Any]) -> dict[str, Any]:
    """Nobody signed: a public bucket's reader, or who comes with the token of an identity provider."""
    if call.operation == "AssumeRoleWithWebIdentity":
        provider, subject = said.get("Provider", ""), said.get("SubjectFromWebIdentityToken", "")
        ids = {"principalId": f"{provider}:{said.get('Audience', '')}:{subject}", "userName": subject, "identityProvider": provider}
        return {"type": "WebIdentityUser", **(ids if said else {})}
    if call.operation == "AssumeRoleWithSAML":
        ids = {
            "principalId": f"{said.get('NameQualifier', '')}:{said.get('Subject', '')}",
            "userName": said.get("Subject", ""),
            "identityProvider": said.get("Issuer", ""),
        }
        return {"type": "SAMLUser", **(ids if said else {})}
    return {"type": "AWSAccount", "principalId": "", "accountId": "ANONYMOUS_PRINCIPAL"}


def username(event: Mapping[str, Any]) -> str | None:
    """What LookupEvents calls the Username: of a session, its name."""
    who = event["userIdentity"]
    if who["type"] == "Root":
        return "root"
    if who["type"] in ("AssumedRole", "FederatedUser"):
        return who["arn"].rsplit("/", 1)[-1]
    return who.get("userName") or who.get("invokedBy")


def principal_of(who: Principal) -> dict[str, Any]:
    """All of a principal, in JSON; none of it is secret."""
    fields = ("kind", "account", "arn", "user_id", "access_key", "role_arn")
    found: dict[str, Any] = {name: getattr(who, name) for name in fields if getattr(who, name)}
    found |= {"session_policies": [dict(p) for p in who.session_policies], "tags": dict(who.tags), "session": dict(who.session)}
    return {name: value for name, value in found.items() if value}
