"""What a scalable target does. Each may be done twice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.services.applicationautoscaling import activity, removal, resource
from modelyard.services.applicationautoscaling.acting import acting
from modelyard.services.applicationautoscaling.alarms import PERIOD_SECONDS, TOLD_WHEN_IDLE, predefined_metric
from modelyard.services.applicationautoscaling.look import refusal_key

MOST_MINUTES = 60
"""How many minutes without invocations are told at once after a jump of the clock."""


@dataclass(frozen=True)
class Note:
    """Writes an activity into the history."""

    target: Record
    activity: Mapping[str, Any]

    def perform(self, world: Any) -> None:
        activity.write(world, self.target.account, self.target.region, self.activity)


@dataclass(frozen=True)
class SetCapacity:
    """Asks the endpoint. One that is busy is asked again at the next look; any other refusal is kept for that look to see."""

    target: Record
    capacity: int

    def perform(self, world: Any) -> None:
        world.tasks.attempt(refusal_key(self.target), lambda: self._ask(world), final=(ApiError,))

    def _ask(self, world: Any) -> None:
        target = self.target
        hands = acting(world, target.account, target.region)
        try:
            resource.put(hands, target.spec["ResourceId"], target.spec["ScalableDimension"], self.capacity)
        except ApiError as problem:
            if not problem.message.startswith(("Cannot update in-progress endpoint", "Cannot update in-progress inference component")):
                raise


@dataclass(frozen=True)
class RemoveTarget:
    target: Record

    def perform(self, world: Any) -> None:
        removal.remove_target(world, self.target)


@dataclass(frozen=True)
class TellZero:
    """InvocationsPerInstance (of a component: InvocationsPerCopy) of 0 for each whole minute since `since` that had no call: as SageMaker does, so that an endpoint
    nobody calls scales in."""

    target: Record
    since: float
    now: float

    def perform(self, world: Any) -> None:
        target, end = self.target, self.now // PERIOD_SECONDS * PERIOD_SECONDS
        variant, component = TOLD_WHEN_IDLE
        kind = component if target.spec["ScalableDimension"] == resource.COPIES else variant
        metric = predefined_metric(target.spec["ResourceId"], kind)
        place = (target.account, target.region, metric["Namespace"])
        begin = max(self.since // PERIOD_SECONDS * PERIOD_SECONDS, end - MOST_MINUTES * PERIOD_SECONDS)
        there = world.metrics.buckets(*place, metric["MetricName"], metric["Dimensions"], begin, end, PERIOD_SECONDS)
        full, at, data = {bucket.start for bucket in there}, begin, []
        while at < end:
            if at not in full:
                data.append(
                    {"MetricName": metric["MetricName"], "Dimensions": metric["Dimensions"], "Value": 0.0, "Unit": "None", "Timestamp": at}
                )
            at += PERIOD_SECONDS
        if data:
            world.metrics.put(*place, data)
