"""The walk of a processing job: image → a place (jobs/admission.py) → inputs → run → outputs → the end. `decide` is pure.

As with training jobs, where each phase stands is looked up each time, so an engine that died anywhere is continued by
the next one. The hosts of a job begin together, and one that fails or is lost ends the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelyard.kernel.clock import real_now
from modelyard.kernel.reconcile import Step
from modelyard.kernel.records import Record
from modelyard.kernel.tasks import ABSENT, TaskState
from modelyard.runtime.base import RunState
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.images import look_at_image
from modelyard.services.sagemaker.jobs.admission import Place
from modelyard.services.sagemaker.jobs.failures import CHARACTERS, LOST, MOST_ATTEMPTS, OUT_OF_MEMORY, last_line, no_image, reason_of
from modelyard.services.sagemaker.jobs.volume import full as volume_is_full
from modelyard.services.sagemaker.jobs.volume import written
from modelyard.services.sagemaker.processing_job import run as job_run
from modelyard.services.sagemaker.processing_job.actions import (
    BuildImage,
    CleanUp,
    CollectOutputs,
    EndRuns,
    FetchInputs,
    Follow,
    StartRuns,
    StopRuns,
)
from modelyard.services.sagemaker.processing_job.lifecycle import FINAL, LIFECYCLE

LOOK_SECONDS, LOOK_SECONDS_YOUNG, YOUNG_SECONDS = 0.25, 0.03, 10.0
PEER_SECONDS, PEER_GRACE_SECONDS = 30.0, 10.0
"""How long the other hosts may go on when one has failed: what they say and leave often tells why."""
BAD_MESSAGE = "ClientError: The exit message in /opt/ml/output/message is not UTF-8 encoded."


@dataclass(frozen=True)
class Seen:
    """`image` is unknown, absent, building, ready or failed; `place` what admission.py says; `runs` has one state per host, `said` the last line of each
    log whose run failed; `failed_for_s` is how long ago (real seconds) the first run failed; `full` is the first host (from 1) that
    has written more than its volume holds, else 0."""

    image: str = "ready"
    image_reason: str = ""
    place: Place = Place(True)
    inputs: TaskState = ABSENT
    start: TaskState = ABSENT
    runs: tuple[RunState, ...] = (RunState("absent"),)
    outputs: TaskState = ABSENT
    said: tuple[str, ...] = ("",)
    age_s: float = 0.0
    failed_for_s: float = 0.0
    full: int = 0


def observe(job: Record, world: Any) -> Seen:
    phase = job.state["phase"]
    if job.status in FINAL:
        return Seen()
    if phase == "image":
        image, reason = look_at_image(world, job_run.image_uri(job))
        waits = image == "ready" and not job.spec.get("stop")
        return Seen(image, reason, job_run.place(job, world) if waits else Place(False))
    if phase == "inputs":
        return Seen(inputs=world.tasks.look(job_run.task_key(job, "inputs")))
    if phase == "outputs":
        return Seen(outputs=world.tasks.look(job_run.task_key(job, "outputs")))
    runs = tuple(world.runtime.look(run) for run in job_run.run_ids(job))
    start = world.tasks.look(job_run.task_key(job, "start"))
    said = tuple(last_line(job_run.log_file(job, world, host)) if _failed(run) else "" for host, run in enumerate(runs, 1))
    since = min((run.finished_at for run in runs if _failed(run) and run.finished_at), default=real_now())
    age, failed_for = job_run.age_s(runs), real_now() - since
    sizes = written(world, job_run.task_key(job, "volume"))
    full = next((host for host, size in enumerate(sizes, 1) if size > job_run.volume_gb(job) << 30), 0)
    return Seen(start=start, runs=runs, said=said, age_s=age, failed_for_s=failed_for, full=full)


@api.reconciler(LIFECYCLE, observe)
def decide(job: Record, seen: Seen, now: float) -> Step:
    if job.status in FINAL:
        return Step(job.status, do=[CleanUp(job)])
    phases = {"image": _image, "inputs": _inputs, "run": _run, "outputs": _outputs}
    return phases[job.state["phase"]](job, seen, now)


def _image(job: Record, seen: Seen, now: float) -> Step:
    if job.spec.get("stop"):
        return _end(job, "Stopped", now)
    if reason := no_image(seen.image, seen.image_reason):
        return _end(job, "Failed", now, reason)
    if seen.image == "ready" and not seen.place:
        return Step(job.status, wake_in_real_s=seen.place.look_in_real_s)
    if seen.image == "ready":
        state = {"phase": "inputs", "attempt": 1, "started_at": now}
        return Step(job.status, state, do=[FetchInputs(job, 1)], wake_in_real_s=LOOK_SECONDS)
    return Step(job.status, do=[BuildImage(job)], wake_in_real_s=LOOK_SECONDS)


def _inputs(job: Record, seen: Seen, now: float) -> Step:
    if job.spec.get("stop"):
        return _end(job, "Stopped", now)
    if seen.inputs.state == "failed":
        return _end(job, "Failed", now, reason_of(seen.inputs.error))
    if seen.inputs.state == "done":
        return Step(job.status, {"phase": "run"}, do=[StartRuns(job)], wake_in_real_s=LOOK_SECONDS_YOUNG)
    again = [FetchInputs(job, job.state["attempt"])] if seen.inputs.state == "absent" else []
    return Step(job.status, do=again, wake_in_real_s=LOOK_SECONDS)  # its end wakes the job


def _run(job: Record, seen: Seen, now: float) -> Step:
    runs, stop = seen.runs, job.spec.get("stop", False)
    if any(run.state == "lost" for run in runs):
        return _lost(job, now, stop)
    if host := job.state.get("full"):
        return _full(job, runs, host, now)
    if all(run.state == "exited" for run in runs):
        outcome, reason = _outcome(runs, seen.said, stop)
        state = {"phase": "outputs", "outcome": outcome, "reason": reason}
        return Step(job.status, state, do=[CollectOutputs(job)], wake_in_real_s=LOOK_SECONDS)
    if seen.start.state == "failed" and any(run.state == "absent" for run in runs):
        return _end(job, "Failed", now, reason_of(seen.start.error))
    look = LOOK_SECONDS_YOUNG if seen.age_s < YOUNG_SECONDS else LOOK_SECONDS
    if stop and job.status == "InProgress":
        return Step("Stopping", do=[StopRuns(job)], wake_in_real_s=LOOK_SECONDS_YOUNG)
    if stop and all(run.state == "absent" for run in runs):
        return _end(job, "Stopped", now)
    if stop:
        return Step(job.status, do=[StopRuns(job)], wake_in_real_s=look)
    if seen.full:
        return Step(job.status, {"full": seen.full}, do=[StopRuns(job, 0.0)], wake_in_real_s=LOOK_SECONDS_YOUNG)
    if seen.failed_for_s > PEER_SECONDS:
        return Step(job.status, do=[StopRuns(job, PEER_GRACE_SECONDS)], wake_in_real_s=look)
    act = StartRuns(job) if any(run.state == "absent" for run in runs) else Follow(job)
    return Step(job.status, do=[act], wake_in_real_s=look)


def _full(job: Record, runs: tuple[RunState, ...], host: int, now: float) -> Step:
    """What such a job has written is not uploaded: it would be on this disk twice."""
    if all(run.state == "exited" for run in runs):
        return _end(job, "Failed", now, volume_is_full(job_run.host_name(host), job_run.volume_gb(job)))
    return Step(job.status, do=[StopRuns(job, 0.0)], wake_in_real_s=LOOK_SECONDS_YOUNG)


def _failed(run: RunState) -> bool:
    return run.state == "exited" and (run.exit_code != 0 or run.ended_by is not None)


def _lost(job: Record, now: float, stop: bool) -> Step:
    """An instance is gone (its shim was killed, the machine restarted): the platform's fault, so all hosts begin again."""
    attempt = job.state["attempt"] + 1
    if stop:
        return _end(job, "Stopped", now)
    if attempt > MOST_ATTEMPTS:
        return _end(job, "Failed", now, LOST)
    state = {"phase": "inputs", "attempt": attempt}
    return Step(job.status, state, do=[EndRuns(job), FetchInputs(job, attempt)], wake_in_real_s=LOOK_SECONDS_YOUNG)


