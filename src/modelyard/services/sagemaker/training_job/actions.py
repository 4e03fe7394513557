"""What a training job's reconciler does: actions, ensure-shaped, done before the write."""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import dataclass
from typing import Any

from modelyard.kernel.clock import real_now
from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.services.sagemaker.jobs.admission import keep_warm, leave
from modelyard.services.sagemaker.jobs.turns import only_one
from modelyard.services.sagemaker.training_job import run as job_run
from modelyard.services.sagemaker.training_job.hosts import hosts_of
from modelyard.services.sagemaker.training_job.inputs import Fetch
from modelyard.services.sagemaker.training_job.outputs import collect
from modelyard.services.sagemaker.training_job.spot import NOTICE_SECONDS
from modelyard.services.sagemaker.training_job.synced import restore, save
from modelyard.services.sagemaker.training_job.warm import pool_key, take_over

log = logging.getLogger("modelyard.training")
SYNC_SECONDS, SETTLED_SECONDS, WAIT_SECONDS = 2.0, 0.5, 0.05
INTERRUPTION = "[modelyard] Spot interruption: the instances will be taken back in two minutes. SIGTERM is sent now."


@dataclass(frozen=True)
class BuildImage:
    job: Record

    def perform(self, world: Any) -> None:
        job_run.build(self.job, world)


class Progress:
    """How far the download of a job's inputs is; read by the next look (`progress_of`)."""

    def __init__(self, key: str) -> None:
        self.key, self.channel, self.size, self.done = key, "", 0, 0

    def began(self, channel: str, size: int) -> None:
        self.channel, self.size, self.done = channel, size, 0

    def got(self, size: int) -> None:
        self.done += size
        if self.size >= BIG_CHANNEL_BYTES:
            tenths = 10 * self.done // self.size
            PROGRESS[self.key] = f"Downloading input data: {10 * tenths} % of {self.size / (1 << 30):.1f} GiB of channel {self.channel}"


PROGRESS: dict[str, str] = {}
BIG_CHANNEL_BYTES = 1 << 30


def progress_of(key: str) -> str | None:
    """What a client is told of a download under way; None while there is nothing worth telling."""
    return PROGRESS.get(key)


@dataclass(frozen=True)
class FetchInputs:
    job: Record
    attempt: int
    took: str | None = None

    def perform(self, world: Any) -> None:
        job, attempt = self.job, self.attempt
        key = job_run.task_key(job, "inputs", attempt)

        def work() -> None:
            home = job_run.folder(job, world)
            there = home / f"inputs-{attempt}"
            with only_one(home, "inputs"):  # several engines may look after one job
                if not there.exists():
                    self._fetch(world, key)
                    there.touch()

        world.tasks.ensure(key, work, on_end=lambda: world.wake(job.uid))

    def _fetch(self, world: Any, key: str) -> None:
        job, attempt, folders = self.job, self.attempt, {}
        session = job_run.session(job, world)
        take_over(job, world, self.took)
        for before in range(1, attempt):  # what an attempt had fetched, the next fetches again
            for host in hosts_of(job.spec):
                shutil.rmtree(job_run.ml_folder(job, world, before, host).parent, ignore_errors=True)
        try:
            for host in hosts_of(job.spec):
                folders[host] = job_run.lay_out(job, world, attempt, host)
            progress = Progress(key)
            fetch = Fetch(session, job.spec, folders, job_run.reads_in_place(world), progress.began, progress.got)
            fetch.run()
            for note in fetch.notes:
                job_run.say_in_log(job, world, note)
            for ml in folders.values():
                restore(session, job_run.folders_in_step(job), ml)
        except Exception:
            for ml in folders.values():
                shutil.rmtree(ml.parent, ignore_errors=True)  # at once: a full disk has no room for the verdict otherwise
            raise


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
class GiveNotice:
    """The spot instances will be taken back: the payload is told by SIGTERM and has two minutes, in real time."""

    job: Record

    def perform(self, world: Any) -> None:
        job_run.say_in_log(self.job, world, INTERRUPTION)
        StopRun(self.job, NOTICE_SECONDS).perform(world)


