"""What makes a policy's configuration wrong, in AWS's words where they are known."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.kernel.errors import validation
from modelyard.services.applicationautoscaling import api
from modelyard.services.applicationautoscaling.alarms import OF_DIMENSION

MOST_STEPS, LARGEST = 20, 2.0**360
PLAIN_METRIC = ("MetricName", "Namespace", "Statistic")


def check_step_scaling(config: Mapping[str, Any]) -> None:
    steps = config.get("StepAdjustments") or []
    if not config.get("AdjustmentType") or not steps:
        raise validation("AdjustmentType and at least one StepAdjustment are required for a StepScaling policy.")
    if len(steps) > MOST_STEPS:
        raise api.error.LimitExceededException(f"A scaling policy may have at most {MOST_STEPS} step adjustments.")
    if config.get("MinAdjustmentMagnitude") is not None and config["AdjustmentType"] != "PercentChangeInCapacity":
        raise validation("MinAdjustmentMagnitude is supported for AdjustmentType PercentChangeInCapacity only.")
    if config.get("MinAdjustmentMagnitude", 1) < 1:
        raise validation("MinAdjustmentMagnitude must be a positive number.")
    if config.get("Cooldown", 0) < 0:
        raise validation("Cooldown must not be negative.")
    if config["AdjustmentType"] == "ExactCapacity" and any(step["ScalingAdjustment"] < 0 for step in steps):
        raise validation("ScalingAdjustment must not be negative for AdjustmentType ExactCapacity.")
    _check_intervals(steps)


def _check_intervals(steps: Sequence[Mapping[str, Any]]) -> None:
    """No interval is empty, none overlaps another, none is missing between two."""
    ranges = sorted((s.get("MetricIntervalLowerBound", -math.inf), s.get("MetricIntervalUpperBound", math.inf)) for s in steps)
    if any(low == -math.inf and high == math.inf for low, high in ranges):
        raise validation("At least one of MetricIntervalLowerBound and MetricIntervalUpperBound must be specified in a StepAdjustment.")
    for low, high in ranges:
        if math.isnan(low) or math.isnan(high) or low >= high:
            raise validation("The MetricIntervalUpperBound of a StepAdjustment must be greater than its MetricIntervalLowerBound.")
    for (_, high), (low, _) in itertools.pairwise(ranges):
        if low < high:
            raise validation("StepAdjustment intervals can't overlap.")
        if low > high:
            raise validation("StepAdjustment intervals can't have gaps between them.")


def check_target_tracking(config: Mapping[str, Any], dimension: str) -> None:
    target = config["TargetValue"]
    if not math.isfinite(target) or not 0 < target <= LARGEST:
        raise validation("TargetValue must be a positive number of at most 2^360.")
    for member in ("ScaleOutCooldown", "ScaleInCooldown"):
        if config.get(member, 0) < 0:
            raise validation(f"{member} must not be negative.")
    predefined, custom = config.get("PredefinedMetricSpecification"), config.get("CustomizedMetricSpecification")
    if (predefined is None) == (custom is None):
        raise validation("Exactly one of PredefinedMetricSpecification and CustomizedMetricSpecification must be specified.")
    if predefined is not None:
        _check_predefined(predefined, dimension)
    else:
        _check_customized(custom or {})


def _check_predefined(metric: Mapping[str, Any], dimension: str) -> None:
    known = OF_DIMENSION[dimension]
    if metric["PredefinedMetricType"] not in known:
        raise validation(f"Scalable dimension {dimension} only supports the following predefined metric types: {', '.join(known)}")
    if metric.get("ResourceLabel"):
        raise validation("ResourceLabel is supported for predefined metric type ALBRequestCountPerTarget only.")


def _check_customized(metric: Mapping[str, Any]) -> None:
    queries = metric.get("Metrics")
    if not queries:
        missing = [member for member in PLAIN_METRIC if not metric.get(member)]
        if missing:
            raise validation(f"CustomizedMetricSpecification needs {', '.join(missing)}, or Metrics.")
        return
    if any(metric.get(member) for member in (*PLAIN_METRIC, "Dimensions", "Unit")):
        raise validation("CustomizedMetricSpecification takes either Metrics or the members of a single metric.")
    if len({q["Id"] for q in queries}) != len(queries):
        raise validation("The Ids of the Metrics of a CustomizedMetricSpecification must be unique.")
    for query in queries:
        if ("Expression" in query) == ("MetricStat" in query):
            raise validation(f"Metric {query['Id']} must have either an Expression or a MetricStat.")
    if sum(q.get("ReturnData", True) for q in queries) != 1:
        raise validation("Exactly one of the Metrics of a CustomizedMetricSpecification must have ReturnData true.")
