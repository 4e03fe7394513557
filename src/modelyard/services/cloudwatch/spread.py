"""Percentiles and their like of one series, by period: from the values beside packs and rows. Imported where it is needed, as packs.py."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from modelyard.kernel.lazily import numpy as np
from modelyard.services.cloudwatch import packs, seen
from modelyard.services.cloudwatch.statistic import Extended
from modelyard.services.cloudwatch.sums import Windows

MANY = 5_000
"""Single values of one series that are taken as they are; more of them by groups (seen.py)."""
LARGEST_TABLE = 4
"""Cells of the table of periods × values per value: beyond, sorting is cheaper."""


@dataclass
class Spread:
    """Entries are (period, value, weight); `unknown` are periods with a statistic set in them."""

    windows: Windows
    bins: list[np.ndarray] = field(default_factory=list)
    places: list[np.ndarray] = field(default_factory=list)
    of: list[np.ndarray] = field(default_factory=list)
    weights: list[np.ndarray | None] = field(default_factory=list)
    unknown: list[np.ndarray] = field(default_factory=list)
    singles: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = field(default_factory=list)

    def add_rows(self, rows: Sequence[Sequence[float]]) -> None:
        """(time, samples, total, low, high) each, in the order of time."""
        if rows:
            at, *columns = np.array(rows, np.float64).T
            wanted, of = self.windows.of(at)
            self._single(of, *(column[wanted] for column in columns))

    def add_pack(self, start: float, size: int, body: bytes, extremes: bytes, blob: bytes) -> None:
        held = seen.read(blob, start, size) if blob else None
        if held is not None and len(held.at) == packs.count(body):  # no period but those with several values
            self._several(held, *self.windows.of(held.at))
            return
        at, columns = packs.open_pack(body, extremes, start, size)
        wanted, of = self.windows.of(at)
        if not len(of):
            return
        if held is None:
            self._single(of, *columns[:, wanted])
            return
        samples, total, low, high = columns[:, wanted]
        same, (some, several) = low == high, self.windows.of(held.at)
        if same.any():
            self._single(of[same], samples[same], total[same], low[same], high[same])
        if len(several) + int(same.sum()) < len(of):
            self.unknown.append(of[~same & ~np.isin(at[wanted], held.at)])
        self._several(held, some, several)

    def _several(self, held: seen.Binned, some: slice, of: np.ndarray) -> None:
        if len(of):
            ends = np.concatenate([[0], np.cumsum(held.count)])
            entries = slice(int(ends[some.start]), int(ends[some.stop]))
            self.bins.append(held.bins)
            self.places.append(held.place[entries])
            self.of.append(np.repeat(of, held.count[some]))
            self.weights.append(None if held.weight is None else held.weight[entries])

    def _single(self, of: np.ndarray, samples: np.ndarray, total: np.ndarray, low: np.ndarray, high: np.ndarray) -> None:
        same = low == high
        if not same.all():
            self.unknown.append(of[~same])
            of, samples, low = of[same], samples[same], low[same]
        if len(of):
            self.singles.append((of, low, samples))

    def statistic(self, wanted: Extended) -> np.ndarray:
        """One of each period; NaN where there is none, or it cannot be known."""
        made = np.full(self.windows.count, math.nan)
        bins, place, of, weight = self._entries()
        if len(of):
            (self._percentiles if wanted.kind == "p" and _is_whole(weight) else self._others)(made, wanted, bins, place, of, weight)
        for periods in self.unknown:
            made[periods] = math.nan
        return made

    def _entries(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
        """All of them over one list of values, their weights None where all are 1."""
        bins, places, ofs, weights = list(self.bins), list(self.places), list(self.of), list(self.weights)
        if self.singles:
            of, value, weight = (np.concatenate(parts) for parts in zip(*self.singles, strict=True))
            own, place = np.unique(seen.middles(value) if len(value) > MANY else value, return_inverse=True)
            bins.append(own)
            places.append(place)
            ofs.append(of)
            weights.append(None if np.all(weight == 1) else weight)
        if not bins:
            return np.empty(0), np.empty(0, np.int64), np.empty(0, np.int64), None
        if len(bins) > 1:
            every = np.unique(np.concatenate(bins))
            places = [np.searchsorted(every, own)[place] for own, place in zip(bins, places, strict=True)]
        else:
            every = bins[0]
        plain = all(one is None for one in weights)
        given = [np.ones(len(p)) if w is None else w for p, w in zip(places, weights, strict=True)] if not plain else []
        return every, np.concatenate(places), np.concatenate(ofs), None if plain else np.concatenate(given)

    def _percentiles(
        self, made: np.ndarray, wanted: Extended, bins: np.ndarray, place: np.ndarray, of: np.ndarray, weight: np.ndarray | None
    ) -> None:
        """Linear interpolation between the closest ranks, all periods at once."""
        keys = of * len(bins) + place
        table = None
        if len(made) * len(bins) <= LARGEST_TABLE * len(of):
            table = np.bincount(keys, weight, len(made) * len(bins)).reshape(len(made), -1).cumsum(axis=1)
            counts = table[:, -1].astype(np.int64)
        else:
            counts = np.bincount(of, weight, len(made)).astype(np.int64)
        full = np.flatnonzero(counts)
        rank = (counts[full] - 1) * ((wanted.high or 0.0) / 100)
        below = np.floor(rank)
        above = np.minimum(below + 1, counts[full] - 1)
        if table is not None:
            table = table[full]
            lower, upper = ((table > one[:, None]).argmax(axis=1) for one in (below, above))
        else:
            order = np.argsort(keys)
            passed = np.arange(1, len(keys) + 1) if weight is None else weight[order].cumsum()
            first = (np.cumsum(counts) - counts)[full]
            lower, upper = (keys[order[np.searchsorted(passed, first + one, "right")]] % len(bins) for one in (below, above))
        made[full] = bins[lower] + (bins[upper] - bins[lower]) * (rank - below)

    def _others(
        self, made: np.ndarray, wanted: Extended, bins: np.ndarray, place: np.ndarray, of: np.ndarray, weight: np.ndarray | None
    ) -> None:
        keys, where = np.unique(of * len(bins) + place, return_inverse=True)
        weights = np.bincount(where, weight)
        period, values = keys // len(bins), bins[keys % len(bins)]
        first = np.flatnonzero(np.concatenate([[True], period[1:] != period[:-1]]))
        for begin, end in zip(first.tolist(), [*first[1:].tolist(), len(keys)], strict=True):
            found = wanted.of(list(zip(values[begin:end].tolist(), weights[begin:end].tolist(), strict=True)))
            made[period[begin]] = math.nan if found is None else found


def _is_whole(weight: np.ndarray | None) -> bool:
    return weight is None or bool(np.all((weight == np.floor(weight)) & (weight > 0)))
