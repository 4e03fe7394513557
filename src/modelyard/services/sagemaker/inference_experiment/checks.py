"""What may be asked of an inference experiment. Raises ValidationException with what is wrong and what would be right.

Exclusions are those of "Shadow tests": serverless, asynchronous, multi-container and multi-model endpoints, Inf1 instances, more than one
production variant. A schedule is 7 days where none is given, and 30 at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.records import Record
from modelyard.services.sagemaker.common import parse_s3_uri
from modelyard.services.sagemaker.endpoint import shadows
from modelyard.services.sagemaker.endpoint.lifecycle import status_of as endpoint_status
from modelyard.services.sagemaker.endpoint_config import the_config
from modelyard.services.sagemaker.model import mode_of, the_model

DAY = 86400.0
USUAL_SECONDS, LONGEST_SECONDS = 7 * DAY, 30 * DAY
ACTIONS_OF = {"production": ("Retain", "Remove"), "shadow": ("Promote", "Retain", "Remove")}


def schedule(given: Mapping[str, Any], start: float, now: float) -> dict[str, float]:
    """`start_at` and `end_at`; a start that has passed is now. `start` is what holds where the request names none."""
    start_at = max(given.get("StartTime", start), now)
    end_at = given.get("EndTime", start_at + USUAL_SECONDS)
    if end_at <= start_at:
        raise validation("The EndTime of the experiment's schedule must be later than its StartTime and than the present time.")
    if end_at - start_at > LONGEST_SECONDS:
        raise validation("The duration of an inference experiment may be 30 days at most.")
    return {"start_at": start_at, "end_at": end_at}


def shadow_of(config: Mapping[str, Any]) -> dict[str, Any]:
    [given] = config["ShadowModelVariants"]
    if given["SamplingPercentage"] < 0:
        raise validation(f"SamplingPercentage must be between 0 and 100; it is {given['SamplingPercentage']}.")
    return {"of": config["SourceModelVariantName"], "name": given["ShadowModelVariantName"], "percent": given["SamplingPercentage"]}


def variants(call: Any, given: list[dict[str, Any]], shadow: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Exactly the production variant and the shadow, each with a model that a shadow test may have."""
    names = [v["VariantName"] for v in given]
    if shadow["of"].lower() == shadow["name"].lower():
        raise validation(f"{shadow['of']} cannot be both the source variant and the shadow variant of an experiment.")
    if sorted(names) != sorted((shadow["of"], shadow["name"])):
        raise validation(
            f"ModelVariants must be the two variants that ShadowModeConfig names, {shadow['of']} and {shadow['name']}, once each; they are "
            f"{', '.join(names)}."
        )
    for variant in given:
        size(variant)
        shadows.check_model(variant["ModelName"], mode_of(the_model(call, variant["ModelName"]).spec))
    return given


def size(variant: Mapping[str, Any]) -> None:
    config = variant["InfrastructureConfig"]["RealTimeInferenceConfig"]
    if config["InstanceCount"] < 1:
        raise validation(f"InstanceCount of variant {variant['VariantName']} must be at least 1.")
    if config["InstanceType"].startswith("ml.inf1."):
        raise validation(shadows.NOT_SUPPORTED.format(f"variant {variant['VariantName']} uses an Inf1 instance"))


def storage(config: Mapping[str, Any] | None) -> None:
    if config:
        parse_s3_uri(config["Destination"], "dataStorageConfig.destination")


