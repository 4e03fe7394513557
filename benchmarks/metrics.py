"""Metrics: points in per second, and what a month of them answers in.

    python benchmarks/metrics.py [--metrics 1000] [--days 30] [--json FILE]

In process, on one thread, over a real metric store in a folder of its own. Ingest: PutMetricData's path below the wire, 1,000 data points a
call, beside the floor: the same rows inserted into a plain SQLite table, one commit per 1,000. Queries: the given number of metrics have minute
points for the given days, all different, rolled up as housekeeping does; each query is asked five times, median, and its answer written in the
protocols of boto3 (the figure that counts is with the first of them) and the AWS CLI. Floor of a query: numpy sums over an array of a metric's minute points, already in memory. Limit: 100 ms.
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
from types import SimpleNamespace
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "src")]

from modelyard.kernel.clock import ManualClock  # noqa: E402
from modelyard.kernel.database import SQLite  # noqa: E402
from modelyard.services.cloudwatch import periods  # noqa: E402
from modelyard.services.cloudwatch.metric_store import MAPPED_MIB, MetricStore  # noqa: E402
from modelyard.services.cloudwatch.metrics import get_metric_data, get_metric_statistics  # noqa: E402
from modelyard.services.cloudwatch.rollup import SLOTS  # noqa: E402
from modelyard.services.cloudwatch.widget.image import get_metric_widget_image  # noqa: E402
from modelyard.wire.codec import codec  # noqa: E402

NOW, LIMIT_MS, BATCH = 1_700_006_400.0, 100.0, 1_000
ROUNDS, PROTOCOLS = 5, ("smithy-rpc-v2-cbor", "json", "query")
WHERE = ("123456789012", "us-east-1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--metrics", type=int, default=1_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = MetricStore(SQLite(Path(folder) / "metrics.db", durable=False, mapped_mib=MAPPED_MIB), ManualClock(NOW))
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
    """What `metrics × days × 1,440` puts and their roll-ups leave behind, written at once; the last ten minutes come as puts do."""
    from modelyard.services.cloudwatch.heap import Heap
    from modelyard.services.cloudwatch.seen import Values

    start, young, raw = NOW - days * 86_400, NOW - 3 * 3_600, NOW - 600
    for n in range(metrics):
        data = [{"MetricName": "load", "Dimensions": _host(n), "Value": 100.0 + n, "Timestamp": raw + 60 * minute} for minute in range(10)]
        store.put(*WHERE, "App", data)
    at = np.arange(start, raw, 60.0)
    chance = np.random.default_rng(1)
    for one, *_ in store.series(*WHERE, namespace="App"):
        values = np.sin((at + 7_919 * one) / 5_000) * 50 + 100 + chance.random(len(at))
        heap = Heap(at, np.stack([np.ones(len(at)), values, values, values]), Values(at, values, None), np.empty(0))
        packs = [
            (one, size, begin, "None", *mine.packed(begin, size))
            for size in (1, 60, 300, 3_600)
            for begin, mine in heap.between(max(start, NOW - periods.kept(size) - size), raw if size == 1 else young).by(size * SLOTS[size])
        ]
        sql = "INSERT INTO metric_packs (series_id, size, start, unit, body, extremes, seen) VALUES (?,?,?,?,?,?,?)"
        store.db.grouped(lambda tx, packs=packs, sql=sql: tx.executemany(sql, packs))


def queries(store: MetricStore, metrics: int, days: int) -> dict[str, Any]:
    """Each as the operation answers it, with the bytes of the answer in the three protocols."""
    start, hour = NOW - days * 86_400, NOW - days * 86_400 + 3_600 - 300  # CloudWatch rounds to 5 minutes: not on the hour
    some = min(metrics, 500)
    asked: dict[str, dict[str, Any]] = {}
    for stat in ("Average", "p99", "tm99"):
        asked |= {
            f"1 metric, {days} days by 5 minutes, {stat}": _data(start, [_metric(metrics // 2, 300, stat)]),
            f"1 metric, {days} days by the hour, {stat}": _data(start, [_metric(metrics // 2, 3_600, stat)]),
            f"{some} metrics, {days} days by the day, {stat}": _data(start, [_metric(n, 86_400, stat) for n in range(some)]),
            f"the same from {(NOW - hour) % 3_600 / 60:g} minutes to an hour on, {stat}": _data(
                hour, [_metric(n, 86_400, stat) for n in range(some)]
            ),
            f"{some} metrics, {days} days by the hour, {stat}": _data(start, [_metric(n, 3_600, stat) for n in range(some)]),
            f"SEARCH of {some}, {days} days by the day, {stat}": _data(start, [_search("{App,Host} load", stat)]),
        }
    asked[f"all, {days} days by the day, added up by Metrics Insights"] = _data(start, [{"Id": "q", "Expression": "SELECT SUM(load) FROM App", "Period": 86_400}])  # fmt: skip
    found: dict[str, Any] = {}
    call = SimpleNamespace(account=WHERE[0], region=WHERE[1], platform=SimpleNamespace(metrics=store), now=lambda: NOW)
    for name, request in asked.items():
        took: dict[str, list[float]] = {"operation": [], **{protocol: [] for protocol in PROTOCOLS}}
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            answer = get_metric_data(call, request)
            took["operation"].append(time.perf_counter() - begin)
            for protocol in PROTOCOLS:
                writer = codec("cloudwatch", "GetMetricData", protocol)
                took[protocol].append(_seconds(lambda writer=writer, answer=answer: writer.serialise(answer, "r")))
        points = sum(len(one["Values"]) for one in answer["MetricDataResults"])
        parts = {part: statistics.median(times) * 1e3 for part, times in took.items()}
        whole = parts["operation"] + parts[PROTOCOLS[0]]
        told = ", ".join(f"{part} {ms:.1f}" for part, ms in parts.items())
        found[f"{name}: ms ({points} points)"] = f"{whole:.1f} ({told})  {'ok' if whole <= LIMIT_MS else 'OVER THE LIMIT'}"
    found |= others(store, call, start, metrics, days)
    memory = np.random.default_rng(1).random((days * 24, 60))
    found["floor: numpy hourly sums of one metric in memory, ms"] = round(
        statistics.median(_seconds(lambda: memory.sum(axis=1)) * 1e3 for _ in range(20)), 3
    )
    return found


def others(store: MetricStore, call: Any, start: float, metrics: int, days: int) -> dict[str, Any]:
    """GetMetricStatistics, and a picture of ten metrics."""
    asked = {
        "Namespace": "App",
        "MetricName": "load",
        "Dimensions": _host(metrics // 2),
        "StartTime": start,
        "EndTime": NOW,
        "Period": 3_600,
    }
    rows = [["App", "load", "Host", f"h{n:04}"] for n in range(min(metrics, 10))]
    widget = {"metrics": rows, "start": f"-P{days}D", "period": 3_600, "width": 600, "height": 400}
    picture = {"MetricWidget": json.dumps(widget)}
    took = {
        f"GetMetricStatistics, {days} days by the hour, Average": lambda: get_metric_statistics(call, {**asked, "Statistics": ["Average"]}),
        f"GetMetricStatistics, {days} days by the hour, p99": lambda: get_metric_statistics(call, {**asked, "ExtendedStatistics": ["p99"]}),
        f"GetMetricWidgetImage, 10 metrics, {days} days by the hour": lambda: get_metric_widget_image(call, picture),
    }
    return {f"{name}, ms": round(statistics.median(_seconds(work) for _ in range(ROUNDS)) * 1e3, 1) for name, work in took.items()}


def _data(start: float, asked: list[dict[str, Any]]) -> dict[str, Any]:
    return {"StartTime": start, "EndTime": NOW, "MetricDataQueries": asked}


def _metric(n: int, period: int, stat: str) -> dict[str, Any]:
    metric = {"Namespace": "App", "MetricName": "load", "Dimensions": _host(n)}
    return {"Id": f"q{n}", "MetricStat": {"Metric": metric, "Period": period, "Stat": stat}}


def _search(text: str, stat: str, name: str = "q") -> dict[str, Any]:
    return {"Id": name, "Expression": f"SEARCH('{text}', '{stat}', 86400)"}


def _host(n: int) -> list[dict[str, str]]:
    return [{"Name": "Host", "Value": f"h{n:04}"}]


def _seconds(work: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
