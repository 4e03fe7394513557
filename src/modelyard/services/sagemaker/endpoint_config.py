"""Endpoint configurations: which models, on what, at which weights. Immutable; read when an endpoint is made from one."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.lifecycle import static
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Taken
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.common import arn_of, list_page, parse_s3_uri, tags_of
from modelyard.services.sagemaker.endpoint import serverless, shadows
from modelyard.services.sagemaker.model import mode_of, needs_role, the_model

LIFECYCLE = static("endpoint-config")
ECHOED = (
    "ProductionVariants", "ShadowProductionVariants", "DataCaptureConfig", "AsyncInferenceConfig", "KmsKeyId", "ExecutionRoleArn", "VpcConfig",
    "MetricsConfig",
)  # fmt: skip
NOT_BUILT = ("ExplainerConfig", "CrossRegionTrafficConfig")
VARIANT_NOT_BUILT = ("InstancePools", "AcceleratorPartitionLayouts", "CapacityReservationConfig")


@api.operation
def create_endpoint_config(call, request):
    name, arn = request["EndpointConfigName"], arn_of(call, "endpoint-config", request["EndpointConfigName"])
    if call.store.by_arn(arn):
        raise _taken(arn)
    _check(call, request)
    spec = {key: value for key, value in request.items() if key != "Tags"}
    for variant in (*spec["ProductionVariants"], *spec.get("ShadowProductionVariants", ())):
        variant.setdefault("InitialVariantWeight", 1.0)
    try:
        call.store.create(LIFECYCLE, account=call.account, region=call.region, name=name, arn=arn, spec=spec, tags=tags_of(request))
    except Taken:
        raise _taken(arn) from None
    return {"EndpointConfigArn": arn}


@api.operation
def describe_endpoint_config(call, request):
    config = the_config(call, request["EndpointConfigName"])
    answer = {"EndpointConfigName": config.name, "EndpointConfigArn": config.arn, "CreationTime": config.created_at}
    answer |= {member: config.spec[member] for member in ECHOED if config.spec.get(member)}
    return {**answer, "EnableNetworkIsolation": config.spec.get("EnableNetworkIsolation", False)}


@api.operation
def list_endpoint_configs(call, request):
    configs, more = list_page(call, LIFECYCLE.kind, request)
    rows = [{"EndpointConfigName": c.name, "EndpointConfigArn": c.arn, "CreationTime": c.created_at} for c in configs]
    return {"EndpointConfigs": rows, **more}


@api.operation
def delete_endpoint_config(call, request):
    """Endpoints made from it go on: they have its content."""
    while True:
        config = the_config(call, request["EndpointConfigName"])
        try:
            call.store.delete(config)
            return {}
        except Moved:
            continue


def the_config(call, name: str) -> Record:
    arn = arn_of(call, "endpoint-config", name)
    config = call.store.by_arn(arn)
    if config is None:
        raise validation(f'Could not find endpoint configuration "{arn}".')
    return config


# --- checks --------------------------------------------------------------------------------------


def _check(call, request: dict[str, Any]) -> None:
    for member in NOT_BUILT:
        if request.get(member):
            raise validation(f"{member} is not built yet; nothing was created.")
    variants = request["ProductionVariants"]
    names = [v["VariantName"] for v in variants]
    if len(names) != len(set(names)):
        raise validation("Production variant names must be unique within an endpoint configuration.")
    _check_hosts(request)
    serverless.check_request(request)
    shadows.check_request(request)
    for variant in variants:
        _check_variant(call, variant, f"production variant {variant['VariantName']}", request.get("ExecutionRoleArn"))
    for variant in request.get("ShadowProductionVariants", ()):
        _check_variant(call, variant, f"shadow variant {variant['VariantName']}", request.get("ExecutionRoleArn"))
    if not any(v.get("InitialVariantWeight", 1.0) > 0 for v in variants):
        raise validation("At least one production variant must have an InitialVariantWeight above 0.")
    if request.get("ExecutionRoleArn"):
        call.platform.identity.check_pass_role(call, request["ExecutionRoleArn"])
    _check_async(request)
    if request.get("ShadowProductionVariants"):
        for variant in (*variants, *request["ShadowProductionVariants"]):
            shadows.check_model(variant["ModelName"], mode_of(the_model(call, variant["ModelName"]).spec))
    capture = request.get("DataCaptureConfig")
    if capture:
        parse_s3_uri(capture["DestinationS3Uri"], "dataCaptureConfig.destinationS3Uri")


def _check_hosts(request: dict[str, Any]) -> None:
    """Variants without a model are for inference components; their role is the configuration's."""
    variants = [*request["ProductionVariants"], *request.get("ShadowProductionVariants", ())]
    hosts = [v["VariantName"] for v in variants if not v.get("ModelName")]
    if not hosts:
        return
    if len(hosts) < len(variants) or request.get("ShadowProductionVariants"):
        raise validation(f"ModelName is required for every variant or for none: {', '.join(hosts)} would host inference components.")
    if not request.get("ExecutionRoleArn"):
        raise validation(f"ModelName is required for variant {hosts[0]}, unless it is for inference components: then ExecutionRoleArn is.")
    for variant in variants:
        if variant.get("ServerlessConfig"):
            raise validation(
                f"ModelName is required for variant {variant['VariantName']}: serverless endpoints have no inference components."
            )


def _check_async(request: dict[str, Any]) -> None:
    """AWS: asynchronous endpoints have instances, and no shadow variants or explainers."""
    config = request.get("AsyncInferenceConfig")
    if config is None:
        return
    for member in ("ShadowProductionVariants", "ExplainerConfig"):
        if request.get(member):
            raise validation(f"{member} is not supported when specifying an AsyncInferenceConfig.")
    for variant in request["ProductionVariants"]:
        if variant.get("ServerlessConfig"):
            raise validation("ServerlessConfig is not supported when specifying an AsyncInferenceConfig.")
    output = config["OutputConfig"]
    for member in ("S3OutputPath", "S3FailurePath"):
        if output.get(member):
            parse_s3_uri(output[member], f"asyncInferenceConfig.outputConfig.{member[0].lower()}{member[1:]}")
    notify = output.get("NotificationConfig") or {}
    told = notify.get("SuccessTopic") and "SUCCESS_NOTIFICATION_TOPIC" in notify.get("IncludeInferenceResponseIn", ())
    if not output.get("S3OutputPath") and not told:
        raise validation(
            "AsyncInferenceConfig has no place for responses: give OutputConfig.S3OutputPath, or a SuccessTopic with SUCCESS_NOTIFICATION_TOPIC "
            "in IncludeInferenceResponseIn."
        )


def _check_variant(call, variant: dict[str, Any], where: str, role: str | None) -> None:
    for member in VARIANT_NOT_BUILT:
        if variant.get(member):
            raise validation(f"{member} of {where} is not built yet; nothing was created.")
    if variant.get("ModelName"):
        model = the_model(call, variant["ModelName"])
        if role is None:
            needs_role(model)
    scaling = variant.get("ManagedInstanceScaling") or {}
    if scaling.get("MinInstanceCount", 0) > scaling.get("MaxInstanceCount", scaling.get("MinInstanceCount", 0)):
        raise validation(f"MinInstanceCount of ManagedInstanceScaling of {where} must not be more than its MaxInstanceCount.")
    for member in ("InstanceType", "InitialInstanceCount"):
        if not variant.get(member) and not variant.get("ServerlessConfig"):
            raise validation(f"{member} is required for {where}, as it has no ServerlessConfig.")


def _taken(arn: str):
    return validation(f'Cannot create already existing endpoint configuration "{arn}".')
