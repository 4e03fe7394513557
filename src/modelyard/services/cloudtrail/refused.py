"""Requests that were not let in: no signature, a wrong one, unknown keys, a clock that is off. They are no events of CloudTrail, as with
AWS; they are kept so that `modelyard policy explain` can tell what was wrong with them."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.platform import Platform
from modelyard.services.cloudtrail import kinds
from modelyard.services.cloudtrail.event import moment

MOST_TEXT = 600
_SKEW = ("RequestTimeTooSkewed",)
_UNKNOWN = ("InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException", "InvalidToken", "AuthFailure")
_MISMATCH = ("SignatureDoesNotMatch", "InvalidSignatureException")
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired")
_MISSING = ("MissingAuthenticationToken", "MissingAuthenticationTokenException")


def told(platform: Platform, request_id: str, route: Any, error: ApiError, key: str, client: str, agent: str) -> dict[str, Any]:
    """`key` is the access key that the request names ("": none)."""
    credential = platform.identity.credential(key) if key else None
    who = credential.principal.arn if credential is not None else f"access key {key}" if key else "nobody"
    service = route.service if route is not None else ""
    return {
        "requestID": request_id,
        "recipientAccountId": credential.principal.account if credential is not None else platform.settings.account,
        "eventTime": moment(platform.clock.now()),
        "eventName": route.operation if route is not None else "unknown operation",
        "eventSource": kinds.source(service) if service else "unknown service",
        "errorCode": error.code,
        "errorMessage": error.message[:MOST_TEXT],
        "who": who[:MOST_TEXT],
        "hint": _hint(error, key, credential, who),
        "sourceIPAddress": client,
        "userAgent": agent[:MOST_TEXT],
    }


def _hint(error: ApiError, key: str, credential: Any, who: str) -> str:
    """What to look at; nothing that the signature's owner does not know."""
    code, text = error.code, error.message
    before = "It was refused before any policy was asked. "
    if code in _SKEW or text.startswith(
        ("Signature expired", "Signature not yet current", "Request has expired", "Request is not yet valid")
    ):
        return (
            before
            + "The time in the signature is not now: set the clock of the client (15 minutes either way are accepted), or sign a new URL."
        )
    if code in _EXPIRED:
        return before + f"The session of {who} is over: get new credentials (modelyard env, or AssumeRole again)."
    if code in _UNKNOWN and credential is None:
        return (
            before + f"The access key {key} is not known here, or it is inactive or deleted: modelyard env shows the ones of this platform."
        )
    if code in _UNKNOWN:
        return (
            before
            + "The access key is known, but the session token does not belong to it: key, secret and token must come from one answer."
        )
    if code in _MISMATCH and "Credential" in text:
        return (
            before
            + "The credential scope does not fit: its date must be that of the request, and its region and service must be plain names."
        )
    if code in _MISMATCH:
        return (
            before
            + f"The secret key is not the one of {who}, or something changed the request after it was signed (a proxy, another Host, path or body)."
        )
    if code in _MISSING or not key:
        return before + "It carries no signature: the client had no credentials (modelyard env prints some)."
    return before + "See the error message."
