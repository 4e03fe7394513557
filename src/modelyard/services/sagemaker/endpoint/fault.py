"""Faults for rehearsals: a share of a variant's calls fails or all of them are late, until a given platform time.

A fault is a child record of its endpoint, so its begin and its end are events, and each makes the endpoint publish its route
table anew: the splitter of every gateway injects it (serving/faults.py). It needs a permission of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.records import Record, new_uid
from modelyard.kernel.store import Moved, Step
from modelyard.services.modelyard import api
from modelyard.services.sagemaker import api as sagemaker
from modelyard.services.sagemaker.common import arn_of
from modelyard.services.sagemaker.endpoint.lifecycle import ENDPOINT, status_of
from modelyard.services.sagemaker.endpoint.shadows import everyone

FAULT = Lifecycle("endpoint-fault", first="Active", arrows={"Active": {"Active"}})


@api.operation
def put_endpoint_fault(call, request):
    """A further fault of the same variant adds to those there are: the highest rate and the longest delay count."""
    endpoint = _endpoint(call, request["EndpointName"])
    variant = request["VariantName"]
    if variant not in {v["name"] for v in everyone(endpoint.state.get("serving", endpoint.spec["wanted"]))}:
        raise validation(f"The endpoint {endpoint.name} has no production variant {variant}.")
    spec = {
        "variant": variant,
        "error_rate": request.get("ErrorRate", 0.0),
        "status": request.get("StatusCode", 500),
        "latency_ms": request.get("LatencyMilliseconds", 0),
        "until": call.now() + request["DurationInSeconds"],
        "by": call.principal.arn,
    }
    if not spec["error_rate"] and not spec["latency_ms"]:
        raise validation("Say what shall go wrong: ErrorRate above 0, LatencyMilliseconds above 0, or both.")
    name = new_uid()
    call.store.create(
        FAULT,
        account=call.account,
        region=call.region,
        name=name,
        arn=f"{endpoint.arn}/fault/{name}",
        owner=endpoint.uid,
        spec=spec,
    )
    call.platform.ring(FAULT.kind)
    return {"FaultId": name, "Until": spec["until"]}


@api.operation
def delete_endpoint_fault(call, request):
    endpoint = _endpoint(call, request["EndpointName"])
    while True:
        fault = call.store.get(FAULT.kind, call.account, call.region, request["FaultId"])
        if fault is None or fault.owner != endpoint.uid:
            raise api.error.ResourceNotFound(f"The endpoint {endpoint.name} has no fault {request['FaultId']}; perhaps it has ended.")
        try:
            call.store.delete(fault)
        except Moved:
            continue
        call.platform.ring(ENDPOINT.kind)
        return {}


@api.operation
def list_endpoint_faults(call, request):
    endpoint = _endpoint(call, request["EndpointName"])
    return {"Faults": [shown(fault) for fault in call.store.children(endpoint.uid, FAULT.kind)]}


def shown(fault: Record) -> dict[str, Any]:
    return {
        "FaultId": fault.name,
        "VariantName": fault.spec["variant"],
        "ErrorRate": fault.spec["error_rate"],
        "StatusCode": fault.spec["status"],
        "LatencyMilliseconds": fault.spec["latency_ms"],
        "Since": fault.created_at,
        "Until": fault.spec["until"],
    }


def by_variant(faults: Sequence[Record]) -> dict[str, dict[str, Any]]:
    """Variant name → the fault its rows of the route table carry (serving/routes.py: Fault)."""
    found: dict[str, dict[str, Any]] = {}
    for fault in faults:
        row = found.setdefault(fault.spec["variant"], {"error_rate": 0.0, "status": fault.spec["status"], "latency_s": 0.0})
        if fault.spec["error_rate"] > row["error_rate"]:
            row |= {"error_rate": fault.spec["error_rate"], "status": fault.spec["status"]}
        row["latency_s"] = max(row["latency_s"], fault.spec["latency_ms"] / 1000)
    return found


def _endpoint(call, name: str) -> Record:
    endpoint = call.store.by_arn(arn_of(call, "endpoint", name))
    if endpoint is None:
        raise api.error.ResourceNotFound(f"Endpoint {name} of account {call.account} not found.")
    if status_of(endpoint) in ("Failed", "Deleting"):
        raise validation(f"The endpoint {name} is {status_of(endpoint)}: nothing serves there.")
    return endpoint


# --- its end ---------------------------------------------------------------------------------------


def see(fault: Record, world: Any) -> bool:
    """Whether its endpoint is still there."""
    return world.store.by_uid(fault.owner) is not None


@sagemaker.reconciler(FAULT, see)
def decide(fault: Record, there: bool, now: float) -> Step:
    if not there or now >= fault.spec["until"]:
        return Step("Active", delete=True)
    return Step("Active", wake_at=fault.spec["until"])
