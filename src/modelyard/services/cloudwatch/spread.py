"""Percentiles and their like of many series at once, by period: from the values beside packs and rows. Imported where it is needed, as packs.py.

A window that one stored period fills has its values in order already. Those of all other windows are counted in one table (or, where that
would be mostly empty, sorted). Either way they become runs (runs.py), and a statistic of thousands of windows is a handful of calls of numpy.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeAlias

from modelyard.kernel.lazily import numpy as np
from modelyard.services.cloudwatch import packs, seen
from modelyard.services.cloudwatch.rollup import SLOTS
from modelyard.services.cloudwatch.runs import Runs
from modelyard.services.cloudwatch.statistic import Extended
from modelyard.services.cloudwatch.sums import Windows

MANY = 5_000
"""Single values of one series that are taken as they are; more of them by groups (seen.py)."""
LARGEST_TABLE = 4
"""Cells of the table of windows × values per value: beyond, sorting is cheaper."""


@dataclass(frozen=True)
class Part:
    """Stored periods of several values, of one line: the cell of each and the number of its entries; the place of each entry in the rising
    `bins`, and its weight (None: 1 each)."""

    line: int
    cells: np.ndarray
    counts: np.ndarray
    place: np.ndarray
    weight: np.ndarray | None
    bins: np.ndarray

    def some(self, wanted: np.ndarray) -> Part:
        if wanted.all():
            return self
        entries = np.repeat(wanted, self.counts)
        weight = None if self.weight is None else self.weight[entries]
        return Part(self.line, self.cells[wanted], self.counts[wanted], self.place[entries], weight, self.bins)

    def weights(self) -> np.ndarray:
        return np.ones(len(self.place)) if self.weight is None else self.weight


Singles: TypeAlias = "tuple[np.ndarray, np.ndarray, np.ndarray]"
"""(cell, value, weight) each."""


@dataclass
class Spread:
    """A line for each series. A cell is a line's window: `line × windows.count + window`. `unknown` are cells with a statistic set in them."""

    lines: int
    windows: Windows
    parts: list[Part] = field(default_factory=list)
    singles: list[Singles] = field(default_factory=list)
    unknown: list[np.ndarray] = field(default_factory=list)
    units: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """Of lines that have values of several units: the first one's are here."""
    _known: dict[tuple[float, int, float, float, bytes], tuple[slice, np.ndarray]] = field(default_factory=dict)

    @cached_property
    def _days_until(self) -> float:
        """Up to where windows are of whole days (UTC); no time at all where they are not."""
        days = all(one % seen.DAY == 0 for one in (self.windows.period_s, self.windows.anchor, self.windows.start))
        return self.windows.end - self.windows.end % seen.DAY if days else -math.inf

    def add_rows(self, rows: Sequence[Sequence[float]]) -> None:
        """(line, time, samples, total, low, high) each."""
        if rows:
            line, at, samples, _, low, high = np.array(sorted(rows, key=lambda row: row[1]), np.float64).T
            wanted, of = self.windows.of(at)
            self._single(line[wanted].astype(np.int64) * self.windows.count + of, samples[wanted], low[wanted], high[wanted])

    def add_pack(self, line: int, start: float, size: int, body: bytes, extremes: bytes, blob: bytes) -> None:
        since = -math.inf
        if size == 3_600 and self._days_until > start and (days := seen.days(blob, start)) is not None:
            self._several(line, days, *self._windows(start, seen.DAY, days.at, until=self._days_until))
            since = self._days_until
            if min(start + size * SLOTS[size], self.windows.end) <= since:
                return
        if not blob and (values := packs.single_values(body)) is not None:
            head, value = values
            key = (start, size, -math.inf, math.inf, head)
            if key not in self._known:
                self._known[key] = self.windows.of(start + packs.read_head(head).slots * float(size))
            wanted, of = self._known[key]
            if len(of):
                self.singles.append((line * self.windows.count + of, value[wanted], np.ones(len(of))))
            return
        held = seen.read(blob, start, size) if blob else None
        if held is not None and len(held.at) == packs.count(body):  # no period but those with several values
            self._several(line, held, *self._windows(start, size, held.at, since))
            return
        at, columns = packs.open_pack(body, extremes, start, size)
        wanted, of = self._windows(start, size, at, since)
        if not len(of):
            return
        cells, (samples, _, low, high) = line * self.windows.count + of, columns[:, wanted]
        if held is None:
            self._single(cells, samples, low, high)
            return
        same = low == high
        if same.any():
            self._single(cells[same], samples[same], low[same], high[same])
        some, several = self._windows(start, size, held.at, since)
        if len(several) + int(same.sum()) < len(of):
            self.unknown.append(cells[~same & ~np.isin(at[wanted], held.at)])
        self._several(line, held, some, several)

    def _windows(
        self, start: float, size: int, at: np.ndarray, since: float = -math.inf, until: float = math.inf
    ) -> tuple[slice, np.ndarray]:
        """Of the periods of a pack: most series have the same ones."""
        key = (start, size, since, until, at.tobytes())
        if key not in self._known:
            wanted, of = self.windows.of(at)
            begin, end = max(wanted.start, int(np.searchsorted(at, since))), min(wanted.stop, int(np.searchsorted(at, until)))
            self._known[key] = slice(begin, end), of[begin - wanted.start : max(begin, end) - wanted.start]
        return self._known[key]

    def _several(self, line: int, held: seen.Binned, some: slice, of: np.ndarray) -> None:
        if len(of):
            count, entries = held.count, slice(0, len(held.place))
            if len(of) < len(held.at):
                ends = np.concatenate([[0], np.cumsum(count)])
                count, entries = count[some], slice(int(ends[some.start]), int(ends[some.stop]))
            weight = None if held.weight is None else held.weight[entries]
            self.parts.append(Part(line, line * self.windows.count + of, count, held.place[entries], weight, held.bins))

    def _single(self, cells: np.ndarray, samples: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
        same = low == high
        if not same.all():
            self.unknown.append(cells[~same])
            cells, samples, low = cells[same], samples[same], low[same]
        if len(cells):
            self.singles.append((cells, low, samples))

    def statistic(self, wanted: Extended) -> np.ndarray:
        """One of each window of each line; NaN where there is none, or it cannot be known."""
        made = np.full(self.lines * self.windows.count, math.nan)
        for runs in self._runs():
            made[runs.cell] = runs.statistic(wanted)
        for cells in self.unknown:
            made[cells] = math.nan
        return made.reshape(self.lines, -1)

    def _runs(self) -> list[Runs]:
        """Of the windows that have their values in order already, and of the others."""
        nothing = (np.empty(0, np.int64), np.empty(0), np.empty(0))
        singles = tuple(np.concatenate(each) for each in zip(*self.singles, strict=True)) if self.singles else nothing
        of_parts = np.concatenate([np.empty(0, np.int64), *(part.cells for part in self.parts)])
        sources = np.bincount(np.concatenate([singles[0], of_parts]), minlength=self.lines * self.windows.count)
        once = [sources[part.cells] == 1 for part in self.parts]
        plain = [part.some(mine) for part, mine in zip(self.parts, once, strict=True) if mine.any()]
        mixed = [part.some(~mine) for part, mine in zip(self.parts, once, strict=True) if not mine.all()]
        lone = sources[singles[0]] == 1
        found = []
        if lone.any():
            cell, value, weight = (each[lone] for each in singles)
            found.append(Runs(cell, np.arange(len(cell)), value, weight))
        if plain:
            counts = np.concatenate([part.counts for part in plain]).astype(np.int64)
            values, weights = np.concatenate([part.bins[part.place] for part in plain]), np.concatenate([part.weights() for part in plain])
            found.append(Runs(np.concatenate([part.cells for part in plain]), np.cumsum(counts) - counts, values, weights))
        if mixed or not lone.all():
            found.append(self._merged(mixed, *(each[~lone] for each in singles)))
        return found

    def _merged(self, parts: Sequence[Part], alone: np.ndarray, value: np.ndarray, weight: np.ndarray) -> Runs:
        """Runs of windows whose values come from several places: parts and singles. Values are ranked within their line."""
        width = self.windows.count
        if len(alone) > MANY:
            crowded = np.bincount(alone // width, minlength=self.lines)[alone // width] > MANY
            value = np.where(crowded, seen.middles(value), value)
        sizes = [len(part.bins) for part in parts]
        owners = np.concatenate([np.repeat(np.array([part.line for part in parts], np.int64), sizes), alone // width])
        rank, ranked, begins = _ranks(owners, np.concatenate([*(part.bins for part in parts), value]))
        broad, cells = int(rank.max()) + 1, self.lines * width
        shifts = np.cumsum([0, *sizes]).tolist()
        ranks = [rank[begin:end] for begin, end in itertools.pairwise(shifts)]
        last = alone * broad + rank[shifts[-1] :]
        entries = len(last) + sum(len(part.place) for part in parts)
        positive = bool(np.all(weight > 0)) and all(part.weight is None or bool(part.weight.min() > 0) for part in parts)
        if cells * broad <= LARGEST_TABLE * entries and positive:
            table = np.bincount(last, weight, cells * broad).astype(np.float64, copy=False)
            for part, mine in zip(parts, ranks, strict=True):
                begin, end = int(part.cells[0]), int(part.cells[-1]) + 1
                keys = np.repeat((part.cells - begin) * broad, part.counts) + mine[part.place]
                table[begin * broad : end * broad] += np.bincount(keys, part.weight, (end - begin) * broad)
            keys = np.flatnonzero(table)
            weights = table[keys]
        else:
            keys = np.concatenate([np.repeat(part.cells * broad, part.counts) + mine[part.place] for part, mine in zip(parts, ranks, strict=True)] + [last])  # fmt: skip
            sorting = np.argsort(keys, kind="stable")
            keys, weights = keys[sorting], np.concatenate([*(part.weights() for part in parts), weight]).astype(np.float64)[sorting]
            first = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
            keys, weights = keys[first], np.add.reduceat(weights, first)
        cell = keys // broad
        first = np.flatnonzero(np.concatenate([[True], cell[1:] != cell[:-1]]))
        return Runs(cell[first], first, ranked[begins[cell // width] + keys % broad], weights)


def _ranks(lines: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(rank of each value within its line, the different values of each line in order, where each line's begin)."""
    order = np.lexsort((values, lines))
    lines, values = lines[order], values[order]
    starts = np.concatenate([[True], lines[1:] != lines[:-1]])
    fresh = starts | np.concatenate([[True], values[1:] != values[:-1]])
    number = np.cumsum(fresh) - 1
    begins = np.zeros(int(lines[-1]) + 1, np.int64)
    begins[lines[starts]] = number[starts]
    rank = np.empty(len(order), np.int64)
    rank[order] = number - begins[lines]
    return rank, values[fresh], begins
