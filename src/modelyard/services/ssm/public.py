"""Public parameters under /aws/service that templates take as defaults: read only, and of no account.

Their values name what is here, not what Amazon runs: an AMI ID is made from the region and the parameter's name, so that it is another one
in each region, as AWS's are, and always the same there; regions are those that botocore knows.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

SINCE = 1_700_000_000.0
ROOT, IMAGE = "/aws/service/", "aws:ec2:image"
_AMAZON_LINUX = (
    "al2023-ami-kernel-default-x86_64", "al2023-ami-kernel-default-arm64", "al2023-ami-minimal-kernel-default-x86_64",
    "al2023-ami-minimal-kernel-default-arm64", "al2023-ami-kernel-6.1-x86_64", "al2023-ami-kernel-6.1-arm64",
    "al2023-ami-kernel-6.12-x86_64", "al2023-ami-kernel-6.12-arm64",
    "amzn2-ami-hvm-x86_64-gp2", "amzn2-ami-hvm-x86_64-ebs", "amzn2-ami-hvm-arm64-gp2", "amzn2-ami-kernel-5.10-hvm-x86_64-gp2",
    "amzn2-ami-kernel-5.10-hvm-arm64-gp2", "amzn2-ami-minimal-hvm-x86_64-ebs", "amzn-ami-hvm-x86_64-gp2",
)  # fmt: skip
_DEEP_LEARNING = (
    "base-oss-nvidia-driver-gpu-ubuntu-22.04", "base-oss-nvidia-driver-gpu-amazon-linux-2023", "oss-nvidia-driver-gpu-pytorch-2.7-ubuntu-22.04",
    "oss-nvidia-driver-gpu-pytorch-2.7-amazon-linux-2023",
)  # fmt: skip
_UBUNTU = ("18.04", "20.04", "22.04", "24.04")
_ECS = {
    **dict.fromkeys(("amazon-linux-2", "amazon-linux-2/arm64", "amazon-linux-2/gpu", "amazon-linux-2/inf", "amazon-linux-2/kernel-5.10"), "Amazon Linux 2"),
    **dict.fromkeys(("amazon-linux-2023", "amazon-linux-2023/arm64", "amazon-linux-2023/gpu", "amazon-linux-2023/neuron"), "Amazon Linux 2023"),
}  # fmt: skip
_WINDOWS = tuple(f"Windows_Server-{year}-English-{kind}-Base" for year in (2016, 2019, 2022, 2025) for kind in ("Full", "Core"))
_DEBIAN = ("11", "12", "13")
_WORLD = f"{ROOT}global-infrastructure/"
_CALLED = {"applicationautoscaling": "application-autoscaling"}
_PARTS = {"modelyard", "sagemaker_runtime", "sagemaker_metrics"}
"""Services of this platform that are none of their own in AWS's list."""

_DISTRIBUTION = f"{ROOT}sagemaker-distribution/ecr-account-id"
_DISTRIBUTION_ACCOUNTS = {
    "us-east-1": "885854791233", "us-east-2": "137914896644", "us-west-1": "053634841547", "us-west-2": "542918446943",
    "af-south-1": "238384257742", "ap-east-1": "523751269255", "ap-south-1": "245090515133",
}  # fmt: skip
"""Whose images SageMaker Distribution is. Source: "SageMaker Distribution" in the SageMaker developer guide."""


def ami_id(name: str, region: str) -> str:
    return "ami-0" + hashlib.sha256(f"{region} {name}".encode()).hexdigest()[:16]


def _images(region: str) -> dict[str, tuple[str, str]]:
    """Name → (ID of an image, data type)."""
    images = [f"{ROOT}ami-amazon-linux-latest/{name}" for name in _AMAZON_LINUX]
    for release in _UBUNTU:
        for machine in ("amd64", "arm64"):
            disk = "ebs-gp3" if release == "24.04" else "ebs-gp2"
            images.append(f"{ROOT}canonical/ubuntu/server/{release}/stable/current/{machine}/hvm/{disk}/ami-id")
    images += [f"{ROOT}debian/release/{release}/latest/{machine}" for release in _DEBIAN for machine in ("amd64", "arm64")]
    images += [f"{ROOT}ami-windows-latest/{name}" for name in _WINDOWS]
    images += [f"{ROOT}deeplearning/ami/x86_64/{name}/latest/ami-id" for name in _DEEP_LEARNING]
    found = {name: (ami_id(name, region), IMAGE) for name in images}
    for system, title in _ECS.items():
        recommended = f"{ROOT}ecs/optimized-ami/{system}/recommended"
        image = ami_id(f"{recommended}/image_id", region)
        whole = {"schema_version": 1, "image_name": f"ecs-optimized-{system.replace('/', '-')}", "image_id": image, "os": title}
        found[f"{recommended}/image_id"] = (image, IMAGE)
        found[recommended] = (json.dumps(whole), "text")
        found |= {f"{recommended}/{member}": (whole[member], "text") for member in ("image_name", "os")}
    return found


@cache
def _world() -> Mapping[str, tuple[str, str]]:
    """Name → (value, data type) of what is the same in all regions."""
    found: dict[str, tuple[str, str]] = {}
    services = _services()
    for service in services:
        found[f"{_WORLD}services/{service}"] = (service, "text")
    for region, title in _regions().items():
        told = {"": region, "/longName": title, "/partition": "aws", "/domain": "amazonaws.com"}
        found |= {f"{_WORLD}regions/{region}{which}": (value, "text") for which, value in told.items()}
        for service in services:
            found[f"{_WORLD}regions/{region}/services/{service}"] = (service, "text")
            found[f"{_WORLD}services/{service}/regions/{region}"] = (region, "text")
    return found


def _services() -> list[str]:
    """Those that are here, by the names that AWS has for them."""
    from modelyard.services import SERVICES

    return sorted(_CALLED.get(one, one) for one in SERVICES if one not in _PARTS)


def images(region: str) -> set[str]:
    """IDs of the images that public parameters name."""
    return {value for value, kind in _in_region(region).values() if kind == IMAGE}


def _regions() -> dict[str, str]:
    from botocore.loaders import Loader

    partitions = Loader().load_data("endpoints")["partitions"]
    return {name: region["description"] for name, region in next(p for p in partitions if p["partition"] == "aws")["regions"].items()}


def public_parameter(name: str, region: str) -> tuple[str, dict[str, Any]] | None:
    """(name, its one version) of a public parameter."""
    found = _in_region(region).get(name) if name.startswith(ROOT) else None
    return (name, _version(*found)) if found else None


def public_under(path: str, region: str) -> list[tuple[str, dict[str, Any]]]:
    """Those whose names begin with `path`, in the order of names."""
    if not path.startswith(ROOT[:-1]):
        return []
    return [(name, _version(*value)) for name, value in _in_region(region).items() if name.startswith(path)]


@cache
def _in_region(region: str) -> Mapping[str, tuple[str, str]]:
    owner = _DISTRIBUTION_ACCOUNTS.get(region)
    return dict(sorted({**_world(), **_images(region), **({_DISTRIBUTION: (owner, "text")} if owner else {})}.items()))


def _version(value: str, data_type: str) -> dict[str, Any]:
    return {"Version": 1, "Type": "String", "Value": value, "DataType": data_type, "At": SINCE, "Tier": "Standard"}
