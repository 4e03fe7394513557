"""Executions: start, stop, retry, update, describe, list. What they do is in reconcile.py."""

from __future__ import annotations

import contextlib
import hashlib
import string
from collections.abc import Callable
from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Taken
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.common import PAGE, list_page, user_context
from modelyard.services.sagemaker.pipeline import events, selective, versions
from modelyard.services.sagemaker.pipeline.definition import Definition, read
from modelyard.services.sagemaker.pipeline.lifecycle import EXECUTION, FAILED, FINAL, status_of
from modelyard.services.sagemaker.pipeline.lookup import the_execution, the_pipeline
from modelyard.services.sagemaker.pipeline.parameters import BadParameter, values_of
from modelyard.services.sagemaker.pipeline.resolve import Resolver, Unresolved
from modelyard.services.sagemaker.pipeline.shapes import text_of
from modelyard.services.sagemaker.pipeline.starting import static_variables

LETTERS = string.ascii_lowercase + string.digits


@api.operation
def start_pipeline_execution(call, request):
    """The same ClientRequestToken starts the same execution."""
    pipeline = the_pipeline(call, request["PipelineName"])
    if request.get("RoleArn"):
        raise validation("RoleArn cannot be specified for this pipeline: its executions use the role of the pipeline.")
    if request.get("MlflowExperimentName"):
        raise validation("MlflowExperimentName is not built yet on this platform, and nothing was started.")
    version = versions.asked(call.store, pipeline, request)
    definition = read(version.spec["definition"])
    digest = hashlib.sha256(f"{pipeline.uid}\0{request['ClientRequestToken']}".encode()).digest()
    identity = "".join(LETTERS[byte % len(LETTERS)] for byte in digest[:12])
    arn = f"{pipeline.arn}/execution/{identity}"
    if call.store.by_uid(digest.hex()[:24]):
        return {"PipelineExecutionArn": arn}
    parameters = _parameters(definition, request)
    spec = {
        "pipeline": pipeline.name,
        "pipeline_arn": pipeline.arn,
        "version": version.uid,
        "number": version.spec["number"],
        "role": pipeline.spec["RoleArn"],
        "parameters": parameters,
        "parallelism": request.get("ParallelismConfiguration") or pipeline.spec.get("ParallelismConfiguration"),
        "display_name": request.get("PipelineExecutionDisplayName") or f"execution-{int(call.now() * 1000)}",
        "description": request.get("PipelineExecutionDescription"),
        "experiment": _experiment(definition, pipeline, arn, parameters, call.now()),
        "CreatedBy": user_context(call),
        "LastModifiedBy": user_context(call),
    }
    states = {}
    if asked := request.get("SelectiveExecutionConfig"):
        states = selective.reused(call, pipeline, definition, asked)
        spec |= {"selective": asked, "only": [one["StepName"] for one in asked["SelectedSteps"]]}
    spec = {key: value for key, value in spec.items() if value is not None}
    with contextlib.suppress(Taken):  # the same token, at the same time
        call.store.create(
            EXECUTION, account=call.account, region=call.region, name=arn, arn=arn, spec=spec,
            state={"steps": states}, owner=pipeline.uid, uid=digest.hex()[:24],
            detail={"eventbridge": _began(call, pipeline, arn, spec)},
        )  # fmt: skip
    versions.note_execution(call, version.uid, arn)
    call.platform.ring(EXECUTION.kind)
    return {"PipelineExecutionArn": arn}


@api.operation
def describe_pipeline_execution(call, request):
    execution = the_execution(call, request["PipelineExecutionArn"])
    if status_of(execution) not in FINAL:
        call.hold(execution)
    said = describe(execution)
    version = call.store.by_uid(execution.spec["version"])
    return said | ({"PipelineVersionAliases": version.spec["aliases"]} if version is not None and version.spec["aliases"] else {})


@api.operation
def list_pipeline_executions(call, request):
    pipeline = the_pipeline(call, request["PipelineName"])
    keep: Callable[[Record], bool] | None = None
    if alias := request.get("PipelineVersionAlias"):
        version = versions.of_alias(call.store, pipeline, alias)
        keep = lambda execution: execution.spec["version"] == version.uid  # noqa: E731
    asked = {**request, "SortBy": "Name"} if request.get("SortBy") == "PipelineExecutionArn" else request
    found, more = list_page(call, EXECUTION.kind, asked, keep=keep, owner=pipeline.uid)
    return {"PipelineExecutionSummaries": [_summary(execution) for execution in found], **more}


@api.operation
def update_pipeline_execution(call, request):
    patch: dict[str, Any] = {"LastModifiedBy": user_context(call)}
    for member, key in (("PipelineExecutionDisplayName", "display_name"), ("PipelineExecutionDescription", "description")):
        if member in request:
            patch[key] = request[member]
    if "ParallelismConfiguration" in request:
        patch["parallelism"] = request["ParallelismConfiguration"]
    execution = _wish(call, request, lambda execution: patch)
    return {"PipelineExecutionArn": execution.arn}


@api.operation
def stop_pipeline_execution(call, request):
    """Its running jobs are stopped first; a second wish changes nothing."""

    def wish(execution: Record) -> dict[str, Any] | None:
        status = status_of(execution)
        if status in FINAL:
            raise api.error.ConflictException(f"Pipeline execution {execution.arn} cannot be stopped: it is in status {status}.")
        return None if execution.spec.get("stop") else {"stop": True, "LastModifiedBy": user_context(call)}

    return {"PipelineExecutionArn": _wish(call, request, wish).arn}


