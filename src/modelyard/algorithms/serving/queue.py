"""Opportunistic batching: what is already waiting is predicted together, and nothing ever waits for more."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from .messages import Handler, Request, Response

MOST = 256
"""Requests in one batch."""
MOST_BYTES = 4 << 20
QUICK = 0.004
"""A handler that has lately been faster than this (seconds) is called on the event loop itself: handing the call to
the predict thread and back would cost more than the loop loses by waiting."""
SMALL = 256 << 10
"""Bytes of a batch that may be handled on the event loop: a long table takes long however quick the handler was before."""


class Queue:
    """The requests of one worker process, in order of arrival."""

    def __init__(self, handler: Handler, loop: asyncio.AbstractEventLoop):
        self.handler, self.loop = handler, loop
        self.waiting: deque[tuple[Request, Callable[[Response], None]]] = deque()
        self.busy = False
        self.cost: float | None = None
        self.thread = ThreadPoolExecutor(1, "predict")

    def put(self, request: Request, answer: Callable[[Response], None]) -> None:
        """Queue a request; `answer` is called on the loop with its response."""
        self.waiting.append((request, answer))
        if not self.busy:
            self.busy = True
            # A timer of zero fires after the reads that are ready now, so that requests which came together go together.
            self.loop.call_later(0, self._next)

    def _next(self) -> None:
        batch, size = self._take()
        if not batch:
            self.busy = False
            return
        requests = [request for request, _ in batch]
        if self.cost is not None and self.cost < QUICK and size <= SMALL:
            self._done(batch, *self._call(requests))
            return
        future = self.loop.run_in_executor(self.thread, self._call, requests)
        future.add_done_callback(lambda f: self._done(batch, *f.result()))

    def _take(self) -> tuple[list[tuple[Request, Callable[[Response], None]]], int]:
        """The next batch and the bytes of its bodies."""
        batch, size = [], 0
        most = (getattr(self.handler, "most", None) or MOST) if self.handler.batches else 1
        while self.waiting and len(batch) < most:
            more = len(self.waiting[0][0].body)
            if batch and size + more > MOST_BYTES:
                break
            batch.append(self.waiting.popleft())
            size += more
        return batch, size

    def _call(self, requests: list[Request]) -> tuple[list[Response], float]:
        start = time.perf_counter()
        try:
            responses = self.handler.handle(requests)
            if len(responses) != len(requests):
                raise RuntimeError(f"{len(responses)} answers to {len(requests)} requests")
        except Exception as error:
            logging.exception("The handler failed")
            responses = [Response(500, str(error).encode()) for _ in requests]
        return responses, time.perf_counter() - start

    def _done(self, batch: list[tuple[Request, Callable[[Response], None]]], responses: list[Response], seconds: float) -> None:
        self.cost = seconds if self.cost is None else max(seconds, 0.7 * self.cost + 0.3 * seconds)
        for (_, answer), response in zip(batch, responses, strict=True):
            answer(response)
        if self.waiting:
            self.loop.call_later(0, self._next)
        else:
            self.busy = False
