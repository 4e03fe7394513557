"""What an endpoint shall run: an endpoint configuration and its models, frozen when they are named.

A deployment is plain data: `{"edition", "config", "capture", "variants": [variant…], "shadows": [variant…]}`; a shadow has `of`, the
name of its production variant (shadows.py). A variant has `name`, `weight`,
`count`, `instance_type`, `generation` and what its replicas need to start. Replicas are named by variant,
generation and number, so a change of weights or counts keeps the ones there are, and an update, which gives
variants a new generation, replaces them all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.records import Record
from modelyard.services.sagemaker.endpoint import serverless, shadows
from modelyard.services.sagemaker.model import hosted_containers, many_models, mode_of, the_model

STARTUP_SECONDS = 480.0
"""ContainerStartupHealthCheckTimeoutInSeconds where the variant names none: AWS's 8 minutes, real time."""
ASYNC_DRAIN_SECONDS = 3700.0
"""What a replica of an asynchronous endpoint may take to finish what it works on: an invocation may last an hour."""
TOLD = ("ManagedInstanceScaling", "RoutingConfig")
"""Members of a variant that DescribeEndpoint tells as they were given."""
KEPT_PROPERTIES = {"DesiredInstanceCount": "count", "DesiredWeight": "weight"}


def freeze(call, config: Record, edition: int) -> dict[str, Any]:
    """Raises ValidationException where a model is gone or of a kind that is not built."""
    variants = [_variant(call, config, v, edition) for v in config.spec["ProductionVariants"]]
    asynchronous = config.spec.get("AsyncInferenceConfig")
    if asynchronous is not None:
        if any(v["mode"] in ("Direct", "MultiModel", "Components") for v in variants):
            raise validation(
                "One or more endpoint features are not supported using this configuration: an asynchronous endpoint takes models of one container or "
                "of a serial pipeline."
            )
        asynchronous = {**asynchronous, "role": variants[0]["role"]}
        variants = [{**v, "drain_s": ASYNC_DRAIN_SECONDS} for v in variants]
    return {
        "edition": edition,
        "config": config.name,
        "capture": config.spec.get("DataCaptureConfig"),
        "variants": variants,
        "asynchronous": asynchronous,
        "metrics": config.spec.get("MetricsConfig"),
        **_shadows(call, config, variants, edition),
    }


def captures(capture: Mapping[str, Any] | None) -> bool:
    """Whether calls are captured: a DataCaptureConfig does so unless it says otherwise."""
    return bool(capture) and capture.get("EnableCapture", True)


def _variant(call, config: Record, variant: dict[str, Any], generation: int) -> dict[str, Any]:
    if not variant.get("ModelName"):
        return _host(config, variant, generation)
    model = the_model(call, variant["ModelName"])
    containers = hosted_containers(model.spec)
    if variant.get("ServerlessConfig"):
        serverless.check_model(model.name, model.spec, mode_of(model.spec), containers)
    role = model.spec.get("ExecutionRoleArn") or config.spec.get("ExecutionRoleArn")
    return {
        "name": variant["VariantName"],
        "generation": generation,
        "weight": variant.get("InitialVariantWeight", 1.0),
        **_size(variant),
        "model": model.name,
        "mode": mode_of(model.spec),
        "containers": containers,
        "extra": many_models(containers, role, variant),
        "image": containers[0]["image"],
        "resolved_at": call.now(),
        "environment": containers[0]["environment"],
        "data": containers[0]["data"],
        "role": role,
        "isolated": bool(model.spec.get("EnableNetworkIsolation") or config.spec.get("EnableNetworkIsolation")),
        "startup_s": float(variant.get("ContainerStartupHealthCheckTimeoutInSeconds", STARTUP_SECONDS)),
    }


def _host(config: Record, variant: dict[str, Any], generation: int) -> dict[str, Any]:
    """A variant that runs nothing by itself: inference components bring their models."""
    scaling = variant.get("ManagedInstanceScaling") or {}
    return {
        "name": variant["VariantName"],
        "generation": generation,
        "weight": variant.get("InitialVariantWeight", 1.0),
        **_size(variant),
        "most": scaling.get("MaxInstanceCount") if scaling.get("Status") == "ENABLED" else None,
        "mode": "Components",
        "role": config.spec["ExecutionRoleArn"],
        "isolated": bool(config.spec.get("EnableNetworkIsolation")),
    }


