"""Statuses of a processing job; it has no secondary ones."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.lifecycle import Lifecycle

LIFECYCLE = Lifecycle(
    "processing-job",
    first="InProgress",
    arrows={
        "InProgress": {"Completed", "Failed", "Stopping", "Stopped"},
        "Stopping": {"Stopped", "Failed", "Completed"},
    },
)
FINAL = ("Completed", "Failed", "Stopped")


def first_state() -> dict[str, Any]:
    return {"version": 1, "phase": "image"}
