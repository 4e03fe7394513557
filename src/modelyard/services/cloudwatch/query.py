"""Metric queries: MetricStat and Expression queries of one request, answered together.

Used by GetMetricData and, window by window, by alarms.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.services.cloudwatch import statistic
from modelyard.services.cloudwatch.expressions import Context, ExpressionError, Series, parse
from modelyard.services.cloudwatch.expressions.evaluate import check_functions, result
from modelyard.services.cloudwatch.expressions.parse import functions, names
from modelyard.services.cloudwatch.expressions.search import Metric, matcher
from modelyard.services.cloudwatch.metric_store import Bucket, MetricStore

MOST_FOUND = 100
"""Series that one SEARCH gives."""
DEFAULT_PERIOD = 300

Query = Mapping[str, Any]


class Queries:
    """The queries of one request over [start, end). `anchor` shifts the periods from multiples of their length (alarms look at
    windows that end now). `searching` is False for alarms."""

    def __init__(
        self, metrics: MetricStore, account: str, region: str, queries: Sequence[Query], start: float, end: float,
        *, anchor: float = 0.0, searching: bool = True,
    ) -> None:  # fmt: skip
        self._metrics, self._where = metrics, (account, region)
        self._queries = {query["Id"]: query for query in queries}
        self._start, self._end, self._anchor, self._searching = start, end, anchor, searching
        self._done: dict[str, list[Series]] = {}
        self._open: list[str] = []

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
        wanted = query["MetricStat"]
        metric, period = wanted["Metric"], wanted["Period"]
        label = query.get("Label") or metric.get("MetricName", "")
        return self._fetch(
            metric.get("Namespace", ""), metric.get("MetricName", ""), metric.get("Dimensions", []), wanted["Stat"], period,
            wanted.get("Unit"), label,
        )  # fmt: skip

    def _fetch(
        self, namespace: str, name: str, dimensions: Sequence[Mapping[str, str]], stat: str, period: float, unit: str | None, label: str
    ) -> Series:
        found = buckets(
            self._metrics, self._where, namespace, name, dimensions, stat, self._first(period), self._end, period, unit, self._anchor
        )
        pairs = ((bucket.start, bucket.statistic(stat)) for bucket in found)
        return Series({at: value for at, value in pairs if value is not None}, label, period)

    def _first(self, period: float) -> float:
        return self._start - (self._start - self._anchor) % period

    def _expression(self, query: Query) -> list[Series]:
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
        return result(tree, context, query.get("Label") or query["Id"])

    def _period(self, known: Mapping[str, Any]) -> float:
        for value in known.values():
            for series in value if isinstance(value, list) else [value]:
                return series.period
        periods = [q["MetricStat"]["Period"] for q in self._queries.values() if "MetricStat" in q]
        return min(periods, default=DEFAULT_PERIOD)

    def _search(self, text: str, stat: str, period: float) -> list[Series]:
        if not statistic.is_known(stat):
            raise ExpressionError(f"{stat} is not a statistic")
        matches = matcher(text)
        found = []
        for _, namespace, name, dimensions in self._metrics.series(*self._where):
            pairs = tuple((d["Name"], d["Value"]) for d in dimensions)
            if matches(Metric(namespace, name, pairs)):
                label = " ".join([*(value for _, value in pairs), name])
                found.append(self._fetch(namespace, name, dimensions, stat, period, None, label))
        return [one for one in found if one.points][:MOST_FOUND]


def _is_many(query: Query) -> bool:
    """Whether the query is an expression that gives an array however many series it has."""
    return "MetricStat" not in query and any(name in ("SEARCH", "METRICS", "SORT", "SLICE", "REMOVE_EMPTY") for name in functions(parse(query["Expression"])))  # fmt: skip


def buckets(
    metrics: MetricStore, where: tuple[str, str], namespace: str, name: str, dimensions: Sequence[Mapping[str, str]], stat: str,
    start: float, end: float, period: float, unit: str | None, anchor: float = 0.0,
) -> list[Bucket]:  # fmt: skip
    return metrics.buckets(*where, namespace, name, dimensions, start, end, period, unit, anchor=anchor, exact=stat not in statistic.PLAIN)
