"""AssumeRoleWithSAML: a response that a recorded SAML provider signed, for credentials of a role that trusts it.

Source: STS API reference, AssumeRoleWithSAML; IAM User Guide, "Configure SAML assertions for the authentication response", "Troubleshoot SAML
federation" (the texts), "Available keys for SAML-based federation". Times in a response are real ones: its provider is outside.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from modelyard.kernel.clock import real_now
from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.services.iam import names
from modelyard.services.sts import api, saml_response
from modelyard.services.sts.federated import admitted
from modelyard.services.sts.saml_response import ASSERTION, BadResponse
from modelyard.services.sts.session import check_tags, credentials_field, invalid, packed_size, role_duration, session_policies
from modelyard.services.sts.xml_tree import BadXml, Element

_ACTION = "sts:AssumeRoleWithSAML"
_NAMES = "https://aws.amazon.com/SAML/Attributes/"
_BEARER, _FORMATS = "urn:oasis:names:tc:SAML:2.0:cm:bearer", "urn:oasis:names:tc:SAML:2.0:nameid-format:"
_AUDIENCE = re.compile(r"urn:amazon:webservices|https://([a-z0-9-]+\.)?signin\.aws\.amazon\.com/saml(/acs/[\w-]+)?").fullmatch
_SESSION_NAME = re.compile(r"[\w+=,.@-]{2,64}", re.ASCII).fullmatch
REDEEM_WITHIN_S, SKEW_S = 300.0, 300.0


@dataclass(frozen=True)
class Word:
    """What a response says, once it is believed. `until` is when the provider's own session ends (epoch seconds), or None."""

    issuer: str
    subject: str
    subject_type: str
    recipient: str
    attributes: dict[str, list[str]]
    until: float | None


