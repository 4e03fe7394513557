"""PutMetricAlarm: what a metric alarm may look like."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from modelyard.services.cloudwatch import api, metrics, statistic
from modelyard.services.cloudwatch.alarm.common import bad, check_name_and_actions, put
from modelyard.services.cloudwatch.alarm.evaluate import COMPARE
from modelyard.services.cloudwatch.alarm.lifecycle import METRIC
from modelyard.services.cloudwatch.expressions import insights
from modelyard.services.cloudwatch.expressions.parse import functions, parse

DAY, WEEK, HOUR = 86_400, 604_800, 3_600
TREATMENTS, LOW_SAMPLES = ("breaching", "notBreaching", "ignore", "missing"), ("evaluate", "ignore")
SINGLE = ("MetricName", "Namespace", "Dimensions", "Period", "Unit", "Statistic", "ExtendedStatistic")
SHORT_PERIODS, MOST_QUERIES, MOST_METRICS = (10, 20, 30), 20, 10
WALL_PERIODS = (60, 300, 3_600, 86_400)
NOT_BUILT = {
    "EvaluationCriteria": "PromQL alarms",
    "EvaluationInterval": "PromQL alarms",
    "WarmUpConfiguration": "warm-up periods of alarms",
    "ActionConfiguration": "tags in notifications of alarms",
    "ThresholdMetricId": "alarms on anomaly detection models",
}
_BANDS = ("LessThanLowerOrGreaterThanUpperThreshold", "LessThanLowerThreshold", "GreaterThanUpperThreshold")


@api.operation
def put_metric_alarm(call, request):
    for member, what in NOT_BUILT.items():
        if member in request:
            raise bad(f"Modelyard has not built {what} yet: the parameter {member} must be left out.")
    check_name_and_actions(request, composite=False)
    _check_evaluation(request)
    period = _check_math(request) if "Metrics" in request else _check_single(request)
    _check_lengths(request, period)
    put(call, METRIC, request)
    return {}


def _check_evaluation(request: Mapping[str, Any]) -> None:
    if request.get("ComparisonOperator") in _BANDS:
        raise bad("Modelyard has not built alarms on anomaly detection models yet: ComparisonOperator must be one for a static threshold.")
    for member in ("ComparisonOperator", "EvaluationPeriods", "Threshold"):
        if member not in request:
            raise bad(f"The parameter {member} must be specified for alarms based on static thresholds.")
    assert request["ComparisonOperator"] in COMPARE
    if not math.isfinite(request["Threshold"]):
        raise bad("The parameter Threshold must be a finite number.")
    if request.get("DatapointsToAlarm", 1) > request["EvaluationPeriods"]:
        raise bad("DatapointsToAlarm must be less than or equal to EvaluationPeriods.")
    treat = request.get("TreatMissingData")
    if treat is not None and treat not in TREATMENTS:
        raise bad(f"The value {treat} for parameter TreatMissingData is invalid. Valid values are: {', '.join(TREATMENTS)}")
    low = request.get("EvaluateLowSampleCountPercentile")
    if low is not None and low not in LOW_SAMPLES:
        raise bad(
            f"Option {low} is not supported. Supported options for parameter EvaluateLowSampleCountPercentile are evaluate and ignore."
        )


def _check_single(request: Mapping[str, Any]) -> int:
    for member in ("MetricName", "Namespace", "Period"):
        if member not in request:
            raise bad(f"The parameter {member} must be specified: either MetricName with Namespace, Period and a statistic, or Metrics.")
    plain, extended = request.get("Statistic"), request.get("ExtendedStatistic")
    if plain is None and extended is None:
        raise bad("Must specify either Statistic or ExtendedStatistic")
    if plain is not None and extended is not None:
        raise bad("Statistic and ExtendedStatistic cannot both be specified")
    if extended is not None and statistic.extended(extended) is None:
        raise bad(f"The value {extended} for parameter ExtendedStatistic is not supported.")
    if "EvaluateLowSampleCountPercentile" in request and not (extended or "").lower().startswith("p"):
        raise bad("EvaluateLowSampleCountPercentile may be specified only with a percentile as ExtendedStatistic.")
    names = [dimension["Name"] for dimension in request.get("Dimensions", [])]
    if len(set(names)) != len(names):
        raise bad("The parameter Dimensions must not have the same name twice.")
    return request["Period"]


def _check_math(request: Mapping[str, Any]) -> int:
    if both := [member for member in SINGLE if member in request]:
        raise bad(f"Metrics cannot be specified together with {', '.join(both)}")
    queries = request["Metrics"]
    if len(queries) > MOST_QUERIES or sum("MetricStat" in query for query in queries) > MOST_METRICS:
        raise bad(f"Metrics must have at most {MOST_QUERIES} members, and at most {MOST_METRICS} of them with MetricStat.")
    metrics.check_queries(queries)
    watched = [query for query in queries if query.get("ReturnData", True)]
    if len(watched) != 1:
        raise bad("Exactly one element of the metrics list should return data.")
    for query in queries:
        if insights.is_insights(query.get("Expression", "")):
            raise bad("Modelyard has not built alarms on Metrics Insights queries yet.")
        if "Expression" in query and "SEARCH" in functions(parse(query["Expression"])):
            raise bad("SEARCH is not supported on Metric Alarms.")
        if query.get("AccountId", "") not in ("", None):
            raise bad("Modelyard has one account for each alarm: AccountId must be left out.")
    periods = {query["MetricStat"]["Period"] for query in queries if "MetricStat" in query}
    periods |= {query["Period"] for query in queries if "Period" in query}
    if not any("MetricStat" in query for query in queries):
        raise bad("Invalid metrics list: at least one metric must be given with MetricStat.")
    if len(periods) > 1:
        raise bad("Metrics list contains multiple periods. All metrics of an alarm must have the same period.")
    return periods.pop()


def _check_lengths(request: Mapping[str, Any], period: int) -> None:
    if period not in SHORT_PERIODS and (period < 60 or period % 60):
        raise bad("Period must be 10, 20, 30 or a multiple of 60")
    total = period * request["EvaluationPeriods"]
    if period < HOUR and total > DAY:
        raise bad("Metrics cannot be checked across more than a day (EvaluationPeriods * Period must be <= 86400).")
    if total > WEEK:
        raise bad("Metrics cannot be checked across more than a week (EvaluationPeriods * Period must be <= 604800).")
    window = request.get("EvaluationWindow", {})
    if "WallClockWindow" in window:
        if window["WallClockWindow"].get("Timezone", "UTC") not in ("UTC", "Etc/UTC", "+00:00"):
            raise bad("Modelyard has built wall clock windows of UTC only: Timezone must be left out.")
        if period not in WALL_PERIODS:
            raise bad("With a wall clock window the period must be 60, 300, 3600 or 86400 (a week is not built yet).")
