"""Statuses of a transform job: AWS's own, there are no secondary ones."""

from __future__ import annotations

from modelyard.kernel.lifecycle import Lifecycle

LIFECYCLE = Lifecycle(
    "transform-job",
    first="InProgress",
    arrows={
        "InProgress": {"Completed", "Failed", "Stopping", "Stopped"},
        "Stopping": {"Stopped", "Failed"},
    },
)
FINAL = ("Completed", "Failed", "Stopped")
