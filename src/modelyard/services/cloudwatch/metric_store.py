"""Where metric points live: a table of series, a table of points of the last hours, and packs of older ones (rollup.py).

A point is a weighted value, or a statistic set (then percentiles cannot use it, as in AWS, unless it is a
single sample or min equals max).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson

from modelyard.kernel.clock import Clock
from modelyard.kernel.database import Database, Tx
from modelyard.services.cloudwatch import packs, periods
from modelyard.services.cloudwatch.rollup import Rollup, values_of
from modelyard.services.cloudwatch.statistic import extended

if TYPE_CHECKING:
    import numpy as np

MIGRATIONS = [
    """
    CREATE TABLE metric_series (
        id @SERIAL@, account TEXT NOT NULL, region TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
        dimensions TEXT NOT NULL, last_at DOUBLE PRECISION NOT NULL, UNIQUE (account, region, namespace, name, dimensions));
    CREATE TABLE metric_points (
        series_id BIGINT NOT NULL, at DOUBLE PRECISION NOT NULL, unit TEXT NOT NULL,
        samples DOUBLE PRECISION NOT NULL, total DOUBLE PRECISION NOT NULL, low DOUBLE PRECISION NOT NULL, high DOUBLE PRECISION NOT NULL);
    CREATE INDEX metric_points_place ON metric_points (series_id, at);
    CREATE TABLE metric_sources (source TEXT PRIMARY KEY, place BIGINT NOT NULL)
    """,
    """
    CREATE TABLE metric_packs (
        series_id BIGINT NOT NULL, size INTEGER NOT NULL, start DOUBLE PRECISION NOT NULL, unit TEXT NOT NULL,
        body @BLOB@ NOT NULL, seen @BLOB@ NOT NULL, PRIMARY KEY (series_id, size, start, unit))
    """,
]


@dataclass(frozen=True)
class Point:
    at: float
    unit: str
    samples: float
    total: float
    low: float
    high: float


@dataclass
class Bucket:
    """All points of one period, and the statistics of them by AWS's names."""

    start: float
    unit: str = "None"
    samples: float = 0.0
    total: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    values: list[tuple[float, float]] = field(default_factory=list)
    exact: bool = True

    def add(self, point: Point, values: Sequence[Sequence[float]] | None) -> None:
        """`values` are [value, weight] pairs, None where they are not known."""
        self.unit = point.unit
        self.samples += point.samples
        self.total += point.total
        self.low, self.high = min(self.low, point.low), max(self.high, point.high)
        if values is None:
            self.exact = False
        else:
            self.values += [(value, weight) for value, weight in values]

    def statistic(self, name: str) -> float | None:
        """A statistic by AWS's name (statistic.py); None where it cannot be known."""
        if name == "Average":
            return self.total / self.samples if self.samples else 0.0
        plain = {"SampleCount": self.samples, "Sum": self.total, "Minimum": self.low, "Maximum": self.high}
        if name in plain:
            return plain[name]
        wanted = extended(name)
        return wanted.of(self.values) if wanted is not None and self.exact else None