@dataclass(frozen=True)
class LeavePlace:
    job: Record

    def perform(self, world: Any) -> None:
        leave(world, self.job.uid)


@dataclass(frozen=True)
class KeepWarm:
    """The place is there for the next job like this one, before anybody can see that this one has ended."""

    job: Record

    def perform(self, world: Any) -> None:
        keep_warm(world, self.job.uid, pool_key(self.job) or self.job.uid)


@dataclass(frozen=True)
class SyncFolders:
    """Checkpoints and the like go to S3 while the payload runs, some seconds after one upload has ended the next begins. Every
    other time files that were written just now go too: one that is written anew all the time would never be settled."""

    job: Record

    def perform(self, world: Any) -> None:
        job, key = self.job, job_run.task_key(self.job, "synced")
        if not job_run.folders_in_step(job):
            return
        last = world.tasks.look(key)
        at, times = last.result or (0.0, 0)
        if last.state == "running" or real_now() - at < SYNC_SECONDS:
            return
        world.tasks.forget(key)

        def work() -> tuple[float, int]:
            try:
                _save(job, world, settled_s=SETTLED_SECONDS if times % 2 == 0 else 0.0)
            except (ApiError, OSError) as problem:  # the last upload decides
                log.warning("training job %s: %s", job.name, problem)
            return real_now(), times + 1

        world.tasks.ensure(key, work)


@dataclass(frozen=True)
class SaveFolders:
    """All that interrupted instances leave: the rest of their log, and their checkpoints."""

    job: Record

    def perform(self, world: Any) -> None:
        job = self.job

        def work() -> None:
            job_run.drain_if_room(job, world)
            _save(job, world)

        world.tasks.ensure(job_run.task_key(job, "saved"), work, on_end=lambda: world.wake(job.uid))


def _save(job: Record, world: Any, settled_s: float | None = None) -> None:
    folders = job_run.folders_in_step(job)
    if not folders:
        return
    session, under_way = job_run.session(job, world), job_run.task_key(job, "synced")
    while settled_s is None and world.tasks.look(under_way).state == "running":  # it may be sending what was written before
        time.sleep(WAIT_SECONDS)
    for host in hosts_of(job.spec):
        ml = job_run.ml_folder(job, world, host=host)
        if ml.is_dir():
            save(session, folders, ml, settled_s)


@dataclass(frozen=True)
class CollectOutputs:
    job: Record
    keep_model: bool

    def perform(self, world: Any) -> None:
        job, keep = self.job, self.keep_model

        def work() -> dict[str, Any]:
            job_run.drain_if_room(job, world)
            _save(job, world)
            folders = [job_run.ml_folder(job, world, host=host) for host in hosts_of(job.spec)]
            return collect(job_run.session(job, world), job, folders, job_run.Logs(job, world), keep_model=keep)

        world.tasks.ensure(job_run.task_key(job, "outputs"), work, on_end=lambda: world.wake(job.uid))


@dataclass(frozen=True)
class CleanUp:
    """Frees the run and its folders; the log lives in CloudWatch Logs, what it made in S3. A warm pool keeps the place and its cache."""

    job: Record
    warm: bool = False

    def perform(self, world: Any) -> None:
        job, folder = self.job, job_run.folder(self.job, world)
        for entry in folder.iterdir() if folder.is_dir() else ():
            if not (self.warm and entry.name == "warm"):
                shutil.rmtree(entry, ignore_errors=True)
        if not self.warm:
            shutil.rmtree(folder, ignore_errors=True)
        if "attempt" in job.state:
            job_run.drain_if_room(job, world)
            for attempt in range(1, job.state["attempt"] + 1):
                for run_id in job_run.run_ids(job, attempt):
                    world.runtime.remove(run_id)
            for part in ("inputs", "start", "synced", "saved", "outputs"):
                for attempt in range(1, job.state["attempt"] + 1):
                    world.tasks.forget(job_run.task_key(job, part, attempt))
                    PROGRESS.pop(job_run.task_key(job, part, attempt), None)
        if self.warm:
            KeepWarm(job).perform(world)
        else:
            leave(world, job.uid)
