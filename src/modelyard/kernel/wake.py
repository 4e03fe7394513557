"""Wake bells between the processes of one platform, and waiting for a record without holding a thread.

A bell is a hint over unix datagram sockets: every process has one in `settings.socket_dir`, ringing sends the topic to all of
them. Nothing may depend on a bell being heard: whoever listens re-reads the store, and does so now and then without a bell.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import selectors
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from time import monotonic

from modelyard.kernel.store import Store

SUFFIX = ".bell"
LONGEST_TOPIC = 512
_LOOK_AGAIN_S = 1.0


class Bell:
    """This process's ear (`<role>-<pid>.bell`) and its hand on all others' bells.

    `ring` may be called from any thread and never blocks; it is what `platform.ring` is set to. A process that has only to
    ring makes a Bell with `listen=False`.
    """

    def __init__(self, folder: Path, role: str, *, listen: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if folder.stat().st_uid != os.geteuid() or folder.is_symlink():  # under /tmp another user may have been first
            raise PermissionError(f"{folder} is not a folder of this user: who owns it would own the sockets in it")
        self._folder = folder
        self._own = folder / f"{role}-{os.getpid()}{SUFFIX}"
        self._lock = threading.Lock()
        self._others: list[str] = []
        self._looked_at = float("-inf")
        self._out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        self._ear: socket.socket | None = None
        self._heard: list[Callable[[str], None]] = []
        if listen:
            self._own.unlink(missing_ok=True)
            self._ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
            self._ear.bind(str(self._own))
            self._own.chmod(0o600)

    def ring(self, topic: str) -> None:
        """Tells every listening process of the platform, this one too. A bell whose process is gone is removed."""
        data = topic.encode()[:LONGEST_TOPIC]
        for path in self._bells():
            try:
                self._out.sendto(data, path)
            except BlockingIOError:
                continue  # its queue is full of hints already
            except (ConnectionRefusedError, FileNotFoundError):
                with contextlib.suppress(OSError):
                    os.unlink(path)
                self._looked_at = float("-inf")
            except OSError:
                continue

    def _bells(self) -> list[str]:
        with self._lock:
            if monotonic() - self._looked_at > _LOOK_AGAIN_S:
                self._looked_at = monotonic()
                try:
                    self._others = [entry.path for entry in os.scandir(self._folder) if entry.name.endswith(SUFFIX)]
                except FileNotFoundError:
                    self._others = []
            return self._others

    # --- listening: on a thread, or on a loop ----------------------------------------------------------

    def wait(self, timeout_s: float) -> set[str]:
        """Blocks a thread until a bell rings or the time is up; answers the topics heard."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._ear, selectors.EVENT_READ)
            selector.select(max(0.0, timeout_s))
        return self._take()

    def attach(self, loop: asyncio.AbstractEventLoop, heard: Callable[[str], None]) -> None:
        """Calls `heard(topic)` on the loop for every bell from now on; several may listen."""
        self._heard.append(heard)
        if len(self._heard) == 1:
            loop.add_reader(self._ear.fileno(), self._read)
            self._loop = loop

    def _read(self) -> None:
        for topic in self._take():
            for heard in list(self._heard):
                heard(topic)

    def _take(self) -> set[str]:
        topics: set[str] = set()
        while True:
            try:
                topics.add(self._ear.recv(LONGEST_TOPIC).decode("utf-8", "replace"))
            except (BlockingIOError, InterruptedError):
                return topics

    def close(self) -> None:
        if self._ear is not None:
            if self._heard:
                self._loop.remove_reader(self._ear.fileno())
            self._ear.close()
            self._own.unlink(missing_ok=True)
        self._out.close()


class Watch:
    """Lets coroutines wait until a record's status is another one, by tailing the store's events while somebody waits.

    `poke` (attach it to a Bell) makes it look at once; without bells it looks every `LOOK_S` real seconds.
    """

    LOOK_S = 0.05
    OVERLAP = 256
    """On PostgreSQL event numbers can commit out of order: so many are read again at each look."""

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop | None = None, pool: Executor | None = None) -> None:
        self._store, self._loop, self._pool = store, loop, pool
        self._waiting: dict[str, dict[asyncio.Future[None], int]] = {}
        self._tail: asyncio.Task[None] | None = None
        self._poked: asyncio.Event | None = None

    def poke(self, topic: str = "") -> None:
        """Something may have changed."""
        if self._poked is not None:
            self._poked.set()

    async def changed(self, uid: str, revision: int, timeout_s: float) -> bool:
        """Waits, at most `timeout_s` real seconds, until an event after `revision` has changed the status (or removed the
        record). True: it has. Cancelling is fine."""
        loop = self._loop = self._loop or asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.setdefault(uid, {})[future] = revision
        try:
            if self._tail is None:
                self._poked = asyncio.Event()
                self._tail = loop.create_task(self._follow())
            if await self._off(self._already, uid, revision):
                return True
            async with asyncio.timeout(timeout_s):
                await future
            return True
        except TimeoutError:
            return False
        finally:
            waiting = self._waiting.get(uid, {})
            waiting.pop(future, None)
            if not waiting:
                self._waiting.pop(uid, None)

    def _changed_before(self, waiting: dict[str, int]) -> list[str]:
        """Who changed between its own look and the tail's start."""
        return [uid for uid, revision in waiting.items() if self._already(uid, revision)]

    def _already(self, uid: str, revision: int) -> bool:
        return any(event.revision > revision and event.old != event.new for event in self._store.events_of(uid))

    async def _follow(self) -> None:
        overlap = 0 if self._store.db.dialect == "sqlite" else self.OVERLAP
        try:
            cursor = await self._off(self._store.last_seq)
            for uid in await self._off(self._changed_before, {uid: min(seen.values()) for uid, seen in self._waiting.items() if seen}):
                self._tell(uid, 1 << 62)
            while self._waiting:
                for event in await self._off(self._store.events, max(0, cursor - overlap)):
                    cursor = max(cursor, event.seq)
                    if event.old != event.new:
                        self._tell(event.uid, event.revision)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.LOOK_S):
                        await self._poked.wait()
                self._poked.clear()
        finally:
            self._tail = None

    def _tell(self, uid: str, revision: int) -> None:
        for future, seen in list(self._waiting.get(uid, {}).items()):
            if revision > seen and not future.done():
                future.set_result(None)

    async def _off(self, work: Callable, *arguments: object):
        return await self._loop.run_in_executor(self._pool, work, *arguments)
