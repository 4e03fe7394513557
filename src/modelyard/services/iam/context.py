"""The request context: condition keys (case-insensitive) and their values as text, computed when first asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

Values = tuple[str, ...]
Source = Callable[[], Mapping[str, Any]]


class Context:
    """Condition keys of one request. `sources` are asked in order, the first time a key is read; the last one wins.

    `lazy(key)` is asked for keys that no source has (tags of the resource: a store read that few policies need).
    """

    __slots__ = ("_lazy", "_sources", "_values")

    def __init__(self, *sources: Mapping[str, Any] | Source, lazy: Callable[[str], Any] | None = None) -> None:
        self._sources, self._lazy = sources, lazy
        self._values: dict[str, Values] | None = None

    def get(self, key: str) -> Values | None:
        """The values of a key (lower case); None where the request does not have it."""
        if self._values is None:
            self._values = {}
            for source in self._sources:
                for name, value in (source() if callable(source) else source).items():
                    if value is not None:
                        self._values[name.lower()] = as_values(value)
        found = self._values.get(key)
        if found is None and self._lazy is not None:
            value = self._lazy(key)
            if value is not None:
                found = self._values[key] = as_values(value)
        return found


def as_values(value: Any) -> Values:
    """Text of a value or of each of several: true/false for booleans, ISO 8601 for times."""
    if isinstance(value, str):
        return (value,)
    if isinstance(value, (list, tuple, set, frozenset)):
        return tuple(as_text(item) for item in value)
    return (as_text(value),)


def as_text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, bytes):
        import base64

        return base64.b64encode(value).decode()
    return str(value)


def iso(epoch: float) -> str:
    return _second(int(epoch // 1))


@lru_cache(maxsize=1024)
def _second(epoch: int) -> str:
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def request_tags(tags: Iterable[Mapping[str, str]] | Mapping[str, str]) -> dict[str, str]:
    """Tags of a request, whether a list of {Key, Value} (in any case) or a map."""
    if isinstance(tags, Mapping):
        return {str(key): str(value) for key, value in tags.items()}
    found = {}
    for tag in tags:
        if isinstance(tag, Mapping):
            lower = {name.lower(): value for name, value in tag.items()}
            key = lower.get("key", lower.get("tagkey"))
            if key is not None:
                found[str(key)] = str(lower.get("value", lower.get("tagvalue", "")) or "")
    return found
