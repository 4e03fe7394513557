"""A pack: the points of one series and unit in up to 10,800 periods of one length, as columns of numbers in two blobs.

`body` begins with a head that packs of the same periods share byte for byte, so that those of many series are one table (sums.py):

    "MP2", flags (1 byte), count (2), then the slots: the first one (2 bytes; they follow each other) or all of them (2 bytes each),
    then the number of samples where it is the same in all periods (8)

and goes on with columns of 8-byte floats: totals, and the samples where they differ. `extremes` has two further columns, lows and highs; it is
empty where every period has one sample, which is its own low and high. What older releases wrote is read too.

Imported where it is needed: gateways and engines start without numpy.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TypeAlias

from modelyard.kernel.lazily import numpy as np

MARK = b"MP2"
FOLLOWING, ALIKE, SINGLE = 1, 2, 4
"""Flags: the slots have no gap; all periods have the same number of samples; every period has one sample."""

Columns: TypeAlias = "np.ndarray"
"""Rows: samples, totals, lows, highs."""


@dataclass(frozen=True)
class Head:
    """What a head says. `samples` is None where they are a column."""

    length: int
    slots: np.ndarray
    samples: float | None
    single: bool


def head_of(body: bytes) -> bytes:
    flags, count = struct.unpack_from("<BH", body, 3)
    return body[: 6 + (2 if flags & FOLLOWING else 2 * count) + (8 if flags & ALIKE else 0)]


def count(body: bytes) -> int:
    """Of its periods; -1 of a pack of older releases."""
    return struct.unpack_from("<BH", body, 3)[1] if body.startswith(MARK) else -1


def read_head(head: bytes) -> Head:
    flags, count = struct.unpack_from("<BH", head, 3)
    if flags & FOLLOWING:
        slots = np.arange(count) + struct.unpack_from("<H", head, 6)[0]
    else:
        slots = np.frombuffer(head, "<u2", count, 6).astype(np.int64)
    samples = struct.unpack_from("<d", head, len(head) - 8)[0] if flags & ALIKE else None
    return Head(len(head), slots, samples, bool(flags & SINGLE))


def open_pack(body: bytes, extremes: bytes, start: float, size: int) -> tuple[np.ndarray, Columns]:
    """(starts of the periods, columns)."""
    if not body.startswith(MARK):
        return _older(body)
    head = read_head(head_of(body))
    count = len(head.slots)
    given = np.frombuffer(body, np.float64, -1, head.length).reshape(-1, count)
    samples = given[1] if head.samples is None else np.full(count, head.samples)
    low, high = (given[0], given[0]) if head.single else np.frombuffer(extremes, np.float64).reshape(2, count)
    return start + head.slots * float(size), np.stack([samples, given[0], low, high])


def starts(body: bytes, start: float, size: int) -> np.ndarray:
    """Of its periods."""
    return start + read_head(head_of(body)).slots * float(size) if body.startswith(MARK) else _older(body)[0]


def single_values(body: bytes) -> tuple[bytes, np.ndarray] | None:
    """(head, value of each period) of a pack whose every period has one sample; None of others."""
    if not body.startswith(MARK) or not body[3] & SINGLE:
        return None
    head = head_of(body)
    return head, np.frombuffer(body, np.float64, count(body), len(head))


def make_pack(at: np.ndarray, columns: Columns, start: float, size: int) -> tuple[bytes, bytes]:
    """(body, extremes) of rising periods."""
    slots = ((at - start) / size).astype("<u2")
    count, (samples, total, low, high) = len(slots), columns
    single = bool(np.all(samples == 1) and np.array_equal(low, total) and np.array_equal(high, total))
    alike = bool(np.all(samples == samples[0]))
    following = int(slots[-1]) - int(slots[0]) == count - 1
    head = MARK + struct.pack("<BH", FOLLOWING * following | ALIKE * alike | SINGLE * single, count)
    head += (slots[:1] if following else slots).tobytes() + (struct.pack("<d", samples[0]) if alike else b"")
    body = head + (total if alike else np.stack([total, samples])).astype(np.float64).tobytes()
    return body, b"" if single else np.stack([low, high]).astype(np.float64).tobytes()


def modern(body: bytes, extremes: bytes, start: float, size: int) -> tuple[bytes, bytes]:
    """The same pack as it is written now."""
    return (body, extremes) if body.startswith(MARK) else make_pack(*_older(body), start, size)


def gathered(keys: np.ndarray, columns: Columns) -> tuple[np.ndarray, Columns]:
    """(rising keys, columns): periods that share a key become one."""
    if len(keys) == 0:
        return keys, columns
    if np.any(keys[1:] < keys[:-1]):
        order = np.argsort(keys, kind="stable")
        keys, columns = keys[order], columns[:, order]
    first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    samples, total, low, high = columns
    sums = [np.add.reduceat(samples, first), np.add.reduceat(total, first)]
    return keys[first], np.stack([*sums, np.minimum.reduceat(low, first), np.maximum.reduceat(high, first)])


def _older(body: bytes) -> tuple[np.ndarray, Columns]:
    kind = int(np.frombuffer(body, np.float64, 1)[0])
    given = np.frombuffer(body, np.float64, -1, 8).reshape(kind, -1)
    if kind == 5:
        return given[0], given[1:]
    return given[0], np.stack([np.ones(given.shape[1]), given[1], given[1], given[1]])
