"""Which periods a metric alarm is judged on at a time, and their data points.

An alarm is evaluated at multiples of its grid (10 s for periods under a minute, else a minute; an hour where it looks at more than a
day), on windows that end there: sliding windows, as AWS has them, or with a wall clock window on whole periods of UTC.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.cloudwatch.alarm.evaluate import EXTRA_POINTS, Point
from modelyard.services.cloudwatch.alarm.messages import queries_of
from modelyard.services.cloudwatch.expressions import ExpressionError
from modelyard.services.cloudwatch.metric_store import Bucket, MetricStore
from modelyard.services.cloudwatch.query import Queries, buckets

DAY = 86_400


def period_of(alarm: Mapping[str, Any]) -> float:
    if "Metrics" not in alarm:
        return alarm["Period"]
    return next(query["MetricStat"]["Period"] for query in alarm["Metrics"] if "MetricStat" in query)


def grid_of(alarm: Mapping[str, Any]) -> float:
    period = period_of(alarm)
    if period < 60:
        return 10.0
    if "WallClockWindow" in alarm.get("EvaluationWindow", {}):
        return max(60.0, min(float(period), 3600.0))
    return 3600.0 if period * alarm["EvaluationPeriods"] > DAY else 60.0


def is_ours(alarm: Mapping[str, Any]) -> bool:
    """Whether the platform itself brings the metrics (gateways hand them over once a second)."""
    return any(q["MetricStat"]["Metric"].get("Namespace", "").lstrip("/").lower().startswith("aws/") for q in queries_of(alarm) if "MetricStat" in q)  # fmt: skip


def points(metrics: MetricStore, record: Record, times: Sequence[float]) -> dict[float, list[Point]]:
    """Evaluation time → the points of its range, oldest first. Times that share their periods are fetched together."""
    alarm = record.spec["alarm"]
    period, whole = period_of(alarm), "WallClockWindow" in alarm.get("EvaluationWindow", {})
    ends = {at: at - at % period if whole else at for at in times}
    found: dict[float, list[Point]] = {}
    reach = (alarm["EvaluationPeriods"] + EXTRA_POINTS) * period
    if "Metrics" in alarm:
        for at, end in ends.items():
            found[at] = _math(metrics, record, alarm, end - reach, end, period)
        return found
    for phase in {end % period for end in ends.values()}:
        mine = {at: end for at, end in ends.items() if end % period == phase}
        stat = alarm.get("Statistic") or alarm["ExtendedStatistic"]
        rows = buckets(
            metrics, (record.account, record.region), alarm["Namespace"], alarm["MetricName"], alarm.get("Dimensions", []), stat,
            min(mine.values()) - reach, max(mine.values()), period, alarm.get("Unit"), anchor=phase,
        )  # fmt: skip
        by_start = {round(bucket.start, 3): bucket for bucket in rows}
        for at, end in mine.items():
            starts = [end - reach + n * period for n in range(round(reach / period))]
            found[at] = [_point(start, by_start.get(round(start, 3)), stat) for start in starts]
    return found


def _point(start: float, bucket: Bucket | None, stat: str) -> Point:
    return Point(start, None) if bucket is None else Point(start, bucket.statistic(stat), bucket.samples)


def _math(metrics: MetricStore, record: Record, alarm: Mapping[str, Any], start: float, end: float, period: float) -> list[Point]:
    watched = next(query["Id"] for query in alarm["Metrics"] if query.get("ReturnData", True))
    asked = Queries(metrics, record.account, record.region, alarm["Metrics"], start, end, anchor=end % period, searching=False)
    try:
        series = asked.series(watched)
        values = series[0].points if series else {}
    except ExpressionError:
        values = {}
    by_start = {round(at, 3): value for at, value in values.items()}
    starts = [start + n * period for n in range(round((end - start) / period))]
    return [Point(at, by_start.get(round(at, 3))) for at in starts]
