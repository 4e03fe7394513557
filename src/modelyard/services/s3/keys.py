"""Keys and the properties of objects that requests carry: checked and put into the form they are kept in."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from modelyard.kernel.errors import ApiError
from modelyard.services.s3 import mailtext
from modelyard.services.s3.errors import invalid_argument, s3_error
from modelyard.services.s3.index import Version

HEADERS = ("ContentType", "ContentEncoding", "ContentDisposition", "ContentLanguage", "CacheControl", "Expires")
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]|[^\x00-\xff]")
MAX_KEY_BYTES = 1024
MAX_USER_METADATA_BYTES = 2048
DEFAULT_TYPE = "binary/octet-stream"
STORAGE_CLASSES = {
    "STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER", "DEEP_ARCHIVE", "GLACIER_IR",
}  # fmt: skip


def check_key(key: str) -> None:
    """1 to 1,024 bytes of UTF-8; any characters: a key is a name, never a path."""
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise s3_error("InvalidRequest", "The object key must be valid UTF-8.") from None
    if size > MAX_KEY_BYTES:
        raise s3_error("KeyTooLongError", Size=size, MaxSizeAllowed=MAX_KEY_BYTES)


def meta_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """The `meta` (see depot.Draft) that the headers of a PUT, copy or CreateMultipartUpload ask for."""
    headers = {name: request[name] for name in HEADERS if request.get(name) not in (None, "")}
    if "ContentEncoding" in headers:
        headers["ContentEncoding"] = _without_aws_chunked(headers["ContentEncoding"])
        if not headers["ContentEncoding"]:
            del headers["ContentEncoding"]
    if "Expires" in headers and not isinstance(headers["Expires"], (str, int, float)):
        headers["Expires"] = headers["Expires"].timestamp()
    headers = {name: _CONTROL.sub(" ", value) if isinstance(value, str) else value for name, value in headers.items()}
    meta: dict[str, Any] = {"headers": headers}
    user = {str(k).lower(): mailtext.decoded(v) for k, v in (request.get("Metadata") or {}).items()}
    if not all(map(_HEADER_NAME, user)):  # from a presigned URL's query it may be any text, and goes out as a header's name
        raise s3_error("InvalidArgument", "The name of a metadata entry must be a valid name of an HTTP header.")
    if sum(len(k.encode()) + len(v.encode()) for k, v in user.items()) > MAX_USER_METADATA_BYTES:
        raise s3_error("MetadataTooLarge", MaxSizeAllowed=MAX_USER_METADATA_BYTES)
    if user:
        meta["user"] = user
    if request.get("WebsiteRedirectLocation"):
        meta["redirect"] = request["WebsiteRedirectLocation"]
    if request.get("Tagging"):
        meta["tags"] = tags_of_header(request["Tagging"])
    storage = request.get("StorageClass", "STANDARD")
    if storage not in STORAGE_CLASSES:
        raise ApiError(
            "InvalidStorageClass", "The storage class you specified is not valid", 400, fields={"StorageClassRequested": storage}
        )
    if storage != "STANDARD":
        meta["storage"] = storage
    return meta


def tags_of_header(header: str) -> dict[str, str]:
    """`a=b&c=d` of x-amz-tagging."""
    pairs = parse_qsl(header, keep_blank_values=True)
    if len({key for key, _ in pairs}) != len(pairs) or any("," in word for pair in pairs for word in pair):
        text = "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates."
        raise invalid_argument(text, "x-amz-tagging", header)
    return checked_tags([{"Key": key, "Value": value} for key, value in pairs], limit=10)


def checked_tags(tag_set: list[dict[str, str]], limit: int) -> dict[str, str]:
    """A tag set as a dict; S3's rules: `limit` tags, unique keys of 1–128, values of up to 256, no `aws:`."""
    if len(tag_set) > limit:
        what = "Object tags cannot be greater than 10" if limit == 10 else "Bucket tag count cannot be greater than 50"
        raise s3_error("BadRequest" if limit == 10 else "InvalidTag", what)
    tags: dict[str, str] = {}
    for tag in tag_set:
        key, value = tag.get("Key", ""), tag.get("Value", "")
        if not 1 <= len(key) <= 128 or "," in key:
            raise s3_error("InvalidTag", "The TagKey you have provided is invalid", TagKey=key)
        if len(value) > 256 or "," in value:
            raise s3_error("InvalidTag", "The TagValue you have provided is invalid", TagKey=key, TagValue=value)
        if key.startswith("aws:"):
            what = "Your TagKey cannot be prefixed with aws:" if limit == 10 else "System tags cannot be added/updated by requester"
            raise s3_error("InvalidTag", what, TagKey=key)
        if key in tags:
            raise s3_error("InvalidTag", "Cannot provide multiple Tags with the same key", TagKey=key)
        tags[key] = value
    return tags


def described(version: Version) -> dict[str, Any]:
    """The members that GET and HEAD answer about a version (without length and range)."""
    meta = version.meta
    answer: dict[str, Any] = {
        "AcceptRanges": "bytes",
        "LastModified": version.modified,
        "ETag": f'"{version.etag}"',
        "ContentType": DEFAULT_TYPE,
        "Metadata": {name: mailtext.encoded(value) for name, value in meta["user"].items()} if "user" in meta else {},
        **encryption_member(meta),
        **meta.get("headers", {}),
    }
    if meta.get("storage"):
        answer["StorageClass"] = meta["storage"]
    if meta.get("redirect"):
        answer["WebsiteRedirectLocation"] = meta["redirect"]
    return answer


def checksum_members(version: Version) -> dict[str, str]:
    """`Checksum<ALGORITHM>` and `ChecksumType` as kept with the version; empty where none were."""
    kept = version.meta.get("checksums")
    if not kept:
        return {}
    return {**{f"Checksum{name}": value for name, value in kept.items()}, "ChecksumType": version.meta.get("checksum_type", "FULL_OBJECT")}


def encryption_member(meta: Mapping[str, Any]) -> dict[str, str]:
    """How the bytes are encrypted, as answers tell it."""
    return dict(meta.get("encryption", {}))


def version_member(version: Version, versioning: str) -> dict[str, str]:
    """`VersionId` is told where the bucket is or was versioned."""
    return {"VersionId": version.version} if versioning else {}


def written_member(version: Version, versioning: str) -> dict[str, str]:
    """The same of what was just put: the one `null` version of a bucket whose versioning is suspended is not told."""
    return {"VersionId": version.version} if versioning == "Enabled" else {}


def _without_aws_chunked(encoding: str) -> str:
    return ", ".join(one for one in (part.strip() for part in encoding.split(",")) if one and one.lower() != "aws-chunked")
