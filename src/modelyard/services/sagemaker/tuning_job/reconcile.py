"""A tuning job keeps as many training jobs under way as it may, until it has had all or has seen enough. `decide` is pure.

What was tried is read from the children at each look, and a trial's name and uid are determined by its number: an engine that
dies between a suggestion and its training job, or two engines that look at once, make one trial of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from modelyard.kernel.clock import real_now
from modelyard.kernel.errors import ApiError
from modelyard.kernel.reconcile import Step
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Taken
from modelyard.kernel.tasks import ABSENT, TaskState
from modelyard.optimiser.space import space_of
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.jobs.failures import CHARACTERS, reason_of
from modelyard.services.sagemaker.training_job.lifecycle import LIFECYCLE as TRAINING_JOB
from modelyard.services.sagemaker.training_job.operations import create_child
from modelyard.services.sagemaker.tuning_job import completion, pruning, warm_start
from modelyard.services.sagemaker.tuning_job.curves import Curves
from modelyard.services.sagemaker.tuning_job.definitions import objective_of, ranges_of, training_request, trial_name, trial_uid
from modelyard.services.sagemaker.tuning_job.lifecycle import FINAL, LIFECYCLE
from modelyard.services.sagemaker.tuning_job.search import Known, suggest
from modelyard.services.sagemaker.tuning_job.trials import Trial, trials_of

CURVE_SECONDS = 0.25
NAMES = 20


@dataclass(frozen=True)
class Seen:
    """`trials` in the order of their numbers, running ones with their curves where these matter; `parents` the trials of each parent of a
    warm start; `launch` how the launch of the next trial went."""

    trials: Sequence[Trial] = ()
    parents: Sequence[Sequence[Trial]] = field(default_factory=tuple)
    launch: TaskState = ABSENT
    real: float = 0.0


def observe(job: Record, world: Any) -> Seen:
    if job.status in FINAL:
        return Seen()
    trials = trials_of(world.store, job)
    if _prunes(job) and any(not trial.is_ended for trial in trials):
        trials = _with_curves(trials, world)
    number = _next_number(trials)
    parents = warm_start.parents_of(world.store, job) if "WarmStartConfig" in job.spec else ()
    return Seen(trials, parents, world.tasks.look(launch_key(job, number)), real_now())


@api.reconciler(LIFECYCLE, observe)
def decide(job: Record, seen: Seen, now: float) -> Step:
    if job.status in FINAL:
        return Step(job.status)
    state: dict[str, Any] = {} if "began_real" in job.state else {"began_real": seen.real}
    if "converged_at" not in job.state and completion.has_converged(seen.trials):
        state["converged_at"] = now
    ending = job.state.get("ending") or _ending(job, seen)
    if ending:
        return _end(job, seen, now, {**state, "ending": ending})
    return _go_on(job, seen, now, state)


def _go_on(job: Record, seen: Seen, now: float, state: dict[str, Any]) -> Step:
    running = [trial for trial in seen.trials if not trial.is_ended]
    do: list[Any] = [StopTrial(trial.uid) for trial in _pruned(job, seen.trials)]
    free = _config(job)["ResourceLimits"]["MaxParallelTrainingJobs"] - len(running)
    launching = free > 0 and not _all_launched(job, seen.trials)
    if launching:
        do.append(Launch(job, _next_number(seen.trials), seen.trials, seen.parents))
    pause = [CURVE_SECONDS] if running and _prunes(job) else []
    if (limit := _config(job)["ResourceLimits"].get("MaxRuntimeInSeconds")) is not None:
        began = job.state.get("began_real", seen.real)
        pause.append(max(0.0, began + limit - seen.real))
    # One at a time: a look stays short, and the next suggestion knows of this trial.
    return Step(job.status, state, do=do, wake_at=now if launching else None, wake_in_real_s=min(pause, default=None))


def _ending(job: Record, seen: Seen) -> dict[str, str] | None:
    """How the job ends, once it does: {"status", "reason"}."""
    if job.spec.get("stop"):
        return {"status": "Stopped"}
    if seen.launch.state == "failed":
        return {"status": "Failed", "reason": reason_of(seen.launch.error)[:CHARACTERS]}
    done = _all_launched(job, seen.trials) and all(trial.is_ended for trial in seen.trials)
    if reason := completion.failure(seen.trials, done):
        return {"status": "Failed", "reason": reason}
    limit = _config(job)["ResourceLimits"].get("MaxRuntimeInSeconds")
    overdue = limit is not None and "began_real" in job.state and seen.real >= job.state["began_real"] + limit
    if done or overdue or completion.criterion_met(_config(job).get("TuningJobCompletionCriteria", {}), seen.trials):
        return {"status": "Completed"}
    return None


def _end(job: Record, seen: Seen, now: float, state: dict[str, Any]) -> Step:
    """Stops what runs; the last word is said when nothing does."""
    ending, running = state["ending"], [trial for trial in seen.trials if not trial.is_ended]
    if not running:
        last = {"ended_at": now, **({"reason": ending["reason"]} if "reason" in ending else {})}
        return Step(ending["status"], {**state, **last}, detail={"reason": ending.get("reason")} if "reason" in ending else None)
    status = "Stopping" if ending["status"] == "Stopped" else job.status
    return Step(status, state, do=[StopTrial(trial.uid) for trial in running if not trial.stopping])


# --- helpers ---------------------------------------------------------------------------------------


def _config(job: Record) -> dict[str, Any]:
    return job.spec["HyperParameterTuningJobConfig"]


def _prunes(job: Record) -> bool:
    """Whether curves of running trials matter to this job."""
    return _config(job)["Strategy"] == "Hyperband" or _config(job).get("TrainingJobEarlyStoppingType") == "Auto"


def _pruned(job: Record, trials: Sequence[Trial]) -> list[Trial]:
    config = _config(job)
    if config["Strategy"] != "Hyperband":
        return pruning.worse_than_median(trials) if config.get("TrainingJobEarlyStoppingType") == "Auto" else []
    stopped = []
    for n, definition in enumerate(job.spec["definitions"]):
        mine = [trial for trial in trials if (trial.number - 1) % len(job.spec["definitions"]) == n]
        found = pruning.resources(config, definition["StaticHyperParameters"])
        stopped += pruning.outside_top_third(mine, *found) if found else []
    return stopped


def _most(job: Record) -> float:
    config = _config(job)
    if config["Strategy"] == "Grid":
        return sum(space_of(ranges_of(config, definition)).combinations for definition in job.spec["definitions"])
    return config["ResourceLimits"].get("MaxNumberOfTrainingJobs", float("inf"))


def _all_launched(job: Record, trials: Sequence[Trial]) -> bool:
    return _next_number(trials) > _most(job)


def _next_number(trials: Sequence[Trial]) -> int:
    return max((trial.number for trial in trials), default=0) + 1


def _with_curves(trials: Sequence[Trial], world: Any) -> list[Trial]:
    curves = world.parts.setdefault("curves", Curves())
    running = {trial.uid: world.store.by_uid(trial.uid) for trial in trials if not trial.is_ended}
    found = {uid: curves.read(child, world) for uid, child in running.items() if child is not None}
    return [replace(trial, curve=found[trial.uid]) if trial.uid in found else trial for trial in trials]


def launch_key(job: Record, number: int) -> str:
    return f"{job.uid}-launch-{number}"


def place_of(job: Record, number: int) -> tuple[int, int]:
    """(which definition, which trial of it): they take turns; a grid goes through one after the other."""
    definitions = job.spec["definitions"]
    if _config(job)["Strategy"] != "Grid":
        return (number - 1) % len(definitions), (number - 1) // len(definitions) + 1
    for n, definition in enumerate(definitions):
        size = int(space_of(ranges_of(_config(job), definition)).combinations)
        if number <= size or n == len(definitions) - 1:
            return n, number
        number -= size
    raise AssertionError("a tuning job has a definition")


def values_for(job: Record, number: int, trials: Sequence[Trial], parents: Sequence[Sequence[Trial]]) -> tuple[int, dict[str, str]]:
    """(which definition, values) of a trial, from what the records say."""
    config = _config(job)
    which, of_definition = place_of(job, number)
    mine = [trial for trial in trials if place_of(job, trial.number)[0] == which]
    observed = warm_start.lessons(mine)
    lessons = [warm_start.lessons(parent) for parent in parents]
    identical = warm_start.is_identical(job.spec)
    known = Known(
        observed=observed + ([lesson for parent in lessons for lesson in parent] if identical else []),
        waiting=[trial.tuned for trial in mine if trial.value is None or trial.status == "Failed"],
        parents=[] if identical else lessons,
    )
    seed = str(config["RandomSeed"]) if "RandomSeed" in config else job.uid
    space = space_of(ranges_of(config, job.spec["definitions"][which]))
    return which, suggest(config["Strategy"], space, f"{seed}:{which}", of_definition, known)


# --- actions: ensure-shaped, done before the write -------------------------------------------------


@dataclass(frozen=True)
class Launch:
    """The training job of one trial. A role that is gone or a bucket nobody may read ends the tuning job; what passes by is tried again."""

    job: Record
    number: int
    trials: Sequence[Trial]
    parents: Sequence[Sequence[Trial]]

    def perform(self, world: Any) -> None:
        world.tasks.attempt(launch_key(self.job, self.number), lambda: self._launch(world), (ApiError,))

    def _launch(self, world: Any) -> None:
        job, number = self.job, self.number
        which, values = values_for(job, number, self.trials, self.parents)
        definition = job.spec["definitions"][which]
        objective = objective_of(_config(job), definition)
        tuning = {
            "arn": job.arn,
            "job": job.name,
            "number": number,
            "definition": definition.get("DefinitionName", ""),
            "values": values,
            "metric": objective["MetricName"],
            "type": objective["Type"],
            "curve": _prunes(job),
        }
        for again in range(NAMES):
            request = training_request(definition, trial_name(job, number, again), values)
            try:
                create_child(world, job, trial_uid(job, number), request, {"tuning": tuning}, job.spec["tags"])
            except Taken as taken:
                if taken.record.owner != job.uid:
                    continue  # a training job that somebody made by hand has the name
            return


@dataclass(frozen=True)
class StopTrial:
    uid: str

    def perform(self, world: Any) -> None:
        child = world.store.by_uid(self.uid)
        if child is None or child.spec.get("stop") or TRAINING_JOB.is_final(child.status):
            return
        try:
            world.store.request(child, {"stop": True}, detail={"wish": "stop"})
        except Moved:
            world.store.wake(child.owner)
            return
        world.ring(TRAINING_JOB.kind)
