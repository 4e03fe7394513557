"""What a scalable target decides, as tables."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from modelyard.kernel.records import Record
from modelyard.services.applicationautoscaling.actions import Note, RemoveTarget, SetCapacity
from modelyard.services.applicationautoscaling.look import Alarm, Policy, Seen
from modelyard.services.applicationautoscaling.resource import INSTANCES, Capacity
from modelyard.services.applicationautoscaling.scaling import decide

NOW = 100_000.0
OFF = {"DynamicScalingInSuspended": False, "DynamicScalingOutSuspended": False, "ScheduledScalingSuspended": False}
STEPS_OUT = [{"MetricIntervalLowerBound": 0.0, "MetricIntervalUpperBound": 50.0, "ScalingAdjustment": 1}, {"MetricIntervalLowerBound": 50.0, "ScalingAdjustment": 3}]  # fmt: skip
STEPS_IN = [{"MetricIntervalUpperBound": 0.0, "ScalingAdjustment": -1}]


def target(status: str = "Active", low: int = 1, high: int = 10, off: dict[str, bool] | None = None, **state: Any) -> Record:
    spec = {
        "ServiceNamespace": "sagemaker", "ResourceId": "endpoint/e/variant/v", "ScalableDimension": INSTANCES,
        "MinCapacity": low, "MaxCapacity": high, "SuspendedState": {**OFF, **(off or {})}, "edition": 1,
    }  # fmt: skip
    state = {"bounded": 1, **state}
    return Record("u", "scalable-target", "1", "r", "n", "arn", None, status, spec, state, 1, None, 0, 0.0, 0.0)


def tracking(value: float | None, *, high: bool, name: str = "p", alarming: bool = True, **config: Any) -> Policy:
    values = () if value is None else (value,)
    alarm = Alarm(f"{name}-{'high' if high else 'low'}", alarming, high, 100.0 if high else 90.0, values)
    return Policy(name, "TargetTrackingScaling", {"TargetValue": 100.0, **config}, (alarm,))


def stepping(value: float | None, *, out: bool = True, **config: Any) -> Policy:
    alarm = Alarm("a", True, out, 100.0, () if value is None else (value,))
    steps = STEPS_OUT if out else STEPS_IN
    return Policy("s", "StepScaling", {"AdjustmentType": "ChangeInCapacity", "StepAdjustments": steps, **config}, (alarm,))


def look(capacity: int, *policies: Policy, status: str = "InService", **more: Any) -> Seen:
    return Seen(Capacity(status, capacity, capacity), policies, **more)


def wanted(record: Record, seen: Seen) -> int | None:
    step = decide(record, seen, NOW)
    return step.state.get("wanted") if step.status == "Scaling" else None


@pytest.mark.parametrize(
    ("capacity", "policies", "to"),
    [
        (2, [tracking(250.0, high=True)], 5),
        (2, [tracking(1e6, high=True)], 10),
        (4, [tracking(40.0, high=False)], 2),
        (4, [tracking(0.0, high=False)], 1),
        (4, [tracking(None, high=False)], None),
        (2, [stepping(120.0)], 3),
        (2, [stepping(150.0)], 5),
        (2, [stepping(None)], 3),
        (2, [stepping(10.0, out=False)], 1),
        (2, [tracking(250.0, high=True), stepping(150.0)], 5),
        (2, [tracking(400.0, high=True), stepping(10.0, out=False)], 8),
        (6, [tracking(10.0, high=False, name="p"), tracking(80.0, high=False, name="q")], 5),
        (6, [tracking(10.0, high=False, name="p"), tracking(95.0, high=False, name="q", alarming=False)], None),
        (6, [tracking(10.0, high=False, name="p"), tracking(95.0, high=True, name="q", alarming=False, DisableScaleIn=True)], 1),
    ],
)
def test_where_to(capacity, policies, to):
    assert wanted(target(), look(capacity, *policies)) == to


def test_an_activity_is_on_record_before_the_endpoint_is_asked():
    step = decide(target(), look(2, tracking(250.0, high=True)), NOW)
    assert step.status == "Scaling" and [type(a) for a in step.do] == [Note]
    assert step.state["activity"]["Description"] == "Setting desired instance count to 5."
    assert step.state["activity"]["Cause"] == "monitor alarm p-high in state ALARM triggered policy p"
    scaling = target("Scaling", **{k: v for k, v in step.state.items() if v is not None})
    step = decide(scaling, look(2), NOW + 1)
    assert isinstance(step.do[0], SetCapacity) and step.do[0].capacity == 5
    waiting = decide(scaling, Seen(Capacity("Updating", 5, 2)), NOW + 2)
    assert waiting.status == "Scaling" and waiting.state["asked"] and not waiting.do
    done = decide(scaling, look(5), NOW + 30)
    assert done.status == "Active" and done.do[0].activity["StatusCode"] == "Successful" and done.do[0].activity["EndTime"] == NOW + 30
    assert done.state["last"] == {"at": NOW + 30, "out": True, "from": 2, "cooldown": 300}


def test_a_busy_endpoint_is_waited_for_and_a_rollback_is_a_failure():
    scaling = target("Scaling", wanted=5, activity={"ActivityId": "x"}, **{"from": 2, "base": 2, "cooldown": 300})
    busy = decide(scaling, Seen(Capacity("Updating", 2, 2)), NOW)
    assert busy.status == "Scaling" and not busy.do and not busy.state["asked"]
    asked = target("Scaling", wanted=5, asked=True, activity={"ActivityId": "x"}, **{"from": 2, "base": 2, "cooldown": 300})
    back = decide(asked, Seen(Capacity("InService", 2, 2, "it did not start")), NOW)
    assert back.status == "Active" and "Reason: it did not start" in back.do[0].activity["StatusMessage"]
    assert back.state["last"] is None
    refused = decide(scaling, replace(look(2), refusal="not allowed"), NOW)
    assert refused.do[0].activity["StatusMessage"] == "Failed to set desired instance count to 5. Reason: not allowed"


def cooling(out: bool, base: int, **more: Any) -> Record:
    return target(last={"at": NOW - 100, "out": out, "from": base, "cooldown": 300}, **more)


@pytest.mark.parametrize(
    ("out", "base", "capacity", "policies", "to"),
    [
        (False, 6, 4, [tracking(40.0, high=False)], None),
        (True, 2, 4, [tracking(40.0, high=False)], None),
        (False, 6, 4, [tracking(150.0, high=True)], 6),
        (True, 2, 5, [tracking(150.0, high=True)], None),
        (True, 2, 5, [tracking(400.0, high=True)], 8),
        (True, 2, 3, [stepping(120.0)], None),
        (True, 2, 3, [stepping(200.0)], 5),
        (True, 2, 4, [stepping(10.0, out=False)], None),
    ],
)
def test_cool_downs(out, base, capacity, policies, to):
    """Scaling in waits; scaling out goes on only as far as it is more than what was given already."""
    assert wanted(cooling(out, base), look(capacity, *policies)) == to


def test_after_the_cool_down():
    over = target(last={"at": NOW - 300, "out": False, "from": 6, "cooldown": 300})
    assert wanted(over, look(4, tracking(40.0, high=False))) == 2
    soon = decide(cooling(False, 6), look(4, tracking(40.0, high=False)), NOW - 60)
    assert soon.wake_at == NOW
    assert decide(cooling(False, 6), look(4, tracking(40.0, high=False)), NOW + 190).wake_at == NOW + 200


@pytest.mark.parametrize(
    ("off", "policy"),
    [("DynamicScalingOutSuspended", tracking(250.0, high=True)), ("DynamicScalingInSuspended", tracking(10.0, high=False))],
)
def test_suspended(off, policy):
    assert wanted(target(off={off: True}), look(4, policy)) is None
    assert wanted(target(), look(4, policy)) is not None


@pytest.mark.parametrize(
    ("capacity", "policy", "reason"),
    [
        (10, tracking(250.0, high=True), {"Code": "AlreadyAtMaxCapacity", "MaxCapacity": 10}),
        (1, tracking(10.0, high=False), {"Code": "AlreadyAtMinCapacity", "MinCapacity": 1}),
        (2, tracking(80.0, high=False), {"Code": "AutoScalingAnticipatedFlapping", "CurrentCapacity": 2}),
    ],
)
def test_reasons_for_not_scaling(capacity, policy, reason):
    step = decide(target(), look(capacity, policy), NOW)
    assert step.status == "Active" and step.do[0].activity["NotScaledReasons"] == [reason]
    assert step.do[0].activity["Description"] == "Attempting to scale due to alarm triggered"
    again = target(**{k: v for k, v in step.state.items() if v is not None})
    assert decide(again, look(capacity, policy), NOW + 60).do == []


@pytest.mark.parametrize(("capacity", "to", "cause"), [(1, 2, "minimum capacity was set to 2"), (9, 4, "maximum capacity was set to 4")])
def test_bounds(capacity, to, cause):
    step = decide(target(low=2, high=4, bounded=0), look(capacity), NOW)
    assert step.status == "Scaling" and step.state["wanted"] == to and step.state["activity"]["Cause"] == cause
    inside = decide(target(low=2, high=4, bounded=0), look(3), NOW)
    assert inside.status == "Active" and inside.state == {"bounded": 1}


def test_an_endpoint_that_is_gone_takes_its_target_along():
    for seen in (Seen(None), Seen(Capacity("Deleting"))):
        for status in ("Active", "Scaling"):
            assert isinstance(decide(target(status), seen, NOW).do[0], RemoveTarget)
