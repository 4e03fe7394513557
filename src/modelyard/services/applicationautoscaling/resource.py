"""What can be scaled: production variants of endpoints, and inference components. Their capacity is read and set through SageMaker's own operations, in the
name of the service-linked role."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelyard.kernel.errors import ApiError, validation
from modelyard.kernel.service import Call

INSTANCES = "sagemaker:variant:DesiredInstanceCount"
CONCURRENCY = "sagemaker:variant:DesiredProvisionedConcurrency"
COPIES = "sagemaker:inference-component:DesiredCopyCount"
WORDS = {INSTANCES: "desired instance count", CONCURRENCY: "desired provisioned concurrency", COPIES: "desired copy count"}
"""How activities name the capacity of a dimension."""
_VARIANT = re.compile(r"endpoint/([A-Za-z0-9][A-Za-z0-9-]*)/variant/([A-Za-z0-9][A-Za-z0-9-]*)")
_COMPONENT = re.compile(r"inference-component/([A-Za-z0-9][A-Za-z0-9-]*)")


@dataclass(frozen=True)
class Capacity:
    """`status` is the endpoint's, or the component's; `desired` what was last asked for, `current` what serves. `failure` is its FailureReason.
    `wrong` says why this dimension cannot be scaled (a serverless variant has no instances, …)."""

    status: str
    desired: int = 0
    current: int = 0
    failure: str = ""
    wrong: str = ""


def split(resource_id: str) -> tuple[str, str]:
    """(endpoint, variant) of `endpoint/E/variant/V`."""
    found = _VARIANT.fullmatch(resource_id)
    return (found[1], found[2]) if found else ("", "")


def component(resource_id: str) -> str:
    """The name in `inference-component/NAME`; empty for a variant."""
    found = _COMPONENT.fullmatch(resource_id)
    return found[1] if found else ""


def metric_dimensions(resource_id: str) -> list[dict[str, str]]:
    """Those of the CloudWatch metrics that SageMaker has of it."""
    if name := component(resource_id):
        return [{"Name": "InferenceComponentName", "Value": name}]
    endpoint, variant = split(resource_id)
    return [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}]


def is_of(resource_id: str, kind: str, name: str) -> bool:
    """Whether it stands on this endpoint or is this component (a kind of SageMaker's records)."""
    mine = component(resource_id) if kind == "inference-component" else split(resource_id)[0]
    return mine.lower() == name.lower()


def missing(resource_id: str) -> str:
    """What is said of one that is not there."""
    if name := component(resource_id):
        return f"SageMaker inference component {name} does not exist: {resource_id}"
    endpoint, variant = split(resource_id)
    return f"SageMaker endpoint {endpoint} with production variant {variant} does not exist: {resource_id}"


def check(namespace: str, resource_id: str, dimension: str | None) -> None:
    """Raises ValidationException where nothing of this name could be scaled: AWS's text for what AWS refuses too."""
    if dimension is not None and not dimension.startswith(f"{namespace}:"):
        raise validation("Unsupported service namespace, resource type or scalable dimension")
    if namespace != "sagemaker":
        raise validation(f"Modelyard scales sagemaker resources only; {namespace} is not built.")
    dimensions = (COPIES,) if component(resource_id) else (INSTANCES, CONCURRENCY) if _VARIANT.fullmatch(resource_id) else ()
    if dimension not in (None, *dimensions) or not dimensions:
        raise validation("Unsupported service namespace, resource type or scalable dimension")


def read(acting: Call, resource_id: str, dimension: str) -> Capacity | None:
    """None where the endpoint or its variant, or the component, is not there."""
    if name := component(resource_id):
        return _copies(acting, name)
    endpoint, variant = split(resource_id)
    try:
        there = acting.invoke("sagemaker", "DescribeEndpoint", {"EndpointName": endpoint})
    except ApiError as problem:
        if problem.message.startswith("Could not find"):
            return None
        raise
    status = there["EndpointStatus"]
    row = next((v for v in there.get("ProductionVariants", []) if v["VariantName"] == variant), None)
    if row is None:
        return Capacity(status, failure=there.get("FailureReason", "")) if status in ("Creating", "Failed", "Deleting") else None
    return _capacity(status, row, dimension, there.get("FailureReason", ""))


def _copies(acting: Call, name: str) -> Capacity | None:
    try:
        there = acting.invoke("sagemaker", "DescribeInferenceComponent", {"InferenceComponentName": name})
    except ApiError as problem:
        if problem.message.startswith("Could not find"):
            return None
        raise
    count = there["RuntimeConfig"]
    return Capacity(there["InferenceComponentStatus"], count["DesiredCopyCount"], count["CurrentCopyCount"], there.get("FailureReason", ""))


def _capacity(status: str, row: Mapping[str, Any], dimension: str, failure: str) -> Capacity:
    current, desired = row.get("CurrentServerlessConfig"), row.get("DesiredServerlessConfig")
    serverless = current or desired
    if dimension == INSTANCES:
        if serverless:
            return Capacity(status, wrong="it is serverless, and serverless variants have no instances to count")
        return Capacity(status, row.get("DesiredInstanceCount", 0), row.get("CurrentInstanceCount", 0), failure)
    if not serverless:
        return Capacity(status, wrong="it is not serverless, and only serverless variants have provisioned concurrency")
    wanted = (desired or serverless).get("ProvisionedConcurrency", 0)
    if not wanted:
        return Capacity(status, wrong="it has no ProvisionedConcurrency")
    return Capacity(status, wanted, (current or serverless).get("ProvisionedConcurrency", 0), failure)


def put(acting: Call, resource_id: str, dimension: str, capacity: int) -> None:
    """Asks the endpoint or the component for this capacity; raises what SageMaker answers."""
    if name := component(resource_id):
        request = {"InferenceComponentName": name, "DesiredRuntimeConfig": {"CopyCount": capacity}}
        acting.invoke("sagemaker", "UpdateInferenceComponentRuntimeConfig", request)
        return
    endpoint, variant = split(resource_id)
    wish: dict[str, Any] = {"VariantName": variant}
    if dimension == INSTANCES:
        wish["DesiredInstanceCount"] = capacity
    else:
        there = acting.invoke("sagemaker", "DescribeEndpoint", {"EndpointName": endpoint})
        row = next(v for v in there["ProductionVariants"] if v["VariantName"] == variant)
        most = (row.get("DesiredServerlessConfig") or row["CurrentServerlessConfig"])["MaxConcurrency"]
        wish["ServerlessUpdateConfig"] = {"MaxConcurrency": most, "ProvisionedConcurrency": capacity}
    acting.invoke("sagemaker", "UpdateEndpointWeightsAndCapacities", {"EndpointName": endpoint, "DesiredWeightsAndCapacities": [wish]})
