"""SQS beside its floor (bare SQLite: insert, delete, each commit durable) and, where one names an interpreter that has it, moto's server (which keeps messages in memory).

    PYTHONPATH=src python benchmarks/queues.py [--messages 2000] [--concurrency 1 8] [--moto PYTHON]

Every message is sent, received and deleted by boto3 clients on threads, one request each; what was sent is compared with what came.
Prints messages per second through all three steps, and the server's CPU per message.
"""

from __future__ import annotations

import argparse
import os
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from support.lone_gateway import serve

TICK = os.sysconf("SC_CLK_TCK")


def client(port: int, key: str, secret: str) -> Any:
    import boto3

    session = boto3.Session(key, secret, region_name="us-east-1")
    return session.client("sqs", endpoint_url=f"http://127.0.0.1:{port}")


def through(make: Callable[[], Any], url: str, messages: int, concurrency: int) -> float:
    """Seconds until every message was sent, received and deleted."""
    got: list[set[str]] = [set() for _ in range(concurrency)]

    def work(number: int) -> None:
        sqs, mine = make(), messages // concurrency
        for i in range(mine):
            sqs.send_message(QueueUrl=url, MessageBody=f"{number} {i}")
            for message in sqs.receive_message(QueueUrl=url).get("Messages", []):
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                got[number].add(message["Body"])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(concurrency)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    sqs = make()
    late: set[str] = set()
    while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in found:
            late.add(message["Body"])
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    seen = set().union(*got) | late
    assert len(seen) == messages // concurrency * concurrency, f"{len(seen)} of {messages} came"
    return took


def floor(folder: str, messages: int) -> float:
    """Insert, mark and delete rows of one table, each in a commit of its own that survives power loss."""
    db = sqlite3.connect(f"{folder}/floor.db", isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")
    db.execute("CREATE TABLE m (seq INTEGER PRIMARY KEY, body TEXT, visible_at REAL)")
    began = time.monotonic()
    for i in range(messages):
        db.execute("INSERT INTO m VALUES (?,?,0)", (i, f"0 {i}"))
        db.execute("UPDATE m SET visible_at = 1 WHERE seq = ?", (i,))
        db.execute("DELETE FROM m WHERE seq = ?", (i,))
    return time.monotonic() - began


def cpu_of(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def measure(name: str, child: subprocess.Popen[str], make: Callable[[], Any], messages: int, concurrencies: list[int]) -> None:
    for concurrency in concurrencies:
        url = make().create_queue(QueueName=f"bench-{concurrency}")["QueueUrl"]
        before = cpu_of(child.pid)
        took = through(make, url, messages, concurrency)
        cpu = (cpu_of(child.pid) - before) / messages * 1000
        print(
            f"{name:<12} concurrency {concurrency:>2}: {messages / took:8.0f} messages/s   {cpu:6.2f} ms CPU of the server per message",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--moto", help="a Python interpreter that has moto[server]")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve)
        return
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        took = floor(folder, args.messages)
        print(f"{'bare SQLite':<12} concurrency  1: {args.messages / took:8.0f} messages/s")
        child = subprocess.Popen([sys.executable, __file__, "--serve", folder], stdout=subprocess.PIPE, text=True)
        try:
            port, key, secret = child.stdout.readline().split()
            measure("modelyard", child, lambda: client(int(port), key, secret), args.messages, args.concurrency)
        finally:
            child.kill()
            child.wait()
        if args.moto is None:
            print("no peer: --moto names an interpreter that has moto[server]")
            return
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        child = subprocess.Popen([args.moto, "-m", "moto.server", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            for _ in range(200):
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        break
                time.sleep(0.1)
            measure("moto", child, lambda: client(port, "a", "b"), args.messages, args.concurrency)
        finally:
            child.kill()
            child.wait()


if __name__ == "__main__":
    main()
