"""Shadow variants: copies of the production variant's calls go to them, and their answers to nobody ("Testing models with shadow
variants"). Checks, the part of a deployment, the rows of the route table. Pure.

A shadow belongs to the deployment of its production variant: it comes up with the first instances of it and goes with the last.
The share of calls that is copied is InitialVariantWeight of the shadow over that of the production variant, all at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.kernel.errors import validation

NOT_SUPPORTED = "One or more endpoint features are not supported for an endpoint with shadow variants: {}."


def check_request(request: Mapping[str, Any]) -> None:
    """CreateEndpointConfig: one of each, of different names, on instances ("Create a shadow test", features that do not go with it)."""
    shadows = request.get("ShadowProductionVariants")
    if not shadows:
        return
    variants = request["ProductionVariants"]
    if len(variants) != 1 or len(shadows) != 1:
        raise validation(
            "If you use ShadowProductionVariants, you can only specify one variant for ProductionVariants and one variant for "
            f"ShadowProductionVariants; there are {len(variants)} and {len(shadows)}."
        )
    if variants[0]["VariantName"].lower() == shadows[0]["VariantName"].lower():
        raise validation(
            f"Variant names must be unique within an endpoint configuration: {shadows[0]['VariantName']} is both a production variant and "
            "a shadow variant."
        )
    for variant in (*variants, *shadows):
        if variant.get("ServerlessConfig"):
            raise validation(NOT_SUPPORTED.format(f"variant {variant['VariantName']} is serverless"))
        if str(variant.get("InstanceType", "")).startswith("ml.inf1."):
            raise validation(NOT_SUPPORTED.format(f"variant {variant['VariantName']} uses an Inf1 instance"))


def check_model(name: str, mode: str) -> None:
    """Of a production variant that has a shadow, and of the shadow."""
    if mode == "MultiModel":
        raise validation(NOT_SUPPORTED.format(f"model {name} is a multi-model container"))
    if mode:
        raise validation(NOT_SUPPORTED.format(f"model {name} has several containers"))


# --- deployments ---------------------------------------------------------------------------------


def everyone(deployment: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Production variants, then shadows."""
    return [*deployment["variants"], *deployment.get("shadows", ())]


def percent(deployment: Mapping[str, Any], shadow: Mapping[str, Any]) -> float:
    """Of the production variant's calls, those that are copied."""
    weight = next((v["weight"] for v in deployment["variants"] if v["name"] == shadow["of"]), 0.0)
    return min(100.0, 100.0 * shadow["weight"] / weight) if weight > 0 else 0.0


def wanted_count(variant: Mapping[str, Any], most: Mapping[str, int] | None) -> int:
    """How many replicas of a variant there shall be where `most` says how many of each production variant: a shadow is there whole, or not."""
    if variant.get("mode") == "Components":  # its instances run what inference components there are
        return 0
    if most is None:
        return variant["count"]
    if "of" in variant:
        return variant["count"] if most.get(variant["of"], 0) > 0 else 0
    return most.get(variant["name"], 0)


def enhanced(deployment: Mapping[str, Any]) -> dict[str, bool]:
    """Whether its invocations are counted by instance too, for the rows of the table."""
    return {"enhanced": True} if (deployment.get("metrics") or {}).get("EnableEnhancedMetrics") else {}


def rows(
    deployment: Mapping[str, Any],
    names: Mapping[str, Mapping[str, Any]],
    routes: Mapping[str, Any],
    shares: Mapping[str, float] | None,
    faults: Mapping[str, Mapping[str, Any]],
) -> list[dict[str, Any]]:
    """The shadows of a deployment that takes traffic, as serving/routes.py has them. `names`: its replicas, each with its variant;
    `routes`: those that are healthy."""
    found = []
    for shadow in deployment.get("shadows", ()):
        if shares is not None and shares.get(shadow["of"], 0.0) <= 0:
            continue
        replicas = [routes[name] for name, variant in names.items() if variant["name"] == shadow["name"] and name in routes]
        row = {"name": shadow["name"], "weight": shadow["weight"], "replicas": replicas, "fleet": str(deployment["edition"])}
        row |= enhanced(deployment)
        if shadow["name"] in faults:
            row["fault"] = faults[shadow["name"]]
        found.append({"of": shadow["of"], "percent": percent(deployment, shadow), "variant": {**row, "config": deployment["config"]}})
    return found
