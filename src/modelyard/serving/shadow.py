"""Copies of calls for shadow variants.

A copy goes out when the outcome of the caller's own call is known, in a task of its own: nobody waits for it, and nothing that it
meets reaches a caller. It is measured under the shadow's VariantName, and captured under the event id of the caller's call, so
the two records are a pair.

Never more than so many calls and bytes of copies are in memory. What comes above is dropped, not queued, and counted: a slow
shadow falls behind by itself.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from time import perf_counter
from typing import TYPE_CHECKING, Any

from modelyard.serving.replicas import MOST_CONNECTIONS
from modelyard.serving.routes import RouteTable, Shadow
from modelyard.serving.upstream import UpstreamError

if TYPE_CHECKING:
    from modelyard.serving.capture import Capture
    from modelyard.serving.meter import Meter

log = logging.getLogger("modelyard.shadow")
MOST_PER_REPLICA = MOST_CONNECTIONS
"""Copies under way at one replica of a shadow, as many as a replica of a production variant takes."""
MOST_BYTES = 64 << 20
"""Requests and answers of all copies that this gateway holds."""
FOLLOWED = ("answered", "timeout", "broken")
"""Outcomes of calls that the production variant was sent."""


class Shadows:
    """On the gateway's loop. `send(table, variant, sent)` answers an Outcome; `measure` and `failed` are the books of a call."""

    def __init__(
        self,
        send: Callable[..., Awaitable[Any]],
        measure: Callable[..., None],
        failed: Callable[..., Any],
        meter: Meter,
        capture: Capture | None,
    ) -> None:
        self._send, self._measure, self._failed, self._meter, self._capture = send, measure, failed, meter, capture
        self._under_way: dict[tuple[str, str, str], int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._bytes = 0
        self._sample = random.random

    def copy(self, outcome: Any, sent: Any, event_id: str | None) -> None:
        """A call has its outcome: the shadows of its variant get theirs, where it is in their sample. Never waits, never raises."""
        if outcome.kind not in FOLLOWED:
            return
        row = outcome.variant
        for shadow in outcome.table.shadows:
            if shadow.of == row.name and shadow.variant.fleet == row.fleet and self._sample() * 100 < shadow.percent:
                self._begin(outcome.table, shadow, sent, event_id)

    def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()

    def _begin(self, table: RouteTable, shadow: Shadow, sent: Any, event_id: str | None) -> None:
        place, size = _place(table, shadow), len(sent.head) + len(sent.body)
        busy = self._under_way.get(place, 0)
        if busy >= MOST_PER_REPLICA * max(1, len(shadow.variant.replicas)) or self._bytes + size > MOST_BYTES:
            self._meter.cell(table.account, table.region, table.endpoint, shadow.variant.name, shadow.variant.config).dropped += 1
            return
        self._under_way[place] = busy + 1
        self._bytes += size
        task = asyncio.get_running_loop().create_task(self._run(table, shadow, sent, event_id))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(done, place, size))

    def _ended(self, task: asyncio.Task[None], place: tuple[str, str, str], size: int) -> None:
        self._tasks.discard(task)
        self._bytes -= size
        left = self._under_way[place] - 1
        if left:
            self._under_way[place] = left
        else:
            del self._under_way[place]
        if not task.cancelled() and task.exception() is not None:
            log.error("a copy for %s of %s failed", place[2], place[0], exc_info=task.exception())

    async def _run(self, table: RouteTable, shadow: Shadow, sent: Any, event_id: str | None) -> None:
        """Asked for as a stream, so that an answer can be let go of part by part; timed as the caller's call is: to the end of a whole
        answer, to the head of a stream."""
        began = perf_counter()
        outcome = await self._send(table, shadow.variant, replace(sent, target=None, streaming=True))
        if sent.streaming:
            self._measure(outcome, began, began, perf_counter(), len(sent.body))
        body: bytes | None = outcome.body
        if outcome.stream is not None:
            try:
                body = await self._drain(outcome.stream, wanted=event_id is not None)
            except UpstreamError as problem:
                outcome = self._failed(table, shadow.variant, problem)
        if not sent.streaming:
            self._measure(outcome, began, began, perf_counter(), len(sent.body))
        if event_id is None or body is None or outcome.kind != "answered" or not 200 <= outcome.status < 300:
            return
        said = (outcome.header(b"content-type") or "", body)
        self._capture.record(
            table, shadow.variant.name, (sent.content_type, sent.body), said, sent.inference_id, sent.attributes, event_id=event_id
        )

    async def _drain(self, stream: Any, wanted: bool) -> bytes | None:
        """Reads an answer to its end. Only one that is captured is kept, and only while there is room: else None."""
        parts: list[bytes] = []
        held = 0
        try:
            async for part in stream:
                if wanted and self._bytes + len(part) <= MOST_BYTES:
                    parts.append(part)
                    held += len(part)
                    self._bytes += len(part)
                else:
                    wanted = False
                    parts.clear()
            return b"".join(parts) if wanted else None
        finally:
            self._bytes -= held
            stream.close()


def _place(table: RouteTable, shadow: Shadow) -> tuple[str, str, str]:
    return table.key, shadow.variant.fleet, shadow.variant.name
