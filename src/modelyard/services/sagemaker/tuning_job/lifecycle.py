"""Statuses of a tuning job."""

from __future__ import annotations

from modelyard.kernel.lifecycle import Lifecycle

LIFECYCLE = Lifecycle(
    "tuning-job",
    first="InProgress",
    arrows={
        "InProgress": {"Completed", "Failed", "Stopping", "Stopped"},
        "Stopping": {"Stopped", "Failed"},
    },
)
FINAL = ("Completed", "Failed", "Stopped")
