"""Statuses of endpoints (AWS's) and of their replicas (ours)."""

from __future__ import annotations

from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.records import Record

ENDPOINT = Lifecycle(
    "endpoint",
    first="Creating",
    arrows={
        "Creating": {"InService", "Failed", "Deleting"},
        "InService": {"Updating", "Deleting"},
        "Updating": {"InService", "RollingBack", "UpdateRollbackFailed", "Deleting"},
        "RollingBack": {"InService", "Deleting"},
        "UpdateRollbackFailed": {"Updating", "Deleting"},
        "Failed": {"Deleting"},
        "Deleting": {"Deleting"},
    },
)

REPLICA = Lifecycle(
    "endpoint-replica",
    first="Preparing",
    arrows={
        "Preparing": {"Starting", "Failed", "Stopping"},
        "Starting": {"InService", "Restarting", "Failed", "Stopping"},
        "InService": {"Restarting", "Stopping"},
        "Restarting": {"Starting", "Stopping"},
        "Failed": {"Stopping"},
        "Stopping": {"Stopping"},
    },
)

SETTLED = ("InService", "UpdateRollbackFailed")
"""An endpoint may be updated only here."""


def status_of(endpoint: Record) -> str:
    """What a client sees. A wish that the engine has not looked at yet counts: the answer to UpdateEndpoint is
    followed by Updating at once, never by one more InService that a waiter would take for the end."""
    if endpoint.spec.get("delete"):
        return "Deleting"
    if endpoint.status in SETTLED and endpoint.spec["wanted"]["edition"] != endpoint.state.get("settled"):
        return "Updating"
    return endpoint.status
