"""What a scalable target does next. Pure.

    Active → Scaling (an activity: capacity asked for, waiting for the endpoint) → Active

In Active the bounds come first, then the policies whose alarms are in ALARM; they are judged once a minute as long as they are.
All times are platform times.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.store import Step
from modelyard.services.applicationautoscaling.actions import Note, RemoveTarget, SetCapacity, TellZero
from modelyard.services.applicationautoscaling.alarms import TOLD_WHEN_IDLE
from modelyard.services.applicationautoscaling.arithmetic import aggregate, step_of, stepped, tracked
from modelyard.services.applicationautoscaling.look import Alarm, Policy, Seen
from modelyard.services.applicationautoscaling.resource import WORDS

AGAIN_SECONDS = 60.0
"""How often an alarm that stays in ALARM is acted on, as AWS invokes scaling actions."""
WAIT_SECONDS = 0.5
"""Real seconds between two looks at an endpoint that is on its way."""
COOLDOWN_SECONDS = 300
TRACKING = "TargetTrackingScaling"


@dataclass(frozen=True)
class Wish:
    """A capacity that a policy asks for because of an alarm. `cooldown` is the policy's in that direction."""

    capacity: int
    policy: str
    alarm: str
    cooldown: int


def decide(target: Record, seen: Seen, now: float) -> Step:
    if target.spec.get("delete") or seen.capacity is None or seen.capacity.status == "Deleting":
        return Step(target.status, do=[RemoveTarget(target)])
    if target.status == "Scaling":
        return _wait(target, seen, now)
    if seen.capacity.wrong or seen.capacity.status in ("Failed", "UpdateRollbackFailed"):
        return Step("Active")
    if seen.capacity.status != "InService":
        return Step("Active", wake_in_real_s=WAIT_SECONDS)
    if target.state.get("bounded") != target.spec["edition"]:
        return _bound(target, seen.capacity.desired, now)
    return _judge(target, seen, now)


# --- an activity -----------------------------------------------------------------------------------


def _begin(target: Record, cause: str, capacity: int, wanted: int, now: float, more: Mapping[str, Any]) -> Step:
    """The activity is on record before anything is asked of the endpoint."""
    serial = target.state.get("serial", 0) + 1
    activity = {
        **_activity(target, serial, now, cause),
        "Description": f"Setting {_words(target)} to {wanted}.",
        "StatusCode": "InProgress",
        "StatusMessage": f"Successfully set {_words(target)} to {wanted}. Waiting for change to be fulfilled by sagemaker.",
    }
    state = {"serial": serial, "activity": activity, "wanted": wanted, "from": capacity, "asked": None, "not_scaled": None, **more}
    return Step("Scaling", state, do=[Note(target, activity)], wake_at=now)


def _wait(target: Record, seen: Seen, now: float) -> Step:
    """Until the endpoint has what was asked for, or says that it will not."""
    state, there = target.state, seen.capacity
    assert there is not None
    wanted, asked = state["wanted"], state.get("asked", False)
    if there.status in ("Failed", "UpdateRollbackFailed") or there.wrong:
        return _end(target, now, f"the endpoint is not in service{': ' + there.failure if there.failure else ''}")
    if there.status != "InService":
        return Step("Scaling", {"asked": asked or there.desired == wanted}, wake_in_real_s=WAIT_SECONDS)
    if there.desired == wanted:
        return _end(target, now, None)
    if seen.refusal:
        return _end(target, now, seen.refusal)
    if asked:
        return _end(target, now, there.failure or "the endpoint went back to the capacity it had")
    return Step("Scaling", do=[SetCapacity(target, wanted)], wake_in_real_s=WAIT_SECONDS / 5)


def _end(target: Record, now: float, problem: str | None) -> Step:
    state, wanted = target.state, target.state["wanted"]
    if problem is None:
        end = {
            "StatusCode": "Successful",
            "StatusMessage": f"Successfully set {_words(target)} to {wanted}. Change successfully fulfilled by sagemaker.",
        }
    else:
        end = {"StatusCode": "Failed", "StatusMessage": f"Failed to set {_words(target)} to {wanted}. Reason: {problem}"}
    activity = {**state["activity"], **end, "EndTime": now}
    out = wanted > state["from"]
    last = state.get("last")
    if problem is None and state.get("cooldown"):
        last = {"at": now, "out": out, "from": state["base"], "cooldown": state["cooldown"]}
    after = {"activity": None, "wanted": None, "from": None, "asked": None, "base": None, "cooldown": None, "last": last}
    return Step("Active", after, do=[Note(target, activity)], wake_at=now if problem is None else now + AGAIN_SECONDS)


