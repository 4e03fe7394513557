"""What a scalable target looks at: its variant's capacity, and the alarms of its policies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.services.applicationautoscaling import resource
from modelyard.services.applicationautoscaling.acting import acting
from modelyard.services.applicationautoscaling.policy import POLICY
from modelyard.services.applicationautoscaling.resource import Capacity

ABOVE_KINDS = (
    "GreaterThanOrEqualToThreshold",
    "GreaterThanThreshold",
    "GreaterThanUpperThreshold",
    "LessThanLowerOrGreaterThanUpperThreshold",
)


@dataclass(frozen=True)
class Alarm:
    """`values` are the data points of the periods that it judges, oldest first; `above` says on which side its threshold breaks."""

    name: str
    alarming: bool
    above: bool
    threshold: float
    values: tuple[float, ...] = ()


@dataclass(frozen=True)
class Policy:
    name: str
    kind: str
    config: Mapping[str, Any]
    alarms: tuple[Alarm, ...] = ()


@dataclass(frozen=True)
class Seen:
    """`refusal` is what the endpoint answered to the capacity that this engine asked for last."""

    capacity: Capacity | None
    policies: tuple[Policy, ...] = ()
    handled: Mapping[str, str] = field(default_factory=dict)
    """Policy → key of the newest delivery this look knows of."""
    refusal: str = ""


def see_target(target: Record, world: Any) -> Seen:
    hands = acting(world, target.account, target.region)
    spec = target.spec
    capacity = resource.read(hands, spec["ResourceId"], spec["ScalableDimension"])
    children = [] if spec.get("delete") else world.store.children(target.uid, POLICY.kind)
    policies = [p for p in children if not p.spec.get("delete")]
    news = {p.spec["PolicyName"]: p.spec["news"] for p in policies if "news" in p.spec}
    known = target.state.get("handled", {})
    shown = tuple(_policy(p, hands, known.get(p.spec["PolicyName"])) for p in policies)
    refused = world.tasks.look(refusal_key(target)).error
    return Seen(capacity, shown, {name: n["key"] for name, n in news.items()}, refused.message if isinstance(refused, ApiError) else "")


def refusal_key(target: Record) -> str:
    return f"{target.uid}-scale-{target.state.get('serial', 0)}"


def _policy(policy: Record, hands: Call, handled: str | None) -> Policy:
    """The alarms of a policy are those that have it as an action. Before the first delivery there is nothing to look at."""
    spec, news = policy.spec, policy.spec.get("news")
    alarms: tuple[Alarm, ...] = ()
    if news:
        there = hands.invoke("cloudwatch", "DescribeAlarms", {"ActionPrefix": policy.arn}).get("MetricAlarms", [])
        fresh = news["alarm"] if news["key"] != handled and news["state"] == "ALARM" else None
        # A delivery may be here before the alarm's record says ALARM.
        alarms = tuple(
            _alarm(a, hands, a["StateValue"] == "ALARM" or a["AlarmName"] == fresh) for a in there if a.get("ActionsEnabled", True)
        )
    return Policy(spec["PolicyName"], spec["PolicyType"], spec["config"], alarms)


def _alarm(alarm: Mapping[str, Any], hands: Call, alarming: bool) -> Alarm:
    values = readings(alarm, hands) if alarming else ()
    return Alarm(alarm["AlarmName"], alarming, alarm["ComparisonOperator"] in ABOVE_KINDS, alarm.get("Threshold", 0.0), values)


def readings(alarm: Mapping[str, Any], hands: Call) -> tuple[float, ...]:
    """The whole periods before now, as the alarm reads them; where there are none, what it gave as the reason of its state."""
    period = _period(alarm)
    end = hands.now() // period * period
    request = {
        "StartTime": end - alarm["EvaluationPeriods"] * period,
        "EndTime": end,
        "ScanBy": "TimestampAscending",
        "MetricDataQueries": alarm.get("Metrics") or [{"Id": "m", "MetricStat": _stat(alarm, period)}],
    }
    try:
        answer = hands.invoke("cloudwatch", "GetMetricData", request)
    except ApiError:
        return _told(alarm)
    found = next((r["Values"] for r in answer["MetricDataResults"] if len(r["Values"])), ())  # lists, or arrays of numpy's
    return tuple(map(float, found)) or _told(alarm)


def _period(alarm: Mapping[str, Any]) -> int:
    if alarm.get("Metrics"):
        return max(q.get("Period") or q.get("MetricStat", {}).get("Period", 60) for q in alarm["Metrics"])
    return alarm["Period"]


def _stat(alarm: Mapping[str, Any], period: int) -> dict[str, Any]:
    metric = {"Namespace": alarm["Namespace"], "MetricName": alarm["MetricName"], "Dimensions": alarm.get("Dimensions", [])}
    stat = {"Metric": metric, "Period": period, "Stat": alarm.get("Statistic") or alarm["ExtendedStatistic"]}
    return {**stat, "Unit": alarm["Unit"]} if alarm.get("Unit") else stat


def _told(alarm: Mapping[str, Any]) -> tuple[float, ...]:
    """`recentDatapoints` of StateReasonData, newest last; somebody may have set the state by hand, with any text."""
    try:
        points = orjson.loads(alarm.get("StateReasonData") or "{}").get("recentDatapoints", [])
        return tuple(float(p) for p in points if p is not None)
    except (ValueError, AttributeError, TypeError):
        return ()
