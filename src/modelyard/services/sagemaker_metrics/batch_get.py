"""BatchGetMetrics: series of one statistic, by iteration or by time, for charts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from modelyard.services.sagemaker.common import full_arn
from modelyard.services.sagemaker.experiments.common import COMPONENT
from modelyard.services.sagemaker_metrics import api

PERIODS = {"OneMinute": 60, "FiveMinute": 300, "OneHour": 3600}
MOST_POINTS = 10_000


@api.operation
def batch_get_metrics(call, request):
    return {"MetricQueryResults": [_answer(call, query) for query in request["MetricQueries"]]}


def _answer(call: Any, query: dict[str, Any]) -> dict[str, Any]:
    by_step = query["XAxisType"] == "IterationNumber"
    if by_step != (query["Period"] == "IterationNumber"):
        return _refused("Period IterationNumber belongs to XAxisType IterationNumber, the other periods to XAxisType Timestamp.")
    component = _component(call, query["ResourceArn"])
    if component is None:
        return _refused(f"No metrics are kept for {query['ResourceArn']}: it is neither a trial component nor a job that has one.")
    start, end = query.get("Start"), query.get("End")
    rows = call.platform.run_metrics.points(component, query["MetricName"], *((None, None) if by_step else (start, end)))
    series = buckets(rows, None if by_step else PERIODS[query["Period"]], query["MetricStat"])
    if by_step:
        series = [(x, y) for x, y in series if (start is None or x >= start) and (end is None or x <= end)]
    kept = series[:MOST_POINTS]
    return {
        "Status": "Complete" if len(kept) == len(series) else "Truncated",
        "XAxisValues": [x for x, _ in kept],
        "MetricValues": [y for _, y in kept],
    }


def _component(call: Any, arn: str) -> str | None:
    """The component's uid: of its own ARN, or of the job it came from."""
    arn = full_arn(call, COMPONENT.kind, arn)
    if arn.split(":")[4] != call.account:
        return None
    record = call.store.by_arn(arn)
    if record is not None and record.kind == COMPONENT.kind:
        return record.uid
    found = [r for r in call.store.by_uids(call.platform.experiment_links.of_source(arn)) if r.spec.get("Source")]
    return found[0].uid if found else None


def buckets(rows: Sequence[tuple[int | None, float, float]], period_s: int | None, statistic: str) -> list[tuple[int, float]]:
    """(x, statistic) of (step, time, value) rows in the order of time. `period_s` None: by step; rows without one are numbered as they came."""
    found: dict[int, list[float]] = {}
    for number, (step, at, value) in enumerate(rows):
        x = (number if step is None else step) if period_s is None else int(at // period_s * period_s)
        found.setdefault(x, []).append(value)
    return [(x, _statistic(statistic, values)) for x, values in sorted(found.items())]


def _statistic(name: str, values: list[float]) -> float:
    mean = math.fsum(values) / len(values)
    plain = {"Min": min(values), "Max": max(values), "Avg": mean, "Count": float(len(values)), "Last": values[-1]}
    return plain[name] if name in plain else math.sqrt(math.fsum((v - mean) ** 2 for v in values) / len(values))


def _refused(message: str) -> dict[str, Any]:
    return {"Status": "ValidationError", "Message": message, "XAxisValues": [], "MetricValues": []}
