"""Named things that are only kept: putting and deleting one, and pages of them (a token is the name after which the next page begins)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Taken
from modelyard.services.logs import api


def put(
    call: Any, there: Record | None, kind: Lifecycle, name: str, arn: str, spec: dict[str, Any], busy: Callable[[], ApiError]
) -> Record:
    """Makes the thing, or changes the one that is `there`. Raises `busy` where another request was quicker."""
    try:
        if there is None:
            return call.store.create(kind, account=call.account, region=call.region, name=name, arn=arn, spec=spec)
        return call.store.request(there, spec, due=False)
    except (Taken, Moved):
        raise busy() from None


def delete(call: Any, there: Record, busy: Callable[[], ApiError]) -> None:
    """Deletes it and its tags."""
    call.store.remove_tags(there.arn, call.store.tags(there.arn))
    try:
        call.store.delete(there)
    except Moved:
        raise busy() from None


def after_token(request: dict[str, Any], error: Any = None) -> str:
    return decode_token(request.get("nextToken"), error or api.error.InvalidParameterException, "") or ""


def with_token(member: str, found: Sequence[Record], size: int, describe: Callable[[Record], dict[str, Any]]) -> dict[str, Any]:
    answer: dict[str, Any] = {member: [describe(one) for one in found[:size]]}
    if len(found) > size:
        answer["nextToken"] = encode_token(found[size - 1].name)
    return answer
