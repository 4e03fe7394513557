"""Scaling policies: put, describe, delete; and what alarms deliver to them."""

from __future__ import annotations

import uuid
from typing import Any

import orjson

from modelyard.kernel.errors import validation
from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Step, Taken
from modelyard.services.applicationautoscaling import api, checks, removal
from modelyard.services.applicationautoscaling.acting import acting
from modelyard.services.applicationautoscaling.activity import check_filter, page_size
from modelyard.services.applicationautoscaling.alarms import alarm_names, alarm_request
from modelyard.services.applicationautoscaling.target import TARGET, the_target

POLICY = Lifecycle("scaling-policy", first="Active")
PAGE, MOST_POLICIES = 10, 50
CONFIG = {"TargetTrackingScaling": "TargetTrackingScalingPolicyConfiguration", "StepScaling": "StepScalingPolicyConfiguration"}
DEFAULTS = {"TargetTrackingScaling": {}, "StepScaling": {"MetricAggregationType": "Average"}}


@api.operation
def put_scaling_policy(call, request):
    """Creates or changes a policy, and the alarms of a target tracking one: they are there when this answers."""
    while True:
        target = the_target(call, request)
        there = find(call, target, request["PolicyName"])
        spec = _spec(request, there)
        if there is None and len(call.store.children(target.uid, POLICY.kind)) >= MOST_POLICIES:
            raise api.error.LimitExceededException(f"A scalable target may have at most {MOST_POLICIES} scaling policies.")
        try:
            policy = _create(call, target, request["PolicyName"], spec) if there is None else call.store.request(there, spec)
        except (Taken, Moved):
            continue
        put_alarms(call.platform, policy)
        if there is not None:
            _drop_needless(call, there, policy)
        call.platform.ring(POLICY.kind)
        return {"PolicyARN": policy.arn, "Alarms": _alarms(policy)}


@api.operation
def describe_scaling_policies(call, request):
    check_filter(request)
    limit = page_size(request, PAGE)
    after = decode_token(request.get("NextToken"), api.error.InvalidNextTokenException, "") or ""
    names, resource, dimension = request.get("PolicyNames"), request.get("ResourceId"), request.get("ScalableDimension")
    found = [
        p
        for p in call.store.list(POLICY.kind, call.account, call.region, order_by="name")
        if p.name > after
        and p.spec["ServiceNamespace"] == request["ServiceNamespace"]
        and (not names or p.spec["PolicyName"] in names or p.arn in names)
        and resource in (None, p.spec["ResourceId"])
        and dimension in (None, p.spec["ScalableDimension"])
        and not p.spec.get("delete")
    ]
    answer: dict[str, Any] = {"ScalingPolicies": [_shown(p) for p in found[:limit]]}
    if len(found) > limit:
        answer["NextToken"] = encode_token(found[limit - 1].name)
    return answer


@api.operation
def delete_scaling_policy(call, request):
    """A target tracking policy takes its alarms with it; alarms of step scaling are the user's and stay."""
    while True:
        target = _target_or_none(call, request)
        policy = find(call, target, request["PolicyName"]) if target is not None else None
        if policy is None:
            raise api.error.ObjectNotFoundException(
                f"No scaling policy found for service namespace: {request['ServiceNamespace']}, resource ID: {request['ResourceId']}, "
                f"scalable dimension: {request['ScalableDimension']}, policy name: {request['PolicyName']}"
            )
        try:
            gone = call.store.request(policy, {"delete": True})
        except Moved:
            continue
        removal.remove_policy(call.platform, gone)
        return {}


@api.target
def deliver(platform, delivery):
    """An alarm's action: the news is written onto the policy, which wakes its target. `body` is the JSON that SNS gets too."""
    told = orjson.loads(delivery.body)
    while True:
        policy = platform.store.by_arn(delivery.arn)
        if policy is None or policy.kind != POLICY.kind or policy.spec.get("delete"):
            raise validation(f"There is no scaling policy {delivery.arn}.")
        news = {"key": delivery.key, "alarm": told["AlarmName"], "state": told["NewStateValue"], "at": platform.clock.now()}
        if policy.spec.get("news", {}).get("key") == delivery.key:
            return
        try:
            platform.store.request(policy, {"news": news})
        except Moved:
            continue
        platform.ring(TARGET.kind)
        return


# --- the reconciler: finishes what an operation began ------------------------------------------------


def observe(policy: Record, world: Any) -> None:
    """Nothing of the outside matters: what is wanted is in the record."""


@api.reconciler(POLICY, observe)
def decide(policy: Record, seen: None, now: float) -> Step:
    if policy.spec.get("delete"):
        return Step("Active", do=[Finish(policy, removal.remove_policy)])
    if policy.state.get("edition") != policy.spec["edition"]:
        return Step("Active", {"edition": policy.spec["edition"]}, do=[Finish(policy, put_alarms)])
    return Step("Active")


