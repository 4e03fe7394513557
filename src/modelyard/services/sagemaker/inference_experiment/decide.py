"""The walk of an experiment. Pure.

Each status has a goal for the endpoint: a configuration that it shall serve, or a weight of the shadow. The endpoint is looked at;
what is missing is asked for once nothing else is under way there, and what the endpoint says of it decides. Asking twice for
the same is harmless: the second time the endpoint wants it already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.store import Step
from modelyard.services.sagemaker.inference_experiment import plan
from modelyard.services.sagemaker.inference_experiment.actions import Forget, PutEndpoint, UpdateWeight

LOOK_SECONDS = 2.0
"""A second line: every event of the endpoint wakes its experiments."""
ON_THE_WAY = ("Creating", "Updating", "RollingBack", "SystemUpdating")


@dataclass(frozen=True)
class Endpoint:
    """`serving` and `wanted` are the names of configurations, `weights` those of what serves by variant; `wanted_weights` likewise."""

    status: str
    serving: str | None
    wanted: str
    weights: Mapping[str, float] = field(default_factory=dict)
    wanted_weights: Mapping[str, float] = field(default_factory=dict)
    failure: str = ""


@dataclass(frozen=True)
class Seen:
    """`refused`: why an operation that the experiment asked for was refused."""

    endpoint: Endpoint | None
    refused: str | None = None


@dataclass(frozen=True)
class Way:
    """How far a goal is: done, failed for a reason, or (neither) on its way by `do`."""

    done: bool = False
    reason: str = ""
    do: tuple[Any, ...] = ()


def decide(experiment: Record, seen: Seen, now: float) -> Step:
    walk = {"Creating": _create, "Created": _wait, "Updating": _update, "Starting": _start, "Running": _run, "Stopping": _stop}
    if experiment.status not in walk:
        return Step(experiment.status)
    return walk[experiment.status](experiment, seen, now)


def _create(experiment: Record, seen: Seen, now: float) -> Step:
    way = _config(experiment, seen, plan.during(experiment), may_create=not experiment.spec.get("before"))
    return _after(experiment, way, now, "Created", {"edition": experiment.spec["edition"]})


def _wait(experiment: Record, seen: Seen, now: float) -> Step:
    spec = experiment.spec
    if spec.get("stop"):
        return Step("Stopping", wake_at=now)
    if spec["edition"] != experiment.state["edition"]:
        return Step("Updating", wake_at=now)
    if spec.get("start") or now >= spec["start_at"]:
        return Step("Starting", {"started_at": now}, wake_at=now)
    return Step("Created", wake_at=spec["start_at"])


def _update(experiment: Record, seen: Seen, now: float) -> Step:
    if "started_at" in experiment.state:
        return _after(experiment, _weight(experiment, seen), now, "Running", {"percent": experiment.spec["shadow"]["percent"]})
    way = _config(experiment, seen, plan.during(experiment))
    return _after(experiment, way, now, "Created", {"edition": experiment.spec["edition"]})


def _start(experiment: Record, seen: Seen, now: float) -> Step:
    return _after(experiment, _weight(experiment, seen), now, "Running", {"percent": experiment.spec["shadow"]["percent"]})


def _run(experiment: Record, seen: Seen, now: float) -> Step:
    spec = experiment.spec
    if spec.get("stop") or now >= spec["end_at"]:
        return Step("Stopping", wake_at=now)
    lost = _lost(experiment, seen)
    if lost:
        return _end(experiment, "Cancelled", lost, now)
    if spec["shadow"]["percent"] != experiment.state["percent"]:
        return Step("Updating", wake_at=now)
    return Step("Running", wake_at=spec["end_at"])


def _stop(experiment: Record, seen: Seen, now: float) -> Step:
    """Where somebody else has changed the endpoint meanwhile, it stays as they wanted it."""
    stop, goal, there, failed = experiment.spec.get("stop"), plan.after(experiment), seen.endpoint, experiment.state.get("failed", "")
    way = Way(done=True)
    if goal is not None and there is not None and plan.of(experiment, there.wanted):
        way = _config(experiment, seen, goal)
    if way.reason or (failed and way.done):
        return _end(experiment, "Cancelled", failed or way.reason, now)
    if not way.done:
        return Step("Stopping", do=way.do, wake_in_real_s=0.0 if way.do else LOOK_SECONDS)
    # "When you conclude your experiment early using the StopInferenceExperiment API, it shows as cancelled", unless asked otherwise.
    status = stop.get("state", "Cancelled") if stop else "Completed"
    return _end(experiment, status, (stop or {}).get("reason", ""), now)


# --- goals ---------------------------------------------------------------------------------------


def _config(experiment: Record, seen: Seen, goal: plan.Config, may_create: bool = False) -> Way:
    """The endpoint serves this configuration."""
    there, name = seen.endpoint, goal[0]
    if seen.refused:
        return Way(reason=seen.refused)
    if there is None:
        return Way(do=(PutEndpoint("CreateEndpoint", experiment, *goal),)) if may_create else Way(reason=_gone(experiment))
    if there.status in ON_THE_WAY:
        return Way()
    if there.status in ("Deleting", "Failed"):
        return Way(reason=there.failure or _gone(experiment))
    if there.serving == name:
        return Way(done=True)
    if there.wanted == name:
        return Way(reason=there.failure or f"The endpoint {experiment.spec['endpoint']} could not be updated.")
    return Way(do=(PutEndpoint("UpdateEndpoint", experiment, *goal),))


def _weight(experiment: Record, seen: Seen) -> Way:
    """The shadow has its share of copies."""
    there, name, wanted = seen.endpoint, experiment.spec["shadow"]["name"], plan.weight(experiment)
    if seen.refused:
        return Way(reason=seen.refused)
    if there is not None and there.status in ON_THE_WAY:
        return Way()
    lost = _lost(experiment, seen)
    if lost or there is None:
        return Way(reason=lost)
    if there.weights.get(name) == wanted:
        return Way(done=True)
    if there.wanted_weights.get(name) == wanted:
        return Way(reason=there.failure or f"The weight of shadow variant {name} could not be updated.")
    return Way(do=(UpdateWeight(experiment, wanted),))


def _lost(experiment: Record, seen: Seen) -> str:
    """Why there is nothing to test any more; empty where there is."""
    there = seen.endpoint
    if there is None or there.status in ("Deleting", "Failed"):
        return (there.failure if there else "") or _gone(experiment)
    if plan.during(experiment)[0] not in (there.serving, there.wanted):
        return f"The endpoint {experiment.spec['endpoint']} was updated to another endpoint configuration ({there.wanted}) during the experiment."
    return ""


def _gone(experiment: Record) -> str:
    return f"The endpoint {experiment.spec['endpoint']} of the experiment does not exist any more."


# --- helpers -------------------------------------------------------------------------------------


def _after(experiment: Record, way: Way, now: float, status: str, state: Mapping[str, Any]) -> Step:
    if way.reason and experiment.status != "Creating":  # what came of the test so far is taken back
        return Step("Stopping", {"failed": way.reason[:1024]}, wake_at=now)
    if way.reason:
        return _end(experiment, "Cancelled", way.reason, now)
    if way.done:
        return Step(status, state, wake_at=now)
    return Step(experiment.status, do=way.do, wake_in_real_s=0.0 if way.do else LOOK_SECONDS)


def _end(experiment: Record, status: str, reason: str, now: float) -> Step:
    state = {"completed_at": now, **({"reason": reason[:1024]} if reason else {})}
    return Step(status, state, do=[Forget(experiment)], detail={"reason": reason} if reason else {})
