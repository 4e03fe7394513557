"""Our own operations on the spot market: how it behaves, and an interruption by wish."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.store import Moved
from modelyard.services.modelyard import api
from modelyard.services.sagemaker.common import arn_of
from modelyard.services.sagemaker.training_job.lifecycle import LIFECYCLE
from modelyard.services.sagemaker.training_job.spot import Market, is_spot, market_of, set_market


@api.operation
def put_spot_market(call, request):
    """What the request does not name stays as it is."""
    old = market_of(call.store, call.account, call.region)
    outages = old.outages
    if "Outages" in request:
        outages = tuple((outage["Start"], outage["End"]) for outage in request["Outages"])
        if any(end <= start for start, end in outages):
            raise validation("An outage ends after its start.")
    market = Market(
        request.get("InterruptionsPerHour", old.rate),
        request.get("WaitInSeconds", old.wait_s),
        request.get("DiscountPercent", old.discount),
        outages,
    )
    set_market(call.store, call.account, call.region, market)
    for job in call.store.list(LIFECYCLE.kind, call.account, call.region, status="InProgress"):
        if is_spot(job.spec):
            call.platform.wake(job.uid)
    return _shown(call, market)


@api.operation
def describe_spot_market(call, request):
    return _shown(call, market_of(call.store, call.account, call.region))


@api.operation
def interrupt_training_job(call, request):
    """The two-minute notice begins now. A second wish for the same instances changes nothing."""
    name = request["TrainingJobName"]
    while True:
        job = call.store.by_arn(arn_of(call, "training-job", name))
        if job is None:
            raise api.error.ResourceNotFound(f"There is no training job {name} in account {call.account}.")
        if not is_spot(job.spec):
            raise validation(f"The training job {name} does not run on spot instances (EnableManagedSpotTraining).")
        if job.status != "InProgress" or job.state["secondary"] not in ("Downloading", "Training"):
            raise validation(f"The training job {name} holds no instances that could be taken back: it is {job.state['secondary']}.")
        attempt = job.state["attempt"]
        if job.spec.get("interrupt") == attempt:
            break
        try:
            call.store.request(job, {"interrupt": attempt}, detail={"wish": "interrupt"})
        except Moved:
            continue
        call.platform.ring(LIFECYCLE.kind)
        break
    return {"Attempt": attempt, "Interruptions": job.state.get("interruptions", 0)}


def _shown(call: Any, market: Market) -> dict[str, Any]:
    now = call.now()
    return {
        "InterruptionsPerHour": market.rate,
        "WaitInSeconds": market.wait_s,
        "DiscountPercent": market.discount,
        "Outages": [{"Start": start, "End": end} for start, end in sorted(market.outages) if end > now],
        "Now": now,
        "CapacityAvailable": market.opens_at(now) <= now,
    }
