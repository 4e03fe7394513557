"""Figures beside those of every invocation (serving/meter.py): of one container of a pipeline, of models loaded and unloaded.

In memory, handed to CloudWatch once a second. Names, units and dimensions are those of "Monitor Amazon SageMaker AI with CloudWatch":
inference pipeline, multi-container and multi-model endpoint metrics.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modelyard.serving.meter import NAMESPACE
from modelyard.serving.routes import RouteTable, Variant

INSTANCES = "/aws/sagemaker/Endpoints"
"""The namespace of what belongs to an instance."""

Key = tuple[str, str, str, str, str, str, str, str]
"""(account, region, namespace, endpoint, variant, container, metric, unit)"""


class Notes:
    """`add`, `took` and `rotate` on the gateway's loop, `flush` on a thread."""

    def __init__(self, put: Callable[[str, str, str, list[dict[str, Any]]], None], now: Callable[[], float]) -> None:
        self._put, self._now = put, now
        self._open: dict[Key, dict[int, int]] = {}
        self._closed: list[dict[Key, dict[int, int]]] = []

    def add(self, table: RouteTable, variant: Variant, name: str, value: int, container: str = "", namespace: str = NAMESPACE) -> None:
        """One sample of a count."""
        values = self._values(table, variant, container, name, "None", namespace)
        values[value] = values.get(value, 0) + 1

    def took(self, table: RouteTable, variant: Variant, name: str, seconds: float, container: str = "") -> None:
        """One sample of a time, in microseconds."""
        values, us = self._values(table, variant, container, name, "Microseconds", NAMESPACE), int(seconds * 1e6)
        drop = max(0, us.bit_length() - 6)  # its first six bits (steps of 3 % or less), so that a busy second stays small
        us = us >> drop << drop
        values[us] = values.get(us, 0) + 1

    def rotate(self) -> None:
        if self._open:
            self._closed.append(self._open)
            self._open = {}

    def flush(self) -> None:
        while self._closed:
            at = self._now()
            for (account, region, namespace, endpoint, variant, container, name, unit), values in self._closed.pop(0).items():
                named = {"EndpointName": endpoint, "VariantName": variant, **({"ContainerName": container} if container else {})}
                datum = {
                    "MetricName": name,
                    "Dimensions": [{"Name": k, "Value": v} for k, v in named.items()],
                    "Values": [float(v) for v in values],
                    "Counts": list(values.values()),
                    "Unit": unit,
                    "Timestamp": at,
                }
                self._put(account, region, namespace, [datum])

    def _values(self, table: RouteTable, variant: Variant, container: str, name: str, unit: str, namespace: str) -> dict[int, int]:
        key = (table.account, table.region, namespace, table.endpoint, variant.name, container, name, unit)
        found = self._open.get(key)
        if found is None:
            found = self._open[key] = {}
        return found
