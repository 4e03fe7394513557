"""Opaque tokens of paged answers."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from typing import Any

import orjson


def encode_token(value: Any) -> str:
    """An opaque token that carries a JSON value (the sort key of the last item of a page)."""
    return base64.urlsafe_b64encode(orjson.dumps(value)).decode()


def decode_token(token: str | None, error: Callable[[str], Exception], like: Any = None) -> Any:
    """The value of a token; None for no token; raises `error(text)` for a token that is not ours. `like` is an example of
    what it carries (`0`, `""`, `[0.0, ""]`): clients can make up tokens, and what comes out goes into slices and statements."""
    if token is None:
        return None
    try:
        value = orjson.loads(base64.urlsafe_b64decode(token.encode()))
    except (binascii.Error, ValueError):
        value = _NOT_OURS
    if value is None or value is _NOT_OURS or (like is not None and not _is_like(value, like)):
        raise error("The specified nextToken is invalid.")
    return value


_NOT_OURS = object()


def _is_like(value: Any, like: Any) -> bool:
    if isinstance(like, list):
        return isinstance(value, list) and len(value) == len(like) and all(map(_is_like, value, like))
    if isinstance(like, (int, float)):
        number = isinstance(value, int) or (isinstance(like, float) and isinstance(value, float))
        return number and not isinstance(value, bool) and 0 <= value < 1 << 63
    return isinstance(value, type(like))
