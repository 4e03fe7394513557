"""DescribeAlarms and DescribeAlarmsForMetric."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from modelyard.kernel.paging import decode_token, encode_token
from modelyard.kernel.records import Record
from modelyard.services.cloudwatch import api
from modelyard.services.cloudwatch.alarm import rule
from modelyard.services.cloudwatch.alarm.common import bad, composites, find
from modelyard.services.cloudwatch.alarm.lifecycle import ACTIONS, COMPOSITE, METRIC
from modelyard.services.cloudwatch.metric_store import canonical

PAGE = 50
_TYPED = {"MetricAlarm": METRIC.kind, "CompositeAlarm": COMPOSITE.kind}
_FAMILY = ("ChildrenOfAlarmName", "ParentsOfAlarmName")
_OWN = ("AlarmDescription", "AlarmRule", "ActionsSuppressor", "ActionsSuppressorWaitPeriod", "ActionsSuppressorExtensionPeriod")


@api.operation
def describe_alarms(call, request):
    family = [member for member in _FAMILY if member in request]
    if family:
        if others := sorted(set(request) - {family[0], "MaxRecords", "NextToken"}):
            raise bad(f"{family[0]} can be used with MaxRecords and NextToken only, not with {', '.join(others)}")
        found = [_brief(record, full=family[0] == _FAMILY[0]) for record in _relatives(call, family[0], request[family[0]])]
    else:
        if "AlarmNames" in request and "AlarmNamePrefix" in request:
            raise bad("AlarmNames and AlarmNamePrefix cannot both be specified")
        found = [(record.kind, description(record)) for record in _matching(call, request)]
    found.sort(key=lambda pair: pair[1]["AlarmName"])
    after = decode_token(request.get("NextToken"), api.error.InvalidNextToken, "")
    if after is not None:
        found = [pair for pair in found if pair[1]["AlarmName"] > after]
    most = request.get("MaxRecords", PAGE)
    page = found[:most]
    answer = {
        "MetricAlarms": [alarm for kind, alarm in page if kind == METRIC.kind],
        "CompositeAlarms": [alarm for kind, alarm in page if kind == COMPOSITE.kind],
    }
    return answer | ({"NextToken": encode_token(page[-1][1]["AlarmName"])} if len(found) > most else {})


@api.operation
def describe_alarms_for_metric(call, request):
    if "Statistic" in request and "ExtendedStatistic" in request:
        raise bad("Statistic and ExtendedStatistic cannot both be specified")
    wanted = canonical(request.get("Dimensions", []))
    members = [m for m in ("Namespace", "MetricName", "Statistic", "ExtendedStatistic", "Period", "Unit") if m in request]

    def fits(alarm: dict[str, Any]) -> bool:
        return canonical(alarm.get("Dimensions", [])) == wanted and all(alarm.get(member) == request[member] for member in members)

    found = call.store.list(METRIC.kind, call.account, call.region, order_by="name")
    return {"MetricAlarms": [description(record) for record in found if fits(record.spec["alarm"])]}


def description(record: Record) -> dict[str, Any]:
    """An alarm as DescribeAlarms shows it."""
    alarm, state = record.spec["alarm"], record.state
    made = {
        **({key: alarm[key] for key in _OWN if key in alarm} if record.kind == COMPOSITE.kind else _metric(alarm)),
        "AlarmName": record.name,
        "AlarmArn": record.arn,
        "AlarmConfigurationUpdatedTimestamp": record.spec["configured"],
        "ActionsEnabled": alarm.get("ActionsEnabled", True),
        **{member: alarm.get(member, []) for member in ACTIONS.values()},
        "StateValue": state["state"],
        "StateReason": state["reason"],
        "StateUpdatedTimestamp": state["updated"],
        "StateTransitionedTimestamp": state.get("transitioned", state["updated"]),
    }
    if state.get("reason_data"):
        made["StateReasonData"] = state["reason_data"]
    if state.get("suppressed"):
        made |= {"ActionsSuppressedBy": state["suppressed"]["by"], "ActionsSuppressedReason": state["suppressed"]["reason"]}
    return made


def _metric(alarm: dict[str, Any]) -> dict[str, Any]:
    made = {key: value for key, value in alarm.items() if key not in ("ActionsEnabled", *ACTIONS.values())}
    return made if "Metrics" in made else {"Dimensions": [], **made}


def _matching(call: Any, request: dict[str, Any]) -> Iterator[Record]:
    kinds = [_TYPED[one] for one in dict.fromkeys(request.get("AlarmTypes") or ["MetricAlarm"]) if one in _TYPED]
    if "AlarmNames" in request:
        names = dict.fromkeys(request["AlarmNames"])
        records = [one for name in names for kind in kinds if (one := call.store.get(kind, call.account, call.region, name)) is not None]
    else:
        status = request.get("StateValue")
        records = [one for kind in kinds for one in call.store.list(kind, call.account, call.region, status=status, order_by="name")]
    prefix, action = request.get("AlarmNamePrefix", ""), request.get("ActionPrefix")
    for record in records:
        if "StateValue" in request and record.state["state"] != request["StateValue"]:
            continue
        arns = [arn for member in ACTIONS.values() for arn in record.spec["alarm"].get(member, [])]
        if record.name.startswith(prefix) and (action is None or any(arn.startswith(action) for arn in arns)):
            yield record


def _relatives(call: Any, member: str, name: str) -> list[Record]:
    if member == "ParentsOfAlarmName":
        return [one for one in composites(call) if name in _children(one)]
    parent = call.store.get(COMPOSITE.kind, call.account, call.region, name)
    return [one for child in _children(parent) if (one := find(call, child)) is not None] if parent else []


def _children(composite: Record) -> dict[str, None]:
    return dict.fromkeys(rule.name_of(written) for written in rule.children(rule.parse(composite.spec["alarm"]["AlarmRule"])))


def _brief(record: Record, full: bool) -> tuple[str, dict[str, Any]]:
    made = {"AlarmName": record.name, "AlarmArn": record.arn}
    if full:
        made |= {"StateValue": record.state["state"], "StateUpdatedTimestamp": record.state["updated"]}
    return record.kind, made
