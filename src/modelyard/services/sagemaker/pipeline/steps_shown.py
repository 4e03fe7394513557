"""ListPipelineExecutionSteps: what each step of an execution came to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.common import PAGE
from modelyard.services.sagemaker.pipeline.definition import Step, read
from modelyard.services.sagemaker.pipeline.lookup import the_execution


@api.operation
def list_pipeline_execution_steps(call, request):
    """Steps that were begun, the newest first; those of a branch that was not taken are not there."""
    if "PipelineExecutionArn" not in request:
        raise validation(
            "1 validation error detected: Value null at 'pipelineExecutionArn' failed to satisfy constraint: Member must not be null"
        )
    execution = the_execution(call, request["PipelineExecutionArn"])
    version, states = call.store.by_uid(execution.spec["version"]), execution.state.get("steps", {})
    if version is None:  # the pipeline was deleted as the execution began
        return {"PipelineExecutionSteps": []}
    definition = read(version.spec["definition"])
    names = sorted(states, key=lambda name: (states[name]["start"], definition.steps[name].place))
    if request.get("SortOrder", "Descending") == "Descending":
        names.reverse()
    start, size = decode_token(request.get("NextToken"), validation, 0) or 0, request.get("MaxResults", PAGE)
    rows = [_row(definition.steps[name], states[name]) for name in names[start : start + size]]
    more = {"NextToken": encode_token(start + size)} if start + size < len(names) else {}
    return {"PipelineExecutionSteps": rows, **more}


def _row(step: Step, state: Mapping[str, Any]) -> dict[str, Any]:
    row = {
        "StepName": step.name,
        "StepDisplayName": step.raw.get("DisplayName"),
        "StepDescription": step.raw.get("Description"),
        "StartTime": state["start"],
        "EndTime": state.get("end"),
        "StepStatus": state["status"],
        "FailureReason": state.get("reason"),
        "CacheHitResult": {"SourcePipelineExecutionArn": state["cache"]} if "cache" in state else None,
        "SelectiveExecutionResult": {"SourcePipelineExecutionArn": state["source"]} if "source" in state else None,
        "AttemptCount": state.get("attempt"),
    }
    return {member: value for member, value in row.items() if value is not None} | {"Metadata": state.get("metadata", {})}
