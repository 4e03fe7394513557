"""A processing job as runs, one per host: folders, image, environment, logs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from modelyard.kernel.clock import real_now
from modelyard.kernel.records import Record
from modelyard.kernel.reserve import is_full
from modelyard.runtime.base import RunSpec, RunState
from modelyard.runtime.ml_layout import lay_out_processing
from modelyard.services.sagemaker.common import client_error
from modelyard.services.sagemaker.images import build_image
from modelyard.services.sagemaker.instances import instance
from modelyard.services.sagemaker.jobs.admission import Place, admit
from modelyard.services.sagemaker.jobs.network import network_of
from modelyard.services.sagemaker.jobs.pipes import fed, has_mounts
from modelyard.services.sagemaker.processing_job.check import below, managed_outputs
from modelyard.services.sagemaker.role_session import RoleSession

LOG_GROUP = "/aws/sagemaker/ProcessingJobs"


def instance_type(job: Record) -> str:
    cluster = job.spec["ProcessingResources"]["ClusterConfig"]
    return cluster.get("SelectedInstanceType") or cluster["InstanceType"]


def host_numbers(job: Record) -> range:
    cluster = job.spec["ProcessingResources"]["ClusterConfig"]
    return range(1, (cluster.get("SelectedInstanceCount") or cluster["InstanceCount"]) + 1)


def host_name(number: int) -> str:
    return f"algo-{number}"


def run_id(job: Record, host: int, attempt: int | None = None) -> str:
    """Numbers go through all hosts of all attempts: a run's id is used once."""
    earlier = (attempt or job.state.get("attempt", 1)) - 1
    return f"{job.uid}-{earlier * len(host_numbers(job)) + host}"


def run_ids(job: Record, attempt: int | None = None) -> list[str]:
    return [run_id(job, host, attempt) for host in host_numbers(job)]


def task_key(job: Record, part: str, attempt: int | None = None) -> str:
    return f"{job.uid}-attempt-{attempt or job.state.get('attempt', 1)}-{part}"


def folder(job: Record, world: Any) -> Path:
    return Path(world.settings.data) / "jobs" / job.uid


def ml_folders(job: Record, world: Any, attempt: int | None = None) -> list[Path]:
    """The /opt/ml of each host."""
    mine = folder(job, world) / str(attempt or job.state.get("attempt", 1))
    return [mine / host_name(host) / "ml" for host in host_numbers(job)]


def place(job: Record, world: Any) -> Place:
    """The job's turn among all jobs of this machine."""
    kind = instance(instance_type(job))
    return admit(world, job, kind.cpus_here, kind.memory_here, len(host_numbers(job)))


def log_file(job: Record, world: Any, host: int) -> Path:
    return world.runtime.folder(run_id(job, host)) / "log"


def log_stream(job: Record, host: int) -> str:
    return f"{job.name}/{host_name(host)}-{int(job.created_at)}"


def volume_gb(job: Record) -> int:
    return job.spec["ProcessingResources"]["ClusterConfig"]["VolumeSizeInGB"]


def volumes(job: Record, world: Any) -> list[list[Path]]:
    """The folders of each host that count as its volume: /opt/ml, and /tmp and home beside its log."""
    return [[ml, world.runtime.folder(run)] for ml, run in zip(ml_folders(job, world), run_ids(job), strict=True)]


def age_s(runs: tuple[RunState, ...]) -> float:
    return max((real_now() - run.started_at for run in runs if run.started_at), default=0.0)


def session(job: Record, world: Any) -> RoleSession:
    runtime_s = job.spec["StoppingCondition"]["MaxRuntimeInSeconds"]
    return RoleSession(world, job.account, job.region, job.spec["RoleArn"], at_least_s=runtime_s)


# --- image ---------------------------------------------------------------------------------------


def image_uri(job: Record) -> str:
    return job.spec["AppSpecification"]["ImageUri"]


def build(job: Record, world: Any) -> None:
    """Its progress goes to the log of the first host."""

    def say(line: str) -> None:
        world.logs.append(job.account, job.region, LOG_GROUP, log_stream(job, 1), [(int(world.clock.now() * 1000), line)])

    build_image(world, image_uri(job), say, job.uid)


