"""The walk of a training job: image → a place (jobs/admission.py) → inputs → run → outputs → the end. `decide` is pure.

Where each phase stands is looked up each time (the image store, the tasks of this engine, the run's shim), so an
engine that died anywhere is continued by the next one: a copy of inputs begins again, a run that is going on is
found again, an upload is repeated with the same keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelyard.kernel.reconcile import Step
from modelyard.kernel.records import Record
from modelyard.kernel.tasks import ABSENT, TaskState
from modelyard.runtime.base import RunState
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.images import look_at_image
from modelyard.services.sagemaker.jobs.admission import Place
from modelyard.services.sagemaker.jobs.failures import LOST, MOST_ATTEMPTS, OUT_OF_MEMORY, no_image, reason_of
from modelyard.services.sagemaker.training_job import run as job_run
from modelyard.services.sagemaker.training_job.actions import BuildImage, CleanUp, CollectOutputs, FetchInputs, FollowLog, StartRun, StopRun
from modelyard.services.sagemaker.training_job.hosts import hosts_of, together
from modelyard.services.sagemaker.training_job.lifecycle import LIFECYCLE, NO_ROOM, moved
from modelyard.services.sagemaker.training_job.outputs import failure_text

LOOK_SECONDS, LOOK_SECONDS_YOUNG, YOUNG_SECONDS = 0.25, 0.03, 10.0
FINAL = ("Completed", "Failed", "Stopped")


@dataclass(frozen=True)
class Seen:
    """`image` is unknown, absent, building, ready or failed; `place` what admission.py says; `run` what the
    runs of all hosts say together, `failing` that one of them has failed and others still run; `failure` is the text a failed
    run left."""

    image: str = "ready"
    image_reason: str = ""
    place: Place = Place(True)
    inputs: TaskState = ABSENT
    start: TaskState = ABSENT
    run: RunState = RunState("absent")
    failing: bool = False
    outputs: TaskState = ABSENT
    failure: str = ""
    run_age_s: float = 0.0


def observe(job: Record, world: Any) -> Seen:
    phase = job.state.get("phase", "image")
    if job.status in FINAL:
        return Seen()
    if phase == "image":
        image, why = look_at_image(world, job_run.image_uri(job))
        wants_place = image == "ready" and not job.spec.get("stop")
        return Seen(image, why, job_run.place(job, world) if wants_place else Place(False))
    if phase == "inputs":
        return Seen(inputs=world.tasks.look(job_run.task_key(job, "inputs")))
    found = together([world.runtime.look(run_id) for run_id in job_run.run_ids(job)])
    run, failure = found.run, ""
    if run.state == "exited" and run.exit_code:
        host = hosts_of(job.spec)[found.host - 1]
        failure = failure_text(job_run.ml_folder(job, world, host=host), job_run.log_file(job, world, host))
    start, outputs = (world.tasks.look(job_run.task_key(job, part)) for part in ("start", "outputs"))
    return Seen(start=start, run=run, failing=found.failing, outputs=outputs, failure=failure, run_age_s=job_run.age_s(run))


@api.reconciler(LIFECYCLE, observe)
def decide(job: Record, seen: Seen, now: float) -> Step:
    if job.status in FINAL:
        return Step(job.status, do=[CleanUp(job)])
    phases = {"image": _image, "inputs": _inputs, "run": _run, "outputs": _outputs}
    return phases[job.state.get("phase", "image")](job, seen, now)


def _image(job: Record, seen: Seen, now: float) -> Step:
    if job.spec.get("stop"):
        return _end(job, "Stopped", now)
    if reason := no_image(seen.image, seen.image_reason):
        return _end(job, "Failed", now, reason)
    if seen.image == "ready" and not seen.place:
        return Step(job.status, moved(job.state, "Starting", now, NO_ROOM), wake_in_real_s=seen.place.look_in_real_s)
    if seen.image == "ready":
        state = {"phase": "inputs", "attempt": 1, "started_at": now, **moved(job.state, "Downloading", now)}
        return Step(job.status, state, do=[FetchInputs(job, 1)], wake_in_real_s=LOOK_SECONDS_YOUNG)
    return Step(job.status, moved(job.state, "Starting", now), do=[BuildImage(job)], wake_in_real_s=LOOK_SECONDS)


def _inputs(job: Record, seen: Seen, now: float) -> Step:
    if job.spec.get("stop"):
        return _end(job, "Stopped", now)
    if seen.inputs.state == "failed":
        return _end(job, "Failed", now, reason_of(seen.inputs.error))
    if seen.inputs.state == "done":
        return Step(
            job.status, {"phase": "run", **moved(job.state, "Training", now)}, do=[StartRun(job)], wake_in_real_s=LOOK_SECONDS_YOUNG
        )
    again = [FetchInputs(job, job.state["attempt"])] if seen.inputs.state == "absent" else []
    return Step(job.status, do=again, wake_in_real_s=LOOK_SECONDS_YOUNG)


def _run(job: Record, seen: Seen, now: float) -> Step:
    run, stop = seen.run, job.spec.get("stop", False)
    if run.state == "exited":
        outcome, secondary, reason = _outcome(run, seen.failure, stop)
        state = {"phase": "outputs", "outcome": outcome, "last": secondary, "reason": reason, **moved(job.state, "Uploading", now)}
        return Step(job.status, state, do=[CollectOutputs(job, outcome != "Failed")], wake_in_real_s=LOOK_SECONDS_YOUNG)
    if run.state == "lost":
        return _lost(job, now, stop)
    if run.state == "absent" and seen.start.state == "failed":
        return _end(job, "Failed", now, reason_of(seen.start.error))
    if seen.failing:
        return Step(job.status, do=[StopRun(job), FollowLog(job)], wake_in_real_s=LOOK_SECONDS_YOUNG)
    if stop and job.status == "InProgress":
        return Step("Stopping", moved(job.state, "Stopping", now), do=[StopRun(job)], wake_in_real_s=LOOK_SECONDS_YOUNG)
    if stop and run.state == "absent":
        return _end(job, "Stopped", now)
    act = StopRun(job) if stop else StartRun(job) if run.state == "absent" else FollowLog(job)
    return Step(job.status, do=[act], wake_in_real_s=LOOK_SECONDS_YOUNG if seen.run_age_s < YOUNG_SECONDS else LOOK_SECONDS)


def _lost(job: Record, now: float, stop: bool) -> Step:
    """The instance is gone (its shim was killed, the machine restarted): as on AWS, the platform's fault, so it tries again."""
    attempt = job.state["attempt"] + 1
    if stop:
        return _end(job, "Stopped", now)
    if attempt > MOST_ATTEMPTS:
        return _end(job, "Failed", now, LOST)
    restarting = moved(job.state, "Restarting", now)
    state = {"phase": "inputs", "attempt": attempt, **moved({**job.state, **restarting}, "Downloading", now)}
    return Step(job.status, state, do=[StopRun(job, 0.0), FetchInputs(job, attempt)], wake_in_real_s=LOOK_SECONDS_YOUNG)