def _outputs(job: Record, seen: Seen, now: float) -> Step:
    outcome, reason = job.state["outcome"], job.state.get("reason")
    if seen.outputs.state == "failed":
        return _end(job, "Failed", now, reason or reason_of(seen.outputs.error))
    if seen.outputs.state == "done":
        left = dict(seen.outputs.result)
        if left.pop("broken", False) and outcome != "Failed":
            outcome, reason = "Failed", BAD_MESSAGE
        return _end(job, outcome, now, reason, left)
    again = [CollectOutputs(job)] if seen.outputs.state == "absent" else []
    return Step(job.status, do=again, wake_in_real_s=LOOK_SECONDS)  # its end wakes the job


def _outcome(runs: tuple[RunState, ...], said: tuple[str, ...], stop: bool) -> tuple[str, str | None]:
    """(status, reason) when all hosts have ended. What failed first is the reason: later ones may have failed of it."""
    if stop and any(run.ended_by == "stop" or (run.ended_by is None and run.exit_code != 0) for run in runs):
        return "Stopped", None
    failed = [n for n, run in enumerate(runs) if run.ended_by == "oom" or (run.ended_by is None and run.exit_code != 0)]
    if failed:
        first = min(failed, key=lambda n: runs[n].finished_at or 0.0)
        if runs[first].ended_by == "oom":
            return "Failed", f"{OUT_OF_MEMORY}, exit code: 137"
        host = f"{job_run.host_name(first + 1)}: " if len(runs) > 1 else ""
        help_ = f" ({host}{said[first]})" if said[first] or host else ""
        return "Failed", f"AlgorithmError: See job logs for more information, exit code: {runs[first].exit_code}{help_}"[:CHARACTERS]
    return ("Stopped" if any(run.ended_by for run in runs) else "Completed"), None


def _end(job: Record, status: str, now: float, reason: str | None = None, left: dict[str, Any] | None = None) -> Step:
    """The last step; once it is committed one more look cleans up."""
    state: dict[str, Any] = {"ended_at": now, "phase": "end", "started_at": job.state.get("started_at", now)}
    if reason:
        state["reason"] = reason[:CHARACTERS]
    return Step(status, {**state, **(left or {})}, wake_at=now, detail={"reason": reason} if reason else None)
