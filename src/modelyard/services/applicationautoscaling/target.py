"""Scalable targets: register, describe, deregister."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.kernel.records import Record, new_uid
from modelyard.kernel.store import Moved, Taken
from modelyard.services.applicationautoscaling import acting, api, removal, resource
from modelyard.services.applicationautoscaling.activity import check_filter, page_size

TARGET = Lifecycle("scalable-target", first="Active", arrows={"Active": {"Scaling"}, "Scaling": {"Active"}})
"""Scaling: an activity is under way."""
PAGE, MOST_TAGS = 50, 50


@api.operation
def register_scalable_target(call, request):
    """Creates a target or changes its bounds and suspensions; the reconciler brings the capacity into the bounds."""
    namespace, resource_id, dimension = request["ServiceNamespace"], request["ResourceId"], request["ScalableDimension"]
    resource.check(namespace, resource_id, dimension)
    while True:
        there = find(call, resource_id, dimension)
        if there is not None and request.get("Tags"):
            raise validation(
                "The scalable target that you tried to tag already exists. To update tags on an existing scalable target, use the TagResource API."
            )
        spec = _spec(request, there)
        acting.ensure_role(call)
        _check_resource(call, resource_id, dimension)
        try:
            target = _create(call, request, spec) if there is None else call.store.request(there, spec)
        except (Taken, Moved):
            continue
        call.platform.ring(TARGET.kind)
        return {"ScalableTargetARN": target.arn}


@api.operation
def describe_scalable_targets(call, request):
    check_filter(request)
    limit = page_size(request, PAGE)
    after = decode_token(request.get("NextToken"), api.error.InvalidNextTokenException, "") or ""
    wanted, dimension = request.get("ResourceIds"), request.get("ScalableDimension")
    found = [
        t
        for t in call.store.list(TARGET.kind, call.account, call.region, order_by="name")
        if t.name > after
        and t.spec["ServiceNamespace"] == request["ServiceNamespace"]
        and (not wanted or t.spec["ResourceId"] in wanted)
        and dimension in (None, t.spec["ScalableDimension"])
        and not t.spec.get("delete")
    ]
    answer: dict[str, Any] = {"ScalableTargets": [_shown(t) for t in found[:limit]]}
    if len(found) > limit:
        answer["NextToken"] = encode_token(found[limit - 1].name)
    return answer


@api.operation
def deregister_scalable_target(call, request):
    """Its policies, their alarms and its scheduled actions go with it."""
    while True:
        target = the_target(call, request)
        try:
            gone = call.store.request(target, {"delete": True})
        except Moved:
            continue
        removal.remove_target(call.platform, gone)
        return {}


# --- names and answers -----------------------------------------------------------------------------


def name_of(resource_id: str, dimension: str) -> str:
    return f"{resource_id}|{dimension}"


def find(call: Any, resource_id: str, dimension: str) -> Record | None:
    """The target; one that is on its way out is seen out first."""
    target = call.store.get(TARGET.kind, call.account, call.region, name_of(resource_id, dimension))
    if target is not None and target.spec.get("delete"):
        removal.remove_target(call.platform, target)
        return None
    return target


def the_target(call: Any, request: dict[str, Any]) -> Record:
    resource.check(request["ServiceNamespace"], request["ResourceId"], request["ScalableDimension"])
    target = find(call, request["ResourceId"], request["ScalableDimension"])
    if target is None:
        raise api.error.ObjectNotFoundException(
            f"No scalable target registered for service namespace: {request['ServiceNamespace']}, resource ID: {request['ResourceId']}, "
            f"scalable dimension: {request['ScalableDimension']}"
        )
    return target


def _create(call: Any, request: dict[str, Any], spec: dict[str, Any]) -> Record:
    tags = request.get("Tags", {})
    if len(tags) > MOST_TAGS or any(key.lower().startswith("aws:") for key in tags):
        raise validation(f"At most {MOST_TAGS} tags are allowed, and their keys must not start with aws:.")
    uid = new_uid()
    return call.store.create(
        TARGET,
        account=call.account,
        region=call.region,
        name=name_of(request["ResourceId"], request["ScalableDimension"]),
        arn=f"arn:aws:application-autoscaling:{call.region}:{call.account}:scalable-target/{uid}",
        spec=spec,
        tags=tags,
        uid=uid,
    )


def _spec(request: dict[str, Any], there: Record | None) -> dict[str, Any]:
    """What is asked for over what is there; `edition` counts changes of the bounds."""
    old = there.spec if there is not None else {}
    low, high = request.get("MinCapacity", old.get("MinCapacity")), request.get("MaxCapacity", old.get("MaxCapacity"))
    if low is None or high is None:
        raise validation("Both MinCapacity and MaxCapacity must be specified when a new scalable target is registered.")
    if low < 0 or high < 0:
        raise validation("MinCapacity and MaxCapacity must not be negative.")
    if request["ScalableDimension"] == resource.CONCURRENCY and low < 1:
        raise validation("MinCapacity of sagemaker:variant:DesiredProvisionedConcurrency must be at least 1.")
    if low > high:
        raise validation("Maximum capacity cannot be less than minimum capacity")
    off = {name: False for name in ("DynamicScalingInSuspended", "DynamicScalingOutSuspended", "ScheduledScalingSuspended")}
    bounds = (low, high) != (old.get("MinCapacity"), old.get("MaxCapacity"))
    return {
        "ServiceNamespace": request["ServiceNamespace"],
        "ResourceId": request["ResourceId"],
        "ScalableDimension": request["ScalableDimension"],
        "MinCapacity": low,
        "MaxCapacity": high,
        "SuspendedState": {**off, **old.get("SuspendedState", {}), **request.get("SuspendedState", {})},
        "edition": old.get("edition", 0) + (1 if bounds else 0),
        "cause": None,
    }


def _check_resource(call: Any, resource_id: str, dimension: str) -> None:
    hands = acting.acting(call.platform, call.account, call.region)
    there = resource.read(hands, resource_id, dimension)
    if there is None:
        raise validation(resource.missing(resource_id))
    if there.wrong:
        raise validation(f"{resource_id} cannot be scaled by {dimension}: {there.wrong}.")


def _shown(target: Record) -> dict[str, Any]:
    spec = target.spec
    members = ("ServiceNamespace", "ResourceId", "ScalableDimension", "MinCapacity", "MaxCapacity", "SuspendedState")
    return {
        **{member: spec[member] for member in members},
        "RoleARN": acting.role_arn(target.account),
        "CreationTime": target.created_at,
        "ScalableTargetARN": target.arn,
    }
