"""What alarms tell others: the JSON that goes to SNS and Lambda, the details of EventBridge events, and history data."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from modelyard.kernel.records import Record
from modelyard.services.cloudwatch.alarm.texts import stamp

LONGEST_SUBJECT = 100
_STATISTICS = {"SampleCount": "SAMPLE_COUNT", "Average": "AVERAGE", "Sum": "SUM", "Minimum": "MINIMUM", "Maximum": "MAXIMUM"}

State = Mapping[str, Any]


def subject(record: Record, new: State) -> str:
    text = f'{new["state"]}: "{record.name}" in {region_name(record.region)}'
    return text if len(text) <= LONGEST_SUBJECT else text[: LONGEST_SUBJECT - 3] + "..."


def body(record: Record, old: State, new: State, arn: str) -> str:
    made = _lambda_event(record, old, new) if arn.split(":")[2:3] == ["lambda"] else _notification(record, old, new)
    return orjson.dumps(made).decode()


# --- SNS -------------------------------------------------------------------------------------------------


def _notification(record: Record, old: State, new: State) -> dict[str, Any]:
    alarm = record.spec["alarm"]
    made = {
        "AlarmName": record.name,
        "AlarmDescription": alarm.get("AlarmDescription"),
        "AWSAccountId": record.account,
        "AlarmConfigurationUpdatedTimestamp": stamp(record.spec["configured"]),
        "NewStateValue": new["state"],
        "NewStateReason": new["reason"],
        "StateChangeTime": stamp(new["updated"]),
        "Region": region_name(record.region),
        "AlarmArn": record.arn,
        "OldStateValue": old["state"],
        "OKActions": alarm.get("OKActions", []),
        "AlarmActions": alarm.get("AlarmActions", []),
        "InsufficientDataActions": alarm.get("InsufficientDataActions", []),
        "ActionExecutedAfterMuteWindow": False,  # no mute rules
    }
    if "AlarmRule" not in alarm:
        return {**made, "Trigger": _trigger(alarm)}
    children = orjson.loads(new.get("reason_data") or "{}").get("triggeringAlarms", []) if _is_json(new.get("reason_data")) else []
    made["AlarmRule"] = alarm["AlarmRule"]
    made["TriggeringChildren"] = [
        {"Arn": child["arn"], "State": {"Value": child["state"]["value"], "Timestamp": child["state"]["timestamp"]}} for child in children
    ]
    return made


def _is_json(text: str | None) -> bool:
    try:
        return isinstance(orjson.loads(text or "{}"), dict)
    except orjson.JSONDecodeError:
        return False


def _trigger(alarm: Mapping[str, Any]) -> dict[str, Any]:
    trigger: dict[str, Any] = {}
    if "Metrics" in alarm:
        trigger["Metrics"] = [_trigger_query(query) for query in alarm["Metrics"]]
    else:
        trigger = {"MetricName": alarm["MetricName"], "Namespace": alarm["Namespace"]}
        if "ExtendedStatistic" in alarm:
            trigger |= {"StatisticType": "ExtendedStatistic", "ExtendedStatistic": alarm["ExtendedStatistic"]}
        else:
            trigger |= {"StatisticType": "Statistic", "Statistic": _STATISTICS[alarm["Statistic"]]}
        trigger |= {"Unit": alarm.get("Unit"), "Dimensions": _pairs(alarm.get("Dimensions", [])), "Period": int(alarm["Period"])}
    trigger["EvaluationPeriods"] = alarm["EvaluationPeriods"]
    if "DatapointsToAlarm" in alarm:
        trigger["DatapointsToAlarm"] = alarm["DatapointsToAlarm"]
    return trigger | {
        "ComparisonOperator": alarm["ComparisonOperator"],
        "Threshold": float(alarm["Threshold"]),
        "TreatMissingData": alarm.get("TreatMissingData", "missing"),
        "EvaluateLowSampleCountPercentile": alarm.get("EvaluateLowSampleCountPercentile", ""),
    }


def _trigger_query(query: Mapping[str, Any]) -> dict[str, Any]:
    made = {key: query[key] for key in ("Expression", "Id", "Label", "Period") if key in query}
    if "MetricStat" in query:
        stat = query["MetricStat"]
        metric = stat["Metric"]
        made["MetricStat"] = {
            "Metric": {
                "Dimensions": _pairs(metric.get("Dimensions", [])),
                "MetricName": metric.get("MetricName"),
                "Namespace": metric.get("Namespace"),
            },
            "Period": stat["Period"],
            "Stat": stat["Stat"],
        } | ({"Unit": stat["Unit"]} if "Unit" in stat else {})
    return {**made, "ReturnData": query.get("ReturnData", True)}


def _pairs(dimensions: list[Mapping[str, str]]) -> list[dict[str, str]]:
    return [{"value": d["Value"], "name": d["Name"]} for d in dimensions]


# --- EventBridge and Lambda ------------------------------------------------------------------------------


def state_change(record: Record, old: State, new: State) -> dict[str, Any]:
    """The event `CloudWatch Alarm State Change`, without the envelope's id, time and account."""
    detail = {
        "alarmName": record.name,
        "state": _told(new),
        "previousState": _told(old),
        "configuration": _event_configuration(record),
    }
    return {"source": "aws.cloudwatch", "detail-type": "CloudWatch Alarm State Change", "resources": [record.arn], "detail": detail}


