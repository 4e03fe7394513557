"""Long polls: who waits for messages of which queue, without a thread.

A send of this very process wakes the waiters of its queue at once. What other processes did is noticed by the stamp of the
message database (kernel/commitstamp.py), which costs no query: so senders pay nothing for those who wait, or for nobody.
Waiting is in real time, as the client's own time-out is; what becomes visible does so on the platform clock.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from time import monotonic

from modelyard.services.sqs.message_store import MessageStore

LOOK_S, LONGEST_S = 0.02, 1.0


class Waiters:
    def __init__(self, messages: MessageStore, pool: Executor) -> None:
        self._messages, self._pool = messages, pool
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._task: asyncio.Task[None] | None = None

    def wake(self, queue: str) -> None:
        """Something may be visible in the queue; from any thread."""
        if queue in self._waiting and self._loop is not None:
            self._loop.call_soon_threadsafe(self._tell, queue)

    async def wait(self, queue: str, event: asyncio.Event, timeout_s: float) -> None:
        """Until `event` (of `join`) is set, or the time is over."""
        try:
            async with asyncio.timeout(timeout_s):
                await event.wait()
        except TimeoutError:
            pass
        event.clear()

    def join(self, queue: str) -> asyncio.Event:
        """From now on this is told of the queue. Join, look, wait, look again: nothing falls between."""
        self._loop = asyncio.get_running_loop()
        event = asyncio.Event()
        self._waiting.setdefault(queue, set()).add(event)
        if self._task is None:
            self._task = self._loop.create_task(self._follow())
        return event

    def leave(self, queue: str, event: asyncio.Event) -> None:
        waiting = self._waiting.get(queue, set())
        waiting.discard(event)
        if not waiting:
            self._waiting.pop(queue, None)

    def _tell(self, queue: str) -> None:
        for event in self._waiting.get(queue, ()):
            event.set()

    async def _follow(self) -> None:
        """Runs while somebody waits."""
        stamp, ahead, looked = b"", None, 0.0
        try:
            while self._waiting:
                await asyncio.sleep(LOOK_S)
                now = self._messages.db.stamp()
                due = ahead is not None and ahead <= self._messages.clock.now()
                if now is not None and now == stamp and not due and monotonic() - looked < LONGEST_S:
                    continue
                stamp, looked = now, monotonic()
                if not self._waiting:
                    return
                seen, ahead = await self._loop.run_in_executor(self._pool, self._messages.visible_in, list(self._waiting))
                for queue in seen:
                    self._tell(queue)
        finally:
            self._task = None
