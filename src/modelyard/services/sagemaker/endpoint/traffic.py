"""What an endpoint does now, for whoever watches: the route table, the replicas, the calls of the last seconds, alarms, faults."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.modelyard import api
from modelyard.services.sagemaker.common import arn_of
from modelyard.services.sagemaker.endpoint.fault import FAULT, shown
from modelyard.services.sagemaker.endpoint.lifecycle import REPLICA, status_of
from modelyard.services.sagemaker.endpoint.shadows import everyone

NAMESPACE = "AWS/SageMaker"
WINDOW_SECONDS = 5
LATE_SECONDS = 1.2
"""Gateways hand their counts over once a second: the window ends where all of them have."""
ALARMS = ("metric-alarm", "composite-alarm")


@api.operation
def describe_endpoint_traffic(call, request):
    arn = arn_of(call, "endpoint", request["EndpointName"])
    endpoint = call.store.by_arn(arn)
    if endpoint is None:
        raise api.error.ResourceNotFound(f"Endpoint {request['EndpointName']} of account {call.account} not found.")
    speed = call.clock.speed or 1.0
    window = float(request.get("WindowInSeconds", WINDOW_SECONDS))
    end = call.now() - LATE_SECONDS * speed
    _, table = call.store.routes(endpoint.arn)
    replicas = call.store.children(endpoint.uid, REPLICA.kind)
    shown_deployment = endpoint.state.get("serving") or endpoint.spec["wanted"]
    answer = {
        "EndpointName": endpoint.name,
        "EndpointStatus": status_of(endpoint),
        "EndpointConfigName": shown_deployment["config"],
        "At": call.now(),
        "ClockSpeed": speed,
        "WindowInSeconds": window,
        "Variants": [
            {
                "VariantName": name,
                "Fleets": _fleets(name, table or {"variants": []}, replicas),
                **calls(call, endpoint, name, end - window * speed, end, window, _routed(table or {"variants": []}, name)),
            }
            for name in variant_names(endpoint, table)
        ],
        "Alarms": _alarms(call, endpoint),
        "Faults": [shown(fault) for fault in call.store.children(endpoint.uid, FAULT.kind)],
    }
    if endpoint.state.get("failure"):
        answer["FailureReason"] = endpoint.state["failure"]
    if rollout := endpoint.state.get("rollout"):
        answer["Rollout"] = _rollout(rollout)
    return answer


def variant_names(endpoint: Record, table: Mapping[str, Any] | None) -> list[str]:
    """Those that have traffic, then those that shall have."""
    names = [row["name"] for row in (table or {}).get("variants", ())] + [v["name"] for v in everyone(endpoint.spec["wanted"])]
    return list(dict.fromkeys(names))


def _fleets(name: str, table: Mapping[str, Any], replicas: list[Record]) -> list[dict[str, Any]]:
    total = sum(row["weight"] for row in table["variants"]) or 1.0
    share: dict[str, float] = {}
    used = set()
    shadows = [shadow["variant"] for shadow in table.get("shadows", ())]  # they have instances, and no share of the traffic
    for row in shadows:
        used |= {replica["id"].rpartition("-")[0] for replica in row["replicas"]}
    for row in table["variants"]:
        used |= {replica["id"].rpartition("-")[0] for replica in row["replicas"]}
        if row["name"] == name:
            share[str(row.get("fleet", ""))] = share.get(str(row.get("fleet", "")), 0.0) + row["weight"] / total
    by_generation: dict[str, list[dict[str, Any]]] = {}
    for replica in replicas:
        if replica.spec["name"] == name:
            row = {
                "ReplicaId": replica.uid,
                "Status": replica.status,
                "Starts": replica.state.get("attempt", 0),
                "InTable": replica.uid in used,
            }
            by_generation.setdefault(str(replica.spec["generation"]), []).append(row)
    if set(share) == {""}:  # a table without fleets: all traffic is that of the newest generation in it
        share = {max((g for g, rows in by_generation.items() if any(r["InTable"] for r in rows)), key=int, default=""): share[""]}
    known = dict.fromkeys([*by_generation, *share])
    return [
        {"Fleet": g, "Share": share.get(g, 0.0), "Replicas": by_generation.get(g, [])} for g in sorted(known, key=lambda g: int(g or 0))
    ]


def calls(call: Any, endpoint: Record, variant: str, start: float, end: float, window: float, instances: int) -> dict[str, float]:
    """Rates per real second and latencies in milliseconds of [start, end), platform time. `InFlight`: calls under way at all its instances."""
    dimensions = [{"Name": "EndpointName", "Value": endpoint.name}, {"Name": "VariantName", "Value": variant}]

    def whole(metric: str) -> Any:
        found = call.platform.metrics.buckets(endpoint.account, endpoint.region, NAMESPACE, metric, dimensions, start, end, 1e12)
        return found[0] if found else None

    def rate(metric: str) -> float:
        bucket = whole(metric)
        return round(bucket.total / window, 3) if bucket else 0.0

    answer = {
        "InvocationsPerSecond": rate("Invocations"),
        "ClientErrorsPerSecond": rate("Invocation4XXErrors"),
        "ServerErrorsPerSecond": rate("Invocation5XXErrors"),
    }
    model, overhead, flight = whole("ModelLatency"), whole("OverheadLatency"), whole("ConcurrentRequestsPerModel")
    if model is not None:
        answer |= {f"ModelP{p}Milliseconds": (model.statistic(f"p{p}") or 0.0) / 1000 for p in (50, 95, 99)}
    if overhead is not None:
        answer["OverheadP50Milliseconds"] = (overhead.statistic("p50") or 0.0) / 1000
    if flight is not None:
        answer["InFlight"] = round(flight.total / flight.samples * max(1, instances), 1)
    return answer


def _routed(table: Mapping[str, Any], name: str) -> int:
    """How many instances of a variant take calls."""
    rows = [*table["variants"], *(shadow["variant"] for shadow in table.get("shadows", ()))]
    return sum(len(row["replicas"]) for row in rows if row["name"] == name)


def _rollout(rollout: Mapping[str, Any]) -> dict[str, Any]:
    names = {"Stage": "stage", "FromConfig": "from", "ToConfig": "to", "Since": "since", "Until": "until", "Deadline": "deadline"}
    return {member: rollout[key] for member, key in names.items() if rollout.get(key) is not None}


def _alarms(call: Any, endpoint: Record) -> list[dict[str, Any]]:
    """Those that the deployment configuration names."""
    config = endpoint.spec.get("deployment_config") or {}
    answer = []
    for alarm in config.get("AutoRollbackConfiguration", {}).get("Alarms", []):
        name = alarm["AlarmName"]
        record = next((r for kind in ALARMS if (r := call.store.get(kind, endpoint.account, endpoint.region, name)) is not None), None)
        row = {"AlarmName": name, "StateValue": record.state.get("state", "INSUFFICIENT_DATA") if record else "gone"}
        if record is not None and record.state.get("reason"):
            row["StateReason"] = record.state["reason"]
        answer.append(row)
    return answer