def _shadows(call, config: Record, variants: list[dict[str, Any]], generation: int) -> dict[str, Any]:
    given = config.spec.get("ShadowProductionVariants")
    if not given:
        return {}
    found = [{**_variant(call, config, v, generation), "of": variants[0]["name"]} for v in given]
    for variant in (*variants, *found):
        shadows.check_model(variant.get("model", ""), variant["mode"])
    return {"shadows": found}


def _size(variant: dict[str, Any]) -> dict[str, Any]:
    if variant.get("ServerlessConfig"):
        return serverless.frozen(variant["ServerlessConfig"])
    volume = {"volume_gb": variant["VolumeSizeInGB"]} if variant.get("VolumeSizeInGB") else {}
    return {
        "kind": "instance",
        "serverless": None,
        "count": variant["InitialInstanceCount"],
        "instance_type": variant["InstanceType"],
        "told": {member: variant[member] for member in TOLD if variant.get(member)},
        **volume,
    }


def retain(new: dict[str, Any], old: dict[str, Any] | None, excluded: list[str]) -> dict[str, Any]:
    """UpdateEndpoint with RetainAllVariantProperties: counts and weights of variants of the same name stay as they
    are, but for the excluded kinds; DataCaptureConfig likewise."""
    if old is None:
        return new
    have = {v["name"]: v for v in old["variants"]}
    keep = [field for kind, field in KEPT_PROPERTIES.items() if kind not in excluded]
    both = {v["name"] for v in new["variants"] if v["name"] in have and not (v.get("serverless") or have[v["name"]].get("serverless"))}
    variants = [{**v, **{field: have[v["name"]][field] for field in keep}} if v["name"] in both else v for v in new["variants"]]
    capture = new["capture"] if "DataCaptureConfig" in excluded else old["capture"]
    kept = {**new, "variants": variants, "capture": capture}
    if new.get("shadows"):
        before = {v["name"]: v for v in old.get("shadows", ())}
        kept["shadows"] = [{**v, **{f: before[v["name"]][f] for f in keep}} if v["name"] in before else v for v in new["shadows"]]
    return kept


def rescale(old: dict[str, Any], wishes: list[dict[str, Any]], edition: int) -> dict[str, Any]:
    """UpdateEndpointWeightsAndCapacities. Raises ValidationException for a variant that is not there."""
    by_name = {w["VariantName"]: w for w in wishes}
    if len(by_name) != len(wishes):
        raise validation("Each production variant may be named once.")
    for name in by_name.keys() - {v["name"] for v in shadows.everyone(old)}:
        raise validation(f"The endpoint has no production variant {name}.")
    new = {**old, "edition": edition, "scale": True, "plan": None}
    for kind in ("variants", "shadows"):
        if old.get(kind):
            new[kind] = [_rescaled(v, by_name.get(v["name"], {})) for v in old[kind]]
    empty = [v for v in shadows.everyone(new) if v.get("kind", "instance") == "instance" and v["count"] < 1]
    if empty and not old.get("asynchronous"):
        raise validation(
            f"DesiredInstanceCount of {'shadow' if 'of' in empty[0] else 'production'} variant {empty[0]['name']} must be at least 1: only "
            "asynchronous endpoints scale to zero."
        )
    if not any(v["weight"] > 0 for v in new["variants"]):
        raise validation("At least one production variant must have a DesiredWeight above 0.")
    return new


def _rescaled(variant: dict[str, Any], wish: dict[str, Any]) -> dict[str, Any]:
    weight = wish.get("DesiredWeight", variant["weight"])
    if variant.get("serverless"):
        return {**variant, "weight": weight, **serverless.rescaled(variant, wish)}
    if "ServerlessUpdateConfig" in wish:
        raise validation(f"Production variant {variant['name']} is not serverless.")
    return {**variant, "weight": weight, "count": wish.get("DesiredInstanceCount", variant["count"])}


def replica_names(endpoint_uid: str, deployment: Mapping[str, Any], most: Mapping[str, int] | None = None) -> dict[str, Mapping[str, Any]]:
    """The names of all replicas the deployment wants, each with its variant; with `most`, so many of each production variant."""
    return {
        f"{endpoint_uid}/{v['name']}/{v['generation']}/{number}": v
        for v in shadows.everyone(deployment)
        for number in range(shadows.wanted_count(v, most))
    }
