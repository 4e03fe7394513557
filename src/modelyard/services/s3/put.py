"""PutObject."""

from __future__ import annotations

from typing import Any

from modelyard.services.s3 import api
from modelyard.services.s3.conditions import write_condition
from modelyard.services.s3.depot import Draft, depot_of, owned_bucket
from modelyard.services.s3.errors import s3_error
from modelyard.services.s3.ingest import Promise, as_body, receive
from modelyard.services.s3.keys import check_key, checksum_members, encryption_member, meta_of, version_member


@api.operation
def put_object(call, request):
    depot, key = depot_of(call), request["Key"]
    home = owned_bucket(call, request)
    check_key(key)
    refuse_unbuilt(request)
    if request.get("WriteOffsetBytes") is not None:
        raise s3_error("InvalidRequest", "Appends are for directory buckets only.")
    meta, condition = meta_of(request), write_condition(request)
    if condition_can_fail_now(request):
        live = depot.index.latest(home.name, key)
        condition(None if live is None or live.marker else live)  # refused before the bytes come; checked again at commit
    received = receive(depot.blobs, as_body(request.get("Body")), Promise.of(request))
    meta["checksums"] = received.checksums
    new = depot.put(home.name, key, Draft(received, meta), condition)
    return {
        "ETag": f'"{new.etag}"',
        **encryption_member(meta),
        **checksum_members(new),
        **version_member(new, home.versioning),
    }


def condition_can_fail_now(request: dict[str, Any]) -> bool:
    return "IfMatch" in request or "IfNoneMatch" in request


def refuse_unbuilt(request: dict[str, Any]) -> None:
    """What this platform does not do is refused, never quietly dropped: customer-provided keys and object lock."""
    if request.get("SSECustomerAlgorithm") or request.get("SSECustomerKey") or request.get("CopySourceSSECustomerAlgorithm"):
        raise s3_error("InvalidRequest", "Server-side encryption with customer-provided keys (SSE-C) is not built on this platform.")
    if request.get("ObjectLockMode") or request.get("ObjectLockLegalHoldStatus"):
        raise s3_error("InvalidRequest", "Bucket is missing Object Lock Configuration")
