from __future__ import annotations

import threading
import time

import pytest

from modelyard.kernel.bus import Bus, Reader
from modelyard.kernel.clock import ManualClock
from modelyard.kernel.database import SQLite
from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.store import Step, Store
from tests.support.chaos import Chaos, Crash
from tests.support.hosting import eventually

JOB = Lifecycle("job", "New", {"New": {"Done"}})


@pytest.fixture
def store(tmp_path):
    return Store(SQLite(tmp_path / "s.db", durable=False), ManualClock())


def make(store, name):
    return store.create(JOB, account="1", region="r", name=name, arn=f"arn:{name}", spec={})


def test_a_reader_sees_each_event_of_its_kinds_once_and_in_order(store):
    seen = []
    bus = Bus(store, [Reader("r", lambda e: seen.append((e.name, e.new)), frozenset({"job"}))])
    job = make(store, "a")
    store.apply(JOB, job, Step("Done"), None)
    store.create(Lifecycle("other", "X"), account="1", region="r", name="o", arn="arn:o", spec={})
    bus.drain()
    bus.drain()
    make(store, "b")
    bus.drain()
    assert seen == [("a", "New"), ("a", "Done"), ("b", "New")]


def test_an_event_that_a_handler_failed_on_comes_again_and_holds_up_nobody_else(store):
    tries, other = [], []

    def fragile(event):
        tries.append(event.name)
        if len(tries) < 3:
            raise OSError("down")

    bus = Bus(store, [Reader("fragile", fragile), Reader("other", lambda e: other.append(e.name))])
    make(store, "a")
    make(store, "b")
    for _ in range(4):
        bus.drain()
    assert tries == ["a", "a", "a", "b"] and other == ["a", "b"]


def test_while_it_runs_pages_and_failures_need_no_commit_to_be_gone_on_with(store, monkeypatch):
    """Everything is committed before it looks first."""
    monkeypatch.setattr("modelyard.kernel.bus.PAGE", 3)
    monkeypatch.setattr("modelyard.kernel.bus.LOOK_SECONDS", 0.01)
    seen, looks, failed, whole = [], [], [], threading.Event()

    def handle(event):
        if event.name == "j4" and not failed:
            failed.append(event)
            raise OSError("down")
        seen.append(event.name)
        if len(seen) == 8:
            whole.set()

    for n in range(8):
        make(store, f"j{n}")
    bus = Bus(store, [Reader("r", handle)])
    monkeypatch.setattr(store, "events", lambda *a, read=store.events: looks.append(a) or read(*a))
    runs = threading.Thread(target=bus.run)
    runs.start()
    try:
        assert whole.wait(20) and seen == [f"j{n}" for n in range(8)]

        def quiet() -> bool:
            before = len(looks)
            time.sleep(0.1)
            return len(looks) == before

        eventually(quiet)  # nothing is committed: nothing is read
        make(store, "last")
        eventually(lambda: seen[-1] == "last")
    finally:
        bus.stop()
        runs.join(20)


@pytest.mark.parametrize("seed", range(10))
def test_killed_anywhere_no_event_is_skipped(store, seed):
    chaos, seen = Chaos(seed, 0.6), []
    for n in range(30):
        make(store, f"j{n}")
    for _ in range(500):
        try:
            bus = Bus(chaos.wrap(store), [Reader("r", lambda e: seen.append(e.seq))])
            while bus.drain():
                pass
            break
        except Crash:
            continue
    assert sorted(set(seen)) == list(range(1, 31)), "at least once"
    assert chaos.crashes > 0
