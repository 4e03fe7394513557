"""Create, describe, list, stop; what a request must be is in checks.py, changes of a job in update.py."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.records import Record
from modelyard.kernel.store import Taken
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.common import arn_of, list_page, tags_of
from modelyard.services.sagemaker.experiments.automatic import check_config
from modelyard.services.sagemaker.jobs.quota import check_quota, instances
from modelyard.services.sagemaker.jobs.stopping import ask_to_stop
from modelyard.services.sagemaker.published_images import check_here
from modelyard.services.sagemaker.role_session import RoleSession
from modelyard.services.sagemaker.training_job import warm
from modelyard.services.sagemaker.training_job.checks import DEFAULT_MAX_RUNTIME_SECONDS, check
from modelyard.services.sagemaker.training_job.hosts import no_gpus
from modelyard.services.sagemaker.training_job.inputs import check_channels
from modelyard.services.sagemaker.training_job.lifecycle import LIFECYCLE, first_state
from modelyard.services.sagemaker.training_job.metrics import built_in_definitions

# Members of the request that Describe answers as they were given.
ECHOED = (
    "HyperParameters", "AlgorithmSpecification", "RoleArn", "InputDataConfig", "ResourceConfig", "VpcConfig", "StoppingCondition",
    "CheckpointConfig", "DebugHookConfig", "ExperimentConfig", "DebugRuleConfigurations", "TensorBoardOutputConfig",
    "ProfilerConfig", "ProfilerRuleConfigurations", "Environment", "RetryStrategy", "RemoteDebugConfig", "InfraCheckConfig",
)  # fmt: skip
SWITCHES = ("EnableNetworkIsolation", "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining")


@api.operation
def create_training_job(call, request):
    check(request)
    call.platform.identity.check_pass_role(call, request["RoleArn"])
    if call.store.get(LIFECYCLE.kind, call.account, call.region, request["TrainingJobName"]):
        raise _taken(request["TrainingJobName"])
    check_here(call.platform, request["AlgorithmSpecification"].get("TrainingImage", ""))
    usage = "spot training job usage" if request.get("EnableManagedSpotTraining") else "training job usage"
    check_quota(call, LIFECYCLE.kind, usage, instances(request["ResourceConfig"]))
    session = RoleSession(call.platform, call.account, call.region, request["RoleArn"])
    check_channels(session, request, call.region)
    check_config(call, request.get("ExperimentConfig"))
    try:
        job = call.store.create(
            LIFECYCLE,
            account=call.account,
            region=call.region,
            name=request["TrainingJobName"],
            arn=arn_of(call, "training-job", request["TrainingJobName"]),
            spec=_spec(request),
            state=first_state(call.now(), no_gpus(request)),
            tags=tags_of(request),
        )
    except Taken:
        raise _taken(request["TrainingJobName"]) from None
    call.platform.ring(LIFECYCLE.kind)
    return {"TrainingJobArn": job.arn}


@api.operation
def describe_training_job(call, request):
    job = the_job(call, request["TrainingJobName"])
    if not LIFECYCLE.is_final(job.status):
        call.hold(job)
    return describe(job, call.now())


@api.operation
def list_training_jobs(call, request):
    if request.get("TrainingPlanArnEquals"):
        return {"TrainingJobSummaries": []}
    if request.get("WarmPoolStatusEquals"):
        return _of_warm_pools(call, request)
    jobs, more = list_page(call, LIFECYCLE.kind, request)
    return {"TrainingJobSummaries": [_summary(job, call.now()) for job in jobs], **more}


def _of_warm_pools(call, request):
    """Pages of all jobs are looked through until there is one with a pool of this status: warm pools are few."""
    wanted, now = request["WarmPoolStatusEquals"], call.now()
    while True:
        jobs, more = list_page(call, LIFECYCLE.kind, request)
        found = [_summary(job, now) for job in jobs if (warm.status(job, now) or {}).get("Status") == wanted]
        if found or not more:
            return {"TrainingJobSummaries": found, **more}
        request = {**request, "NextToken": more["NextToken"]}


@api.operation
def stop_training_job(call, request):
    ask_to_stop(call, LIFECYCLE, "training job", lambda: the_job(call, request["TrainingJobName"]))
    return {}


# --- training jobs that another job makes ----------------------------------------------------------


def check_definition(call: Any, request: dict[str, Any]) -> None:
    """What CreateTrainingJob would refuse of a request that will be made later, in the name of the caller."""
    check(request)
    call.platform.identity.check_pass_role(call, request["RoleArn"])
    check_here(call.platform, request["AlgorithmSpecification"].get("TrainingImage", ""))
    check_channels(RoleSession(call.platform, call.account, call.region, request["RoleArn"]), request, call.region)


def create_child(world: Any, owner: Record, uid: str, request: dict[str, Any], more: dict[str, Any], tags: dict[str, str]) -> Record:
    """The training job of a checked request; `more` goes into its spec. Raises Taken where the name is."""
    name = request["TrainingJobName"]
    job = world.store.create(
        LIFECYCLE,
        account=owner.account,
        region=owner.region,
        name=name,
        arn=f"arn:aws:sagemaker:{owner.region}:{owner.account}:training-job/{name.lower()}",
        owner=owner.uid,
        uid=uid,
        spec={**_spec(request), **more},
        state=first_state(world.clock.now()),
        tags=tags,
    )
    world.ring(LIFECYCLE.kind)
    return job


# --- shapes --------------------------------------------------------------------------------------


def describe(job: Record, now: float | None = None) -> dict[str, Any]:
    """DescribeTrainingJob's answer at platform time `now`; absent stays absent, but OutputDataConfig.KmsKeyId is always there (the
    SDK reads it)."""
    spec, state = job.spec, job.state
    said: dict[str, Any] = {
        "TrainingJobName": job.name,
        "TrainingJobArn": job.arn,
        "TrainingJobStatus": job.status,
        "SecondaryStatus": state["secondary"],
        "SecondaryStatusTransitions": state["transitions"],
        "ModelArtifacts": {"S3ModelArtifacts": state["model"]} if "model" in state else {},
        "OutputDataConfig": {"KmsKeyId": "", "CompressionType": "GZIP", **spec["OutputDataConfig"]},
        "CreationTime": job.created_at,
        "LastModifiedTime": job.updated_at,
        "WarmPoolStatus": warm.status(job, job.updated_at if now is None else now),
        "ProfilingStatus": "Disabled" if spec.get("ProfilerConfig", {}).get("DisableProfiler", True) else "Enabled",
    }
    said.update({member: spec[member] for member in ECHOED if member in spec})
    if "tuning" in spec:
        said["TuningJobArn"] = spec["tuning"]["arn"]
    said.update({member: spec.get(member, False) for member in SWITCHES})
    if not state.get("model") and job.status in ("InProgress", "Stopping"):
        said["ModelArtifacts"] = {"S3ModelArtifacts": model_uri(job)}
    for member, key in (("FailureReason", "reason"), ("TrainingStartTime", "started_at"), ("TrainingEndTime", "ended_at")):
        if key in state:
            said[member] = state[key]
    if state.get("metrics"):
        said["FinalMetricDataList"] = state["metrics"]
    if "started_at" in state and "ended_at" in state:
        said |= _times(state)
    return {member: value for member, value in said.items() if value is not None}


def _times(state: dict[str, Any]) -> dict[str, int]:
    """Seconds in which the job held instances; of spot instances fewer are billed."""
    held = state.get("held_s", state["ended_at"] - state["started_at"])
    return {
        "TrainingTimeInSeconds": max(1, round(held)),
        "BillableTimeInSeconds": max(1, round(held * (1.0 - state.get("discount", 0.0) / 100.0))),
    }


def model_uri(job: Record) -> str:
    """`<S3OutputPath>/<job>/output/model.tar.gz`, or the folder `…/output/model/` where compression is NONE."""
    config = job.spec["OutputDataConfig"]
    name = "model/" if config.get("CompressionType") == "NONE" else "model.tar.gz"
    return f"{config['S3OutputPath'].rstrip('/')}/{job.name}/output/{name}"


def the_job(call: Any, name: str) -> Record:
    """By its name, or by the lower-case one that its ARN has: clients take names out of ARNs."""
    job = call.store.get(LIFECYCLE.kind, call.account, call.region, name) or call.store.by_arn(arn_of(call, "training-job", name))
    if job is None:
        raise validation("Requested resource not found.")
    return job


def _summary(job: Record, now: float) -> dict[str, Any]:
    said = {
        "TrainingJobName": job.name,
        "TrainingJobArn": job.arn,
        "CreationTime": job.created_at,
        "LastModifiedTime": job.updated_at,
        "TrainingJobStatus": job.status,
        "SecondaryStatus": job.state["secondary"],
    }
    if "ended_at" in job.state:
        said["TrainingEndTime"] = job.state["ended_at"]
    if pool := warm.status(job, now):
        said["WarmPoolStatus"] = pool
    return said


# --- helpers -------------------------------------------------------------------------------------


def _taken(name: str) -> Exception:
    return api.error.ResourceInUse(
        f"Job name must be unique within an AWS account and region, and a job with this name already exists ({name})"
    )


def _spec(request: dict[str, Any]) -> dict[str, Any]:
    spec = {key: value for key, value in request.items() if key != "Tags"}
    spec["StoppingCondition"] = {"MaxRuntimeInSeconds": DEFAULT_MAX_RUNTIME_SECONDS, **request.get("StoppingCondition", {})}
    spec["AlgorithmSpecification"] = _algorithm(request)
    return spec


def _algorithm(request: dict[str, Any]) -> dict[str, Any]:
    algorithm = {"EnableSageMakerMetricsTimeSeries": False, **request["AlgorithmSpecification"]}
    if not algorithm.get("MetricDefinitions"):
        known = built_in_definitions(algorithm["TrainingImage"], request.get("HyperParameters", {}))
        if known:
            algorithm["MetricDefinitions"] = known
    return algorithm
