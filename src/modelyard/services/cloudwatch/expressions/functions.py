"""The functions of metric math, by name. Each takes a context and evaluated arguments."""

from __future__ import annotations

import bisect
import itertools
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from modelyard.services.cloudwatch.expressions.parse import ExpressionError
from modelyard.services.cloudwatch.expressions.values import Context, Series

FUNCTIONS: dict[str, Callable[..., Any]] = {}
WORTH_IT = 2_000
"""Points in an array of time series from which on they are taken together."""
NOT_BUILT = {"ANOMALY_DETECTION_BAND", "INSIGHT_RULE_METRIC", "LAMBDA", "DB_PERF_INSIGHTS", "SERVICE_QUOTA"}


def _function(name: str, least: int = 1, most: int = 1) -> Callable[..., Any]:
    def register(work: Callable[..., Any]) -> Callable[..., Any]:
        def call(context: Context, *arguments: Any) -> Any:
            if not least <= len(arguments) <= most:
                wanted = str(least) if least == most else f"{least} to {most}"
                raise ExpressionError(f"{name} takes {wanted} argument(s), not {len(arguments)}")
            return work(context, *arguments)

        FUNCTIONS[name] = call
        return work

    return register


def each(value: Any, work: Callable[[Series], Any], name: str) -> Any:
    """Over a series, or over every series of an array."""
    if isinstance(value, list):
        return [work(one) for one in value]
    if isinstance(value, Series):
        return work(value)
    raise ExpressionError(f"{name} takes a time series or an array of time series")


def array(value: Any, name: str) -> list[Series]:
    if isinstance(value, Series):
        return [value]
    if not isinstance(value, list):
        raise ExpressionError(f"{name} takes an array of time series")
    return value


def number(value: Any, name: str) -> float:
    if isinstance(value, (int, float)):
        return float(value)
    raise ExpressionError(f"{name} takes a number here")


def ordered(series: Series) -> list[tuple[float, float]]:
    return sorted(series.points.items())


# --- number → number, point by point -----------------------------------------------------------------


def _pointwise(name: str, work: Callable[[float], float]) -> None:
    @_function(name)
    def apply(context: Context, value: Any) -> Any:
        if isinstance(value, (int, float)):
            try:
                return float(work(value))
            except (ArithmeticError, ValueError):
                raise ExpressionError(f"{name}({value}) is not a number") from None
        return each(value, lambda one: one.map(work), name)


for _name, _work in (("ABS", abs), ("CEIL", math.ceil), ("FLOOR", math.floor), ("LOG", math.log), ("LOG10", math.log10)):
    _pointwise(_name, _work)


# --- many → one ----------------------------------------------------------------------------------------

_FOLDS: dict[str, Callable[[Sequence[float]], float]] = {
    "SUM": math.fsum,
    "AVG": lambda values: math.fsum(values) / len(values),
    "MIN": min,
    "MAX": max,
    "STDDEV": statistics.pstdev,
    "DATAPOINT_COUNT": len,
}


def _fold(name: str, fold: Callable[[Sequence[float]], float]) -> None:
    @_function(name)
    def apply(context: Context, value: Any) -> Any:
        if isinstance(value, Series):
            if not value.points and name not in ("SUM", "DATAPOINT_COUNT"):
                return replace(value, points={})
            return float(fold(list(value.points.values())))
        if (folded := _folded(name, array(value, name))) is not None:
            return Series(folded, name, _period(value, context))
        columns: dict[float, list[float]] = {}
        for series in array(value, name):
            for at, one in series.points.items():
                columns.setdefault(at, []).append(one)
        return Series({at: float(fold(values)) for at, values in columns.items()}, name, _period(value, context))


def _folded(name: str, series: Sequence[Series]) -> Any:
    """Many points as they lie in memory (points.py), at once; None where that is not possible, or not worth it."""
    if sum(len(one.points) for one in series) < WORTH_IT or not all(hasattr(one.points, "array") for one in series):
        return None
    from modelyard.services.cloudwatch.points import folded

    return folded(name, [one.points for one in series])


for _name, _work in _FOLDS.items():
    _fold(_name, _work)


def _period(value: Any, context: Context) -> float:
    return value[0].period if isinstance(value, list) and value else context.period


@_function("METRIC_COUNT")
def metric_count(context: Context, value: Any) -> float:
    return float(len(array(value, "METRIC_COUNT")))


@_function("PERIOD")
def period(context: Context, value: Any) -> float:
    if not isinstance(value, Series):
        raise ExpressionError("PERIOD takes a time series")
    return float(value.period)


# --- along the time ------------------------------------------------------------------------------------


def _steps(name: str, step: Callable[[float, float], float]) -> None:
    """`step(rise of the value, seconds in between)`; the first data point has none before it."""

    @_function(name)
    def apply(context: Context, value: Any) -> Any:
        def work(series: Series) -> Series:
            points = ordered(series)
            pairs = itertools.pairwise(points)
            return replace(series, points={at: step(new - old, at - before) for (before, old), (at, new) in pairs})

        return each(value, work, name)


_steps("DIFF", lambda rise, seconds: rise)
_steps("DIFF_TIME", lambda rise, seconds: seconds)
_steps("RATE", lambda rise, seconds: rise / seconds)


