"""The functions of expressions: `name -> (fewest arguments, most, function of values)`. What cannot be computed is None."""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson

from modelyard.services.logs.insights.values import Instant, number, text

MANY = 100
SPAN_MS = {
    "ms": 1, "milliseconds": 1, "millisecond": 1, "msec": 1,
    "s": 1000, "sec": 1000, "second": 1000, "seconds": 1000,
    "m": 60_000, "min": 60_000, "mins": 60_000, "minute": 60_000, "minutes": 60_000,
    "h": 3_600_000, "hr": 3_600_000, "hrs": 3_600_000, "hour": 3_600_000, "hours": 3_600_000,
    "d": 86_400_000, "day": 86_400_000, "days": 86_400_000,
    "w": 604_800_000, "week": 604_800_000, "weeks": 604_800_000,
}  # fmt: skip
MONTHS = {
    "mo": 1,
    "mon": 1,
    "month": 1,
    "months": 1,
    "q": 3,
    "qtr": 3,
    "quarter": 3,
    "quarters": 3,
    "y": 12,
    "yr": 12,
    "year": 12,
    "years": 12,
}
LONGEST_TEXT = 1 << 20


class Span:
    """A period as `bin`, `datefloor` and `dateceil` take it: `5m`, `1h`, `1mo`."""

    def __init__(self, count: int, unit: str) -> None:
        self.count, self.unit = max(1, count), unit

    def floor(self, at_ms: float) -> Instant:
        if self.unit in MONTHS:
            return self._month(at_ms, 0)
        step = self.count * SPAN_MS[self.unit]
        return Instant(int(at_ms) // step * step)

    def ceil(self, at_ms: float) -> Instant:
        low = self.floor(at_ms)
        if low == at_ms:
            return low
        if self.unit in MONTHS:
            return self._month(at_ms, 1)
        return Instant(low + self.count * SPAN_MS[self.unit])

    def _month(self, at_ms: float, later: int) -> Instant:
        at, step = datetime.fromtimestamp(at_ms / 1000, UTC), self.count * MONTHS[self.unit]
        months = ((at.year * 12 + at.month - 1) // step + later) * step
        return Instant(int(datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC).timestamp() * 1000))


def _numeric(function: Callable[..., Any]) -> Callable[..., Any]:
    def apply(*given: Any) -> Any:
        numbers = [number(value) for value in given]
        if any(value is None for value in numbers):
            return None
        try:
            return function(*numbers)
        except (ValueError, OverflowError, ZeroDivisionError):
            return None

    return apply


def _extreme(choose: Callable[..., Any]) -> Callable[..., Any]:
    def apply(*given: Any) -> Any:
        numbers = [found for value in given if (found := number(value)) is not None]
        return choose(numbers) if numbers else None

    return apply


def _textual(function: Callable[..., Any]) -> Callable[..., Any]:
    def apply(*given: Any) -> Any:
        return None if given[0] is None else function(text(given[0]), *given[1:])

    return apply


def _substr(value: str, start: Any, length: Any = None) -> str | None:
    begin = number(start)
    if begin is None:
        return None
    begin = max(0, int(begin))
    size = number(length)
    return value[begin:] if size is None else value[begin : begin + max(0, int(size))]


def _replace(value: str, old: Any, new: Any) -> str | None:
    if old is None or new is None:
        return None
    made = value.replace(text(old), text(new)) if text(old) else value
    return made[:LONGEST_TEXT]


def _address(value: Any, version: int | None = None) -> Any:
    try:
        found = ipaddress.ip_address(text(value) or "")
    except ValueError:
        return None
    return found if version in (None, found.version) else None


def _in_subnet(version: int | None) -> Callable[..., Any]:
    def apply(value: Any, subnet: Any) -> bool:
        address = _address(value, version)
        try:
            network = ipaddress.ip_network(text(subnet) or "", strict=False)
        except ValueError:
            return False
        return address is not None and address.version == network.version and address in network

    return apply


def _json(value: str) -> Any:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return None


FUNCTIONS: dict[str, tuple[int, int, Callable[..., Any]]] = {
    "abs": (1, 1, _numeric(abs)),
    "ceil": (1, 1, _numeric(math.ceil)),
    "floor": (1, 1, _numeric(math.floor)),
    "greatest": (1, MANY, _extreme(max)),
    "least": (1, MANY, _extreme(min)),
    "log": (1, 1, _numeric(math.log)),
    "sqrt": (1, 1, _numeric(math.sqrt)),
    "ispresent": (1, 1, lambda value: value is not None),
    "coalesce": (1, MANY, lambda *given: next((value for value in given if value is not None), None)),
    "unmask": (1, 1, lambda value: value),
    "isempty": (1, 1, lambda value: value is None or text(value) == ""),
    "isblank": (1, 1, lambda value: value is None or not text(value).strip()),
    "concat": (1, MANY, lambda *given: "".join(text(value) or "" for value in given)[:LONGEST_TEXT]),
    "ltrim": (1, 2, _textual(lambda value, chars=None: value.lstrip(text(chars)))),
    "rtrim": (1, 2, _textual(lambda value, chars=None: value.rstrip(text(chars)))),
    "trim": (1, 2, _textual(lambda value, chars=None: value.strip(text(chars)))),
    "strlen": (1, 1, _textual(len)),
    "toupper": (1, 1, _textual(str.upper)),
    "tolower": (1, 1, _textual(str.lower)),
    "substr": (2, 3, _textual(_substr)),
    "replace": (3, 3, _textual(_replace)),
    "strcontains": (2, 2, _textual(lambda value, part: int(part is not None and text(part) in value))),
    "frommillis": (1, 1, _numeric(lambda value: Instant(int(value)))),
    "tomillis": (1, 1, _numeric(int)),
    "isvalidip": (1, 1, lambda value: _address(value) is not None),
    "isvalidipv4": (1, 1, lambda value: _address(value, 4) is not None),
    "isvalidipv6": (1, 1, lambda value: _address(value, 6) is not None),
    "isipinsubnet": (2, 2, _in_subnet(None)),
    "isipv4insubnet": (2, 2, _in_subnet(4)),
    "isipv6insubnet": (2, 2, _in_subnet(6)),
    "jsonparse": (1, 1, _textual(_json)),
    "jsonstringify": (1, 1, lambda value: None if value is None else orjson.dumps(value).decode()),
}  # fmt: skip
"""`bin`, `datefloor`, `dateceil` and `now` are the parser's: they take a period, or the time of the query."""
