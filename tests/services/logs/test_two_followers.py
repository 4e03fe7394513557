"""Two engines follow one run's log: every line once, every metric once."""

from __future__ import annotations

import threading

from modelyard.kernel.clock import SystemClock
from modelyard.kernel.database import SQLite
from modelyard.services.cloudwatch.metric_store import MetricStore
from modelyard.services.logs.follow import LogFollower
from modelyard.services.logs.log_store import LogStore

LINES = 4000


def test_every_line_and_every_metric_once(tmp_path):
    clock, path = SystemClock(), tmp_path / "log"
    logs = LogStore(SQLite(tmp_path / "logs.db", durable=False), clock)
    metrics = MetricStore(SQLite(tmp_path / "metrics.db", durable=False), clock)
    followers = [LogFollower(logs, clock) for _ in range(2)]

    def on_lines(places, lines):
        data = [{"MetricName": "m", "Value": float(text), "Timestamp": at / 1000} for at, text in lines]
        metrics.put("1", "r", "n", data, source=("k", places))

    path.touch()
    for follower in followers:
        follower.follow("k", "1", "r", "/g", "s", path, on_lines)
    with path.open("a", buffering=1) as file:
        for number in range(LINES):
            file.write(f"{1_700_000_000_000 + number} {number}\n")
    ends = [threading.Thread(target=follower.drain, args=("k",)) for follower in followers]
    for end in ends:
        end.start()
    for end in ends:
        end.join()
    for follower in followers:
        follower.stop()
    rows = logs._db.read("SELECT message FROM log_events ORDER BY seq")
    assert [row[0] for row in rows] == [str(n) for n in range(LINES)]
    assert metrics._db.read("SELECT count(*), sum(total) FROM metric_points")[0] == (LINES, LINES * (LINES - 1) / 2)
