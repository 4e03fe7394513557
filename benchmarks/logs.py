"""CloudWatch Logs at size: lines in per minute, what a kill -9 of the gateway loses, and the first page of a filter over all of them.

    PYTHONPATH=src python benchmarks/logs.py [--lines 200000] [--threads 2] [--batch 5000]

Beside it the floor in the same run: the same lines appended to one file (flushed batch by batch), and `grep` for the same word in it.
`--lines 10000000` is the figure of the product's promise; most of its time is the filling. Lines go in by signed PutLogEvents over HTTP.
In the middle of the filling the gateway is killed with -9 and started anew; then the lines are packed as an engine packs them, and every
acknowledged line is counted.
"""

from __future__ import annotations

import argparse
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from support.lone_gateway import serve

GROUP, RARE_EVERY = "/bench", 100_000


class Gateway:
    def __init__(self, folder: str) -> None:
        self._folder = folder
        self.start()

    def start(self) -> None:
        self.child = subprocess.Popen([sys.executable, __file__, "--serve", self._folder], stdout=subprocess.PIPE, text=True)
        self._port, self._key, self._secret = self.child.stdout.readline().split()

    def client(self) -> Any:
        import boto3
        from botocore.config import Config

        session = boto3.Session(self._key, self._secret, region_name="us-east-1")
        config = Config(retries={"max_attempts": 1}, read_timeout=60)
        return session.client("logs", endpoint_url=f"http://127.0.0.1:{self._port}", config=config)

    def kill(self) -> None:
        self.child.send_signal(signal.SIGKILL)
        self.child.wait()


def line(number: int) -> str:
    word = "NEEDLE" if number % RARE_EVERY == RARE_EVERY // 2 else "INFO"
    return f"2026-01-01T00:00:00Z {word} request {number} served /path/{number % 997} in {number % 313} ms for user-{number % 4999}"


def fill(gateway: Gateway, lines: int, threads: int, batch: int) -> tuple[float, float, set[int]]:
    """(seconds of filling, seconds of being down, numbers of batches that were acknowledged)."""
    counter, lock, acknowledged = itertools.count(), threading.Lock(), set()
    batches, killed = lines // batch, threading.Event()
    again = threading.Event()
    again.set()
    down = 0.0

    def work(stream: str) -> None:
        client = gateway.client()
        while True:
            with lock:
                number = next(counter)
            if number >= batches:
                return
            at = int(time.time() * 1000)
            events = [{"timestamp": at, "message": line(number * batch + i)} for i in range(batch)]
            try:
                client.put_log_events(logGroupName=GROUP, logStreamName=stream, logEvents=events)
                acknowledged.add(number)
            except Exception:  # the gateway was killed under it: what it was sending may be there or not
                killed.wait(60)
                again.wait(60)
                client = gateway.client()

    workers = [threading.Thread(target=work, args=(f"s{n}",)) for n in range(threads)]
    began = time.monotonic()
    for worker in workers:
        worker.start()
    while len(acknowledged) < batches // 2 and any(worker.is_alive() for worker in workers):
        time.sleep(0.01)
    stopped = time.monotonic()
    again.clear()
    gateway.kill()
    killed.set()
    gateway.start()
    down = time.monotonic() - stopped
    again.set()
    for worker in workers:
        worker.join()
    return time.monotonic() - began, down, acknowledged


def opened(folder: str) -> Any:
    from modelyard.kernel.clock import SystemClock
    from modelyard.kernel.database import SQLite
    from modelyard.services.logs.log_store import LogStore

    return LogStore(SQLite(Path(folder) / "logs.db", durable=False), SystemClock())


def packed(store: Any) -> None:
    """What an engine does with lines that have lain for half a minute."""
    began, cpu = time.monotonic(), time.process_time()
    for (stream,) in store.db.read("SELECT id FROM log_streams"):
        while store.packs.pack(stream, 1 << 60):
            pass
    ((lines, size),) = store.db.read(
        "SELECT coalesce(sum(lines), 1), coalesce(sum(length(places) + length(body)) + 4096 * count(*), 0) FROM log_packs"
    )
    took, cpu = time.monotonic() - began, time.process_time() - cpu
    print(
        f"{'modelyard':<12} {'packing':<18}: {lines / took * 60:12,.0f} lines/min   ({cpu / lines * 1e6:.1f} µs of CPU and {size / lines:.1f} bytes a line)"
    )


