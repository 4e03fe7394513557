"""The values beside a pack: what percentiles of its periods are made of.

A period of one value needs none (its low is its high), one with a statistic set in it has none. All others have theirs here, as
places in one rising list of the pack's values: exactly while the list is short, else each value as the middle of a group.

    "MV2", flags (1 byte), periods (2), bins (4), entries (4); bins (8 each); starts of the periods as slots (2 each), entries of each (4 each);
    the bin of each entry (1 byte up to 256 bins, else 2), its weight (1 byte of whole ones up to 255, 2 up to 65,535, else 8; none where all are 1)

Beside hours all of whose values are known there is a second such blob, of days (UTC): "MVD", length of the first (8), the first, the second.

Groups are 0.2 % wide, those of hours 2 %: what is answered is within 1 %.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass

import orjson

from modelyard.kernel.lazily import numpy as np

MARK, HEAD = b"MV2", "<3sBHII"
DAYS_MARK, DAYS_HEAD, DAY = b"MVD", "<3sQ", 86_400
UNWEIGHTED, SMALL, MIDDLE = 1, 2, 4
MOST_EXACT, MOST_BINS = 1_024, 65_536
WIDTH, WIDTH_OF_HOURS = math.log(1.002), math.log(1.02)


@dataclass(frozen=True)
class Values:
    """Flat entries: the start of their period, the value, its weight (None: 1 each)."""

    at: np.ndarray
    value: np.ndarray
    weight: np.ndarray | None


@dataclass(frozen=True)
class Binned:
    """Entries as they are stored: `at` and `count` of each period, `place` of each entry in the rising `bins`."""

    at: np.ndarray
    count: np.ndarray
    bins: np.ndarray
    place: np.ndarray
    weight: np.ndarray | None


def read(blob: bytes, start: float, size: int) -> Binned:
    if blob.startswith(DAYS_MARK):
        begin = struct.calcsize(DAYS_HEAD)
        blob = blob[begin : begin + struct.unpack_from(DAYS_HEAD, blob)[1]]
    if not blob.startswith(MARK):
        return _older(blob)
    _, flags, periods, bins, entries = struct.unpack_from(HEAD, blob)
    at = struct.calcsize(HEAD)
    known = np.frombuffer(blob, np.float64, bins, at)
    slots = np.frombuffer(blob, "<u2", periods, at := at + 8 * bins)
    count = np.frombuffer(blob, "<u4", periods, at := at + 2 * periods)
    kind = "<u1" if bins <= 256 else "<u2"
    place = np.frombuffer(blob, kind, entries, at := at + 4 * periods)
    of_weight = "<u1" if flags & SMALL else "<u2" if flags & MIDDLE else "<f8"
    weight = None if flags & UNWEIGHTED else np.frombuffer(blob, of_weight, entries, at + place.nbytes)
    return Binned(start + slots * float(size), count, known, place, weight)


def days(blob: bytes, start: float) -> Binned | None:
    """The values of whole days, where they are kept."""
    if not blob.startswith(DAYS_MARK):
        return None
    return read(blob[struct.calcsize(DAYS_HEAD) + struct.unpack_from(DAYS_HEAD, blob)[1] :], start, DAY)


def with_days(blob: bytes, values: Values, start: float) -> bytes:
    """The blob of a pack of hours, and the values of all of them once more by the day."""
    by_day = write(Values(values.at - values.at % DAY, values.value, values.weight), start, DAY)
    return struct.pack(DAYS_HEAD, DAYS_MARK, len(blob)) + blob + by_day if by_day else blob


def write(values: Values, start: float, size: int) -> bytes:
    if not len(values.at):
        return b""
    at, value, weight = _merged(values.at, values.value, np.ones(len(values.at)) if values.weight is None else values.weight)
    if len(bins := np.unique(value)) > MOST_EXACT:
        value = middles(value, WIDTH if size < 3_600 else WIDTH_OF_HOURS)
        bins = np.unique(value)
        if len(bins) > MOST_BINS:  # values of hundreds of orders of magnitude
            bins = bins[np.linspace(0, len(bins) - 1, MOST_BINS).astype(np.int64)]
            value = bins[np.searchsorted(bins, value).clip(max=len(bins) - 1)]
        at, value, weight = _merged(at, value, weight)
    first = np.flatnonzero(np.concatenate([[True], at[1:] != at[:-1]]))
    count = np.diff(np.append(first, len(at)))
    plain, whole, most = bool(np.all(weight == 1)), bool(np.all(weight == np.floor(weight))), float(weight.max())
    flag, kind = (SMALL, "<u1") if whole and most <= 255 else (MIDDLE, "<u2") if whole and most <= 65_535 else (0, "<f8")
    place = np.searchsorted(bins, value).astype("<u1" if len(bins) <= 256 else "<u2")
    parts = [
        struct.pack(HEAD, MARK, UNWEIGHTED * plain | flag, len(first), len(bins), len(at)),
        bins.astype(np.float64), ((at[first] - start) / size).astype("<u2"), count.astype("<u4"), place,
    ]  # fmt: skip
    return b"".join(part if isinstance(part, bytes) else part.tobytes() for part in (parts if plain else [*parts, weight.astype(kind)]))


def flat(one: Binned) -> Values:
    return Values(np.repeat(one.at, one.count), one.bins[one.place], one.weight)


def middles(value: np.ndarray, width: float = WIDTH) -> np.ndarray:
    """Each value as the middle of its group."""
    size = np.abs(value)
    with np.errstate(divide="ignore"):
        middle = np.exp((np.floor(np.log(size) / width) + 0.5) * width)
    return np.where(size == 0, 0.0, np.copysign(middle, value))


def _merged(at: np.ndarray, value: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """In order, each value once in its period."""
    order = np.lexsort((value, at))
    at, value, weight = at[order], value[order], weight[order]
    first = np.flatnonzero(np.concatenate([[True], (at[1:] != at[:-1]) | (value[1:] != value[:-1])]))
    return at[first], value[first], np.add.reduceat(weight, first)


def _older(blob: bytes) -> Binned:
    given = [(float(at), pairs) for at, pairs in orjson.loads(blob)] if blob else []
    given = sorted((at, pairs) for at, pairs in given if pairs)
    pairs = np.array([pair for _, some in given for pair in some], np.float64).reshape(-1, 2)
    bins, place = np.unique(pairs[:, 0], return_inverse=True)
    return Binned(np.array([at for at, _ in given]), np.array([len(some) for _, some in given], np.int64), bins, place, pairs[:, 1])
