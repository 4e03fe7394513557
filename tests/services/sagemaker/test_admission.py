"""Which jobs may start: by CPU and memory, fair by arrival, whoever is killed in between."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace

import pytest

from modelyard.kernel.clock import ManualClock
from modelyard.kernel.database import SQLite
from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.store import Store
from modelyard.services.sagemaker.jobs import admission
from modelyard.services.sagemaker.jobs.admission import Gate, Held, Machine, admit, fits, leave

GIB = float(1 << 30)
TWO_CPUS = Machine(2, 24 * GIB, 20 * GIB)
JOB = Lifecycle("some-job", "InProgress")


class World(SimpleNamespace):
    def wake(self, uid):
        self.woken.append(uid)


@pytest.fixture
def world(tmp_path, monkeypatch):
    clock, now = ManualClock(), [1000.0]
    monkeypatch.setattr(admission, "real_now", lambda: now[0])
    store = Store(SQLite(tmp_path / "s.db", durable=False), clock)
    made = World(store=store, clock=clock, parts={}, woken=[], now=now)
    made.parts["admission"] = Gate(store.db)
    made.parts["admission"].machine = lambda: TWO_CPUS
    yield made
    store.db.close()


def job(world, name):
    world.clock.advance(1)
    return world.store.create(JOB, account="1", region="r", name=name, arn=f"arn:{name}", spec={})


def test_places_add_up_to_twice_the_cpus():
    busy = Held(2, 8 * GIB, 60, busy=1.0)
    assert fits(TWO_CPUS, [], 2, 8 * GIB) and fits(TWO_CPUS, [busy], 2, 8 * GIB)
    assert not fits(TWO_CPUS, [busy, busy], 2, 8 * GIB)


def test_a_big_job_gets_in_alone_and_only_alone():
    assert fits(TWO_CPUS, [], 16, 100 * GIB)
    assert not fits(TWO_CPUS, [Held(2, GIB, 60, busy=1.0)], 16, GIB)


def test_jobs_that_sleep_leave_room_but_not_while_they_are_young():
    old, young = Held(2, GIB, 60, busy=0.0), Held(2, GIB, 1, busy=0.0)
    assert fits(TWO_CPUS, [old] * 5, 2, GIB)
    assert not fits(TWO_CPUS, [young] * 2, 2, GIB)
    assert not fits(TWO_CPUS, [Held(2, GIB, 60, busy=None)] * 2, 2, GIB), "not measured is not idle"


def test_memory_that_is_promised_or_used_is_not_promised_again():
    assert fits(Machine(64, 24 * GIB, 3 * GIB), [Held(2, 8 * GIB, 60, 1.0)], 2, 8 * GIB)
    assert not fits(Machine(64, 24 * GIB, 2 * GIB), [Held(2, 8 * GIB, 60, 1.0)], 2, 8 * GIB), "others use it"
    assert not fits(Machine(64, 24 * GIB, 5 * GIB), [Held(2, 8 * GIB, 1, 1.0)], 2, 8 * GIB), "a young job was promised it"


def test_first_come_first_served_and_nobody_overtakes(world):
    jobs = [job(world, f"j{n}") for n in range(4)]
    big = job(world, "big")
    small = job(world, "small")
    assert admit(world, jobs[0], 2, GIB) and admit(world, jobs[1], 2, GIB)
    assert not admit(world, jobs[2], 2, GIB) and not admit(world, jobs[3], 2, GIB)
    assert not admit(world, big, 2, GIB, hosts=8)
    assert admit(world, small, 0.1, GIB).ahead == 3, "there would be room for it"
    leave(world, jobs[0].uid)
    assert world.woken[-1] == jobs[2].uid
    assert not admit(world, jobs[3], 2, GIB), "not before the one that came before"
    assert admit(world, jobs[2], 2, GIB) and admit(world, jobs[2], 2, GIB), "a place once given stays"
    for done in jobs[1:3]:
        leave(world, done.uid)
    assert admit(world, jobs[3], 2, GIB) and not admit(world, big, 2, GIB, hosts=8)
    leave(world, jobs[3].uid)
    assert admit(world, big, 2, GIB, hosts=8) and not admit(world, small, 0.1, GIB)
    leave(world, big.uid)
    leave(world, big.uid)
    assert admit(world, small, 0.1, GIB)


def test_another_engine_knows_the_places_and_the_turns(world):
    first, second, third = (job(world, name) for name in ("a", "b", "c"))
    assert admit(world, first, 4, GIB) and not admit(world, second, 4, GIB) and not admit(world, third, 4, GIB)
    world.parts["admission"] = Gate(world.store.db)
    world.parts["admission"].machine = lambda: TWO_CPUS
    assert admit(world, first, 4, GIB) and not admit(world, third, 4, GIB)
    leave(world, first.uid)
    assert not admit(world, third, 4, GIB) and admit(world, second, 4, GIB)


def test_of_two_that_ask_for_the_last_place_at_once_one_gets_it(world, monkeypatch):
    jobs, both, fits_now = [job(world, name) for name in ("a", "b", "c")], threading.Barrier(2), Gate._fits
    assert admit(world, jobs[0], 2, GIB)

    def looked(*asked):
        found = fits_now(*asked)
        with suppress(threading.BrokenBarrierError):  # where they take turns they never meet
            both.wait(0.3)
        return found

    monkeypatch.setattr(Gate, "_fits", looked)
    with ThreadPoolExecutor(2) as pool:
        admitted = list(pool.map(lambda one: bool(admit(world, one, 2, GIB)), jobs[1:]))
    assert sorted(admitted) == [False, True]


def test_a_job_whose_record_is_gone_keeps_no_place_and_no_turn(world):
    first, second, third = (job(world, name) for name in ("a", "b", "c"))
    assert admit(world, first, 4, GIB) and not admit(world, second, 4, GIB)
    world.store.delete(first)
    world.store.delete(second)
    admit(world, third, 4, GIB)
    assert admit(world, third, 4, GIB)


def test_the_load_is_measured_by_job(world):
    spent = {"u1-1": 10.0, "u1-2": 5.0, "u2-1": 7.0}
    world.parts["runtime"] = SimpleNamespace(ids=lambda: [*spent, "x-1"], usage=lambda ids: {i: (spent[i], 0) for i in ids})
    load = admission.Load()
    assert load.of(world, ["u1", "u2"], 100.0) == {}
    spent.update({"u1-1": 13.0, "u1-2": 6.0})
    assert load.of(world, ["u1", "u2"], 104.0) == {"u1": 1.0, "u2": 0.0}
    spent.update({"u1-1": 99.0})
    assert load.of(world, ["u1", "u2"], 104.5)["u1"] == 1.0, "not sampled again at once"


def test_this_machine_has_something():
    here = admission.this_machine()
    assert here.cpus >= 1 and 0 < here.available <= here.memory
