"""Metrics of trial components: each point as it came, and a running summary per metric that Describe and Search read.

Volume data in a file of its own: a write survives `kill -9`, and does not slow the control plane. Writes of all threads share commits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.kernel.database import Database, Tx, open_database

MIGRATIONS = [
    """
    CREATE TABLE run_points (component TEXT NOT NULL, name TEXT NOT NULL, step BIGINT, at DOUBLE PRECISION NOT NULL, value DOUBLE PRECISION NOT NULL);
    CREATE INDEX run_points_place ON run_points (component, name, at);
    CREATE TABLE run_summaries (
        component TEXT NOT NULL, name TEXT NOT NULL, points BIGINT NOT NULL, low DOUBLE PRECISION NOT NULL, high DOUBLE PRECISION NOT NULL,
        mean DOUBLE PRECISION NOT NULL, spread DOUBLE PRECISION NOT NULL, last DOUBLE PRECISION NOT NULL, last_at DOUBLE PRECISION NOT NULL,
        PRIMARY KEY (component, name));
    CREATE INDEX run_summaries_last ON run_summaries (name, last);
    CREATE TABLE run_sources (component TEXT PRIMARY KEY, points BIGINT NOT NULL)
    """
]
# Welford's update in one statement: `spread` is the sum of squared distances from the mean.
_UPSERT = """
INSERT INTO run_summaries (component, name, points, low, high, mean, spread, last, last_at) VALUES (?,?,1,?,?,?,0,?,?)
ON CONFLICT (component, name) DO UPDATE SET points = run_summaries.points + 1,
  low = CASE WHEN excluded.low < run_summaries.low THEN excluded.low ELSE run_summaries.low END,
  high = CASE WHEN excluded.high > run_summaries.high THEN excluded.high ELSE run_summaries.high END,
  mean = run_summaries.mean + (excluded.mean - run_summaries.mean) / (run_summaries.points + 1),
  spread = run_summaries.spread
    + (excluded.mean - run_summaries.mean) * (excluded.mean - run_summaries.mean) * run_summaries.points / (run_summaries.points + 1),
  last = CASE WHEN excluded.last_at >= run_summaries.last_at THEN excluded.last ELSE run_summaries.last END,
  last_at = CASE WHEN excluded.last_at >= run_summaries.last_at THEN excluded.last_at ELSE run_summaries.last_at END
