"""The control plane by raw signed HTTP with real IAM: create + describe of small records, and List over 100,000 training jobs.

    python benchmarks/control_plane.py [--records 1500] [--jobs 100000] [--json FILE]

Create and describe: one gateway, 8 kept-alive connections, every request signed beforehand and sent once. Floor: the same SQLite,
one durable transaction (record and event) and one read by name, on one thread in process. List: the first page (100) in every
sort order, by name, by status, and the last page. Done means: the records are counted, and each page is compared with what
the jobs' names and times say.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "src")]

from support.platform import Platform, cpu_s, load_average  # noqa: E402
from support.wrk import once_each  # noqa: E402

ROLE, IMAGE = (
    "arn:aws:iam::123456789012:role/ModelyardExecutionRole",
    "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1",
)
CONNECTIONS = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1500)
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-control-") as folder:
        platform = Platform(Path(folder) / "data")
        try:
            told = {"records": records(platform, options.records, Path(folder)), "lists": lists(platform, options.jobs)}
        finally:
            platform.stop()
    print(load_average())
    if options.json:
        options.json.write_text(json.dumps(told, indent=2))


# --- create and describe -----------------------------------------------------------------------------


def records(platform: Platform, count: int, folder: Path) -> dict[str, float]:
    creates = [
        request(platform, "CreateModel", {"ModelName": f"m-{i}", "ExecutionRoleArn": ROLE, "PrimaryContainer": {"Image": IMAGE}})
        for i in range(count)
    ]
    describes = [request(platform, "DescribeModel", {"ModelName": f"m-{i}"}) for i in range(count)]
    before = cpu_s([platform.pids["gateway"]])
    create = once_each(folder, platform.url, creates, CONNECTIONS)
    between = cpu_s([platform.pids["gateway"]])
    describe = once_each(folder, platform.url, describes, CONNECTIONS)
    after = cpu_s([platform.pids["gateway"]])
    seen = sum(len(page["Models"]) for page in platform.client("sagemaker").get_paginator("list_models").paginate(MaxResults=100))
    assert seen == count, f"{seen} of {count} models are there"
    write, read = floor(folder, count)
    both = 2 / (1 / create + 1 / describe)
    print(f"{'':10}{'op/s':>8}{'CPU µs':>9}{'floor µs':>10}")
    print(f"{'create':10}{create:8.0f}{(between - before) / count * 1e6:9.0f}{write * 1e6:10.0f}")
    print(f"{'describe':10}{describe:8.0f}{(after - between) / count * 1e6:9.0f}{read * 1e6:10.0f}")
    print(f"create + describe: {both:.0f} op/s (target ≥ 400)")
    return {"create_per_s": create, "describe_per_s": describe, "both_per_s": both, "floor_create_s": write, "floor_describe_s": read}


def request(platform: Platform, target: str, body: dict) -> tuple[str, dict[str, str], bytes]:
    data = json.dumps(body).encode()
    headers = {"Content-Type": "application/x-amz-json-1.1", "X-Amz-Target": f"SageMaker.{target}"}
    return "/", platform.signed("sagemaker", "/", data, headers), data


def floor(folder: Path, count: int) -> tuple[float, float]:
    """Seconds of one create and one get of the bare store."""
    from modelyard.kernel.clock import SystemClock
    from modelyard.kernel.database import open_database
    from modelyard.kernel.lifecycle import static
    from modelyard.kernel.store import Store

    store, kind = Store(open_database("", folder / "floor.db"), SystemClock()), static("model")
    times: list[list[float]] = [[], []]
    for i in range(min(count, 500)):
        began = time.perf_counter()
        store.create(
            kind, account="1", region="r", name=f"m-{i}", arn=f"arn-{i}", spec={"ModelName": f"m-{i}", "PrimaryContainer": {"Image": IMAGE}}
        )
        middle = time.perf_counter()
        assert store.get("model", "1", "r", f"m-{i}").name == f"m-{i}"
        times[0].append(middle - began)
        times[1].append(time.perf_counter() - middle)
    store.db.close()
    return statistics.median(times[0]), statistics.median(times[1])


# --- lists -----------------------------------------------------------------------------------------------


def lists(platform: Platform, count: int) -> dict[str, float]:
    began = time.perf_counter()
    fill(platform.data / "store.db", count)
    print(f"\n{count} training jobs written in {time.perf_counter() - began:.1f} s; first page of 100, median of 5 (worst)")
    names = [name(i) for i in range(count)]
    by_status = {status: [n for i, n in enumerate(names) if status_of(i) == status] for status in STATUSES}
    orders = {"Name": sorted(names), "CreationTime": names, "Status": [n for status in STATUSES for n in sorted(by_status[status])]}
    told = {}
    for by, expected in orders.items():
        for order in ("Ascending", "Descending"):
            right = expected if order == "Ascending" else expected[::-1]
            told[f"{by} {order}"] = page(platform, f"{by} {order}", {"SortBy": by, "SortOrder": order}, right[:100])
    rare = sorted(n for n in names if "-00042" in n)
    told["NameContains, rare"] = page(
        platform, "NameContains, rare", {"NameContains": "-00042", "SortBy": "Name", "SortOrder": "Ascending"}, rare[:100]
    )
    told["NameContains, all"] = page(platform, "NameContains, all", {"NameContains": "JOB"}, names[::-1][:100])
    told["NameContains, none"] = page(platform, "NameContains, none", {"NameContains": "no-such-name"}, [])
    for status in ("Failed", "Stopped"):
        told[f"StatusEquals {status}"] = page(platform, f"StatusEquals {status}", {"StatusEquals": status}, by_status[status][::-1][:100])
    told["StatusEquals Failed by Name"] = page(
        platform,
        "StatusEquals Failed by Name",
        {"StatusEquals": "Failed", "SortBy": "Name", "SortOrder": "Ascending"},
        sorted(by_status["Failed"])[:100],
    )
    told["StatusEquals InProgress (none)"] = page(platform, "StatusEquals InProgress (none)", {"StatusEquals": "InProgress"}, [])
    print(f"slowest first page: {max(told.values()) * 1000:.0f} ms (target < 50)")
    return told


STATUSES = ("Completed", "Failed", "Stopped")
START = 1_700_000_000.0


def name(i: int) -> str:
    return f"job-{i * 7919 % 1_000_003:07d}"


def status_of(i: int) -> str:
    return "Stopped" if i % 1000 == 7 else "Failed" if i % 10 == 3 else "Completed"


def page(platform: Platform, title: str, asked: dict, right: list[str]) -> float:
    """Seconds to the first page, as a client sees it; its names are compared."""
    times = []
    for _ in range(5):
        began = time.perf_counter()
        answer = platform.ask("ListTrainingJobs", {"MaxResults": 100, **asked})
        times.append(time.perf_counter() - began)
        got = [job["TrainingJobName"] for job in answer["TrainingJobSummaries"]]
        assert got == right, f"{title}: {got[:3]}… instead of {right[:3]}…"
    print(f"{title:34}{statistics.median(times) * 1000:8.1f} ms ({max(times) * 1000:.1f})")
    return statistics.median(times)


def fill(path: Path, count: int) -> None:
    """Jobs that ended, written as the store writes them."""
    import sqlite3
    from uuid import uuid4

    account, region = "123456789012", "us-east-1"
    db = sqlite3.connect(path, timeout=30)
    columns = [row[1] for row in db.execute("PRAGMA table_info(records)")]
    spec = json.dumps(
        {
            "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            "RoleArn": ROLE,
            "HyperParameters": {f"h{i}": "1" for i in range(10)},
        }
    )

    def row(i: int) -> tuple:
        at, arn = START + i, f"arn:aws:sagemaker:{region}:{account}:training-job/{name(i)}"
        state = json.dumps({"secondary": status_of(i), "transitions": [], "started_at": at, "ended_at": at + 60})
        known = {
            "uid": uuid4().hex, "kind": "training-job", "account": account, "region": region, "name": name(i), "arn": arn, "owner": None,
            "status": status_of(i), "spec": spec, "state": state, "revision": 5, "due_at": None, "wakes": 0, "lease_until": 0.0,
            "created_at": at, "updated_at": at + 60,
        }  # fmt: skip
        return tuple(known[column] for column in columns)

    with db:
        db.executemany(f"INSERT INTO records ({','.join(columns)}) VALUES ({','.join('?' * len(columns))})", map(row, range(count)))
    db.close()


if __name__ == "__main__":
    main()