class MetricStore:
    """`platform.metrics`."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = self.db = db
        self._clock = clock
        serial, blob = ("INTEGER PRIMARY KEY AUTOINCREMENT", "BLOB") if db.dialect == "sqlite" else ("BIGSERIAL PRIMARY KEY", "BYTEA")
        db.migrate("metrics", [step.replace("@SERIAL@", serial).replace("@BLOB@", blob) for step in MIGRATIONS])
        self._rollup = Rollup(db)

    def put(
        self, account: str, region: str, namespace: str, data: Sequence[Mapping[str, Any]], source: tuple[str, Sequence[int]] | None = None
    ) -> None:
        """MetricDatum dicts as PutMetricData takes them; a missing Timestamp is now (platform time). `source` is (name, place of
        each datum, rising): what is not beyond the last place of before is dropped, so a follower of a file may repeat itself."""
        now = self._clock.now()

        def work(tx: Tx) -> None:
            rows: dict[tuple[str, str], list[tuple[Any, ...]]] = {}
            told: dict[int, str] = {}  # followers of files give many data the same list of dimensions
            for datum in data if source is None else _new(tx, data, *source):
                dimensions = datum.get("Dimensions", ())
                if id(dimensions) not in told:
                    told[id(dimensions)] = canonical(dimensions)
                at, unit = datum.get("Timestamp", now), datum.get("Unit", "None")
                points = rows.setdefault((datum["MetricName"], told[id(dimensions)]), [])
                points += [(at, unit, *stats) for stats in _points(datum)]
            for (name, dimensions), points in rows.items():
                series = self._series(tx, (account, region, namespace, name, dimensions), max((at for at, *_ in points), default=now))
                tx.executemany("INSERT INTO metric_points VALUES (?,?,?,?,?,?,?)", [(series, *point) for point in points])

        self._db.grouped(work)

    def series(
        self, account: str, region: str, *, namespace: str | None = None, name: str | None = None, since: float = 0.0
    ) -> list[tuple[int, str, str, list[dict[str, str]]]]:
        """(id, namespace, name, dimensions) of every series, oldest first."""
        where, values = ["account = ?", "region = ?", "last_at >= ?"], [account, region, since]
        for column, value in (("namespace", namespace), ("name", name)):
            if value is not None:
                where.append(f"{column} = ?")
                values.append(value)
        rows = self._db.read(f"SELECT id, namespace, name, dimensions FROM metric_series WHERE {' AND '.join(where)} ORDER BY id", values)
        return [(row[0], row[1], row[2], [{"Name": n, "Value": v} for n, v in orjson.loads(row[3])]) for row in rows]

    def ids(self, account: str, region: str, namespace: str, name: str, dimensions: Sequence[Mapping[str, str]]) -> list[int]:
        """The series of exactly these dimensions: one or none."""
        rows = self._db.read(
            "SELECT id FROM metric_series WHERE account = ? AND region = ? AND namespace = ? AND name = ? AND dimensions = ?",
            (account, region, namespace, name, canonical(dimensions)),
        )
        return [row[0] for row in rows]

    def every_point(
        self, account: str, region: str, namespace: str, dimensions: Sequence[Mapping[str, str]]
    ) -> list[tuple[str, float, float]]:
        """(metric name, time, value) of every single value with exactly these dimensions, in the order of time."""
        return self._db.read(
            "SELECT s.name, p.at, p.low FROM metric_points p JOIN metric_series s ON s.id = p.series_id "
            "WHERE s.account = ? AND s.region = ? AND s.namespace = ? AND s.dimensions = ? AND p.samples = 1 ORDER BY p.at, s.name, p.low",
            (account, region, namespace, canonical(dimensions)),
        )

    def buckets(
        self,
        account: str,
        region: str,
        namespace: str,
        name: str,
        dimensions: Sequence[Mapping[str, str]],
        start: float,
        end: float,
        period_s: float,
        unit: str | None = None,
        anchor: float = 0.0,
        exact: bool = True,
    ) -> list[Bucket]:
        """The points of exactly this series in [start, end), by period, oldest first. Periods begin at multiples of their length
        after `anchor`. Not `exact`: only what plain statistics need. What is past its retention is not there."""
        found = self.ids(account, region, namespace, name, dimensions)
        if not exact:
            at, columns = self.sums(found, start, end, period_s, unit, anchor)
            named = self._unit(found, start, end) if unit is None else unit
            return [Bucket(begin, named, *stats, exact=False) for begin, *stats in zip(at[:, 1].tolist(), *columns.tolist(), strict=True)]
        buckets: dict[float, Bucket] = {}
        start = self._seen_from(start, period_s, anchor)
        for series in found:
            for point, values in self._single(series, start, end, period_s, unit, anchor):
                begin = point.at - (point.at - anchor) % period_s
                buckets.setdefault(begin, Bucket(begin)).add(point, values)
        return [buckets[begin] for begin in sorted(buckets)]

    def sums(
        self, series: Sequence[int], start: float, end: float, period_s: float, unit: str | None = None, anchor: float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Many series at once: ((place of the series, start of period) …, in this order), and (samples, totals, lows, highs)."""
        start, size = self._seen_from(start, period_s, anchor), periods.resolution(period_s, anchor)
        if not series or start >= end:
            return packs.nothing()
        place = {one: number for number, one in enumerate(series)}
        packed = [(place[one], bytes(body)) for one, _, body, _ in self._packs(series, size, start, end, unit)]
        rows = [(place[one], *columns) for one, *columns in self._rows(series, start, end, period_s, unit, anchor)]
        return packs.summed(packed, rows, start, end, period_s, anchor)

    def sweep(self) -> None:
        """Packs what is old enough and drops what is past its retention; safe to repeat."""
        now = self._clock.now()
        self._rollup.roll(now)
        self._rollup.expire(now)

    def _seen_from(self, start: float, period_s: float, anchor: float) -> float:
        """The start, or the beginning of the period in which the retention of this resolution begins."""
        oldest = self._clock.now() - periods.kept(periods.resolution(period_s, anchor))
        return start if start >= oldest else max(start, oldest - (oldest - anchor) % period_s)

    def _packs(self, series: Sequence[int], size: int, start: float, end: float, unit: str | None, values: bool = False) -> list[Any]:
        if size == 1 or start >= self._clock.now() - periods.kept(1):
            return []  # nothing so young is packed
        return self._rollup.packs(series, size, start, end, unit, values)

    def _rows(self, series: Sequence[int], start: float, end: float, period_s: float, unit: str | None, anchor: float) -> list[Any]:
        """(series, start of period, samples, total, low, high) of what is not packed, added up by the database."""
        place = "CAST((p.at - ?) / ? AS INTEGER)" if self._db.dialect == "sqlite" else "floor((p.at - ?) / ?)"
        low = anchor - math.ceil((anchor - start) / period_s) * period_s if start < anchor else anchor  # CAST cuts towards zero
        rows = self._db.read(
            f"SELECT p.series_id, {place} AS place, sum(p.samples), sum(p.total), min(p.low), max(p.high) FROM metric_points p "
            f"WHERE p.series_id IN ({','.join('?' * len(series))}) AND p.at >= ? AND p.at < ?"
            f"{'' if unit is None else ' AND p.unit = ?'} GROUP BY 1, 2 ORDER BY 1, 2",
            (low, period_s, *series, start, end, *([] if unit is None else [unit])),
        )
        # A period that the start cuts begins before it: it is named by its first moment that is asked for.
        return [(row[0], max(start, low + float(row[1]) * period_s), *row[2:]) for row in rows]

    def _single(
        self, series: int, start: float, end: float, period_s: float, unit: str | None, anchor: float
    ) -> list[tuple[Point, list[list[float]] | None]]:
        """Points, packed ones with the values they are of (None: not known)."""
        rows = self._db.read(
            "SELECT at, unit, samples, total, low, high FROM metric_points WHERE series_id = ? AND at >= ? AND at < ? ORDER BY at",
            (series, start, end),
        )
        found = [(Point(*row), [[row[4], row[2]]] if row[4] == row[5] else None) for row in rows if unit is None or row[1] == unit]
        size = periods.resolution(period_s, anchor)
        for _, named, body, seen in self._packs([series], size, start, end, unit, values=True):
            known = {float(at): values for at, values in orjson.loads(bytes(seen))}
            for at, samples, total, low, high in packs.open_pack(bytes(body)).T.tolist():
                if start <= at < end:
                    found.append((Point(at, named, samples, total, low, high), values_of((samples, low, high), known.get(at))))
        return found

    def _unit(self, series: Sequence[int], start: float, end: float) -> str:
        """The unit of the newest point; the packs' where all are packed."""
        for one in series:
            rows = self._db.read("SELECT unit FROM metric_points WHERE series_id = ? AND at < ? ORDER BY at DESC LIMIT 1", (one, end))
            rows = rows or self._db.read("SELECT unit FROM metric_packs WHERE series_id = ? ORDER BY start DESC LIMIT 1", (one,))
            if rows:
                return rows[0][0]
        return "None"

    def _series(self, tx: Tx, key: tuple[str, ...], at: float) -> int:
        rows = tx.execute(
            "INSERT INTO metric_series (account, region, namespace, name, dimensions, last_at) VALUES (?,?,?,?,?,?) "
            "ON CONFLICT (account, region, namespace, name, dimensions) DO UPDATE SET "
            "last_at = CASE WHEN metric_series.last_at < excluded.last_at THEN excluded.last_at ELSE metric_series.last_at END RETURNING id",
            (*key, at),
        )
        return rows[0][0]


