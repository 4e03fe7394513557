"""The spot market of an account and region, and what it does to a job. All times are the platform's; everything is pure but `market_of`.

Interruptions come by rate (drawn once per instance from the job's uid, so that every look draws the same), by schedule (outages: while one
lasts no spot instance is to be had) and by wish (InterruptTrainingJob). After one the next instance is there `wait_s` later.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from modelyard.kernel.records import Record

DISCOUNT = 70.0
NOTICE_SECONDS = 120.0


@dataclass(frozen=True)
class Market:
    """`rate` interruptions per instance and hour; `wait_s` from an interruption to a new instance; `discount` percent off the
    on-demand price; `outages` (start, end)."""

    rate: float = 0.0
    wait_s: float = 0.0
    discount: float = DISCOUNT
    outages: tuple[tuple[float, float], ...] = ()

    def opens_at(self, now: float) -> float:
        """When an instance is to be had: `now`, or the end of the outages that cover it."""
        for start, end in sorted(self.outages):
            if start <= now < end:
                now = end
        return now


def market_of(store: Any, account: str, region: str) -> Market:
    known = store.fact(_key(account, region)) or {}
    return Market(**{**known, "outages": tuple(tuple(outage) for outage in known.get("outages", ()))})


def market_for(job: Record, world: Any) -> Market:
    """The market as a spot job sees it; others see none."""
    return market_of(world.store, job.account, job.region) if is_spot(job.spec) else Market()


def set_market(store: Any, account: str, region: str, market: Market) -> None:
    store.set_fact(_key(account, region), asdict(market))


def _key(account: str, region: str) -> str:
    return f"spot-market:{account}:{region}"


def is_spot(spec: Mapping[str, Any]) -> bool:
    return bool(spec.get("EnableManagedSpotTraining"))


# --- what it does to a job -------------------------------------------------------------------------


def interruption_at(job: Record, market: Market, hosts: int) -> float:
    """When the market takes this attempt's instances back (or took them); infinity: it does not."""
    since = job.state["held_from"]
    outage = min((max(start, since) for start, end in market.outages if end > since), default=math.inf)
    if market.rate <= 0:
        return outage
    drawn = random.Random(f"{job.uid}-{job.state['attempt']}").expovariate(1.0)
    return min(outage, since + drawn * 3600.0 / (market.rate * hosts))


def is_interrupted(job: Record, market: Market, hosts: int, now: float) -> bool:
    """Whether the notice of this attempt is due: by wish, by rate or by an outage."""
    if not is_spot(job.spec):
        return False
    return job.spec.get("interrupt") == job.state["attempt"] or now >= interruption_at(job, market, hosts)


def instance_at(job: Record, market: Market, now: float) -> float:
    """The earliest time from `now` on at which the job may have its (next) instances."""
    return market.opens_at(max(now, job.state.get("interrupted_at", -math.inf) + market.wait_s))


def waited_s(job: Record, now: float) -> float:
    """Platform seconds the job has waited for instances so far."""
    return job.state.get("waited_s", 0.0) + (now - job.state["waiting_from"] if "waiting_from" in job.state else 0.0)


def left_to_wait_s(job: Record, now: float) -> float:
    """What MaxWaitTimeInSeconds leaves: waiting in platform seconds and running in real ones count together."""
    most = job.spec["StoppingCondition"].get("MaxWaitTimeInSeconds", math.inf)
    return most - waited_s(job, now) - job.state.get("ran_s", 0.0)


def notice(now: float) -> dict[str, Any]:
    """The event's detail: what EventBridge has as "EC2 Spot Instance Interruption Warning"."""
    return {"notice": "EC2 Spot Instance Interruption Warning", "instance-action": "terminate", "time": now + NOTICE_SECONDS}


def waits_less_than_it_runs(job: Record) -> bool:
    """Of the two limits, whether MaxWaitTimeInSeconds is the one that this attempt meets first."""
    runs = job.spec["StoppingCondition"]["MaxRuntimeInSeconds"] - job.state.get("ran_s", 0.0)
    return left_to_wait_s(job, job.state["held_from"]) < runs


def runtime_left_s(job: Record) -> float:
    """Real seconds that this attempt may run: MaxRuntimeInSeconds is for all attempts together, and so is MaxWaitTimeInSeconds."""
    left = job.spec["StoppingCondition"]["MaxRuntimeInSeconds"] - job.state.get("ran_s", 0.0)
    if is_spot(job.spec):
        left = min(left, left_to_wait_s(job, job.state.get("held_from", 0.0)))
    return max(1.0, left)