def found_endpoint(call: Any, endpoint: Record, shadow: Mapping[str, Any]) -> dict[str, Any]:
    """What the endpoint serves before the test, as a configuration to go back to: its own, or where weights or counts were changed since,
    one that says so. Raises where a test on it is not possible."""
    status = endpoint_status(endpoint)
    if status != "InService":
        raise validation(
            f'Cannot create an inference experiment on endpoint "{endpoint.arn}" with status "{status}": it must be InService.'
        )
    serving = endpoint.state["serving"]
    if serving.get("asynchronous"):
        raise validation(shadows.NOT_SUPPORTED.format(f"endpoint {endpoint.name} is asynchronous"))
    if any(v.get("serverless") for v in serving["variants"]):
        raise validation(shadows.NOT_SUPPORTED.format(f"endpoint {endpoint.name} is serverless"))
    if any(v.get("mode") == "Components" for v in serving["variants"]):
        raise validation(shadows.NOT_SUPPORTED.format(f"endpoint {endpoint.name} hosts inference components"))
    if len(serving["variants"]) != 1:
        raise validation(
            f"An endpoint with a shadow variant can have one production variant; endpoint {endpoint.name} has {len(serving['variants'])}."
        )
    live = serving["variants"][0]["name"]
    if live != shadow["of"]:
        raise validation(
            f"SourceModelVariantName must be the production variant of endpoint {endpoint.name}, which is {live}; it is {shadow['of']}."
        )
    return _before(the_config(call, serving["config"]), serving)


def completed(given: list[dict[str, Any]], before: Mapping[str, Any] | None, shadow: Mapping[str, Any]) -> list[dict[str, Any]]:
    """ModelVariants; where only the shadow is given the production variant is the one that the endpoint has."""
    if before is None or [v["VariantName"] for v in given] != [shadow["name"]]:
        return given
    [live] = before["config"]["ProductionVariants"]
    config = {"InstanceType": live["InstanceType"], "InstanceCount": live["InitialInstanceCount"]}
    infrastructure = {"InfrastructureType": "RealTimeInference", "RealTimeInferenceConfig": config}
    return [{"ModelName": live["ModelName"], "VariantName": live["VariantName"], "InfrastructureConfig": infrastructure}, *given]


def _before(config: Record, serving: Mapping[str, Any]) -> dict[str, Any]:
    now = {v["name"]: {"InitialInstanceCount": v["count"], "InitialVariantWeight": v["weight"]} for v in shadows.everyone(serving)}
    members = {member: value for member, value in config.spec.items() if member != "EndpointConfigName"}
    changed = dict(members)
    for member in ("ProductionVariants", "ShadowProductionVariants"):
        if members.get(member):
            changed[member] = [{**row, **now[row["VariantName"]]} for row in members[member]]
    return {"name": config.name if changed == members else None, "config": changed}


# --- stop ------------------------------------------------------------------------------------------


def actions(given: Mapping[str, str], shadow: Mapping[str, Any]) -> dict[str, str]:
    """Of both variants. What is not named follows from what is: a promoted shadow takes the place of the production variant, any other
    goes."""
    for name, action in given.items():
        role = {shadow["of"]: "production", shadow["name"]: "shadow"}.get(name)
        if role is None:
            raise validation(f"The experiment has no model variant {name}; it has {shadow['of']} and {shadow['name']}.")
        if action not in ACTIONS_OF[role]:
            raise validation(f"The action for {role} variant {name} can be {' or '.join(ACTIONS_OF[role])}, not {action}.")
    of_shadow = given.get(shadow["name"], "Promote" if given.get(shadow["of"]) == "Remove" else "Remove")
    of_source = given.get(shadow["of"], "Remove" if of_shadow == "Promote" else "Retain")
    if (of_source == "Remove") != (of_shadow == "Promote"):
        raise validation(
            f"An endpoint keeps one production variant: {of_source} of {shadow['of']} and {of_shadow} of {shadow['name']} cannot both be done."
        )
    return {shadow["of"]: of_source, shadow["name"]: of_shadow}


def desired(call: Any, given: list[dict[str, Any]], known: list[dict[str, Any]], wanted: Mapping[str, str]) -> list[dict[str, Any]]:
    """DesiredModelVariants: of variants that stay, once each."""
    names, there = [v["VariantName"] for v in given], {v["VariantName"] for v in known}
    if len(set(names)) != len(names):
        raise validation("Each variant may be named once in DesiredModelVariants.")
    for variant in given:
        name = variant["VariantName"]
        if name not in there:
            raise validation(f"The experiment has no model variant {name}; it has {' and '.join(sorted(there))}.")
        if wanted[name] == "Remove":
            raise validation(f"Variant {name} is to be removed: it cannot be in DesiredModelVariants.")
        size(variant)
        shadows.check_model(variant["ModelName"], mode_of(the_model(call, variant["ModelName"]).spec))
    return given
