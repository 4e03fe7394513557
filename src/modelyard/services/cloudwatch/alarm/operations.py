"""SetAlarmState, EnableAlarmActions, DisableAlarmActions, DeleteAlarms."""

from __future__ import annotations

import math
from typing import Any

import orjson

from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Step
from modelyard.services.cloudwatch import api
from modelyard.services.cloudwatch.alarm.common import apply, bad, composites, depends_on, find
from modelyard.services.cloudwatch.alarm.lifecycle import COMPOSITE, METRIC, change, configuration_update
from modelyard.services.cloudwatch.alarm.windows import grid_of

MOST_DELETED = 100


@api.operation
def set_alarm_state(call, request):
    data = request.get("StateReasonData")
    if data is not None:
        try:
            orjson.loads(data)
        except orjson.JSONDecodeError:
            raise api.error.InvalidFormatFault("StateReasonData was not valid JSON") from None
    now = call.now()

    def make(record: Record) -> Step:
        more: dict[str, Any] = {"repeated": None}
        if record.kind == METRIC.kind:
            grid = grid_of(record.spec["alarm"])
            more |= {"at": math.floor(now / grid) * grid, "of": record.spec["configured"]}
        else:
            more["suppressed"] = None
        value, reason = request["StateValue"], request["StateReason"]
        if value == record.state["state"]:
            return Step(value, {"reason": reason, "reason_data": data, "updated": now})
        made = change(record, value, reason, data, now, more=more)
        return Step(value, made.state, detail=made.detail)

    if apply(call, request["AlarmName"], make) is None:
        raise api.error.ResourceNotFound(f"Alarm {request['AlarmName']} does not exist")
    return {}


@api.operation
def enable_alarm_actions(call, request):
    return _switch(call, request["AlarmNames"], True)


@api.operation
def disable_alarm_actions(call, request):
    return _switch(call, request["AlarmNames"], False)


def _switch(call: Any, names: list[str], enabled: bool) -> dict[str, Any]:
    """Names that are no alarms are passed over, as AWS does."""
    for name in names:
        while (record := find(call, name)) is not None and record.spec["alarm"].get("ActionsEnabled", True) != enabled:
            now = call.now()
            spec = {"alarm": {**record.spec["alarm"], "ActionsEnabled": enabled}}
            detail = configuration_update(record, Record(**{**_fields(record), "spec": {**record.spec, **spec}}), now)
            try:
                call.store.request(record, spec, due=False, detail=detail)
            except Moved:
                continue
    return {}


def _fields(record: Record) -> dict[str, Any]:
    return {name: getattr(record, name) for name in Record.__slots__}


@api.operation
def delete_alarms(call, request):
    names = list(dict.fromkeys(request["AlarmNames"]))
    if len(names) > MOST_DELETED:
        raise bad(f"You can delete up to {MOST_DELETED} alarms in one operation.")
    records = {name: record for name in names if (record := find(call, name)) is not None}
    if sum(record.kind == COMPOSITE.kind for record in records.values()) > 1:
        raise bad("DeleteAlarms request cannot contain more than one composite alarm.")
    others = [one for one in composites(call) if one.name not in records]
    needed = [name for name in records if any(depends_on(one, name) for one in others)]
    needed += [name for name, one in records.items() if one.kind == COMPOSITE.kind and depends_on(one, name) and name not in needed]
    if needed:
        raise bad(f"Cannot delete {','.join(needed)} as there are composite alarm(s) depending on {'it' if len(needed) == 1 else 'them'}.")
    for name in sorted(records, key=lambda name: records[name].kind == METRIC.kind):
        _delete(call, name)
    return {}


def _delete(call: Any, name: str) -> None:
    while (record := find(call, name)) is not None:
        try:
            call.store.delete(record, configuration_update(record, None, call.now()))
        except Moved:
            continue
        call.platform.alarm_looks.forget(record.uid)
        call.platform.ring(record.kind)
