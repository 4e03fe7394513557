"""Tracking: writes and searches of runs by raw signed HTTP with real IAM, beside MLflow's own server and a bare SQLite.

    python benchmarks/tracking.py [--writes 3000] [--runs 10000] [--peer] [--json FILE]

Writes: BatchPutMetrics with one point, over 1 and 8 kept-alive connections, and with ten. Floor: one insert into SQLite (WAL, NORMAL) in
process. Searches over `--runs` trial components with 5 metrics and 3 parameters each: a first page, a filter, an order by a metric, all of
them in pages of 100. Floor: the same question asked of SQLite by hand. `--peer` measures MLflow's server (one process, SQLite, as managed
tracking servers run it) with the same writes and searches. Done means: the points are counted, and each first hit is the right one.
"""

from __future__ import annotations

import argparse
import json
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "src")]

from support.platform import Platform, cpu_s, load_average  # noqa: E402
from support.wrk import once_each  # noqa: E402

KIND, ACCOUNT, REGION = "experiment-trial-component", "123456789012", "us-east-1"
NOW = 1_700_000_000.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--writes", type=int, default=3000)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--peer", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-tracking-") as folder:
        told: dict[str, Any] = {"floor_insert_us": floor(Path(folder))}
        print(f"floor: {told['floor_insert_us']:.0f} µs for one insert and its commit")
        platform = Platform(Path(folder) / "data")
        try:
            told |= {"writes": writes(platform, options.writes, Path(folder), told["floor_insert_us"])}
            told |= {"searches": searches(platform, options.runs)}
        finally:
            platform.stop()
        if options.peer:
            told["mlflow"] = mlflow(Path(folder), options.writes // 10, options.runs)
    print(load_average())
    if options.json:
        options.json.write_text(json.dumps(told, indent=2))


def floor(folder: Path) -> float:
    db = sqlite3.connect(folder / "floor.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute("CREATE TABLE points (run TEXT, name TEXT, step INTEGER, at REAL, value REAL)")
    began = time.perf_counter()
    for i in range(5000):
        db.execute("INSERT INTO points VALUES (?,?,?,?,?)", ("run", "loss", i, NOW, 0.5))
    return (time.perf_counter() - began) / 5000 * 1e6


# --- writes --------------------------------------------------------------------------------------


def writes(platform: Platform, count: int, folder: Path, floor_us: float) -> dict[str, Any]:
    sm = platform.client("sagemaker")
    told = {}
    print(f"{'':32}{'calls/s':>9}{'points/s':>10}{'CPU µs/call':>13}{'× insert':>10}")
    for label, points, connections in (("one point, 1 connection", 1, 1), ("one point, 8", 1, 8), ("ten points, 8", 10, 8)):
        run = f"run-{points}-{connections}"
        sm.create_trial_component(TrialComponentName=run)
        calls = [_call(platform, run, points, i) for i in range(count)]
        before = cpu_s([platform.pids["gateway"]])
        rate = once_each(folder, platform.url, calls, connections, "PUT")
        cpu = (cpu_s([platform.pids["gateway"]]) - before) / count * 1e6
        (metric,) = sm.describe_trial_component(TrialComponentName=run)["Metrics"]
        assert metric["Count"] == count * points, metric
        told[label] = {"calls_per_s": rate, "points_per_s": rate * points, "cpu_us": cpu}
        print(f"{label:32}{rate:9.0f}{rate * points:10.0f}{cpu:13.0f}{cpu / floor_us:10.1f}")
    began = time.perf_counter()
    for i in range(200):
        platform.ask("CreateTrialComponent", {"TrialComponentName": f"made-{i}"})
    told["create"] = 200 / (time.perf_counter() - began)
    print(f"CreateTrialComponent, one after the other, a connection each: {told['create']:.0f}/s")
    return told


def _call(platform: Platform, run: str, points: int, i: int) -> tuple[str, dict[str, str], bytes]:
    data = [{"MetricName": "loss", "Timestamp": NOW + i, "Step": i * points + n, "Value": 0.5} for n in range(points)]
    body = json.dumps({"TrialComponentName": run, "MetricData": data}).encode()
    headers = platform.signed("sagemaker", "/BatchPutMetrics", body, {"Content-Type": "application/json"}, method="PUT")
    return "/BatchPutMetrics", headers, body


# --- searches ------------------------------------------------------------------------------------


def searches(platform: Platform, count: int) -> dict[str, float]:
    best, above = fill(platform.data, count)

    def ask(**request: Any) -> dict[str, Any]:
        return platform.ask("Search", {"Resource": "ExperimentTrialComponent", "MaxResults": 100, **request})

    def first(answer: dict[str, Any]) -> str:
        return answer["Results"][0]["TrialComponent"]["TrialComponentName"]

    def page() -> None:
        assert first(ask()) == f"filled-{count - 1:06d}"

    def filtered() -> None:
        only = {"Name": "Metrics.m0.last", "Operator": "GreaterThan", "Value": "0.9"}
        assert ask(SearchExpression={"Filters": [only]})["TotalHits"]["Value"] == above

    def ordered() -> None:
        assert first(ask(SortBy="Metrics.m0.last", SortOrder="Descending")) == best

    def every() -> None:
        answer, seen = ask(), 0
        while True:
            seen += len(answer["Results"])
            if "NextToken" not in answer:
                break
            answer = ask(NextToken=answer["NextToken"])
        assert seen == answer["TotalHits"]["Value"] >= count

    told = {}
    for label, look, rounds in (
        ("first 100", page, 5),
        ("m0 > 0.9", filtered, 5),
        ("by m0, first 100", ordered, 5),
        ("all, in pages", every, 1),
    ):
        told[label] = timed(f"{count} runs, {label}", look, rounds)
    told["floor by m0"] = timed("floor: by m0, first 100, by hand", lambda: by_hand(platform.data), 20)
    return told


def fill(data: Path, count: int) -> tuple[str, int]:
    """Records and metrics written straight into the platform's tables; answers the best run by m0, and how many are above 0.9."""
    rng, rows, sums, best, above = random.Random(7), [], [], ("", -1.0), 0
    for i in range(count):
        name, uid = f"filled-{i:06d}", f"{i:024x}"
        spec = {"Parameters": {f"p{p}": {"NumberValue": float(i % (p + 2))} for p in range(3)}, "Status": {"PrimaryStatus": "Completed"}}
        at = NOW * 2 + i
        arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:{KIND}/{name}"
        rows.append((uid, KIND, ACCOUNT, REGION, name, arn, None, "Active", json.dumps(spec), "{}", 1, None, 0, 0, at, at))
        for m in range(5):
            value = rng.random()
            if m == 0:
                best, above = max(best, (name, value), key=lambda pair: pair[1]), above + (value > 0.9)
            sums.append((uid, f"m{m}", 1, value, value, value, 0.0, value, at))
    with sqlite3.connect(data / "store.db", timeout=30) as db:
        db.executemany(f"INSERT INTO records VALUES ({','.join('?' * 16)})", rows)
    with sqlite3.connect(data / "experiments.db", timeout=30) as db:
        db.executemany(f"INSERT INTO run_summaries VALUES ({','.join('?' * 9)})", sums)
    return best[0], above


def by_hand(data: Path) -> None:
    with sqlite3.connect(data / "experiments.db") as db:
        assert len(db.execute("SELECT component, last FROM run_summaries WHERE name = 'm0' ORDER BY last DESC LIMIT 100").fetchall()) == 100


def timed(label: str, look: Callable[[], None], rounds: int) -> float:
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        look()
        times.append(time.perf_counter() - began)
    print(f"{label:40}{statistics.median(times) * 1000:9.1f} ms (worst {max(times) * 1000:.1f})")
    return statistics.median(times)


# --- the peer ------------------------------------------------------------------------------------


def mlflow(folder: Path, count: int, runs: int) -> dict[str, float]:
    """The same server as a managed one's, without the gateway in front."""
    from support.ports import free_port

    from modelyard.config import Settings
    from modelyard.runtime.images import ImageStore

    images = ImageStore(Settings(data=folder / "unused"))
    python, database, port = images.ensure(images.of_environment("mlflow")) / "bin/python", folder / "mlflow.db", free_port()
    words = ["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", "--no-serve-artifacts"]
    words += ["--backend-store-uri", f"sqlite:///{database}", "--default-artifact-root", "s3://b/x"]
    import os

    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with open(folder / "mlflow.log", "w") as log:
        server = subprocess.Popen([python, *words], stdout=log, stderr=log, env=environment, start_new_session=True)
    url = f"http://127.0.0.1:{port}"

    def ask(path: str, body: dict[str, Any]) -> dict[str, Any]:
        request = urllib.request.Request(f"{url}/api/2.0/mlflow/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    told = {}
    try:
        _await(url)
        experiment = ask("experiments/create", {"name": "bench"})["experiment_id"]
        run = ask("runs/create", {"experiment_id": experiment, "start_time": 1})["run"]["info"]["run_id"]
        for connections in (1, 8):
            calls = [_metric(port, run, i + connections * 100_000) for i in range(count)]
            told[f"log-metric, {connections}"] = once_each(folder, url, calls, connections)
            print(f"MLflow log-metric, {connections} connections: {told[f'log-metric, {connections}']:.0f}/s")
        subprocess.run([python, HERE / "support/apps/mlflow_fill.py", str(database), experiment, str(runs)], check=True)
        where = {"experiment_ids": [experiment], "max_results": 100}
        for label, more in (
            ("first 100", {}), ("m0 > 0.9", {"filter": "metrics.m0 > 0.9"}), ("by m0, first 100", {"order_by": ["metrics.m0 DESC"]}),
        ):  # fmt: skip
            told[label] = timed(f"MLflow, {runs} runs, {label}", lambda more=more: ask("runs/search", {**where, **more}), 3)
    finally:
        os.killpg(server.pid, 15)
        server.wait(20)
    return told


def _metric(port: int, run: str, i: int) -> tuple[str, dict[str, str], bytes]:
    body = json.dumps({"run_id": run, "key": "loss", "value": 0.5, "timestamp": 1_700_000_000_000 + i, "step": i}).encode()
    return "/api/2.0/mlflow/runs/log-metric", {"Host": f"127.0.0.1:{port}", "Content-Type": "application/json"}, body


def _await(url: str) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(url + "/health", timeout=2)
            return
        except OSError:
            time.sleep(0.3)
    raise SystemExit("MLflow's server did not come up")


if __name__ == "__main__":
    main()
