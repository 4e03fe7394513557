"""Create, update, delete, describe, list."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from modelyard.kernel.errors import ApiError, validation
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Taken
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.common import arn_of, list_page, tags_of
from modelyard.services.sagemaker.endpoint.deployment import freeze, rescale, retain
from modelyard.services.sagemaker.endpoint.lifecycle import ENDPOINT, REPLICA, status_of
from modelyard.services.sagemaker.endpoint.quota import check_quota
from modelyard.services.sagemaker.endpoint_config import the_config

ON_THE_WAY = ("Creating", "Updating", "Deleting")


@api.operation
def create_endpoint(call, request):
    name, arn = request["EndpointName"], arn_of(call, "endpoint", request["EndpointName"])
    if call.store.by_arn(arn):
        raise _taken(arn)
    _check_deployment(request)
    wanted = freeze(call, the_config(call, request["EndpointConfigName"]), edition=1)
    check_quota(call, wanted, arn)
    spec: dict[str, Any] = {"wanted": wanted}
    if request.get("DeploymentConfig"):
        spec["deployment_config"] = request["DeploymentConfig"]
    try:
        call.store.create(ENDPOINT, account=call.account, region=call.region, name=name, arn=arn, spec=spec, tags=tags_of(request))
    except Taken:
        raise _taken(arn) from None
    call.platform.ring(ENDPOINT.kind)
    return {"EndpointArn": arn}


@api.operation
def update_endpoint(call, request):
    _check_deployment(request)
    config = the_config(call, request["EndpointConfigName"])
    excluded = [p["VariantPropertyType"] for p in request.get("ExcludeRetainedVariantProperties", [])]
    if excluded and not request.get("RetainAllVariantProperties"):
        raise validation("ExcludeRetainedVariantProperties needs RetainAllVariantProperties.")

    def wish(endpoint: Record) -> dict[str, Any]:
        old = endpoint.spec["wanted"]
        new = freeze(call, config, old["edition"] + 1)
        if request.get("RetainAllVariantProperties"):
            new = retain(new, endpoint.state.get("serving"), excluded)
        kept = endpoint.spec.get("deployment_config") if request.get("RetainDeploymentConfig") else None
        return {"wanted": new, "deployment_config": request.get("DeploymentConfig", kept)}

    return {"EndpointArn": _update(call, request["EndpointName"], wish).arn}


@api.operation
def update_endpoint_weights_and_capacities(call, request):
    def wish(endpoint: Record) -> dict[str, Any]:
        edition = endpoint.spec["wanted"]["edition"] + 1
        return {"wanted": rescale(endpoint.state["serving"], request["DesiredWeightsAndCapacities"], edition)}

    return {"EndpointArn": _update(call, request["EndpointName"], wish).arn}


@api.operation
def delete_endpoint(call, request):
    """In every state, also on its way: what was started is stopped."""
    while True:
        endpoint = the_endpoint(call, request["EndpointName"])
        if endpoint.spec.get("delete"):
            return {}
        try:
            call.store.request(endpoint, {"delete": True})
        except Moved:
            continue
        call.platform.ring(ENDPOINT.kind)
        return {}


@api.operation
def describe_endpoint(call, request):
    endpoint = the_endpoint(call, request["EndpointName"])
    status = status_of(endpoint)
    if status in ON_THE_WAY:
        # A wish that the engine has not taken up: its next change only says so, the one after that is worth waking for.
        begins = status != endpoint.status
        call.hold(replace(endpoint, revision=endpoint.revision + 1) if begins else endpoint)
    return describe(endpoint, call.store.children(endpoint.uid, REPLICA.kind))


@api.operation
def list_endpoints(call, request):
    endpoints, more = list_page(call, ENDPOINT.kind, request)
    return {"Endpoints": [_summary(e) for e in endpoints], **more}


def the_endpoint(call, name: str) -> Record:
    arn = arn_of(call, "endpoint", name)
    endpoint = call.store.by_arn(arn)
    if endpoint is None:
        raise validation(f'Could not find endpoint "{arn}".')
    return endpoint


def _update(call, name: str, wish) -> Record:
    """Writes a new deployment as the endpoint's wish; only for one that is in service and settled."""
    while True:
        endpoint = the_endpoint(call, name)
        status = status_of(endpoint)
        if status in ON_THE_WAY:
            raise validation(f'Cannot update in-progress endpoint "{endpoint.arn}".')
        if status != "InService":
            raise validation(f'Cannot update endpoint "{endpoint.arn}" with status "{status}".')
        try:
            wanted = wish(endpoint)
            check_quota(call, wanted["wanted"], endpoint.arn)
            changed = call.store.request(endpoint, wanted)
        except Moved:
            continue
        call.platform.ring(ENDPOINT.kind)
        return changed


