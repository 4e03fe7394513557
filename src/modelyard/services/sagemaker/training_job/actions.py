"""What a training job's reconciler does: actions, ensure-shaped, done before the write."""

from __future__ import annotations

import heapq
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.services.sagemaker.jobs.admission import leave
from modelyard.services.sagemaker.training_job import run as job_run
from modelyard.services.sagemaker.training_job.hosts import hosts_of
from modelyard.services.sagemaker.training_job.inputs import fetch
from modelyard.services.sagemaker.training_job.outputs import collect


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
        key = job_run.task_key(job, "inputs", attempt)

        def work() -> None:
            session, folders = job_run.session(job, world), {}
            try:
                for host in hosts_of(job.spec):
                    folders[host] = job_run.lay_out(job, world, attempt, host)
                fetch(session, job.spec, folders)
            except Exception:
                shutil.rmtree(job_run.folder(job, world), ignore_errors=True)  # at once: a full disk has no room for the verdict otherwise
                raise

        world.tasks.ensure(key, work, on_end=lambda: world.wake(job.uid))


@dataclass(frozen=True)
class StartRun:
    job: Record

    def perform(self, world: Any) -> None:
        """A role that is gone, or a command no process can have, will not get better: the job fails. A machine that is
        short of something may: the engine tries again."""
        world.tasks.attempt(job_run.task_key(self.job, "start"), lambda: job_run.start(self.job, world), (ApiError, ValueError))
        job_run.follow(self.job, world)


@dataclass(frozen=True)
class FollowLog:
    job: Record

    def perform(self, world: Any) -> None:
        job_run.follow(self.job, world)


@dataclass(frozen=True)
class StopRun:
    """All hosts: SIGTERM, after the grace SIGKILL."""

    job: Record
    grace_s: float | None = None

    def perform(self, world: Any) -> None:
        for run_id in job_run.run_ids(self.job):
            world.runtime.stop(run_id, self.grace_s)


@dataclass(frozen=True)
class CollectOutputs:
    job: Record
    keep_model: bool

    def perform(self, world: Any) -> None:
        job, keep = self.job, self.keep_model

        def work() -> dict[str, Any]:
            job_run.drain_if_room(job, world)
            lines = heapq.merge(*(world.follower.lines(job_run.log_file(job, world, host)) for host in hosts_of(job.spec)))
            folders = [job_run.ml_folder(job, world, host=host) for host in hosts_of(job.spec)]
            return collect(job_run.session(job, world), job, folders, lines, keep_model=keep)

        world.tasks.ensure(job_run.task_key(job, "outputs"), work, on_end=lambda: world.wake(job.uid))


@dataclass(frozen=True)
class CleanUp:
    """Frees the run and its folders; the log lives in CloudWatch Logs, what it made in S3."""

    job: Record

    def perform(self, world: Any) -> None:
        job = self.job
        shutil.rmtree(Path(world.settings.data) / "jobs" / job.uid, ignore_errors=True)
        if "attempt" in job.state:
            job_run.drain_if_room(job, world)
            for attempt in range(1, job.state["attempt"] + 1):
                for run_id in job_run.run_ids(job, attempt):
                    world.runtime.remove(run_id)
        for part in ("inputs", "start", "outputs"):
            world.tasks.forget(job_run.task_key(job, part))
        leave(world, job.uid)
