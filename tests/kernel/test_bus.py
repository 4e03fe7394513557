from __future__ import annotations

import pytest

from modelyard.kernel.bus import Bus, Reader
from modelyard.kernel.clock import ManualClock
from modelyard.kernel.database import SQLite
from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.store import Step, Store
from tests.support.chaos import Chaos, Crash

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
