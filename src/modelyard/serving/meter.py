"""Counts and latencies of invocations: in shared memory of a file, handed over once a second; a killed gateway's are taken over.

Metric names, units and dimensions are those of "Monitor Amazon SageMaker AI with CloudWatch", endpoint invocation metrics:
Invocations, Invocation4XXErrors, Invocation5XXErrors, InvocationModelErrors, InvocationsPerInstance (counts) and ModelLatency,
OverheadLatency (microseconds) by EndpointName and VariantName, and once more with EndpointConfigName; by InstanceId with enhanced metrics, and by
InferenceComponentName (InvocationsPerCopy there).
What a bill is made of goes to a namespace of our own: BytesIn, BytesOut, BusyMicroseconds by EndpointName and VariantName, exact sums.

A variant has two halves of a mapped file: one is counted in while the other is handed over. What a `kill -9` leaves is
in the file; its name and number go with it into the metric store, which takes each once.
"""

from __future__ import annotations

import fcntl
import logging
import mmap
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson

log = logging.getLogger("modelyard.meter")
NAMESPACE = "AWS/SageMaker"
BILLING = "Modelyard/Billing"
HEAD_BYTES = 4096
DROPPED = "ShadowInvocationsDropped"
"""Our own: copies that a shadow variant was not sent, because it had too many under way (shadow.py)."""
COMPONENT = "component/"
NO_CAPACITY = "NoCapacityInvocationFailures"
"""Calls of a component that has no copy, which policies scale out from zero by; counted as `dropped` of its cell."""
SLOTS = 1024
"""Steps of 3 % or less, from 1 µs to 19 hours."""
_NUMBER, _OPENED_MS, _INSTANCES, _INVOCATIONS, _4XX, _5XX, _MODEL, _DROPPED, _BYTES_IN, _BYTES_OUT, _BUSY_US = range(11)
_MODEL_US, _OVERHEAD_US, _WORDS = 11, 11 + SLOTS, 11 + 2 * SLOTS

Key = tuple[str, str, str, str, str, str]
"""(account, region, endpoint, variant, endpoint configuration or "", part of it: an InstanceId, COMPONENT and a name, or "" for all)"""


class Cell:
    """One variant since the last hand-over. The attributes are counts; `model_us` and `overhead_us` are for `count`."""

    __slots__ = ("_words", "key", "model_us", "overhead_us", "source")

    def __init__(self, key: Key, words: memoryview, source: str) -> None:
        self.key, self._words, self.source = key, words, source
        self.model_us, self.overhead_us = words[_MODEL_US:_OVERHEAD_US], words[_OVERHEAD_US:_WORDS]

    def open(self, number: int, now: float, instances: int) -> None:
        """Begins anew. The number comes last: a half without one is not there."""
        self.clear()
        self._words[_OPENED_MS], self._words[_INSTANCES] = int(now * 1000), instances
        self._words[_NUMBER] = number

    def clear(self) -> None:
        self._words[_NUMBER] = 0
        self._words[:] = _ZEROS

    def well(self, model_s: float, overhead_s: float, sent: int, said: int) -> None:
        """A good answer: all of its counts in one."""
        words, model_us, overhead_us = self._words, int(model_s * 1e6), int(overhead_s * 1e6)
        words[_INVOCATIONS] += 1
        words[_MODEL_US + _slot(model_us)] += 1
        words[_OVERHEAD_US + _slot(overhead_us)] += 1
        words[_BYTES_IN] += sent
        words[_BYTES_OUT] += said
        words[_BUSY_US] += model_us

    def weigh(self, sent: int, said: int, seconds: float) -> None:
        """Bytes of a request and of its answer, and how long the model had it."""
        words = self._words
        words[_BYTES_IN] += sent
        words[_BYTES_OUT] += said
        words[_BUSY_US] += int(seconds * 1e6)

    def billed(self) -> list[dict[str, Any]]:
        sums = (("BytesIn", _BYTES_IN, "Bytes"), ("BytesOut", _BYTES_OUT, "Bytes"), ("BusyMicroseconds", _BUSY_US, "Microseconds"))
        return [
            {"MetricName": name, "StatisticValues": _whole(self.invocations, self._words[place]), "Unit": unit}
            for name, place, unit in sums
        ]

    def release(self) -> None:
        for view in (self.model_us, self.overhead_us, self._words):
            view.release()


def _whole(samples: int, total: int) -> dict[str, float]:
    """A sum of which no single values are known."""
    return {"SampleCount": samples, "Sum": total, "Minimum": 0, "Maximum": total}


