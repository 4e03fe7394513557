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


def decode_token(token: str | None, error: Callable[[str], Exception]) -> Any:
    """The value of a token; None for no token; raises `error(text)` for a token that is not ours."""
    if token is None:
        return None
    try:
        return orjson.loads(base64.urlsafe_b64decode(token.encode()))
    except (binascii.Error, ValueError):
        raise error("The specified nextToken is invalid.") from None
