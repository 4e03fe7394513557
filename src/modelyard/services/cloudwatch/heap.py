"""Points in memory on their way from rows and packs into packs. Imported where it is needed, as packs.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from modelyard.kernel.lazily import numpy as np
from modelyard.services.cloudwatch import packs, seen
from modelyard.services.cloudwatch.seen import Values


@dataclass(frozen=True)
class Heap:
    """Points of one series and unit: times, columns of (samples, totals, lows, highs), the values they are of, and the times of
    those whose values are not known (statistic sets)."""

    at: np.ndarray
    columns: np.ndarray
    values: Values
    unknown: np.ndarray

    @staticmethod
    def of_rows(rows: Sequence[Sequence[float]]) -> Heap:
        """(time, samples, total, low, high) each."""
        table = np.array(rows, np.float64).T
        same = table[3] == table[4]
        return Heap(table[0], table[1:], Values(table[0][same], table[3][same], table[1][same]), table[0][~same])

    @staticmethod
    def of_pack(body: bytes, extremes: bytes, blob: bytes, start: float, size: int) -> Heap:
        at, columns = packs.open_pack(body, extremes, start, size)
        samples, _, low, high = columns
        same = low == high
        values = Values(at[same], low[same], samples[same])
        if blob:
            values = _both(values, seen.flat(seen.read(blob, start, size)))
        return Heap(at, columns, values, np.setdiff1d(at, values.at))

    def between(self, start: float, end: float) -> Heap:
        mine, theirs, not_known = (_in(at, start, end) for at in (self.at, self.values.at, self.unknown))
        return Heap(self.at[mine], self.columns[:, mine], _cut(self.values, theirs), self.unknown[not_known])

    def by(self, span: float) -> Iterator[tuple[float, Heap]]:
        """By multiples of `span` seconds."""
        for start in np.unique(self.at - self.at % span).tolist():
            yield start, self.between(start, start + span)

    def plus(self, other: Heap) -> Heap:
        return Heap(
            np.concatenate([self.at, other.at]),
            np.concatenate([self.columns, other.columns], axis=1),
            _both(self.values, other.values),
            np.concatenate([self.unknown, other.unknown]),
        )

    def packed(self, start: float, size: int) -> tuple[bytes, bytes, bytes]:
        """(body, extremes, seen) by periods of `size` seconds."""
        at, columns = packs.gathered(self.at - self.at % size, self.columns)
        several = np.setdiff1d(at[columns[2] != columns[3]], self.unknown - self.unknown % size)
        of = self.values.at - self.values.at % size
        values = _cut(Values(of, self.values.value, self.values.weight), np.isin(of, several))
        blob = seen.write(values, start, size)
        if size == 3_600 and blob and not len(self.unknown):
            blob = seen.with_days(blob, self.values, start)
        return *packs.make_pack(at, columns, start, size), blob


def _in(at: np.ndarray, start: float, end: float) -> np.ndarray:
    return (at >= start) & (at < end)


def _both(one: Values, other: Values) -> Values:
    weights = [np.ones(len(some.at)) if some.weight is None else some.weight for some in (one, other)]
    return Values(np.concatenate([one.at, other.at]), np.concatenate([one.value, other.value]), np.concatenate(weights))


def _cut(values: Values, wanted: np.ndarray) -> Values:
    return Values(values.at[wanted], values.value[wanted], None if values.weight is None else values.weight[wanted])
