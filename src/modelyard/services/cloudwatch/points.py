"""The points of a time series as two arrays, and as the mapping that metric math reads. Imported where it is needed, as packs.py."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
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
