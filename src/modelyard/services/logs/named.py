"""Pages of named things: a token is the name after which the next page begins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from modelyard.kernel.paging import decode_token, encode_token
from modelyard.kernel.records import Record
from modelyard.services.logs import api


def after_token(request: dict[str, Any], error: Any = None) -> str:
    return decode_token(request.get("nextToken"), error or api.error.InvalidParameterException, "") or ""


def with_token(member: str, found: Sequence[Record], size: int, describe: Callable[[Record], dict[str, Any]]) -> dict[str, Any]:
    answer: dict[str, Any] = {member: [describe(one) for one in found[:size]]}
    if len(found) > size:
        answer["nextToken"] = encode_token(found[size - 1].name)
    return answer
