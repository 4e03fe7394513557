"""What `stats` computes: an accumulator per group and aggregate, fed with rows, asked once at the end."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from modelyard.services.logs.insights.values import Instant, Row, number, sort_key, text

Value = Callable[[Row], Any]


class Count:
    """`count(*)`: rows; `count(f)`: rows that have it."""

    def __init__(self, value: Value | None) -> None:
        self._value, self._seen = value, 0

    def add(self, row: Row) -> None:
        if self._value is None or self._value(row) is not None:
            self._seen += 1

    def result(self) -> Any:
        return self._seen


class CountDistinct:
    def __init__(self, value: Value) -> None:
        self._value, self._seen = value, set()

    def add(self, row: Row) -> None:
        if (value := self._value(row)) is not None:
            self._seen.add(text(value))

    def result(self) -> Any:
        return len(self._seen)


class Moments:
    """sum, avg and stddev in one: Welford's, so that large numbers keep their digits."""

    def __init__(self, value: Value, what: str) -> None:
        self._value, self._what = value, what
        self._n, self._sum, self._mean, self._m2 = 0, 0, 0.0, 0.0

    def add(self, row: Row) -> None:
        value = number(self._value(row))
        if value is None:
            return
        self._n += 1
        self._sum += value
        delta = value - self._mean
        self._mean += delta / self._n
        self._m2 += delta * (value - self._mean)

    def result(self) -> Any:
        if self._n == 0:
            return None
        if self._what == "sum":
            return self._sum
        return self._mean if self._what == "avg" else math.sqrt(self._m2 / self._n)


class Extreme:
    """min and max: of numbers and of times; text by its letters."""

    def __init__(self, value: Value, sign: int) -> None:
        self._value, self._sign, self._best = value, sign, None

    def add(self, row: Row) -> None:
        value = self._value(row)
        if value is None:
            return
        if not isinstance(value, Instant):
            value = number(value) if number(value) is not None else value
        if self._best is None:
            self._best = value
            return
        new, old = sort_key(value), sort_key(self._best)
        if (new > old) if self._sign > 0 else (new < old):
            self._best = value

    def result(self) -> Any:
        return self._best


class Percentile:
    def __init__(self, value: Value, percent: float) -> None:
        self._value, self._percent, self._seen = value, percent, []

    def add(self, row: Row) -> None:
        if (value := number(self._value(row))) is not None:
            self._seen.append(value)

    def result(self) -> Any:
        if not self._seen:
            return None
        self._seen.sort()
        place = (len(self._seen) - 1) * self._percent / 100
        low = int(place)
        high = min(low + 1, len(self._seen) - 1)
        return self._seen[low] + (self._seen[high] - self._seen[low]) * (place - low)


class Edge:
    """earliest and latest (by @timestamp), sortsFirst and sortsLast (by the value itself)."""

    def __init__(self, value: Value, sign: int, by_time: bool) -> None:
        self._value, self._sign, self._by_time, self._best = value, sign, by_time, None

    def add(self, row: Row) -> None:
        value = self._value(row)
        if value is None:
            return
        key = sort_key(row["@timestamp"]) if self._by_time else sort_key(value)
        if self._best is None or ((key > self._best[0]) if self._sign > 0 else (key < self._best[0])):
            self._best = (key, value)

    def result(self) -> Any:
        return self._best[1] if self._best else None


AGGREGATES: dict[str, tuple[int, Callable[..., Any]]] = {
    "count": (1, Count),
    "count_distinct": (1, CountDistinct),
    "sum": (1, lambda value: Moments(value, "sum")),
    "avg": (1, lambda value: Moments(value, "avg")),
    "stddev": (1, lambda value: Moments(value, "stddev")),
    "min": (1, lambda value: Extreme(value, -1)),
    "max": (1, lambda value: Extreme(value, 1)),
    "pct": (2, Percentile),
    "median": (1, lambda value: Percentile(value, 50.0)),
    "earliest": (1, lambda value: Edge(value, -1, True)),
    "latest": (1, lambda value: Edge(value, 1, True)),
    "sortsfirst": (1, lambda value: Edge(value, -1, False)),
    "sortslast": (1, lambda value: Edge(value, 1, False)),
}
"""Name -> (arguments, maker of an accumulator). `pct` takes its percent as a number, `count` may have `*` or nothing."""
