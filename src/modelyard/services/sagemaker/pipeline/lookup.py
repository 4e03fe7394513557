"""Pipelines and executions by what a request calls them."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.common import full_arn
from modelyard.services.sagemaker.pipeline.lifecycle import EXECUTION, PIPELINE


def the_pipeline(call: Any, name: str) -> Record:
    """By name or ARN; ResourceNotFound."""
    arn = full_arn(call, "pipeline", name)
    pipeline = call.store.by_arn(arn)
    if pipeline is None or pipeline.kind != PIPELINE.kind or pipeline.account != call.account:
        raise api.error.ResourceNotFound(f"Pipeline '{arn}' does not exist.")
    return pipeline


def the_execution(call: Any, arn: str) -> Record:
    parts = arn.split(":", 5)
    last = parts[-1].split("/")
    if len(last) == 4:
        last[1] = last[1].lower()
    execution = call.store.by_arn(":".join([*parts[:-1], "/".join(last)]))
    if execution is None or execution.kind != EXECUTION.kind or execution.account != call.account:
        raise api.error.ResourceNotFound(f"Pipeline execution with ARN {arn} does not exist.")
    return execution
