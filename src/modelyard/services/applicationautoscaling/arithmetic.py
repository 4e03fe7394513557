"""From a metric to a capacity: step scaling and target tracking. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

LOW_SHARE = 0.9
"""The low alarm of a target tracking policy stands at 90 % of its target, as AWS makes it."""


def tracked(capacity: int, value: float, target: float) -> int:
    """The smallest capacity at which the metric, taken to be shared evenly, is not above the target."""
    return math.ceil(round(capacity * value / target, 9))


def aggregate(values: Sequence[float], kind: str) -> float:
    """MetricAggregationType over the data points an alarm judged."""
    if kind == "Minimum":
        return min(values)
    if kind == "Maximum":
        return max(values)
    return math.fsum(values) / len(values)


def step_of(steps: Sequence[Mapping[str, Any]], breach: float, above: bool) -> Mapping[str, Any] | None:
    """The step for `breach` = metric - threshold. Where the metric is above the threshold lower bounds are inclusive and upper
    ones exclusive; below it the other way round."""
    for step in steps:
        low, high = step.get("MetricIntervalLowerBound", -math.inf), step.get("MetricIntervalUpperBound", math.inf)
        if (low <= breach < high) if above else (low < breach <= high):
            return step
    return None


def stepped(capacity: int, config: Mapping[str, Any], adjustment: int) -> int:
    """The capacity after one adjustment; never below 0. Percentages are cut towards zero, but are at least one."""
    kind = config["AdjustmentType"]
    if kind == "ExactCapacity":
        return adjustment
    if kind == "ChangeInCapacity":
        return max(0, capacity + adjustment)
    change = capacity * adjustment / 100
    whole = int(change)
    if adjustment and abs(whole) < 1:
        whole = 1 if adjustment > 0 else -1
    least = config.get("MinAdjustmentMagnitude", 0)
    if adjustment and abs(whole) < least:
        whole = least if adjustment > 0 else -least
    return max(0, capacity + whole)
