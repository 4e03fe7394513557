"""CopyObject."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote_plus

from modelyard.kernel.service import Body
from modelyard.services.s3 import api
from modelyard.services.s3.blobs import join
from modelyard.services.s3.conditions import check_copy_source, write_condition
from modelyard.services.s3.depot import Depot, Draft, check_owner, depot_of, owned_bucket
from modelyard.services.s3.encryption import Plan, check_reader, customer_key
from modelyard.services.s3.errors import invalid_argument, s3_error
from modelyard.services.s3.index import NULL_VERSION, Version
from modelyard.services.s3.ingest import LARGEST, Promise, Received, receive
from modelyard.services.s3.keys import check_key, checksum_members, encryption_member, version_member
from modelyard.services.s3.new_object import finished, properties
from modelyard.services.s3.notices import Cause


class SliceBody(Body):
    """A piece of an object as a body (and, whole, for copies that must hash again)."""

    def __init__(self, data: Any, offset: int, length: int) -> None:
        self._data, self._at, self._left = data, offset, length
        self.length, self.trailers = length, {}

    def read(self, size: int = 1 << 18) -> bytes:
        size = min(size, self._left)
        if size <= 0:
            return b""
        if isinstance(self._data, bytes):
            piece = self._data[self._at : self._at + size]
        else:
            self._data.seek(self._at)
            piece = self._data.read(size)
        self._at += len(piece)
        self._left -= len(piece)
        return piece


def read_source(source: Any) -> tuple[str, str, str | None]:
    """Bucket, key and version of x-amz-copy-source (`/bucket/key?versionId=…`, percent-encoded) or of boto3's dict."""
    if isinstance(source, dict):
        return source["Bucket"], source["Key"], source.get("VersionId")
    path, mark, version = source.partition("?versionId=")
    bucket, slash, key = unquote_plus(path).lstrip("/").partition("/")
    if not slash or not bucket or not key:
        raise invalid_argument("Invalid copy source object key", "x-amz-copy-source", "x-amz-copy-source")
    return bucket, key, version if mark else None


def source_version(source: Version) -> dict[str, str]:
    return {"CopySourceVersionId": source.version} if source.version != NULL_VERSION else {}


def open_source(call: Any, request: dict[str, Any]) -> tuple[Version, Any]:
    """The source of a copy and its bytes, permitted and with its conditions checked."""
    depot, customer = depot_of(call), customer_key(request, "CopySource")
    bucket, key, version = read_source(request["CopySource"])
    if version:
        call.authorize("s3:GetObjectVersion", f"arn:aws:s3:::{bucket}/{key}", {"s3:VersionId": version})
    else:
        call.authorize("s3:GetObject", f"arn:aws:s3:::{bucket}/{key}")
    check_owner(depot.bucket(bucket), request.get("ExpectedSourceBucketOwner"))

    def check(found: Version) -> None:
        check_reader(found, customer)
        check_copy_source(request, found, call.now())

    try:
        return depot.find_open(bucket, key, version, check, lambda found: depot.ring.unlock(found, call, customer))
    except Exception as problem:
        if getattr(problem, "code", "") == "MethodNotAllowed":
            raise s3_error(
                "InvalidRequest", "The source of a copy request may not specifically refer to a delete marker by version id."
            ) from None
        raise


def copy_bytes(depot: Depot, source: Version, data: Any, algorithm: str | None, plan: Plan | None) -> Received:
    """An independent copy of all bytes; hashed again only where another checksum (or the MD5 of a multipart
    object, whose ETag a copy does not keep) is asked for, and where one of the two is encrypted."""
    kept = source.meta.get("checksums") or {}
    full = source.meta.get("checksum_type", "FULL_OBJECT") == "FULL_OBJECT"
    if plan is not None or "sealed" in source.meta or "-" in source.etag or (algorithm and algorithm not in kept) or (kept and not full):
        promise = Promise(algorithms={algorithm} if algorithm else set(kept), etag_key=plan and plan.etag_key())
        return receive(depot.blobs, SliceBody(data, 0, source.size), promise, plan and plan.sealer())
    if isinstance(data, bytes):
        return Received(source.size, source.etag, dict(kept), small=data)
    return Received(source.size, source.etag, dict(kept), blob=join(depot.blobs, [data]))


@api.operation
def copy_object(call, request):
    depot, home, key = depot_of(call), owned_bucket(call, request), request["Key"]
    check_key(key)
    source, data = open_source(call, request)
    try:
        _check(request, home.name, key, source)
        meta, plan = properties(call, home, request)
        meta = _meta(request, source, meta)
        received = copy_bytes(depot, source, data, request.get("ChecksumAlgorithm"), plan)
    finally:
        if not isinstance(data, bytes):
            data.close()
    meta = finished(meta, plan, received)
    new = depot.put(home.name, key, Draft(received, meta), write_condition(request), cause=Cause("ObjectCreated:Copy", call))
    return {
        "CopyObjectResult": {"ETag": f'"{new.etag}"', "LastModified": new.modified, **checksum_members(new)},
        **encryption_member(meta),
        **version_member(new, home.versioning),
        **source_version(source),
    }


def _check(request: dict[str, Any], bucket: str, key: str, source: Version) -> None:
    if source.size > LARGEST:
        raise s3_error(
            "InvalidRequest", "The specified copy source is larger than the maximum allowable size for a copy source: 5368709120"
        )
    replaces = request.get("MetadataDirective") == "REPLACE" or request.get("TaggingDirective") == "REPLACE"
    changes = any(
        request.get(name)
        for name in ("StorageClass", "WebsiteRedirectLocation", "ServerSideEncryption", "ChecksumAlgorithm", "SSECustomerKey")
    )
    changes = changes or "sealed" in source.meta  # what is encrypted gets a key of its own anew, by the bucket's default or none
    if (bucket, key) == (source.bucket, source.key) and source.latest and not replaces and not changes:
        raise s3_error(
            "InvalidRequest",
            "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, "
            "storage class, website redirect location or encryption attributes.",
        )


def _meta(request: dict[str, Any], source: Version, asked: dict[str, Any]) -> dict[str, Any]:
    meta = dict(asked)
    if request.get("MetadataDirective", "COPY") == "COPY":
        meta["headers"] = source.meta.get("headers", {})
        meta["user"] = source.meta.get("user", {})
    if request.get("TaggingDirective", "COPY") == "COPY":
        meta["tags"] = source.meta.get("tags", {})
    return meta
