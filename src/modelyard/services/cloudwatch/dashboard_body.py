"""What a dashboard's body must be: a JSON object of widgets. Pure.

Source: "Dashboard Body Structure and Syntax". What makes a dashboard useless is an error; what CloudWatch would draw without is a warning,
answered by PutDashboard beside the stored dashboard.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

TYPES = ("metric", "text", "log", "alarm", "explorer", "custom")
VIEWS = ("timeSeries", "singleValue", "bar", "pie", "gauge", "table", "heatmap")
MOST_WIDGETS, MOST_METRICS, COLUMNS, MOST_HEIGHT = 500, 500, 24, 1_000
_NEEDED = {"text": "markdown", "alarm": "alarms", "log": "query", "custom": "endpoint"}


@dataclass(frozen=True)
class Finding:
    path: str
    message: str
    fatal: bool = True


def check(text: str) -> list[Finding]:
    """Raises ValueError for what is no JSON object."""
    body = orjson.loads(text)
    if not isinstance(body, dict):
        raise ValueError("not an object")
    return list(_body(body))


def _body(body: dict[str, Any]) -> Iterator[Finding]:
    for name in sorted(set(body) - {"widgets", "start", "end", "periodOverride", "variables"}):
        yield Finding("/" + name, "Should NOT have additional properties", fatal=False)
    widgets = body.get("widgets")
    if widgets is None:
        yield Finding("", "Should have required property 'widgets'")
        return
    if not isinstance(widgets, list):
        yield Finding("/widgets", "Should be array")
        return
    if len(widgets) > MOST_WIDGETS:
        yield Finding("/widgets", f"Should NOT have more than {MOST_WIDGETS} items")
    if body.get("periodOverride", "auto") not in ("auto", "inherit"):
        yield Finding("/periodOverride", "Should be equal to one of the allowed values")
    for place, widget in enumerate(widgets):
        yield from _widget(widget, f"/widgets/{place}")


def _widget(widget: Any, path: str) -> Iterator[Finding]:
    if not isinstance(widget, dict):
        yield Finding(path, "Should be object")
        return
    kind = widget.get("type")
    if kind is None:
        yield Finding(path, "Should have required property 'type'")
    elif kind not in TYPES:
        yield Finding(path + "/type", "Should be equal to one of the allowed values")
    for name, low, high in (("x", 0, COLUMNS - 1), ("y", 0, None), ("width", 1, COLUMNS), ("height", 1, MOST_HEIGHT)):
        yield from _number(widget, name, low, high, path)
    properties = widget.get("properties")
    if properties is None:
        yield Finding(path, "Should have required property 'properties'")
    elif not isinstance(properties, dict):
        yield Finding(path + "/properties", "Should be object")
    elif kind == "metric":
        yield from _metric(properties, path + "/properties")
    elif kind in _NEEDED and _NEEDED[kind] not in properties:
        yield Finding(path + "/properties", f"Should have required property '{_NEEDED[kind]}'")


def _number(widget: dict[str, Any], name: str, low: int, high: int | None, path: str) -> Iterator[Finding]:
    if name not in widget:
        return
    value = widget[name]
    if isinstance(value, bool) or not isinstance(value, int):
        yield Finding(f"{path}/{name}", "Should be integer")
    elif value < low:
        yield Finding(f"{path}/{name}", f"Should be >= {low}")
    elif high is not None and value > high:
        yield Finding(f"{path}/{name}", f"Should be <= {high}")


def _metric(properties: dict[str, Any], path: str) -> Iterator[Finding]:
    if "metrics" not in properties and "annotations" not in properties:
        yield Finding(path, "Should have required property 'metrics'")
    if "view" in properties and properties["view"] not in VIEWS:
        yield Finding(path + "/view", "Should be equal to one of the allowed values")
    if "region" not in properties:
        yield Finding(path, "Should have required property 'region'", fatal=False)
    if "period" in properties and (isinstance(properties["period"], bool) or not isinstance(properties["period"], int)):
        yield Finding(path + "/period", "Should be integer")
    rows = properties.get("metrics", [])
    if not isinstance(rows, list):
        yield Finding(path + "/metrics", "Should be array")
        return
    if len(rows) > MOST_METRICS:
        yield Finding(path + "/metrics", f"Should NOT have more than {MOST_METRICS} items")
    for place, row in enumerate(rows):
        yield from _row(row, f"{path}/metrics/{place}")


def _row(row: Any, path: str) -> Iterator[Finding]:
    if not isinstance(row, list):
        yield Finding(path, "Should be array")
        return
    options = row[-1] if row and isinstance(row[-1], dict) else None
    names = row if options is None else row[:-1]
    if not names and "expression" not in (options or {}):
        yield Finding(path, "Should NOT have fewer than 1 items" if not row else "Should have required property 'expression'")
    for place, name in enumerate(names):
        if not isinstance(name, str):
            yield Finding(f"{path}/{place}", "Should be string")
    if names and names[0] != "..." and len(names) < 2:
        yield Finding(path, "Should NOT have fewer than 2 items")
