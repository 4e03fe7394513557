"""The kinds of records of pipelines, and what an execution's statuses may become."""

from __future__ import annotations

from modelyard.kernel.lifecycle import Lifecycle, static
from modelyard.kernel.records import Record

PIPELINE = static("pipeline")
VERSION = static("pipeline-version")
"""One text of a pipeline's definition; named `<pipeline>/<number>`, owned by the pipeline."""
CALLBACK = static("pipeline-callback", "Waiting")
"""The token of a callback step; its spec takes the answer. Owned by the execution, which the answer wakes."""
RESULT = static("pipeline-result")
"""What a step with a cache came to, by its arguments; owned by the pipeline."""
EXECUTION = Lifecycle(
    "pipeline-execution",
    first="Executing",
    arrows={
        "Executing": {"Stopping", "Stopped", "Failed", "Succeeded", "CompletedWithFailures"},
        "Stopping": {"Stopped", "Failed"},
        "Failed": {"Executing"},  # RetryPipelineExecution
        "Stopped": {"Executing"},
        "CompletedWithFailures": {"Executing"},
    },
)
FINAL = ("Succeeded", "Failed", "Stopped", "CompletedWithFailures")
FAILED = ("Failed", "Stopped", "CompletedWithFailures")
"""Those that can be retried."""
RUNNING = ("Starting", "Executing", "Stopping")
"""Of a step."""


def status_of(execution: Record) -> str:
    """What a client sees: a wish counts before the engine has looked at it."""
    if execution.status in FINAL and execution.spec.get("retries", 0) > execution.state.get("retries", 0):
        return "Executing"
    if execution.status == "Executing" and execution.spec.get("stop"):
        return "Stopping"
    return execution.status


def execution_id(execution: Record) -> str:
    return execution.arn.rpartition("/")[2]
