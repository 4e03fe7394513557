"""Create, describe, list, stop."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.records import Record
from modelyard.kernel.store import Taken
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.common import arn_of, list_page, tags_of
from modelyard.services.sagemaker.experiments.automatic import check_config
from modelyard.services.sagemaker.jobs.inputs import check_objects
from modelyard.services.sagemaker.jobs.stopping import ask_to_stop
from modelyard.services.sagemaker.model import hosted_containers, needs_role, the_model
from modelyard.services.sagemaker.role_session import RoleSession
from modelyard.services.sagemaker.transform_job.checks import check, check_instances, check_model
from modelyard.services.sagemaker.transform_job.lifecycle import LIFECYCLE

# Members of the request that Describe answers as they were given.
ECHOED = (
    "ModelName", "MaxConcurrentTransforms", "ModelClientConfig", "MaxPayloadInMB", "BatchStrategy", "Environment", "TransformInput",
    "TransformOutput", "DataCaptureConfig", "TransformResources", "DataProcessing", "ExperimentConfig",
)  # fmt: skip


@api.operation
def create_transform_job(call, request):
    check(request)
    check_instances(call, request)
    name = request["TransformJobName"]
    if call.store.get(LIFECYCLE.kind, call.account, call.region, name):
        raise _taken(call, name)
    model = the_model(call, request["ModelName"])
    check_model(model)
    needs_role(model)
    role = model.spec["ExecutionRoleArn"]
    uri = request["TransformInput"]["DataSource"]["S3DataSource"]["S3Uri"]
    session = RoleSession(call.platform, call.account, call.region, role)
    check_objects(session, uri, "transformInput.dataSource.s3DataSource.s3Uri", role, call.region)
    check_config(call, request.get("ExperimentConfig"))
    spec = spec_of(request, containers=hosted_containers(model.spec), role=role, isolated=bool(model.spec.get("EnableNetworkIsolation")))
    try:
        job = call.store.create(
            LIFECYCLE,
            account=call.account,
            region=call.region,
            name=name,
            arn=arn_of(call, "transform-job", name),
            spec=spec,
            state={"version": 1},
            tags=tags_of(request),
        )
    except Taken:
        raise _taken(call, name) from None
    call.platform.ring(LIFECYCLE.kind)
    return {"TransformJobArn": job.arn}


@api.operation
def describe_transform_job(call, request):
    job = the_job(call, request["TransformJobName"])
    if not LIFECYCLE.is_final(job.status):
        call.hold(job)
    return describe(job)


@api.operation
def list_transform_jobs(call, request):
    jobs, more = list_page(call, LIFECYCLE.kind, request)
    return {"TransformJobSummaries": [_summary(job) for job in jobs], **more}


@api.operation
def stop_transform_job(call, request):
    ask_to_stop(call, LIFECYCLE, "transform job", lambda: the_job(call, request["TransformJobName"]))
    return {}


def spec_of(request: dict[str, Any], *, containers: list[dict[str, Any]], role: str, isolated: bool) -> dict[str, Any]:
    """The spec of a job's record. The model is kept as it is now: it may be deleted while its jobs run."""
    spec = {key: value for key, value in request.items() if key != "Tags"}
    spec["TransformInput"] = {"CompressionType": "None", "SplitType": "None", **request["TransformInput"]}
    spec["TransformOutput"] = {"AssembleWith": "None", "KmsKeyId": "", **request["TransformOutput"]}
    spec["DataProcessing"] = {"InputFilter": "$", "OutputFilter": "$", "JoinSource": "None", **request.get("DataProcessing", {})}
    spec["model"] = {"containers": containers, "role": role, "isolated": isolated}
    return spec


# --- shapes --------------------------------------------------------------------------------------


def describe(job: Record) -> dict[str, Any]:
    said: dict[str, Any] = {
        "TransformJobName": job.name,
        "TransformJobArn": job.arn,
        "TransformJobStatus": status_of(job),
        "CreationTime": job.created_at,
        **{member: job.spec[member] for member in ECHOED if member in job.spec},
    }
    for member, key in (("FailureReason", "reason"), ("TransformStartTime", "started_at"), ("TransformEndTime", "ended_at")):
        if key in job.state:
            said[member] = job.state[key]
    return said


def status_of(job: Record) -> str:
    """What a client sees: a stop that was asked for counts before the engine has looked at it."""
    return "Stopping" if job.status == "InProgress" and job.spec.get("stop") else job.status


def the_job(call: Any, name: str) -> Record:
    """By its name, or by the lower-case one that its ARN has."""
    job = call.store.get(LIFECYCLE.kind, call.account, call.region, name) or call.store.by_arn(arn_of(call, "transform-job", name))
    if job is None:
        raise validation(f"Could not find requested job with name: {name}")
    return job


def _summary(job: Record) -> dict[str, Any]:
    said = {
        "TransformJobName": job.name,
        "TransformJobArn": job.arn,
        "CreationTime": job.created_at,
        "LastModifiedTime": job.updated_at,
        "TransformJobStatus": status_of(job),
    }
    for member, key in (("FailureReason", "reason"), ("TransformEndTime", "ended_at")):
        if key in job.state:
            said[member] = job.state[key]
    return said


def _taken(call: Any, name: str) -> Exception:
    arn = arn_of(call, "transform-job", name)
    return api.error.ResourceInUse(
        f"Job name must be unique within an AWS account and region, and a job with this name already exists ({arn})"
    )
