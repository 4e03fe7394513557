"""Conditional requests: If-Match, If-None-Match, If-Modified-Since, If-Unmodified-Since.

Source: "Conditional requests" of the S3 user guide, precedence as in RFC 9110 13.2.2: a true If-Match outweighs
If-Unmodified-Since, a false If-None-Match outweighs If-Modified-Since. Dates compare in whole seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.services.s3.errors import no_such_key, s3_error
from modelyard.services.s3.index import Version


def not_modified(version: Version) -> ApiError:
    return ApiError("NotModified", "Not Modified", 304, headers={"etag": f'"{version.etag}"'})


def failed(condition: str) -> ApiError:
    return s3_error("PreconditionFailed", Condition=condition)


def check_read(request: Mapping[str, Any], version: Version, now: float) -> None:
    """Raises 412 or 304 where the conditions of a GET or HEAD say so."""
    if "IfMatch" in request:
        if not _matches(request["IfMatch"], version.etag):
            raise failed("If-Match")
    elif "IfUnmodifiedSince" in request and int(version.modified) > int(seconds(request["IfUnmodifiedSince"])):
        raise failed("If-Unmodified-Since")
    if "IfNoneMatch" in request:
        if _matches(request["IfNoneMatch"], version.etag):
            raise not_modified(version)
    elif "IfModifiedSince" in request and int(version.modified) <= int(seconds(request["IfModifiedSince"])) <= now:
        raise not_modified(version)


def check_copy_source(request: Mapping[str, Any], version: Version, now: float) -> None:
    """CopySourceIf…: every unmet condition is a 412. What was modified since a time to come is not asked (nor in `check_read`)."""
    if "CopySourceIfMatch" in request:
        if not _matches(request["CopySourceIfMatch"], version.etag):
            raise failed("x-amz-copy-source-If-Match")
    elif "CopySourceIfUnmodifiedSince" in request and int(version.modified) > int(seconds(request["CopySourceIfUnmodifiedSince"])):
        raise failed("x-amz-copy-source-If-Unmodified-Since")
    if "CopySourceIfNoneMatch" in request:
        if _matches(request["CopySourceIfNoneMatch"], version.etag):
            raise failed("x-amz-copy-source-If-None-Match")
    elif "CopySourceIfModifiedSince" in request and int(version.modified) <= int(seconds(request["CopySourceIfModifiedSince"])) <= now:
        raise failed("x-amz-copy-source-If-Modified-Since")


def write_condition(request: Mapping[str, Any]) -> Any:
    """What a PUT or CompleteMultipartUpload asks of the live object, checked inside its transaction."""
    if_match, if_none = request.get("IfMatch"), request.get("IfNoneMatch")
    if if_match is not None and if_none is not None:
        raise _not_taken("If-Match,If-None-Match", "Multiple conditional request headers present in the request")
    if if_none not in (None, "*"):
        raise _not_taken("If-None-Match", "We don't accept the provided value of If-None-Match header for this API")

    def check(have: Version | None) -> None:
        if if_match is not None:
            if have is None:
                raise no_such_key(request["Bucket"], request["Key"])
            if not _matches(if_match, have.etag):
                raise failed("If-Match")
        if if_none == "*" and have is not None:
            raise failed("If-None-Match")

    return check


def conflict(condition: str, key: str) -> ApiError:
    text = "The conditional request cannot succeed due to a conflicting operation against this resource."
    return ApiError("ConditionalRequestConflict", text, 409, fields={"Condition": condition, "Key": key})


def _not_taken(header: str, more: str) -> ApiError:
    text = "A header you provided implies functionality that is not implemented"
    return ApiError("NotImplemented", text, 501, fields={"Header": header, "additionalMessage": more})


def delete_condition(request: Mapping[str, Any]) -> Any:
    """If-Match (and its last-modified and size forms) of a DELETE. What is deleted already matches nothing (412); where the
    key is not there, If-Match says so (404), and the others hold."""
    asked = {"IfMatch": "If-Match", "IfMatchLastModifiedTime": "x-amz-if-match-last-modified-time", "IfMatchSize": "x-amz-if-match-size"}

    def check(have: Version | None) -> None:
        if have is not None and have.marker and request.get("VersionId") is None:
            for member, header in asked.items():
                if member in request and request[member] != "*":
                    raise failed(header)
            return
        if "IfMatch" in request:
            if have is None:
                raise no_such_key(request["Bucket"], request["Key"])
            if not _matches(request["IfMatch"], have.etag):
                raise failed("If-Match")
        if have is None:
            return
        if "IfMatchLastModifiedTime" in request and int(seconds(request["IfMatchLastModifiedTime"])) != int(have.modified):
            raise failed("x-amz-if-match-last-modified-time")
        if "IfMatchSize" in request and request["IfMatchSize"] != have.size:
            raise failed("x-amz-if-match-size")

    return check


def seconds(value: Any) -> float:
    return value.timestamp() if hasattr(value, "timestamp") else float(value)


def _matches(header: str, etag: str) -> bool:
    wanted = [one.strip().removeprefix("W/").strip('"') for one in header.split(",")]
    return "*" in wanted or etag in wanted