def lost(store: Any, acknowledged: set[int], batch: int) -> int:
    """Acknowledged lines that are not in the store, counted by their number."""
    seen = bytearray((max(acknowledged) + 1) * batch)
    twice = 0
    group = store.group("123456789012", "us-east-1", GROUP)
    for event in store.scan(store.streams(group, limit=1000)):
        number = int(event.message.split(" ", 4)[3])
        if number < len(seen):
            twice += seen[number]
            seen[number] = 1
    assert twice == 0, f"{twice} lines are there twice"
    return sum(batch - sum(seen[number * batch : (number + 1) * batch]) for number in acknowledged)


def first_pages(gateway: Gateway, rounds: int = 5) -> None:
    client = gateway.client()
    client.describe_log_groups()
    for name, pattern in (
        ("every line", ""),
        ("1 line in 100,000", "NEEDLE"),
        ("no line", "nowhere"),
        ("1 line in 5,000", "user-4998"),
        ("columns", "[time, level=NEEDLE, ...]"),
        ("expression", "%user-49[0-9]{2}$%"),
        ("json, no line", "{ $.level = nowhere }"),
    ):
        took, events = [], 0
        for _ in range(rounds):
            began = time.monotonic()
            events = len(client.filter_log_events(logGroupName=GROUP, filterPattern=pattern)["events"])
            took.append((time.monotonic() - began) * 1000)
        print(
            f"{'first page':<12} {name:<18}: {sorted(took)[len(took) // 2]:6.0f} ms median, {max(took):6.0f} ms longest   ({events} events)",
            flush=True,
        )


def whole(gateway: Gateway) -> float:
    """Seconds until a filter for the rare word has gone through every line, page by page."""
    began, found, more = time.monotonic(), 0, {}
    client = gateway.client()
    while True:
        page = client.filter_log_events(logGroupName=GROUP, filterPattern="NEEDLE", **more)
        found += len(page["events"])
        if "nextToken" not in page:
            break
        more = {"nextToken": page["nextToken"]}
    took = time.monotonic() - began
    print(f"{'whole filter':<12} {'1 line in 100,000':<18}: {took * 1000:6.0f} ms   ({found} events)", flush=True)
    return took


def floor(folder: str, lines: int, batch: int) -> None:
    path = Path(folder) / "floor.log"
    began = time.monotonic()
    with path.open("w") as file:
        for start in range(0, lines, batch):
            file.write("".join(f"{line(start + i)}\n" for i in range(batch)))
            file.flush()
    took = time.monotonic() - began
    print(f"{'plain file':<12} {'append':<18}: {lines / took * 60:12,.0f} lines/min")
    began = time.monotonic()
    found = subprocess.run(["grep", "-c", "NEEDLE", str(path)], capture_output=True, text=True, check=False).stdout.strip()
    print(f"{'grep':<12} {'1 line in 100,000':<18}: {(time.monotonic() - began) * 1000:6.0f} ms   ({found} lines)", flush=True)
    path.unlink()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=200_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=5000, help="lines of one request (at most 10,000 and 1 MB)")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve)
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        floor(folder, args.lines, args.batch)
        gateway = Gateway(folder)
        try:
            client = gateway.client()
            client.create_log_group(logGroupName=GROUP)
            for n in range(args.threads):
                client.create_log_stream(logGroupName=GROUP, logStreamName=f"s{n}")
            took, down, acknowledged = fill(gateway, args.lines, args.threads, args.batch)
            rate = len(acknowledged) * args.batch / (took - down) * 60
            print(f"{'modelyard':<12} {'PutLogEvents':<18}: {rate:12,.0f} lines/min   (killed once, {down:.1f} s down)")
            store = opened(folder)
            size = os.path.getsize(f"{folder}/logs.db")
            print(f"{'loose':<12} {'logs.db':<18}: {size / 1e6:8.0f} MB, {size / len(acknowledged) / args.batch:.0f} bytes a line")
            packed(store)
            missing = lost(store, acknowledged, args.batch)
            print(f"{'kill -9':<12} {'acknowledged lines':<18}: {len(acknowledged) * args.batch:,} , lost {missing}", flush=True)
            first_pages(gateway)
            whole(gateway)
        finally:
            gateway.kill()
        if missing:
            raise SystemExit(1)


if __name__ == "__main__":
    main()
