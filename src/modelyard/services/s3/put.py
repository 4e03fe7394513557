"""PutObject."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from modelyard.kernel.service import Body
from modelyard.services.s3 import api
from modelyard.services.s3.conditions import write_condition
from modelyard.services.s3.depot import Draft, depot_of, owned_bucket
from modelyard.services.s3.errors import s3_error
from modelyard.services.s3.index import Version
from modelyard.services.s3.ingest import SMALL, Promise, Received, as_body, receive
from modelyard.services.s3.keys import check_key, checksum_members, encryption_member, written_member
from modelyard.services.s3.lifecycle_rules import expiration_member
from modelyard.services.s3.new_object import finished, is_to_be_sealed, properties
from modelyard.services.s3.notices import Cause


@api.operation
def put_object(call, request):
    return put_for(call, request, Cause("ObjectCreated:Put", call))


@api.brief("PutObject")
def put_object_briefly(call, request):
    """What the index keeps itself waits for a commit only. Encryption takes keys, a database elsewhere takes waiting."""
    depot, body = depot_of(call), request.get("Body")
    if not depot.index.is_local or not isinstance(body, Body) or body.length is None or body.length > SMALL or is_to_be_sealed(request):
        return None
    home = depot.bucket(request["Bucket"])
    if "Encryption" in home.settings:
        return None
    new = _NewObject(call, request, Cause("ObjectCreated:Put", call))
    received, loop = receive(depot.blobs, body, new.promise), asyncio.get_running_loop()
    committed = loop.create_future()

    def settle(version: Version | None, error: BaseException | None) -> None:
        if not committed.done():  # else the client is gone
            committed.set_exception(error) if error is not None else committed.set_result(version)

    def tell(version: Version | None, error: BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
            loop.call_soon_threadsafe(settle, version, error)

    depot.put_small(new.home.name, request["Key"], new.draft(received), new.condition, new.cause, tell)
    return _answered(new, committed)


async def _answered(new: _NewObject, committed: asyncio.Future[Version]) -> dict[str, Any]:
    return new.answer(await committed)


def put_for(call: Any, request: dict[str, Any], cause: Cause) -> dict[str, Any]:
    depot, new = depot_of(call), _NewObject(call, request, cause)
    received = receive(depot.blobs, as_body(request.get("Body")), new.promise, new.plan and new.plan.sealer())
    return new.answer(depot.put(new.home.name, request["Key"], new.draft(received), new.condition, cause=cause))


class _NewObject:
    """All that is decided before the bytes come. Making one raises what S3 refuses so early."""

    def __init__(self, call: Any, request: dict[str, Any], cause: Cause) -> None:
        self.home, self.cause = owned_bucket(call, request), cause
        check_key(request["Key"])
        if request.get("WriteOffsetBytes") is not None:
            raise s3_error("InvalidRequest", "Appends are for directory buckets only.")
        self.meta, self.plan = properties(call, self.home, request)
        self.condition = write_condition(request)
        if condition_can_fail_now(request):
            live = depot_of(call).index.latest(self.home.name, request["Key"])
            self.condition(None if live is None or live.marker else live)  # refused before the bytes come; checked again at commit
        self.promise = Promise.of(request)
        self.promise.etag_key = self.plan and self.plan.etag_key()

    def draft(self, received: Received) -> Draft:
        return Draft(received, finished(self.meta, self.plan, received))

    def answer(self, new: Version) -> dict[str, Any]:
        home = self.home
        return {
            "ETag": f'"{new.etag}"',
            **encryption_member(self.meta),
            **checksum_members(new),
            **written_member(new, home.versioning),
            **(expiration_member(home.settings, new) if home.settings and "Lifecycle" in home.settings else {}),
        }


def condition_can_fail_now(request: dict[str, Any]) -> bool:
    return "IfMatch" in request or "IfNoneMatch" in request
