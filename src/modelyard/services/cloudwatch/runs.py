"""Statistics over runs: the rising values of many windows, one window after the other. Imported where it is needed, as packs.py."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

from modelyard.kernel.lazily import numpy as np
from modelyard.services.cloudwatch.statistic import Extended

MOST_TOGETHER = 2.0**52
"""Samples of all runs that are counted through: beyond, floats skip whole numbers."""


@dataclass
class Runs:
    """`cell` and `first` are of each run: which window it is, and where it begins; `value` (rising within a run) and `weight` are of each entry."""

    cell: np.ndarray
    first: np.ndarray
    value: np.ndarray
    weight: np.ndarray

    def statistic(self, wanted: Extended) -> np.ndarray:
        """One of each run; NaN where nothing is left between the bounds to take a mean of."""
        if not self._countable:
            return np.array([self._slowly(wanted, begin, end) for begin, end in zip(self.first.tolist(), self.last.tolist(), strict=True)])
        if wanted.kind == "p":
            return self.percentile(wanted.high or 0.0)
        low, high = self._bounds(wanted)
        if wanted.kind == "wm":
            return np.add.reduceat(np.clip(self.value, self._each(low), self._each(high)) * self.weight, self.first) / self.total
        inside = np.where((self.value > self._each(low)) & (self.value <= self._each(high)), self.weight, 0.0)
        samples = np.add.reduceat(inside, self.first)
        if wanted.kind == "tc":
            return samples
        if wanted.kind == "pr":
            return 100.0 * samples / self.total
        total = np.add.reduceat(inside * self.value, self.first)
        if wanted.kind == "ts":
            return total
        with np.errstate(invalid="ignore"):
            return np.where(samples > 0, total / samples, math.nan)

    def percentile(self, percent: float) -> np.ndarray:
        """Linear interpolation between the closest ranks."""
        rank = (self.total - 1) * (percent / 100)
        below = np.floor(rank)
        above = np.minimum(below + 1, self.total - 1)
        lower, upper = (self.value[np.searchsorted(self.passed, self.before + one, "right")] for one in (below, above))
        return lower + (upper - lower) * (rank - below)

    def _bounds(self, wanted: Extended) -> tuple[np.ndarray, np.ndarray]:
        """What is above the one and not above the other counts. A winsorized mean's open ends are the lowest and highest values."""
        ends = (self.value[self.first], self.value[self.last - 1]) if wanted.kind == "wm" else (-math.inf, math.inf)
        low, high = (np.broadcast_to(one, self.first.shape) for one in ends)
        if wanted.low is not None and (wanted.low or not wanted.percent):
            low = self.percentile(wanted.low) if wanted.percent else np.full(len(self.first), wanted.low)
        if wanted.high is not None and not (wanted.percent and wanted.high >= 100):
            high = self.percentile(wanted.high) if wanted.percent else np.full(len(self.first), wanted.high)
        return low, high

    def _each(self, one: np.ndarray) -> np.ndarray:
        """Of each run → of each entry."""
        return np.repeat(one, self.last - self.first)

    def _slowly(self, wanted: Extended, begin: int, end: int) -> float:
        found = wanted.of(list(zip(self.value[begin:end].tolist(), self.weight[begin:end].tolist(), strict=True)))
        return math.nan if found is None else found

    @cached_property
    def _countable(self) -> bool:
        return bool(np.all((self.weight > 0) & (self.weight == np.floor(self.weight)))) and self.passed[-1] < MOST_TOGETHER

    @cached_property
    def last(self) -> np.ndarray:
        """Where each ends."""
        return np.append(self.first[1:], len(self.value))

    @cached_property
    def passed(self) -> np.ndarray:
        """Samples of all entries up to each."""
        return np.cumsum(self.weight)

    @cached_property
    def before(self) -> np.ndarray:
        return self.passed[self.first] - self.weight[self.first]

    @cached_property
    def total(self) -> np.ndarray:
        return self.passed[self.last - 1] - self.before
