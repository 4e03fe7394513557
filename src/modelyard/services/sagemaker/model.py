"""Models: which image serves which artifact, as which role. Nothing runs until an endpoint deploys one."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import ApiError, validation
from modelyard.kernel.lifecycle import static
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Taken
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.common import arn_of, list_page, parse_s3_uri, tags_of
from modelyard.services.sagemaker.registry.deploy import containers_of_package
from modelyard.services.sagemaker.role_session import RoleSession

LIFECYCLE = static("model")
MULTI_MODEL = "MultiModel"
VOLUME_GIB = 30
"""The storage of an instance whose variant names no VolumeSizeInGB."""
ECHOED = ("PrimaryContainer", "Containers", "InferenceExecutionConfig", "ExecutionRoleArn", "VpcConfig")


@api.operation
def create_model(call, request):
    name, arn = request["ModelName"], arn_of(call, "model", request["ModelName"])
    containers = _resolved(call, request)
    _check(request, containers)
    if call.store.by_arn(arn):
        raise _taken(arn)
    role = request.get("ExecutionRoleArn")
    if role is not None:
        call.platform.identity.check_pass_role(call, role)
    for container in containers:
        _check_image(call, container)
        if role is not None:  # else whoever hosts it brings the role: see needs_role
            _check_data(call, role, container)
    spec = {key: value for key, value in request.items() if key != "Tags"}
    for container in (*given_containers(spec), *containers):
        container.setdefault("Mode", "SingleModel")
    if any(c.get("ModelPackageName") for c in containers):
        spec["resolved"] = containers
    try:
        call.store.create(LIFECYCLE, account=call.account, region=call.region, name=name, arn=arn, spec=spec, tags=tags_of(request))
    except Taken:
        raise _taken(arn) from None
    return {"ModelArn": arn}


@api.operation
def describe_model(call, request):
    return describe(the_model(call, request["ModelName"]))


def describe(model: Record) -> dict[str, Any]:
    answer = {"ModelName": model.name, "ModelArn": model.arn, "CreationTime": model.created_at}
    answer |= {member: model.spec[member] for member in ECHOED if model.spec.get(member)}
    return {**answer, "EnableNetworkIsolation": model.spec.get("EnableNetworkIsolation", False)}


@api.operation
def list_models(call, request):
    models, more = list_page(call, LIFECYCLE.kind, request)
    return {"Models": [{"ModelName": m.name, "ModelArn": m.arn, "CreationTime": m.created_at} for m in models], **more}


@api.operation
def delete_model(call, request):
    """Endpoints that serve the model go on: they have its definition."""
    while True:
        model = the_model(call, request["ModelName"])
        try:
            call.store.delete(model)
            return {}
        except Moved:
            continue


def the_model(call, name: str) -> Record:
    arn = arn_of(call, "model", name)
    model = call.store.by_arn(arn)
    if model is None:
        raise validation(f'Could not find model "{arn}".')
    return model


def needs_role(model: Record) -> None:
    """A model may have no role only where the endpoint configuration brings one. Raises ValidationException."""
    if not model.spec.get("ExecutionRoleArn"):
        raise validation(
            f'Model "{model.arn}" has no ExecutionRoleArn. Give one to CreateModel; without, a model is for endpoint configurations that have '
            "an ExecutionRoleArn of their own."
        )


def containers_of(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The containers in the order a request passes through them; those of a model package stand in its place."""
    return spec["resolved"] if "resolved" in spec else given_containers(spec)


def given_containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """As the request named them."""
    primary = spec.get("PrimaryContainer")
    return list(spec.get("Containers", [])) if primary is None else [primary]


def hosted_containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The containers as replicas run them (endpoint/container.py). One among several that has no ContainerHostname is named by its
    place, as AWS names it; one alone needs no name."""
    given = containers_of(spec)
    return [
        {
            "hostname": c.get("ContainerHostname") or f"container-{number}" if len(given) > 1 else "",
            "image": c["Image"],
            "environment": c.get("Environment", {}),
            "data": model_data(c),
            "mode": c.get("Mode", "SingleModel"),
            "cached": c.get("MultiModelConfig", {}).get("ModelCacheSetting", "Enabled") == "Enabled",
        }
        for number, c in enumerate(given, 1)
    ]


def mode_of(spec: dict[str, Any]) -> str:
    """How its containers are called: "" (there is one), Serial, Direct or MultiModel (one with many models)."""
    containers = containers_of(spec)
    if len(containers) > 1:
        return spec.get("InferenceExecutionConfig", {}).get("Mode", "Serial")
    return MULTI_MODEL if containers[0].get("Mode") == MULTI_MODEL else ""


def many_models(containers: list[dict[str, Any]], role: str | None, variant: dict[str, Any]) -> dict[str, Any] | None:
    """What gateways need to bring models to containers that host many of them, by hostname; None where none does."""
    gib = variant.get("VolumeSizeInGB", VOLUME_GIB)
    found = {
        c["hostname"]: {"place": place, "url": c["data"]["S3Uri"], "role": role, "cached": c["cached"], "disk": gib << 30}
        for place, c in enumerate(containers)
        if c["mode"] == MULTI_MODEL
    }
    return {"models": found} if found else None


def model_data(container: dict[str, Any]) -> dict[str, Any] | None:
    """Where a container's artifact is, in the shape of S3DataSource whichever member gave it; None for an image without."""
    url = container.get("ModelDataUrl")
    if url:
        return {"S3Uri": url, "S3DataType": "S3Object", "CompressionType": "Gzip"}
    return container.get("ModelDataSource", {}).get("S3DataSource")


