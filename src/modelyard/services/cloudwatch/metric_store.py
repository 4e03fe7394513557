"""Where metric points live: a table of series, a table of points of the last hours, and packs of older ones (rollup.py).

A point is a weighted value, or a statistic set (then percentiles cannot use it, as in AWS, unless it is a
single sample or min equals max).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import orjson

from modelyard.kernel.clock import Clock
from modelyard.kernel.database import Database, Tx
from modelyard.services.cloudwatch import periods
from modelyard.services.cloudwatch.reading import Reading
from modelyard.services.cloudwatch.rollup import LONGEST, Rollup
from modelyard.services.cloudwatch.statistic import extended
from modelyard.services.cloudwatch.units import one_unit

if TYPE_CHECKING:
    from modelyard.services.cloudwatch.spread import Spread
    from modelyard.services.cloudwatch.sums import Sums

MAPPED_MIB = 2_048
"""Of the file: a month of minutes of 1,000 metrics takes a third of it."""
MOST_AT_ONCE, FEW_AT_ONCE, MOST_CELLS = 100, 25, 250_000
"""Series per statement, of sums and of values; periods of all of them that are in memory at once."""

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
    "ALTER TABLE metric_packs ADD COLUMN extremes @BLOB@",
]


@dataclass(frozen=True)
class Bucket:
    """One period, and the statistics of its points by AWS's names."""

    start: float
    unit: str
    """The one that was asked for, if any."""
    samples: float
    total: float
    low: float
    high: float
    more: Callable[[str], float | None] | None = None

    def statistic(self, name: str) -> float | None:
        """A statistic by AWS's name (statistic.py); None where it cannot be known."""
        if name == "Average":
            return self.total / self.samples if self.samples else 0.0
        plain = {"SampleCount": self.samples, "Sum": self.total, "Minimum": self.low, "Maximum": self.high}
        if name in plain:
            return plain[name]
        return self.more(name) if self.more is not None else None


