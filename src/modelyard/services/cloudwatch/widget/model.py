"""MetricWidget JSON → Widget. Pure.

Source: "GetMetricWidgetImage: Metric Widget Structure and Syntax". In `metrics`, `.` stands for what is above in the same place, `...`
for all that comes before what is given; the last item may be a table of options, and of an expression it is the only one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from modelyard.services.cloudwatch import labels

VIEWS = ("timeSeries", "singleValue", "bar", "pie", "gauge")
LATEST, LARGEST = 7_258_118_400.0, 2.0**360
LARGEST_SIDE, MOST_METRICS = 2_000, 500
_DURATION = re.compile(r"(-?)P(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")
_UNITS = (30 * 86_400, 7 * 86_400, 86_400, 3_600, 60, 1)
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


class WidgetError(Exception):
    """What is wrong with the JSON, in words for its writer."""


@dataclass(frozen=True)
class Row:
    """One item of `metrics`: a query of GetMetricData, and how it looks."""

    query: dict[str, Any]
    color: str | None = None
    right: bool = False
    visible: bool = True


@dataclass(frozen=True)
class Axis:
    low: float | None = None
    high: float | None = None
    label: str = ""


@dataclass(frozen=True)
class Widget:
    rows: list[Row]
    start: float
    end: float
    width: int = 600
    height: int = 400
    view: str = "timeSeries"
    title: str = ""
    stacked: bool = False
    sparkline: bool = False
    legend: str = "bottom"
    zone: str = "+0000"
    left: Axis = field(default_factory=Axis)
    right: Axis = field(default_factory=Axis)
    horizontal: list[Any] = field(default_factory=list)
    vertical: list[Any] = field(default_factory=list)
    alarms: list[str] = field(default_factory=list)
    """ARNs."""


def read(text: str, now: float) -> Widget:
    """Raises WidgetError."""
    try:
        given = orjson.loads(text)
    except ValueError as problem:
        raise WidgetError(f"MetricWidget is not valid JSON: {problem}") from None
    _is(given, dict, "MetricWidget")
    start, end = _time(given.get("start", "-PT3H"), now, "start"), _time(given.get("end", "P0D"), now, "end")
    if start >= end:
        raise WidgetError("start must be before end")
    if start < 0 or end > LATEST:
        raise WidgetError("start and end must be after 1970 and before 2200")
    view, axes, notes = given.get("view", "timeSeries"), _table(given, "yAxis"), _table(given, "annotations")
    if view not in VIEWS:
        raise WidgetError(f"view must be one of {', '.join(VIEWS)}; it is {view}")
    legend = _table(given, "legend").get("position", "bottom")
    if legend not in ("bottom", "right", "hidden"):
        raise WidgetError(f"legend.position must be bottom, right or hidden; it is {legend}")
    rows = _rows(given)
    if not rows and not notes:
        raise WidgetError("metrics must have at least one item")
    zone = given.get("timezone", "+0000")
    if not isinstance(zone, str) or not labels.is_zone(zone):
        raise WidgetError("timezone must be + or - and four digits, as in +0130")
    return Widget(
        rows, start, end, _side(given, "width", 600), _side(given, "height", 400), view, _text(given, "title"), given.get("stacked") is True,
        given.get("sparkline") is True, legend, zone, _axis(axes, "left"), _axis(axes, "right"),
        _lines(notes, "horizontal"), _lines(notes, "vertical"), _alarms(notes),
    )  # fmt: skip


def _rows(given: Mapping[str, Any]) -> list[Row]:
    rows = given.get("metrics", [])
    if not isinstance(rows, list) or len(rows) > MOST_METRICS:
        raise WidgetError(f"metrics must be an array of at most {MOST_METRICS} items")
    found: list[Row] = []
    above: list[str] = []
    for place, row in enumerate(rows):
        _is(row, list, f"metrics[{place}]")
        options = row[-1] if row and isinstance(row[-1], dict) else {}
        names = row[:-1] if options or (row and isinstance(row[-1], dict)) else row
        if not all(isinstance(name, str) for name in names):
            raise WidgetError(f"metrics[{place}] must have texts, and options at the end")
        if not names and "expression" not in options:
            raise WidgetError(f"metrics[{place}] has neither a metric nor an expression")
        if names:
            above = _spelled_out(names, above, place)
        found.append(_row(above if names else [], options, given, place))
    return _labelled(found)


def _labelled(rows: list[Row]) -> list[Row]:
    """Rows without a label that share the name of their metric are called by what tells them apart."""
    plain = [row for row in rows if "MetricStat" in row.query and "Label" not in row.query]
    names = {row.query["MetricStat"]["Metric"]["MetricName"] for row in plain}
    for name in names:
        mine = [row for row in plain if row.query["MetricStat"]["Metric"]["MetricName"] == name]
        sets = [{d["Name"]: d["Value"] for d in row.query["MetricStat"]["Metric"]["Dimensions"]} for row in mine]
        telling = [key for key in dict.fromkeys(key for one in sets for key in one) if len({one.get(key) for one in sets}) > 1]
        stats = {row.query["MetricStat"]["Stat"] for row in mine}
        for row, dimensions in zip(mine, sets, strict=True) if len(mine) > 1 else ():
            words = [dimensions[key] for key in telling if key in dimensions]
            words += [row.query["MetricStat"]["Stat"]] if len(stats) > 1 else []
            row.query["Label"] = " ".join([*([name] if len(names) > 1 or not words else []), *words])
    return rows


def _spelled_out(names: Sequence[str], above: Sequence[str], place: int) -> list[str]:
    if names[0] == "...":
        rest = list(names[1:])
        if len(rest) > len(above):
            raise WidgetError(f"metrics[{place}]: there is nothing above that ... can stand for")
        names = [*above[: len(above) - len(rest)], *rest]
    full = []
    for number, name in enumerate(names):
        if name == "." and number >= len(above):
            raise WidgetError(f"metrics[{place}]: there is nothing above that . can stand for")
        full.append(above[number] if name == "." else name)
    if len(full) < 2 or len(full) % 2:
        raise WidgetError(f"metrics[{place}] must have a namespace, a metric name, and pairs of dimension name and value")
    return full


def _row(names: Sequence[str], options: Mapping[str, Any], given: Mapping[str, Any], place: int) -> Row:
    query: dict[str, Any] = {"Id": options.get("id") or f"unnamed_{place}", "ReturnData": options.get("visible", True) is not False}
    period = options.get("period", given.get("period", 300))
    if not isinstance(period, int) or period < 1:
        raise WidgetError(f"metrics[{place}]: period must be a whole number of seconds")
    if "label" in options:
        query["Label"] = str(options["label"])
    if names:
        dimensions = [{"Name": name, "Value": value} for name, value in zip(names[2::2], names[3::2], strict=True)]
        metric = {"Namespace": names[0], "MetricName": names[1], "Dimensions": dimensions}
        query["MetricStat"] = {"Metric": metric, "Period": period, "Stat": str(options.get("stat", given.get("stat", "Average")))}
    else:
        query |= {"Expression": str(options["expression"]), "Period": period}
    return Row(query, _color(options), options.get("yAxis") == "right", query["ReturnData"])


def _lines(notes: Mapping[str, Any], name: str) -> list[Any]:
    """Each line is a table, each band a pair of them; times of vertical ones are epoch seconds then."""
    given = notes.get(name, [])
    _is(given, list, f"annotations.{name}")
    found: list[Any] = []
    for line in given:
        pair = line if isinstance(line, list) else [line]
        if not 1 <= len(pair) <= 2 or not all(isinstance(one, dict) and "value" in one for one in pair):
            raise WidgetError(f"annotations.{name}: each line has a value, each band is a pair of lines")
        made = [{**one, "color": _color(one), "label": str(one.get("label", "")), "value": _place(one["value"], name)} for one in pair]
        found.append(made if len(made) == 2 else made[0])
    return found


def _alarms(notes: Mapping[str, Any]) -> list[str]:
    given = notes.get("alarms", [])
    if not isinstance(given, list) or not all(isinstance(arn, str) for arn in given):
        raise WidgetError("annotations.alarms must be an array of ARNs")
    return given


def _place(value: Any, name: str) -> float:
    if name == "horizontal":
        if not _is_number(value):
            raise WidgetError("annotations.horizontal: value must be a number")
        return float(value)
    return _instant(value, "annotations.vertical")


def _time(text: Any, now: float, name: str) -> float:
    found = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return _instant(text, name)
    length = sum(int(number or 0) * unit for number, unit in zip(found.groups()[1:], _UNITS, strict=True))
    return now - length if found[1] else now + length


def _instant(text: Any, name: str) -> float:
    try:
        when = datetime.fromisoformat(text.replace("Z", "+00:00"))
        return (when if when.tzinfo else when.replace(tzinfo=labels.zone_of("+0000"))).timestamp()
    except (AttributeError, TypeError, ValueError, OverflowError):
        raise WidgetError(f"{name} must be a time such as 2025-01-31T06:00:00Z, or a duration such as -PT3H") from None


def _axis(axes: Mapping[str, Any], side: str) -> Axis:
    given = _table(axes, side)
    for name in ("min", "max"):
        if given.get(name) is not None and not _is_number(given[name]):
            raise WidgetError(f"yAxis.{side}.{name} must be a number")
    return Axis(given.get("min"), given.get("max"), str(given.get("label", "")))


def _side(given: Mapping[str, Any], name: str, default: int) -> int:
    value = given.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST_SIDE:
        raise WidgetError(f"{name} must be a whole number between 1 and {LARGEST_SIDE}")
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= LARGEST


def _color(given: Mapping[str, Any]) -> str | None:
    color = given.get("color")
    return color if isinstance(color, str) and _COLOR.fullmatch(color) else None


def _text(given: Mapping[str, Any], name: str) -> str:
    return str(given.get(name, "") or "")


def _table(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = given.get(name) or {}
    _is(value, dict, name)
    return value


def _is(value: Any, kind: type, name: str) -> None:
    if not isinstance(value, kind):
        raise WidgetError(f"{name} must be {'an object' if kind is dict else 'an array'}")
