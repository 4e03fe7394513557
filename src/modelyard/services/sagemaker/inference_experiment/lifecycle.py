"""Statuses of inference experiments, AWS's.

Creating → Created → Starting → Running → Stopping → Completed | Cancelled
              ⇅                   ⇅
           Updating            Updating          an operation that fails: → (Stopping →) Cancelled
"""

from __future__ import annotations

from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.records import Record

EXPERIMENT = Lifecycle(
    "inference-experiment",
    first="Creating",
    arrows={
        "Creating": {"Created", "Cancelled"},
        "Created": {"Updating", "Starting", "Stopping"},
        "Updating": {"Created", "Running", "Stopping"},
        "Starting": {"Running", "Stopping"},
        "Running": {"Updating", "Stopping", "Cancelled"},
        "Stopping": {"Completed", "Cancelled"},
    },
)

FINAL = ("Completed", "Cancelled")


def status_of(experiment: Record) -> str:
    """What a client sees: a wish that the engine has not looked at yet counts, so that the answer to an operation is followed by the
    status it leads to."""
    spec, state, status = experiment.spec, experiment.state, experiment.status
    if status not in ("Created", "Running"):
        return status
    if spec.get("stop"):
        return "Stopping"
    if status == "Created" and spec["edition"] != state["edition"]:
        return "Updating"
    if status == "Created" and spec.get("start"):
        return "Starting"
    if status == "Running" and spec["shadow"]["percent"] != state["percent"]:
        return "Updating"
    return status
