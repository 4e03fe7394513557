"""An endpoint on its way from what serves ("blue"; nothing yet, when it is created) to what is wanted ("green"). Pure.

    creating → shifting → baking ─┬→ creating (the next step) …   → done
        └─────────┴─────────┴→ rolling-back → done, as it was       (a step: see policy.py)

New replicas are healthy before traffic moves; the route table is read back from the store before a bake begins and before a
replica is stopped. A replica that cannot come up, an alarm, a health check that fails after the traffic moved, or a deadline
turns the walk back. `state["rollout"]` says where it stands:

    {"edition", "kind", "stage", "step", "steps", "from", "to" (configurations), "shares" ({variant: share of the new fleet} as
     routed now), "started", "since" (platform time of the stage), "until" (end of the bake), "deadline", "reason" (of a
     rollback), "held" (the step whose table is out), "back" (steps of a rollback)}
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.store import Step
from modelyard.services.sagemaker.endpoint.actions import CreateReplica, Publish, StopReplica
from modelyard.services.sagemaker.endpoint.deployment import replica_names
from modelyard.services.sagemaker.endpoint.fleets import Child, Part, Seen, base_parts, is_ready, kept_names, parts_at, plan_in
from modelyard.services.sagemaker.endpoint.policy import back_steps, counts
from modelyard.services.sagemaker.endpoint.table import same_routes, table_of

LOOK_SECONDS = 2.0
"""A look that nobody asked for. Each change of a replica wakes its endpoint, so this is only a second line."""
ALARM_LOOK_SECONDS = 10.0
"""Platform time: the second line behind the events of alarms."""
LOST = "The primary container for production variant {} did not pass the ping health check after traffic was shifted to it."
Rollout = Mapping[str, Any]


def roll(endpoint: Record, seen: Seen, now: float) -> Step:
    rollout = endpoint.state.get("rollout")
    if rollout is None or rollout["edition"] != endpoint.spec["wanted"]["edition"]:
        return _begin(endpoint, seen, now)
    if rollout["stage"] == "rolling-back":
        return _back(endpoint, rollout, seen, now)
    trouble = _trouble(endpoint, rollout, seen, now)
    if trouble is not None:
        return _turn_back(endpoint, rollout, trouble, seen, now)
    stages = {"creating": _create, "shifting": _shift, "baking": _bake}
    return stages[rollout["stage"]](endpoint, rollout, seen, now)


def _begin(endpoint: Record, seen: Seen, now: float) -> Step:
    wanted, plan, serving = endpoint.spec["wanted"], plan_in(endpoint), endpoint.state.get("serving")
    rollout = {
        "edition": wanted["edition"],
        "kind": "scale" if wanted.get("scale") else plan["kind"],
        "stage": "creating",
        "step": 1,
        "steps": len(plan["steps"]),
        "from": serving["config"] if serving else None,
        "to": wanted["config"],
        "shares": dict.fromkeys(counts(wanted), 0.0),
        "started": now,
        "since": now,
        "since_real": seen.real_now,
        "deadline": now + plan["timeout_s"] if plan["timeout_s"] else None,
    }
    status = "Creating" if serving is None else "Updating"
    return _walk(endpoint, rollout, status=status, state={"failure": None}, wake_at=now)


# --- the way there -------------------------------------------------------------------------------


def _create(endpoint: Record, rollout: Rollout, seen: Seen, now: float) -> Step:
    """Every replica of this step is up before traffic moves."""
    step = _step(endpoint, rollout)
    names = replica_names(endpoint.uid, endpoint.spec["wanted"], step["green"])
    if _ready(names, seen):
        rollout = {**rollout, "stage": "shifting", "since": now, "deadline": _deadline(rollout, seen, now)}
        do = _routes(endpoint, parts_at(endpoint.state, endpoint.spec["wanted"], step), seen)
        return _walk(endpoint, rollout, do=do, wake_at=now)
    do = keep_routes(endpoint, _held_parts(endpoint, rollout, seen), seen)
    if not do:  # what the step before made superfluous goes once the table without it is out
        keep = {**kept_names(endpoint.uid, endpoint.state, _blue(endpoint, rollout)), **names}
        do = stops([c for c in seen.children if c.name not in keep])
    do += _creates(endpoint, names, seen)
    return Step(endpoint.status, do=do, wake_in_real_s=LOOK_SECONDS)


def _shift(endpoint: Record, rollout: Rollout, seen: Seen, now: float) -> Step:
    """The weights are in the store, and read back, before the bake begins."""
    plan, step = plan_in(endpoint), _step(endpoint, rollout)
    if not _ready(replica_names(endpoint.uid, endpoint.spec["wanted"], step["green"]), seen):
        return _walk(endpoint, {**rollout, "stage": "creating", "since": now, "since_real": seen.real_now}, wake_at=now)
    publish = _routes(endpoint, parts_at(endpoint.state, endpoint.spec["wanted"], step), seen)
    if publish:
        return Step(endpoint.status, do=publish, wake_at=now)
    rollout = {**rollout, "held": step, "shares": step["share"]}
    wait = plan["final_wait_s"] if rollout["step"] == rollout["steps"] else plan["wait_s"]
    if wait <= 0:
        return _advance(endpoint, rollout, seen, now)
    return _walk(endpoint, {**rollout, "stage": "baking", "since": now, "until": now + wait}, wake_at=now)


def _bake(endpoint: Record, rollout: Rollout, seen: Seen, now: float) -> Step:
    if now >= rollout["until"]:
        return _advance(endpoint, rollout, seen, now)
    do = keep_routes(endpoint, _held_parts(endpoint, rollout, seen), seen)
    return Step(endpoint.status, do=do, wake_at=min(rollout["until"], rollout["deadline"] or rollout["until"], now + ALARM_LOOK_SECONDS))


def _advance(endpoint: Record, rollout: Rollout, seen: Seen, now: float) -> Step:
    if rollout["step"] < rollout["steps"]:
        further = {**rollout, "stage": "creating", "step": rollout["step"] + 1, "since": now, "since_real": seen.real_now, "until": None}
        return _walk(endpoint, further, wake_at=now)
    wanted = endpoint.spec["wanted"]
    state = {"serving": wanted, "settled": wanted["edition"], "failure": None, "rollout": None, "mix": None}
    return Step("InService", state, wake_at=now, detail={"rollout": {**rollout, "stage": "completed", "since": now, "until": None}})


# --- what goes wrong -----------------------------------------------------------------------------


def _trouble(endpoint: Record, rollout: Rollout, seen: Seen, now: float) -> str | None:
    """The reason to turn back, None where there is none."""
    wanted, plan = endpoint.spec["wanted"], plan_in(endpoint)
    names = replica_names(endpoint.uid, wanted, _step(endpoint, rollout)["green"])
    failed = next((c for c in seen.children if c.name in names and c.status == "Failed"), None)
    if failed is not None:
        return failed.reason
    if not plan["guarded"]:
        return None
    for name in plan["alarms"]:
        if seen.alarms.get(name) is None:
            return (
                f'The CloudWatch alarm "{name}" of AutoRollbackConfiguration does not exist any more, so the deployment cannot be watched.'
            )
    ringing = [name for name in plan["alarms"] if seen.alarms[name] == "ALARM"]
    if ringing:
        return f"CloudWatch alarm(s) in ALARM state during the deployment: {', '.join(ringing)}."
    up = rollout["step"] - (rollout["stage"] == "creating")
    served = replica_names(endpoint.uid, wanted, plan["steps"][up - 1]["green"]) if up else {}
    lost = next((c for c in seen.children if c.name in served and not is_ready(c)), None)
    if lost is not None:
        return LOST.format(served[lost.name]["name"])
    if _overdue(rollout, seen, now):
        return f"The deployment did not complete within MaximumExecutionTimeoutInSeconds ({plan['timeout_s']} seconds)."
    return None


def _overdue(rollout: Rollout, seen: Seen, now: float) -> bool:
    """While processes start, real time counts: a fast platform clock must not end a deployment that is well."""
    if rollout["deadline"] is None:
        return False
    if rollout["stage"] == "creating":
        return seen.real_now - rollout["since_real"] > rollout["deadline"] - rollout["since"]
    return now >= rollout["deadline"]


def _deadline(rollout: Rollout, seen: Seen, now: float) -> float | None:
    """The deadline at the end of a creating stage: what the clock ran ahead of the processes is given back."""
    if rollout["deadline"] is None:
        return None
    return rollout["deadline"] + max(0.0, (now - rollout["since"]) - (seen.real_now - rollout["since_real"]))


def _turn_back(endpoint: Record, rollout: Rollout, reason: str, seen: Seen, now: float) -> Step:
    serving, wanted = endpoint.state.get("serving"), endpoint.spec["wanted"]
    if serving is None:
        state = {"settled": wanted["edition"], "failure": reason, "rollout": None}
        return Step("Failed", state, wake_at=now, detail={"reason": reason, "rollout": {**rollout, "stage": "failed", "since": now}})
    back = back_steps(plan_in(endpoint), _blue(endpoint, rollout) or counts(serving), counts(serving))
    rollout = {
        **rollout,
        "stage": "rolling-back",
        "step": 1,
        "steps": len(back),
        "back": back,
        "reason": reason,
        "since": now,
        "until": None,
    }
    # AWS says RollingBack of changes of weight or capacity only; an update that goes back is still Updating.
    return _walk(endpoint, rollout, status="RollingBack" if wanted.get("scale") else "Updating", wake_at=now)


def _back(endpoint: Record, rollout: Rollout, seen: Seen, now: float) -> Step:
    """Blue takes the traffic again; where a rolling update had taken instances away, they come back first."""
    step, wanted = rollout["back"][rollout["step"] - 1], endpoint.spec["wanted"]
    names = kept_names(endpoint.uid, endpoint.state, step["blue"])
    if rollout["kind"] == "rolling":
        blues = [c for c in seen.children if c.name in names]
        failed = next((c for c in blues if c.status == "Failed"), None)
        if failed is not None:
            return _stuck(endpoint, rollout, failed.reason, now)
        if not _ready(names, seen):
            do = keep_routes(endpoint, _held_parts(endpoint, rollout, seen), seen)
            green = replica_names(endpoint.uid, wanted, (rollout.get("held") or step)["green"])
            if not do:
                do = stops([c for c in seen.children if c.name not in {**names, **green}])
            return Step(endpoint.status, do=do + _creates(endpoint, names, seen), wake_in_real_s=LOOK_SECONDS)
    publish = _routes(endpoint, parts_at(endpoint.state, wanted, step if any(step["share"].values()) else None), seen)
    if publish:
        return Step(endpoint.status, do=publish, wake_at=now)
    rollout = {**rollout, "held": step, "shares": step["share"]}
    if rollout["step"] < rollout["steps"]:
        return _walk(endpoint, {**rollout, "step": rollout["step"] + 1, "since": now}, wake_at=now)
    state = {"settled": wanted["edition"], "failure": rollout["reason"], "rollout": None}
    status = "UpdateRollbackFailed" if endpoint.state.get("mix") else "InService"
    detail = {"reason": rollout["reason"], "rollout": {**rollout, "stage": "rolled-back", "since": now}}
    return Step(status, state, wake_at=now, detail=detail)


def _stuck(endpoint: Record, rollout: Rollout, reason: str, now: float) -> Step:
    """The old fleet does not come back either: the endpoint serves with what both have (AWS: UpdateRollbackFailed)."""
    wanted = endpoint.spec["wanted"]
    held = rollout.get("held") or {"share": dict.fromkeys(counts(wanted), 0.0), "active": {}, "green": {}, "blue": {}}
    mix = {**held, "deployment": wanted}
    why = f"{rollout['reason']} The rollback failed: {reason}"
    state = {"settled": wanted["edition"], "failure": why, "rollout": None, "mix": mix}
    return Step(
        "UpdateRollbackFailed", state, wake_at=now, detail={"reason": why, "rollout": {**rollout, "stage": "rollback-failed", "since": now}}
    )


# --- helpers -------------------------------------------------------------------------------------


def _walk(endpoint: Record, rollout: Rollout, *, status: str = "", state: Mapping[str, Any] | None = None, **more: Any) -> Step:
    """A change of stage: the record and its event say where the rollout stands."""
    return Step(status or endpoint.status, {**(state or {}), "rollout": rollout}, detail={"rollout": rollout}, **more)


def _step(endpoint: Record, rollout: Rollout) -> Mapping[str, Any]:
    return plan_in(endpoint)["steps"][rollout["step"] - 1]


def _blue(endpoint: Record, rollout: Rollout) -> Mapping[str, int] | None:
    """What is left of the old fleet: the step that is under way takes from it only when its bake is over."""
    return plan_in(endpoint)["steps"][rollout["step"] - 2]["blue"] if rollout["step"] > 1 else None


def _held_parts(endpoint: Record, rollout: Rollout, seen: Seen) -> list[Part]:
    """Who takes traffic until the next table is out. On the way back, a new fleet without a healthy replica takes none."""
    held, wanted = rollout.get("held"), endpoint.spec["wanted"]
    if held is not None and rollout["stage"] == "rolling-back":
        names = replica_names(endpoint.uid, wanted, held["active"])
        if not any(c.name in names and is_ready(c) for c in seen.children):
            held = {**held, "share": dict.fromkeys(held["share"], 0.0)}
    return parts_at(endpoint.state, wanted, held)


def _ready(names: Mapping[str, Any], seen: Seen) -> bool:
    return names.keys() <= {c.name for c in seen.children if is_ready(c)}


def _creates(endpoint: Record, names: Mapping[str, Any], seen: Seen) -> list[Any]:
    have = {c.name for c in seen.children}
    return [CreateReplica(endpoint, n, v) for n, v in names.items() if n not in have]


def keep_routes(endpoint: Record, parts: Sequence[Part], seen: Seen) -> list[Any]:
    """The table as it shall be, where it is not; nothing for an endpoint that never served."""
    return _routes(endpoint, parts, seen) if base_parts(endpoint.state) else []


def _routes(endpoint: Record, parts: Sequence[Part], seen: Seen) -> list[Any]:
    table = table_of(endpoint, parts, seen.children, seen.faults)
    if seen.routes is not None and same_routes(seen.routes, table):
        return []
    version = seen.routes_version + 1
    return [Publish(endpoint.arn, version, {**table, "version": version})]


def stops(children: Sequence[Child]) -> list[Any]:
    return [StopReplica(c.uid) for c in children if not c.stopping]
