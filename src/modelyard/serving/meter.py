"""Counts and latencies of invocations: in memory, handed over once a second.

Metric names, units and dimensions are those of "Monitor Amazon SageMaker AI with CloudWatch", endpoint
invocation metrics: Invocations, Invocation4XXErrors, Invocation5XXErrors, InvocationModelErrors (counts) and
ModelLatency, OverheadLatency (microseconds) by EndpointName and VariantName.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

NAMESPACE = "AWS/SageMaker"

Key = tuple[str, str, str, str]
"""(account, region, endpoint, variant)"""


@dataclass(slots=True)
class Cell:
    """One variant in one second."""

    invocations: int = 0
    errors_4xx: int = 0
    errors_5xx: int = 0
    model_errors: int = 0
    model_us: dict[int, int] = field(default_factory=dict)
    overhead_us: dict[int, int] = field(default_factory=dict)


class Meter:
    """`put(account, region, namespace, data)` is CloudWatch's; `now` is platform time."""

    def __init__(self, put: Callable[[str, str, str, list[dict[str, Any]]], None], now: Callable[[], float]) -> None:
        self._put, self._now = put, now
        self._cells: dict[Key, Cell] = {}
        self._closed: dict[Key, Cell] = {}

    def cell(self, account: str, region: str, endpoint: str, variant: str) -> Cell:
        key = (account, region, endpoint, variant)
        found = self._cells.get(key)
        if found is None:
            found = self._cells[key] = Cell()
        return found

    def flush(self) -> None:
        """Hands over what was counted up to the flush before: a cell that the loop holds just now is left alone.
        What cannot be stored is dropped with the exception."""
        cells, self._closed, self._cells = self._closed, self._cells, {}
        at = self._now()
        for (account, region, endpoint, variant), cell in cells.items():
            dimensions = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}]
            self._put(account, region, NAMESPACE, [{**d, "Dimensions": dimensions, "Timestamp": at} for d in _data(cell)])


def count(latencies: dict[int, int], seconds: float) -> None:
    """Adds a latency in microseconds, kept to its first six bits (steps of 3 % or less), so that a busy second stays a
    small histogram."""
    us = int(seconds * 1e6)
    drop = us.bit_length() - 6
    if drop > 0:
        us = us >> drop << drop
    latencies[us] = latencies.get(us, 0) + 1


def _data(cell: Cell) -> list[dict[str, Any]]:
    data = [
        _sum("Invocations", 1, cell.invocations),
        _sum("Invocation4XXErrors", cell.errors_4xx, cell.invocations),
        _sum("Invocation5XXErrors", cell.errors_5xx, cell.invocations),
        _sum("InvocationModelErrors", cell.model_errors, cell.invocations),
    ]
    for name, latencies in (("ModelLatency", cell.model_us), ("OverheadLatency", cell.overhead_us)):
        if latencies:
            values = sorted(latencies)
            data.append({"MetricName": name, "Values": [float(v) for v in values], "Counts": [latencies[v] for v in values], "Unit": "Microseconds"})
    return data


def _sum(name: str, hits: int, samples: int) -> dict[str, Any]:
    """A count per request: 1 or 0 for each, so that Average is a rate and Sum a count."""
    if name == "Invocations":
        return {"MetricName": name, "Values": [1.0], "Counts": [samples], "Unit": "None"}
    pairs = [(v, n) for v, n in ((1.0, hits), (0.0, samples - hits)) if n]
    return {"MetricName": name, "Values": [v for v, _ in pairs], "Counts": [n for _, n in pairs], "Unit": "None"}