# --- checks --------------------------------------------------------------------------------------


def _resolved(call, request: dict[str, Any]) -> list[dict[str, Any]]:
    """What will run: the containers of a model package are those it has at this moment."""
    found = []
    for container in given_containers(request):
        found += containers_of_package(call, container) if container.get("ModelPackageName") else [container]
    return found


def _check(request: dict[str, Any], containers: list[dict[str, Any]]) -> None:
    if ("PrimaryContainer" in request) == bool(request.get("Containers")):
        raise validation("You must provide either PrimaryContainer or Containers, and not both.")
    for container in containers:
        if container.get("InferenceSpecificationName") and not container.get("ModelPackageName"):
            raise validation("InferenceSpecificationName names one of a model package: give its ModelPackageName too.")
        if not container.get("Image"):
            raise validation("Each container definition must have an Image or a ModelPackageName.")
        if container.get("ModelDataUrl") and container.get("ModelDataSource"):
            raise validation("ModelDataUrl and ModelDataSource must not both be given for a container.")
        if container.get("AdditionalModelDataSources"):
            raise validation("AdditionalModelDataSources are not built yet.")
        _check_mode(container)
    if "Containers" in request or len(containers) > 1:
        _check_together(containers, request.get("InferenceExecutionConfig", {}).get("Mode", "Serial"))
    elif "InferenceExecutionConfig" in request:
        raise validation("InferenceExecutionConfig is for models with several Containers; this one has a PrimaryContainer.")


def _check_mode(container: dict[str, Any]) -> None:
    if container.get("Mode") != MULTI_MODEL:
        if container.get("MultiModelConfig"):
            raise validation("MultiModelConfig can only be specified for a container whose Mode is MultiModel.")
        return
    if container.get("ModelDataSource"):
        raise validation("ModelDataSource is not supported for a container whose Mode is MultiModel; give its ModelDataUrl an S3 prefix.")
    if not container.get("ModelDataUrl"):
        raise validation("ModelDataUrl is required for a container whose Mode is MultiModel: the S3 prefix under which its models are.")


def _check_together(containers: list[dict[str, Any]], mode: str) -> None:
    """What AWS asks of the containers of one model. A single one is a pipeline of one."""
    names = [c["ContainerHostname"] for c in containers if c.get("ContainerHostname")]
    if len(names) != len(set(names)):
        raise validation("Duplicate ContainerHostname found. ContainerHostname must be unique within a model.")
    if names and len(names) < len(containers):
        raise validation("If a ContainerHostname is specified for one container of a model, it must be specified for every container.")
    many = sum(c.get("Mode") == MULTI_MODEL for c in containers)
    if mode == "Direct":
        if len(containers) < 2:
            raise validation("InferenceExecutionConfig Mode Direct needs 2 to 15 Containers.")
        if not names:
            raise validation("ContainerHostname is required for every container of a model whose InferenceExecutionConfig Mode is Direct.")
        if many:
            raise validation("Containers in MultiModel mode are not supported with InferenceExecutionConfig Mode Direct.")
    if many > 1:
        raise validation("More than one container in MultiModel mode is not supported with inference pipeline.")


def _check_image(call, container: dict[str, Any]) -> None:
    images = call.platform.parts.get("images")
    if images is not None and images.find(container["Image"]) is None:
        raise validation(f"Requested image {container['Image']} not found.")


def _check_data(call, role: str, container: dict[str, Any]) -> None:
    """The artifact must be there and the role must be able to read it; models of a multi-model container may come later."""
    source = model_data(container)
    if source is None:
        return
    url = source["S3Uri"]
    bucket, key = parse_s3_uri(url, "primaryContainer.modelDataUrl")
    if container.get("Mode") == MULTI_MODEL:
        return
    session = RoleSession(call.platform, call.account, call.region, role)
    try:
        there = session.exists(bucket, key) if source["S3DataType"] == "S3Object" else any(True for _ in session.list(bucket, key))
    except ApiError as problem:
        if problem.status == 404:
            there = False
        else:
            raise validation(
                f'Could not access model data at {url}. Please ensure that the role "{role}" exists and that its trust relationship policy '
                'allows the action "sts:AssumeRole" for the service principal "sagemaker.amazonaws.com". Also ensure that the role has '
                f'"s3:GetObject" permissions and that the object is located in {call.region}. Error message from S3: {problem.message}'
            ) from None
    if not there:
        raise validation(f"Could not find model data at {url}.")


def _taken(arn: str) -> ApiError:
    return validation(f'Cannot create already existing model "{arn}".')
