"""The replicas a gateway may send to: their upstream pools and the locks that tell the engine so."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections import deque
from collections.abc import Iterable
from time import monotonic

from modelyard.serving.routes import RouteTable, Variant, use_file
from modelyard.serving.upstream import Upstream

MOST_CONNECTIONS = 256
"""Requests under way at one replica; what comes above waits in the variant's queue."""
LONGEST_QUEUE = 1024
DOWN_SECONDS = 0.5
"""How long a replica that refused a connection is passed over while others take them."""


class QueueFull(Exception):
    """All replicas of the variant are busy and as many requests wait as may."""


class Replicas:
    """Pools by socket, shared by all tables; queues by variant."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._pools: dict[str, Upstream] = {}
        self._locks: dict[str, int] = {}
        self._queues: dict[tuple[str, str], deque[asyncio.Future[None]]] = {}

    def adopt(self, tables: Iterable[RouteTable]) -> None:
        """Holds exactly the replicas of these tables; others are let go as soon as their last request is done."""
        wanted = {s for t in tables for v in t.every for r in v.replicas for s in (r.socket, *(stage.socket for stage in r.stages))}
        for socket in wanted - self._pools.keys():
            lock = hold(use_file(socket))
            if lock is not None:
                self._pools[socket], self._locks[socket] = Upstream(socket, self._loop), lock
        for socket in self._pools.keys() - wanted:
            self._let_go(socket)

    def has(self, socket: str) -> bool:
        """Whether this gateway may send to the replica on this socket."""
        return socket in self._pools

    def pool(self, socket: str) -> Upstream | None:
        """The connections to one container, where this gateway may send to it."""
        return self._pools.get(socket)

    def waiting(self, table: RouteTable, variant: Variant) -> int:
        """How many calls of this variant wait for room at any replica."""
        return len(self._queues.get((table.key, variant.name), ()))

    def pick(self, variant: Variant, without: set[str] | None = None) -> Upstream | None:
        """The replica with the fewest requests under way; one that just refused a connection only if there is
        no other; None where none is left."""
        if len(variant.replicas) == 1 and not without:
            return self._pools.get(variant.replicas[0].socket)
        now, best, best_load = monotonic(), None, 0
        for replica in variant.replicas:
            pool = self._pools.get(replica.socket)
            if pool is None or (without and replica.socket in without):
                continue
            load = pool.load + (1_000_000 if pool.down_until > now else 0)
            if best is None or load < best_load or (load == best_load and pool.turn < best.turn):
                best, best_load = pool, load
        if best is not None:
            best.turn += 1
        return best

    async def room(self, table: RouteTable, variant: Variant) -> None:
        """Every replica has all the requests it may have: waits, first come first served, for one to end."""
        queue = self._queues.setdefault((table.key, variant.name), deque())
        if len(queue) >= LONGEST_QUEUE:
            raise QueueFull
        waiter = self._loop.create_future()
        queue.append(waiter)
        await waiter

    def done(self, table: RouteTable, variant: Variant) -> None:
        """A request of this variant ended: the next one in its queue may go."""
        queue = self._queues.get((table.key, variant.name))
        while queue:
            waiter = queue.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def close(self) -> None:
        for socket in list(self._pools):
            pool = self._pools.pop(socket)
            pool.close()
            os.close(self._locks.pop(socket))

    def _let_go(self, socket: str) -> None:
        pool, lock = self._pools.pop(socket), self._locks.pop(socket)

        def release() -> None:
            nonlocal lock
            if lock is not None and not pool.in_use:
                os.close(lock)
                lock = None

        pool.on_quiet = release
        pool.close()
        release()


def refused(pool: Upstream) -> None:
    pool.down_until = monotonic() + DOWN_SECONDS


def hold(path: str) -> int | None:
    """A shared lock on a replica's use file; None where the engine has retired the replica already."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        if os.fstat(fd).st_nlink:
            return fd
    except OSError:
        pass
    os.close(fd)
    return None
