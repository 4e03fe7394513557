"""One evaluation of a metric alarm: data points of its evaluation range → a verdict with AWS's words for it. Pure.

Source: "Configuring how CloudWatch alarms treat missing data" and "Avoiding premature transitions to alarm state", whose tables
are the tests of this file.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from modelyard.services.cloudwatch.alarm.texts import count, number, short, stamp, were
from modelyard.services.cloudwatch.statistic import extended

EXTRA_POINTS = 2
"""How much longer than the evaluation periods the evaluation range is: AWS's tables have 5 for 3."""
SHOWN = 5
"""Data points that a reason names."""
RETAIN = "RETAIN"
COMPARE = {
    "GreaterThanOrEqualToThreshold": (operator.ge, "greater than or equal to"),
    "GreaterThanThreshold": (operator.gt, "greater than"),
    "LessThanThreshold": (operator.lt, "less than"),
    "LessThanOrEqualToThreshold": (operator.le, "less than or equal to"),
}


@dataclass(frozen=True)
class Point:
    """One period; `value` is None where there is no data."""

    start: float
    value: float | None
    samples: float | None = None


@dataclass(frozen=True)
class Verdict:
    """`state` is OK, ALARM, INSUFFICIENT_DATA or RETAIN."""

    state: str
    points: tuple[Point, ...] = ()
    filled: int = 0


def judge(alarm: Mapping[str, Any], points: Sequence[Point]) -> Verdict:
    """`points` are the periods of the evaluation range, oldest first."""
    periods = alarm["EvaluationPeriods"]
    needed = alarm.get("DatapointsToAlarm", periods)
    treat = "ignore" if alarm.get("Namespace") == "AWS/DynamoDB" else alarm.get("TreatMissingData", "missing")
    real = [point for point in points if point.value is not None]
    used = tuple(real[-periods:])
    if _too_few(alarm, used):
        return Verdict(RETAIN, used)
    breaching = [point for point in used if _breaches(alarm, point)]
    filled = periods - len(used)
    if filled == 0:
        return Verdict("ALARM" if len(breaching) >= needed else "OK", used)
    if treat == "breaching":
        return Verdict("ALARM" if len(breaching) + filled >= needed else "OK", used, filled)
    if treat == "notBreaching":
        return Verdict("ALARM" if len(breaching) >= needed else "OK", used, filled)
    if not used:
        return Verdict("INSUFFICIENT_DATA" if treat == "missing" else RETAIN, used, filled)
    if len(breaching) >= needed:
        return Verdict("ALARM", used, filled)
    if len(breaching) < len(used):
        return Verdict("OK", used, filled)
    # All that is there breaches, but it is too little. It counts once its oldest is as old as the data points to alarm.
    age = len(points) - next(place for place, point in enumerate(points) if point.value is not None)
    return Verdict("ALARM" if treat == "missing" and age >= needed else RETAIN, used, filled)


def _breaches(alarm: Mapping[str, Any], point: Point) -> bool:
    return COMPARE[alarm["ComparisonOperator"]][0](point.value, alarm["Threshold"])


def _too_few(alarm: Mapping[str, Any], points: Sequence[Point]) -> bool:
    """Percentiles over too few samples, where the alarm shall not judge on them."""
    name = alarm.get("ExtendedStatistic", "")
    stat = extended(name) if name.lower().startswith("p") and not name.lower().startswith("pr") else None
    if alarm.get("EvaluateLowSampleCountPercentile") != "ignore" or stat is None or not points:
        return False
    share = (stat.high or 0.0) / 100
    if not 0 < share < 1:
        return False
    least = 10 / (1 - share) if share >= 0.5 else 10 / share
    return sum(point.samples or 0.0 for point in points) < least


# --- words -----------------------------------------------------------------------------------------------


def reason(alarm: Mapping[str, Any], verdict: Verdict) -> str:
    """The StateReason of a change to `verdict.state`."""
    periods = alarm["EvaluationPeriods"]
    needed = alarm.get("DatapointsToAlarm", periods)
    if verdict.state == "INSUFFICIENT_DATA":
        return f"Insufficient Data: {count(periods, 'datapoint')} {were(periods)} unknown."
    treated = {"breaching": "Breaching", "notBreaching": "NonBreaching"}.get(alarm.get("TreatMissingData", ""))
    if verdict.filled and treated is not None:
        have = len(verdict.points)
        received = f"{count(have, 'datapoint')} {were(have)}" if have else "no datapoints were"
        return (
            f"Threshold Crossed: {received} received for {count(periods, 'period')} and "
            f"{count(verdict.filled, 'missing datapoint')} {were(verdict.filled)} treated as [{treated}]."
        )
    alarmed = verdict.state == "ALARM"
    told = [point for point in verdict.points if _breaches(alarm, point) == alarmed]
    least = needed if alarmed else periods - needed + 1
    compared = f"{were(len(told))} {'' if alarmed else 'not '}{COMPARE[alarm['ComparisonOperator']][1]} the threshold ({number(alarm['Threshold'])})"
    listed = ", ".join(f"{number(point.value or 0.0)} ({short(point.start)})" for point in reversed(told[-SHOWN:]))
    if "DatapointsToAlarm" not in alarm:  # CloudWatch counts out of how many only where the alarm says so
        start = f"Threshold Crossed: {count(len(told), 'datapoint')}"
        return f"{start} [{listed}] {compared}." if len(told) <= SHOWN else f"{start} {compared}. The most recent datapoints: [{listed}]."
    arrow = "OK -> ALARM" if alarmed else "ALARM -> OK"
    minimum = f"(minimum {count(least, 'datapoint')} for {arrow} transition)."
    start = f"Threshold Crossed: {len(told)} out of the last {periods} datapoints"
    if len(told) <= SHOWN:
        return f"{start} [{listed}] {compared} {minimum}"
    crossed = "crossed" if alarmed else "did not cross"
    return f"{start} {compared}. The most recent datapoints which {crossed} the threshold: [{listed}] {minimum}"


def reason_data(alarm: Mapping[str, Any], verdict: Verdict, points: Sequence[Point], now: float) -> str:
    """The StateReasonData: what the verdict was made of."""
    data: dict[str, Any] = {"version": "1.0", "queryDate": stamp(now)}
    if verdict.points:
        data["startDate"] = stamp(verdict.points[0].start)
    if "Metrics" not in alarm:
        if "Unit" in alarm:
            data["unit"] = alarm["Unit"]
        data["statistic"] = alarm.get("Statistic") or alarm["ExtendedStatistic"]
        data["period"] = alarm["Period"]
    elif periods := [query["MetricStat"]["Period"] for query in alarm["Metrics"] if "MetricStat" in query]:
        data["period"] = periods[0]
    data["recentDatapoints"] = [point.value for point in verdict.points]
    data["threshold"] = float(alarm["Threshold"])
    data["evaluatedDatapoints"] = [
        _told(point) for point in reversed(points[-alarm["EvaluationPeriods"] :] if verdict.filled else verdict.points)
    ]
    while len(text := orjson.dumps(data).decode()) > 4000 and data["evaluatedDatapoints"]:
        data["evaluatedDatapoints"] = data["evaluatedDatapoints"][: len(data["evaluatedDatapoints"]) // 2]
        if not data["evaluatedDatapoints"]:
            data["recentDatapoints"] = data["recentDatapoints"][-SHOWN:]
    return text


def _told(point: Point) -> dict[str, Any]:
    told: dict[str, Any] = {"timestamp": stamp(point.start)}
    if point.samples is not None:
        told["sampleCount"] = point.samples
    if point.value is not None:
        told["value"] = point.value
    return told
