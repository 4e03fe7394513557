"""The points of a time series as two arrays, and as the mapping that metric math reads. Imported where it is needed, as packs.py."""

from __future__ import annotations

import math
from collections.abc import ItemsView, Iterator, KeysView, Mapping, Sequence, ValuesView
from functools import cached_property

from modelyard.kernel.lazily import numpy as np


class Points(Mapping[float, float]):
    """`at` rises; no value is NaN."""

    def __init__(self, at: np.ndarray, values: np.ndarray) -> None:
        self.at, self.array = at, values

    @staticmethod
    def of(at: np.ndarray, values: np.ndarray) -> Points:
        """Without those that are NaN."""
        there = ~np.isnan(values)
        return Points(at[there], values[there])

    @cached_property
    def table(self) -> dict[float, float]:
        return dict(zip(self.at.tolist(), self.array.tolist(), strict=True))

    def __len__(self) -> int:
        return len(self.at)

    def __getitem__(self, at: float) -> float:
        return self.table[at]

    def __iter__(self) -> Iterator[float]:
        return iter(self.table)

    def __contains__(self, at: object) -> bool:
        return at in self.table

    def keys(self) -> KeysView[float]:
        return self.table.keys()

    def values(self) -> ValuesView[float]:
        return self.table.values()

    def items(self) -> ItemsView[float, float]:
        return self.table.items()


def folded(name: str, series: Sequence[Points]) -> Points:
    """SUM, AVG, MIN, MAX, STDDEV or DATAPOINT_COUNT of many time series at each time that one of them has."""
    times = np.concatenate([one.at for one in series])
    values = np.concatenate([one.array for one in series])
    at, place = np.unique(times, return_inverse=True)
    counts = np.bincount(place)
    if name == "DATAPOINT_COUNT":
        return Points(at, counts.astype(float))
    if name in ("MIN", "MAX"):
        made = np.full(len(at), math.inf if name == "MIN" else -math.inf)
        (np.minimum if name == "MIN" else np.maximum).at(made, place, values)
        return Points(at, made)
    total = np.bincount(place, values)
    if name == "STDDEV":
        mean = (total / counts)[place]
        return Points(at, np.sqrt(np.bincount(place, (values - mean) ** 2) / counts))
    return Points(at, total / counts if name == "AVG" else total)
