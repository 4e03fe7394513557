"""The engine: looks when due, obeys the clock, backs off when a look fails, shares work by leases."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

import pytest

from modelyard.config import Settings
from modelyard.kernel.clock import ManualClock, SystemClock
from modelyard.kernel.database import SQLite
from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.platform import Platform
from modelyard.kernel.reconcile import Engine, Reconciler, Step
from modelyard.kernel.store import Store

JOB = Lifecycle("job", "New", {"New": {"Running"}, "Running": {"Done"}})


def world(tmp_path, clock):
    store = Store(SQLite(tmp_path / "s.db", durable=False), clock)
    return Platform(Settings(data=tmp_path), clock, store)


def create(platform, name="a", **more):
    return platform.store.create(JOB, account="1", region="r", name=name, arn=f"arn:{name}", spec={}, **more)


def test_a_step_waits_for_its_time_on_the_platform_clock(tmp_path):
    clock = ManualClock()
    platform = world(tmp_path, clock)
    job = create(platform)

    def decide(record, seen, now):
        return {"New": Step("Running", wake_at=now + 86_400.0), "Running": Step("Done"), "Done": Step("Done")}[record.status]

    engine = Engine(platform, [Reconciler(JOB, lambda r, w: None, decide)])
    engine.settle()
    assert platform.store.by_uid(job.uid).status == "Running"
    clock.advance(86_399.0)
    engine.settle()
    assert platform.store.by_uid(job.uid).status == "Running"
    clock.advance(1.0)
    engine.settle()
    assert platform.store.by_uid(job.uid).status == "Done"


@dataclass
class Note:
    said: list = field(default_factory=list)
    text: str = ""

    def perform(self, platform):
        self.said.append(self.text)


def test_actions_happen_before_the_write_and_again_when_the_look_failed(tmp_path):
    clock = ManualClock()
    platform = world(tmp_path, clock)
    job = create(platform)
    said: list[str] = []
    broken = [True, True, False]

    @dataclass
    class Fail:
        def perform(self, platform):
            said.append(platform.store.by_uid(job.uid).status)
            if broken.pop(0):
                raise OSError("the world is down")

    engine = Engine(
        platform, [Reconciler(JOB, lambda r, w: None, lambda r, s, n: Step("Running", do=[Fail()] if r.status == "New" else []))]
    )
    engine.settle()
    assert said == ["New"] and platform.store.by_uid(job.uid).status == "New"
    for _ in range(2):
        clock.advance(1.0)
        engine.settle()
    assert said == ["New", "New", "New"] and platform.store.by_uid(job.uid).status == "Running"


def test_two_running_engines_share_records_and_none_is_looked_at_twice_at_once(tmp_path):
    platform = world(tmp_path, SystemClock())
    inside: set[str] = set()
    clashes: list[str] = []
    lock = threading.Lock()

    def observe(record, w):
        with lock:
            if record.uid in inside:
                clashes.append(record.uid)
            inside.add(record.uid)
        threading.Event().wait(0.005)
        with lock:
            inside.discard(record.uid)

    def decide(record, seen, now):
        return {"New": Step("Running", wake_in_real_s=0.01), "Running": Step("Done")}.get(record.status, Step("Done"))

    jobs = [create(platform, f"j{n}") for n in range(30)]
    engines = [Engine(platform, [Reconciler(JOB, observe, decide)], workers=4) for _ in range(2)]
    threads = [threading.Thread(target=engine.run) for engine in engines]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and any(platform.store.by_uid(j.uid).status != "Done" for j in jobs):
        threading.Event().wait(0.02)
    for engine in engines:
        engine.stop()
    for thread in threads:
        thread.join()
    assert all(platform.store.by_uid(j.uid).status == "Done" for j in jobs)
    assert clashes == []


def test_a_decision_against_the_lifecycle_never_reaches_the_store(tmp_path):
    platform = world(tmp_path, ManualClock())
    job = create(platform)
    Engine(platform, [Reconciler(JOB, lambda r, w: None, lambda r, s, n: Step("Done"))]).settle()
    assert platform.store.by_uid(job.uid).status == "New"


@pytest.mark.parametrize("speed", [1.0, 3600.0])
def test_what_waits_for_real_processes_ignores_the_speed_of_the_clock(tmp_path, speed):
    clock = ManualClock()
    clock.speed = speed
    engine = Engine(world(tmp_path, clock), [])
    assert engine._wake_at(Step("x", wake_in_real_s=2.0)) == clock.now() + 2.0 * speed
