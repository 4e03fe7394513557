"""Create, update, delete, describe, list. What describe tells is in describe.py."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from modelyard.kernel.errors import ApiError, validation
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Taken
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.common import arn_of, list_page, tags_of
from modelyard.services.sagemaker.endpoint import alarms
from modelyard.services.sagemaker.endpoint.deployment import freeze, rescale, retain
from modelyard.services.sagemaker.endpoint.describe import describe, summary
from modelyard.services.sagemaker.endpoint.lifecycle import ENDPOINT, REPLICA, SETTLED, status_of
from modelyard.services.sagemaker.endpoint.policy import check_config, plan_of
from modelyard.services.sagemaker.endpoint.quota import check_quota
from modelyard.services.sagemaker.endpoint_config import the_config
from modelyard.services.sagemaker.inference_component.lifecycle import on_endpoint

UPDATING = ("Updating", "RollingBack")
ON_THE_WAY = ("Creating", "Deleting", *UPDATING)


@api.operation
def create_endpoint(call, request):
    name, arn = request["EndpointName"], arn_of(call, "endpoint", request["EndpointName"])
    if call.store.by_arn(arn):
        raise _taken(arn)
    how = request.get("DeploymentConfig")
    check_config(how)
    wanted = freeze(call, the_config(call, request["EndpointConfigName"]), edition=1)
    alarms.check(call, plan_of(how, None, wanted)["alarms"], wanted)
    check_quota(call, wanted, arn)
    spec: dict[str, Any] = {"wanted": wanted}
    if how:
        spec["deployment_config"] = how
    try:
        call.store.create(ENDPOINT, account=call.account, region=call.region, name=name, arn=arn, spec=spec, tags=tags_of(request))
    except Taken:
        raise _taken(arn) from None
    call.platform.ring(ENDPOINT.kind)
    return {"EndpointArn": arn}


@api.operation
def update_endpoint(call, request):
    check_config(request.get("DeploymentConfig"))
    config = the_config(call, request["EndpointConfigName"])
    excluded = [p["VariantPropertyType"] for p in request.get("ExcludeRetainedVariantProperties", [])]
    if excluded and not request.get("RetainAllVariantProperties"):
        raise validation("ExcludeRetainedVariantProperties needs RetainAllVariantProperties.")

    def wish(endpoint: Record) -> dict[str, Any]:
        serving = endpoint.state.get("serving")
        new = freeze(call, config, endpoint.spec["wanted"]["edition"] + 1)
        _check_components(call, endpoint, [v["name"] for v in new["variants"] if v["mode"] == "Components"])
        if request.get("RetainAllVariantProperties"):
            new = retain(new, serving, excluded)
        kept = endpoint.spec.get("deployment_config") if request.get("RetainDeploymentConfig") else None
        how = request.get("DeploymentConfig", kept)
        plan = plan_of(how, serving, new, mixed="mix" in endpoint.state)
        alarms.check(call, plan["alarms"], new)
        return {"wanted": {**new, "plan": plan}, "deployment_config": how}

    return {"EndpointArn": _update(call, request["EndpointName"], wish, SETTLED).arn}


@api.operation
def update_endpoint_weights_and_capacities(call, request):
    def wish(endpoint: Record) -> dict[str, Any]:
        edition = endpoint.spec["wanted"]["edition"] + 1
        return {"wanted": rescale(endpoint.state["serving"], request["DesiredWeightsAndCapacities"], edition)}

    return {"EndpointArn": _update(call, request["EndpointName"], wish).arn}


@api.operation
def delete_endpoint(call, request):
    """Not while it is updated: AWS refuses that in the words of an update. One that is being created may go at once here, where AWS
    lets it wait for its end."""
    while True:
        endpoint = the_endpoint(call, request["EndpointName"])
        if endpoint.spec.get("delete"):
            return {}
        if status_of(endpoint) in UPDATING:
            raise _in_progress(endpoint)
        _check_components(call, endpoint, ())
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
    if status in ON_THE_WAY and not _in_steps(endpoint):
        # A wish that the engine has not taken up: its next change only says so, the one after that is worth waking for.
        begins = status != endpoint.status
        call.hold(replace(endpoint, revision=endpoint.revision + 1) if begins else endpoint)
    know_routes(call.platform)
    return describe(endpoint, call.store.children(endpoint.uid, REPLICA.kind))


def know_routes(platform) -> None:
    """Who reads here that a change is through is served by it in the next call: gateways have read the table that was out before."""
    if (invoker := platform.parts.get("invoker")) is not None:
        invoker.all_caught_up()


def _in_steps(endpoint: Record) -> bool:
    """Under way in steps that bake: whoever looks wants to see them, and the end is minutes off."""
    plan = endpoint.spec["wanted"].get("plan") or {}
    return not endpoint.spec.get("delete") and bool(plan.get("wait_s"))


@api.operation
def list_endpoints(call, request):
    endpoints, more = list_page(call, ENDPOINT.kind, request)
    return {"Endpoints": [summary(e) for e in endpoints], **more}


def the_endpoint(call, name: str) -> Record:
    arn = arn_of(call, "endpoint", name)
    endpoint = call.store.by_arn(arn)
    if endpoint is None:
        raise validation(f'Could not find endpoint "{arn}".')
    return endpoint


def _update(call, name: str, wish: Callable[[Record], dict[str, Any]], allowed: Sequence[str] = ("InService",)) -> Record:
    """Writes a new deployment as the endpoint's wish; only for one that is settled."""
    while True:
        endpoint = the_endpoint(call, name)
        status = status_of(endpoint)
        if status in ON_THE_WAY:
            raise _in_progress(endpoint)
        if status not in allowed:
            raise validation(f'Cannot update endpoint "{endpoint.arn}" with status "{status}".')
        try:
            wanted = wish(endpoint)
            check_quota(call, wanted["wanted"], endpoint.arn)
            changed = call.store.request(endpoint, wanted)
        except Moved:
            continue
        call.platform.ring(ENDPOINT.kind)
        return changed


def _check_components(call, endpoint: Record, hosts: Sequence[str]) -> None:
    """Inference components keep the variants that host them."""
    left = [c.name for c in on_endpoint(call.store, endpoint) if c.spec["variant"] not in hosts]
    if left:
        raise validation(
            f'Endpoint "{endpoint.arn}" hosts the inference component(s) {", ".join(left)}: delete them before their variant goes.'
        )


def _in_progress(endpoint: Record) -> ApiError:
    return validation(f'Cannot update in-progress endpoint "{endpoint.arn}".')


def _taken(arn: str) -> ApiError:
    return validation(f'Cannot create already existing endpoint "{arn}".')
