"""The driver: empties the queue, in the engine, on a thread with a loop of its own.

It reads route tables as gateways do and holds the same locks on replicas (serving/replicas.py), so a replica that works on a
request is not stopped. What it claimed it owns by a lock file: when the engine is killed, the next one sees the lock free and the
requests wait again.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import random
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any
from uuid import uuid4

from modelyard.kernel.unchanged import Unchanged
from modelyard.serving.asynchronous import places
from modelyard.serving.asynchronous.item import Hands, Processor
from modelyard.serving.asynchronous.queue import Item, Queue
from modelyard.serving.asynchronous.report import Reporter
from modelyard.serving.replicas import hold
from modelyard.serving.routes import RouteTable, from_body, use_file

log = logging.getLogger("modelyard.async")
LOOK_SECONDS, QUIET_LOOK_SECONDS = 0.2, 2.0
ORPHANS_SECONDS = 1.0
MOST_AT_ONCE = 256
"""Requests under way in one engine: each may hold an input, a connection and a file."""
THREADS = 8


class Driver:
    """`store` needs `routes_since` and `db`; `report` hands figures over; `capture` is serving/capture.py's Capture or None."""

    def __init__(
        self, store: Any, queue: Queue, hands: Hands, clock: Any, folder: Path, report: Reporter | None = None, capture: Any = None
    ) -> None:
        self._store, self._queue, self._clock, self._report, self._capture = store, queue, clock, report, capture
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="async")
        self._owner, self._folder = Owner(folder), folder
        self._processor = Processor(queue, hands, clock.now, folder, self._off)
        self._seq = 0
        self.tables: dict[str, RouteTable] = {}
        self._holds: dict[str, int] = {}
        self._tasks: dict[asyncio.Task[None], str] = {}
        self._turns = 0
        self._orphans_at = float("-inf")
        self._looks, self._reports = Unchanged(store.db, queue.db), Unchanged(queue.db)
        self._idle = self._alone = False
        self._stopping = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._bell: asyncio.Event | None = None
        self._thread: threading.Thread | None = None

    # --- life ----------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="async", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Takes nothing more. What is under way is left to the next engine: it may take an hour."""
        self._stopping = True
        self.ring()
        if self._thread is not None:
            self._thread.join(5.0)
        self.close()

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
        for fd in self._holds.values():
            os.close(fd)
        self._holds.clear()
        self._owner.close()

    def ring(self) -> None:
        """Something may wait (any thread)."""
        loop, bell = self._loop, self._bell
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(bell.set)

    def settle(self, seconds: float = 30.0) -> None:
        """Works until nothing can be taken and nothing is under way (tests), and hands figures over."""

        async def work() -> None:
            self._loop, self._bell = asyncio.get_running_loop(), asyncio.Event()
            async with asyncio.timeout(seconds):
                while await self._turn() or self._tasks:
                    if self._tasks:
                        await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)

        self._orphans_at = float("-inf")
        asyncio.run(work())
        if self._capture is not None:
            self._capture.rotate(True)
            self._capture.upload()
        if self._report is not None:
            self._report.once(self.tables)

    async def _serve(self) -> None:
        self._loop, self._bell = asyncio.get_running_loop(), asyncio.Event()
        reporting = self._loop.create_task(self._tell())
        while not self._stopping:
            self._bell.clear()
            try:
                again = await self._turn()
            except Exception:
                log.exception("the queue was not looked at; it is tried again")
                again = False
            if not again and not self._stopping:
                try:
                    await asyncio.wait_for(self._bell.wait(), QUIET_LOOK_SECONDS if self._idle else LOOK_SECONDS)
                except TimeoutError:
                    continue
        reporting.cancel()
        for task in list(self._tasks):
            task.cancel()

    async def _tell(self) -> None:
        """Figures once a second, beside the queue."""
        while True:
            await asyncio.sleep(QUIET_LOOK_SECONDS if self._idle and not self.tables else 1.0)
            if self._reports.still() and not self.tables and not (self._capture is not None and self._capture.open):
                continue
            try:
                if self._capture is not None:
                    self._capture.rotate()
                    await self._off(self._capture.upload)
                if self._report is not None:
                    await self._off(self._report.once, dict(self.tables))
            except Exception:
                self._reports.forget()
                log.exception("figures of the queue were not handed over; it is tried again")

    # --- a turn --------------------------------------------------------------------------------------

    async def _turn(self) -> bool:
        """Takes what can be taken; True where something was."""
        if self._looks.still() and self._idle:
            return False
        self._idle = looked = False
        if monotonic() - self._orphans_at > ORPHANS_SECONDS:
            self._orphans_at, looked = monotonic(), True
            await self._off(self._free_orphans)
        # Who waits first, the tables after: whoever was accepted has a table by then.
        waiting = await self._off(self._queue.waiting)
        self._read(await self._off(self._store.routes_since, self._seq))
        self._turns += 1
        turn = self._turns % len(waiting) if waiting else 0
        taken = False
        for key in waiting[turn:] + waiting[:turn]:  # nobody is always the first
            taken |= await self._take(key)
        # Nothing to do until something is committed: time alone ends requests that wait, and other engines.
        self._idle = looked and self._alone and not waiting
        return taken

    async def _take(self, key: str) -> bool:
        table, owner = self.tables.get(key), self._owner.name
        serving = None if table is None else (table.asynchronous or {}).get("incarnation", "")
        lost = await self._off(self._queue.claim_lost, key, serving, self._clock.now(), owner)
        for item in lost:
            self._begin(item, ())
        room = MOST_AT_ONCE - len(self._tasks)
        if table is None or room <= 0:
            return bool(lost)

        def assign(running: Any, most: int) -> Any:
            return places.free(table, self._holds.__contains__, running, most, random.random)

        items = await self._off(self._queue.claim, key, room, owner, assign)
        sockets = {r.id: (r.socket, *(stage.socket for stage in r.stages)) for v in table.variants for r in v.replicas}
        for item in items:
            self._begin(item, sockets[item.replica])
        return bool(lost or items)

    def _begin(self, item: Item, sockets: tuple[str, ...]) -> None:
        task = self._loop.create_task(self._run(item, sockets))
        self._tasks[task] = sockets[0] if sockets else ""
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._tasks[task]
        self._let_go()
        self._bell.set()

    async def _run(self, item: Item, sockets: tuple[str, ...]) -> None:
        try:
            await self._processor.run(item, sockets, self._clock.now(), self._captured(item))
        except Exception:
            log.exception("async request %s of %s was not brought to an end; it is tried again", item.id, item.endpoint)
            await asyncio.sleep(LOOK_SECONDS * 5)
            await self._off(lambda: self._queue.release(item, delivered=False))

    def _captured(self, item: Item) -> Callable[..., None] | None:
        table = self.tables.get(item.endpoint)
        if self._capture is None or table is None or not table.capture:
            return None

        def record(item: Item, sent: tuple[str, bytes], answered: tuple[str, bytes]) -> None:
            request = item.request
            self._capture.record(table, item.variant, sent, answered, request["inference_id"], request.get("attributes"))

        return record

    # --- what is known of replicas and other engines -----------------------------------------------------

    def _read(self, changed: list[tuple[int, str, Any]]) -> None:
        for seq, key, body in changed:
            self._seq = max(self._seq, seq)
            if body is None or not body.get("asynchronous"):
                self.tables.pop(key, None)
            else:
                self.tables[key] = from_body(body)
        if not changed:
            return
        for socket in self._wanted() - self._holds.keys():
            fd = hold(use_file(socket))
            if fd is not None:
                self._holds[socket] = fd
        self._let_go()

    def _let_go(self) -> None:
        """Replicas that no table names any more, as soon as nothing of them is under way."""
        for socket in self._holds.keys() - self._wanted() - set(self._tasks.values()):
            os.close(self._holds.pop(socket))

    def _wanted(self) -> set[str]:
        return {r.socket for t in self.tables.values() for v in t.variants for r in v.replicas}

    def _free_orphans(self) -> None:
        others = [name for name in self._queue.owners() if name != self._owner.name]
        for name in others:
            if self._owner.is_dead(name):
                log.info("%d requests of an engine that is gone wait again", self._queue.free(name))
        self._alone = not others

    def _off(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return self._loop.run_in_executor(self._pool, function, *arguments)


class Owner:
    """A lock file that is held for as long as this driver lives; the kernel frees it when the process is killed."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder, self.name = folder, f"{uuid4()}.owner"
        self._fd = os.open(folder / self.name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._fd, fcntl.LOCK_EX)

    def is_dead(self, name: str) -> bool:
        """Whether the owner of this name lives no more; its file goes with it."""
        try:
            fd = os.open(self._folder / name, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (self._folder / name).unlink(missing_ok=True)
            return True
        except BlockingIOError:
            return False
        finally:
            os.close(fd)

    def close(self) -> None:
        """Dies: what was owned is free for others."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