@_function("RUNNING_SUM")
def running_sum(context: Context, value: Any) -> Any:
    def work(series: Series) -> Series:
        total, points = 0.0, {}
        for at, one in ordered(series):
            total += one
            points[at] = total
        return replace(series, points=points)

    return each(value, work, "RUNNING_SUM")


@_function("FILL", 2, 2)
def fill(context: Context, value: Any, filler: Any) -> Any:
    if not isinstance(filler, Series) and filler not in ("REPEAT", "LINEAR"):
        number(filler, "FILL")

    def work(series: Series) -> Series:
        points = dict(series.points)
        known = sorted(points)
        for at in context.timeline:
            if at not in points and (made := _filled(series, known, at, filler)) is not None:
                points[at] = made
        return replace(series, points=points)

    return each(value, work, "FILL")


def _filled(series: Series, known: Sequence[float], at: float, filler: Any) -> float | None:
    if filler in ("REPEAT", "LINEAR"):
        place = bisect.bisect_left(known, at)
        before, after = known[place - 1] if place else None, known[place] if place < len(known) else None
        if filler == "REPEAT":
            return None if before is None else series.points[before]
        if before is None or after is None:
            return None
        return series.points[before] + (series.points[after] - series.points[before]) * (at - before) / (after - before)
    if isinstance(filler, Series):
        return filler.points.get(at)
    return number(filler, "FILL")


@_function("TIME_SERIES")
def time_series(context: Context, value: Any) -> Series:
    constant = number(value, "TIME_SERIES")
    return Series(dict.fromkeys(context.timeline, constant), "TIME_SERIES", context.period)


def _calendar(name: str, read: Callable[[datetime], float]) -> None:
    @_function(name)
    def apply(context: Context, value: Any) -> Any:
        def work(series: Series) -> Series:
            return replace(series, points={at: float(read(datetime.fromtimestamp(at, UTC))) for at in series.points})

        return each(value, work, name)


for _name, _read in (
    ("MINUTE", lambda t: t.minute),
    ("HOUR", lambda t: t.hour),
    ("DAY", lambda t: t.isoweekday()),
    ("DATE", lambda t: t.day),
    ("MONTH", lambda t: t.month),
    ("YEAR", lambda t: t.year),
    ("EPOCH", lambda t: t.timestamp()),
):
    _calendar(_name, _read)


# --- choosing ------------------------------------------------------------------------------------------


@_function("IF", 2, 3)
def choose(context: Context, condition: Any, yes: Any, no: Any = None) -> Any:
    """Series meet at the data points of the condition; a missing side gives no data point."""
    if isinstance(condition, (int, float)):
        chosen = yes if condition else no
        if chosen is None:
            raise ExpressionError("IF with a number as its condition needs three arguments")
        return chosen

    def work(series: Series) -> Series:
        points = {}
        for at, truth in series.points.items():
            side = yes if truth else no
            made = side.points.get(at) if isinstance(side, Series) else side
            if made is not None:
                points[at] = number(made, "IF")
        return replace(series, points=points)

    return each(condition, work, "IF")


@_function("FIRST")
def first(context: Context, value: Any) -> Series:
    return _of_array(value, 0, "FIRST")


@_function("LAST")
def last(context: Context, value: Any) -> Series:
    return _of_array(value, -1, "LAST")


def _of_array(value: Any, place: int, name: str) -> Series:
    series = array(value, name)
    return series[place] if series else Series({})


@_function("REMOVE_EMPTY")
def remove_empty(context: Context, value: Any) -> list[Series]:
    return [one for one in array(value, "REMOVE_EMPTY") if one.points]


@_function("SLICE", 2, 3)
def cut(context: Context, value: Any, begin: Any, end: Any = None) -> list[Series]:
    stop = None if end is None else int(number(end, "SLICE"))
    return array(value, "SLICE")[int(number(begin, "SLICE")) : stop]


@_function("SORT", 3, 4)
def sort(context: Context, value: Any, by: Any, order: Any, limit: Any = None) -> list[Series]:
    if by not in ("AVG", "MIN", "MAX", "SUM", "LAST") or order not in ("ASC", "DESC"):
        raise ExpressionError("SORT takes a function (AVG, MIN, MAX, SUM) and an order (ASC, DESC)")

    def key(series: Series) -> float:
        values = [v for _, v in ordered(series)]
        return values[-1] if by == "LAST" else _FOLDS[by](values)

    series = array(value, "SORT")
    full = sorted((one for one in series if one.points), key=key, reverse=order == "DESC")
    found = full + [one for one in series if not one.points]
    return found if limit is None else found[: int(number(limit, "SORT"))]


# --- bringing series -----------------------------------------------------------------------------------


@_function("METRICS", 0, 1)
def metrics(context: Context, part: Any = "") -> list[Series]:
    if not isinstance(part, str):
        raise ExpressionError("METRICS takes a text: a part of the Ids")
    return [context.series[name] for name in context.metrics if part in name]


@_function("SEARCH", 2, 3)
def search(context: Context, text: Any, stat: Any, period_s: Any = None) -> list[Series]:
    if context.search is None:
        raise ExpressionError("SEARCH is not supported on Metric Alarms.")
    if not isinstance(text, str) or not isinstance(stat, str):
        raise ExpressionError("SEARCH takes a search expression and a statistic as texts")
    return context.search(text, stat, context.period if period_s is None else number(period_s, "SEARCH"))
