"""Dynamic labels: `${MAX}`, `${LAST_TIME}`, `${PROP('Dim.Host')}` … in the label of a query.

Source: "Use dynamic labels" of CloudWatch's guide. A value is derived from the data points of the asked range; what is not known is
left as it stands. Of an expression that gives several time series each gets its own values.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from modelyard.services.cloudwatch.expressions import Series

_LIVE = re.compile(r"\$\{\s*(?:(?P<name>[A-Z_]+)|PROP\(\s*(['\"])(?P<prop>.+?)\2\s*\))\s*\}")
_ZONE = re.compile(r"([+-])(\d{2})(\d{2})")
_VALUES: dict[str, Callable[[list[float]], float]] = {
    "AVG": lambda values: sum(values) / len(values),
    "SUM": sum,
    "MIN": min,
    "MAX": max,
    "FIRST": lambda values: values[0],
    "LAST": lambda values: values[-1],
    "FIRST_LAST_RANGE": lambda values: values[-1] - values[0],
    "MIN_MAX_RANGE": lambda values: max(values) - min(values),
}


def defaults(queries: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What series of one metric name that have no label are called, by the id of their query: by the statistic and the period too, where
    these tell them apart."""
    alike: dict[str, list[Mapping[str, Any]]] = {}
    for query in queries:
        if "MetricStat" in query and not query.get("Label") and query.get("ReturnData", True):
            alike.setdefault(query["MetricStat"]["Metric"].get("MetricName", ""), []).append(query)
    made = {}
    for name, group in alike.items():
        differing = [part for part in ("Stat", "Period") if len({query["MetricStat"][part] for query in group}) > 1]
        made |= {query["Id"]: " ".join([name, *(str(query["MetricStat"][part]) for part in differing)]) for query in group}
    return made


def dynamic(label: str, series: Series, now: float, zone: str = "+0000", more: Mapping[str, str] | None = None) -> str:
    """`label` with its live values. `more` are properties that hold for all (AccountId, Region)."""
    if "${" not in label:
        return label

    def live(found: re.Match[str]) -> str:
        value = _property(found["prop"], series, more or {}) if found["prop"] else _value(found["name"], series, now, zone)
        return found[0] if value is None else value

    return _LIVE.sub(live, label)


def is_zone(text: str) -> bool:
    return _ZONE.fullmatch(text) is not None


def zone_of(text: str) -> timezone:
    found = _ZONE.fullmatch(text)
    if found is None:
        return UTC
    minutes = int(found[2]) * 60 + int(found[3])
    return timezone(timedelta(minutes=minutes if found[1] == "+" else -minutes))


def _property(name: str, series: Series, more: Mapping[str, str]) -> str | None:
    known = {**more, **series.origin}
    if name == "Period":
        return f"{series.period:g}"
    return known.get(name, "" if name.startswith("Dim.") else None)


def _value(name: str, series: Series, now: float, zone: str) -> str | None:
    if name == "LABEL":
        return series.label
    if name == "DATAPOINT_COUNT":
        return str(len(series.points))
    pairs = sorted(series.points.items())
    if name in _VALUES:
        return _number(_VALUES[name]([value for _, value in pairs])) if pairs else "--"
    which, _, kind = name.partition("_")
    if name in ("FIRST_LAST_TIME_RANGE", "MIN_MAX_TIME_RANGE"):
        first, last = name.split("_")[:2]
        return _duration(abs(_place(last, pairs) - _place(first, pairs))) if pairs else "--"
    if which in ("FIRST", "LAST", "MIN", "MAX") and kind in ("TIME", "TIME_RELATIVE"):
        if not pairs:
            return "--"
        at = _place(which, pairs)
        return (
            _duration(abs(now - at)) if kind == "TIME_RELATIVE" else datetime.fromtimestamp(at, zone_of(zone)).strftime("%Y-%m-%d %H:%M:%S")
        )
    return None


def _place(which: str, pairs: list[tuple[float, float]]) -> float:
    if which in ("FIRST", "LAST"):
        return pairs[0 if which == "FIRST" else -1][0]
    return (min if which == "MIN" else max)(pairs, key=lambda pair: pair[1])[0]


def _number(value: float) -> str:
    return f"{value:.10g}"


def _duration(seconds: float) -> str:
    left, parts = round(seconds), []
    for size, sign in ((86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{sign}")
    return " ".join(parts[:2]) or "0s"
