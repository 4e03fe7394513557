"""Metric points older than three hours: packed by minute, 5 minutes and hour, each kept as long as AWS keeps it.

New points are rows (`metric_points`), and stay so for the three hours in which their seconds count. Then `Rollup.roll` moves them, series by
series in one transaction each, into packs: one row holds 1,440 periods of one series and unit as columns of numbers. What is asked is the
sum of packs and rows, so a late point is just a row until it is moved, and nothing is counted twice or lost by a crash.

Percentiles need values: a period of several different ones has them beside its pack, as long as they are few; else thinned to groups within
1 % of each other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from modelyard.kernel.database import Database, Tx
from modelyard.services.cloudwatch import packs, periods

SLOTS = 1_440
"""Periods in a pack."""
MOST_VALUES, NEAR = 128, math.log(1.01)
HELD = {"/aws/sagemaker/TrainingJobs": 15 * periods.DAY}
"""Namespaces whose single values are asked for as they came (components of experiments), and for how long."""
AT_ONCE = 20
"""Series moved per transaction: writers wait for no longer."""

Values = list[list[float]]
"""[value, weight] pairs."""


def thinned(values: Iterable[Sequence[float]]) -> Values:
    """Each value once; where they are many, those within 1 % of each other as one of their mean."""
    weights: dict[float, float] = {}
    for value, weight in values:
        weights[value] = weights.get(value, 0.0) + weight
    if len(weights) <= MOST_VALUES:
        return [[value, weight] for value, weight in weights.items()]
    groups: dict[tuple[int, int], list[float]] = {}
    for value, weight in weights.items():
        key = (0, 0) if value == 0 else (1 if value > 0 else -1, math.floor(math.log(abs(value)) / NEAR))
        group = groups.setdefault(key, [0.0, 0.0])
        group[0] += value * weight
        group[1] += weight
    return [[total / weight, weight] for total, weight in groups.values() if weight]


class Rollup:
    def __init__(self, db: Database) -> None:
        self._db = db

    def roll(self, now: float) -> int:
        """Moves what is old enough; the number of points moved. May be stopped and repeated at any time, by several at once."""
        moved = 0
        plain = _hour(now - periods.kept(1))
        held = ",".join("?" * len(HELD))
        due = [(series, plain) for (series,) in self._db.read(f"{_DUE} AND s.namespace NOT IN ({held})", (plain, *HELD))]
        for namespace, seconds in HELD.items():
            until = _hour(now - seconds)
            due += [(series, until) for (series,) in self._db.read(f"{_DUE} AND s.namespace = ?", (until, namespace))]
        for begin in range(0, len(due), AT_ONCE):
            some = due[begin : begin + AT_ONCE]

            def work(tx: Tx, some: list[tuple[int, float]] = some) -> int:
                return sum(_move(tx, series, until, now) for series, until in some)

            moved += self._db.grouped(work)
        return moved

    def expire(self, now: float) -> None:
        """Drops packs that are past their retention, and series that have nothing any more."""

        def work(tx: Tx) -> None:
            for size, seconds in periods.LEVELS:
                tx.execute("DELETE FROM metric_packs WHERE size = ? AND start <= ?", (size, now - seconds - size * SLOTS))
            tx.execute(
                "DELETE FROM metric_series WHERE last_at < ? AND NOT EXISTS (SELECT 1 FROM metric_points p WHERE p.series_id = metric_series.id) "
                "AND NOT EXISTS (SELECT 1 FROM metric_packs k WHERE k.series_id = metric_series.id)",
                (now - periods.kept(3_600),),
            )

        self._db.grouped(work)

    def packs(self, series: Sequence[int], size: int, start: float, end: float, unit: str | None, values: bool = False) -> list[Any]:
        """(series, unit, body, values or None) of packs that have something in [start, end)."""
        places = ",".join("?" * len(series))
        return self._db.read(
            f"SELECT series_id, unit, body, {'seen' if values else 'NULL'} FROM metric_packs WHERE series_id IN ({places}) AND size = ? "
            f"AND start > ? AND start < ? {'' if unit is None else 'AND unit = ?'} ORDER BY series_id, start, unit",
            (*series, size, start - size * SLOTS, end, *([] if unit is None else [unit])),
        )


_DUE = "SELECT s.id FROM metric_series s WHERE EXISTS (SELECT 1 FROM metric_points p WHERE p.series_id = s.id AND p.at < ?)"


def _hour(at: float) -> float:
    """Whole hours, so that a pack is written once an hour and not at each look."""
    return at - at % 3_600


def _move(tx: Tx, series: int, until: float, now: float) -> int:
    # Where two may write at once (PostgreSQL), the other one waits here.
    tx.execute("UPDATE metric_series SET last_at = last_at WHERE id = ?", (series,))
    rows = tx.execute(
        "DELETE FROM metric_points WHERE series_id = ? AND at < ? RETURNING at, unit, samples, total, low, high", (series, until)
    )
    units: dict[str, list[Any]] = {}
    for at, unit, *stats in rows:
        units.setdefault(unit, []).append((at, *stats))
    for unit, points in units.items():
        for size, seconds in periods.LEVELS:
            if size > 1:
                _add(tx, series, unit, size, [point for point in points if point[0] >= now - seconds - size])
    return len(rows)


def _add(tx: Tx, series: int, unit: str, size: int, points: list[tuple[float, ...]]) -> None:
    chunks: dict[float, list[tuple[float, ...]]] = {}
    for point in points:
        chunks.setdefault(point[0] - point[0] % (size * SLOTS), []).append(point)
    for start, mine in chunks.items():
        key = (series, size, start, unit)
        there = tx.execute("SELECT body, seen FROM metric_packs WHERE series_id = ? AND size = ? AND start = ? AND unit = ?", key)
        seen = {float(at): values for at, values in orjson.loads(bytes(there[0][1]))} if there else {}
        rows = [(point[0] - point[0] % size, *point[1:]) for point in mine]
        old, body = packs.grown(bytes(there[0][0]) if there else None, rows)
        _remember(seen, old, rows)
        tx.execute(
            "INSERT INTO metric_packs VALUES (?,?,?,?,?,?) ON CONFLICT (series_id, size, start, unit) "
            "DO UPDATE SET body = excluded.body, seen = excluded.seen",
            (*key, body, orjson.dumps(list(seen.items()))),
        )


def _remember(seen: dict[float, Values], old: Iterable[Sequence[float]], new: Iterable[Sequence[float]]) -> None:
    """Both are (start of period, samples, total, low, high). Keeps the values of periods that have different ones, in `seen`; none of a period with a statistic set in it."""
    had = {at: (samples, low, high) for at, samples, _, low, high in old}
    found: dict[float, Values | None] = {}
    for at, samples, _, low, high in new:
        if at not in found:
            found[at] = [] if at not in had else values_of(had[at], seen.get(at))
        values = found[at]
        if values is not None:
            found[at] = [*values, [low, samples]] if low == high else None
    for at, values in found.items():
        seen.pop(at, None)
        if values is not None and len({value for value, _ in values}) > 1:
            seen[at] = thinned(values)


def values_of(period: tuple[float, float, float], seen: Values | None) -> Values | None:
    """The values of a packed period of (samples, low, high); None: not known."""
    samples, low, high = period
    return [[low, samples]] if low == high else seen
