"""What becomes of one request: input → model → output or failure object → notification → done.

A crash between any two steps repeats the request, and the repetition finds the object that was written: an output and a
failure never both exist, and neither is written twice.
"""

from __future__ import annotations

import asyncio
import base64
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, BinaryIO, Protocol

from modelyard.kernel.errors import ApiError
from modelyard.serving.asynchronous import verdict as ends
from modelyard.serving.asynchronous.call import Answer, CallFailed, CallTimedOut, call
from modelyard.serving.asynchronous.queue import Item, Queue
from modelyard.serving.asynchronous.verdict import Verdict

MOST_INPUT_BYTES = 1 << 30
MOST_DELIVERIES = 3
"""So often a request is given to a model that breaks the connection (it died of it, or its instance did)."""
IN_MEMORY_BYTES = 1 << 20


@dataclass(frozen=True)
class Input:
    length: int
    content_type: str
    pieces: Iterator[bytes]
    close: Callable[[], None] = lambda: None


class Hands(Protocol):
    """What a request touches outside, in the name of the model's execution role; raises ApiError where that is refused. On threads."""

    def read(self, item: Item, uri: str) -> Input: ...

    def written(self, item: Item, uri: str) -> bool:
        """Whether this very request's object is there already."""

    def write(self, item: Item, uri: str, file: BinaryIO, content_type: str) -> None:
        """Creates the object; where it is there already, by a repetition of the same request, it stays."""

    def publish(self, item: Item, topic: str, message: dict[str, Any]) -> None: ...