def _at(place: int) -> property:
    def read(cell: Cell) -> int:
        return cell._words[place]

    def write(cell: Cell, value: int) -> None:
        cell._words[place] = value

    return property(read, write)


for _name, _place in {"number": _NUMBER, "opened_ms": _OPENED_MS, "instances": _INSTANCES, "invocations": _INVOCATIONS}.items():
    setattr(Cell, _name, _at(_place))
for _name, _place in {"errors_4xx": _4XX, "errors_5xx": _5XX, "model_errors": _MODEL, "dropped": _DROPPED}.items():
    setattr(Cell, _name, _at(_place))
_ZEROS = memoryview(bytes(_WORDS * 8)).cast("Q")


class Meter:
    """`cell` and `rotate` on the gateway's loop, `flush` on a thread. `put(account, region, namespace, data, source)` is CloudWatch's;
    `now` is platform time; `instances(key)` how many replicas serve a variant. Without a folder nothing survives."""

    def __init__(
        self,
        put: Callable[..., None],
        now: Callable[[], float],
        folder: Path | None = None,
        instances: Callable[[Key], int] = lambda key: 1,
    ) -> None:
        self._put, self._now, self._folder, self._instances = put, now, folder, instances
        self._active: dict[Key, Cell] = {}
        self._spare: dict[Key, Cell] = {}
        self._closed: list[tuple[Cell, float]] = []
        self._number = 0
        self._owner, self._lock = f"{uuid4()}", None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = os.open(folder / f"{self._owner}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def cell(self, account: str, region: str, endpoint: str, variant: str, config: str = "", part: str = "") -> Cell:
        key = (account, region, endpoint, variant, config, part)
        found = self._active.get(key)
        return self._new(key) if found is None else found

    def _new(self, key: Key) -> Cell:
        source = f"{self._owner}-{len(self._active)}"
        path = None if self._folder is None else self._folder / f"{source}.meter"
        self._active[key], self._spare[key] = _cells(_mapped(path, key), key, source)
        self._open(self._active[key])
        return self._active[key]

    def _open(self, cell: Cell) -> None:
        self._number += 1
        cell.open(self._number, self._now(), max(1, self._instances(cell.key)))

    def rotate(self) -> None:
        """On the loop, so that no cell is written any more once it is handed over. One whose other half still waits goes on."""
        for key, cell in self._active.items():
            if (cell.invocations or cell.dropped) and (spare := self._spare.pop(key, None)) is not None:
                self._open(spare)
                self._active[key] = spare
                self._closed.append((cell, self._now()))
            elif not (cell.invocations or cell.dropped):
                cell.instances = max(1, self._instances(key))

    def flush(self) -> None:
        """On a thread: hands over what was rotated out, and what killed gateways left. What cannot be stored now stays for the next time."""
        while self._closed:
            cell, at = self._closed[0]
            self._hand_over(cell, at)
            del self._closed[0]
            cell.clear()
            self._spare[cell.key] = cell
        if self._folder is not None:
            self._take_over(self._folder)

    def close(self) -> None:
        """Everything was rotated and flushed: the files go. Whatever is left in one is for the next gateway."""
        if self._lock is None:
            return
        if not self._closed and not any(cell.invocations or cell.dropped for cell in self._active.values()):
            for path in self._folder.glob(f"{self._owner}*"):
                path.unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = None

    def _hand_over(self, cell: Cell, at: float) -> None:
        account, region, endpoint, variant, config, part = cell.key
        plain = [{"Name": "EndpointName", "Value": endpoint}, {"Name": "VariantName", "Value": variant}]
        # By configuration too, so that an alarm can watch the new fleet alone while a deployment shifts traffic.
        both = [plain, [*plain, {"Name": "EndpointConfigName", "Value": config}]] if config else [plain]
        if part.startswith(COMPONENT):
            both = [[{"Name": "InferenceComponentName", "Value": part.removeprefix(COMPONENT)}]]
        elif part:
            both = [[*plain, {"Name": "InstanceId", "Value": part}]]
        data = [{**d, "Dimensions": dimensions, "Timestamp": at} for dimensions in both for d in _data(cell)]
        billed = [] if part or not cell.invocations else [{**d, "Dimensions": plain, "Timestamp": at} for d in cell.billed()]
        for namespace, rows, source in ((NAMESPACE, data, "meter"), (BILLING, billed, "billing")):
            if rows and self._folder is None:
                self._put(account, region, namespace, rows)
            elif rows:
                self._put(account, region, namespace, rows, source=(f"{source} {cell.source}", [cell.number] * len(rows)))

    # --- what others left ------------------------------------------------------------------------------

    def _take_over(self, folder: Path) -> None:
        for path in folder.glob("*.lock"):
            if path.stem == self._owner:
                continue
            try:
                fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                for left in folder.glob(f"{path.stem}-*.meter"):
                    self._inherit(left)
                    left.unlink(missing_ok=True)
                path.unlink(missing_ok=True)
            except BlockingIOError:
                continue  # it lives
            finally:
                os.close(fd)

    def _inherit(self, path: Path) -> None:
        """In the order of their numbers: the store takes only what is beyond the last."""
        with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as memory:
            try:
                account, region, endpoint, variant, config, *instance = orjson.loads(memory[:HEAD_BYTES].rstrip(b"\0"))
            except orjson.JSONDecodeError:  # killed before it was counted in
                return
            key = (account, region, endpoint, variant, config, *(instance or [""]))
            if len(memory) != HEAD_BYTES + 2 * _WORDS * 8:
                log.warning("%s has the layout of another version; its counts are lost", path.name)
                return
            cells = _cells(memory, key, path.stem)
            try:
                for cell in sorted(cells, key=lambda c: c.number):
                    if cell.number and (cell.invocations or cell.dropped):
                        self._hand_over(cell, min(cell.opened_ms / 1000 + 1.0, self._now()))
            finally:
                for cell in cells:
                    cell.release()


def _mapped(path: Path | None, key: Key) -> mmap.mmap:
    size = HEAD_BYTES + 2 * _WORDS * 8
    if path is None:
        return mmap.mmap(-1, size)
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(fd, 0, size)  # a full disk is met here, not as a signal in the middle of a count
        memory = mmap.mmap(fd, size)
    finally:
        os.close(fd)
    head = orjson.dumps(key)
    memory[: len(head)] = head
    return memory


def _cells(memory: mmap.mmap, key: Any, source: str) -> tuple[Cell, Cell]:
    with memoryview(memory) as whole:
        halves = [whole[HEAD_BYTES + n * _WORDS * 8 : HEAD_BYTES + (n + 1) * _WORDS * 8].cast("Q") for n in range(2)]
    return Cell(key, halves[0], source), Cell(key, halves[1], source)


def count(latencies: memoryview, seconds: float) -> None:
    """Adds a latency."""
    latencies[_slot(int(seconds * 1e6))] += 1


def _slot(us: int) -> int:
    """The place of a latency in microseconds, kept to its first six bits."""
    drop = us.bit_length() - 6
    if drop <= 0:
        return us
    return (drop << 5) + (us >> drop) if drop < 31 else SLOTS - 1


def _values(latencies: memoryview) -> tuple[list[float], list[int]]:
    values, counts = [], []
    for place, number in enumerate(latencies):
        if number:
            drop = max(0, (place >> 5) - 1)
            values.append(float(place - (drop << 5) << drop))
            counts.append(number)
    return values, counts


def _data(cell: Cell) -> list[dict[str, Any]]:
    part = cell.key[-1]
    of_component = part.startswith(COMPONENT)
    name = NO_CAPACITY if of_component else DROPPED
    dropped = [{"MetricName": name, "Values": [1.0], "Counts": [cell.dropped], "Unit": "None"}] if cell.dropped else []
    if not cell.invocations:
        return dropped
    per_instance = {
        "MetricName": "InvocationsPerCopy" if of_component else "InvocationsPerInstance",
        "Values": [1 / max(1, cell.instances)],
        "Counts": [cell.invocations],
        "Unit": "None",
    }
    data = [
        *dropped,
        _sum("Invocations", 1, cell.invocations),
        _sum("Invocation4XXErrors", cell.errors_4xx, cell.invocations),
        _sum("Invocation5XXErrors", cell.errors_5xx, cell.invocations),
        _sum("InvocationModelErrors", cell.model_errors, cell.invocations),
        *([per_instance] if not part or of_component else []),
    ]
    for name, latencies in (("ModelLatency", cell.model_us), ("OverheadLatency", cell.overhead_us)):
        values, counts = _values(latencies)
        if values:
            data.append({"MetricName": name, "Values": values, "Counts": counts, "Unit": "Microseconds"})
    return data


def _sum(name: str, hits: int, samples: int) -> dict[str, Any]:
    """A count per request: 1 or 0 for each, so that Average is a rate and Sum a count."""
    if name == "Invocations":
        return {"MetricName": name, "Values": [1.0], "Counts": [samples], "Unit": "None"}
    pairs = [(v, n) for v, n in ((1.0, hits), (0.0, samples - hits)) if n]
    return {"MetricName": name, "Values": [v for v, _ in pairs], "Counts": [n for _, n in pairs], "Unit": "None"}
