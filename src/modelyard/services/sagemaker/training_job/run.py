"""A training job as a run: its folders, image, environment, log."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from modelyard.kernel.clock import real_now
from modelyard.kernel.records import Record
from modelyard.kernel.reserve import is_full
from modelyard.runtime.base import RunSpec, RunState
from modelyard.runtime.ml_layout import lay_out_training
from modelyard.services.sagemaker.images import build_image
from modelyard.services.sagemaker.instances import instance
from modelyard.services.sagemaker.jobs.admission import Place, admit
from modelyard.services.sagemaker.jobs.network import network_of
from modelyard.services.sagemaker.role_session import RoleSession
from modelyard.services.sagemaker.training_job.metrics import NAMESPACE, Finder

LOG_GROUP = "/aws/sagemaker/TrainingJobs"


def run_id(job: Record, attempt: int | None = None) -> str:
    return f"{job.uid}-{attempt or job.state.get('attempt', 1)}"


def task_key(job: Record, part: str, attempt: int | None = None) -> str:
    return f"{run_id(job, attempt)}-{part}"


def ml_folder(job: Record, world: Any, attempt: int | None = None) -> Path:
    return Path(world.settings.data) / "jobs" / job.uid / str(attempt or job.state.get("attempt", 1)) / "ml"


def log_file(job: Record, world: Any) -> Path:
    return world.runtime.folder(run_id(job)) / "log"


def log_stream(job: Record) -> str:
    return f"{job.name}/algo-1-{int(job.created_at)}"


def age_s(run: RunState) -> float:
    return real_now() - run.started_at if run.started_at else 0.0


def session(job: Record, world: Any) -> RoleSession:
    runtime_s = job.spec["StoppingCondition"]["MaxRuntimeInSeconds"]
    return RoleSession(world, job.account, job.region, job.spec["RoleArn"], at_least_s=runtime_s)


# --- image ---------------------------------------------------------------------------------------


def image_uri(job: Record) -> str:
    return job.spec["AlgorithmSpecification"]["TrainingImage"]


def build(job: Record, world: Any) -> None:
    """Its progress goes to the job's log."""
    build_image(world, image_uri(job), lambda line: say_in_log(job, world, line), job.uid)


def say_in_log(job: Record, world: Any, line: str) -> None:
    world.logs.append(job.account, job.region, LOG_GROUP, log_stream(job), [(int(world.clock.now() * 1000), line)])


def place(job: Record, world: Any) -> Place:
    """Asks for the job's place among all jobs of this machine."""
    kind = instance(job.spec["ResourceConfig"].get("InstanceType", ""))
    return admit(world, job, kind.cpus_here, kind.memory_here)


# --- run -----------------------------------------------------------------------------------------


def lay_out(job: Record, world: Any, attempt: int) -> Path:
    """A fresh /opt/ml for an attempt."""
    ml = ml_folder(job, world, attempt)
    shutil.rmtree(ml, ignore_errors=True)
    spec = job.spec
    lay_out_training(
        ml,
        hyperparameters=spec.get("HyperParameters", {}),
        channels=spec.get("InputDataConfig", []),
        input_mode=spec["AlgorithmSpecification"]["TrainingInputMode"],
        instance_type=spec["ResourceConfig"].get("InstanceType", ""),
        checkpoints=spec.get("CheckpointConfig"),
    )
    return ml


def start(job: Record, world: Any) -> None:
    if world.runtime.look(run_id(job)).state == "absent":
        world.runtime.ensure(run_spec(job, world, session(job, world)))


def run_spec(job: Record, world: Any, role: RoleSession) -> RunSpec:
    spec, image = job.spec, world.images.find(image_uri(job))
    algorithm = spec["AlgorithmSpecification"]
    kind = instance(spec["ResourceConfig"].get("InstanceType", ""))
    isolated = spec.get("EnableNetworkIsolation", False)
    reached, network = network_of(world, run_id(job), isolated)
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
    entry = algorithm.get("ContainerEntrypoint")
    arguments = algorithm.get("ContainerArguments", [])
    return RunSpec(
        id=run_id(job),
        argv=[*entry, *arguments] if entry else [*image.train, *arguments],
        env=environment,
        ml=str(ml_folder(job, world)),
        env_path=str(world.images.path(image)),
        memory_bytes=kind.memory_here,
        cpus=kind.cpus_here,
        **network,
        max_runtime_s=spec["StoppingCondition"]["MaxRuntimeInSeconds"],
        first_log_lines=[note for note in [image.note] if note],
    )


# --- log -----------------------------------------------------------------------------------------


def follow(job: Record, world: Any) -> None:
    """Keeps the log and the metrics of the run flowing; harmless to repeat."""
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
            world.metrics.put(job.account, job.region, NAMESPACE, data, source=(run_id(job), ends))

    world.follower.follow(
        run_id(job), job.account, job.region, LOG_GROUP, log_stream(job), log_file(job, world), on_lines if definitions else None
    )


def drain_if_room(job: Record, world: Any) -> None:
    """A full disk costs log lines, never the verdict."""
    try:
        drain(job, world)
    except Exception as problem:
        if not is_full(problem):
            raise


def drain(job: Record, world: Any) -> None:
    follow(job, world)
    world.follower.drain(run_id(job))
