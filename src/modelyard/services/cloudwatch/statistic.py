"""Statistics by AWS's names over the samples of one period.

Source: "CloudWatch statistics definitions". Plain ones come from sums; extended ones (percentile, trimmed mean, winsorized mean,
trimmed count and sum, percentile rank, interquartile mean) need the values themselves.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

PLAIN = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")
_SHORT = re.compile(r"(p|tm|wm|tc|ts)(\d{1,2}(?:\.\d{0,10})?|100)", re.IGNORECASE)
_BOUND = r"(\d+(?:\.\d{0,10})?)?(%?)"
_RANGE = re.compile(rf"(TM|WM|TC|TS|PR)\({_BOUND}:{_BOUND}\)", re.IGNORECASE)

Values = Sequence[tuple[float, float]]
"""(value, weight) pairs."""


@dataclass(frozen=True)
class Extended:
    """`low` and `high` are the bounds that count (None: open), as per cents of the samples or as values."""

    kind: str
    low: float | None
    high: float | None
    percent: bool

    def of(self, values: Values) -> float | None:
        """None where there is nothing left between the bounds to take a mean of."""
        if not values:
            return None
        ordered = _merged(values)
        if self.kind == "p":
            return percentile(ordered, self.high or 0.0)
        low, high = self._bounds(ordered)
        inside = [(v, w) for v, w in ordered if (low is None or v > low) and (high is None or v <= high)]
        weight = sum(w for _, w in inside)
        if self.kind == "pr":
            return 100.0 * weight / sum(w for _, w in ordered)
        if self.kind == "tc":
            return weight
        if self.kind == "ts":
            return sum(v * w for v, w in inside)
        if self.kind == "wm":
            floor, roof = ordered[0][0] if low is None else low, ordered[-1][0] if high is None else high
            return _mean([(min(max(v, floor), roof), w) for v, w in ordered])
        return _mean(inside) if weight else None

    def _bounds(self, ordered: Values) -> tuple[float | None, float | None]:
        if not self.percent:
            return self.low, self.high
        low = percentile(ordered, self.low) if self.low else None
        return low, None if self.high is None or self.high >= 100 else percentile(ordered, self.high)


def _merged(values: Values) -> list[tuple[float, float]]:
    """Rising, each value once: `percentile` counts on it."""
    weights: dict[float, float] = {}
    for value, weight in values:
        weights[value] = weights.get(value, 0.0) + weight
    return sorted(weights.items())


def _mean(values: Values) -> float:
    return sum(v * w for v, w in values) / sum(w for _, w in values)


@cache
def extended(name: str) -> Extended | None:
    """`p99.9`, `tm90`, `TM(10%:90%)`, `PR(:300)`, `IQM`, …; None for what is no extended statistic."""
    if name.upper() == "IQM":
        return Extended("tm", 25.0, 75.0, True)
    if found := _SHORT.fullmatch(name):
        return Extended(found[1].lower(), None, float(found[2]), True)
    found = _RANGE.fullmatch(name)
    if found is None:
        return None
    kind, low, low_sign, high, high_sign = found[1].lower(), found[2], found[3], found[4], found[5]
    if low is None and high is None:
        return None
    signs = {sign for bound, sign in ((low, low_sign), (high, high_sign)) if bound is not None}
    if len(signs) > 1 or (low is None and low_sign) or (high is None and high_sign) or (kind == "pr" and "%" in signs):
        return None
    first, last = None if low is None else float(low), None if high is None else float(high)
    if (first is not None and last is not None and first >= last) or ("%" in signs and max(first or 0, last or 0) > 100):
        return None
    return Extended(kind, first, last, signs == {"%"})


def plain(name: str, columns: Any) -> Any:
    """A plain statistic of many periods at once; `columns` are numpy's (samples, totals, lows, highs)."""
    samples, total, low, high = columns
    if name == "Average":
        return total / samples.clip(min=1e-300)
    return {"SampleCount": samples, "Sum": total, "Minimum": low, "Maximum": high}[name]


def is_known(name: str) -> bool:
    return name in PLAIN or extended(name) is not None


def percentile(ordered: Values, percent: float) -> float:
    """Linear interpolation between closest ranks, over weighted values in rising order, each of them once."""
    rank = percent / 100 * (sum(weight for _, weight in ordered) - 1)
    passed = below = 0.0
    previous = ordered[0][0]
    for place, (value, weight) in enumerate(ordered):
        if rank < passed + weight:
            inside = rank - passed
            if inside < 0:
                return previous + (value - previous) * (rank - below)
            after = next((v for v, _ in ordered[place + 1 :] if v > value), value)
            return value + (after - value) * max(0.0, inside - (weight - 1))
        previous, passed = value, passed + weight
        below = passed - 1
    return ordered[-1][0]
