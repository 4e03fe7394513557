"""The queue of asynchronous inference, its driver killed at every point: each request ends in exactly one object, written once, and is counted once."""

from __future__ import annotations

import logging

import pytest

from modelyard.kernel.clock import ManualClock
from modelyard.kernel.database import SQLite
from modelyard.kernel.errors import ApiError
from modelyard.kernel.store import Store
from modelyard.serving.asynchronous import driver, item
from modelyard.serving.asynchronous.call import Answer, CallFailed
from modelyard.serving.asynchronous.driver import Driver
from modelyard.serving.asynchronous.queue import Queue
from modelyard.serving.asynchronous.report import Reporter
from tests.support.chaos import Chaos, Crash

REQUESTS = 60


class FakeHands:
    """S3 and SNS that outlive drivers. Nobody may write twice, nor a failure beside an output."""

    def __init__(self):
        self.objects, self.published = {}, []

    def read(self, one, uri):
        if uri.endswith("absent"):
            raise ApiError("NoSuchKey", "The specified key does not exist.", 404)
        return item.Input(1, "text/csv", iter((b"x",)))

    def written(self, one, uri):
        return uri in self.objects

    def write(self, one, uri, file, content_type):
        assert uri not in self.objects, f"{uri} is written twice"
        assert not [u for u in (one.request["output"], one.request["failure"]) if u in self.objects], "an output and a failure"
        file.seek(0)
        self.objects[uri] = file.read()

    def publish(self, one, topic, message):
        self.published.append((one.id, message["invocationStatus"]))


class Metrics:
    """Takes each number of a source once, as the metric store does."""

    def __init__(self):
        self.seen, self.counts = {}, {}

    def put(self, account, region, namespace, data, source=None):
        if source is not None:
            name, places = source
            if places[-1] <= self.seen.get(name, 0):
                return
            self.seen[name] = places[-1]
        for datum in data:
            hits = sum(v * n for v, n in zip(datum["Values"], datum["Counts"], strict=True))
            self.counts[datum["MetricName"]] = self.counts.get(datum["MetricName"], 0) + hits


class Simulation:
    def __init__(self, seed, folder, monkeypatch):
        self.chaos, self.clock, self.folder = Chaos(seed, rate=0.06), ManualClock(), folder
        self.store = Store(SQLite(folder / "s.db", durable=False), self.clock)
        self.queue = Queue(SQLite(folder / "q.db", durable=False))
        self.hands, self.metrics, self.lines = FakeHands(), Metrics(), []
        (folder / "run.use").touch()
        replicas = [{"id": "run-1", "socket": str(folder / "run")}]
        table = {
            "account": "1",
            "region": "r",
            "endpoint": "e",
            "version": 1,
            "variants": [{"name": "v", "weight": 1.0, "replicas": replicas}],
        }
        self.store.publish_routes("arn:e", 1, {**table, "key": "arn:e", "asynchronous": {"OutputConfig": {}, "incarnation": "uid"}})
        monkeypatch.setattr(item, "call", self.call)
        for number in range(REQUESTS):
            self.accept(number)

    def accept(self, number):
        request = {
            "endpoint": "e", "role": "r", "headers": "", "inference_id": f"i{number}", "timeout_s": 10, "success_topic": "t", "error_topic": "t",
            "input": "s3://i/absent" if number % 10 == 3 else "s3://i/x", "output": f"s3://o/{number}", "failure": f"s3://f/{number}",
        }  # fmt: skip
        ttl = 60 if number % 10 == 7 else 3600
        self.queue.accept(f"id{number}", "arn:e", "uid", "1", "r", self.clock.now(), self.clock.now() + ttl, request)

    async def call(self, path, head, length, pieces, sink, timeout_s):
        """A model that answers, now and then with an error, and now and then breaks the connection or refuses it."""
        drawn = self.chaos.random.random()
        if drawn < 0.1:
            raise CallFailed("broken", sent=drawn < 0.05)
        sink.write(b"answer")
        return Answer(500 if drawn < 0.2 else 200, {b"content-type": b"text/csv"}, 6)

    def live(self):
        """The life of a driver, to its end by crash or for want of work."""
        queue, hands, metrics = (self.chaos.wrap(one) for one in (self.queue, self.hands, self.metrics))
        folder = self.folder / "async"
        folder.mkdir(exist_ok=True)
        report = Reporter(queue, metrics.put, lambda *place_and_events: self.lines.extend(place_and_events[-1]), self.clock, folder)
        made = Driver(self.store, queue, hands, self.clock, folder, report)
        try:
            made.settle(60.0)
        finally:
            made.close()
            made._pool.shutdown(wait=True)
            if report._lead is not None:
                driver.os.close(report._lead)


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_every_point(seed, tmp_path, monkeypatch):
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    sim = Simulation(seed, tmp_path, monkeypatch)
    for turn in range(120):
        if turn == 2:
            sim.clock.advance(61)
        try:
            sim.live()
        except Crash:
            continue
    sim.chaos.rate = 0.0
    sim.live()

    assert sim.chaos.crashes > 10, "the test killed something"
    assert sim.queue.backlog() == {} and sim.queue.batch() is None
    for number in range(REQUESTS):
        assert (f"s3://o/{number}" in sim.hands.objects) != (f"s3://f/{number}" in sim.hands.objects), f"request {number}"
    assert len(sim.hands.objects) == REQUESTS
    told = dict(sim.hands.published)
    assert len(told) == REQUESTS, "each was told of, at least once"
    assert all((told[f"id{n}"] == "Completed") == (f"s3://o/{n}" in sim.hands.objects) for n in range(REQUESTS))
    assert sim.metrics.counts["InvocationsProcessed"] == REQUESTS
    failures = sum(uri.startswith("s3://f/") for uri in sim.hands.objects)
    assert sim.metrics.counts["InvocationFailures"] == failures >= 6
    assert {sim.hands.objects[uri] for uri in sim.hands.objects if uri.startswith("s3://o/")} == {b"answer"}
