"""Which replica gets a request, and when one may be stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys

import pytest

from modelyard.services.sagemaker.endpoint import container
from modelyard.serving import replicas as module
from modelyard.serving.replicas import QueueFull, Replicas
from modelyard.serving.routes import Replica, RouteTable, Variant, use_file


def table(*sockets: str) -> RouteTable:
    return RouteTable("arn", "1", "r", "e", 1, (Variant("v", 1.0, tuple(Replica(s, s) for s in sockets)),))


@pytest.fixture
def sockets(tmp_path):
    names = [str(tmp_path / f"{n}.sock") for n in range(3)]
    for name in names:
        container.make_usable(name)
    return names


async def test_least_outstanding_then_by_turn(sockets):
    pools, routes = Replicas(asyncio.get_running_loop()), table(*sockets)
    pools.adopt([routes])
    picked = []
    for _ in range(6):
        pool = pools.pick(routes.variants[0])
        pool.outstanding += 1
        picked.append(pool.socket)
    assert sorted(picked[:3]) == sorted(sockets) and sorted(picked[3:]) == sorted(sockets)
    pool.outstanding -= 2
    assert pools.pick(routes.variants[0]) is pool
    pool.outstanding += 2


async def test_one_that_refused_is_passed_over(sockets):
    pools, routes = Replicas(asyncio.get_running_loop()), table(*sockets)
    pools.adopt([routes])
    bad = pools.pick(routes.variants[0])
    module.refused(bad)
    assert all(pools.pick(routes.variants[0]) is not bad for _ in range(9))
    assert pools.pick(routes.variants[0], set(sockets) - {bad.socket}) is bad, "unless there is no other"
    assert pools.pick(routes.variants[0], set(sockets)) is None


async def test_queue_is_first_come_first_served_and_bounded(sockets, monkeypatch):
    monkeypatch.setattr(module, "LONGEST_QUEUE", 2)
    pools, routes = Replicas(asyncio.get_running_loop()), table(sockets[0])
    pools.adopt([routes])
    variant = routes.variants[0]
    order = []

    async def wait(name):
        await pools.room(routes, variant)
        order.append(name)

    waiting = [asyncio.create_task(wait(n)) for n in "ab"]
    await asyncio.sleep(0)
    with pytest.raises(QueueFull):
        await pools.room(routes, variant)
    for _ in waiting:
        pools.done(routes, variant)
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    assert order == ["a", "b"]


class World:
    def __init__(self, folder):
        self.settings = type("S", (), {"socket_dir": folder})


def replica(uid):
    return type("R", (), {"uid": uid, "spec": {}, "state": {"attempt": 1}})


async def test_retired_only_when_no_gateway_uses_it(tmp_path):
    path = container.socket(replica("r"), 1, World(tmp_path))
    container.make_usable(path)
    pools, routes = Replicas(asyncio.get_running_loop()), table(path)
    pools.adopt([routes])
    assert not container.retire(replica("r"), World(tmp_path)), "it is in a gateway's table"
    pool = pools.pick(routes.variants[0])
    pool.outstanding += 1
    pools.adopt([])
    assert not container.retire(replica("r"), World(tmp_path)), "a request is under way"
    pool.outstanding -= 1
    pool.on_quiet()
    assert container.retire(replica("r"), World(tmp_path))
    pools.adopt([routes])
    assert pools.pick(routes.variants[0]) is None, "an old table cannot bring it back"


def test_killed_gateway_frees_its_replicas(tmp_path):
    path = container.socket(replica("r"), 1, World(tmp_path))
    container.make_usable(path)
    code = (
        "import asyncio, sys\nfrom modelyard.serving.replicas import hold\n"
        f"held = hold({use_file(path)!r}); print(held is not None, flush=True); sys.stdin.read()"
    )
    gateway = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": "src"}
    )
    assert gateway.stdout.readline() == b"True\n"
    assert not container.retire(replica("r"), World(tmp_path))
    gateway.send_signal(signal.SIGKILL)
    gateway.wait()
    assert container.retire(replica("r"), World(tmp_path))
