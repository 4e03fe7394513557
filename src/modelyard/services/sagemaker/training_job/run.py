"""A training job as a run: its folders, image, environment, log."""

from __future__ import annotations

import heapq
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelyard.kernel.clock import real_now
from modelyard.kernel.records import Record
from modelyard.kernel.reserve import is_full
from modelyard.runtime.base import Mount, RunSpec, RunState
from modelyard.runtime.ml_layout import lay_out_training
from modelyard.services.sagemaker.common import client_error
from modelyard.services.sagemaker.images import build_image, edition_for
from modelyard.services.sagemaker.instances import has_own_disks, instance
from modelyard.services.sagemaker.jobs.admission import Place, admit
from modelyard.services.sagemaker.jobs.network import network_of
from modelyard.services.sagemaker.role_session import RoleSession
from modelyard.services.sagemaker.training_job.hosts import Host, groups_of, hosts_of, no_gpus
from modelyard.services.sagemaker.training_job.inputs import IN_BOX, is_for, links_folder, mode_of, pipes_plan
from modelyard.services.sagemaker.training_job.metrics import NAMESPACE, Finder
from modelyard.services.sagemaker.training_job.spot import runtime_left_s
from modelyard.services.sagemaker.training_job.synced import Synced, synced
from modelyard.services.sagemaker.training_job.warm import CACHE, cache_folder, keep_alive_s, pool_key

FIRST = Host(1, "")
VOLUME_ROOM_BYTES = 1 << 30
LOG_GROUP = "/aws/sagemaker/TrainingJobs"


def run_id(job: Record, attempt: int | None = None, host: int = 1) -> str:
    """`<uid>-<number>`, numbered over all attempts and hosts."""
    before = (attempt or job.state.get("attempt", 1)) - 1
    return f"{job.uid}-{before * len(hosts_of(job.spec)) + host}"


def run_ids(job: Record, attempt: int | None = None) -> list[str]:
    """The runs of an attempt (the latest), one per host."""
    return [run_id(job, attempt, host.number) for host in hosts_of(job.spec)]


def task_key(job: Record, part: str, attempt: int | None = None) -> str:
    return f"{job.uid}-{attempt or job.state.get('attempt', 1)}-{part}"


def folder(job: Record, world: Any) -> Path:
    return Path(world.settings.data) / "jobs" / job.uid


def ml_folder(job: Record, world: Any, attempt: int | None = None, host: Host = FIRST) -> Path:
    return folder(job, world) / run_id(job, attempt, host.number).rpartition("-")[2] / "ml"


def log_file(job: Record, world: Any, host: Host = FIRST, attempt: int | None = None) -> Path:
    return world.runtime.folder(run_id(job, attempt, host.number)) / "log"


def log_files(job: Record, world: Any) -> list[Path]:
    """Of all hosts and all attempts."""
    attempts = range(1, job.state["attempt"] + 1)
    return [log_file(job, world, host, attempt) for attempt in attempts for host in hosts_of(job.spec)]


@dataclass(frozen=True)
class Logs:
    """What all hosts have printed in all attempts, as one log."""

    job: Record
    world: Any

    def lines(self) -> Iterator[tuple[float, str]]:
        return heapq.merge(*map(self.world.follower.lines, log_files(self.job, self.world)))

    def newest(self) -> Iterator[tuple[float, str]]:
        return heapq.merge(*map(self.world.follower.newest_lines, log_files(self.job, self.world)), reverse=True)


def log_stream(job: Record, host: Host = FIRST) -> str:
    return f"{job.name}/{host.name}-{int(job.created_at)}"


def age_s(run: RunState) -> float:
    return real_now() - run.started_at if run.started_at else 0.0


def ran_s(run: RunState) -> float:
    """How long the payload ran, as far as it is known."""
    if run.started_at is None:
        return 0.0
    return max(0.0, (run.finished_at or real_now()) - run.started_at)


def session(job: Record, world: Any) -> RoleSession:
    runtime_s = job.spec["StoppingCondition"]["MaxRuntimeInSeconds"]
    return RoleSession(world, job.account, job.region, job.spec["RoleArn"], at_least_s=runtime_s)


