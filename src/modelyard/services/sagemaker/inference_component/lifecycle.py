"""Statuses of inference components, AWS's: those of endpoints, but for a rollback, which is Updating here."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.records import Record
from modelyard.services.sagemaker.endpoint.lifecycle import ENDPOINT
from modelyard.services.sagemaker.endpoint.lifecycle import status_of as walk_status

COMPONENT = Lifecycle("inference-component", first=ENDPOINT.first, arrows=ENDPOINT.arrows)
SHOWN = {"RollingBack": "Updating", "UpdateRollbackFailed": "Failed"}
SETTLED = ("InService", "UpdateRollbackFailed")
HOST_MODE = "Components"
"""The `mode` of a variant that hosts components: it runs nothing by itself."""


def status_of(component: Record) -> str:
    status = walk_status(component)
    return SHOWN.get(status, status)


def on_endpoint(store: Any, endpoint: Record) -> list[Record]:
    """The components of an endpoint."""
    return store.children(endpoint.uid, COMPONENT.kind)
