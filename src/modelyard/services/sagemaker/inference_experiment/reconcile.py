"""What an experiment looks at, and who wakes it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.kernel.records import Event, Record
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.endpoint.lifecycle import ENDPOINT, status_of
from modelyard.services.sagemaker.endpoint.shadows import everyone
from modelyard.services.sagemaker.inference_experiment import decide as walk
from modelyard.services.sagemaker.inference_experiment.actions import key_of
from modelyard.services.sagemaker.inference_experiment.lifecycle import EXPERIMENT, FINAL

UNFINISHED = tuple(status for status in EXPERIMENT.arrows if status not in FINAL)


def see(experiment: Record, world: Any) -> walk.Seen:
    asked = world.tasks.look(key_of(experiment))
    return walk.Seen(view(endpoint_of(experiment, world.store)), str(asked.error) if asked.state == "failed" else None)


def endpoint_of(experiment: Record, store: Any) -> Record | None:
    return store.by_arn(experiment.spec["endpoint_arn"])


def view(endpoint: Record | None) -> walk.Endpoint | None:
    if endpoint is None:
        return None
    serving, wanted = endpoint.state.get("serving"), endpoint.spec["wanted"]
    return walk.Endpoint(
        status_of(endpoint),
        serving["config"] if serving else None,
        wanted["config"],
        _weights(serving),
        _weights(wanted),
        endpoint.state.get("failure", ""),
    )


def _weights(deployment: Mapping[str, Any] | None) -> dict[str, float]:
    return {v["name"]: v["weight"] for v in everyone(deployment)} if deployment else {}


api.reconciler(EXPERIMENT, see)(walk.decide)


@api.reader("experiment-endpoints", kinds={ENDPOINT.kind})
def wake_experiments(event: Event, platform: Any) -> None:
    """An endpoint changed: the unfinished experiments on it look now."""
    for experiment in platform.store.list(EXPERIMENT.kind, event.account, event.region, status=UNFINISHED):
        if experiment.spec["endpoint_arn"] == event.arn:
            platform.wake(experiment.uid)
