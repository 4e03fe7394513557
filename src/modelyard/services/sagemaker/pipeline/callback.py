"""Answers to callback steps: whoever has the token says how the step ended."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.pipeline.lifecycle import CALLBACK, EXECUTION


@api.operation
def send_pipeline_execution_step_success(call, request):
    return _answer(call, request, {"outputs": request.get("OutputParameters", [])})


@api.operation
def send_pipeline_execution_step_failure(call, request):
    return _answer(call, request, {"failure": request.get("FailureReason", "")})


def _answer(call: Any, request: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    """The first answer counts; the same one again (clients repeat by themselves) is told the same."""
    answer = {**answer, "token": request.get("ClientRequestToken", "")}
    while True:
        callback = _the_callback(call, request["CallbackToken"])
        if "answer" in callback.spec:
            if callback.spec["answer"] == answer:
                return {"PipelineExecutionArn": callback.spec["execution"]}
            raise api.error.ConflictException(f"The callback step with token {callback.name} has been answered already.")
        try:
            call.store.request(callback, {"answer": answer}, due=False)
        except Moved:
            continue
        call.platform.ring(EXECUTION.kind)
        return {"PipelineExecutionArn": callback.spec["execution"]}


def _the_callback(call: Any, token: str) -> Record:
    callback = call.store.get(CALLBACK.kind, call.account, call.region, token)
    if callback is None:
        raise api.error.ResourceNotFound(f"No callback step with token {token} is waiting.")
    return callback
