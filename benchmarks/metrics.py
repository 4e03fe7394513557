"""Metrics: points in per second, and what a month of them answers in.

    python benchmarks/metrics.py [--metrics 1000] [--days 30] [--json FILE]

In process, on one thread, over a real metric store in a folder of its own. Ingest: PutMetricData's path below the wire, 1,000 data points a
call, beside the floor: the same rows inserted into a plain SQLite table, one commit per 1,000. Queries: the given number of metrics have minute
points for the given days, rolled up as housekeeping does; each query is asked 20 times, median. Floor of a query: numpy sums over an
array of a metric's minute points, already in memory. Limit: 100 ms.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "src")]

from modelyard.kernel.clock import ManualClock  # noqa: E402
from modelyard.kernel.database import SQLite  # noqa: E402
from modelyard.services.cloudwatch import periods  # noqa: E402
from modelyard.services.cloudwatch.metric_store import MetricStore  # noqa: E402
from modelyard.services.cloudwatch.query import Queries  # noqa: E402
from modelyard.services.cloudwatch.rollup import SLOTS, gathered, make_pack  # noqa: E402

NOW, LIMIT_MS, BATCH = 1_700_006_400.0, 100.0, 1_000
WHERE = ("123456789012", "us-east-1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--metrics", type=int, default=1_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = MetricStore(SQLite(Path(folder) / "metrics.db", durable=False), ManualClock(NOW))
        found = ingest(store, Path(folder)) | roll(store)
        fill(store, args.metrics, args.days)
        found |= queries(store, args.metrics, args.days)
        store.db.close()
        found["megabytes"] = round((Path(folder) / "metrics.db").stat().st_size / 1e6, 1)
    for name, value in found.items():
        print(f"{name:60} {value}")
    if args.json:
        args.json.write_text(json.dumps(found, indent=1))


def ingest(store: MetricStore, folder: Path) -> dict[str, Any]:
    batches = [
        [{"MetricName": f"in{n % 100}", "Value": float(n), "Timestamp": NOW - 86_400 + 60 * (m * 10 + n // 100)} for n in range(BATCH)]
        for m in range(30)
    ]
    ours = _seconds(lambda: [store.put(*WHERE, "Bench", batch) for batch in batches])
    floor = sqlite3.connect(folder / "floor.db")
    floor.execute("PRAGMA journal_mode = WAL")
    floor.execute("CREATE TABLE p (series INTEGER, at REAL, unit TEXT, samples REAL, total REAL, low REAL, high REAL)")
    floor.execute("CREATE INDEX q ON p (series, at)")

    def plain() -> None:
        for batch in batches:
            floor.executemany("INSERT INTO p VALUES (?,?,?,?,?,?,?)", [(n % 100, d["Timestamp"], "None", 1.0, *[d["Value"]] * 3) for n, d in enumerate(batch)])  # fmt: skip
            floor.commit()

    bare = _seconds(plain)
    floor.close()
    points = sum(map(len, batches))
    return {"ingest, points/s": round(points / ours), "floor: plain SQLite rows, points/s": round(points / bare)}


def roll(store: MetricStore) -> dict[str, Any]:
    points = store.db.read("SELECT count(*) FROM metric_points")[0][0]
    return {"rolled up, points/s": round(points / _seconds(store.sweep))}


def fill(store: MetricStore, metrics: int, days: int) -> None:
    """What `metrics × days × 1,440` puts and their roll-ups leave behind, written at once; the last three hours as rows."""
    start, raw = NOW - days * 86_400, NOW - 3 * 3_600
    at = np.arange(start, raw, 60.0)
    values = np.sin(at / 5_000) * 50 + 100
    packs = []
    for size in (60, 300, 3_600):
        mine = at >= NOW - periods.kept(size)
        when = at[mine] - at[mine] % size
        ones = np.ones(when.shape)
        keys, columns = gathered(when, np.stack([ones, values[mine], values[mine], values[mine]]))
        chunk = keys - keys % (size * SLOTS)
        for begin in np.unique(chunk):
            here = chunk == begin
            packs.append((size, float(begin), "None", make_pack(np.concatenate([keys[None, here], columns[:, here]])), b"[]"))
    for n in range(metrics):
        data = [{"MetricName": "load", "Dimensions": _host(n), "Value": 100.0 + n, "Timestamp": raw + 60 * minute} for minute in range(180)]
        store.put(*WHERE, "App", data)
    ids = [one for one, *_ in store.series(*WHERE, namespace="App")]
    for one in ids:
        store.db.grouped(
            lambda tx, one=one: tx.executemany("INSERT INTO metric_packs VALUES (?,?,?,?,?,?)", [(one, *pack) for pack in packs])
        )


def queries(store: MetricStore, metrics: int, days: int) -> dict[str, Any]:
    def metric(period: int) -> dict[str, Any]:
        return {
            "Id": "q",
            "MetricStat": {
                "Metric": {"Namespace": "App", "MetricName": "load", "Dimensions": _host(metrics // 2)},
                "Period": period,
                "Stat": "Average",
            },
        }

    def search(period: int, text: str = "{App,Host} load") -> dict[str, Any]:
        return {"Id": "q", "Expression": f"AVG(SEARCH('{text}', 'Average', {period}))", "Period": period}

    asked = {
        f"1 of {metrics} metrics, {days} days, period 60 (15 days are kept)": metric(60),
        f"1 of {metrics} metrics, {days} days, period 300": metric(300),
        f"1 of {metrics} metrics, {days} days, period 3600": metric(3_600),
        f"mean of 100 of {metrics} metrics, {days} days, period 3600": search(3_600, "{App,Host} Host=h00"),
        f"mean of all {metrics} metrics at most 500, {days} days, period 86400": search(86_400),
    }
    found: dict[str, Any] = {}
    for name, query in asked.items():

        def ask(query: dict[str, Any] = query) -> int:
            series = Queries(store, *WHERE, [query], NOW - days * 86_400, NOW, now=NOW).series("q")
            return sum(len(one.points) for one in series)

        points = ask()
        took = [_seconds(ask) * 1e3 for _ in range(20)]
        median = statistics.median(took)
        found[f"{name}: ms ({points} points)"] = f"{median:.1f}  {'ok' if median <= LIMIT_MS else 'OVER THE LIMIT'}"
    memory = np.random.default_rng(1).random((days * 24, 60))
    found["floor: numpy hourly sums of one metric in memory, ms"] = round(
        statistics.median(_seconds(lambda: memory.sum(axis=1)) * 1e3 for _ in range(20)), 3
    )
    return found


def _host(n: int) -> list[dict[str, str]]:
    return [{"Name": "Host", "Value": f"h{n:04}"}]


def _seconds(work: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
