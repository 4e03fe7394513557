"""Composite alarms: PutCompositeAlarm, and the reconciler that keeps their state and holds their actions back while suppressed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from modelyard.kernel.records import Event, Record
from modelyard.kernel.store import Step
from modelyard.services.cloudwatch import api
from modelyard.services.cloudwatch.alarm import rule
from modelyard.services.cloudwatch.alarm.common import bad, check_name_and_actions, depends_on, find, put, suppressor_of
from modelyard.services.cloudwatch.alarm.lifecycle import ALARM, COMPOSITE, METRIC, OK, change, release
from modelyard.services.cloudwatch.alarm.texts import spoken, stamp

SUPPRESSION = ("ActionsSuppressorWaitPeriod", "ActionsSuppressorExtensionPeriod")
MOST_CHAIN = 150


@api.operation
def put_composite_alarm(call, request):
    if "ActionConfiguration" in request:
        raise bad("Modelyard has not built tags in notifications of alarms yet: the parameter ActionConfiguration must be left out.")
    check_name_and_actions(request, composite=True)
    try:
        tree = rule.parse(request["AlarmRule"])
    except rule.RuleError as problem:
        raise bad(f"Invalid AlarmRule: {problem}") from None
    _check_suppressor(call, request)
    names = [_local(call, written) for written in rule.children(tree)]
    missing = [name for name in dict.fromkeys(names) if name != request["AlarmName"] and find(call, name) is None]
    if missing:
        raise bad(f"Could not save the composite alarm as alarms [{', '.join(missing)}] in the alarm rule do not exist")
    if request["AlarmName"] in names:
        raise bad(f"The alarm {request['AlarmName']} must not reference itself in its AlarmRule")
    put(call, COMPOSITE, request)
    return {}


def _check_suppressor(call: Any, request: Mapping[str, Any]) -> None:
    given = [member for member in SUPPRESSION if member in request]
    if "ActionsSuppressor" not in request:
        if given:
            raise bad(f"{given[0]} must not be specified without ActionsSuppressor")
        return
    if len(given) < len(SUPPRESSION):
        raise bad("ActionsSuppressorWaitPeriod and ActionsSuppressorExtensionPeriod must be specified with ActionsSuppressor")
    if any(request[member] < 0 for member in SUPPRESSION):
        raise bad("ActionsSuppressorWaitPeriod and ActionsSuppressorExtensionPeriod must not be negative")
    name = _local(call, request["ActionsSuppressor"])
    if name == request["AlarmName"]:
        raise bad("ActionsSuppressor must not be the alarm itself")
    if find(call, name) is None:
        raise bad(f"Could not save the composite alarm as the ActionsSuppressor {request['ActionsSuppressor']} does not exist")


def _local(call: Any, written: str) -> str:
    if written.startswith("arn:"):
        parts = written.split(":", 6)
        if len(parts) < 7 or parts[2] != "cloudwatch" or parts[5] != "alarm" or (parts[3], parts[4]) != (call.region, call.account):
            raise bad(f"{written} is not the ARN of an alarm of this account and Region")
    return rule.name_of(written)


# --- the reconciler ----------------------------------------------------------------------------------


@api.reader("composite-alarms", kinds={METRIC.kind, COMPOSITE.kind})
def wake_parents(event: Event, world: Any) -> None:
    """A change of state, a new alarm or one that went: who depends on it looks."""
    if event.old == event.new and "transition" not in event.detail:
        return
    for parent in world.store.list(COMPOSITE.kind, event.account, event.region):
        if depends_on(parent, event.name):
            world.wake(parent.uid)


@dataclass(frozen=True)
class Child:
    name: str
    arn: str
    state: str
    updated: float
    change: int


@dataclass(frozen=True)
class Seen:
    """`children` and `suppressor` as they are now (those that exist); `circle`: the rule leads back to the alarm itself."""

    children: Mapping[str, Child]
    suppressor: Child | None
    circle: bool


def observe(record: Record, world: Any) -> Seen:
    def look(name: str) -> Record | None:
        for kind in (METRIC.kind, COMPOSITE.kind):
            if (found := world.store.get(kind, record.account, record.region, name)) is not None:
                return found
        return None

    names = {rule.name_of(written) for written in rule.children(_tree(record))}
    found = {name: one for name in names if (one := look(name)) is not None}
    suppressor = suppressor_of(record.spec["alarm"])
    holder = look(suppressor) if suppressor else None
    return Seen({name: _child(one) for name, one in found.items()}, _child(holder) if holder else None, _circles(record, found, look))


def _child(record: Record) -> Child:
    return Child(record.name, record.arn, record.state["state"], record.state["updated"], record.state.get("change", 0))


def _tree(record: Record) -> Any:
    return rule.parse(record.spec["alarm"]["AlarmRule"])


def _circles(record: Record, children: Mapping[str, Record], look: Any) -> bool:
    waiting, seen = list(children.values()), set()
    while waiting and len(seen) < MOST_CHAIN:
        one = waiting.pop()
        if one.name == record.name:
            return True
        if one.kind == COMPOSITE.kind and one.name not in seen:
            seen.add(one.name)
            waiting += [found for written in rule.children(_tree(one)) if (found := look(rule.name_of(written))) is not None]
    return False


@api.reconciler(COMPOSITE, observe=observe)
def decide(record: Record, seen: Seen, now: float) -> Step:
    """Judged only when a child changed or the configuration did: a state set by SetAlarmState stays until then, as in AWS."""
    mark = [record.spec["configured"], *sorted([child.name, child.change] for child in seen.children.values())]
    if not seen.circle and record.state.get("judged") != mark:
        value = ALARM if rule.holds(_tree(record), lambda written: _state_of(seen, written)) else OK
        if value != record.state["state"]:
            return _transition(record, seen, value, mark, now)
        step = _suppression(record, seen, now)
        return Step(step.status, {**(step.state or {}), "judged": mark}, wake_at=step.wake_at, detail=step.detail)
    return _suppression(record, seen, now)


def _state_of(seen: Seen, written: str) -> str | None:
    child = seen.children.get(rule.name_of(written))
    return child.state if child else None


def _transition(record: Record, seen: Seen, value: str, mark: list[Any], now: float) -> Step:
    held = _held(record, seen, value, now)
    reason, data = _why(record, seen, value)
    made = change(
        record, value, reason, data, now, more={"judged": mark, "suppressed": held}, act=held is None and not _was_held(record, value)
    )
    return Step(value, made.state, detail=made.detail, wake_at=held["until"] if held else None)


def _was_held(record: Record, value: str) -> bool:
    """Whose ALARM nobody was told of, need not be told of its end."""
    return value == OK and bool(record.state.get("suppressed"))


def _held(record: Record, seen: Seen, value: str, now: float) -> dict[str, Any] | None:
    """How the actions of a new state are held back."""
    alarm = record.spec["alarm"]
    if "ActionsSuppressor" not in alarm or _was_held(record, value):
        return None
    if seen.suppressor is not None and seen.suppressor.state == ALARM:
        return _by("Alarm", None)
    if (
        seen.suppressor is not None
        and seen.suppressor.change
        and (until := seen.suppressor.updated + alarm[SUPPRESSION[1]]) > now
        and _came_from_alarm(record)
    ):
        return _by("ExtensionPeriod", until)
    if value == ALARM and alarm[SUPPRESSION[0]] > 0:
        return _by("WaitPeriod", now + alarm[SUPPRESSION[0]])
    return None


def _came_from_alarm(record: Record) -> bool:
    return bool(record.state.get("suppressor_was_alarm"))


def _by(what: str, until: float | None) -> dict[str, Any]:
    return {"by": what, "until": until, "reason": f"Actions suppressed by {what}"}


def _suppression(record: Record, seen: Seen, now: float) -> Step:
    """Moves what is held along: wait → suppressed by the alarm → extension → the actions at last."""
    patch: dict[str, Any] = {}
    if seen.suppressor is not None:
        was = seen.suppressor.state == ALARM or (bool(record.state.get("suppressor_was_alarm")) and seen.suppressor.state != ALARM)
        patch["suppressor_was_alarm"] = was or None
    held, alarm = record.state.get("suppressed"), record.spec["alarm"]
    if not held:
        return Step(record.status, patch)
    suppressing = seen.suppressor is not None and seen.suppressor.state == ALARM
    if suppressing:
        return Step(record.status, {**patch, "suppressed": _by("Alarm", None)})
    if held["by"] == "Alarm" and "ActionsSuppressor" in alarm and alarm[SUPPRESSION[1]] > 0:
        until = (seen.suppressor.updated if seen.suppressor else now) + alarm[SUPPRESSION[1]]
        held = _by("ExtensionPeriod", until)
    if held["by"] != "Alarm" and "ActionsSuppressor" in alarm and held["until"] > now:
        return Step(record.status, {**patch, "suppressed": held}, wake_at=held["until"])
    made = release(record)
    return Step(record.status, {**patch, **made.state}, detail=made.detail)


# --- words -------------------------------------------------------------------------------------------


def _why(record: Record, seen: Seen, value: str) -> tuple[str, str]:
    """The reason and its data: the child that changed last, or the alarm's own making."""
    children = sorted(seen.children.values(), key=lambda child: (child.updated, child.name))
    triggering = [child for child in children if child.state == ALARM] if value == ALARM else children
    triggering = triggering or children
    data = {
        "triggeringAlarms": [{"arn": child.arn, "state": {"value": child.state, "timestamp": stamp(child.updated)}} for child in triggering]
    }
    before = record.state.get("judged")
    if before is None or before[0] != record.spec["configured"] or not children:
        word = "created" if record.state.get("change", 0) == 0 else "updated"
        return f"{record.arn} was {word} and its alarm rule evaluates to {value}", orjson.dumps(data).decode()
    known = {name: count for name, count in before[1:]}
    moved = [child for child in children if known.get(child.name) != child.change] or children
    last = moved[-1]
    return f"{last.arn} transitioned to {last.state} at {spoken(last.updated)}", orjson.dumps(data).decode()
