"""What EventBridge is told: the events "SageMaker Model Building Pipeline Execution (Step) Status Change", without the envelope's id, time and account (pure)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.sagemaker.pipeline.definition import Step
from modelyard.services.sagemaker.pipeline.lifecycle import FINAL


def execution_change(execution: Record, old: str | None, new: str, now: float) -> dict[str, Any]:
    detail = {
        "pipelineExecutionDescription": execution.spec.get("description"),
        "pipelineExecutionDisplayName": execution.spec.get("display_name"),
        "currentPipelineExecutionStatus": new,
        "previousPipelineExecutionStatus": old,
        "executionStartTime": _iso(execution.created_at),
        "executionEndTime": _iso(now) if new in FINAL else None,
    }
    return _event(execution, "SageMaker Model Building Pipeline Execution Status Change", detail)


def step_change(execution: Record, step: Step, old: str | None, state: Mapping[str, Any]) -> dict[str, Any]:
    detail = {
        "metadata": _camel(state.get("metadata", {})),
        "stepStartTime": _iso(state["start"]),
        "stepEndTime": _iso(state["end"]) if state.get("end") else None,
        "stepName": step.name,
        "stepType": step.type,
        "previousStepStatus": old,
        "currentStepStatus": state["status"],
        "failureReason": state.get("reason"),
        "cacheHitResult": {"sourcePipelineExecutionArn": state["cache"]} if state.get("cache") else None,
    }
    return _event(execution, "SageMaker Model Building Pipeline Execution Step Status Change", detail)


def _event(execution: Record, kind: str, detail: dict[str, Any]) -> dict[str, Any]:
    arns = {"pipelineArn": execution.spec["pipeline_arn"], "pipelineExecutionArn": execution.arn}
    told = {key: value for key, value in detail.items() if value is not None} | arns
    return {"source": "aws.sagemaker", "detail-type": kind, "resources": list(arns.values()), "detail": told}


def _camel(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key[:1].lower() + key[1:]: _camel(item) for key, item in value.items()}
    return [_camel(item) for item in value] if isinstance(value, list) else value


def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
