"""ConcurrentRequestsPerModel, and ConcurrentRequestsPerCopy of inference components: how many calls an instance has under way, its share of those that wait for one included.

The largest number between two looks, a look each second; while nothing is under way a zero each 10 s of platform time, so that an endpoint
nobody calls scales in. One sample per instance, by EndpointName and VariantName, and by InstanceId with enhanced metrics. Not of
serverless variants (AWS has none of them there) nor of asynchronous endpoints.

Of several gateways one tells for all, the one that holds the lock of the folder: every other leaves its last look in a file there, and what
they have under way is added, instance by instance. The numbers of looks that were not taken at the same instant may be a little too large
together, never too small.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

import orjson

from modelyard.serving.meter import NAMESPACE
from modelyard.serving.replicas import Replicas
from modelyard.serving.routes import Replica, RouteTable, Variant, instance_id

NAME = "ConcurrentRequestsPerModel"
IDLE_SECONDS = 10.0
STALE_SECONDS = 3.0
"""Real time. The look of a gateway that is older says nothing: it has nothing under way, or is gone."""
FORGOTTEN_SECONDS = 60.0

Look = tuple[RouteTable, Variant, dict[str, float]]
"""(table, variant, calls under way by replica id)."""


class Flights:
    """`rotate` on the gateway's loop, `flush` on a thread. Without a folder this gateway is alone."""

    def __init__(self, put: Callable[..., None], now: Callable[[], float], folder: Path | None = None) -> None:
        self._put, self._now = put, now
        self._others = None if folder is None else Others(folder)
        self._looks: list[Look] = []
        self._told: dict[tuple[str, str, str], float] = {}

    def rotate(self, tables: Iterable[RouteTable], replicas: Replicas) -> None:
        looks: list[Look] = []
        kept = {replica: number for _, _, own in self._looks for replica, number in own.items()}  # what was not handed over yet
        for table in tables:
            for variant in table.every if table.asynchronous is None else ():
                if variant.kind == "instance" and variant.replicas:
                    waiting = replicas.waiting(table, variant) / len(variant.replicas)
                    looks.append((table, variant, {r.id: max(_peak(r, replicas) + waiting, kept.get(r.id, 0)) for r in variant.replicas}))
        self._looks = looks

    def flush(self) -> None:
        at, looks = self._now(), self._looks
        self._looks = []
        elsewhere = {} if self._others is None else self._others.meet({r: n for _, _, own in looks for r, n in own.items() if n})
        if elsewhere is None:
            self._told = {}
            return
        told = {}
        for table, variant, own in looks:
            place = (table.key, variant.name, variant.fleet)
            told[place] = self._told.get(place, float("-inf"))
            samples = [(replica, number + elsewhere.get(replica, 0.0)) for replica, number in own.items()]
            if any(value for _, value in samples) or at - told[place] >= IDLE_SECONDS:
                told[place] = at
                self._put(table.account, table.region, NAMESPACE, _data(table, variant, samples, at))
        self._told = told

    def close(self) -> None:
        if self._others is not None:
            self._others.close()


class Others:
    """The gateways beside this one, which meet in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder, self._mine = folder, folder / f"{uuid4()}.flights"
        self._lock = os.open(folder / "teller", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._teller = self._written = False

    def meet(self, own: dict[str, float]) -> dict[str, float] | None:
        """What the others have under way by replica id, where this gateway tells for all; else None, and its own is left for the one that does."""
        if not self._teller:
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                self._teller = True
                self._mine.unlink(missing_ok=True)
        if self._teller:
            return self._read()
        if own or self._written:
            self._write(own)
        return None

    def _write(self, own: dict[str, float]) -> None:
        beside = self._mine.with_suffix(".new")
        beside.write_bytes(orjson.dumps({"at": monotonic(), "under": own}))
        beside.replace(self._mine)
        self._written = bool(own)

    def _read(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for path in self._folder.glob("*.flights"):
            try:
                look = orjson.loads(path.read_bytes())
            except FileNotFoundError:
                continue
            age = monotonic() - look["at"]
            if not 0 <= age < FORGOTTEN_SECONDS:  # the machine may have started anew since
                path.unlink(missing_ok=True)
            elif age < STALE_SECONDS:
                for replica, number in look["under"].items():
                    found[replica] = found.get(replica, 0.0) + number
        return found

    def close(self) -> None:
        self._mine.unlink(missing_ok=True)
        os.close(self._lock)


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