# --- image ---------------------------------------------------------------------------------------


def image_uri(job: Record, world: Any) -> str:
    algorithm = job.spec["AlgorithmSpecification"]
    return edition_for(world.images, algorithm["TrainingImage"], algorithm.get("ContainerArguments", []))


def build(job: Record, world: Any) -> None:
    """Its progress goes to the job's log."""
    build_image(world, image_uri(job, world), lambda line: say_in_log(job, world, line), job.uid)


def say_in_log(job: Record, world: Any, line: str) -> None:
    world.logs.append(job.account, job.region, LOG_GROUP, log_stream(job), [(int(world.clock.now() * 1000), line)])


def place(job: Record, world: Any) -> Place:
    """Asks for the job's place among all jobs of this machine."""
    kinds = [instance(host.instance_type) for host in hosts_of(job.spec)]
    return admit(world, job, sum(kind.cpus_here for kind in kinds), sum(kind.memory_here for kind in kinds), warm=pool_key(job))


# --- run -----------------------------------------------------------------------------------------


def lay_out(job: Record, world: Any, attempt: int, host: Host = FIRST) -> Path:
    """A fresh /opt/ml for a host of an attempt."""
    ml, hosts = ml_folder(job, world, attempt, host), hosts_of(job.spec)
    shutil.rmtree(ml.parent, ignore_errors=True)
    spec = job.spec
    lay_out_training(
        ml,
        hyperparameters=spec.get("HyperParameters", {}),
        channels=[channel for channel in spec.get("InputDataConfig", []) if is_for(channel, host)],
        input_mode=spec["AlgorithmSpecification"]["TrainingInputMode"],
        instance_type=host.instance_type,
        hosts=tuple(one.name for one in hosts),
        current_host=host.name,
        group=host.group,
        groups=groups_of(hosts),
        checkpoints=spec.get("CheckpointConfig"),
    )
    return ml


def folders_in_step(job: Record) -> list[Synced]:
    return synced(job.spec, job.name)


def start(job: Record, world: Any) -> None:
    """Starts what has not started. Raises ClientError where several hosts are asked for and the machine cannot join them."""
    hosts = [host for host in hosts_of(job.spec) if world.runtime.look(run_id(job, host=host.number)).state == "absent"]
    if len(hosts_of(job.spec)) > 1 and (why := world.runtime.no_network()):
        raise client_error(f"Training on several instances needs a private network between them, which this machine does not give: {why}")
    role = session(job, world) if hosts else None
    for host in hosts:
        world.runtime.ensure(run_spec(job, world, role, host))


def run_spec(job: Record, world: Any, role: RoleSession, host: Host = FIRST) -> RunSpec:
    spec, image = job.spec, world.images.find(image_uri(job, world))
    algorithm = spec["AlgorithmSpecification"]
    kind, hosts = instance(hosts_of(spec)[host.number - 1].instance_type), [one.name for one in hosts_of(spec)]
    isolated = spec.get("EnableNetworkIsolation", False)
    reached, network = network_of(world, run_id(job, host=host.number), isolated, hosts)
    environment = {
        "TRAINING_JOB_NAME": job.name,
        "TRAINING_JOB_ARN": job.arn,
        "SAGEMAKER_REGION": job.region,
        "AWS_REGION": job.region,
        "AWS_DEFAULT_REGION": job.region,
        **image.variables,
        **({} if isolated else role.environment()),
        **reached,
        **spec.get("Environment", {}),
    }
    elsewhere = [one for one in folders_in_step(job) if one.seen_as]
    network["mounts"] = [
        *network["mounts"],
        *(Mount(str(ml_folder(job, world, host=host) / one.below), one.seen_as, True) for one in elsewhere),
    ]
    if keep_alive_s(spec) or job.state.get("took"):
        cache = cache_folder(job, world) / host.name
        cache.mkdir(parents=True, exist_ok=True)
        network["mounts"].append(Mount(str(cache), CACHE, True))
    entry = algorithm.get("ContainerEntrypoint")
    argv = [*(entry or image.train), *algorithm.get("ContainerArguments", [])]
    ml = ml_folder(job, world, host=host)
    network["mounts"] += _channel_mounts(spec, ml)
    if pipes_plan(ml).exists():
        boxed = reads_in_place(world)
        environment["MODELYARD_PIPES"] = f"{IN_BOX}/.pipes/plan.json" if boxed else str(pipes_plan(ml))
        argv = ["python3", "-m", "modelyard_algorithms.pipes", *argv]
    return RunSpec(
        id=run_id(job, host=host.number),
        argv=argv,
        env=environment,
        ml=str(ml),
        env_path=str(world.images.path(image)),
        hostname=host.name,
        hosts=hosts,
        network=f"{job.uid}-{job.state['attempt']}" if len(hosts) > 1 else None,
        host=host.number,
        memory_bytes=kind.memory_here,
        cpus=kind.cpus_here,
        disk_bytes=_volume(spec, host),
        **network,
        max_runtime_s=runtime_left_s(job),
        first_log_lines=[note for note in (image.note, no_gpus(spec)) if note],
    )


