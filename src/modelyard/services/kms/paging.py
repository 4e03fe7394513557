"""Pages of KMS: Limit, Marker, Truncated, NextMarker."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from modelyard.kernel.paging import decode_token, encode_token
from modelyard.services.kms import api

Item = TypeVar("Item")


def page(
    items: Sequence[Item], request: Mapping[str, Any], name: Callable[[Item], str], most: int = 50
) -> tuple[Sequence[Item], dict[str, Any]]:
    """One page of `items`, which are sorted by `name`, and the members that say whether there is more."""
    after = decode_token(request.get("Marker"), api.error.InvalidMarkerException, "")
    if after is not None:
        items = [item for item in items if name(item) > after]
    limit = request.get("Limit") or most
    shown = items[:limit]
    if len(items) <= limit:
        return shown, {"Truncated": False}
    return shown, {"Truncated": True, "NextMarker": encode_token(name(shown[-1]))}
