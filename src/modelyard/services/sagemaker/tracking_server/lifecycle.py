"""Statuses of a tracking server: AWS's own."""

from __future__ import annotations

from modelyard.kernel.lifecycle import Lifecycle, static

LIFECYCLE = Lifecycle(
    "mlflow-tracking-server",
    first="Creating",
    arrows={
        "Creating": {"Created", "CreateFailed", "Deleting"},
        "Created": {"Updating", "Stopping", "Deleting"},
        "CreateFailed": {"Deleting", "Starting"},
        "Updating": {"Updated", "UpdateFailed", "Deleting"},
        "Updated": {"Updating", "Stopping", "Deleting"},
        "UpdateFailed": {"Updating", "Stopping", "Deleting"},
        "Stopping": {"Stopped", "Deleting"},
        "Stopped": {"Starting", "Deleting"},
        "Starting": {"Started", "StartFailed", "Deleting"},
        "Started": {"Updating", "Stopping", "Deleting"},
        "StartFailed": {"Starting", "Deleting"},
        "Deleting": {"Deleting"},
    },
)
ENDS = {"Creating": ("Created", "CreateFailed"), "Starting": ("Started", "StartFailed"), "Updating": ("Updated", "UpdateFailed")}
"""A status on its way up: how it ends when the server answers, and when it does not."""
ACTIVE = ("Created", "Started", "Updated")
DOWN = ("Stopped", "CreateFailed", "StartFailed", "UpdateFailed")
SESSION = static("mlflow-session")
"""A presigned URL, and the browser session that it opens."""


def status_of(server) -> str:
    """What a client sees: a wish that the engine has not looked at yet counts."""
    spec, status = server.spec, server.status
    if spec.get("delete"):
        return "Deleting"
    if status in ACTIVE or status == "UpdateFailed":
        if not spec["on"]:
            return "Stopping"
        if server.state.get("edition") != spec["edition"]:
            return "Updating"
    if status in ("Stopped", "CreateFailed", "StartFailed") and spec["on"] and server.state.get("asked") != spec["asked"]:
        return "Starting"
    return status
