"""Pipelines: create, update, describe, delete, list. Their definitions are versions (versions.py)."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import ApiError, validation
from modelyard.kernel.records import Record, new_uid
from modelyard.kernel.store import Moved, Taken
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.common import arn_of, list_page, tags_of, user_context
from modelyard.services.sagemaker.pipeline import checks, versions
from modelyard.services.sagemaker.pipeline.definition import BadDefinition
from modelyard.services.sagemaker.pipeline.lifecycle import CALLBACK, EXECUTION, FINAL, PIPELINE, RESULT, VERSION
from modelyard.services.sagemaker.pipeline.lookup import the_pipeline

LARGEST_DEFINITION = 1_048_576
KEPT = ("PipelineDisplayName", "PipelineDescription", "RoleArn", "ParallelismConfiguration")


@api.operation
def create_pipeline(call, request):
    name, arn = request["PipelineName"], arn_of(call, "pipeline", request["PipelineName"])
    text = _definition(call, request)
    if text is None:
        raise validation("Either PipelineDefinition or PipelineDefinitionS3Location must be provided.")
    call.platform.identity.check_pass_role(call, request["RoleArn"])
    tags, there = tags_of(request), call.store.by_arn(arn)
    if there is not None:
        if there.spec["token"] == request["ClientRequestToken"]:
            return {"PipelineArn": there.arn}
        raise _taken(name)
    uid = new_uid()
    version = versions.add(call, uid, arn, 1, text, request.get("PipelineVersionAliases", []), [])
    spec = {member: request[member] for member in KEPT if member in request} | {
        "token": request["ClientRequestToken"],
        "versions": [version.uid],
        "CreatedBy": user_context(call),
        "LastModifiedBy": user_context(call),
    }
    try:
        call.store.create(PIPELINE, account=call.account, region=call.region, name=name, arn=arn, spec=spec, tags=tags, uid=uid)
    except Taken:
        raise _taken(name) from None
    return {"PipelineArn": arn}


@api.operation
def update_pipeline(call, request):
    """A new definition is a new version; executions under way go on with theirs."""
    text = _definition(call, request)
    if "RoleArn" in request:
        call.platform.identity.check_pass_role(call, request["RoleArn"])
    while True:
        pipeline = the_pipeline(call, request["PipelineName"])
        known = pipeline.spec["versions"]
        patch = {member: request[member] for member in KEPT if member in request} | {"LastModifiedBy": user_context(call)}
        aliases = request.get("PipelineVersionAliases", [])
        if text is not None and text != versions.latest(call.store, pipeline).spec["definition"]:
            taken = versions.aliases_of(call.store, pipeline)
            version = versions.add(call, pipeline.uid, pipeline.arn, len(known) + 1, text, aliases, taken)
            patch["versions"] = [*known, version.uid]
        elif aliases:
            raise validation("PipelineVersionAliases can only be given with an update that changes the pipeline definition.")
        try:
            pipeline = call.store.request(pipeline, patch, due=False)
        except Moved:
            continue
        return {"PipelineArn": pipeline.arn, "PipelineVersionId": len(pipeline.spec["versions"])}


@api.operation
def describe_pipeline(call, request):
    pipeline = the_pipeline(call, request["PipelineName"])
    version = versions.asked(call.store, pipeline, request)
    said = describe(call, pipeline) | {"PipelineDefinition": version.spec["definition"]}
    shown = versions.summary(version)
    return said | {
        m: shown[m] for m in ("PipelineVersionDisplayName", "PipelineVersionDescription", "PipelineVersionAliases") if m in shown
    }


@api.operation
def list_pipelines(call, request):
    prefix = request.get("PipelineNamePrefix", "")
    if request.get("ManagedBy") == "AWS":
        return {"PipelineSummaries": []}
    found, more = list_page(call, PIPELINE.kind, request, keep=(lambda p: p.name.startswith(prefix)) if prefix else None)
    rows = []
    for pipeline in found:
        row = describe(call, pipeline)
        kept = {m: row[m] for m in SUMMARY if m in row}
        rows.append(kept | ({"LastExecutionTime": row["LastRunTime"]} if "LastRunTime" in row else {}))
    return {"PipelineSummaries": rows, **more}


@api.operation
def delete_pipeline(call, request):
    """With all its executions, as AWS does it; not while one of them runs. The jobs that they made stay."""
    while True:
        pipeline = the_pipeline(call, request["PipelineName"])
        executions = call.store.children(pipeline.uid, EXECUTION.kind)
        running = [one.arn for one in executions if one.status not in FINAL]
        if running:
            raise api.error.ConflictException(
                f"Pipeline {pipeline.arn} cannot be deleted while it has running executions: stop {', '.join(running[:5])} first."
            )
        try:
            for record in [*executions, *call.store.children(pipeline.uid, RESULT.kind), *call.store.children(pipeline.uid, VERSION.kind)]:
                for callback in call.store.children(record.uid, CALLBACK.kind):
                    call.store.delete(callback)
                call.store.delete(record)
            call.store.delete(call.store.by_uid(pipeline.uid) or pipeline)
        except Moved:
            continue
        return {"PipelineArn": pipeline.arn}


SUMMARY = (
    "PipelineArn", "PipelineName", "PipelineDisplayName", "PipelineDescription", "RoleArn", "CreationTime", "LastModifiedTime",
)  # fmt: skip


def describe(call: Any, pipeline: Record) -> dict[str, Any]:
    """DescribePipeline's answer, but for the definition; also what Search finds."""
    said = {
        "PipelineArn": pipeline.arn,
        "PipelineName": pipeline.name,
        "PipelineDisplayName": pipeline.name,
        "PipelineStatus": pipeline.status,
        "CreationTime": pipeline.created_at,
        "LastModifiedTime": pipeline.updated_at,
    }
    said |= {member: pipeline.spec[member] for member in (*KEPT, "CreatedBy", "LastModifiedBy") if member in pipeline.spec}
    last = call.store.list(EXECUTION.kind, pipeline.account, pipeline.region, owner=pipeline.uid, descending=True, limit=1)
    return said | ({"LastRunTime": last[0].created_at} if last else {})


