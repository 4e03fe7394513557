"""What a copy of a component runs and needs, and whether copies fit onto the instances of their variant.

Instances of such a variant are a measure here: copies run side by side on this machine, each in a box with the cores and the memory it
asked for. But what would not fit on AWS does not fit here either, by the figures of the instance type.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.records import Record
from modelyard.services.sagemaker.endpoint.deployment import STARTUP_SECONDS
from modelyard.services.sagemaker.inference_component.lifecycle import HOST_MODE
from modelyard.services.sagemaker.instances import instance
from modelyard.services.sagemaker.model import hosted_containers, mode_of, the_model

LOG_GROUP = "/aws/sagemaker/InferenceComponents/"
MIB = 1 << 20

Size = tuple[float, int, float]
"""(CPU cores, bytes of memory, accelerators)."""


def host_of(endpoint: Record, variant: str | None) -> Mapping[str, Any]:
    """The variant of an endpoint in service that shall have the component."""
    variants = endpoint.state["serving"]["variants"]
    found = next((v for v in variants if v["name"] == variant), None) if variant else (variants[0] if len(variants) == 1 else None)
    if found is None:
        names = ", ".join(v["name"] for v in variants)
        raise validation(f"VariantName must be a production variant of endpoint {endpoint.name}, which has {names}; it is {variant}.")
    if found.get("mode") != HOST_MODE:
        raise validation(
            f"Production variant {found['name']} of endpoint {endpoint.name} has a model. Inference components need a variant without "
            "ModelName, in an endpoint configuration with an ExecutionRoleArn."
        )
    return found


def checked(call: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    """The Specification of a request. Raises ValidationException."""
    if request.get("Specifications"):
        raise validation("Specifications (one per instance type) are not built yet; give one Specification. Nothing was created.")
    given = request.get("Specification")
    if not given:
        raise validation("Specification is required.")
    if given.get("BaseInferenceComponentName"):
        raise validation("Adapter inference components (BaseInferenceComponentName) are not built yet; nothing was created.")
    if bool(given.get("ModelName")) == bool(given.get("Container")):
        raise validation("Specification must have either a ModelName or a Container, and not both.")
    if not given.get("ComputeResourceRequirements"):
        raise validation("ComputeResourceRequirements is required in the Specification of an inference component with a model.")
    needs = given["ComputeResourceRequirements"]
    if needs.get("MaxMemoryRequiredInMb", needs["MinMemoryRequiredInMb"]) < needs["MinMemoryRequiredInMb"]:
        raise validation("MaxMemoryRequiredInMb must not be less than MinMemoryRequiredInMb.")
    if given.get("ModelName"):
        model = the_model(call, given["ModelName"])
        if mode_of(model.spec):
            raise validation(
                f"Model {model.name} has several containers or models; an inference component has one container with one model."
            )
    elif not given["Container"].get("Image"):
        raise validation("Image is required in the Container of an inference component.")
    elif (images := call.platform.parts.get("images")) is not None and images.find(given["Container"]["Image"]) is None:
        raise validation(f"Requested image {given['Container']['Image']} not found.")
    return dict(given)


def deployment(
    call: Any, name: str, endpoint: Record, host: Mapping[str, Any], spec: Mapping[str, Any], copies: int, edition: int
) -> dict[str, Any]:
    """What the walk of endpoints shall bring about: one variant, an instance per copy."""
    model = the_model(call, spec["ModelName"]) if spec.get("ModelName") else None
    container = hosted_containers(model.spec)[0] if model else _container(spec["Container"])
    container["environment"] = {**container["environment"], **(spec.get("Container") or {}).get("Environment", {})}
    needs = spec["ComputeResourceRequirements"]
    start = spec.get("StartupParameters") or {}
    variant = {
        "name": host["name"],
        "generation": edition,
        "weight": 1.0,
        "kind": "instance",
        "count": copies,
        "instance_type": host["instance_type"],
        "mode": "",
        "containers": [container],
        **{member: container[member] for member in ("image", "environment", "data")},
        "role": (model.spec.get("ExecutionRoleArn") if model else None) or host["role"],
        "isolated": bool(host["isolated"] or (model and model.spec.get("EnableNetworkIsolation"))),
        "startup_s": float(start.get("ContainerStartupHealthCheckTimeoutInSeconds", STARTUP_SECONDS)),
        "log_group": LOG_GROUP + name,
        "component": name,
        "cpus": needs.get("NumberOfCpuCoresRequired"),
        "memory_bytes": needs.get("MaxMemoryRequiredInMb", 0) * MIB or None,
    }
    serving = endpoint.state["serving"]
    return {
        "edition": edition,
        "config": "",
        "component": name,
        "capture": serving["capture"],
        "metrics": serving.get("metrics"),
        "variants": [variant],
        "specification": dict(spec),
    }


def _container(given: Mapping[str, Any]) -> dict[str, Any]:
    url = given.get("ArtifactUrl")
    data = {"S3Uri": url, "S3DataType": "S3Object", "CompressionType": "Gzip"} if url else None
    return {"hostname": "", "image": given["Image"], "environment": {}, "data": data, "mode": "SingleModel", "cached": True}


# --- room ------------------------------------------------------------------------------------------


def check_room(host: Mapping[str, Any], others: Iterable[Mapping[str, Any]], mine: Mapping[str, Any]) -> None:
    """`others` and `mine` are deployments of components. Raises ValidationException where their copies do not fit onto the variant's
    instances together."""
    wanted = [size for deployed in (*others, mine) for size in [size_of(deployed)] * deployed["variants"][0]["count"]]
    kind = instance(host["instance_type"])
    room: Size = (float(kind.cpus), kind.memory_bytes, float(kind.gpus))
    count = host.get("most") or host["count"]
    if not fits(wanted, room, count):
        cores, memory, accelerators = size_of(mine)
        more = f", {accelerators:g} accelerators" if accelerators else ""
        raise validation(
            f"Insufficient resources for {mine['variants'][0]['count']} copies of inference component {mine['component']} ({cores:g} CPU cores, "
            f"{memory // MIB} MB of memory{more} each): variant {host['name']} has {count} instance(s) of {host['instance_type']} with {kind.cpus} "
            f"CPU cores, {kind.memory_bytes // MIB} MB and {kind.gpus} accelerators each, shared with the other components on it. Ask for less, or "
            "raise DesiredInstanceCount with UpdateEndpointWeightsAndCapacities."
        )


def size_of(deployed: Mapping[str, Any]) -> Size:
    needs = deployed["specification"]["ComputeResourceRequirements"]
    cores, accelerators = needs.get("NumberOfCpuCoresRequired", 0.0), needs.get("NumberOfAcceleratorDevicesRequired", 0.0)
    return float(cores), needs["MinMemoryRequiredInMb"] * MIB, float(accelerators)


def fits(copies: list[Size], room: Size, instances: int) -> bool:
    """First fit, the largest first. Pure."""
    free = [room] * instances
    for size in sorted(copies, key=lambda s: (s[2], s[1], s[0]), reverse=True):
        place = next((n for n, left in enumerate(free) if all(have >= need for have, need in zip(left, size, strict=True))), None)
        if place is None:
            return False
        cores, memory, accelerators = free[place]
        free[place] = (cores - size[0], memory - size[1], accelerators - size[2])
    return True
