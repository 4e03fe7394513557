"""What DescribeEndpoint tells: of the endpoint, of what serves, and of the deployment that is on its way.

VariantStatus and its messages are those of "Endpoint deployment state change" (events that SageMaker sends to EventBridge).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.sagemaker.endpoint import serverless
from modelyard.services.sagemaker.endpoint.deployment import captures
from modelyard.services.sagemaker.endpoint.fleets import plan_in
from modelyard.services.sagemaker.endpoint.lifecycle import SETTLED, status_of
from modelyard.services.sagemaker.endpoint.shadows import everyone, wanted_count


def summary(endpoint: Record) -> dict[str, Any]:
    return {
        "EndpointName": endpoint.name,
        "EndpointArn": endpoint.arn,
        "CreationTime": endpoint.created_at,
        "LastModifiedTime": endpoint.updated_at,
        "EndpointStatus": status_of(endpoint),
    }


def describe(endpoint: Record, replicas: Sequence[Record]) -> dict[str, Any]:
    wanted, serving = endpoint.spec["wanted"], endpoint.state.get("serving")
    shown = serving or wanted
    status = status_of(endpoint)
    answer = {**summary(endpoint), "EndpointConfigName": shown["config"]}
    if endpoint.status != "Failed":
        answer["ProductionVariants"] = [_variant(endpoint, v, replicas) for v in shown["variants"]]
        if shown.get("shadows"):
            answer["ShadowProductionVariants"] = [_variant(endpoint, v, replicas) for v in shown["shadows"]]
    if endpoint.state.get("failure") and status in (*SETTLED, "Failed"):
        answer["FailureReason"] = endpoint.state["failure"]
    if endpoint.spec.get("deployment_config"):
        answer["LastDeploymentConfig"] = endpoint.spec["deployment_config"]
    if status in ("Creating", "Updating") and not wanted.get("scale"):
        answer["PendingDeploymentSummary"] = _pending(endpoint, replicas)
    if shown.get("asynchronous"):
        answer["AsyncInferenceConfig"] = {k: v for k, v in shown["asynchronous"].items() if k in ("ClientConfig", "OutputConfig")}
    if shown.get("metrics"):
        answer["MetricsConfig"] = shown["metrics"]
    capture = shown["capture"]
    if capture:
        answer["DataCaptureConfig"] = {
            "EnableCapture": captures(capture),
            "CaptureStatus": "Started" if captures(capture) else "Stopped",
            "CurrentSamplingPercentage": capture["InitialSamplingPercentage"],
            "DestinationS3Uri": capture["DestinationS3Uri"],
            "KmsKeyId": capture.get("KmsKeyId", ""),
        }
    return answer


def _variant(endpoint: Record, variant: Mapping[str, Any], replicas: Sequence[Record]) -> dict[str, Any]:
    """A variant of what serves. Desired figures differ from current ones only while they are changed."""
    wanted, serving = endpoint.spec["wanted"], "serving" in endpoint.state
    scaled = wanted.get("scale") and status_of(endpoint) == "Updating"
    desired = next((v for v in everyone(wanted) if v["name"] == variant["name"]), variant) if scaled else variant
    answer = {
        "VariantName": variant["name"],
        **_images(endpoint, variant),
        "CurrentWeight": variant["weight"] if serving else 0.0,
        "DesiredWeight": desired["weight"],
        "CurrentInstanceCount": variant["count"] if _hosts(variant) else min(_healthy(replicas, variant), variant["count"]),
        "DesiredInstanceCount": desired["count"],
        **variant.get("told", {}),
    }
    if not serving:
        answer["VariantStatus"] = [_status("Creating", f"Launching {variant['count']} instance(s).", endpoint.created_at)]
    elif scaled:
        answer["VariantStatus"] = _scaling(endpoint, variant, desired)
    return serverless.described(answer, variant, desired)


def _scaling(endpoint: Record, variant: Mapping[str, Any], desired: Mapping[str, Any]) -> list[dict[str, Any]]:
    way = "Scaling in" if desired["count"] < variant["count"] else "Scaling out"
    message = f"{way} desired instance count to {desired['count']}." if desired["count"] != variant["count"] else "Updating variant weight."
    return [_status("Updating", message, (endpoint.state.get("rollout") or {}).get("started", endpoint.updated_at))]


# --- the deployment under way --------------------------------------------------------------------


def _pending(endpoint: Record, replicas: Sequence[Record]) -> dict[str, Any]:
    wanted, rollout = endpoint.spec["wanted"], endpoint.state.get("rollout")
    if rollout is None or rollout["edition"] != wanted["edition"]:  # the engine has not looked yet
        rollout = {"stage": "creating", "step": 1, "started": endpoint.updated_at, "since": endpoint.updated_at, "steps": 1, "kind": ""}
    answer = {
        "EndpointConfigName": wanted["config"],
        "ProductionVariants": [_pending_variant(endpoint, v, rollout, replicas) for v in wanted["variants"]],
        "StartTime": rollout["started"],
    }
    if wanted.get("shadows"):
        answer["ShadowProductionVariants"] = [_pending_variant(endpoint, v, rollout, replicas) for v in wanted["shadows"]]
    return answer


def _pending_variant(
    endpoint: Record, variant: Mapping[str, Any], rollout: Mapping[str, Any], replicas: Sequence[Record]
) -> dict[str, Any]:
    held = rollout.get("held")
    share = held["share"].get(variant.get("of", variant["name"]), 0.0) if held else 0.0
    healthy = variant["count"] if _hosts(variant) else _healthy(replicas, variant)
    answer = {
        "VariantName": variant["name"],
        **_images(endpoint, variant),
        "CurrentWeight": variant["weight"] if share > 0 else 0.0,
        "DesiredWeight": variant["weight"],
        "CurrentInstanceCount": min(healthy, wanted_count(variant, held["active"])) if share > 0 else healthy,
        "DesiredInstanceCount": variant["count"],
        **({"InstanceType": variant["instance_type"]} if variant.get("instance_type") else {}),
        **variant.get("told", {}),
        "VariantStatus": [_stage(endpoint, variant, rollout)],
    }
    return serverless.described(answer, variant, variant)


def _stage(endpoint: Record, variant: Mapping[str, Any], rollout: Mapping[str, Any]) -> dict[str, Any]:
    since = rollout["since"]
    if rollout["stage"] == "rolling-back":
        return _status("Deleting", f"Terminating {variant['count']} instance(s). Rolling back: {rollout['reason']}", since)
    plan = plan_in(endpoint)
    step = plan["steps"][rollout["step"] - 1]
    before = wanted_count(variant, plan["steps"][rollout["step"] - 2]["green"]) if rollout["step"] > 1 else 0
    launched = wanted_count(variant, step["green"]) - before
    if rollout["stage"] == "creating" and (launched > 0 or rollout["step"] == 1):
        return _status("Creating", f"Launching {launched} instance(s).", since)
    last = rollout["step"] == len(plan["steps"])
    capacity = "full capacity" if last else "canary capacity" if plan["routing"] == "CANARY" else "capacity"
    if rollout["stage"] in ("creating", "shifting"):  # later steps of blue/green have their instances already
        return _status(
            "ActivatingTraffic", f"Activating traffic on {capacity} of {wanted_count(variant, step['active'])} instance(s).", since
        )
    wait, member = (plan["final_wait_s"], "TerminationWaitInSeconds") if last else (plan["wait_s"], "WaitIntervalInSeconds")
    member = "WaitIntervalInSeconds" if plan["kind"] == "rolling" else member
    return _status(
        "Baking",
        f"Baking for {wait:g} seconds ({member}) with traffic enabled on {capacity} of {wanted_count(variant, step['active'])} instance(s).",
        since,
    )


# --- helpers -------------------------------------------------------------------------------------


def _status(status: str, message: str, since: float) -> dict[str, Any]:
    return {"Status": status, "StatusMessage": message[:1024], "StartTime": since}


def _healthy(replicas: Sequence[Record], variant: Mapping[str, Any]) -> int:
    mine = (r for r in replicas if r.spec["name"] == variant["name"] and r.spec["generation"] == variant["generation"])
    return sum(r.status == "InService" and not r.spec.get("stop") for r in mine)


def _hosts(variant: Mapping[str, Any]) -> bool:
    """Its instances run inference components, and are there as soon as they are wanted."""
    return variant.get("mode") == "Components"


def _images(endpoint: Record, variant: Mapping[str, Any]) -> dict[str, Any]:
    if not variant.get("image"):  # it hosts inference components
        return {}
    return {
        "DeployedImages": [
            {
                "SpecifiedImage": variant["image"],
                "ResolvedImage": variant["image"],
                "ResolutionTime": variant.get("resolved_at", endpoint.created_at),
            }
        ]
    }
