"""Bells are heard, and a watch tells of a changed status and of nothing else."""

from __future__ import annotations

import asyncio
import time

import pytest

from modelyard.kernel.clock import SystemClock
from modelyard.kernel.database import SQLite
from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.store import Step, Store
from modelyard.kernel.wake import Bell, Watch

JOB = Lifecycle("job", "Running", {"Running": {"Done"}})


@pytest.fixture
def store(tmp_path):
    return Store(SQLite(tmp_path / "store.db", durable=False), SystemClock())


def make(store):
    return store.create(JOB, account="1", region="r", name="n", arn="arn", spec={})


def test_a_bell_is_heard_by_every_process_and_a_dead_one_is_removed(tmp_path):
    one, two = Bell(tmp_path, "engine"), Bell(tmp_path, "gateway")
    one.ring("records")
    assert one.wait(20) == two.wait(20) == {"records"}
    two._ear.close()
    one.ring("more")
    one.wait(1)
    assert not two._own.exists()
    assert one.wait(0) == set()
    one.close()


async def test_a_bell_on_the_loop(tmp_path):
    bell, heard = Bell(tmp_path, "gateway"), asyncio.Event()
    bell.attach(asyncio.get_running_loop(), lambda topic: heard.set() if topic == "x" else None)
    bell.ring("x")
    await asyncio.wait_for(heard.wait(), 20)
    bell.close()


async def test_watch_waits_for_a_status_not_for_a_state(store):
    job, watch = make(store), Watch(store)
    waiting = asyncio.ensure_future(watch.changed(job.uid, job.revision, 60))
    await asyncio.sleep(0.15)
    job = store.apply(JOB, job, Step("Running", state={"a": 1}), None)
    await asyncio.sleep(0.15)
    assert not waiting.done()
    store.apply(JOB, job, Step("Done"), None)
    assert await asyncio.wait_for(waiting, 20)
    for _ in range(400):
        if watch._tail is None:
            break
        await asyncio.sleep(0.05)
    assert watch._tail is None and not watch._waiting


async def test_watch_sees_what_changed_before_it_looked_and_gives_up_in_time(store):
    job, watch = make(store), Watch(store)
    began = time.monotonic()
    assert not await watch.changed(job.uid, job.revision, 0.2)
    assert 0.15 < time.monotonic() - began < 20
    store.apply(JOB, job, Step("Done"), None)
    assert await watch.changed(job.uid, job.revision, 20)


async def test_a_poke_is_faster_than_the_next_look(store):
    job, watch = make(store), Watch(store)
    watch.LOOK_S = 60
    waiting = asyncio.ensure_future(watch.changed(job.uid, job.revision, 60))
    await asyncio.sleep(0.1)
    store.apply(JOB, job, Step("Done"), None)
    watch.poke("records")
    assert await asyncio.wait_for(waiting, 20)


async def test_hundred_waiters_cost_one_tail(store):
    job, watch = make(store), Watch(store)
    waiting = [asyncio.ensure_future(watch.changed(job.uid, job.revision, 5)) for _ in range(100)]
    await asyncio.sleep(0.1)
    store.apply(JOB, job, Step("Done"), None)
    assert all(await asyncio.gather(*waiting))
