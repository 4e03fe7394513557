"""IAM's paging: Marker and MaxItems, IsTruncated in the answer."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Any

from modelyard.kernel.errors import ApiError


def page(items: Sequence[Any], request: dict[str, Any], key: Callable[[Any], str], default: int = 100) -> tuple[list[Any], dict[str, Any]]:
    """One page of `items` (sorted by `key`) and the answer's IsTruncated and Marker. The marker holds the last key given
    out, so that items made or deleted in between neither repeat nor hide others."""
    after = _read(request["Marker"]) if request.get("Marker") else None
    rest = [item for item in items if after is None or key(item) > after]
    size = request.get("MaxItems", default)
    shown = list(rest[:size])
    if len(rest) <= size:
        return shown, {"IsTruncated": False}
    return shown, {"IsTruncated": True, "Marker": base64.urlsafe_b64encode(key(shown[-1]).encode()).decode()}


def _read(marker: str) -> str:
    try:
        return base64.urlsafe_b64decode(marker.encode()).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        raise ApiError("ValidationError", "Invalid Marker.", 400)
