"""What the walk of a transform job does. Each may be done twice."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.reserve import is_full
from modelyard.services.sagemaker.endpoint import container
from modelyard.services.sagemaker.endpoint.actions import CreateReplica, StopReplica
from modelyard.services.sagemaker.endpoint.lifecycle import REPLICA
from modelyard.services.sagemaker.images import build_image
from modelyard.services.sagemaker.jobs.admission import leave
from modelyard.services.sagemaker.jobs.inputs import objects
from modelyard.services.sagemaker.role_session import RoleSession
from modelyard.services.sagemaker.transform_job import host as worker
from modelyard.services.sagemaker.transform_job import instances
from modelyard.services.sagemaker.transform_job.capture import write_manifests
from modelyard.services.sagemaker.transform_job.ledger import Ledger
from modelyard.services.sagemaker.transform_job.output import abort

SMALL_BYTES, GZIP_RATIO = 1 << 20, 20


def list_key(job: Record) -> str:
    return f"{job.uid}-list"


def work_key(job: Record, host: int) -> str:
    return f"{job.uid}-work-{host}"


def capture_key(job: Record) -> str:
    return f"{job.uid}-capture"


def image_uris(job: Record) -> list[str]:
    return list(dict.fromkeys(c["image"] for c in job.spec["model"]["containers"]))


def session(job: Record, world: Any) -> RoleSession:
    return RoleSession(world, job.account, job.region, job.spec["model"]["role"])


@dataclass(frozen=True)
class BuildImages:
    """Their progress goes to the job's log."""

    job: Record

    def perform(self, world: Any) -> None:
        job = self.job

        def say(line: str) -> None:
            stream = f"{job.name}/image"
            world.logs.append(job.account, job.region, instances.LOG_GROUP, stream, [(int(world.clock.now() * 1000), line)])

        for uri in image_uris(job):
            if world.images.look(world.images.find(uri)).state != "ready":
                build_image(world, uri, say, job.uid)


@dataclass(frozen=True)
class ListObjects:
    job: Record

    def perform(self, world: Any) -> None:
        job, source = self.job, self.job.spec["TransformInput"]["DataSource"]["S3DataSource"]

        def work() -> tuple[int, int]:
            return Ledger(job, world).write_list(objects(session(job, world), source["S3Uri"], source["S3DataType"]))

        world.tasks.ensure(list_key(job), work, on_end=lambda: world.wake(job.uid))


@dataclass(frozen=True)
class StartInstance:
    job: Record
    host: int

    def perform(self, world: Any) -> None:
        CreateReplica(self.job, instances.name(self.job, self.host), instances.replica_spec(self.job)).perform(world)


def is_apart(job: Record, world: Any) -> bool:
    """Whether the job's workers are processes of their own. A little is through before such a process has begun."""
    packed = GZIP_RATIO if job.spec["TransformInput"].get("CompressionType") == "Gzip" else 1
    return "apart" in world.parts and job.state.get("bytes", SMALL_BYTES) * packed >= SMALL_BYTES


@dataclass(frozen=True)
class Work:
    job: Record
    host: int
    again: bool = False

    def perform(self, world: Any) -> None:
        job, host = self.job, self.host
        apart = world.apart if is_apart(job, world) else None
        if self.again:
            world.tasks.forget(work_key(job, host))

        def work() -> None:
            if apart is not None:
                apart(["transform", job.uid, str(host)])
            else:
                worker.work(world, job.uid, host)

        world.tasks.ensure(work_key(job, host), work, on_end=lambda: world.wake(job.uid))


@dataclass(frozen=True)
class EndInstances:
    """Workers are told to end, instances are let go of."""

    job: Record

    def perform(self, world: Any) -> None:
        Ledger(self.job, world).ask_to_stop()
        for replica in world.store.children(self.job.uid, REPLICA.kind):
            StopReplica(replica.uid).perform(world)


@dataclass(frozen=True)
class ReadLogs:
    """What containers said until now is in their log streams when the job is over: clients read them once more then."""

    job: Record

    def perform(self, world: Any) -> None:
        for replica in world.store.children(self.job.uid, REPLICA.kind):
            for number in container.numbers(replica):
                try:
                    world.follower.drain(container.run_id(replica, number))
                except Exception as problem:
                    if not is_full(problem):
                        raise


@dataclass(frozen=True)
class Capture:
    job: Record

    def perform(self, world: Any) -> None:
        job = self.job
        world.tasks.ensure(
            capture_key(job),
            lambda: write_manifests(session(job, world), job, Ledger(job, world).items()),
            on_end=lambda: world.wake(job.uid),
        )


@dataclass(frozen=True)
class CleanUp:
    """What it made is in S3, its logs in CloudWatch Logs."""

    job: Record

    def perform(self, world: Any) -> None:
        job = self.job
        for replica in world.store.children(job.uid, REPLICA.kind):
            StopReplica(replica.uid).perform(world)
        leave(world, job.uid)
        _forget_uploads(job, world)
        shutil.rmtree(Ledger(job, world).folder, ignore_errors=True)
        for key in (list_key(job), capture_key(job), *(work_key(job, host) for host in range(1, job.state.get("hosts", 0) + 1))):
            world.tasks.forget(key)


def _forget_uploads(job: Record, world: Any) -> None:
    """Those of workers that were killed and not started again."""
    ledger = Ledger(job, world)
    left = [upload for host in range(1, job.state.get("hosts", 0) + 1) for upload in ledger.uploads(host)]
    role = session(job, world) if left else None
    for upload in left:
        abort(role, *upload)
