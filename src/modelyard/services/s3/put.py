"""PutObject."""

from __future__ import annotations

from typing import Any

from modelyard.services.s3 import api
from modelyard.services.s3.conditions import write_condition
from modelyard.services.s3.depot import Draft, depot_of, owned_bucket
from modelyard.services.s3.errors import s3_error
from modelyard.services.s3.ingest import Promise, as_body, receive
from modelyard.services.s3.keys import check_key, checksum_members, encryption_member, version_member
from modelyard.services.s3.lifecycle_rules import expiration_member
from modelyard.services.s3.new_object import finished, properties
from modelyard.services.s3.notices import Cause


@api.operation
def put_object(call, request):
    return put_for(call, request, Cause("ObjectCreated:Put", call))


def put_for(call: Any, request: dict[str, Any], cause: Cause) -> dict[str, Any]:
    depot, key = depot_of(call), request["Key"]
    home = owned_bucket(call, request)
    check_key(key)
    if request.get("WriteOffsetBytes") is not None:
        raise s3_error("InvalidRequest", "Appends are for directory buckets only.")
    (meta, plan), condition = properties(call, home, request), write_condition(request)
    if condition_can_fail_now(request):
        live = depot.index.latest(home.name, key)
        condition(None if live is None or live.marker else live)  # refused before the bytes come; checked again at commit
    promise = Promise.of(request)
    promise.etag_key = plan and plan.etag_key()
    received = receive(depot.blobs, as_body(request.get("Body")), promise, plan and plan.sealer())
    new = depot.put(home.name, key, Draft(received, finished(meta, plan, received)), condition, cause=cause)
    return {
        "ETag": f'"{new.etag}"',
        **encryption_member(meta),
        **checksum_members(new),
        **version_member(new, home.versioning),
        **(expiration_member(home.settings, new) if home.settings and "Lifecycle" in home.settings else {}),
    }


def condition_can_fail_now(request: dict[str, Any]) -> bool:
    return "IfMatch" in request or "IfNoneMatch" in request
