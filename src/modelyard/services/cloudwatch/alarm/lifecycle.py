"""Records of alarms, and the one way their state changes.

An alarm's status is its state. `spec["alarm"]` is the request of PutMetricAlarm or PutCompositeAlarm as it came, `spec["configured"]`
the platform time of it. `state` has

- `state`: OK, ALARM or INSUFFICIENT_DATA (the same as the status: what others read),
- `reason`, `reason_data` (JSON text): AWS's texts,
- `updated`, `transitioned`: platform time of the last word about the state, and of its last change,
- `change`: how many changes there were, `held_from`: the state before the last,
- `at`: the evaluation time up to which periods are done with, as of the last change, and `of`: the configuration
  that was then (metric alarms).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.records import Record
from modelyard.services.cloudwatch.alarm import messages
from modelyard.services.cloudwatch.alarm.texts import stamp

OK, ALARM, INSUFFICIENT = "OK", "ALARM", "INSUFFICIENT_DATA"
_ANY = {state: {OK, ALARM, INSUFFICIENT} for state in (OK, ALARM, INSUFFICIENT)}
METRIC = Lifecycle("metric-alarm", first=INSUFFICIENT, arrows=_ANY)
COMPOSITE = Lifecycle("composite-alarm", first=INSUFFICIENT, arrows=_ANY)
TYPES = {METRIC.kind: "MetricAlarm", COMPOSITE.kind: "CompositeAlarm"}
ACTIONS = {OK: "OKActions", ALARM: "AlarmActions", INSUFFICIENT: "InsufficientDataActions"}
UNCHECKED = "Unchecked: Initial alarm creation"
LONGEST_REASON, LONGEST_DATA, LONGEST_HISTORY = 1023, 4000, 4095


def lifecycle_of(record: Record) -> Lifecycle:
    return METRIC if record.kind == METRIC.kind else COMPOSITE


def arn_of(account: str, region: str, name: str) -> str:
    return f"arn:aws:cloudwatch:{region}:{account}:alarm:{name}"


def new_state(now: float) -> dict[str, Any]:
    return {"state": INSUFFICIENT, "reason": UNCHECKED, "updated": now, "transitioned": now, "change": 0}


def actions_of(record: Record, state: str) -> list[str]:
    """The ARNs to act on for a state; none where actions are off."""
    alarm = record.spec["alarm"]
    return list(alarm.get(ACTIONS[state], [])) if alarm.get("ActionsEnabled", True) else []


@dataclass(frozen=True)
class Change:
    """What a change of state writes: the patch of the record's state, and the detail of its event."""

    state: dict[str, Any]
    detail: dict[str, Any]


def change(
    record: Record, value: str, reason: str, reason_data: str | None, now: float, *, more: Mapping[str, Any] | None = None, act: bool = True
) -> Change:
    """`more` goes into the state too (what the reconciler remembers). `act` is False while actions are suppressed."""
    if reason_data is not None and len(reason_data) > LONGEST_DATA:
        reason_data = None
    patch = {
        "state": value,
        "reason": reason[:LONGEST_REASON],
        "reason_data": reason_data,
        "updated": now,
        "transitioned": now,
        "change": record.state.get("change", 0) + 1,
        "held_from": record.state["state"],
        **(more or {}),
    }
    old, new = record.state, {**record.state, **patch}
    detail: dict[str, Any] = {
        "transition": {"old": old["state"], "new": value},
        "history": [_state_update(old, new)],
        "eventbridge": messages.state_change(record, old, new),
        "actions": _deliveries(record, old, new, actions_of(record, value) if act else []),
    }
    return Change(patch, detail)


def _state_update(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, str]:
    data = {"version": "1.0", "oldState": _told(old), "newState": _told(new)}
    text = orjson.dumps(data).decode()
    if len(text) > LONGEST_HISTORY:
        for state in (data["oldState"], data["newState"]):
            state.pop("stateReasonData", None)
        text = orjson.dumps(data).decode()
    return {"type": "StateUpdate", "summary": f"Alarm updated from {old['state']} to {new['state']}", "data": text}


def _told(state: Mapping[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"stateValue": state["state"], "stateReason": state["reason"]}
    if state.get("reason_data"):
        try:
            told["stateReasonData"] = orjson.loads(state["reason_data"])
        except orjson.JSONDecodeError:
            told["stateReasonData"] = state["reason_data"]
    return told


def _deliveries(record: Record, old: Mapping[str, Any], new: Mapping[str, Any], arns: list[str]) -> list[dict[str, Any]]:
    return [{"arn": arn, "subject": messages.subject(record, new), "body": messages.body(record, old, new, arn)} for arn in arns]


def repeat(record: Record, at: float) -> Change:
    """An alarm that stays in a state tells Application Auto Scaling so once a minute, as AWS does, and nobody else."""
    arns = [arn for arn in actions_of(record, record.state["state"]) if ":autoscaling:" in arn]
    return Change({"repeated": at}, {"actions": _deliveries(record, record.state, record.state, arns), "repeat": True} if arns else {})


def release(record: Record) -> Change:
    """Actions that were held back by a suppressor are done now, for the state that is."""
    patch = {"suppressed": None}
    old = {**record.state, "state": record.state.get("held_from", record.state["state"])}
    return Change(patch, {"actions": _deliveries(record, old, {**record.state, **patch}, actions_of(record, record.state["state"]))})


def configuration_update(record: Record | None, new: Record | None, now: float) -> dict[str, Any]:
    """The event's detail of a create (no `record`), update, or delete (no `new`)."""
    one = new or record
    assert one is not None
    kind = "Create" if record is None else "Delete" if new is None else "Update"
    word = {"Create": "created", "Update": "updated", "Delete": "deleted"}[kind]
    data: dict[str, Any] = {"version": "1.0", "type": kind}
    if record is not None:
        data["deletedAlarm" if new is None else "alarm"] = messages.configuration(record)
    if new is not None:
        data["createdAlarm" if record is None else "updatedAlarm"] = messages.configuration(new)
    text = orjson.dumps(data).decode()
    if len(text) > LONGEST_HISTORY and kind == "Update":
        del data["alarm"]
        text = orjson.dumps(data).decode()
    if len(text) > LONGEST_HISTORY:
        text = orjson.dumps({"version": "1.0", "type": kind}).decode()
    return {
        "history": [{"type": "ConfigurationUpdate", "summary": f'Alarm "{one.name}" {word}', "data": text}],
        "eventbridge": messages.configuration_change(one, kind.lower(), stamp(now)),
    }
