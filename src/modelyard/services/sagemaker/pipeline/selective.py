"""Selective executions: some steps run, and what they need of others comes from an execution that was."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.records import Record
from modelyard.services.sagemaker.pipeline import plan
from modelyard.services.sagemaker.pipeline.definition import Definition
from modelyard.services.sagemaker.pipeline.lifecycle import EXECUTION, FINAL, status_of

TAKEN_OVER = ("status", "start", "end", "arn", "metadata", "outcome", "attempt")


def reused(call: Any, pipeline: Record, definition: Definition, config: dict[str, Any]) -> dict[str, Any]:
    """The states of steps that the selected ones need, from the source execution. Raises ValidationException."""
    selected = [one["StepName"] for one in config["SelectedSteps"]]
    if unknown := [name for name in selected if name not in definition.steps]:
        raise validation(f"Invalid SelectedSteps: [{', '.join(unknown)}] are not found in the pipeline definition.")
    if twice := [name for name in selected if selected.count(name) > 1]:
        raise validation(f"Invalid SelectedSteps: {twice[0]} is selected more than once.")
    arn = config.get("SourcePipelineExecutionArn")
    needed = plan.missing_sources(definition, selected)
    if arn is None:
        if needed:
            raise validation(
                "Invalid SourcePipelineExecutionArn: null. "
                f"The selected steps [{', '.join(selected)}] have dependencies on [{', '.join(needed)}]"
            )
        return {}
    source = call.store.by_arn(arn)
    if source is None or source.kind != EXECUTION.kind or source.owner != pipeline.uid:
        raise validation(f"Invalid SourcePipelineExecutionArn: {arn}. It is no execution of pipeline {pipeline.arn}.")
    if status_of(source) not in FINAL:
        raise validation(f"Invalid SourcePipelineExecutionArn: {arn}. The execution is in status {status_of(source)}.")
    states = source.state.get("steps", {})
    if missing := [name for name in needed if states.get(name, {}).get("status") != "Succeeded"]:
        raise validation(
            f"Invalid SourcePipelineExecutionArn: {arn}. The steps [{', '.join(missing)}], which the selected steps depend on, "
            "have not succeeded in it."
        )
    # A step that was taken over there itself has its results in the execution it came from.
    return {name: _taken_over(states[name], arn) for name in needed}


def _taken_over(state: dict[str, Any], arn: str) -> dict[str, Any]:
    return {key: state[key] for key in TAKEN_OVER if key in state} | {"source": state.get("source", arn)}
