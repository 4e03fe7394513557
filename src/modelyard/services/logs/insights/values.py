"""Values of a query: rows, what a field of an event is, how values compare and how they are told.

A value is None (absent), a number, a string, an `Instant` or, of JSON, a list or an object. Strings that read as
numbers are numbers where one is needed, as in AWS: what `parse` takes out of a line is text.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from modelyard.services.logs.log_store import LogEvent


class Instant(int):
    """Epoch milliseconds that are told as a time."""


class Row(dict):
    """Columns by name; a column that is not there is a field of the event, looked up when first asked for."""

    __slots__ = ("document", "event", "source")

    def __init__(self, event: LogEvent | None = None, source: tuple[str, str] = ("", "")) -> None:
        super().__init__()
        self.event, self.source = event, source
        self.document: Any = self

    def __missing__(self, name: str) -> Any:
        if "." in name and (found := self._inside(name)) is not None:
            return found
        if self.event is None:
            return None
        value = self[name] = self._field(name)
        return value

    def _inside(self, name: str) -> Any:
        """Of a column that is a map or a list: `column.attribute.0`."""
        place = name.find(".")
        while place > 0:
            column = self.get(name[:place])
            if isinstance(column, (dict, list)):
                return dig(column, name[place + 1 :])
            place = name.find(".", place + 1)
        return None

    def _field(self, name: str) -> Any:
        event = self.event
        match name:
            case "@message":
                return event.message
            case "@timestamp":
                return Instant(event.at_ms)
            case "@ingestionTime":
                return Instant(event.ingested_ms)
            case "@log":
                return self.source[0]
            case "@logStream":
                return self.source[1]
            case "@ptr":
                return pointer(event)
        if self.document is self:
            self.document = document_of(event.message)
        return None if self.document is None else dig(self.document, name)


class EarlierRow(Row):
    """An event of the span that a query is compared with."""

    __slots__ = ()


def document_of(message: str) -> Any:
    """The object or list that a message is, or None."""
    start = message.lstrip()[:1]
    if start != "{":
        return None
    try:
        return orjson.loads(message)
    except orjson.JSONDecodeError:
        return None


def dig(value: Any, name: str) -> Any:
    """`a.b.0.c` in objects and lists; a name with dots in it is found before its parts."""
    if isinstance(value, dict):
        if name in value:
            return value[name]
        parts = name.split(".")
        for cut in range(len(parts) - 1, 0, -1):
            head = ".".join(parts[:cut])
            if head in value:
                return dig(value[head], ".".join(parts[cut:]))
        return None
    if isinstance(value, list):
        head, _, rest = name.partition(".")
        if head.isdecimal() and int(head) < len(value):
            found = value[int(head)]
            return dig(found, rest) if rest else found
    return None


def leaves(value: Any, prefix: str = "") -> dict[str, Any]:
    """Every field of a document by its dotted name."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = ((str(n), v) for n, v in enumerate(value))
    else:
        return {prefix: value}
    found: dict[str, Any] = {}
    for name, inner in items:
        found.update(leaves(inner, f"{prefix}.{name}" if prefix else str(name)))
    return found


def number(value: Any) -> float | int | None:
    """The number that a value is or reads as."""
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, str):
        try:
            found = float(value)
        except ValueError:
            return None
        return found if found == found else None
    return None


def text(value: Any) -> str | None:
    """How a value is told; None for one that is not there."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, Instant):
        return instant_text(value)
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, (int, float)):
        return number_text(value)
    return orjson.dumps(value).decode()


def number_text(value: float) -> str:
    """Up to four decimals, none for whole numbers, as Insights tells them."""
    if value != value or value in (float("inf"), float("-inf")):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, int) or value.is_integer():
        return str(int(value))
    return f"{value:.4f}".rstrip("0").rstrip(".")


@lru_cache(1024)
def instant_text(at_ms: int) -> str:
    try:
        at = datetime.fromtimestamp(at_ms // 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return str(int(at_ms))
    return f"{at:%Y-%m-%d %H:%M:%S}.{at_ms % 1000:03d}"


def equal(left: Any, right: Any) -> bool:
    if left is None or right is None:
        return False
    if (isinstance(left, bool) and isinstance(right, str)) or (isinstance(right, bool) and isinstance(left, str)):
        flag, word = (left, right) if isinstance(left, bool) else (right, left)
        return word.lower() in (("true", "1") if flag else ("false", "0"))
    if type(left) is str and type(right) is str:
        return left == right
    a, b = number(left), number(right)
    if a is not None and b is not None:
        return a == b
    return text(left) == text(right)


def order(left: Any, right: Any) -> int | None:
    """-1, 0, 1; None where the two do not compare."""
    if left is None or right is None:
        return None
    a, b = number(left), number(right)
    if a is None or b is None:
        if a is not None or b is not None:
            return None
        a, b = text(left), text(right)
    return (a > b) - (a < b)


def sort_key(value: Any) -> tuple:
    """Absent values first, numbers before text."""
    if value is None:
        return (0,)
    found = number(value)
    return (1, found) if found is not None else (2, text(value))


def pointer(event: LogEvent) -> str:
    """`@ptr`: names an event for GetLogRecord."""
    return base64.urlsafe_b64encode(orjson.dumps([event.stream_id, event.at_ms, event.seq])).decode()
