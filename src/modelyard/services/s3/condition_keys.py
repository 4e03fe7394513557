"""Condition keys of S3 that are more than a member of the request: looked up when a policy asks for one.

Source: "Actions, resources, and condition keys for Amazon S3" of the Service Authorization Reference. What is one member of the
request (s3:prefix, s3:x-amz-acl, …) is data of the IAM service.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

from modelyard.kernel.clock import real_now
from modelyard.services.s3.depot import depot_of

_EXISTING, _REQUESTED, _REQUESTED_KEYS = "s3:existingobjecttag/", "s3:requestobjecttag/", "s3:requestobjecttagkeys"
_WITHOUT_KEY_CASE = {
    "s3:authtype",
    "s3:signatureversion",
    "s3:signatureage",
    "s3:x-amz-content-sha256",
    "s3:object-lock-remaining-retention-days",
    "s3:object-lock-retain-until-date",
}


_FROM_REQUEST: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "s3:x-amz-grant-read-acp": lambda request: request.get("GrantReadACP"),
    "s3:x-amz-grant-write-acp": lambda request: request.get("GrantWriteACP"),
    "s3:object-lock-mode": lambda request: (request.get("Retention") or {}).get("Mode"),
    "s3:object-lock-legal-hold": lambda request: (request.get("LegalHold") or {}).get("Status"),
}
"""Where more than one member of requests brings a key, or the data of the IAM service has none."""


def further_keys(call: Any, resource: str, request: Mapping[str, Any]) -> Callable[[str], Any]:
    """A look-up of condition keys (in lower case) for one resource of one request; None: the request has no such key."""
    kept: dict[str, dict[str, str]] = {}

    def value(key: str) -> Any:
        if key.startswith(_EXISTING):
            if "existing" not in kept:
                kept["existing"] = _tags_of_object(call, resource, request)
            return kept["existing"].get(key[len(_EXISTING) :])
        if key.startswith(_REQUESTED):
            return {name.lower(): text for name, text in _tags_of_request(request).items()}.get(key[len(_REQUESTED) :])
        if key in _FROM_REQUEST:
            return _FROM_REQUEST[key](request)
        if key == _REQUESTED_KEYS:
            return list(_tags_of_request(request)) or None
        return _of_transport(call, key) if key in _WITHOUT_KEY_CASE else None

    def with_lock(key: str) -> Any:
        return _of_lock(call, key, request) if key.startswith("s3:object-lock-r") else value(key)

    return with_lock


def _tags_of_object(call: Any, resource: str, request: Mapping[str, Any]) -> dict[str, str]:
    bucket, slash, key = resource.removeprefix("arn:aws:s3:::").partition("/")
    if not slash:
        return {}
    index, version = depot_of(call).index, request.get("VersionId") if request.get("Key") == key else None
    found = index.version(bucket, key, version) if version else index.latest(bucket, key)
    return {name.lower(): text for name, text in (found.meta.get("tags") or {}).items()} if found is not None else {}


def _tags_of_request(request: Mapping[str, Any]) -> dict[str, str]:
    said = request.get("Tagging")
    if isinstance(said, str):
        return dict(parse_qsl(said, keep_blank_values=True))
    if isinstance(said, Mapping):
        return {tag.get("Key", ""): tag.get("Value", "") for tag in said.get("TagSet") or []}
    return {}


def _of_transport(call: Any, key: str) -> Any:
    claim = call.auth
    match key:
        case "s3:x-amz-content-sha256":
            return getattr(claim, "payload", None) or None
        case "s3:authtype":
            if call.principal.kind == "anonymous":
                return None
            return "POST" if call.condition.get("s3:authType") == "POST" else _in_query_or_header(claim)
        case "s3:signatureversion":
            return None if call.principal.kind == "anonymous" else "AWS" if claim is None or claim.version == 2 else "AWS4-HMAC-SHA256"
        case "s3:signatureage":
            return None if claim is None or claim.time is None else int(max(0.0, real_now() - claim.time) * 1000)
    return None


def _in_query_or_header(claim: Any) -> str:
    return "REST-QUERY-STRING" if claim is None or claim.expires_s is not None else "REST-HEADER"


def _of_lock(call: Any, key: str, request: Mapping[str, Any]) -> Any:
    until = request.get("ObjectLockRetainUntilDate") or (request.get("Retention") or {}).get("RetainUntilDate")
    if until is None:
        return None
    at = until.timestamp() if hasattr(until, "timestamp") else float(until)
    if key == "s3:object-lock-remaining-retention-days":
        return int((at - call.now()) // 86_400) + 1
    from datetime import UTC, datetime

    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