"""
_COLUMNS = "component, name, points, low, high, mean, spread, last, last_at"
STATISTICS = {"last": "last", "max": "high", "min": "low", "avg": "mean", "count": "points", "stddev": "spread / points"}
"""Statistics by their names in Search (lower case), and what they are sorted by."""
Point = tuple[str, int | None, float, float]
"""(metric name, step, time, value)."""


class RunMetrics:
    """`platform.run_metrics`. Components are named by their records' uids."""

    def __init__(self, db: Database) -> None:
        self._db = db
        db.migrate("run-metrics", MIGRATIONS)

    def put(self, component: str, points: Sequence[Point]) -> None:
        self._db.grouped(lambda tx: _write(tx, component, points))

    def put_once(self, component: str, points: Sequence[Point]) -> None:
        """The whole series of a job, in order, as far as it is known now: what was written of it before is not written again."""

        def work(tx: Tx) -> None:
            ((have,),) = tx.execute(
                "INSERT INTO run_sources VALUES (?,0) ON CONFLICT (component) DO UPDATE SET points = run_sources.points RETURNING points",
                (component,),
            )
            if len(points) > have:
                _write(tx, component, points[have:])
                tx.execute("UPDATE run_sources SET points = ? WHERE component = ?", (len(points), component))

        self._db.grouped(work)

    def summaries(self, component: str, source_arn: str) -> list[dict[str, Any]]:
        """TrialComponentMetricSummaries, by name."""
        return self.summaries_of({component: source_arn}).get(component, [])

    def summaries_of(self, sources: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
        """Those of many components (with the ARN that each is shown under), by component."""
        found: dict[str, list[dict[str, Any]]] = {}
        components = list(sources)
        for start in range(0, len(components), 500):
            some = components[start : start + 500]
            marks = ",".join("?" * len(some))
            rows = self._db.read(f"SELECT {_COLUMNS} FROM run_summaries WHERE component IN ({marks}) ORDER BY component, name", tuple(some))
            for row in rows:
                found.setdefault(row[0], []).append(_shown(row, sources[row[0]]))
        return found

    def named(self, path: str, components: Sequence[str]) -> dict[str, list[dict[str, Any]]]:
        """For searches: summaries of all metrics that a path (`m0`, `m0.last`, `a.b.max`) may mean, by component."""
        found: dict[str, list[dict[str, Any]]] = {}
        pieces = path.split(".")
        for name in (".".join(pieces[:length]) for length in range(1, len(pieces) + 1)):
            if not self._db.read("SELECT 1 FROM run_summaries WHERE name = ? LIMIT 1", (name,)):
                continue
            for start in range(0, len(components), 500):
                some = components[start : start + 500]
                marks = ",".join("?" * len(some))
                rows = self._db.read(f"SELECT {_COLUMNS} FROM run_summaries WHERE name = ? AND component IN ({marks})", (name, *some))
                for row in rows:
                    found.setdefault(row[0], []).append(_shown(row, ""))
        return found

    def beyond(self, name: str, statistic: str, sign: str, bound: float) -> list[str]:
        """Components one of whose statistics is `sign` (`>`, `>=`, `<`, `<=`, `=`) a number."""
        sql = f"SELECT component FROM run_summaries WHERE name = ? AND {STATISTICS[statistic]} {sign} ?"
        return [row[0] for row in self._db.read(sql, (name, bound))]

    def ranked(self, name: str, statistic: str, descending: bool, limit: int, offset: int) -> list[str]:
        """Components that have the metric, by one of its statistics."""
        order = "DESC" if descending else "ASC"
        sql = f"SELECT component FROM run_summaries WHERE name = ? ORDER BY {STATISTICS[statistic]} {order}, component {order} LIMIT ? OFFSET ?"
        return [row[0] for row in self._db.read(sql, (name, limit, offset))]

    def points(
        self, component: str, name: str, start: float | None = None, end: float | None = None
    ) -> list[tuple[int | None, float, float]]:
        """(step, time, value) in the order of time, of start <= time <= end."""
        where, values = ["component = ?", "name = ?"], [component, name]
        for sign, bound in ((">=", start), ("<=", end)):
            if bound is not None:
                where.append(f"at {sign} ?")
                values.append(bound)
        return self._db.read(f"SELECT step, at, value FROM run_points WHERE {' AND '.join(where)} ORDER BY at", values)

    def names(self) -> list[str]:
        return [row[0] for row in self._db.read("SELECT DISTINCT name FROM run_summaries ORDER BY name")]

    def forget(self, component: str) -> None:
        def work(tx: Tx) -> None:
            for table in ("run_points", "run_summaries", "run_sources"):
                tx.execute(f"DELETE FROM {table} WHERE component = ?", (component,))

        self._db.grouped(work)


def install(platform: Any) -> RunMetrics:
    settings = platform.settings
    return RunMetrics(open_database(settings.store, settings.data / "experiments.db", durable=False))


def _write(tx: Tx, component: str, points: Sequence[Point]) -> None:
    tx.executemany("INSERT INTO run_points VALUES (?,?,?,?,?)", [(component, *point) for point in points])
    tx.executemany(_UPSERT, [(component, name, value, value, value, value, at) for name, _, at, value in points])


def _shown(row: Sequence[Any], source_arn: str) -> dict[str, Any]:
    _, name, points, low, high, mean, spread, last, last_at = row
    said = {"MetricName": name, "TimeStamp": last_at, "Max": high, "Min": low, "Last": last, "Count": points, "Avg": mean}
    return {**said, "StdDev": math.sqrt(max(spread, 0.0) / points), **({"SourceArn": source_arn} if source_arn else {})}
