"""What a processing job's decisions do: ensure-shaped, done before the write."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

from modelyard.kernel.clock import real_now
from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.services.sagemaker.jobs.admission import leave
from modelyard.services.sagemaker.jobs.pipes import has_mounts
from modelyard.services.sagemaker.jobs.turns import only_one
from modelyard.services.sagemaker.jobs.volume import count
from modelyard.services.sagemaker.processing_job import run as job_run
from modelyard.services.sagemaker.processing_job.inputs import fetch
from modelyard.services.sagemaker.processing_job.outputs import collect, has_continuous, upload

UPLOAD_EVERY_SECONDS, SETTLED_SECONDS = 1.0, 0.5


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
            session, home = job_run.session(job, world), job_run.folder(job, world)
            home.mkdir(parents=True, exist_ok=True)
            there = home / f"inputs-{attempt}"
            try:
                with only_one(home, "inputs"):  # several engines may look after one job
                    if not there.exists():
                        fetch(session, job.spec, job_run.lay_out(job, world, attempt), has_mounts(world))
                        there.touch()
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
    """The logs, what is to be uploaded while the job runs, and how full its volumes are."""

    job: Record

    def perform(self, world: Any) -> None:
        job, key = self.job, job_run.task_key(self.job, "live")
        job_run.follow(job, world)
        count(world, job_run.task_key(job, "volume"), job_run.volumes(job, world))
        if not has_continuous(job.spec):
            return
        last = world.tasks.look(key)
        known, when = last.result if last.state == "done" else (None, 0.0)
        if last.state == "running" or real_now() < when + UPLOAD_EVERY_SECONDS:
            return
        world.tasks.forget(key)

        def work() -> tuple[Any, float]:
            try:
                with only_one(job_run.folder(job, world), "upload"):
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
            with only_one(job_run.folder(job, world), "upload"):
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
        for part in ("inputs", "start", "live", "volume", "outputs"):
            world.tasks.forget(job_run.task_key(job, part))
