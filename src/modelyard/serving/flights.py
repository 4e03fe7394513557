"""ConcurrentRequestsPerModel, and ConcurrentRequestsPerCopy of inference components: how many calls an instance has under way, its share of those that wait for one included.

The largest number between two looks, a look each second; while nothing is under way a zero each 10 s of platform time, so that an endpoint
nobody calls scales in. One sample per instance, by EndpointName and VariantName, and by InstanceId with enhanced metrics. What this
gateway sees: several gateways tell a share each. Not of serverless variants (AWS has none of them there) nor of asynchronous endpoints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from modelyard.serving.meter import NAMESPACE
from modelyard.serving.replicas import Replicas
from modelyard.serving.routes import Replica, RouteTable, Variant, instance_id

NAME = "ConcurrentRequestsPerModel"
IDLE_SECONDS = 10.0

Look = tuple[RouteTable, Variant, list[tuple[str, float]]]
"""(table, variant, (replica id, calls under way) of each instance)."""


class Flights:
    """`rotate` on the gateway's loop, `flush` on a thread."""

    def __init__(self, put: Callable[..., None], now: Callable[[], float]) -> None:
        self._put, self._now = put, now
        self._looks: list[Look] = []
        self._told: dict[tuple[str, str, str], float] = {}

    def rotate(self, tables: Iterable[RouteTable], replicas: Replicas) -> None:
        now, told = self._now(), {}
        for table in tables:
            for variant in table.every if table.asynchronous is None else ():
                if variant.kind != "instance" or not variant.replicas:
                    continue
                place = (table.key, variant.name, variant.fleet)
                told[place] = self._told.get(place, float("-inf"))
                waiting = replicas.waiting(table, variant) / len(variant.replicas)
                samples = [(r.id, _peak(r, replicas) + waiting) for r in variant.replicas]
                if any(value for _, value in samples) or now - told[place] >= IDLE_SECONDS:
                    told[place] = now
                    self._looks.append((table, variant, samples))
        self._told = told

    def flush(self) -> None:
        at, looks = self._now(), self._looks
        self._looks = []
        for table, variant, samples in looks:
            self._put(table.account, table.region, NAMESPACE, _data(table, variant, samples, at))


def _peak(replica: Replica, replicas: Replicas) -> int:
    pools = (replicas.pool(socket) for socket in (replica.socket, *(stage.socket for stage in replica.stages)))
    return max((pool.take_peak() for pool in pools if pool is not None), default=0)


def _data(table: RouteTable, variant: Variant, samples: list[tuple[str, float]], at: float) -> list[dict[str, Any]]:
    plain = [{"Name": "EndpointName", "Value": table.endpoint}, {"Name": "VariantName", "Value": variant.name}]
    name = NAME
    if variant.component:
        plain, name = [{"Name": "InferenceComponentName", "Value": variant.component}], "ConcurrentRequestsPerCopy"
    rows = [(plain, [value for _, value in samples])]
    if variant.enhanced and not variant.component:
        rows += [([*plain, {"Name": "InstanceId", "Value": instance_id(replica)}], [value]) for replica, value in samples]
    return [
        {"MetricName": name, "Dimensions": dimensions, "Timestamp": at, "Values": values, "Counts": [1] * len(values), "Unit": "None"}
        for dimensions, values in rows
    ]
