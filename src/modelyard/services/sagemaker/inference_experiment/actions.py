"""What an experiment does to its endpoint: the public operations, as its role. Each may be done twice.

A refusal (no permission, no such model, a quota) is final and kept for the next look; an endpoint that is just being updated by
somebody else is not.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.services.sagemaker.role_session import SESSION_NAME

SESSION_SECONDS = 900.0
NOT_NOW = ("Cannot update in-progress endpoint", "Cannot create already existing endpoint ")


class Refused(Exception):
    """An operation was refused, and would be again."""


def key_of(experiment: Record) -> str:
    """Under which the refusal of what the experiment asked for in its present status is kept."""
    return f"{experiment.uid}/asked/{experiment.status}"


@dataclass(frozen=True)
class PutEndpoint:
    """`operation` is CreateEndpoint or UpdateEndpoint."""

    operation: str
    experiment: Record
    config: str
    members: dict[str, Any]

    def perform(self, world: Any) -> None:
        def ask(call: Call) -> None:
            _ensure_config(call, self.config, self.members)
            request = {"EndpointName": self.experiment.spec["endpoint"], "EndpointConfigName": self.config}
            call.invoke("sagemaker", self.operation, request)

        _attempt(self.experiment, world, ask)


@dataclass(frozen=True)
class UpdateWeight:
    experiment: Record
    weight: float

    def perform(self, world: Any) -> None:
        spec = self.experiment.spec
        change = [{"VariantName": spec["shadow"]["name"], "DesiredWeight": self.weight}]
        request = {"EndpointName": spec["endpoint"], "DesiredWeightsAndCapacities": change}
        _attempt(self.experiment, world, lambda call: call.invoke("sagemaker", "UpdateEndpointWeightsAndCapacities", request))


@dataclass(frozen=True)
class Forget:
    experiment: Record

    def perform(self, world: Any) -> None:
        world.tasks.forget(key_of(self.experiment))


def _attempt(experiment: Record, world: Any, ask: Callable[[Call], Any]) -> None:
    def work() -> None:
        try:
            principal = world.identity.session_for_role(experiment.spec["role"], SESSION_NAME, SESSION_SECONDS).principal
            ask(Call(world, "sagemaker", "", experiment.account, experiment.region, principal, f"experiment-{os.urandom(6).hex()}"))
        except ApiError as problem:
            if problem.message.startswith(NOT_NOW):
                return
            raise Refused(problem.message) from problem

    world.tasks.attempt(key_of(experiment), work, (Refused,))


def _ensure_config(call: Call, name: str, members: dict[str, Any]) -> None:
    """The configuration by this name; one that was deleted is made again."""
    try:
        call.invoke("sagemaker", "CreateEndpointConfig", {"EndpointConfigName": name, **members})
    except ApiError as problem:
        if not problem.message.startswith("Cannot create already existing endpoint configuration"):
            raise