def configuration_change(record: Record, operation: str, at: str) -> dict[str, Any]:
    detail = {
        "alarmName": record.name,
        "operation": operation,
        "state": {**_told(record.state), "timestamp": at},
        "configuration": {"alarmName": record.name, **_event_configuration(record)},
    }
    return {"source": "aws.cloudwatch", "detail-type": "CloudWatch Alarm Configuration Change", "resources": [record.arn], "detail": detail}


def _lambda_event(record: Record, old: State, new: State) -> dict[str, Any]:
    return {
        "source": "aws.cloudwatch",
        "alarmArn": record.arn,
        "accountId": record.account,
        "time": stamp(new["updated"]),
        "region": record.region,
        "alarmData": state_change(record, old, new)["detail"],
    }


def _told(state: State) -> dict[str, Any]:
    told = {"value": state["state"], "reason": state["reason"], "timestamp": stamp(state["updated"])}
    if state.get("reason_data"):
        told["reasonData"] = state["reason_data"]
    if state.get("suppressed"):
        told["actionsSuppressedBy"] = state["suppressed"]["by"]
        told["actionsSuppressedReason"] = state["suppressed"]["reason"]
    return told


def _event_configuration(record: Record) -> dict[str, Any]:
    alarm = record.spec["alarm"]
    made: dict[str, Any] = {"description": alarm["AlarmDescription"]} if "AlarmDescription" in alarm else {}
    if "AlarmRule" in alarm:
        names = ("ActionsSuppressor", "ActionsSuppressorWaitPeriod", "ActionsSuppressorExtensionPeriod")
        made |= {_camel(key): alarm[key] for key in ("AlarmRule", *names) if key in alarm}
        return made
    return {**made, "metrics": [_event_query(query) for query in queries_of(alarm)]}


def _event_query(query: Mapping[str, Any]) -> dict[str, Any]:
    made = {_camel(key): query[key] for key in ("Id", "Expression", "Label") if key in query}
    if "MetricStat" in query:
        stat, metric = query["MetricStat"], query["MetricStat"]["Metric"]
        dimensions = {d["Name"]: d["Value"] for d in metric.get("Dimensions", [])}
        inner = {"dimensions": dimensions, "name": metric.get("MetricName"), "namespace": metric.get("Namespace")}
        made["metricStat"] = {"metric": inner, "period": stat["Period"], "stat": stat["Stat"]}
    return {**made, "returnData": query.get("ReturnData", True)}


def queries_of(alarm: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The queries of a metric alarm; a single metric is one query with the Id `m1`."""
    if "Metrics" in alarm:
        return list(alarm["Metrics"])
    metric = {key: alarm[key] for key in ("Namespace", "MetricName", "Dimensions") if key in alarm}
    stat = {"Metric": metric, "Period": alarm["Period"], "Stat": alarm.get("Statistic") or alarm["ExtendedStatistic"]}
    if "Unit" in alarm:
        stat["Unit"] = alarm["Unit"]
    return [{"Id": "m1", "MetricStat": stat, "ReturnData": True}]


# --- history ---------------------------------------------------------------------------------------------


def configuration(record: Record) -> dict[str, Any]:
    """An alarm as history data has it: members in camel case."""
    made = {_camel(key): _camelled(value) for key, value in record.spec["alarm"].items()}
    made["alarmArn"] = record.arn
    made["alarmConfigurationUpdatedTimestamp"] = stamp(record.spec["configured"])
    made["stateValue"], made["stateUpdatedTimestamp"] = record.state["state"], stamp(record.state["updated"])
    for key, name in (("OKActions", "okactions"), ("AlarmActions", "alarmActions"), ("InsufficientDataActions", "insufficientDataActions")):
        made.pop(_camel(key), None)
        made[name] = record.spec["alarm"].get(key, [])
    made["actionsEnabled"] = record.spec["alarm"].get("ActionsEnabled", True)
    return made


def _camel(name: str) -> str:
    return name[:1].lower() + name[1:]


def _camelled(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_camel(key): _camelled(one) for key, one in value.items()}
    return [_camelled(one) for one in value] if isinstance(value, list) else value


@cache
def _regions() -> dict[str, str]:
    import botocore

    partitions = orjson.loads((Path(botocore.__file__).parent / "data/partitions.json").read_bytes())["partitions"]
    return {name: one.get("description", name) for partition in partitions for name, one in partition["regions"].items()}


def region_name(region: str) -> str:
    """`US East (N. Virginia)`."""
    return _regions().get(region, region)
