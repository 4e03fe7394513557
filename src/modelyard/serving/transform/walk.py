"""An object's payloads through the model: so many at once, the answers in the order of the records, memory bounded.

`Lanes` are shared by all objects of an instance: MaxConcurrentTransforms requests under way, and twice as many payloads held, be it
on their way, answered, or waiting for an answer before theirs.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from modelyard.serving.transform.caller import NO_ANSWER, Caller
from modelyard.serving.transform.errors import Refused
from modelyard.serving.transform.processing import Processing
from modelyard.serving.transform.records import Payload, parts

MOST_SEARCHES = 20
"""Bad records are looked for in so many payloads; who has more needs no more."""


class Sink(Protocol):
    """Where the output of an object goes; nothing of it is there before its `close`, which is the caller's."""

    async def write(self, data: bytes) -> None: ...


@dataclass(frozen=True)
class How:
    """`by_line`: AssembleWith Line."""

    split: str
    by_line: bool


class Lanes:
    def __init__(self, at_once: int) -> None:
        self.requests, self.held = asyncio.Semaphore(at_once), asyncio.Semaphore(2 * at_once)
        self.searches = MOST_SEARCHES


async def walk(source: Iterator[Payload], how: How, lanes: Lanes, caller: Caller, processing: Processing, sink: Sink) -> int:
    """Answers how many requests it took. Raises Refused, with the place, at the first payload that cannot be transformed."""
    window: deque[asyncio.Task[bytes]] = deque()
    count = 0
    try:
        for payload in source:
            while lanes.held.locked() and window:
                await _first(window, lanes, how, sink)
            await lanes.held.acquire()
            window.append(asyncio.ensure_future(_one(payload, how, lanes, caller, processing)))
            count += 1
            await asyncio.sleep(0)
            while window and window[0].done():
                await _first(window, lanes, how, sink)
        while window:
            await _first(window, lanes, how, sink)
    finally:
        for task in window:
            task.cancel()
            lanes.held.release()
        await asyncio.gather(*window, return_exceptions=True)
    return count


async def _first(window: deque[asyncio.Task[bytes]], lanes: Lanes, how: How, sink: Sink) -> None:
    """The answer that is next in order goes into the sink."""
    answer = await window[0]
    if how.by_line and not answer.endswith(b"\n"):
        answer += b"\n"
    await sink.write(answer)
    window.popleft()
    lanes.held.release()


async def _one(payload: Payload, how: How, lanes: Lanes, caller: Caller, processing: Processing) -> bytes:
    async with lanes.requests:
        try:
            body, records = processing.request(payload)
            reply = await caller.ask(body)
            return processing.answer(reply.body, records)
        except Refused as problem:
            raise await _located(problem, payload, how, lanes, caller, processing) from None


async def _located(problem: Refused, payload: Payload, how: How, lanes: Lanes, caller: Caller, processing: Processing) -> Refused:
    """The same with the place of the first record that is refused. A model that answered is asked again about half of the records,
    a quarter, …: the message of one record in ten thousand helps nobody."""
    if problem.text != NO_ANSWER and lanes.searches > 0:
        lanes.searches -= 1
        while halves := parts(payload, how.split):
            found = None
            for half in halves:
                if found := await _refusal(half, caller, processing):
                    break
            if found is None:
                break  # alone each half is good: it is about the batch
            problem, payload = found, half
    problem.place = problem.place or payload.place
    return problem


async def _refusal(payload: Payload, caller: Caller, processing: Processing) -> Refused | None:
    try:
        body, records = processing.request(payload)
        processing.answer((await caller.ask(body, once=True)).body, records)
    except Refused as problem:
        return problem
    return None