class Finish:
    """Does `work(world, policy)` once more."""

    def __init__(self, policy: Record, work: Any) -> None:
        self.policy, self.work = policy, work

    def perform(self, world: Any) -> None:
        self.work(world, self.policy)


def put_alarms(world: Any, policy: Record) -> None:
    """Makes the alarms of a target tracking policy as they shall be; a policy that went meanwhile takes them with it again."""
    spec = policy.spec
    for side, name in spec["alarms"].items():
        request = alarm_request(side, name, policy.arn, spec["ResourceId"], spec["config"])
        acting(world, policy.account, policy.region).invoke("cloudwatch", "PutMetricAlarm", request)
    if spec["alarms"] and world.store.by_uid(policy.uid) is None:
        removal.delete_alarms(world, policy.account, policy.region, list(spec["alarms"].values()))


def _drop_needless(call: Any, old: Record, new: Record) -> None:
    gone = [name for name in old.spec["alarms"].values() if name not in new.spec["alarms"].values()]
    if gone:
        removal.delete_alarms(call.platform, call.account, call.region, gone)


# --- helpers -------------------------------------------------------------------------------------


def find(call: Any, target: Record, name: str) -> Record | None:
    policy = call.store.get(POLICY.kind, call.account, call.region, f"{target.name}|{name}")
    if policy is not None and policy.spec.get("delete"):
        removal.remove_policy(call.platform, policy)
        return None
    return policy


def _target_or_none(call: Any, request: dict[str, Any]) -> Record | None:
    try:
        return the_target(call, request)
    except Exception as problem:
        if getattr(problem, "code", "") == "ObjectNotFoundException":
            return None
        raise


def _create(call: Any, target: Record, name: str, spec: dict[str, Any]) -> Record:
    arn = (
        f"arn:aws:autoscaling:{call.region}:{call.account}:scalingPolicy:{uuid.uuid4()}:resource/{spec['ServiceNamespace']}/"
        f"{spec['ResourceId']}:policyName/{name}"
    )
    return call.store.create(
        POLICY, account=call.account, region=call.region, name=f"{target.name}|{name}", arn=arn, spec=spec, owner=target.uid
    )


def _spec(request: dict[str, Any], there: Record | None) -> dict[str, Any]:
    """The request, checked, over what is there."""
    old = there.spec if there is not None else {}
    kind = request.get("PolicyType") or old.get("PolicyType") or "StepScaling"
    if kind not in CONFIG:
        raise validation("Predictive scaling policies are supported for ECS services only, which Modelyard does not scale.")
    if old and kind != old["PolicyType"]:
        raise validation(f"The type of scaling policy {request['PolicyName']} is {old['PolicyType']} and cannot be changed.")
    for other in CONFIG.values():
        if other != CONFIG[kind] and request.get(other):
            raise validation(f"{other} cannot be specified for a policy of type {kind}.")
    config = request.get(CONFIG[kind]) or old.get("config")
    if config is None:
        raise validation(f"{CONFIG[kind]} must be specified for a policy of type {kind}.")
    if kind == "StepScaling":
        checks.check_step_scaling(config)
    else:
        checks.check_target_tracking(config, request["ScalableDimension"])
    members = ("PolicyName", "ServiceNamespace", "ResourceId", "ScalableDimension")
    high, low = old.get("ids") or [str(uuid.uuid4()), str(uuid.uuid4())]
    return {
        **{member: request[member] for member in members},
        "PolicyType": kind,
        "config": {**DEFAULTS[kind], **config},
        "ids": [high, low],
        "alarms": alarm_names(request["ResourceId"], config, high, low) if kind == "TargetTrackingScaling" else {},
        "edition": old.get("edition", 0) + 1,
    }


def _alarms(policy: Record) -> list[dict[str, str]]:
    prefix = f"arn:aws:cloudwatch:{policy.region}:{policy.account}:alarm:"
    return [{"AlarmName": name, "AlarmARN": prefix + name} for name in policy.spec["alarms"].values()]


def _shown(policy: Record) -> dict[str, Any]:
    spec = policy.spec
    members = ("PolicyName", "ServiceNamespace", "ResourceId", "ScalableDimension", "PolicyType")
    answer = {member: spec[member] for member in members} | {"PolicyARN": policy.arn, "CreationTime": policy.created_at}
    news = spec.get("news")
    alarms = _alarms(policy)
    if not alarms and news:
        alarms = [{"AlarmName": news["alarm"], "AlarmARN": f"arn:aws:cloudwatch:{policy.region}:{policy.account}:alarm:{news['alarm']}"}]
    return {**answer, CONFIG[spec["PolicyType"]]: spec["config"], "Alarms": alarms}
