"""CloudWatch Logs at size: lines in per minute, what a kill -9 of the gateway loses, and the first page of a filter over all of them.

    PYTHONPATH=src python benchmarks/logs.py [--lines 200000] [--threads 2] [--batch 5000] [--filter] [--stored 10000000] [--streams 40]

Beside it the floor in the same run: the same lines appended to one file (flushed batch by batch), and `grep` for the same word in it.
Lines go in by signed PutLogEvents over HTTP. `--stored 10000000` is the figure of the product's promise: as many lines lie in packs, in many
streams that go side by side, and the first pages of filters are asked about them, from their beginning and towards their end.
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

GROUP, STORED, RARE_EVERY, PACK = "/bench", "/stored", 100_000, 2048


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

    return LogStore(SQLite(Path(folder) / "logs.db", durable=False, shrinks=True), SystemClock())


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


METRIC = "%user-49[0-9]{2}$%"


def metered(folder: str, lines: int) -> None:
    """What an engine needs to show the lines of the filling to a metric filter with an expression."""
    from modelyard import app
    from modelyard.config import Settings
    from modelyard.services.logs.filter_worker import drain

    platform = app.build_platform(Settings(data=Path(folder), cache=Path(folder) / "cache"), "gateway")
    began, cpu = time.monotonic(), time.process_time()
    drain(platform)
    took, cpu = time.monotonic() - began, time.process_time() - cpu
    (left,) = platform.logs.db.read("SELECT count(*) FROM log_outbox")[0]
    print(
        f"{'metric filter':<12} {METRIC:<17}: {lines / took * 60:12,.0f} lines/min   ({cpu / lines * 1e6:.1f} µs of CPU a line, {left} left)",
        flush=True,
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


def store_many(folder: str, lines: int, streams: int) -> float:
    """Puts lines into packs, as an engine would have by now, without the way through a gateway: some processes make packs, this one
    writes them. Answers the time of the first line (ms)."""
    import multiprocessing

    store = opened(folder)
    store.create_group("123456789012", "us-east-1", STORED, None, "STANDARD")
    group = store.group("123456789012", "us-east-1", STORED)
    for n in range(streams):
        store.create_stream(group, f"s{n:04d}")
    ids = [stream.id for stream in store.streams(group, limit=streams)]
    first_ms = int(time.time() * 1000) - lines  # a line each millisecond
    began = time.monotonic()
    base = 1 << 40
    each = lines // streams
    jobs = [
        (stream, start, min(PACK, each - start), streams, place, first_ms, base)
        for start in range(0, each, PACK)
        for place, stream in enumerate(ids)
    ]
    with multiprocessing.get_context("fork").Pool(os.cpu_count()) as pool:
        made = pool.imap_unordered(one_pack, jobs, chunksize=4)
        while some := list(itertools.islice(made, 64)):
            with store.db.write() as tx:
                for row, bits in some:
                    ((id,),) = tx.execute(
                        "INSERT INTO log_packs (stream_id, first_at, first_seq, last_at, last_seq, lines, bytes, places, body) "
                        "VALUES (?,?,?,?,?,?,?,?,?) RETURNING id",
                        row,
                    )
                    tx.execute("INSERT INTO log_pack_bits VALUES (?,?)", (id, bits))
    last_ms = first_ms + each * streams
    with store.db.write() as tx:
        tx.execute(
            "UPDATE log_streams SET first_ms = ?, last_ms = ?, ingested_ms = ? WHERE group_id = ?", (first_ms, last_ms, last_ms, group.id)
        )
        tx.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'log_events'", (base + lines,))
    took = time.monotonic() - began
    store.db.close()
    size = os.path.getsize(f"{folder}/logs.db")
    print(f"{'stored':<12} {f'{lines:,} lines':<18}: {streams} streams, {size / 1e6:.0f} MB, made in {took:.0f} s", flush=True)
    return first_ms


def one_pack(job: tuple[int, int, int, int, int, int, int]) -> tuple[tuple, bytes]:
    """The row of a pack: every `streams`-th of all lines, from the `start`-th of this stream."""
    from modelyard.services.logs.lines import LogEvent
    from modelyard.services.logs.pack import close_pack

    stream, start, count, streams, place, first_ms, base = job
    numbers = [(start + i) * streams + place for i in range(count)]
    events = [LogEvent(base + n, stream, first_ms + n, first_ms + n, line(n)) for n in numbers]
    places, text, bits = close_pack(events)
    raw = sum(len(event.message) + 26 for event in events)
    first, last = events[0], events[-1]
    return (stream, first.at_ms, first.seq, last.at_ms, last.seq, count, raw, places, text), bits


PATTERNS = (
    ("every line", ""),
    ("1 line in 100,000", "NEEDLE"),
    ("no line", "nowhere"),
    ("1 line in 5,000", "user-4998"),
    ("most lines", "INFO -NEEDLE"),
    ("either of two", "?NEEDLE ?nowhere"),
    ("columns", "[time, level=NEEDLE, ...]"),
    ("expression", "%user-49[0-9]{2}$%"),
    ("json, no line", "{ $.level = nowhere }"),
)


def first_pages(gateway: Gateway, group: str, first_ms: int, lines: int, rounds: int = 3) -> None:
    """Over all of it, over its first and its last tenth; the longest of all is told."""
    client = gateway.client()
    client.describe_log_groups()
    tenth = lines // 10
    windows = {"whole": {}, "first tenth": {"endTime": first_ms + tenth}, "last tenth": {"startTime": first_ms + 9 * tenth}}
    worst = 0.0
    for name, pattern in PATTERNS:
        told = []
        for window, span in windows.items():
            took, events = [], 0
            for _ in range(rounds):
                began = time.monotonic()
                events = len(client.filter_log_events(logGroupName=group, filterPattern=pattern, **span)["events"])
                took.append((time.monotonic() - began) * 1000)
            worst = max(worst, sorted(took)[len(took) // 2])
            told.append(f"{window} {sorted(took)[len(took) // 2]:4.0f} ms ({events})")
        print(f"{'first page':<12} {name:<18}: {', '.join(told)}", flush=True)
    print(f"{'first page':<12} {'slowest median':<18}: {worst:4.0f} ms", flush=True)


def whole(gateway: Gateway, group: str) -> float:
    """Seconds until a filter for the rare word has gone through every line, page by page."""
    began, found, more = time.monotonic(), 0, {}
    client = gateway.client()
    while True:
        page = client.filter_log_events(logGroupName=group, filterPattern="NEEDLE", **more)
        found += len(page["events"])
        if "nextToken" not in page:
            break
        more = {"nextToken": page["nextToken"]}
    took = time.monotonic() - began
    print(f"{'whole filter':<12} {'1 line in 100,000':<18}: {took * 1000:6.0f} ms   ({found} events)", flush=True)
    return took


def dropped(gateway: Gateway, folder: str, group: str) -> None:
    """DeleteLogGroup, and what its going gives back to the disk."""
    before = os.path.getsize(f"{folder}/logs.db")
    began = time.monotonic()
    gateway.client().delete_log_group(logGroupName=group)
    took = time.monotonic() - began
    began = time.monotonic()
    store = opened(folder)
    store.sweep()
    store.db.close()
    after = os.path.getsize(f"{folder}/logs.db")
    print(
        f"{'DeleteLogGroup':<12} {'all lines':<16}: {took * 1000:6.0f} ms; logs.db from {before / 1e6:.0f} to {after / 1e6:.0f} MB "
        f"in {time.monotonic() - began:.1f} s of sweeping",
        flush=True,
    )


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
    parser.add_argument("--stored", type=int, default=0, help="how many lines the first pages of filters are asked about")
    parser.add_argument("--streams", type=int, default=40, help="of the stored lines")
    parser.add_argument("--filter", action="store_true", help="with a metric filter of an expression on the group of the filling")
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
            if args.filter:
                point = [{"metricName": "m", "metricNamespace": "bench", "metricValue": "1"}]
                client.put_metric_filter(logGroupName=GROUP, filterName="f", filterPattern=METRIC, metricTransformations=point)
            took, down, acknowledged = fill(gateway, args.lines, args.threads, args.batch)
            rate = len(acknowledged) * args.batch / (took - down) * 60
            print(f"{'modelyard':<12} {'PutLogEvents':<18}: {rate:12,.0f} lines/min   (killed once, {down:.1f} s down)")
            if args.filter:
                metered(folder, len(acknowledged) * args.batch)
            store = opened(folder)
            size = os.path.getsize(f"{folder}/logs.db")
            print(f"{'loose':<12} {'logs.db':<18}: {size / 1e6:8.0f} MB, {size / len(acknowledged) / args.batch:.0f} bytes a line")
            packed(store)
            missing = lost(store, acknowledged, args.batch)
            print(f"{'kill -9':<12} {'acknowledged lines':<18}: {len(acknowledged) * args.batch:,} , lost {missing}", flush=True)
            if args.stored:
                first_ms = store_many(folder, args.stored, args.streams)
                first_pages(gateway, STORED, first_ms, args.stored)
                whole(gateway, STORED)
                dropped(gateway, folder, STORED)
        finally:
            gateway.kill()
        if missing:
            raise SystemExit(1)


if __name__ == "__main__":
    main()
