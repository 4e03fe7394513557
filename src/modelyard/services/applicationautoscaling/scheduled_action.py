"""Scheduled actions: new bounds for a target at a time, at a rate or by cron, on the platform clock."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Step, Taken
from modelyard.services.applicationautoscaling import activity, api, schedule
from modelyard.services.applicationautoscaling.target import TARGET, the_target

ACTION = Lifecycle("scaling-scheduled-action", first="Active")
PAGE, MOST_ACTIONS = 50, 200
BOUNDS = ("MinCapacity", "MaxCapacity")


@api.operation
def put_scheduled_action(call, request):
    while True:
        target = the_target(call, request)
        there = call.store.get(ACTION.kind, call.account, call.region, f"{target.name}|{request['ScheduledActionName']}")
        spec = _spec(call, request, there)
        if there is None and len(call.store.children(target.uid, ACTION.kind)) >= MOST_ACTIONS:
            raise api.error.LimitExceededException(f"A scalable target may have at most {MOST_ACTIONS} scheduled actions.")
        try:
            if there is None:
                _create(call, target, request["ScheduledActionName"], spec)
            else:
                call.store.request(there, spec)
        except (Taken, Moved):
            continue
        call.platform.ring(ACTION.kind)
        return {}


@api.operation
def describe_scheduled_actions(call, request):
    activity.check_filter(request)
    limit = activity.page_size(request, PAGE)
    after = decode_token(request.get("NextToken"), api.error.InvalidNextTokenException, "") or ""
    names, resource, dimension = request.get("ScheduledActionNames"), request.get("ResourceId"), request.get("ScalableDimension")
    found = [
        a
        for a in call.store.list(ACTION.kind, call.account, call.region, order_by="name")
        if a.name > after
        and a.spec["ServiceNamespace"] == request["ServiceNamespace"]
        and (not names or a.spec["ScheduledActionName"] in names)
        and resource in (None, a.spec["ResourceId"])
        and dimension in (None, a.spec["ScalableDimension"])
    ]
    answer: dict[str, Any] = {"ScheduledActions": [_shown(a) for a in found[:limit]]}
    if len(found) > limit:
        answer["NextToken"] = encode_token(found[limit - 1].name)
    return answer


@api.operation
def delete_scheduled_action(call, request):
    while True:
        target = the_target(call, request)
        there = call.store.get(ACTION.kind, call.account, call.region, f"{target.name}|{request['ScheduledActionName']}")
        if there is None:
            raise api.error.ObjectNotFoundException(
                f"No scheduled action found for service namespace: {request['ServiceNamespace']}, resource ID: {request['ResourceId']}, "
                f"scalable dimension: {request['ScalableDimension']}, scheduled action name: {request['ScheduledActionName']}"
            )
        try:
            call.store.delete(there)
        except Moved:
            continue
        return {}


# --- the reconciler ----------------------------------------------------------------------------------


def observe(action: Record, world: Any) -> Record | None:
    return world.store.by_uid(action.owner)


@api.reconciler(ACTION, observe)
def decide(action: Record, target: Record | None, now: float) -> Step:
    """Runs once for however many times have passed since the last look. `next` is on record, so a crash runs it again, and the
    target knows by that time that it has."""
    if target is None or target.spec.get("delete"):
        return Step("Active")
    spec, state = action.spec, action.state
    fresh = state.get("edition") != spec["edition"]
    due = _after(spec, spec["since"], spec["since"]) if fresh else state.get("next")
    if due is None:
        return Step("Active", {"edition": spec["edition"], "next": None})
    if now < due:
        return Step("Active", {"edition": spec["edition"], "next": due}, wake_at=due)
    following = None if schedule.parse(spec["Schedule"], spec["Timezone"]).once else _after(spec, now, spec["since"])
    do = [] if target.spec["SuspendedState"]["ScheduledScalingSuspended"] else [SetBounds(action, target, due, now)]
    return Step("Active", {"edition": spec["edition"], "next": following}, do=do, wake_at=following)


def _after(spec: dict[str, Any], now: float, since: float) -> float | None:
    """The next run in [StartTime, EndTime]."""
    begin = since if spec.get("StartTime") is None else spec["StartTime"]
    due = schedule.parse(spec["Schedule"], spec["Timezone"]).after(max(now, begin - 1e-3), begin)
    end = spec.get("EndTime")
    return None if due is None or (end is not None and due > end) else due


@dataclass(frozen=True)
class SetBounds:
    """Gives the target new bounds, once for each due time, and notes it in the history."""

    action: Record
    target: Record
    due: float
    now: float

    def perform(self, world: Any) -> None:
        action, bounds = self.action, self.action.spec["ScalableTargetAction"]
        while (target := world.store.by_uid(self.target.uid)) is not None and target.spec.get("ran", {}).get(action.uid, 0.0) < self.due:
            low, high = (bounds.get(b, target.spec[b]) for b in BOUNDS)
            if low > high:  # one of the two was given, and the other stands against it
                low, high = (low, low) if "MinCapacity" in bounds else (high, high)
            ran = {**target.spec.get("ran", {}), action.uid: self.due}
            change = {"MinCapacity": low, "MaxCapacity": high, "ran": ran, "edition": target.spec["edition"] + 1}
            self._note(world, bounds)  # before the bounds: after them a crash would leave it out
            try:
                world.store.request(target, change)
            except Moved:
                continue
            world.ring(TARGET.kind)

    def _note(self, world: Any, bounds: dict[str, int]) -> None:
        spec = self.action.spec
        words = " and ".join(f"{'minimum' if b == 'MinCapacity' else 'maximum'} capacity to {bounds[b]}" for b in BOUNDS if b in bounds)
        members = ("ServiceNamespace", "ResourceId", "ScalableDimension")
        row = {
            "ActivityId": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.action.uid}-{self.due}")),
            **{member: spec[member] for member in members},
            "Description": f"Setting {words}",
            "Cause": f"scheduled action name {spec['ScheduledActionName']} was triggered",
            "StartTime": self.now,
            "EndTime": self.now,
            "StatusCode": "Successful",
            "StatusMessage": f"Successfully set {words}",
        }
        activity.write(world, self.action.account, self.action.region, row)


# --- helpers -------------------------------------------------------------------------------------


def _create(call: Any, target: Record, name: str, spec: dict[str, Any]) -> None:
    arn = (
        f"arn:aws:autoscaling:{call.region}:{call.account}:scheduledAction:{uuid.uuid4()}:resource/{spec['ServiceNamespace']}/"
        f"{spec['ResourceId']}:scheduledActionName/{name}"
    )
    call.store.create(ACTION, account=call.account, region=call.region, name=f"{target.name}|{name}", arn=arn, spec=spec, owner=target.uid)


def _spec(call: Any, request: dict[str, Any], there: Record | None) -> dict[str, Any]:
    old = there.spec if there is not None else {}
    text, zone = request.get("Schedule") or old.get("Schedule"), request.get("Timezone") or old.get("Timezone") or "UTC"
    if not text:
        raise validation("Schedule must be specified for a new scheduled action.")
    bounds = request.get("ScalableTargetAction") or old.get("ScalableTargetAction") or {}
    if not bounds:
        raise validation("MinCapacity, MaxCapacity or both must be specified in ScalableTargetAction.")
    if any(b < 0 for b in bounds.values()) or bounds.get("MinCapacity", 0) > bounds.get("MaxCapacity", 1 << 31):
        raise validation("Maximum capacity cannot be less than minimum capacity")
    begin, end = request.get("StartTime"), request.get("EndTime")
    if begin is not None and end is not None and begin >= end:
        raise validation("EndTime must be after StartTime.")
    if end is not None and end <= call.now():
        raise validation("EndTime must be in the future.")
    try:
        plan = schedule.parse(text, zone)
    except schedule.BadSchedule as problem:
        raise validation(str(problem)) from None
    if plan.once and plan.after(call.now(), call.now()) is None:
        raise validation(f"Schedule {text} is in the past.")
    members = ("ScheduledActionName", "ServiceNamespace", "ResourceId", "ScalableDimension")
    return {
        **{member: request[member] for member in members},
        "Schedule": text,
        "Timezone": zone,
        "ScalableTargetAction": bounds,
        "StartTime": begin,
        "EndTime": end,
        "since": call.now(),
        "edition": old.get("edition", 0) + 1,
    }


def _shown(action: Record) -> dict[str, Any]:
    members = (
        "ScheduledActionName", "ServiceNamespace", "Schedule", "Timezone", "ResourceId", "ScalableDimension", "StartTime", "EndTime",
        "ScalableTargetAction",
    )  # fmt: skip
    found = {member: action.spec[member] for member in members if action.spec.get(member) is not None}
    return {**found, "ScheduledActionARN": action.arn, "CreationTime": action.created_at}
