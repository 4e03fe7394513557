"""Alarms on a widget: the threshold as a line in the colour of the state, and, where the widget names no metric, what the alarm looks at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from modelyard.services.cloudwatch.widget.model import Row, Widget, WidgetError

KIND = "metric-alarm"
COLORS = {"ALARM": "#d13212", "OK": "#1d8102", "INSUFFICIENT_DATA": "#687078"}
_SIGNS = {
    "GreaterThanOrEqualToThreshold": ">=",
    "GreaterThanThreshold": ">",
    "LessThanThreshold": "<",
    "LessThanOrEqualToThreshold": "<=",
}


def with_alarms(widget: Widget, call: Any) -> Widget:
    """Raises WidgetError for an alarm that is not there, or has no threshold to draw."""
    for arn in widget.alarms:
        record = call.store.by_arn(arn)
        if record is None or record.account != call.account or record.kind != KIND:
            raise WidgetError(f"annotations.alarms: there is no metric alarm {arn}")
        widget = _with(widget, record.name, record.spec["alarm"], record.state.get("state", "INSUFFICIENT_DATA"))
    return widget


def _with(widget: Widget, name: str, alarm: Mapping[str, Any], state: str) -> Widget:
    sign, threshold = _SIGNS.get(alarm["ComparisonOperator"], ""), alarm.get("Threshold")
    lines = [] if threshold is None else [{"value": threshold, "label": f"{name} ({state}) {sign} {threshold:g}", "color": COLORS[state]}]
    return replace(widget, horizontal=[*widget.horizontal, *lines], rows=widget.rows or _rows(alarm), title=widget.title or name)


def _rows(alarm: Mapping[str, Any]) -> list[Row]:
    if "Metrics" in alarm:
        return [Row(dict(query), visible=query.get("ReturnData", True)) for query in alarm["Metrics"]]
    metric = {key: alarm[key] for key in ("Namespace", "MetricName", "Dimensions") if key in alarm}
    stat = {"Metric": metric, "Period": alarm["Period"], "Stat": alarm.get("Statistic") or alarm["ExtendedStatistic"]}
    return [Row({"Id": "alarm", "MetricStat": stat | ({"Unit": alarm["Unit"]} if "Unit" in alarm else {})})]
