"""The endpoint configurations of an experiment: what the endpoint serves during the test, and what afterwards. Pure.

During the test the shadow's InitialVariantWeight over the production variant's is the sampling: 0 until the test starts. Afterwards
the endpoint goes back to the configuration it had ("the endpoint reverts to the state it was in prior to starting the test"); an
endpoint that was made for the test keeps its production variant. StopInferenceExperiment can say otherwise, variant by variant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.kernel.records import Record

Config = tuple[str, dict[str, Any]]
"""A name, and the members of CreateEndpointConfig beside it."""
KEPT = ("ExecutionRoleArn", "VpcConfig", "EnableNetworkIsolation", "KmsKeyId", "DataCaptureConfig", "MetricsConfig")


def weight(experiment: Record) -> float:
    """Of the shadow, while the test runs."""
    return experiment.spec["shadow"]["percent"] / 100


def during(experiment: Record) -> Config:
    spec = experiment.spec
    production, shadow = (_named(spec["variants"], name) for name in (spec["shadow"]["of"], spec["shadow"]["name"]))
    return _name(experiment, f"test-{spec['edition']}"), {
        **_common(experiment),
        "ProductionVariants": [_row(production, 1.0)],
        "ShadowProductionVariants": [_row(shadow, 0.0)],
    }


def after(experiment: Record) -> Config | None:
    """None: it stays as it is."""
    spec = experiment.spec
    stop, before = spec.get("stop"), spec.get("before")
    production, shadow = spec["shadow"]["of"], spec["shadow"]["name"]
    if stop is None:
        if before:
            return _before(experiment)
        return _name(experiment, "after"), {**_common(experiment), "ProductionVariants": [_row(_named(spec["variants"], production), 1.0)]}
    desired = [*stop.get("variants", ()), *spec["variants"]]
    if stop["actions"][shadow] == "Promote":
        return _name(experiment, "after"), {**_common(experiment), "ProductionVariants": [_row(_named(desired, shadow), 1.0)]}
    if stop["actions"][shadow] == "Remove":
        row = _row(_named(desired, production), 1.0)
        if before and _is_alone(before["config"], row):
            return _before(experiment)
        return _name(experiment, "after"), {**_common(experiment), "ProductionVariants": [row]}
    if not stop.get("variants"):
        return None
    started = "started_at" in experiment.state
    return _name(experiment, "after"), {
        **_common(experiment),
        "ProductionVariants": [_row(_named(desired, production), 1.0)],
        "ShadowProductionVariants": [_row(_named(desired, shadow), weight(experiment) if started else 0.0)],
    }


def of(experiment: Record, config: str) -> bool:
    """Whether this is the name of a configuration that the experiment made, or found."""
    before = experiment.spec.get("before")
    return config.endswith(f"-{experiment.uid[:10]}") or bool(before and config == before["name"])


def remains(experiment: Record, variant: str) -> bool:
    """Whether the variant is there after the experiment's end."""
    goal = after(experiment)
    if goal is None:
        return True
    rows = [*goal[1]["ProductionVariants"], *goal[1].get("ShadowProductionVariants", ())]
    return any(row["VariantName"] == variant for row in rows)


def _before(experiment: Record) -> Config:
    """What the endpoint had; it gets a name of its own where its weights or counts were not those of its configuration."""
    before = experiment.spec["before"]
    return before["name"] or _name(experiment, "before"), before["config"]


def _name(experiment: Record, part: str) -> str:
    return f"{experiment.name[:36].rstrip('-')}-{part}-{experiment.uid[:10]}"


def _named(variants: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(v for v in variants if v["VariantName"] == name)


def _is_alone(config: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """The configuration has this production variant at this size, and nothing else."""
    [have, *others] = config["ProductionVariants"]
    same = all(have.get(member) == row[member] for member in ("VariantName", "ModelName", "InstanceType", "InitialInstanceCount"))
    return same and not others and not config.get("ShadowProductionVariants")


def _row(variant: Mapping[str, Any], share: float) -> dict[str, Any]:
    size = variant["InfrastructureConfig"]["RealTimeInferenceConfig"]
    return {
        "VariantName": variant["VariantName"],
        "ModelName": variant["ModelName"],
        "InstanceType": size["InstanceType"],
        "InitialInstanceCount": size["InstanceCount"],
        "InitialVariantWeight": share,
    }


def _common(experiment: Record) -> dict[str, Any]:
    """What both configurations have of the endpoint as it was, and of the experiment's own wishes."""
    spec = experiment.spec
    before = spec["before"]["config"] if spec.get("before") else {}
    found = {member: before[member] for member in KEPT if before.get(member)}
    if spec.get("kms"):
        found["KmsKeyId"] = spec["kms"]
    if spec.get("storage"):
        found["DataCaptureConfig"] = _capture(spec["storage"])
    return found


def _capture(storage: Mapping[str, Any]) -> dict[str, Any]:
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": storage["Destination"],
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
    }
    if storage.get("KmsKey"):
        capture["KmsKeyId"] = storage["KmsKey"]
    if storage.get("ContentType"):
        capture["CaptureContentTypeHeader"] = storage["ContentType"]
    return capture