def _activity(target: Record, serial: int, now: float, cause: str) -> dict[str, Any]:
    members = ("ServiceNamespace", "ResourceId", "ScalableDimension")
    name = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{target.uid}-{serial}"))
    return {"ActivityId": name, **{member: target.spec[member] for member in members}, "Cause": cause, "StartTime": now}


def _words(target: Record) -> str:
    return WORDS[target.spec["ScalableDimension"]]


# --- bounds ----------------------------------------------------------------------------------------


def _bound(target: Record, capacity: int, now: float) -> Step:
    """After a change of the bounds, by somebody or by schedule, the capacity is brought into them."""
    low, high = target.spec["MinCapacity"], target.spec["MaxCapacity"]
    wanted = min(max(capacity, low), high)
    settled = {"bounded": target.spec["edition"]}
    if wanted == capacity:
        return Step("Active", settled, wake_at=now)
    bound = f"minimum capacity was set to {low}" if wanted > capacity else f"maximum capacity was set to {high}"
    return _begin(target, bound, capacity, wanted, now, settled)


# --- policies --------------------------------------------------------------------------------------


def _judge(target: Record, seen: Seen, now: float) -> Step:
    """Scale out as far as any policy wants; in only where every target tracking policy is ready to, and as little as any wants.
    What was acted on is acted on again after a minute, or with the next delivery."""
    state, capacity = target.state, seen.capacity.desired if seen.capacity else 0
    zero = TellZero(target, state.get("told", now - AGAIN_SECONDS), now) if _tells_zero(seen) else None
    told = {"told": now // AGAIN_SECONDS * AGAIN_SECONDS} if zero else {}
    changed = {**({"handled": dict(seen.handled)} if dict(seen.handled) != state.get("handled", {}) else {}), **told}
    alarming = [(p, a) for p in seen.policies for a in p.alarms if a.alarming]
    next_look = _next_look(state.get("last"), bool(alarming), zero is not None, now)
    do = [zero] if zero and state.get("told") != told["told"] else []
    wishes = [w for p, a in alarming if (w := _wish(p, a, capacity, state.get("last"), now)) is not None]
    rests = "handled" not in changed and now < state.get("acted", 0.0) + AGAIN_SECONDS
    if not wishes or rests:
        return Step("Active", changed, do=do, wake_at=min(next_look, state["acted"] + AGAIN_SECONDS) if rests and alarming else next_look)
    outs = [w for w in wishes if w.capacity > capacity]
    ins = [] if outs else [w for w in wishes if w.capacity < capacity]
    chosen = max(outs or ins or wishes, key=lambda w: w.capacity)
    if _suspended(target, chosen, capacity) or (ins and _held_in(target, seen, chosen, now)):
        return Step("Active", changed, do=do, wake_at=next_look)
    wanted = min(max(chosen.capacity, target.spec["MinCapacity"]), target.spec["MaxCapacity"])
    cause = f"monitor alarm {chosen.alarm} in state ALARM triggered policy {chosen.policy}"
    if wanted == capacity or (outs and wanted < capacity) or (ins and wanted > capacity):
        step = _not_scaled(target, chosen, alarming, capacity, cause, now)
        return Step("Active", {**changed, **step[0]}, do=[*do, *step[1]], wake_at=next_look)
    last = state.get("last")
    base = last["from"] if outs and last and last["out"] and now < last["at"] + last["cooldown"] else capacity
    begun = _begin(target, cause, capacity, wanted, now, {**changed, "cooldown": chosen.cooldown, "base": base, "acted": now})
    return Step(begun.status, begun.state, do=[*do, *begun.do], wake_at=begun.wake_at)


def _next_look(last: Mapping[str, Any] | None, alarming: bool, zero: bool, now: float) -> float | None:
    """In a minute, or earlier where a cool-down ends; at the full minute where idle minutes are told."""
    times = [(now // AGAIN_SECONDS + 1) * AGAIN_SECONDS] if zero else []
    if alarming:
        times.append(now + AGAIN_SECONDS)
        if last and now < last["at"] + last["cooldown"]:
            times.append(last["at"] + last["cooldown"])
    return min(times, default=None)


def _wish(policy: Policy, alarm: Alarm, capacity: int, last: Mapping[str, Any] | None, now: float) -> Wish | None:
    """What one alarm of one policy asks for. In a cool-down after scaling out only what is more than that has given: it is
    reckoned from the capacity before."""
    cooling = last is not None and now < last["at"] + last["cooldown"]
    base = last["from"] if cooling and last and last["out"] else capacity
    config = policy.config
    if policy.kind == TRACKING:
        if not alarm.values:
            return None
        out = alarm.above
        wanted = tracked(base if out else capacity, alarm.values[-1], config["TargetValue"])
        cooldown = config.get("ScaleOutCooldown" if out else "ScaleInCooldown", COOLDOWN_SECONDS)
        wanted = max(wanted, capacity) if out else min(wanted, capacity)
    else:
        value = aggregate(alarm.values, config.get("MetricAggregationType", "Average")) if alarm.values else alarm.threshold
        step = step_of(config["StepAdjustments"], value - alarm.threshold, alarm.above)
        if step is None:
            return None
        wanted, cooldown = stepped(base, config, step["ScalingAdjustment"]), config.get("Cooldown", COOLDOWN_SECONDS)
        if base != capacity and wanted >= base:
            wanted = max(wanted, capacity)
        elif base != capacity:
            wanted = stepped(capacity, config, step["ScalingAdjustment"])
    if cooling and last and wanted < capacity:
        return None  # a cool-down of either direction holds scale-in back
    if cooling and last and last["out"] and wanted == capacity:
        return None
    return Wish(wanted, policy.name, alarm.name, cooldown)


def _held_in(target: Record, seen: Seen, chosen: Wish, now: float) -> bool:
    """A target tracking policy scales in only together with all others that may."""
    tracking = [p for p in seen.policies if p.kind == TRACKING and not p.config.get("DisableScaleIn")]
    mine = next((p for p in tracking if p.name == chosen.policy), None)
    return mine is not None and not all(any(a.alarming and not a.above for a in p.alarms) for p in tracking)


def _suspended(target: Record, wish: Wish, capacity: int) -> bool:
    off = target.spec["SuspendedState"]
    if wish.capacity > capacity:
        return off["DynamicScalingOutSuspended"]
    return off["DynamicScalingInSuspended"] if wish.capacity < capacity else False


def _not_scaled(target: Record, wish: Wish, alarming: Any, capacity: int, cause: str, now: float) -> tuple[dict[str, Any], list[Any]]:
    """An activity that says why nothing was done; the same reason again is not told again."""
    low, high = target.spec["MinCapacity"], target.spec["MaxCapacity"]
    alarm = next(a for _, a in alarming if a.name == wish.alarm)
    if wish.capacity > capacity:
        reason: dict[str, Any] = {"Code": "AlreadyAtMaxCapacity", "MaxCapacity": high}
    elif wish.capacity < capacity or (not alarm.above and capacity <= low):
        reason = {"Code": "AlreadyAtMinCapacity", "MinCapacity": low}
    elif not alarm.above:
        reason = {"Code": "AutoScalingAnticipatedFlapping", "CurrentCapacity": capacity}
    else:
        reason = {"Code": "AlreadyAtDesiredCapacity", "CurrentCapacity": capacity}
    if target.state.get("not_scaled") == [wish.policy, reason["Code"]]:
        return {}, []
    serial = target.state.get("serial", 0) + 1
    activity = {
        **_activity(target, serial, now, cause),
        "Description": "Attempting to scale due to alarm triggered",
        "StatusCode": "Failed",
        "NotScaledReasons": [reason],
    }
    return {"serial": serial, "not_scaled": [wish.policy, reason["Code"]]}, [Note(target, activity)]


def _tells_zero(seen: Seen) -> bool:
    """SageMaker tells CloudWatch of minutes without invocations where a policy could scale in by them."""
    return any(p.config.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType") in TOLD_WHEN_IDLE for p in seen.policies)
