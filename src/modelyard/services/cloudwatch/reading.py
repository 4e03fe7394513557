"""The statements that bring packs and rows of series, each in one look: what is moved from rows to packs meanwhile is seen once.

Rows of an answer: (1, series, start, size, unit, body, extremes, seen, then four Nones) of a pack, and of points (0, …) with their unit and with the
samples, total, low and high at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from modelyard.kernel.database import Database
from modelyard.services.cloudwatch import periods
from modelyard.services.cloudwatch.rollup import LONGEST

if TYPE_CHECKING:
    from modelyard.services.cloudwatch.sums import Windows

_NOTHING = "CAST(NULL AS DOUBLE PRECISION)"


class Reading:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._blob = "BLOB" if db.dialect == "sqlite" else "BYTEA"

    def sums(self, series: Sequence[int], windows: Windows, unit: str | None, extremes: bool, now: float) -> list[Any]:
        """Of points, one row for each period and unit that has some: its number is in the place of the size."""
        sql, values = self._packs(series, windows, unit, now, ["body", "extremes" if extremes else self._none, self._none])
        place = f"CAST((p.at - ?) / ? AS {'INTEGER' if self._db.dialect == 'sqlite' else 'BIGINT'})"
        if self._db.dialect != "sqlite":
            place = "CAST(floor((p.at - ?) / ?) AS BIGINT)"
        points = (
            f"SELECT 0, p.series_id, {_NOTHING}, {place}, p.unit, {self._none}, {self._none}, {self._none}, "
            f"sum(p.samples), sum(p.total), min(p.low), max(p.high) FROM metric_points p WHERE {self._of(series, unit)} GROUP BY 2, 4, 5"
        )
        more = [windows.first, windows.period_s, *self._place(series, windows, unit)]
        return self._db.read(f"{sql} UNION ALL {points}", [*values, *more])

    def values(self, series: Sequence[int], windows: Windows, unit: str | None, now: float) -> list[Any]:
        """Of points, each row with its time in the place of the start."""
        sql, values = self._packs(series, windows, unit, now, ["body", "extremes", "seen"])
        points = (
            f"SELECT 0, p.series_id, p.at, 0, p.unit, {self._none}, {self._none}, {self._none}, p.samples, p.total, p.low, p.high "
            f"FROM metric_points p WHERE {self._of(series, unit)}"
        )
        return self._db.read(f"{sql} UNION ALL {points}", [*values, *self._place(series, windows, unit)])

    @property
    def _none(self) -> str:
        return f"CAST(NULL AS {self._blob})"

    def _packs(
        self, series: Sequence[int], windows: Windows, unit: str | None, now: float, columns: Sequence[str]
    ) -> tuple[str, list[Any]]:
        sizes = {1, periods.resolution(windows.period_s, windows.anchor)}
        if windows.start >= now - periods.kept(1):
            sizes = {1}  # nothing so young is in a coarser one
        parts, values = [], []
        for size in sorted(sizes, reverse=True):
            parts.append(
                f"SELECT 1, series_id, start, size, unit, {', '.join(columns)}, {', '.join([_NOTHING] * 4)} FROM metric_packs "
                f"WHERE series_id IN ({','.join('?' * len(series))}) AND size = ? AND start > ? AND start < ?{'' if unit is None else ' AND unit = ?'}"
            )
            values += [*series, size, windows.start - size * LONGEST[size], windows.end, *([] if unit is None else [unit])]
        return " UNION ALL ".join(parts), values

    def _of(self, series: Sequence[int], unit: str | None) -> str:
        return f"p.series_id IN ({','.join('?' * len(series))}) AND p.at >= ? AND p.at < ?{'' if unit is None else ' AND p.unit = ?'}"

    def _place(self, series: Sequence[int], windows: Windows, unit: str | None) -> list[Any]:
        return [*series, windows.start, windows.end, *([] if unit is None else [unit])]