class MetricStore:
    """`platform.metrics`."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = self.db = db
        self._clock = clock
        serial, blob = ("INTEGER PRIMARY KEY AUTOINCREMENT", "BLOB") if db.dialect == "sqlite" else ("BIGSERIAL PRIMARY KEY", "BYTEA")
        db.migrate("metrics", [step.replace("@SERIAL@", serial).replace("@BLOB@", blob) for step in MIGRATIONS])
        self._rollup, self._reading = Rollup(db), Reading(db)

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

    def find(self, account: str, region: str, metrics: Sequence[tuple[str, str, Sequence[Mapping[str, str]]]]) -> list[int | None]:
        """The series of each (namespace, name, dimensions)."""
        keys = [(namespace, name, canonical(dimensions)) for namespace, name, dimensions in metrics]
        groups: dict[tuple[str, str], list[str]] = {}
        for namespace, name, dimensions in dict.fromkeys(keys):
            groups.setdefault((namespace, name), []).append(dimensions)
        found: dict[tuple[str, str, str], int] = {}
        for (namespace, name), wanted in groups.items():
            rows = self._db.read(
                "SELECT dimensions, id FROM metric_series WHERE account = ? AND region = ? AND namespace = ? AND name = ? "
                f"AND dimensions IN ({','.join('?' * len(wanted))})",
                (account, region, namespace, name, *wanted),
            )
            found |= {(namespace, name, row[0]): row[1] for row in rows}
        return [found.get(key) for key in keys]

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
        ((_, sums),) = self.sums(found, start, end, period_s, unit, anchor) or [(0, None)]
        if sums is None:
            return []
        spread = next((one for _, one in self.spreads(found, start, end, period_s, unit, anchor)), None) if exact else None
        there = sums.there[0]
        columns = [column[0][there].tolist() for column in (sums.samples, sums.total, sums.low, sums.high)]
        starts, places = sums.windows.starts[there].tolist(), there.nonzero()[0].tolist()
        known: dict[str, list[float]] = {}

        def more(stat: str, place: int) -> float | None:
            wanted = extended(stat)
            if spread is None or wanted is None:
                return None
            if stat not in known:
                known[stat] = spread.statistic(wanted)[0].tolist()
            value = known[stat][place]
            return None if math.isnan(value) else value

        return [
            Bucket(begin, unit or "", *stats, more=partial(more, place=place))
            for begin, place, *stats in zip(starts, places, *columns, strict=True)
        ]

    def sums(
        self, series: Sequence[int], start: float, end: float, period_s: float, unit: str | None = None, anchor: float = 0.0,
        extremes: bool = True,
    ) -> list[tuple[int, Sums]]:  # fmt: skip
        """Many series at once: (place of the first of some series, what they add up to) ..."""
        from modelyard.services.cloudwatch.sums import Sums, Windows

        windows = Windows(self._seen_from(start, period_s, anchor), end, period_s, anchor)
        found = []
        some = max(1, min(MOST_AT_ONCE, MOST_CELLS // max(1, windows.count))) if windows.count else 0
        for begin in range(0, len(series), some) if some else ():
            mine = series[begin : begin + some]
            place = {one: number for number, one in enumerate(mine)}
            made = Sums(len(mine), windows)
            rows, several = one_unit(self._reading.sums(mine, windows, unit, extremes, self._clock.now()), windows)
            made.units = {place[one]: names for one, names in several.items()}
            made.add_packs(
                [(place[row[1]], row[2], row[3], row[4], bytes(row[5]), bytes(row[6] or b"")) for row in rows if row[0]], extremes
            )
            made.add_rows([(place[row[1]], row[3], *row[-4:]) for row in rows if not row[0]])
            found.append((begin, made))
        return found

    def spreads(
        self, series: Sequence[int], start: float, end: float, period_s: float, unit: str | None = None, anchor: float = 0.0
    ) -> Iterator[tuple[int, Spread]]:
        """Values by period: (place of the first of some series, theirs) ..."""
        from modelyard.services.cloudwatch.spread import Spread
        from modelyard.services.cloudwatch.sums import Windows

        windows = Windows(self._seen_from(start, period_s, anchor), end, period_s, anchor)
        for begin in range(0, len(series), FEW_AT_ONCE):
            mine = series[begin : begin + FEW_AT_ONCE]
            line = {one: number for number, one in enumerate(mine)}
            made = Spread(len(mine), windows)
            points: list[tuple[float, ...]] = []
            rows = self._reading.values(mine, windows, unit, self._clock.now()) if windows.count else []
            rows, several = one_unit(rows, windows)
            made.units = {line[one]: names for one, names in several.items()}
            for row in rows:
                if row[0]:
                    made.add_pack(line[row[1]], row[2], row[3], bytes(row[5]), bytes(row[6] or b""), bytes(row[7] or b""))
                else:
                    points.append((line[row[1]], row[2], *row[-4:]))
            made.add_rows(points)
            yield begin, made

    def units(self, series: int, start: float, end: float) -> list[str]:
        """The units of its points in about [start, end)."""
        rows = self._db.read(
            "SELECT DISTINCT unit FROM metric_points WHERE series_id = ? AND at >= ? AND at < ? UNION "
            "SELECT DISTINCT unit FROM metric_packs WHERE series_id = ? AND start > ? - size * ? AND start < ?",
            (series, start, end, series, start, max(LONGEST.values()), end),
        )
        return sorted(row[0] for row in rows)

    def sweep(self) -> None:
        """Packs what is old enough and drops what is past its retention; safe to repeat."""
        now = self._clock.now()
        self._rollup.roll(now)
        self._rollup.expire(now)

    def _seen_from(self, start: float, period_s: float, anchor: float) -> float:
        """The start, or the beginning of the period in which the retention of this resolution begins."""
        oldest = self._clock.now() - periods.kept(periods.resolution(period_s, anchor))
        return start if start >= oldest else max(start, oldest - (oldest - anchor) % period_s)

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
