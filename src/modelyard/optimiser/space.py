"""A search space: ranges of hyperparameters, and points of the unit cube that stand for their values.

Each range takes one coordinate in [0, 1]. Values are texts, as hyperparameters are everywhere on the wire.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

LINEAR, LOG, REVERSE_LOG = "Linear", "Logarithmic", "ReverseLogarithmic"
WIDE = 1000.0
"""Auto is logarithmic for a range above 0 whose ends are this many times apart, and linear otherwise."""


@dataclass(frozen=True)
class Range:
    """`kind` is integer, continuous or categorical; a categorical one has `values`, the others `low`, `high` and `scale`."""

    name: str
    kind: str
    low: float = 0.0
    high: float = 0.0
    scale: str = LINEAR
    values: tuple[str, ...] = ()

    @property
    def choices(self) -> float:
        """How many values there are; infinity for a continuous range that has more than one."""
        if self.kind == "categorical":
            return len(self.values)
        if self.kind == "integer":
            return self.high - self.low + 1
        return math.inf if self.high > self.low else 1

    def value(self, unit: float) -> str:
        """The value at a coordinate."""
        unit = min(max(unit, 0.0), 1.0)
        if self.kind == "categorical":
            return self.values[min(int(unit * len(self.values)), len(self.values) - 1)]
        low, high = self._ends()
        number = self._unwarp(low + unit * (high - low))
        if self.kind == "integer":
            return str(int(min(max(round(number), self.low), self.high)))
        return repr(min(max(number, self.low), self.high))

    def unit(self, text: str) -> float | None:
        """The coordinate of a value (of the middle of its share, where values share coordinates); None where the range lacks it."""
        if self.kind == "categorical":
            return (self.values.index(text) + 0.5) / len(self.values) if text in self.values else None
        try:
            number = float(text)
        except ValueError:
            return None
        if not self.low <= number <= self.high:
            return None
        low, high = self._ends()
        return 0.5 if high == low else (self._warp(number) - low) / (high - low)

    def _ends(self) -> tuple[float, float]:
        """The range as the scale sees it; an integer owns what rounds to it."""
        half = 0.499 if self.kind == "integer" and self.high > self.low else 0.0
        return self._warp(self.low - half), self._warp(self.high + half)

    def _warp(self, number: float) -> float:
        if self.scale == LOG:
            return math.log(number)
        return -math.log1p(-number) if self.scale == REVERSE_LOG else number

    def _unwarp(self, number: float) -> float:
        if self.scale == LOG:
            return math.exp(number)
        return -math.expm1(-number) if self.scale == REVERSE_LOG else number


@dataclass(frozen=True)
class Space:
    ranges: tuple[Range, ...]

    @property
    def combinations(self) -> float:
        return math.prod(r.choices for r in self.ranges)

    def values(self, point: Sequence[float]) -> dict[str, str]:
        return {r.name: r.value(unit) for r, unit in zip(self.ranges, point, strict=True)}

    def point(self, values: Mapping[str, str]) -> list[float] | None:
        """The point of some values; None where one is missing or outside its range."""
        found = [r.unit(values[r.name]) if r.name in values else None for r in self.ranges]
        return None if None in found else found  # type: ignore[return-value]

    def snapped(self, point: Sequence[float]) -> list[float]:
        """The point again, as its own values place it."""
        return self.point(self.values(point)) or list(point)


def space_of(ranges: Mapping[str, Any]) -> Space:
    """The space of a checked ParameterRanges."""
    found = [
        Range(r["Name"], kind, float(r["MinValue"]), float(r["MaxValue"]), _scale(kind, r))
        for kind, member in (("integer", "IntegerParameterRanges"), ("continuous", "ContinuousParameterRanges"))
        for r in ranges.get(member, [])
    ]
    found += [Range(r["Name"], "categorical", values=tuple(r["Values"])) for r in ranges.get("CategoricalParameterRanges", [])]
    return Space(tuple(sorted(found, key=lambda r: r.name)))


def _scale(kind: str, given: Mapping[str, Any]) -> str:
    scale = given.get("ScalingType", "Auto")
    if scale != "Auto":
        return scale
    low, high = float(given["MinValue"]), float(given["MaxValue"])
    return LOG if low > 0 and high / low >= WIDE else LINEAR