def _definition(call: Any, request: dict[str, Any]) -> str | None:
    """The text of the request, checked; None where it has none."""
    text, place = request.get("PipelineDefinition"), request.get("PipelineDefinitionS3Location")
    if text is not None and place is not None:
        raise validation("Only one of PipelineDefinition and PipelineDefinitionS3Location can be provided.")
    if place is not None:
        text = _of_s3(call, place)
    if text is None:
        return None
    try:
        checks.checked(text)
    except BadDefinition as problem:
        raise validation(f"Unable to parse pipeline definition. {problem}") from None
    return text


def _of_s3(call: Any, place: dict[str, str]) -> str:
    """Read in the caller's name."""
    uri = f"s3://{place['Bucket']}/{place['ObjectKey']}"
    request = {"Bucket": place["Bucket"], "Key": place["ObjectKey"]} | ({"VersionId": place["VersionId"]} if "VersionId" in place else {})
    try:
        answer = call.invoke("s3", "GetObject", request)
    except ApiError as problem:
        raise validation(f"Unable to read the pipeline definition at {uri}: {problem.message}") from None
    body, size = answer["Body"], answer.get("ContentLength", 0)
    try:
        if size > LARGEST_DEFINITION:
            raise validation(f"The pipeline definition at {uri} has {size} bytes; it can have at most {LARGEST_DEFINITION}.")
        data = _bytes(body)
    finally:
        if hasattr(body, "file"):
            body.file.close()
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise validation(f"Unable to parse pipeline definition. The object {uri} is not text in UTF-8.") from None


def _bytes(body: Any) -> bytes:
    if isinstance(body, (bytes, bytearray)):
        return bytes(body)
    if hasattr(body, "file"):
        body.file.seek(body.offset)
        return body.file.read(body.length)
    return b"".join(body)


def _taken(name: str) -> ApiError:
    """The words that the SDK's upsert looks for."""
    return validation(f"Pipeline names must be unique within an AWS account and region. Pipeline with name ({name}) already exists.")
