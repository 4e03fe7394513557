"""Ended requests into metrics and logs, and the gauges of the queue. By one engine at a time.

A batch of ended requests has a number; CloudWatch's store takes each number once, so a report that a crash repeats counts
once. Gauges are published every 10 s of platform time, by EndpointName alone, as AWS does each minute.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from modelyard.serving.asynchronous.queue import Done, Queue
from modelyard.serving.asynchronous.verdict import NAMESPACE, data_of
from modelyard.serving.routes import RouteTable

GAUGE_SECONDS, SHORTEST_REAL_SECONDS = 10.0, 1.0


class Reporter:
    """`put` is `platform.metrics.put`, `append` is `platform.logs.append`."""

    def __init__(self, queue: Queue, put: Callable[..., None], append: Callable[..., Any], clock: Any, folder: Path) -> None:
        self._queue, self._put, self._append, self._clock, self._folder = queue, put, append, clock, folder
        self._lead: int | None = None
        self._gauged = (float("-inf"), float("-inf"))

    def once(self, tables: Mapping[str, RouteTable]) -> None:
        """On a thread. Does nothing where another engine reports."""
        if self._leads():
            while self._batch():
                pass
            self._gauges(tables)

    def _leads(self) -> bool:
        if self._lead is None:
            fd = os.open(self._folder / "reporter.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._lead = fd
            except BlockingIOError:
                os.close(fd)
        return self._lead is not None

    def _batch(self) -> bool:
        found = self._queue.batch()
        if found is None:
            return False
        number, done = found
        self._log(done)
        for (account, region), data in data_of(done).items():
            self._put(account, region, NAMESPACE, data, source=(f"async {account} {region}", [number] * len(data)))
        self._queue.drop(number)
        return True

    def _log(self, done: list[Done]) -> None:
        """`<variant>/<instance>/data-log`, where AWS tells what became of asynchronous requests."""
        lines: dict[tuple[str, str, str, str], list[tuple[int, str]]] = {}
        for one in done:
            result = one.result
            variant, instance = result["variant"] or "AllTraffic", (result["replica"] or "none").rpartition("-")[0][:17] or "none"
            place = (one.account, one.region, f"/aws/sagemaker/Endpoints/{result['endpoint']}", f"{variant}/i-{instance}/data-log")
            lines.setdefault(place, []).append((int(result["at"] * 1000), result["line"]))
        for place, events in lines.items():
            self._append(*place, events)

    def _gauges(self, tables: Mapping[str, RouteTable]) -> None:
        now, real = self._clock.now(), monotonic()
        if not tables or now - self._gauged[0] < GAUGE_SECONDS or (self._clock.speed and real - self._gauged[1] < SHORTEST_REAL_SECONDS):
            return
        self._gauged = (now, real)
        backlog = self._queue.backlog()
        for key, table in tables.items():
            waiting, oldest = backlog.get(key, (0, now))
            self._put(table.account, table.region, NAMESPACE, gauges(table, waiting, max(0.0, now - oldest), now))


def gauges(table: RouteTable, backlog: int, age_s: float, now: float) -> list[dict[str, Any]]:
    """The four gauges of an endpoint's queue. Where there is no instance, the whole backlog counts as one instance's, so that a
    policy on it can scale out from zero."""
    instances = sum(len(v.replicas) for v in table.variants)
    values = (
        ("ApproximateBacklogSize", "Count", float(backlog)),
        ("ApproximateBacklogSizePerInstance", "Count", backlog / max(1, instances)),
        ("ApproximateAgeOfOldestRequest", "Seconds", age_s),
        ("HasBacklogWithoutCapacity", "Count", float(backlog > 0 and instances == 0)),
    )
    dimensions = [{"Name": "EndpointName", "Value": table.endpoint}]
    return [{"MetricName": n, "Dimensions": dimensions, "Timestamp": now, "Values": [v], "Counts": [1], "Unit": u} for n, u, v in values]