# --- runs ----------------------------------------------------------------------------------------


def lay_out(job: Record, world: Any, attempt: int) -> list[Path]:
    """A fresh /opt/ml for each host of an attempt."""
    folders = ml_folders(job, world, attempt)
    shutil.rmtree(folders[0].parent.parent, ignore_errors=True)
    config = {"ProcessingJobArn": job.arn, **{member: value for member, value in job.spec.items() if member[0].isupper()}}
    hosts = [host_name(host) for host in host_numbers(job)]
    outputs = [below(output["LocalPath"]) for output in managed_outputs(job.spec)]
    for ml, host in zip(folders, hosts, strict=True):
        lay_out_processing(ml, config, outputs, instance_type(job), hosts, host)
    return folders


def start(job: Record, world: Any) -> None:
    """Starts the runs that are not there; raises ApiError or ValueError for what cannot ever start."""
    role = None
    for host in host_numbers(job):
        if world.runtime.look(run_id(job, host)).state == "absent":
            role = role or session(job, world)
            world.runtime.ensure(run_spec(job, world, role, host))


def run_spec(job: Record, world: Any, role: RoleSession, host: int) -> RunSpec:
    spec, image, kind = job.spec, world.images.find(image_uri(job)), instance(instance_type(job))
    app, ml = spec["AppSpecification"], ml_folders(job, world)[host - 1]
    entry = app.get("ContainerEntrypoint") or list(image.process)
    if not entry:
        raise client_error(f"The image {image_uri(job)} runs nothing by itself: give AppSpecification.ContainerEntrypoint.")
    isolated = spec.get("NetworkConfig", {}).get("EnableNetworkIsolation", False)
    hosts = [host_name(number) for number in host_numbers(job)]
    apart = world.runtime.no_network() if len(hosts) > 1 else None
    together = len(hosts) > 1 and not apart
    reached, network = network_of(world, run_id(job, host), isolated, hosts)
    own = [*image.commands.get(entry[0], entry[:1]), *entry[1:], *app.get("ContainerArguments", [])]
    argv, piped, mounts = fed(ml, own, has_mounts(world))
    region = {"AWS_REGION": job.region, "AWS_DEFAULT_REGION": job.region}
    mine = {} if isolated else role.environment()
    return RunSpec(
        id=run_id(job, host),
        argv=argv,
        env={**region, **image.variables, **mine, **reached, **spec.get("Environment", {}), **piped},
        ml=str(ml),
        env_path=str(world.images.path(image)),
        hostname=host_name(host),
        hosts=hosts if together else [host_name(host)],
        network=f"{job.uid}-{job.state['attempt']}" if together else None,
        host=host,
        memory_bytes=kind.memory_here,
        cpus=kind.cpus_here,
        **network | {"mounts": [*network["mounts"], *mounts]},
        max_runtime_s=spec["StoppingCondition"]["MaxRuntimeInSeconds"],
        first_log_lines=_notes(job, image.note, kind.gpus, apart),
    )


def _notes(job: Record, note: str | None, gpus: int, apart: str | None) -> list[str]:
    """What is another way than on AWS."""
    notes = [note] if note else []
    if gpus:
        notes.append(f"{instance_type(job)} has {gpus} GPU(s) on AWS; here the job runs on CPUs.")
    if apart:  # most jobs of several hosts only share the work, so they may run all the same
        notes.append(f"The hosts of this job cannot reach each other on this machine: {apart}")
    return notes


# --- logs ----------------------------------------------------------------------------------------


def follow(job: Record, world: Any) -> None:
    """Keeps the logs of all hosts flowing; harmless to repeat."""
    for host in host_numbers(job):
        world.follower.follow(run_id(job, host), job.account, job.region, LOG_GROUP, log_stream(job, host), log_file(job, world, host))


def drain_if_room(job: Record, world: Any) -> None:
    """All logs to their ends. A full disk costs log lines, never the verdict."""
    try:
        follow(job, world)
        for run in run_ids(job):
            world.follower.drain(run)
    except Exception as problem:
        if not is_full(problem):
            raise
