"""Create, update, update runtime config, delete, describe, list. They write wishes; the walk is that of endpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Taken
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.common import PAGE, arn_of, list_page, tags_of
from modelyard.services.sagemaker.endpoint import alarms
from modelyard.services.sagemaker.endpoint.lifecycle import REPLICA
from modelyard.services.sagemaker.endpoint.lifecycle import status_of as endpoint_status
from modelyard.services.sagemaker.endpoint.operations import know_routes, the_endpoint
from modelyard.services.sagemaker.endpoint.policy import check_config, plan_of
from modelyard.services.sagemaker.inference_component import specification
from modelyard.services.sagemaker.inference_component.lifecycle import COMPONENT, SETTLED, on_endpoint, status_of

ON_THE_WAY = ("Creating", "Updating", "Deleting")


@api.operation
def create_inference_component(call, request):
    name, arn = request["InferenceComponentName"], arn_of(call, "inference-component", request["InferenceComponentName"])
    if call.store.by_arn(arn):
        raise _taken(arn)
    endpoint = _host(call, request["EndpointName"])
    host = specification.host_of(endpoint, request.get("VariantName"))
    spec = specification.checked(call, request)
    if "RuntimeConfig" not in request:
        raise validation("RuntimeConfig is required for an inference component with a model.")
    wanted = specification.deployment(call, name, endpoint, host, spec, request["RuntimeConfig"]["CopyCount"], 1)
    specification.check_room(host, _others(call, endpoint, host, name), wanted)
    record = {"endpoint": endpoint.name, "endpoint_arn": endpoint.arn, "variant": host["name"], "wanted": wanted}
    try:
        call.store.create(
            COMPONENT,
            account=call.account,
            region=call.region,
            name=name,
            arn=arn,
            spec=record,
            owner=endpoint.uid,
            tags=tags_of(request),
        )
    except Taken:
        raise _taken(arn) from None
    call.platform.ring(COMPONENT.kind)
    return {"InferenceComponentArn": arn}


@api.operation
def update_inference_component(call, request):
    """A new Specification is a new generation of copies beside the old one; DeploymentConfig says in which batches."""
    how = _as_endpoint_policy(request.get("DeploymentConfig"))
    check_config(how)

    def wish(component: Record) -> dict[str, Any]:
        serving = component.state["serving"]
        endpoint = _host(call, component.spec["endpoint"])
        host = specification.host_of(endpoint, component.spec["variant"])
        copies = request.get("RuntimeConfig", {}).get("CopyCount", serving["variants"][0]["count"])
        edition = component.spec["wanted"]["edition"] + 1
        if not request.get("Specification") and not request.get("Specifications"):
            wanted = _resized(serving, copies, edition)
        else:
            spec = {**serving["specification"], **(request.get("Specification") or {})}
            for one, other in (("ModelName", "Container"), ("Container", "ModelName")):
                if request.get("Specification", {}).get(one) and not request["Specification"].get(other):
                    spec.pop(other, None)
            spec = specification.checked(call, {**request, "Specification": spec})
            wanted = specification.deployment(call, component.name, endpoint, host, spec, copies, edition)
            wanted["plan"] = plan_of(how, serving, wanted)
            alarms.check(call, wanted["plan"]["alarms"], wanted)
        specification.check_room(host, _others(call, endpoint, host, component.name), wanted)
        return {"wanted": wanted, "deployment_config": request.get("DeploymentConfig")}

    return _update(call, request["InferenceComponentName"], wish)


@api.operation
def update_inference_component_runtime_config(call, request):
    def wish(component: Record) -> dict[str, Any]:
        endpoint = _host(call, component.spec["endpoint"])
        host = specification.host_of(endpoint, component.spec["variant"])
        edition = component.spec["wanted"]["edition"] + 1
        wanted = _resized(component.state["serving"], request["DesiredRuntimeConfig"]["CopyCount"], edition)
        specification.check_room(host, _others(call, endpoint, host, component.name), wanted)
        return {"wanted": wanted}

    return _update(call, request["InferenceComponentName"], wish)


@api.operation
def delete_inference_component(call, request):
    while True:
        component = the_component(call, request["InferenceComponentName"])
        if component.spec.get("delete"):
            return {}
        try:
            call.store.request(component, {"delete": True})
        except Moved:
            continue
        call.platform.ring(COMPONENT.kind)
        return {}


@api.operation
def describe_inference_component(call, request):
    component = the_component(call, request["InferenceComponentName"])
    if status_of(component) in ON_THE_WAY:
        call.hold(component)
    know_routes(call.platform)
    return _described(component, call.store.children(component.uid, REPLICA.kind))


@api.operation
def list_inference_components(call, request):
    asked = {member: value for member, value in request.items() if member not in ("EndpointNameEquals", "VariantNameEquals")}
    if len(asked) == len(request):
        components, more = list_page(call, COMPONENT.kind, request)
        return {"InferenceComponents": [_summary(c) for c in components], **more}
    found = [c for c in _all(call, asked) if _is_asked(c, request)]
    start, limit = decode_token(request.get("NextToken"), validation, 0) or 0, request.get("MaxResults", PAGE)
    more = {"NextToken": encode_token(start + limit)} if start + limit < len(found) else {}
    return {"InferenceComponents": [_summary(c) for c in found[start : start + limit]], **more}


def the_component(call: Any, name: str) -> Record:
    arn = arn_of(call, "inference-component", name)
    component = call.store.by_arn(arn)
    if component is None:
        raise validation(f'Could not find inference component "{arn}".')
    return component


# --- helpers ---------------------------------------------------------------------------------------


def _host(call: Any, name: str) -> Record:
    endpoint = the_endpoint(call, name)
    if endpoint_status(endpoint) != "InService":
        raise validation(f'Endpoint "{endpoint.arn}" is not in service: its status is {endpoint_status(endpoint)}.')
    return endpoint


def _others(call: Any, endpoint: Record, host: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """What the other components on this variant have, or shall have."""
    there = [c for c in on_endpoint(call.store, endpoint) if c.name != name and c.spec["variant"] == host["name"]]
    return [c.spec["wanted"] for c in there if c.status != "Failed" and not c.spec.get("delete")]


def _resized(serving: Mapping[str, Any], copies: int, edition: int) -> dict[str, Any]:
    [variant] = serving["variants"]
    return {**serving, "edition": edition, "scale": True, "plan": None, "variants": [{**variant, "count": copies}]}


def _as_endpoint_policy(config: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """A component's DeploymentConfig in the words of an endpoint's: copies are its instances."""
    if not config:
        return None
    rolling = dict(config["RollingUpdatePolicy"])
    for member in ("MaximumBatchSize", "RollbackMaximumBatchSize"):
        if rolling.get(member, {}).get("Type") == "COPY_COUNT":
            rolling[member] = {**rolling[member], "Type": "INSTANCE_COUNT"}
    return {**config, "RollingUpdatePolicy": rolling}


def _update(call: Any, name: str, wish: Callable[[Record], dict[str, Any]]) -> dict[str, Any]:
    while True:
        component = the_component(call, name)
        if status_of(component) in ON_THE_WAY:
            raise validation(f'Cannot update in-progress inference component "{component.arn}".')
        if component.status not in SETTLED:
            raise validation(f'Cannot update inference component "{component.arn}" with status "{status_of(component)}".')
        try:
            changed = call.store.request(component, wish(component))
        except Moved:
            continue
        call.platform.ring(COMPONENT.kind)
        return {"InferenceComponentArn": changed.arn}


def _all(call: Any, asked: Mapping[str, Any]) -> list[Record]:
    found: list[Record] = []
    page, more = list_page(call, COMPONENT.kind, {**asked, "NextToken": None, "MaxResults": 100})
    while True:
        found += page
        if not more:
            return found
        page, more = list_page(call, COMPONENT.kind, {**asked, **more, "MaxResults": 100})


def _is_asked(component: Record, request: Mapping[str, Any]) -> bool:
    endpoint, variant = request.get("EndpointNameEquals", component.spec["endpoint"]), request.get("VariantNameEquals")
    return component.spec["endpoint"] == endpoint and variant in (None, component.spec["variant"])


def _taken(arn: str) -> Exception:
    return validation(f'Cannot create already existing inference component "{arn}".')


# --- what is told ----------------------------------------------------------------------------------


def _summary(component: Record) -> dict[str, Any]:
    return {
        "InferenceComponentName": component.name,
        "InferenceComponentArn": component.arn,
        "EndpointName": component.spec["endpoint"],
        "EndpointArn": component.spec["endpoint_arn"],
        "VariantName": component.spec["variant"],
        "InferenceComponentStatus": status_of(component),
        "CreationTime": component.created_at,
        "LastModifiedTime": component.updated_at,
    }


def _described(component: Record, replicas: list[Record]) -> dict[str, Any]:
    wanted, serving = component.spec["wanted"], component.state.get("serving")
    shown = serving or wanted
    healthy = sum(r.status == "InService" and not r.spec.get("stop") for r in replicas)
    answer = {
        **_summary(component),
        "Specification": _specification(component, shown),
        "RuntimeConfig": {
            "DesiredCopyCount": wanted["variants"][0]["count"],
            "CurrentCopyCount": min(healthy, max(wanted["variants"][0]["count"], shown["variants"][0]["count"])),
        },
    }
    if component.state.get("failure") and component.status in ("InService", "Failed", "UpdateRollbackFailed"):
        answer["FailureReason"] = component.state["failure"][:1024]
        answer["RuntimeConfig"]["DesiredCopyCount"] = shown["variants"][0]["count"]
    if component.spec.get("deployment_config"):
        answer["LastDeploymentConfig"] = component.spec["deployment_config"]
    return answer


def _specification(component: Record, shown: Mapping[str, Any]) -> dict[str, Any]:
    spec, [variant] = shown["specification"], shown["variants"]
    answer = {
        member: spec[member]
        for member in ("ModelName", "StartupParameters", "ComputeResourceRequirements", "DataCacheConfig", "SchedulingConfig")
        if spec.get(member)
    }
    image = {"SpecifiedImage": variant["image"], "ResolvedImage": variant["image"], "ResolutionTime": component.created_at}
    container = {"DeployedImage": image, "Environment": variant["environment"]}
    if variant.get("data"):
        container["ArtifactUrl"] = variant["data"]["S3Uri"]
    return {**answer, "Container": container}
