"""What the operations on alarms share: errors, finding alarms, writing them, and who depends on whom."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.kernel.store import Moved, Step, Taken
from modelyard.services.cloudwatch.alarm import rule
from modelyard.services.cloudwatch.alarm.lifecycle import ACTIONS, COMPOSITE, METRIC, arn_of, configuration_update, lifecycle_of, new_state

MOST_TAGS, MOST_ALARMS = 50, 5_000
_ACTION = re.compile(r"arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:[^:]*:.+", re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def bad(message: str) -> ApiError:
    """The code of CloudWatch's query days, which alarms still answer."""
    return ApiError("ValidationError", message, 400)


def find(call: Call, name: str) -> Record | None:
    """The alarm of a name: metric and composite alarms share their names."""
    return call.store.get(METRIC.kind, call.account, call.region, name) or call.store.get(COMPOSITE.kind, call.account, call.region, name)


def tags_of(request: Mapping[str, Any]) -> dict[str, str]:
    tags: dict[str, str] = {}
    for tag in request.get("Tags", []):
        if tag["Key"] in tags:
            raise bad("Duplicate tag keys found. Please note that Tag keys are case insensitive.")
        if tag["Key"].lower().startswith("aws:"):
            raise bad("aws: prefixed tag key names are not allowed for external use.")
        tags[tag["Key"]] = tag["Value"]
    if len(tags) > MOST_TAGS:
        raise bad(f"The number of tags exceeds the limit of {MOST_TAGS} per resource.")
    return tags


def check_name_and_actions(request: Mapping[str, Any], *, composite: bool) -> None:
    if _CONTROL.search(request["AlarmName"]):
        raise bad("AlarmName must not contain ASCII control characters")
    for member in ACTIONS.values():
        arns = request.get(member, [])
        if len(set(arns)) != len(arns):
            raise bad(f"The parameter {member} must not have the same action twice")
        for arn in arns:
            if not _ACTION.fullmatch(arn):
                raise bad(f"Invalid arn syntax: {arn}")
            service = arn.split(":")[2]
            if composite and service in ("autoscaling", "automate", "swf"):
                raise bad(f"Composite alarms cannot perform the action {arn}")


def put(call: Call, lifecycle: Lifecycle, request: Mapping[str, Any]) -> Record:
    """Creates the alarm or replaces its configuration; its state stays. Tags count at creation only."""
    name, now = request["AlarmName"], call.now()
    other = COMPOSITE if lifecycle is METRIC else METRIC
    if call.store.get(other.kind, call.account, call.region, name) is not None:
        raise bad(f"An alarm of the name {name} exists and is a {'composite' if other is COMPOSITE else 'metric'} alarm")
    alarm = {key: value for key, value in request.items() if key not in ("AlarmName", "Tags")}
    spec, tags = {"alarm": alarm, "configured": now}, tags_of(request)
    if tags:
        call.authorize("cloudwatch:TagResource", arn_of(call.account, call.region, name))
    while True:
        have = call.store.get(lifecycle.kind, call.account, call.region, name)
        try:
            if have is not None:
                return call.store.request(have, spec, detail=configuration_update(have, _as_if(have, spec), now))
            return _create(call, lifecycle, name, spec, tags, now)
        except (Moved, Taken):
            continue


def _create(call: Call, lifecycle: Lifecycle, name: str, spec: dict[str, Any], tags: dict[str, str], now: float) -> Record:
    arn, state = arn_of(call.account, call.region, name), new_state(now)
    made = Record("", lifecycle.kind, call.account, call.region, name, arn, None, lifecycle.first, spec, state, 1, None, 0, now, now)
    return call.store.create(
        lifecycle, account=call.account, region=call.region, name=name, arn=arn, spec=spec, state=state, tags=tags,
        detail=configuration_update(None, made, now),
    )  # fmt: skip


def _as_if(record: Record, spec: dict[str, Any]) -> Record:
    return replace(record, spec={**record.spec, **spec})


def apply(call: Call, name: str, make: Callable[[Record], Step | None]) -> Record | None:
    """A step on an alarm by an operation, not its reconciler: guarded and, where the alarm moved, made again. None: no such alarm."""
    while (record := find(call, name)) is not None:
        step = make(record)
        if step is None:
            return record
        applied = call.store.apply(lifecycle_of(record), record, step, step.wake_at if step.wake_at is not None else record.due_at)
        if applied is not None:
            call.platform.ring(record.kind)
            return applied
    return None


def composites(call: Call) -> list[Record]:
    return call.store.list(COMPOSITE.kind, call.account, call.region)


def depends_on(composite: Record, name: str) -> bool:
    """Whether a composite alarm's rule or suppressor names the alarm."""
    alarm = composite.spec["alarm"]
    return name in {rule.name_of(written) for written in rule.children(rule.parse(alarm["AlarmRule"]))} or suppressor_of(alarm) == name


def suppressor_of(alarm: Mapping[str, Any]) -> str | None:
    written = alarm.get("ActionsSuppressor")
    return rule.name_of(written) if written else None