@api.operation
def retry_pipeline_execution(call, request):
    """Steps that failed or were stopped, and those after them, with the definition and the parameters of the first time."""
    token = request["ClientRequestToken"]

    def wish(execution: Record) -> dict[str, Any] | None:
        if execution.spec.get("retry_token") == token:
            return None
        status = status_of(execution)
        if status not in FAILED:
            raise api.error.ConflictException(
                f"Pipeline execution {execution.arn} cannot be retried: it is in status {status}, and only failed and stopped executions can."
            )
        patch = {"stop": None, "retries": execution.spec.get("retries", 0) + 1, "retry_token": token, "LastModifiedBy": user_context(call)}
        if "ParallelismConfiguration" in request:
            patch["parallelism"] = request["ParallelismConfiguration"]
        return patch

    return {"PipelineExecutionArn": _wish(call, request, wish).arn}


@api.operation
def list_pipeline_parameters_for_execution(call, request):
    execution = the_execution(call, request["PipelineExecutionArn"])
    every = [{"Name": name, "Value": text_of(value)} for name, value in sorted(execution.spec["parameters"].items())]
    start, size = decode_token(request.get("NextToken"), validation, 0) or 0, request.get("MaxResults", PAGE)
    more = {"NextToken": encode_token(start + size)} if start + size < len(every) else {}
    return {"PipelineParameters": every[start : start + size], **more}


@api.operation
def describe_pipeline_definition_for_execution(call, request):
    execution = the_execution(call, request["PipelineExecutionArn"])
    version = call.store.by_uid(execution.spec["version"])
    if version is None:
        raise api.error.ResourceNotFound(f"Pipeline '{execution.spec['pipeline_arn']}' does not exist.")
    return {"PipelineDefinition": version.spec["definition"], "CreationTime": version.created_at}


# --- shapes --------------------------------------------------------------------------------------


def describe(execution: Record) -> dict[str, Any]:
    spec, state = execution.spec, execution.state
    status = status_of(execution)
    said = {
        "PipelineArn": spec["pipeline_arn"],
        "PipelineExecutionArn": execution.arn,
        "PipelineExecutionDisplayName": spec["display_name"],
        "PipelineExecutionStatus": status,
        "PipelineExecutionDescription": spec.get("description"),
        "PipelineExperimentConfig": spec.get("experiment"),
        "FailureReason": state.get("reason") if status in ("Failed", "CompletedWithFailures") else None,
        "CreationTime": execution.created_at,
        "LastModifiedTime": execution.updated_at,
        "CreatedBy": spec["CreatedBy"],
        "LastModifiedBy": spec["LastModifiedBy"],
        "ParallelismConfiguration": spec.get("parallelism"),
        "SelectiveExecutionConfig": spec.get("selective"),
        "PipelineVersionId": spec["number"],
    }
    return {member: value for member, value in said.items() if value is not None}


def found(execution: Record) -> dict[str, Any]:
    """What Search finds."""
    return describe(execution) | {
        "PipelineParameters": [{"Name": name, "Value": text_of(value)} for name, value in sorted(execution.spec["parameters"].items())]
    }


def _summary(execution: Record) -> dict[str, Any]:
    said = describe(execution)
    row = {
        "PipelineExecutionArn": execution.arn,
        "StartTime": execution.created_at,
        "PipelineExecutionStatus": said["PipelineExecutionStatus"],
        "PipelineExecutionDescription": said.get("PipelineExecutionDescription"),
        "PipelineExecutionDisplayName": said["PipelineExecutionDisplayName"],
        "PipelineExecutionFailureReason": said.get("FailureReason"),
    }
    return {member: value for member, value in row.items() if value is not None}


# --- helpers -------------------------------------------------------------------------------------


def _wish(call: Any, request: dict[str, Any], change: Callable[[Record], dict[str, Any] | None]) -> Record:
    """Written into the execution's record for the engine; None: there is nothing to write."""
    while True:
        execution = the_execution(call, request["PipelineExecutionArn"])
        patch = change(execution)
        if patch is None:
            return execution
        try:
            execution = call.store.request(execution, patch)
        except Moved:
            continue
        call.platform.ring(EXECUTION.kind)
        return execution


def _parameters(definition: Definition, request: dict[str, Any]) -> dict[str, Any]:
    given = request.get("PipelineParameters", [])
    names = [one["Name"] for one in given]
    if twice := [name for name in names if names.count(name) > 1]:
        raise validation(f"Pipeline parameter {twice[0]} is given more than once.")
    try:
        return values_of(definition.parameters, {one["Name"]: one["Value"] for one in given})
    except BadParameter as problem:
        raise validation(str(problem)) from None


def _experiment(definition: Definition, pipeline: Record, arn: str, parameters: dict[str, Any], now: float) -> dict[str, str] | None:
    if not definition.experiment:
        return None
    variables = static_variables(pipeline.name, pipeline.arn, arn, now)
    resolver = Resolver(parameters, variables, lambda name: {}, lambda step, name: "", lambda bucket, key, limit: None)
    try:
        return {member: text_of(resolver.fill(value)) for member, value in definition.experiment.items() if value}
    except Unresolved as problem:
        raise validation(f"PipelineExperimentConfig cannot be resolved: {problem}.") from None


def _began(call: Any, pipeline: Record, arn: str, spec: dict[str, Any]) -> dict[str, Any]:
    now = call.now()
    draft = Record("", EXECUTION.kind, call.account, call.region, "", arn, None, EXECUTION.first, spec, {}, 1, None, 0, now, now)
    return events.execution_change(draft, None, EXECUTION.first, now)