def _check_deployment(request: dict[str, Any]) -> None:
    """All replicas at once behind a health check is what is built; steps and alarms are not."""
    config = request.get("DeploymentConfig") or {}
    policy = config.get("BlueGreenUpdatePolicy") or {}
    if config.get("RollingUpdatePolicy") or config.get("AutoRollbackConfiguration"):
        raise validation("RollingUpdatePolicy and AutoRollbackConfiguration are not built yet.")
    if policy and policy.get("TrafficRoutingConfiguration", {}).get("Type", "ALL_AT_ONCE") != "ALL_AT_ONCE":
        raise validation("Traffic routing other than ALL_AT_ONCE is not built yet.")


def _taken(arn: str) -> ApiError:
    return validation(f'Cannot create already existing endpoint "{arn}".')


# --- answers -------------------------------------------------------------------------------------


def _summary(endpoint: Record) -> dict[str, Any]:
    return {
        "EndpointName": endpoint.name,
        "EndpointArn": endpoint.arn,
        "CreationTime": endpoint.created_at,
        "LastModifiedTime": endpoint.updated_at,
        "EndpointStatus": status_of(endpoint),
    }


def describe(endpoint: Record, replicas: list[Record]) -> dict[str, Any]:
    wanted, serving = endpoint.spec["wanted"], endpoint.state.get("serving")
    shown = serving or wanted
    answer = {**_summary(endpoint), "EndpointConfigName": shown["config"]}
    if endpoint.status != "Failed":
        answer["ProductionVariants"] = [_variant(endpoint, v, wanted, replicas) for v in shown["variants"]]
    if endpoint.state.get("failure"):
        answer["FailureReason"] = endpoint.state["failure"]
    if endpoint.spec.get("deployment_config"):
        answer["LastDeploymentConfig"] = endpoint.spec["deployment_config"]
    if shown.get("asynchronous"):
        answer["AsyncInferenceConfig"] = {k: v for k, v in shown["asynchronous"].items() if k in ("ClientConfig", "OutputConfig")}
    capture = shown["capture"]
    if capture:
        answer["DataCaptureConfig"] = {
            "EnableCapture": True,
            "CaptureStatus": "Started",
            "CurrentSamplingPercentage": capture["InitialSamplingPercentage"],
            "DestinationS3Uri": capture["DestinationS3Uri"],
            "KmsKeyId": capture.get("KmsKeyId", ""),
        }
    return answer


def _variant(endpoint: Record, variant: dict[str, Any], wanted: dict[str, Any], replicas: list[Record]) -> dict[str, Any]:
    desired = next((v for v in wanted["variants"] if v["name"] == variant["name"]), variant)
    healthy = [
        r
        for r in replicas
        if r.status == "InService" and r.spec["name"] == variant["name"] and r.spec["generation"] == variant["generation"]
    ]
    serving = "serving" in endpoint.state
    answer = {
        "VariantName": variant["name"],
        "DeployedImages": [{"SpecifiedImage": variant["image"], "ResolvedImage": variant["image"], "ResolutionTime": endpoint.created_at}],
        "CurrentWeight": variant["weight"] if serving else 0.0,
        "DesiredWeight": desired["weight"],
        "CurrentInstanceCount": min(len(healthy), variant["count"]),
        "DesiredInstanceCount": desired["count"],
    }
    if not serving:
        answer["VariantStatus"] = [{"Status": "Creating", "StartTime": endpoint.created_at}]
    return answer
