"""Statuses of a training job, and the secondary transitions that clients print."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.kernel.lifecycle import Lifecycle

LIFECYCLE = Lifecycle(
    "training-job",
    first="InProgress",
    arrows={
        "InProgress": {"Completed", "Failed", "Stopping", "Stopped"},
        "Stopping": {"Stopped", "Failed", "Completed"},
    },
)

# What real AWS printed for each secondary status (journeys.md, and public logs of the SDK).
MESSAGES = {
    "Starting": "Preparing the instances for training",
    "Downloading": "Downloading input data",
    "Training": "Training image download completed. Training in progress.",
    "Uploading": "Uploading generated training model",
    "Stopping": "Stopping the training job",
    "Stopped": "Training job stopped",
    "MaxRuntimeExceeded": "Training job runtime exceeded MaxRuntimeInSeconds provided",
    "Completed": "Training job completed",
    "Failed": "Training job failed",
    "MaxWaitTimeExceeded": "Training job wait time exceeded MaxWaitTimeInSeconds provided",
    "Interrupted": "The managed spot training instances were interrupted",
    "Restarting": "Restarting the training job: the instance was lost",
}
REUSED = "Found matching resource for reuse"
WARM = {
    "Available": "Resource retained for reuse",
    "Reused": "Resource reused by training job: {by}",
    "Terminated": "Resource released due to keep alive period expiry",
}
"""What AWS says at the end of a job with a warm pool."""
ENDS = ("Completed", "Failed", "Stopped", "MaxRuntimeExceeded", "MaxWaitTimeExceeded")
STARTING_FIRST = "Starting the training job"
NO_ROOM = "Insufficient capacity error from EC2 while launching instances, retrying!"
"""AWS's words while there is no instance to be had: here, while other jobs have all the places (jobs/admission.py)."""


def first_state(now: float, note: str | None = None) -> dict[str, Any]:
    """`note` is what a client shall be told at once."""
    return {
        "version": 1,
        "secondary": "Starting",
        "transitions": [{"Status": "Starting", "StartTime": now, "StatusMessage": f"{STARTING_FIRST}. {note}" if note else STARTING_FIRST}],
    }


def moved(state: Mapping[str, Any], secondary: str, now: float, message: str | None = None) -> dict[str, Any]:
    """The patch that takes a job's state to its next secondary status; {} where it is there already with this text."""
    text = message or MESSAGES[secondary]
    transitions = [dict(t) for t in state["transitions"]]
    last = transitions[-1]
    if last["Status"] == secondary:
        if last["StatusMessage"] == text:
            return {}
        last["StatusMessage"] = text
    else:
        last["EndTime"] = now
        new = {"Status": secondary, "StartTime": now, "StatusMessage": text}
        if secondary in ENDS:
            new["EndTime"] = now
        transitions.append(new)
    return {"secondary": secondary, "transitions": transitions}
