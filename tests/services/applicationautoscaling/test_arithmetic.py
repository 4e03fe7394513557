"""From a metric to a capacity."""

from __future__ import annotations

import pytest

from modelyard.services.applicationautoscaling.arithmetic import aggregate, step_of, stepped, tracked


@pytest.mark.parametrize(
    ("capacity", "value", "target", "wanted"),
    [(1, 250.0, 100.0, 3), (2, 150.0, 100.0, 3), (4, 100.0, 100.0, 4), (10, 89.0, 100.0, 9), (2, 89.0, 100.0, 2), (3, 0.0, 100.0, 0)],
)
def test_target_tracking(capacity, value, target, wanted):
    assert tracked(capacity, value, target) == wanted


@pytest.mark.parametrize(
    ("kind", "adjustment", "least", "capacity", "wanted"),
    [
        ("ChangeInCapacity", 3, 0, 2, 5),
        ("ChangeInCapacity", -3, 0, 2, 0),
        ("ExactCapacity", 7, 0, 2, 7),
        ("PercentChangeInCapacity", 10, 0, 10, 11),
        ("PercentChangeInCapacity", 10, 0, 4, 5),
        ("PercentChangeInCapacity", 25, 2, 4, 6),
        ("PercentChangeInCapacity", -66, 0, 10, 4),
        ("PercentChangeInCapacity", -10, 0, 4, 3),
        ("PercentChangeInCapacity", 167, 0, 10, 26),
        ("PercentChangeInCapacity", 200, 0, 10, 30),
    ],
)
def test_adjustments(kind, adjustment, least, capacity, wanted):
    config = {"AdjustmentType": kind, **({"MinAdjustmentMagnitude": least} if least else {})}
    assert stepped(capacity, config, adjustment) == wanted


STEPS_UP = [
    {"MetricIntervalLowerBound": 0.0, "MetricIntervalUpperBound": 10.0, "ScalingAdjustment": 1},
    {"MetricIntervalLowerBound": 10.0, "MetricIntervalUpperBound": 20.0, "ScalingAdjustment": 2},
    {"MetricIntervalLowerBound": 20.0, "ScalingAdjustment": 3},
]
STEPS_DOWN = [
    {"MetricIntervalUpperBound": 0.0, "MetricIntervalLowerBound": -10.0, "ScalingAdjustment": -1},
    {"MetricIntervalUpperBound": -10.0, "ScalingAdjustment": -2},
]


@pytest.mark.parametrize(("breach", "change"), [(0.0, 1), (9.99, 1), (10.0, 2), (19.0, 2), (20.0, 3), (1e9, 3)])
def test_steps_above_a_threshold(breach, change):
    assert step_of(STEPS_UP, breach, above=True)["ScalingAdjustment"] == change


@pytest.mark.parametrize(("breach", "change"), [(0.0, -1), (-9.99, -1), (-10.0, -2), (-500.0, -2)])
def test_steps_below_a_threshold(breach, change):
    assert step_of(STEPS_DOWN, breach, above=False)["ScalingAdjustment"] == change


def test_no_step_for_the_other_side():
    assert step_of(STEPS_UP, -1.0, above=True) is None


def test_aggregation():
    assert [aggregate([1.0, 2.0, 6.0], kind) for kind in ("Average", "Minimum", "Maximum")] == [3.0, 1.0, 6.0]