def canonical(dimensions: Sequence[Mapping[str, str]]) -> str:
    """Dimensions as one comparable text: their order does not matter."""
    return orjson.dumps(sorted([d["Name"], d["Value"]] for d in dimensions)).decode()


def _new(tx: Tx, data: Sequence[Mapping[str, Any]], name: str, places: Sequence[int]) -> list[Mapping[str, Any]]:
    # Writes the row in any case: where two may write at once (PostgreSQL), the other one waits here.
    ((seen,),) = tx.execute(
        "INSERT INTO metric_sources VALUES (?,0) ON CONFLICT (source) DO UPDATE SET place = metric_sources.place RETURNING place", (name,)
    )
    new = [datum for datum, place in zip(data, places, strict=True) if place > seen]
    if new:
        tx.execute("UPDATE metric_sources SET place = ? WHERE source = ?", (places[-1], name))
    return new


def _points(datum: Mapping[str, Any]) -> list[tuple[float, float, float, float]]:
    """(samples, total, low, high) rows of one datum."""
    if "StatisticValues" in datum:
        s = datum["StatisticValues"]
        return [(s["SampleCount"], s["Sum"], s["Minimum"], s["Maximum"])]
    if "Values" in datum:
        counts = datum.get("Counts") or [1.0] * len(datum["Values"])
        return [(c, v * c, v, v) for v, c in zip(datum["Values"], counts, strict=True)]
    value = datum["Value"]
    return [(1.0, value, value, value)]
