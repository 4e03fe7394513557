"""Metric queries: MetricStat and Expression queries of one request, answered together.

Used by GetMetricData and, window by window, by alarms.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from modelyard.services.cloudwatch import labels, periods, statistic
from modelyard.services.cloudwatch.expressions import Context, ExpressionError, Series, insights, parse
from modelyard.services.cloudwatch.expressions.evaluate import check_functions, result
from modelyard.services.cloudwatch.expressions.parse import functions, names
from modelyard.services.cloudwatch.expressions.search import Metric, matcher
from modelyard.services.cloudwatch.metric_store import Bucket, MetricStore

if TYPE_CHECKING:
    from modelyard.services.cloudwatch.points import Points

MOST_FOUND = 500
"""Series that one SEARCH gives."""
MOST_BROUGHT = 100_800
"""Data points that are brought together: an answer has no more."""
DEFAULT_PERIOD = 300
SEARCHED_SECONDS = 14 * 86_400.0
"""SEARCH finds metrics that have had data within two weeks."""

Query = Mapping[str, Any]


@dataclass(frozen=True)
class Found:
    """A metric, and what its time series is called."""

    id: int | None
    namespace: str
    name: str
    dimensions: Sequence[Mapping[str, str]]
    label: str


class Queries:
    """The queries of one request over [start, end) at `now`. Periods begin at the start as CloudWatch rounds it, or with an `anchor` at
    it (alarms look at windows that end now). `searching` is False for alarms. `messages` is what the whole answer has to say."""

    def __init__(
        self, metrics: MetricStore, account: str, region: str, queries: Sequence[Query], start: float, end: float,
        *, now: float = 0.0, anchor: float | None = None, searching: bool = True, zone: str = "+0000",
    ) -> None:  # fmt: skip
        self._now, self._zone = now, zone
        self.messages: list[dict[str, str]] = []
        self._metrics, self._where = metrics, (account, region)
        self._queries = {query["Id"]: query for query in queries}
        self._start, self._end, self._anchor, self._searching = start, end, anchor, searching
        self._done: dict[str, list[Series]] = {}
        self._open: list[str] = []
        self._brought: dict[str, Series] = {}
        stats = [query for query in queries if "MetricStat" in query]
        self._names = labels.defaults(queries)
        self._after = {query["Id"]: itertools.islice(stats, place, None) for place, query in enumerate(stats, 1)}

    def series(self, name: str) -> list[Series]:
        """The time series of a query, several where it is a search; raises ExpressionError."""
        if name not in self._done:
            if name in self._open:
                raise ExpressionError(f"The queries {', '.join([*self._open, name])} refer to each other in a circle")
            self._open.append(name)
            query = self._queries[name]
            self._done[name] = [self._stat(query)] if "MetricStat" in query else self._expression(query)
            self._open.pop()
        return self._done[name]

    def _stat(self, query: Query) -> Series:
        if query["Id"] not in self._brought:
            self._bring(query)
        return self._labelled(self._brought.pop(query["Id"]), query.get("Label"))

    def _bring(self, query: Query) -> None:
        """This query's time series, and with it those of queries after it that are alike: many cost little more than one."""
        wanted = query["MetricStat"]
        alike, cells = [query], 0.0
        for other in self._after[query["Id"]]:
            cells += (self._end - self._start) / wanted["Period"]
            if cells > MOST_BROUGHT:
                break
            there = other["MetricStat"]
            if other["Id"] not in self._done and all(there.get(key) == wanted.get(key) for key in ("Period", "Stat", "Unit")):
                alike.append(other)
        metrics = [
            (one.get("Namespace", ""), one.get("MetricName", ""), one.get("Dimensions", []))
            for one in (each["MetricStat"]["Metric"] for each in alike)
        ]
        found = [
            Found(one, *metric, self._names.get(each["Id"], metric[1]))
            for each, one, metric in zip(alike, self._metrics.find(*self._where, metrics), metrics, strict=True)
        ]
        series = self._fetch(found, wanted["Stat"], wanted["Period"], wanted.get("Unit"))
        self._brought |= {each["Id"]: one for each, one in zip(alike, series, strict=True)}

    def _labelled(self, series: Series, label: str | None, many: bool = False) -> Series:
        """A label of words only goes before the labels of the many series of one expression."""
        if not label:
            return series
        text = f"{label} {series.label}" if many and "${" not in label else label
        where = {"AccountId": self._where[0], "Region": self._where[1]}
        return replace(series, label=labels.dynamic(text, series, self._now, self._zone, where))

    def _fetch(self, found: Sequence[Found], stat: str, period: float, unit: str | None) -> list[Series]:
        """A time series for each metric; one whose id is None has never been put."""
        ids = [one.id for one in found if one.id is not None]
        brought = iter(self._points(ids, stat, period, unit))
        return [
            Series(points, one.label, period, _origin(one.namespace, one.name, one.dimensions, stat), units)
            for one in found
            for points, units in ([({}, ())] if one.id is None else [next(brought)])
        ]

    def _points(self, series: Sequence[int], stat: str, period: float, unit: str | None) -> Iterator[tuple[Points, tuple[str, ...]]]:
        """Of each series; and its units, where it has several."""
        from modelyard.services.cloudwatch.points import Points

        first = self._first(period)
        wanted = None if stat in statistic.PLAIN else statistic.extended(stat)
        if wanted is not None:
            for _, spread in self._metrics.spreads(series, first, self._end, period, unit, first):
                starts = spread.windows.starts
                for line, values in enumerate(spread.statistic(wanted)):
                    yield Points.of(starts, values), spread.units.get(line, ())
            return
        for _, sums in self._metrics.sums(series, first, self._end, period, unit, first, extremes=stat in ("Minimum", "Maximum")):
            starts, values = sums.windows.starts, sums.statistic(stat)
            for line in range(sums.series):
                there = sums.there[line]
                points = Points(starts, values[line]) if there.all() else Points(starts[there], values[line][there])
                yield points, sums.units.get(line, ())

    def _first(self, period: float) -> float:
        if self._anchor is None:
            return periods.rounded(self._start, period, self._now)
        return self._start - (self._start - self._anchor) % period

    def _expression(self, query: Query) -> list[Series]:
        if insights.is_insights(query["Expression"]):
            found = self._insights(insights.parse(query["Expression"]), query.get("Period", DEFAULT_PERIOD), query["Id"])
            return [self._labelled(one, query.get("Label"), many=True) for one in found]
        tree = parse(query["Expression"])
        check_functions(tree)
        known: dict[str, Any] = {}
        used = [name for name in names(tree) if name in self._queries]
        metrics = [name for name, other in self._queries.items() if "MetricStat" in other]
        for name in dict.fromkeys(used + (metrics if "METRICS" in functions(tree) else [])):
            found = self.series(name)
            known[name] = found[0] if len(found) == 1 and not _is_many(self._queries[name]) else found
        period = query.get("Period") or self._period(known)
        first, count = self._first(period), math.ceil((self._end - self._first(period)) / period)
        context = Context(known, [first + period * n for n in range(count)], period, metrics, self._search if self._searching else None)
        found = result(tree, context, query["Id"])
        return [self._labelled(one, query.get("Label"), len(found) > 1 or _is_many(query)) for one in found]

    def _insights(self, asked: insights.Query, period: float, name: str) -> list[Series]:
        from modelyard.services.cloudwatch.groups import grouped
        from modelyard.services.cloudwatch.sums import Windows

        ids, groups = [], []
        for one, namespace, metric, dimensions in self._metrics.series(*self._where, namespace=asked.namespace, name=asked.metric):
            found = Metric(namespace, metric, tuple((d["Name"], d["Value"]) for d in dimensions))
            if asked.matches(found, self._where[0]):
                ids.append(one)
                groups.append(asked.group(found, self._where[0]))
        first = self._first(period)
        sums = self._metrics.sums(ids, first, self._end, period, None, first)
        made = grouped(asked, sums, groups, sums[0][1].windows if sums else Windows(first, self._end, period, first))
        return [
            Series(points, " ".join(group) or name, period, {f"Dim.{key}": value for key, value in zip(asked.groups, group, strict=True)})
            for group, points in made
        ]

    def _period(self, known: Mapping[str, Any]) -> float:
        for value in known.values():
            for series in value if isinstance(value, list) else [value]:
                return series.period
        periods = [q["MetricStat"]["Period"] for q in self._queries.values() if "MetricStat" in q]
        return min(periods, default=DEFAULT_PERIOD)

    def _search(self, text: str, stat: str, period: float) -> list[Series]:
        if not statistic.is_known(stat):
            raise ExpressionError(f"{stat} is not a statistic")
        matches, asked = matcher(text, self._where[0]), []
        for one, namespace, name, dimensions in self._metrics.series(*self._where, since=self._now - SEARCHED_SECONDS):
            pairs = tuple((d["Name"], d["Value"]) for d in dimensions)
            if matches(Metric(namespace, name, pairs)):
                asked.append(Found(one, namespace, name, dimensions, " ".join([*(value for _, value in pairs), name])))
        found: list[Series] = []
        for begin in range(0, len(asked), MOST_FOUND + 1):
            found += [series for series in self._fetch(asked[begin : begin + MOST_FOUND + 1], stat, period, None) if series.points]
            if len(found) > MOST_FOUND:
                break
        if len(found) > MOST_FOUND:
            self.messages.append({"Code": "MaxMetricsExceeded", "Value": "Maximum number of allowed metrics exceeded"})
        return found[:MOST_FOUND]


def _origin(namespace: str, name: str, dimensions: Sequence[Mapping[str, str]], stat: str) -> dict[str, str]:
    return {"MetricName": name, "Namespace": namespace, "Stat": stat} | {f"Dim.{d['Name']}": d["Value"] for d in dimensions}


def _is_many(query: Query) -> bool:
    """Whether the query is an expression that gives an array however many series it has."""
    if insights.is_insights(query.get("Expression", "")):
        return bool(insights.parse(query["Expression"]).groups)
    return "MetricStat" not in query and any(name in ("SEARCH", "METRICS", "SORT", "SLICE", "REMOVE_EMPTY") for name in functions(parse(query["Expression"])))  # fmt: skip


def buckets(
    metrics: MetricStore, where: tuple[str, str], namespace: str, name: str, dimensions: Sequence[Mapping[str, str]], stat: str,
    start: float, end: float, period: float, unit: str | None, anchor: float = 0.0,
) -> list[Bucket]:  # fmt: skip
    return metrics.buckets(*where, namespace, name, dimensions, start, end, period, unit, anchor=anchor, exact=stat not in statistic.PLAIN)
