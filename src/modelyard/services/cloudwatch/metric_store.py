"""Where metric points live: a table of series and a table of points, on the raw driver with group commit.

A point is a weighted value, or a statistic set (then percentiles cannot use it, as in AWS, unless it is a
single sample or min equals max).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from modelyard.kernel.clock import Clock
from modelyard.kernel.database import Database, Tx
from modelyard.services.cloudwatch.statistic import extended

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

    def add(self, point: Point) -> None:
        self.unit = point.unit
        self.samples += point.samples
        self.total += point.total
        self.low, self.high = min(self.low, point.low), max(self.high, point.high)
        if point.low == point.high:
            self.values.append((point.low, point.samples))
        else:
            self.exact = False

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
        serial = "INTEGER PRIMARY KEY AUTOINCREMENT" if db.dialect == "sqlite" else "BIGSERIAL PRIMARY KEY"
        db.migrate("metrics", [step.replace("@SERIAL@", serial) for step in MIGRATIONS])

    def put(
        self, account: str, region: str, namespace: str, data: Sequence[Mapping[str, Any]], source: tuple[str, Sequence[int]] | None = None
    ) -> None:
        """MetricDatum dicts as PutMetricData takes them; a missing Timestamp is now (platform time). `source` is (name, place of
        each datum, rising): what is not beyond the last place of before is dropped, so a follower of a file may repeat itself."""
        now = self._clock.now()

        def work(tx: Tx) -> None:
            for datum in data if source is None else _new(tx, data, *source):
                at = datum.get("Timestamp", now)
                series = self._series(tx, (account, region, namespace, datum["MetricName"], canonical(datum.get("Dimensions", []))), at)
                tx.executemany(
                    "INSERT INTO metric_points VALUES (?,?,?,?,?,?,?)",
                    [(series, at, datum.get("Unit", "None"), *stats) for stats in _points(datum)],
                )

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
        after `anchor`. Not `exact`: only what plain statistics need, added up by the database."""
        if not exact:
            return self._sums((account, region, namespace, name, canonical(dimensions)), start, end, period_s, unit, anchor % period_s)
        rows = self._db.read(
            "SELECT p.at, p.unit, p.samples, p.total, p.low, p.high FROM metric_points p JOIN metric_series s ON s.id = p.series_id "
            "WHERE s.account = ? AND s.region = ? AND s.namespace = ? AND s.name = ? AND s.dimensions = ? AND p.at >= ? AND p.at < ?",
            (account, region, namespace, name, canonical(dimensions), start, end),
        )
        found: dict[float, Bucket] = {}
        for point in (Point(*row) for row in rows):
            if unit is not None and point.unit != unit:
                continue
            begin = point.at - (point.at - anchor) % period_s
            found.setdefault(begin, Bucket(begin)).add(point)
        return [found[begin] for begin in sorted(found)]

    def _sums(self, series: tuple[str, ...], start: float, end: float, period_s: float, unit: str | None, anchor: float) -> list[Bucket]:
        place = "CAST((p.at - ?) / ? AS INTEGER)" if self._db.dialect == "sqlite" else "floor((p.at - ?) / ?)"
        rows = self._db.read(
            f"SELECT {place} AS place, max(p.unit), sum(p.samples), sum(p.total), min(p.low), max(p.high) "
            "FROM metric_points p JOIN metric_series s ON s.id = p.series_id "
            "WHERE s.account = ? AND s.region = ? AND s.namespace = ? AND s.name = ? AND s.dimensions = ? AND p.at >= ? AND p.at < ?"
            f"{'' if unit is None else ' AND p.unit = ?'} GROUP BY 1 ORDER BY 1",
            (anchor, period_s, *series, start, end, *([] if unit is None else [unit])),
        )
        return [Bucket(anchor + float(row[0]) * period_s, *row[1:], exact=False) for row in rows]

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
