"""Values of metric math: numbers, texts, time series, and arrays of time series; and operators over them."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from modelyard.services.cloudwatch.expressions.parse import ExpressionError


@dataclass(frozen=True)
class Series:
    """`points` is start of period (epoch seconds) → value; `period` in seconds; `origin` what PROP() of a label may ask: MetricName,
    Namespace, Stat, Dim.<name>. `units` are there where the metric has values of several; the first one's are these."""

    points: Mapping[float, float]
    label: str = ""
    period: float = 60.0
    origin: Mapping[str, str] = field(default_factory=dict)
    units: tuple[str, ...] = ()

    def map(self, function: Callable[[float], float | None]) -> Series:
        made = {at: _try(function, value) for at, value in self.points.items()}
        return replace(self, points={at: value for at, value in made.items() if value is not None})


@dataclass
class Context:
    """What an expression may use: series of the queries by id (`metrics` are those of MetricStat), the starts of all periods in
    question, and `search(text, stat, period) -> [Series]`."""

    series: Mapping[str, Any]
    timeline: Sequence[float]
    period: float = 60.0
    metrics: Sequence[str] = ()
    search: Callable[[str, str, float], list[Series]] | None = None
    cache: dict[str, Any] = field(default_factory=dict)

    def find(self, name: str) -> Any:
        if name not in self.series:
            raise ExpressionError(f"{name} is not the Id of a query")
        return self.series[name]


def _try(function: Callable[..., float | None], *values: float) -> float | None:
    """None (no data point) where a number cannot be: a division by zero, a logarithm of nothing, an overflow."""
    try:
        made = function(*values)
    except (ArithmeticError, ValueError):
        return None
    return made if made is not None and not isinstance(made, complex) and math.isfinite(made) else None


def _truth(function: Callable[[Any, Any], bool]) -> Callable[[float, float], float]:
    return lambda a, b: 1.0 if function(a, b) else 0.0


OPERATORS: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "^": operator.pow,
    "<": _truth(operator.lt),
    ">": _truth(operator.gt),
    "<=": _truth(operator.le),
    ">=": _truth(operator.ge),
    "==": _truth(operator.eq),
    "!=": _truth(operator.ne),
    "&&": _truth(lambda a, b: bool(a) and bool(b)),
    "||": _truth(lambda a, b: bool(a) or bool(b)),
}


def combine(sign: str, left: Any, right: Any) -> Any:
    """An operator over any two values. Two series meet where both have a data point; an array is taken series by series."""
    function = OPERATORS[sign]
    for value in (left, right):
        if isinstance(value, str):
            raise ExpressionError(f"The operator {sign} does not take the text {value!r}")
    if isinstance(left, list) and isinstance(right, list):
        raise ExpressionError(f"The operator {sign} does not take two arrays of time series")
    if isinstance(left, list):
        return [combine(sign, one, right) for one in left]
    if isinstance(right, list):
        return [combine(sign, left, one) for one in right]
    if isinstance(left, Series) and isinstance(right, Series):
        met = {at: _try(function, value, right.points[at]) for at, value in left.points.items() if at in right.points}
        return replace(left, points={at: value for at, value in met.items() if value is not None})
    if isinstance(left, Series):
        return left.map(lambda value: function(value, right))
    if isinstance(right, Series):
        return right.map(lambda value: function(left, value))
    made = _try(function, left, right)
    if made is None:
        raise ExpressionError(f"{left} {sign} {right} is not a number")
    return made
