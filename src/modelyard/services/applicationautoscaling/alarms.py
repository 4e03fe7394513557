"""The two CloudWatch alarms of a target tracking policy. Pure: requests of PutMetricAlarm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.services.applicationautoscaling.arithmetic import LOW_SHARE
from modelyard.services.applicationautoscaling.resource import CONCURRENCY, COPIES, INSTANCES, metric_dimensions

HIGH_PERIODS, LOW_PERIODS, PERIOD_SECONDS, QUICK_PERIOD_SECONDS = 3, 15, 60, 10
"""AWS: high after 3 of 3 minutes above the target, low after 15 of 15 minutes below 90 % of it."""
PREDEFINED = {
    "SageMakerVariantInvocationsPerInstance": ("InvocationsPerInstance", "Sum", PERIOD_SECONDS),
    "SageMakerVariantConcurrentRequestsPerModelHighResolution": ("ConcurrentRequestsPerModel", "Maximum", QUICK_PERIOD_SECONDS),
    "SageMakerVariantProvisionedConcurrencyUtilization": ("ServerlessProvisionedConcurrencyUtilization", "Maximum", PERIOD_SECONDS),
    "SageMakerInferenceComponentInvocationsPerCopy": ("InvocationsPerCopy", "Sum", PERIOD_SECONDS),
    "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution": ("ConcurrentRequestsPerCopy", "Maximum", QUICK_PERIOD_SECONDS),
}
TOLD_WHEN_IDLE = ("SageMakerVariantInvocationsPerInstance", "SageMakerInferenceComponentInvocationsPerCopy")
"""Metrics that SageMaker tells as 0 for minutes without a call."""
"""Predefined metric → CloudWatch metric of the variant, statistic, period."""
OF_DIMENSION = {
    INSTANCES: ("SageMakerVariantInvocationsPerInstance", "SageMakerVariantConcurrentRequestsPerModelHighResolution"),
    CONCURRENCY: ("SageMakerVariantProvisionedConcurrencyUtilization",),
    COPIES: (
        "SageMakerInferenceComponentInvocationsPerCopy",
        "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution",
    ),
}


def alarm_names(resource_id: str, config: Mapping[str, Any], high_id: str, low_id: str) -> dict[str, str]:
    """{"high": name, "low": name}; no low one where scale-in is disabled."""
    names = {"high": f"TargetTracking-{resource_id}-AlarmHigh-{high_id}"}
    if not config.get("DisableScaleIn"):
        names["low"] = f"TargetTracking-{resource_id}-AlarmLow-{low_id}"
    return names


def alarm_request(side: str, name: str, policy_arn: str, resource_id: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What PutMetricAlarm gets for the "high" or "low" alarm."""
    high, target = side == "high", config["TargetValue"]
    periods = HIGH_PERIODS if high else LOW_PERIODS
    return {
        "AlarmName": name,
        "AlarmDescription": f"DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {policy_arn}.",
        "ActionsEnabled": True,
        "AlarmActions": [policy_arn],
        "EvaluationPeriods": periods,
        "DatapointsToAlarm": periods,
        "Threshold": target if high else round(target * LOW_SHARE, 12),
        "ComparisonOperator": "GreaterThanThreshold" if high else "LessThanThreshold",
        **_metric(resource_id, config),
    }


def predefined_metric(resource_id: str, kind: str) -> dict[str, Any]:
    name, statistic, period = PREDEFINED[kind]
    dimensions = metric_dimensions(resource_id)
    return {"Namespace": "AWS/SageMaker", "MetricName": name, "Dimensions": dimensions, "Statistic": statistic, "Period": period}


def _metric(resource_id: str, config: Mapping[str, Any]) -> dict[str, Any]:
    if "PredefinedMetricSpecification" in config:
        return predefined_metric(resource_id, config["PredefinedMetricSpecification"]["PredefinedMetricType"])
    custom = config["CustomizedMetricSpecification"]
    if custom.get("Metrics"):
        return {"Metrics": [_query(q) for q in custom["Metrics"]]}
    plain = {key: custom[key] for key in ("Namespace", "MetricName", "Statistic", "Unit") if key in custom}
    return {**plain, "Dimensions": custom.get("Dimensions", []), "Period": PERIOD_SECONDS}


def _query(query: Mapping[str, Any]) -> dict[str, Any]:
    """A TargetTrackingMetricDataQuery as a MetricDataQuery: a minute each."""
    made = {key: query[key] for key in ("Id", "Expression", "Label") if key in query}
    made["ReturnData"] = query.get("ReturnData", True)
    if "MetricStat" in query:
        stat = query["MetricStat"]
        made["MetricStat"] = {**{k: stat[k] for k in ("Metric", "Stat", "Unit") if k in stat}, "Period": PERIOD_SECONDS}
    elif "Expression" in query:
        made["Period"] = PERIOD_SECONDS
    return made
