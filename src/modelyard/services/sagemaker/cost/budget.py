"""Budgets: a limit in dollars for a day, a month or for ever. Passing it is an event, a message to a topic and, if so wished, the end of jobs.

A budget looks once a platform minute. What all of an account costs in the month so far is also the metric `EstimatedCharges` of
AWS/Billing (Currency=USD), so that the alarms people make for real bills work. Stopping is a stop as a client asks for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from modelyard.kernel import targets
from modelyard.kernel.errors import ApiError, validation
from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Step, Taken
from modelyard.services.modelyard import api
from modelyard.services.sagemaker import api as sagemaker
from modelyard.services.sagemaker.cost.operations import begin_of, spent
from modelyard.services.sagemaker.cost.reader import JOBS

BUDGET = Lifecycle("cost-budget", first="OK", arrows={"OK": {"EXCEEDED"}, "EXCEEDED": {"OK"}})
LOOK_SECONDS, SHORTEST_REAL_SECONDS = 60.0, 1.0
NAMESPACE, METRIC = "AWS/Billing", "EstimatedCharges"


# --- operations ------------------------------------------------------------------------------------


@api.operation
def put_cost_budget(call, request):
    """Makes a budget, or changes the one of this name."""
    limit = request["LimitUSD"]
    if not 0 < limit < 1e9:
        raise validation("LimitUSD must be more than 0.")
    spec = {
        "limit": limit,
        "period": request.get("Period", "MONTH"),
        "topic": request.get("TopicArn"),
        "stop_jobs": request.get("StopJobs", False),
    }
    if spec["stop_jobs"]:
        for action in ("StopTrainingJob", "StopProcessingJob", "StopTransformJob"):
            call.authorize(f"sagemaker:{action}", f"arn:aws:sagemaker:{call.region}:{call.account}:*")
    arn = f"arn:aws:modelyard:{call.region}:{call.account}:budget/{request['BudgetName']}"
    while True:
        try:
            call.store.create(
                BUDGET, account=call.account, region=call.region, name=request["BudgetName"], arn=arn, spec=spec, state={"version": 1}
            )
        except Taken as taken:
            try:
                call.store.request(taken.record, spec)
            except Moved:
                continue
        call.platform.ring(BUDGET.kind)
        return {"BudgetArn": arn}


@api.operation
def list_cost_budgets(call, request):
    return {"Budgets": [_shown(b, call) for b in call.store.list(BUDGET.kind, call.account, call.region, order_by="name")]}


@api.operation
def delete_cost_budget(call, request):
    while True:
        budget = call.store.get(BUDGET.kind, call.account, call.region, request["BudgetName"])
        if budget is None:
            raise api.error.ResourceNotFound(f"There is no budget {request['BudgetName']}.")
        try:
            call.store.delete(budget)
        except Moved:
            continue
        return {}


def _shown(budget: Record, call: Any) -> dict[str, Any]:
    begin = begin_of(budget.spec["period"], call.now(), budget.created_at)
    shown = {
        "BudgetName": budget.name,
        "LimitUSD": budget.spec["limit"],
        "Period": budget.spec["period"],
        "Since": begin,
        "SpentUSD": spent(call.platform, budget.account, begin, call.now()),
        "Status": budget.status,
        "StopJobs": budget.spec.get("stop_jobs", False),
    }
    return shown | ({"TopicArn": budget.spec["topic"]} if budget.spec.get("topic") else {})


# --- what it does ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """`spent` since `begin`, `month` in the month so far; `speed` of the clock."""

    begin: float
    spent: float
    month: float
    speed: float


def see(budget: Record, world: Any) -> Seen:
    now = world.clock.now()
    begin = begin_of(budget.spec["period"], now, budget.created_at)
    month = spent(world, budget.account, begin_of("MONTH", now, 0.0), now)
    return Seen(begin, spent(world, budget.account, begin, now), month, world.clock.speed)


@sagemaker.reconciler(BUDGET, see)
def decide(budget: Record, seen: Seen, now: float) -> Step:
    over = seen.spent > budget.spec["limit"]
    do: list[Any] = [Charge(budget, round(seen.month, 6))]
    state: dict[str, Any] = {"begin": seen.begin}
    told = budget.state.get("told") == seen.begin
    if over and not told:
        do.append(Tell(budget, seen.spent, seen.begin))
        state["told"] = seen.begin
    if over and budget.spec.get("stop_jobs"):
        do.append(StopJobs(budget))
    detail = {"spent": seen.spent, "limit": budget.spec["limit"]} if over and not told else None
    wake = now + max(LOOK_SECONDS, SHORTEST_REAL_SECONDS * seen.speed)
    return Step("EXCEEDED" if over else "OK", state, do=do, wake_at=wake, detail=detail)


@dataclass(frozen=True)
class Charge:
    """The account's charges of the month as AWS/Billing tells them."""

    budget: Record
    usd: float

    def perform(self, world: Any) -> None:
        data = [{"MetricName": METRIC, "Dimensions": [{"Name": "Currency", "Value": "USD"}], "Value": self.usd, "Unit": "None"}]
        world.metrics.put(self.budget.account, self.budget.region, NAMESPACE, data)


@dataclass(frozen=True)
class Tell:
    """One message per period: the key makes a repetition the same one."""

    budget: Record
    spent: float
    begin: float

    def perform(self, world: Any) -> None:
        budget = self.budget
        if not budget.spec.get("topic"):
            return
        body = {
            "budgetName": budget.name,
            "limitUSD": budget.spec["limit"],
            "spentUSD": round(self.spent, 4),
            "period": budget.spec["period"],
            "stopsJobs": budget.spec.get("stop_jobs", False),
        }
        try:
            targets.deliver(
                world,
                targets.Delivery(
                    arn=budget.spec["topic"],
                    body=orjson.dumps(body).decode(),
                    source="budgets.amazonaws.com",
                    source_arn=budget.arn,
                    account=budget.account,
                    region=budget.region,
                    key=f"{budget.uid}-{self.begin:.0f}",
                    subject=f"The budget {budget.name} is exceeded",
                ),
            )
        except ApiError as problem:
            if not problem.sender_fault:
                raise
            # A topic that is gone or refuses does not keep the budget from working; the status tells it too.


@dataclass(frozen=True)
class StopJobs:
    """Every job of the account that runs, also those made after the limit was passed."""

    budget: Record

    def perform(self, world: Any) -> None:
        for kind in JOBS:
            for job in world.store.list(kind, self.budget.account, status="InProgress"):
                if job.spec.get("stop"):
                    continue
                try:
                    world.store.request(job, {"stop": True}, detail={"wish": "stop", "by": self.budget.arn})
                except Moved:
                    continue  # looked at again in a minute
                world.ring(kind)