class Processor:
    """`off(function, *arguments)` runs blocking work on a thread."""

    def __init__(self, queue: Queue, hands: Hands, now: Callable[[], float], folder: Path, off: Callable[..., Any]) -> None:
        self._queue, self._hands, self._now, self._folder, self._off = queue, hands, now, folder, off

    async def run(self, item: Item, sockets: Sequence[str], started: float, capture: Callable[..., None] | None = None) -> None:
        """To its end, or back into the queue. `sockets` are those of the replica's containers, in order; () where no model is to see it.
        `capture(item, (content type, body), (content type, body))` hears of good ends."""
        with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, dir=self._folder) as output:
            end = await self._off(self._earlier, item)
            if end is None:
                end = await self._ended(item, sockets, output, started, capture)
            if end is not None:
                await self._off(self._settle, item, end, output)

    def _earlier(self, item: Item) -> Verdict | None:
        """How the request ended already, in a life of the engine that did not come to write that down."""
        for place, kind, reason in (
            ("output", "completed", ""),
            ("failure", "lost", "ClientError: The inference request failed. " + ends.SEE),
        ):
            uri = item.request.get(place)
            if uri and item.claims and self._hands.written(item, uri):
                return Verdict(kind, reason)
        return None

    async def _ended(self, item: Item, sockets: Sequence[str], output: BinaryIO, started: float, capture: Any) -> Verdict | None:
        if not sockets:
            return ends.expired(item) if item.expires_at <= self._now() else ends.gone(item)
        backlog_ms = max(0, int((started - item.received_at) * 1000))
        began = perf_counter()
        try:
            given = await self._off(self._input, item)
        except ApiError as problem:
            end = ends.not_downloaded(item.request.get("input", "the request"), problem.code, problem.message)
            end.backlog_ms = backlog_ms
            return end
        downloaded = perf_counter()
        try:
            end = await self._model(item, sockets, given, output, capture)
        finally:
            given.close()
        if end is not None:
            end.backlog_ms = backlog_ms
            if item.request.get("input"):
                end.download_us = int((downloaded - began) * 1e6)
        return end

    def _input(self, item: Item) -> Input:
        body = item.request.get("body")
        if body is not None:
            data = base64.b64decode(body)
            return Input(len(data), "", iter((data,)))
        given = self._hands.read(item, item.request["input"])
        if given.length > MOST_INPUT_BYTES:
            given.close()
            raise ApiError("EntityTooLarge", f"it has {given.length} bytes, and a request may have {MOST_INPUT_BYTES}", 400)
        return given

    async def _model(self, item: Item, sockets: Sequence[str], given: Input, output: Any, capture: Any) -> Verdict | None:
        timeout_s = float(item.request["timeout_s"])
        content_type = item.request.get("content_type") or given.content_type
        began = perf_counter()
        length, pieces = given.length, given.pieces
        kept = _Kept(pieces) if capture is not None and length <= IN_MEMORY_BYTES else None
        try:
            answer = await self._through(item, sockets, content_type, length, kept or pieces, output, timeout_s)
        except CallTimedOut:
            return ends.timed_out(timeout_s)
        except CallFailed as problem:
            return await self._again(item, problem)
        model_us = int((perf_counter() - began) * 1e6)
        output.seek(0)
        if not 200 <= answer.status < 300:
            end = ends.model_error(item, answer.status, output.read(ends.MOST_INCLUDED_BYTES), answer.header(b"content-type"))
        else:
            small = answer.size <= ends.MOST_INCLUDED_BYTES or (kept is not None and answer.size <= IN_MEMORY_BYTES)
            end = Verdict("completed", status=answer.status, content_type=answer.header(b"content-type"))
            end.body = output.read() if small else None
            if kept is not None and end.body is not None:
                capture(item, (content_type, kept.whole()), (end.content_type, end.body))
        end.model_us = model_us
        return end

    async def _through(
        self, item: Item, sockets: Sequence[str], content_type: str, length: int, pieces: Any, output: Any, timeout_s: float
    ) -> Answer:
        """One container, or those of a serial pipeline one after the other: each gets what the one before it answered."""
        path, *rest = sockets
        typed = f"Content-Type: {content_type}\r\n" if content_type else ""
        head = (item.request["headers"] + typed).encode("latin-1", "replace")
        answer = await call(path, head, length, pieces, output, timeout_s)
        if not rest or not 200 <= answer.status < 300:
            return answer
        with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, dir=self._folder) as between:
            output.seek(0)
            shutil.copyfileobj(output, between)
            output.seek(0)
            output.truncate()
            between.seek(0)
            pieces = iter(lambda: between.read(1 << 18), b"")
            return await self._through(item, rest, answer.header(b"content-type"), answer.size, pieces, output, timeout_s)

    async def _again(self, item: Item, problem: CallFailed) -> Verdict | None:
        """The model could not be heard to the end: back into the queue, unless that happened too often."""
        if problem.final or (problem.sent and item.deliveries + 1 >= MOST_DELIVERIES):
            return ends.lost(str(problem), item.deliveries + 1)
        await asyncio.sleep(0.1 * 2**item.deliveries)  # a refused connection means a replica on its way up or down
        await self._off(lambda: self._queue.release(item, delivered=problem.sent))
        return None

    # --- the end, on a thread --------------------------------------------------------------------------

    def _settle(self, item: Item, end: Verdict, output: BinaryIO) -> None:
        if end.upload_us is None and end.kind == "completed" and end.status and item.request.get("output"):
            began = perf_counter()
            output.seek(0)
            try:
                self._hands.write(item, item.request["output"], output, end.content_type)
                end.upload_us = int((perf_counter() - began) * 1e6)
            except ApiError as problem:
                failed = ends.not_uploaded(item.request["output"], problem.code, problem.message)
                failed.model_us, failed.download_us, failed.backlog_ms, failed.status = (
                    end.model_us,
                    end.download_us,
                    end.backlog_ms,
                    end.status,
                )
                end = failed
        if end.reason and end.text:
            self._write_failure(item, end, output)
        topic = ends.topic_of(item, end)
        if topic:
            try:
                self._hands.publish(item, topic, ends.message(item, end, self._now()))
            except ApiError as problem:
                end.notification_failed = f"The notification to {topic} failed: {problem.message} ({problem.code})."
        self._queue.finish(item, ends.result(item, end, self._now()))

    def _write_failure(self, item: Item, end: Verdict, output: BinaryIO) -> None:
        """What the model answered ("failure model responses"); where it answered nothing, why."""
        uri = item.request.get("failure")
        if not uri:
            return
        with tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES, dir=self._folder) as told:
            told.write(end.text.encode())
            answered = end.kind == "model" and bool(end.body)
            try:
                self._hands.write(item, uri, output if answered else told, (end.content_type if answered else "") or "text/plain")
            except ApiError as problem:
                end.failure_not_written = f"The failure object {uri} was not written: {problem.message} ({problem.code})."


class _Kept:
    """Pieces that pass by, kept for data capture."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces, self._kept = pieces, []

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = next(self._pieces)
        self._kept.append(piece)
        return piece

    def whole(self) -> bytes:
        return b"".join(self._kept)