def reads_in_place(world: Any) -> bool:
    """Whether boxes of this machine can have read-only mounts."""
    return getattr(world.runtime, "tier", "") != "degraded"


def _volume(spec: dict[str, Any], host: Host) -> int | None:
    """What /opt/ml and /tmp may hold: VolumeSizeInGB, with some room for what AWS keeps elsewhere."""
    size = spec["ResourceConfig"].get("VolumeSizeInGB")
    return (size << 30) + VOLUME_ROOM_BYTES if size and not has_own_disks(hosts_of(spec)[host.number - 1].instance_type) else None


def _channel_mounts(spec: dict[str, Any], ml: Path) -> list[Mount]:
    """Channels that are read in place (see inputs.py)."""
    mounts = []
    for channel in spec.get("InputDataConfig", []):
        name, links = channel["ChannelName"], links_folder(ml, channel["ChannelName"])
        if not links.is_dir() or not any(links.iterdir()):
            continue
        target = f"{IN_BOX}/{name}" if mode_of(channel, spec) == "Pipe" else f"/opt/ml/input/data/{name}"
        mounts.append(Mount(str(links), target))
    if pipes_plan(ml).exists():
        mounts.append(Mount(str(pipes_plan(ml).parent), f"{IN_BOX}/.pipes"))
    return mounts


# --- log -----------------------------------------------------------------------------------------


def follow(job: Record, world: Any) -> None:
    """Keeps the logs and the metrics of all hosts flowing; harmless to repeat."""
    for host in hosts_of(job.spec):
        _follow(job, world, host)


def _follow(job: Record, world: Any, host: Host) -> None:
    key = run_id(job, host=host.number)
    definitions = job.spec["AlgorithmSpecification"].get("MetricDefinitions", [])
    finder = Finder(definitions)
    dimensions = [{"Name": "TrainingJobName", "Value": job.name}]  # where the SDK's TrainingJobAnalytics looks

    def on_lines(places: list[int], lines: list[tuple[int, str]]) -> None:
        data, ends = [], []
        for place, (at_ms, text) in zip(places, lines, strict=True):
            for name, value, at in finder.find(at_ms / 1000, text):
                data.append({"MetricName": name, "Dimensions": dimensions, "Value": value, "Timestamp": at})
                ends.append(place)
        if data:
            world.metrics.put(job.account, job.region, NAMESPACE, data, source=(key, ends))

    stream, path = log_stream(job, host), log_file(job, world, host)
    world.follower.follow(key, job.account, job.region, LOG_GROUP, stream, path, on_lines if definitions else None)


def drain_if_room(job: Record, world: Any) -> None:
    """A full disk costs log lines, never the verdict."""
    try:
        drain(job, world)
    except Exception as problem:
        if not is_full(problem):
            raise


def drain(job: Record, world: Any) -> None:
    follow(job, world)
    for key in run_ids(job):
        world.follower.drain(key)
