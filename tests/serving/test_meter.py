"""Counts of invocations: handed over exactly once, also those of a gateway that was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from modelyard.kernel.clock import ManualClock
from modelyard.kernel.database import SQLite
from modelyard.services.cloudwatch.metric_store import MetricStore
from modelyard.serving.meter import Meter, _values, count

KEY = ("1", "r", "e", "v")


class Metrics:
    def __init__(self, folder):
        self.store = MetricStore(SQLite(folder / "metrics.db", durable=False), ManualClock())

    def sum(self, name, column="total"):
        rows = self.store._db.read(
            f"SELECT sum(p.{column}) FROM metric_points p JOIN metric_series s ON s.id = p.series_id WHERE s.name = ?", (name,)
        )
        return rows[0][0] or 0.0


@pytest.fixture
def metrics(tmp_path):
    return Metrics(tmp_path)


def meter(tmp_path, metrics, **more):
    return Meter(metrics.store.put, ManualClock().now, tmp_path / "meters", **more)


def test_latencies_are_kept_within_three_percent():
    cell = Meter(lambda *_: None, lambda: 0.0).cell(*KEY)
    for us in (0, 1, 63, 64, 65, 127, 128, 1000, 12_345, 999_999, 60_000_000, 3_600_000_000):
        count(cell.model_us, us / 1e6 + 1e-7)
        ((value,), (number,)) = _values(cell.model_us)
        assert number == 1 and us * 0.968 <= value <= us
        cell.clear()
    count(cell.model_us, 1e9)
    assert _values(cell.model_us)[1] == [1], "what is beyond the last step is in it"


def test_handed_over_once(tmp_path, metrics):
    one = meter(tmp_path, metrics, instances=lambda key: 4)
    for _ in range(3):
        for _ in range(5):
            one.cell(*KEY).invocations += 1
        one.cell(*KEY).errors_4xx += 1
        one.rotate()
        one.flush()
        one.flush()
    assert metrics.sum("Invocations") == 15 and metrics.sum("Invocation4XXErrors") == 3
    assert metrics.sum("InvocationsPerInstance") == 15 / 4 and metrics.sum("InvocationsPerInstance", "samples") == 15
    one.close()
    assert list((tmp_path / "meters").iterdir()) == []


def test_a_store_that_refuses_loses_nothing(tmp_path, metrics):
    one = meter(tmp_path, metrics)
    put, one._put = one._put, lambda *_, **__: 1 / 0
    one.cell(*KEY).invocations += 1
    one.rotate()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            one.flush()
        one.cell(*KEY).invocations += 1
        one.rotate()
    one._put = put
    one.flush()
    one.rotate()
    one.flush()
    assert metrics.sum("Invocations") == 3


CHILD = """
import os, signal, sys
from pathlib import Path
from modelyard.serving.meter import Meter, count
refuse = lambda *_, **__: 1 / 0
meter = Meter(refuse, lambda: 5.0, Path(sys.argv[1]))
for name in ("v", "w"):
    for _ in range(100):
        cell = meter.cell("1", "r", "e", name)
        cell.invocations += 1
        count(cell.model_us, 0.001)
    meter.rotate()
    for _ in range(11):
        meter.cell("1", "r", "e", name).invocations += 1
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_counts_of_a_killed_gateway_are_taken_over_once(tmp_path, metrics):
    done = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path / "meters")], env={**os.environ, "PYTHONPATH": "src"}, check=False)
    assert done.returncode == -signal.SIGKILL
    two = meter(tmp_path, metrics)
    unlink, failing = type(tmp_path).unlink, []

    def once(path, **more):  # killed after the first file was handed over, before it was removed
        if not failing:
            failing.append(path)
            raise OSError
        unlink(path, **more)

    type(tmp_path).unlink = once
    try:
        with pytest.raises(OSError):
            two.flush()
    finally:
        type(tmp_path).unlink = unlink
    two.flush()
    two.flush()
    assert metrics.sum("Invocations") == 222
    assert metrics.sum("ModelLatency", "samples") == 200
    assert len(list((tmp_path / "meters").iterdir())) == 1, "its own lock"