@api.operation
def assume_role_with_saml(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    arn, now = request["RoleArn"], real_now()
    if names.split_role_arn(arn) is None:
        raise invalid(f"{arn} is invalid")
    provider = _provider(call, request["PrincipalArn"])
    try:
        word = _word(_decoded(request["SAMLAssertion"]), provider, now)
    except (BadResponse, BadXml) as problem:
        raise api.error.InvalidIdentityTokenException(str(problem)) from None
    role = call.platform.identity.role(arn)
    name, tags, transitive, source = _session(word)
    qualifier = _qualifier(word.issuer, provider)
    keys = {
        "saml:aud": word.recipient,
        "saml:iss": word.issuer,
        "saml:sub": word.subject,
        "saml:sub_type": word.subject_type,
        "saml:namequalifier": qualifier,
        "saml:doc": f"{provider.account}/{provider.name}",
    }
    if role is None or not _named(word, arn, provider) or not admitted(call, role, provider, _ACTION, keys, name, tags, source):
        raise ApiError("AccessDenied", f"Not authorized to perform {_ACTION}", 403)
    duration = role_duration({"DurationSeconds": _asked(request, word)}, role, False)
    if word.until is not None:
        duration = min(duration, word.until - now)
    policies, packed = session_policies(call, role.account, request), packed_size(request, tags)
    session = {"transitive": transitive, "source_identity": source, "keys": {**keys, "aws:FederatedProvider": provider.arn}}
    credential = call.platform.identity.new_role_session(role, name, duration, policies, tags, session)
    return {
        "Credentials": credentials_field(credential),
        "AssumedRoleUser": {"AssumedRoleId": credential.principal.user_id, "Arn": credential.principal.arn},
        "Subject": word.subject,
        "SubjectType": word.subject_type,
        "Issuer": word.issuer,
        "Audience": word.recipient,
        "NameQualifier": qualifier,
        **packed,
        **({"SourceIdentity": source} if source else {}),
    }


def _provider(call: Call, arn: str) -> Record:
    account, _, name = arn.partition(":saml-provider/")
    record = call.store.get(names.SAML_PROVIDER.kind, account.rsplit(":", 1)[-1], names.GLOBAL, name)
    if record is None or record.arn != arn:
        raise api.error.InvalidIdentityTokenException("Specified provider doesn't exist")
    return record


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (ValueError, binascii.Error):
        raise BadResponse("Invalid base64 SAMLResponse") from None


def _word(text: bytes, provider: Record, now: float) -> Word:
    """Raises BadResponse, and ExpiredTokenException where it held once."""
    known = saml_response.metadata(provider.spec["Metadata"])
    found = saml_response.assertion(text, known)
    issuer = found.only(ASSERTION, "Issuer").text.strip()
    if issuer != known.entity:
        raise BadResponse("Issuer not present in specified provider")
    subject = found.only(ASSERTION, "Subject")
    recipient = _confirmed(subject, now)
    _in_time(found, now)
    audiences = [
        one.text.strip()
        for restriction in found.only(ASSERTION, "Conditions").find(ASSERTION, "AudienceRestriction")
        for one in restriction.find(ASSERTION, "Audience")
    ]
    if not any(_AUDIENCE(one) for one in audiences):
        raise BadResponse("Response does not contain the required audience.")
    name = subject.only(ASSERTION, "NameID")
    ends = [_time(s, "SessionNotOnOrAfter") for s in found.find(ASSERTION, "AuthnStatement") if "SessionNotOnOrAfter" in s.attributes]
    if ends and min(ends) <= now:
        raise _expired()
    form = name.attributes.get("Format", f"{_FORMATS}unspecified").removeprefix(_FORMATS)
    return Word(issuer, name.text.strip(), form, recipient, saml_response.attributes(found), min(ends) if ends else None)


def _confirmed(subject: Element, now: float) -> str:
    """The recipient of a bearer's confirmation that holds."""
    late = False
    for confirmation in subject.find(ASSERTION, "SubjectConfirmation"):
        if confirmation.attributes.get("Method") != _BEARER:
            continue
        data = confirmation.only(ASSERTION, "SubjectConfirmationData")
        if not _AUDIENCE(data.attributes.get("Recipient", "")):
            continue
        if now < _time(data, "NotOnOrAfter"):
            return data.attributes["Recipient"]
        late = True
    if late:
        raise _expired()
    raise BadResponse("Response does not contain the required recipient.")


def _in_time(found: Element, now: float) -> None:
    conditions = found.only(ASSERTION, "Conditions")
    if "NotBefore" in conditions.attributes and now + SKEW_S < _time(conditions, "NotBefore"):
        raise BadResponse("Response is not valid yet")
    if "NotOnOrAfter" in conditions.attributes and now >= _time(conditions, "NotOnOrAfter"):
        raise _expired()
    if now - _time(found, "IssueInstant") > REDEEM_WITHIN_S:
        raise api.error.ExpiredTokenException("Token must be redeemed within 5 minutes of issuance")


def _expired() -> ApiError:
    return api.error.ExpiredTokenException("Response has expired")


def _time(element: Element, name: str) -> float:
    try:
        moment = datetime.fromisoformat(element.attributes[name].replace("Z", "+00:00"))
    except (KeyError, ValueError):
        raise BadResponse(f"Invalid SAML response: {element.local} has no {name} that is a time.") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _session(word: Word) -> tuple[str, dict[str, str], list[str], str | None]:
    """(session name, tags, transitive keys, source identity)"""

    def one(name: str) -> str | None:
        found = word.attributes.get(f"{_NAMES}{name}")
        return found[0] if found else None

    name = one("RoleSessionName")
    if not name:
        raise api.error.InvalidIdentityTokenException("RoleSessionName is required in AuthnResponse")
    if not _SESSION_NAME(name):
        raise api.error.InvalidIdentityTokenException("RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}")
    begin = f"{_NAMES}PrincipalTag:"
    pairs = [(key.removeprefix(begin), values[0]) for key, values in word.attributes.items() if key.startswith(begin) and values]
    tags = check_tags({"Tags": [{"Key": key, "Value": value} for key, value in pairs]})
    transitive = [key for key in word.attributes.get(f"{_NAMES}TransitiveTagKeys", []) if key in tags]
    return name, tags, transitive, one("SourceIdentity")


def _named(word: Word, role_arn: str, provider: Record) -> bool:
    """Whether the provider gives this user this role: a value of Role names both, in any order."""
    pairs = [{part.strip() for part in value.split(",")} for value in word.attributes.get(f"{_NAMES}Role", [])]
    return {role_arn, provider.arn} in pairs


def _asked(request: dict[str, Any], word: Word) -> int:
    said = word.attributes.get(f"{_NAMES}SessionDuration", [""])[0]
    if request.get("DurationSeconds") is None and said:
        if not said.isdecimal() or not 900 <= int(said) <= 43_200:
            raise api.error.InvalidIdentityTokenException("SessionDuration in AuthnResponse must be between 900 and 43200")
        return int(said)
    return request.get("DurationSeconds") or 3600


def _qualifier(issuer: str, provider: Record) -> str:
    return base64.b64encode(hashlib.sha1(f"{issuer}{provider.account}/{provider.name}".encode(), usedforsecurity=False).digest()).decode()