def _outputs(job: Record, seen: Seen, now: float) -> Step:
    outcome = job.state["outcome"]
    if seen.outputs.state == "failed":
        return _end(job, "Failed", now, job.state.get("reason") or reason_of(seen.outputs.error))
    if seen.outputs.state == "done":
        return _end(job, outcome, now, job.state.get("reason"), job.state["last"], seen.outputs.result)
    again = [CollectOutputs(job, outcome != "Failed")] if seen.outputs.state == "absent" else []
    return Step(job.status, do=again, wake_in_real_s=LOOK_SECONDS_YOUNG)


def _outcome(run: RunState, failure: str, stop: bool) -> tuple[str, str, str | None]:
    """(status, secondary status, reason) of an ended run."""
    if run.ended_by == "max-runtime":
        return "Stopped", "MaxRuntimeExceeded", None
    if run.ended_by == "stop" or (stop and run.ended_by is None and run.exit_code != 0):
        return "Stopped", "Stopped", None
    if run.ended_by == "oom":
        return "Failed", "Failed", f"{OUT_OF_MEMORY}, exit code: 137"
    if run.exit_code == 0:
        return "Completed", "Completed", None
    return "Failed", "Failed", f"AlgorithmError: {failure}, exit code: {run.exit_code}"


def _end(
    job: Record, status: str, now: float, reason: str | None = None, secondary: str | None = None, left: dict[str, Any] | None = None
) -> Step:
    """The last step; once it is committed one more look cleans up."""
    state: dict[str, Any] = {"ended_at": now, "phase": "end", **moved(job.state, secondary or status, now)}
    if "started_at" not in job.state:
        state["started_at"] = now
    if reason:
        state["reason"] = reason
    return Step(status, {**state, **(left or {})}, wake_at=now, detail={"reason": reason} if reason else None)
