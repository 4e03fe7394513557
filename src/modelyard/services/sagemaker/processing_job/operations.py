"""Create, describe, list, stop, delete."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Taken
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.common import arn_of, list_page, tags_of
from modelyard.services.sagemaker.experiments.automatic import check_config
from modelyard.services.sagemaker.jobs.quota import check_quota, instances
from modelyard.services.sagemaker.jobs.stopping import ask_to_stop
from modelyard.services.sagemaker.processing_job.check import completed
from modelyard.services.sagemaker.processing_job.lifecycle import FINAL, LIFECYCLE, first_state
from modelyard.services.sagemaker.published_images import check_here

ECHOED = (
    "ProcessingInputs", "ProcessingOutputConfig", "ProcessingResources", "StoppingCondition", "AppSpecification", "Environment",
    "NetworkConfig", "RoleArn", "ExperimentConfig",
)  # fmt: skip
"""Members of the request that Describe answers as they were given, with defaults."""
REACHED = (
    ("ExitMessage", "message"),
    ("FailureReason", "reason"),
    ("ProcessingStartTime", "started_at"),
    ("ProcessingEndTime", "ended_at"),
)
"""Members that Describe has once there is something to tell, and where the state has it."""


@api.operation
def create_processing_job(call, request):
    tags, image = tags_of(request), request["AppSpecification"]["ImageUri"]
    check_here(call.platform, image)
    spec = completed(request, known_image=call.platform.images.find(image) is not None)
    call.platform.identity.check_pass_role(call, request["RoleArn"])
    check_quota(call, LIFECYCLE.kind, "processing job usage", instances(spec["ProcessingResources"]["ClusterConfig"]))
    check_config(call, request.get("ExperimentConfig"))
    name = request["ProcessingJobName"]
    arn = arn_of(call, "processing-job", name)
    if call.store.by_arn(arn):  # names that differ only in case have one ARN
        raise _taken(arn)
    try:
        job = call.store.create(
            LIFECYCLE, account=call.account, region=call.region, name=name, arn=arn, spec=spec, state=first_state(), tags=tags
        )
    except Taken:
        raise _taken(arn) from None
    call.platform.ring(LIFECYCLE.kind)
    return {"ProcessingJobArn": job.arn}


@api.operation
def describe_processing_job(call, request):
    job = the_job(call, request["ProcessingJobName"])
    if job.status not in FINAL:
        call.hold(job)
    return describe(job)


@api.operation
def list_processing_jobs(call, request):
    jobs, more = list_page(call, LIFECYCLE.kind, request)
    return {"ProcessingJobSummaries": [_summary(job) for job in jobs], **more}


@api.operation
def stop_processing_job(call, request):
    ask_to_stop(call, LIFECYCLE, "processing job", lambda: the_job(call, request["ProcessingJobName"]))
    return {}


@api.operation
def delete_processing_job(call, request):
    """Only a job that has ended; its name may be used again. Its log and what it made stay."""
    while True:
        job = the_job(call, request["ProcessingJobName"])
        if job.status not in FINAL:
            raise api.error.ResourceInUse(
                f"Cannot delete the processing job {job.name}: it is in status {job.status}. Stop it, or wait until it has ended."
            )
        try:
            call.store.delete(job)
        except Moved:
            continue
        return {}


def describe(job: Record) -> dict[str, Any]:
    """DescribeProcessingJob's answer; what is absent stays absent."""
    said = {
        "ProcessingJobName": job.name,
        "ProcessingJobArn": job.arn,
        "ProcessingJobStatus": job.status,
        "CreationTime": job.created_at,
        "LastModifiedTime": job.updated_at,
    }
    said.update({member: job.spec[member] for member in ECHOED if member in job.spec})
    said.update({member: job.state[key] for member, key in REACHED if key in job.state})
    return said


def the_job(call: Any, name: str) -> Record:
    """By its name, or by the lower-case one that its ARN has."""
    job = call.store.get(LIFECYCLE.kind, call.account, call.region, name) or call.store.by_arn(arn_of(call, "processing-job", name))
    if job is None:
        raise validation(f"Could not find requested job with name: {name}")
    return job


def _taken(arn: str) -> Exception:
    return api.error.ResourceInUse(
        f"Job name must be unique within an AWS account and region, and a job with this name already exists ({arn})"
    )


def _summary(job: Record) -> dict[str, Any]:
    said = describe(job)
    return {member: said[member] for member in SUMMARY if member in said}


SUMMARY = (
    "ProcessingJobName", "ProcessingJobArn", "CreationTime", "ProcessingEndTime", "LastModifiedTime", "ProcessingJobStatus",
    "FailureReason", "ExitMessage",
)  # fmt: skip
