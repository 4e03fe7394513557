"""Plain statistics of many series at once, by period: what packs and rows add up to. Imported where it is needed, as packs.py.

Packs that have the same periods are one table; each of its columns is added up by one call of numpy, whatever the number of series.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from modelyard.kernel.lazily import numpy as np
from modelyard.services.cloudwatch import packs


@dataclass(frozen=True)
class Windows:
    """The periods of an answer: `count` of them from `first` on, each `period_s` long; only what is in [start, end) counts."""

    start: float
    end: float
    period_s: float
    anchor: float

    @property
    def first(self) -> float:
        return self.anchor + math.floor((self.start - self.anchor) / self.period_s) * self.period_s

    @property
    def count(self) -> int:
        return max(0, math.ceil((self.end - self.first) / self.period_s))

    @property
    def starts(self) -> np.ndarray:
        return self.first + np.arange(self.count) * self.period_s

    def of(self, at: np.ndarray) -> tuple[slice, np.ndarray]:
        """Which of rising times count, and the number of each one's period."""
        wanted = slice(int(np.searchsorted(at, self.start)), int(np.searchsorted(at, self.end)))
        passed = at[wanted] - self.first
        if self.period_s == int(self.period_s):  # whole numbers divide ten times as fast
            return wanted, passed.astype(np.int64) // int(self.period_s)
        return wanted, (passed // self.period_s).astype(np.int64)


@dataclass
class Sums:
    """A line for each series, a column for each period."""

    series: int
    windows: Windows
    samples: np.ndarray = field(init=False)
    total: np.ndarray = field(init=False)
    low: np.ndarray = field(init=False)
    high: np.ndarray = field(init=False)
    there: np.ndarray = field(init=False)
    units: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """Of lines that have values of several units: the first one's are here."""

    def __post_init__(self) -> None:
        shape = (self.series, self.windows.count)
        self.samples, self.total = np.zeros(shape), np.zeros(shape)
        self.low, self.high = np.full(shape, math.inf), np.full(shape, -math.inf)
        self.there = np.zeros(shape, bool)

    def add_rows(self, rows: Sequence[tuple[int, int, float, float, float, float]]) -> None:
        """(series, period, samples, total, low, high), each pair once at most."""
        if not rows:
            return
        table = np.array(rows, np.float64).T
        place = (table[0].astype(np.int64), table[1].astype(np.int64))
        self._merge(place, *table[2:])

    def add_packs(self, given: Sequence[tuple[int, float, int, str, bytes, bytes]], extremes: bool) -> None:
        """(series, start, size, unit, body, extremes) each."""
        groups: dict[tuple[float, int, str, bytes], list[tuple[int, bytes, bytes]]] = {}
        for series, start, size, unit, *blobs in given:
            body, more = packs.modern(*blobs, start, size)
            groups.setdefault((start, size, unit, packs.head_of(body)), []).append((series, body, more))
        for (start, size, _, head), members in groups.items():
            self._add_group(packs.read_head(head), start, size, members, extremes)

    def _add_group(self, head: packs.Head, start: float, size: int, members: Sequence[tuple[int, bytes, bytes]], extremes: bool) -> None:
        wanted, windows = self.windows.of(start + head.slots * float(size))
        if not len(windows):
            return
        many, count = len(members), len(head.slots)
        first = np.flatnonzero(np.concatenate([[True], windows[1:] != windows[:-1]]))
        table = np.frombuffer(b"".join([memoryview(body)[head.length :] for _, body, _ in members])).reshape(many, -1, count)
        ends = np.append(first[1:], len(windows))
        total = _reduced(np.add, table[:, 0, wanted], first)
        if head.samples is None:
            samples = _reduced(np.add, table[:, 1, wanted], first)
        else:
            samples = np.broadcast_to((ends - first) * head.samples, total.shape)
        low = high = total
        if extremes:
            bounds = table[:, (0, 0)] if head.single else np.frombuffer(b"".join([more for *_, more in members])).reshape(many, 2, count)
            low, high = _reduced(np.minimum, bounds[:, 0, wanted], first), _reduced(np.maximum, bounds[:, 1, wanted], first)
        lines = np.array([series for series, *_ in members])
        self._merge((lines[:, None], windows[first][None, :]), samples, total, low, high)

    def _merge(
        self, place: tuple[np.ndarray, np.ndarray], samples: np.ndarray, total: np.ndarray, low: np.ndarray, high: np.ndarray
    ) -> None:
        self.samples[place] += samples
        self.total[place] += total
        self.low[place] = np.minimum(self.low[place], low)
        self.high[place] = np.maximum(self.high[place], high)
        self.there[place] = True

    def statistic(self, name: str) -> np.ndarray:
        """A plain one."""
        if name == "Average":
            return self.total / np.maximum(self.samples, 1e-300)
        return {"SampleCount": self.samples, "Sum": self.total, "Minimum": self.low, "Maximum": self.high}[name]


def _reduced(how: np.ufunc, table: np.ndarray, first: np.ndarray) -> np.ndarray:
    if len(first) == table.shape[1]:
        return table
    return how.reduceat(table, first, axis=1)
