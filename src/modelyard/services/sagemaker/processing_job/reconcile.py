"""The walk of a processing job: image → a place (jobs/admission.py) → inputs → run → outputs → the end. `decide` is pure.

As with training jobs, where each phase stands is looked up each time, so an engine that died anywhere is continued by
the next one. The hosts of a job begin together, and one that fails or is lost ends the others.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

from modelyard.kernel.clock import real_now
from modelyard.kernel.errors import ApiError
from modelyard.kernel.reconcile import Step
from modelyard.kernel.records import Record
from modelyard.kernel.tasks import ABSENT, TaskState
from modelyard.runtime.base import RunState
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.images import look_at_image
from modelyard.services.sagemaker.jobs.admission import Place, leave
from modelyard.services.sagemaker.jobs.failures import CHARACTERS, LOST, MOST_ATTEMPTS, OUT_OF_MEMORY, last_line, no_image, reason_of
from modelyard.services.sagemaker.processing_job import run as job_run
from modelyard.services.sagemaker.processing_job.inputs import fetch
from modelyard.services.sagemaker.processing_job.lifecycle import FINAL, LIFECYCLE
from modelyard.services.sagemaker.processing_job.outputs import collect, has_continuous, only_one, upload

LOOK_SECONDS, LOOK_SECONDS_YOUNG, YOUNG_SECONDS = 0.25, 0.03, 10.0
UPLOAD_EVERY_SECONDS, SETTLED_SECONDS = 1.0, 0.5
PEER_SECONDS, PEER_GRACE_SECONDS = 30.0, 10.0
"""How long the other hosts may go on when one has failed: what they say and leave often tells why."""
BAD_MESSAGE = "ClientError: The exit message in /opt/ml/output/message is not UTF-8 encoded."


@dataclass(frozen=True)
class Seen:
    """`image` is unknown, absent, building, ready or failed; `place` what admission.py says; `runs` has one state per host, `said` the last line of each
    log whose run failed; `failed_for_s` is how long ago (real seconds) the first run failed."""

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
    return Seen(start=start, runs=runs, said=said, age_s=job_run.age_s(runs), failed_for_s=real_now() - since)


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
        return Step(job.status, state, do=[FetchInputs(job, 1)], wake_in_real_s=LOOK_SECONDS_YOUNG)
    return Step(job.status, do=[BuildImage(job)], wake_in_real_s=LOOK_SECONDS)


def _inputs(job: Record, seen: Seen, now: float) -> Step:
    if job.spec.get("stop"):
        return _end(job, "Stopped", now)
    if seen.inputs.state == "failed":
        return _end(job, "Failed", now, reason_of(seen.inputs.error))
    if seen.inputs.state == "done":
        return Step(job.status, {"phase": "run"}, do=[StartRuns(job)], wake_in_real_s=LOOK_SECONDS_YOUNG)
    again = [FetchInputs(job, job.state["attempt"])] if seen.inputs.state == "absent" else []
    return Step(job.status, do=again, wake_in_real_s=LOOK_SECONDS_YOUNG)


def _run(job: Record, seen: Seen, now: float) -> Step:
    runs, stop = seen.runs, job.spec.get("stop", False)
    if any(run.state == "lost" for run in runs):
        return _lost(job, now, stop)
    if all(run.state == "exited" for run in runs):
        outcome, reason = _outcome(runs, seen.said, stop)
        state = {"phase": "outputs", "outcome": outcome, "reason": reason}
        return Step(job.status, state, do=[CollectOutputs(job)], wake_in_real_s=LOOK_SECONDS_YOUNG)
    if seen.start.state == "failed" and any(run.state == "absent" for run in runs):
        return _end(job, "Failed", now, reason_of(seen.start.error))
    look = LOOK_SECONDS_YOUNG if seen.age_s < YOUNG_SECONDS else LOOK_SECONDS
    if stop and job.status == "InProgress":
        return Step("Stopping", do=[StopRuns(job)], wake_in_real_s=LOOK_SECONDS_YOUNG)
    if stop and all(run.state == "absent" for run in runs):
        return _end(job, "Stopped", now)
    if stop:
        return Step(job.status, do=[StopRuns(job)], wake_in_real_s=look)
    if seen.failed_for_s > PEER_SECONDS:
        return Step(job.status, do=[StopRuns(job, PEER_GRACE_SECONDS)], wake_in_real_s=look)
    act = StartRuns(job) if any(run.state == "absent" for run in runs) else Follow(job)
    return Step(job.status, do=[act], wake_in_real_s=look)


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
    return Step(job.status, do=again, wake_in_real_s=LOOK_SECONDS_YOUNG)


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


# --- actions: ensure-shaped, done before the write -----------------------------------------------


@dataclass(frozen=True)
class BuildImage:
    job: Record

    def perform(self, world: Any) -> None:
        job_run.build(self.job, world)


@dataclass(frozen=True)
class FetchInputs:
    job: Record
    attempt: int

    def perform(self, world: Any) -> None:
        job, attempt = self.job, self.attempt

        def work() -> None:
            session = job_run.session(job, world)
            folders = job_run.lay_out(job, world, attempt)
            try:
                fetch(session, job.spec, folders)
            except Exception:
                shutil.rmtree(job_run.folder(job, world), ignore_errors=True)  # at once: a full disk has no room for the verdict otherwise
                raise

        world.tasks.ensure(job_run.task_key(job, "inputs", attempt), work, on_end=lambda: world.wake(job.uid))


@dataclass(frozen=True)
class StartRuns:
    job: Record

    def perform(self, world: Any) -> None:
        """A role that is gone, or a command no process can have, will not get better: the job fails. A machine that is
        short of something may: the engine tries again."""
        world.tasks.attempt(job_run.task_key(self.job, "start"), lambda: job_run.start(self.job, world), (ApiError, ValueError))
        job_run.follow(self.job, world)


@dataclass(frozen=True)
class Follow:
    """The logs, and what is to be uploaded while the job runs."""

    job: Record

    def perform(self, world: Any) -> None:
        job, key = self.job, job_run.task_key(self.job, "live")
        job_run.follow(job, world)
        if not has_continuous(job.spec):
            return
        last = world.tasks.look(key)
        known, when = last.result if last.state == "done" else (None, 0.0)
        if last.state == "running" or real_now() < when + UPLOAD_EVERY_SECONDS:
            return
        world.tasks.forget(key)

        def work() -> tuple[Any, float]:
            try:
                with only_one(job_run.folder(job, world)):
                    settled_ns = int((real_now() - SETTLED_SECONDS) * 1e9)
                    up = upload(job_run.session(job, world), job.spec, job_run.ml_folders(job, world), known, settled_ns)
            except (ApiError, OSError):  # the last upload tells whether it is for good
                up = known
            return up, real_now()

        world.tasks.ensure(key, work)


@dataclass(frozen=True)
class StopRuns:
    """Also those that have not started: they never will."""

    job: Record
    grace_s: float | None = None

    def perform(self, world: Any) -> None:
        for run in job_run.run_ids(self.job):
            world.runtime.stop(run, self.grace_s)
        job_run.follow(self.job, world)


@dataclass(frozen=True)
class EndRuns:
    job: Record

    def perform(self, world: Any) -> None:
        for run in job_run.run_ids(self.job):
            world.runtime.stop(run, 0)


@dataclass(frozen=True)
class CollectOutputs:
    job: Record

    def perform(self, world: Any) -> None:
        job = self.job
        live = world.tasks.look(job_run.task_key(job, "live"))

        def work() -> dict[str, Any]:
            job_run.drain_if_room(job, world)
            with only_one(job_run.folder(job, world)):
                known = live.result[0] if live.state == "done" else None
                return collect(job_run.session(job, world), job.spec, job_run.ml_folders(job, world), known)

        world.tasks.ensure(job_run.task_key(job, "outputs"), work, on_end=lambda: world.wake(job.uid))


@dataclass(frozen=True)
class CleanUp:
    """Frees the runs and their folders; the log lives in CloudWatch Logs, what it made in S3."""

    job: Record

    def perform(self, world: Any) -> None:
        job = self.job
        leave(world, job.uid)
        shutil.rmtree(job_run.folder(job, world), ignore_errors=True)
        if "attempt" in job.state:
            job_run.drain_if_room(job, world)
            for attempt in range(1, job.state["attempt"] + 1):
                for run in job_run.run_ids(job, attempt):
                    world.runtime.remove(run)
        for part in ("inputs", "start", "live", "outputs"):
            world.tasks.forget(job_run.task_key(job, part))
