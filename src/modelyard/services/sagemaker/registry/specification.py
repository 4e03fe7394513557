"""Inference specifications of model packages: checks, ETags of the artifacts, what a SourceUri brings."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from modelyard.kernel.errors import ApiError, validation
from modelyard.services.sagemaker.common import arn_of, parse_s3_uri
from modelyard.services.sagemaker.model import LIFECYCLE as MODEL
from modelyard.services.sagemaker.model import containers_of

PACKAGE_ARN = re.compile(r"arn:[^:]+:sagemaker:[^:]*:\d{12}:model-package/.+")
MODEL_ARN = re.compile(r"arn:[^:]+:sagemaker:[^:]*:\d{12}:model/.+")
OF_A_CONTAINER = ("ContainerHostname", "Image", "ModelDataUrl", "ModelDataSource", "Environment")


def check(request: dict[str, Any], *, versioned: bool) -> None:
    inference = request.get("InferenceSpecification")
    if request.get("SourceAlgorithmSpecification"):
        raise validation(
            "SourceAlgorithmSpecification is not built yet (there are no algorithm resources): give an InferenceSpecification."
        )
    if not versioned:
        if not inference and not _brings(request):
            raise validation("InferenceSpecification is required for a model package without a group.")
        for member in ("SupportedTransformInstanceTypes", "SupportedRealtimeInferenceInstanceTypes"):
            if inference and not inference.get(member):
                raise validation(f"{member} is required in the InferenceSpecification of a model package without a group.")
    _check_source(request)
    for one in [inference, *request.get("AdditionalInferenceSpecifications", [])]:
        _check_containers((one or {}).get("Containers", []))
    check_names(request.get("AdditionalInferenceSpecifications", []))
    if payload := request.get("SamplePayloadUrl"):
        parse_s3_uri(payload, "samplePayloadUrl")


def check_update(request: dict[str, Any]) -> None:
    _check_source(request)
    for one in [request.get("InferenceSpecification"), *request.get("AdditionalInferenceSpecificationsToAdd", [])]:
        _check_containers((one or {}).get("Containers", []))


def check_names(specifications: Iterable[dict[str, Any]]) -> None:
    names = [one["Name"] for one in specifications]
    for name in names:
        if names.count(name) > 1:
            raise validation(f"AdditionalInferenceSpecifications must have different names: {name} is there more than once.")


def _check_source(request: dict[str, Any]) -> None:
    if _brings(request) and request.get("InferenceSpecification"):
        raise validation(
            "InferenceSpecification cannot be given together with a SourceUri of a model or model package, which brings its own."
        )


def _check_containers(containers: list[dict[str, Any]]) -> None:
    for container in containers:
        if not container.get("Image"):
            raise validation("Each container of an InferenceSpecification must have an Image.")
        if container.get("ModelDataUrl") and container.get("ModelDataSource"):
            raise validation("ModelDataUrl and ModelDataSource must not both be given for a container.")
        if container.get("ModelDataUrl"):
            parse_s3_uri(container["ModelDataUrl"], "containers.modelDataUrl")
    hosts = [c["ContainerHostname"] for c in containers if c.get("ContainerHostname")]
    if len(hosts) != len(set(hosts)):
        raise validation("Duplicate ContainerHostname found. ContainerHostname must be unique within a model package.")


# --- what AWS fills in ---------------------------------------------------------------------------


def completed(call: Any, inference: dict[str, Any]) -> dict[str, Any]:
    """With the ETag of each artifact as it is now, where the caller may read it, and the digest of each image that is known. Registering a
    model needs neither; making a model of it does."""
    containers = []
    for container in inference["Containers"]:
        etag = None if container.get("ModelDataETag") else _etag(call, container.get("ModelDataUrl"))
        digest = None if container.get("ImageDigest") else _digest(call, container["Image"])
        containers.append({**container, **({"ModelDataETag": etag} if etag else {}), **({"ImageDigest": digest} if digest else {})})
    return {**inference, "Containers": containers}


def _digest(call: Any, uri: str) -> str | None:
    """The one that the URI names, else that of the managed image; None of an image that is not here."""
    if "@sha256:" in uri:
        return uri.rpartition("@")[2]
    images = call.platform.parts.get("images")
    found = images.find(uri) if images is not None else None
    return images.digest(found) if found is not None else None


def _etag(call: Any, url: str | None) -> str | None:
    if not url or not url.startswith("s3://"):
        return None
    bucket, key = parse_s3_uri(url, "modelDataUrl")
    try:
        return call.invoke("s3", "HeadObject", {"Bucket": bucket, "Key": key}).get("ETag", "").strip('"') or None
    except ApiError:
        return None


def _brings(request: dict[str, Any]) -> bool:
    """A SourceUri that is a model or a model package brings its inference specification."""
    source = request.get("SourceUri") or ""
    return bool(PACKAGE_ARN.match(source) or MODEL_ARN.match(source))


def of_source(call: Any, request: dict[str, Any]) -> dict[str, Any] | None:
    """The inference specification that a SourceUri brings; None where it is a plain text."""
    if not _brings(request):
        return None
    if PACKAGE_ARN.match(request["SourceUri"]):
        said = call.invoke("sagemaker", "DescribeModelPackage", {"ModelPackageName": request["SourceUri"]})
        if "InferenceSpecification" not in said:
            raise validation(f"The model package {request['SourceUri']} has no InferenceSpecification to take over.")
        return said["InferenceSpecification"]
    name = request["SourceUri"].partition(":model/")[2]
    if arn_of(call, "model", name) != request["SourceUri"].lower():
        raise validation(f"The model of a SourceUri must be of the account and region of the call: {request['SourceUri']}")
    model = call.store.by_arn(arn_of(call, "model", name))
    if model is None or model.kind != MODEL.kind:
        raise validation(f'Could not find model "{request["SourceUri"]}".')
    call.authorize("sagemaker:DescribeModel", model.arn)
    return {"Containers": [{member: c[member] for member in OF_A_CONTAINER if c.get(member)} for c in containers_of(model.spec)]}
