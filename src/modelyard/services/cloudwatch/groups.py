"""Metrics Insights: what the metrics of each group add up to. Imported where it is needed, as packs.py."""

from __future__ import annotations

from collections.abc import Sequence

from modelyard.kernel.lazily import numpy as np
from modelyard.services.cloudwatch.expressions.insights import FUNCTIONS, Query
from modelyard.services.cloudwatch.points import Points
from modelyard.services.cloudwatch.sums import Sums, Windows


def grouped(
    query: Query, found: Sequence[tuple[int, Sums]], groups: Sequence[tuple[str, ...]], windows: Windows
) -> list[tuple[tuple[str, ...], Points]]:
    """(group, points) in the query's order. `groups` are those of the series, in the order of `found`."""
    names = sorted(set(groups))
    place = {name: number for number, name in enumerate(names)}
    whole = Sums(len(names), windows)
    for begin, sums in found:
        lines = np.array([place[group] for group in groups[begin : begin + sums.series]])
        for how, into, given in (
            (np.add, whole.samples, sums.samples), (np.add, whole.total, sums.total), (np.minimum, whole.low, sums.low),
            (np.maximum, whole.high, sums.high), (np.logical_or, whole.there, sums.there),
        ):  # fmt: skip
            how.at(into, lines, given)
    there = whole.there.any(axis=1)
    values, order = whole.statistic(FUNCTIONS[query.function]), np.arange(len(names))
    if query.order is not None:
        over = Sums(len(names), Windows(0.0, 1.0, 1.0, 0.0))
        over.samples, over.total = whole.samples.sum(1, keepdims=True), whole.total.sum(1, keepdims=True)
        over.low, over.high = whole.low.min(1, keepdims=True), whole.high.max(1, keepdims=True)
        key = over.statistic(FUNCTIONS[query.order])[:, 0]
        order = np.argsort(-key if query.down else key, kind="stable")
    lines = [line for line in order.tolist() if there[line]][: query.limit]
    return [(names[line], Points(windows.starts[whole.there[line]], values[line][whole.there[line]])) for line in lines]
