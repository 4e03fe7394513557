"""Staying awake for an event that is about to come, instead of sleeping and being woken.

With one request at a time, waking two sleeping processes takes longer than a small model. So while exactly one request is with a model, and
just after the last answer, the gateway asks the event loop's own epoll whether anything is ready, again and again for at most `MOST_S`,
before it lets the loop sleep. Nothing is read here: whatever is ready (an answer or a part of it, its end, another client, a thread's call)
ends this, and the loop meets it the ordinary way.

Where it does not help it stops: each time that nothing came, or that the core was taken away meanwhile, it rests longer.
"""

from __future__ import annotations

import asyncio
import os
import select
from time import perf_counter

MOST_S = 150e-6
TAKEN_AWAY_S = 80e-6
"""Between two looks, which take a microsecond: something else wanted the core."""
REST_S, LONGEST_REST_S = 0.02, 2.0


class Awake:
    """For one sort of event. Off where there is one core, or a loop that does not tell its epoll."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._epoll = loop, None
        self._rest_s, self._rests_until = REST_S, 0.0
        if (os.cpu_count() or 1) > 1 and hasattr(loop, "_get_backend_id"):
            self._epoll = select.epoll.fromfd(os.dup(loop._get_backend_id()))

    def watch(self) -> None:
        """On the loop: once what was written is on its way, wait awake for what comes."""
        if self._epoll is not None and perf_counter() > self._rests_until:
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        if self._epoll is None:
            return
        poll = self._epoll.poll
        last = perf_counter()
        until = last + MOST_S
        while True:
            if poll(0, 1):
                break
            now = perf_counter()
            if now > until or now - last > TAKEN_AWAY_S:
                self._rests_until = now + self._rest_s
                self._rest_s = min(2 * self._rest_s, LONGEST_REST_S)
                return
            last = now
        self._rest_s = REST_S

    def close(self) -> None:
        if self._epoll is not None:
            self._epoll.close()
            self._epoll = None
