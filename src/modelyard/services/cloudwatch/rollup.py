"""Metric points older than minutes, packed: by second for three hours, then by minute, 5 minutes and hour, each kept as long as AWS keeps it.

New points are rows (`metric_points`). `Rollup.roll` moves them, series by series in one transaction each, into packs (packs.py): into one of whole
seconds while their seconds count, later that one into the three coarser ones. What is asked is the sum of packs and rows, so a late point is
just a row until it is moved, and nothing is counted twice or lost by a crash.

Percentiles need values: periods of several different ones have them beside their pack (seen.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from modelyard.kernel.database import Database, Tx
from modelyard.services.cloudwatch import periods

if TYPE_CHECKING:
    from modelyard.services.cloudwatch.heap import Heap

SLOTS = {1: 10_800, 60: 1_440, 300: 1_440, 3_600: 480}
"""Periods in a pack."""
LONGEST = {1: 10_800, 60: 1_440, 300: 1_440, 3_600: 1_440}
"""Periods in any pack there may be: older releases made longer ones of hours."""
YOUNG_SECONDS, YOUNG_STEP = 60.0, 600.0
"""Rows stay rows for a minute at least; a pack is written every ten minutes at most."""
HELD = {"/aws/sagemaker/TrainingJobs": 15 * periods.DAY}
"""Namespaces whose single values are asked for as they came (components of experiments), and for how long."""
AT_ONCE = 10
"""Series moved per transaction: writers wait for no longer."""

EVER = 1e15
Row = Sequence[float]
"""Time, samples, total, low, high."""


class Rollup:
    def __init__(self, db: Database) -> None:
        self._db = db

    def roll(self, now: float) -> int:
        """Moves what is old enough; the number of series moved. May be stopped and repeated at any time, by several at once."""
        held = ",".join("?" * len(HELD))
        young = now - YOUNG_SECONDS
        until = young - young % YOUNG_STEP
        due = {series: until for (series,) in self._db.read(f"{_DUE} AND s.namespace NOT IN ({held})", (until, *HELD))}
        for namespace, seconds in HELD.items():
            until = _hour(now - seconds)
            due |= {series: until for (series,) in self._db.read(f"{_DUE} AND s.namespace = ?", (until, namespace))}
        for (series,) in self._db.read("SELECT DISTINCT series_id FROM metric_packs WHERE size = 1 AND start <= ?", (_aged(now),)):
            due.setdefault(series, 0.0)
        some = sorted(due.items())
        for begin in range(0, len(some), AT_ONCE):

            def work(tx: Tx, some: Sequence[tuple[int, float]] = some[begin : begin + AT_ONCE]) -> None:
                for series, until in some:
                    _move(tx, series, until, now)

            self._db.grouped(work)
        return len(some)

    def expire(self, now: float) -> None:
        """Drops packs that are past their retention, and series that have nothing any more."""

        def work(tx: Tx) -> None:
            for size, seconds in periods.LEVELS:
                if size > 1:  # those of seconds are moved, not dropped
                    tx.execute("DELETE FROM metric_packs WHERE size = ? AND start <= ?", (size, now - seconds - size * LONGEST[size]))
            tx.execute(
                "DELETE FROM metric_series WHERE last_at < ? AND NOT EXISTS (SELECT 1 FROM metric_points p WHERE p.series_id = metric_series.id) "
                "AND NOT EXISTS (SELECT 1 FROM metric_packs k WHERE k.series_id = metric_series.id)",
                (now - periods.kept(3_600),),
            )

        self._db.grouped(work)


_DUE = "SELECT s.id FROM metric_series s WHERE EXISTS (SELECT 1 FROM metric_points p WHERE p.series_id = s.id AND p.at < ?)"


def _hour(at: float) -> float:
    return at - at % 3_600


def _aged(now: float) -> float:
    """Packs of seconds that begin by then are over: the last of them is three hours old."""
    return now - periods.kept(1) - SLOTS[1]


def _move(tx: Tx, series: int, until: float, now: float) -> None:
    from modelyard.services.cloudwatch.heap import Heap

    # Where two may write at once (PostgreSQL), the other one waits here.
    tx.execute("UPDATE metric_series SET last_at = last_at WHERE id = ?", (series,))
    rows = tx.execute(
        "DELETE FROM metric_points WHERE series_id = ? AND at < ? RETURNING at, unit, samples, total, low, high", (series, until)
    )
    units: dict[str, list[Row]] = {}
    for at, unit, *stats in rows:
        units.setdefault(unit, []).append((at, *stats))
    seconds = _hour(now - periods.kept(1))
    for unit, points in units.items():
        heap = Heap.of_rows(points)
        _add(tx, series, unit, 1, heap.between(seconds, EVER))
        _settle(tx, series, unit, heap.between(-EVER, seconds), now)
    for start, unit, *blobs in tx.execute(
        "DELETE FROM metric_packs WHERE series_id = ? AND size = 1 AND start <= ? RETURNING start, unit, body, extremes, seen",
        (series, _aged(now)),
    ):
        body, extremes, seen = (bytes(blob or b"") for blob in blobs)
        _settle(tx, series, unit, Heap.of_pack(body, extremes, seen, start, 1), now)


def _settle(tx: Tx, series: int, unit: str, heap: Heap, now: float) -> None:
    """Into packs of minutes, 5 minutes and hours, each as far as it is kept."""
    for size, seconds in periods.LEVELS:
        if size > 1:
            _add(tx, series, unit, size, heap.between(now - seconds - size, EVER))


def _add(tx: Tx, series: int, unit: str, size: int, heap: Heap) -> None:
    from modelyard.services.cloudwatch.heap import Heap

    for start, mine in heap.by(size * SLOTS[size]):
        key = (series, size, start, unit)
        there = tx.execute("SELECT body, extremes, seen FROM metric_packs WHERE series_id = ? AND size = ? AND start = ? AND unit = ?", key)
        if there:
            body, extremes, seen = (bytes(blob or b"") for blob in there[0])
            mine = Heap.of_pack(body, extremes, seen, start, size).plus(mine)
        tx.execute(
            "INSERT INTO metric_packs (series_id, size, start, unit, body, extremes, seen) VALUES (?,?,?,?,?,?,?) "
            "ON CONFLICT (series_id, size, start, unit) DO UPDATE SET body = excluded.body, extremes = excluded.extremes, seen = excluded.seen",
            (*key, *mine.packed(start, size)),
        )
