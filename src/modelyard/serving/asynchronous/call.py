"""One model call of any size and length over a unix socket: the body is streamed in, the answer into a file, memory stays bounded.

The splitter's own client (serving/upstream.py) holds whole bodies, because a real-time call may have 6 MiB at most; here
it is 1 GB and an hour. One connection per call: connecting a unix socket costs nothing beside what such calls do.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import httptools

MOST_ANSWER_BYTES = 1 << 30
CONNECT_SECONDS, FULL_QUEUE_PAUSE_S = 5.0, 0.01
SMALL_BYTES = 1 << 20
READ_BYTES = 1 << 18


class CallFailed(Exception):
    """No usable answer. `sent`: the model may have seen the request. `final`: asking again would end the same way."""

    def __init__(self, text: str, *, sent: bool, final: bool = False) -> None:
        super().__init__(text)
        self.sent, self.final = sent, final


class CallTimedOut(CallFailed):
    def __init__(self, seconds: float) -> None:
        super().__init__(f"the model did not answer within {seconds:g} s", sent=True, final=True)


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[bytes, bytes]
    size: int

    def header(self, name: bytes) -> str:
        return self.headers.get(name, b"").decode("latin-1")


async def call(path: str, head: bytes, length: int, pieces: Iterator[bytes], sink: BinaryIO, timeout_s: float) -> Answer:
    """`POST /invocations` with the header lines `head` (each ended by CRLF) and a body of `length` bytes. The answer's body goes
    into `sink`. Raises CallFailed."""
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await _connect(path)
            sender = asyncio.ensure_future(_send(writer, head, length, pieces))
            try:
                return await _receive(reader, sink)
            finally:
                sender.cancel()
                await asyncio.gather(sender, return_exceptions=True)
                writer.close()
    except TimeoutError:
        raise CallTimedOut(timeout_s) from None


async def _connect(path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """By hand, because a unix socket whose accept queue is full says EAGAIN, which event loops take for "connecting"."""
    raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    raw.setblocking(False)
    left = CONNECT_SECONDS
    try:
        while True:
            try:
                raw.connect(path)
                break
            except BlockingIOError:
                left -= FULL_QUEUE_PAUSE_S
                if left <= 0:
                    raise
                await asyncio.sleep(FULL_QUEUE_PAUSE_S)
        return await asyncio.open_unix_connection(sock=raw)
    except OSError as problem:
        raw.close()
        raise CallFailed(f"the model server does not take connections: {problem.strerror}", sent=False) from None
    except BaseException:
        raw.close()
        raise


async def _send(writer: asyncio.StreamWriter, head: bytes, length: int, pieces: Iterator[bytes]) -> None:
    writer.write(
        b"POST /invocations HTTP/1.1\r\nHost: localhost:8080\r\nConnection: close\r\n%bContent-Length: %d\r\n\r\n" % (head, length)
    )
    try:
        if length <= SMALL_BYTES:
            for piece in pieces:
                writer.write(piece)
            return
        while piece := await asyncio.to_thread(next, pieces, b""):
            writer.write(piece)
            await writer.drain()
    except OSError:
        return  # a server may answer (413, …) without reading to the end: what it says counts


class _Parser:
    """What httptools calls back."""

    def __init__(self, sink: BinaryIO) -> None:
        self.sink, self.headers, self.size, self.done = sink, {}, 0, False
        self.parser = httptools.HttpResponseParser(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        if self.parser.get_status_code() < 200:  # 100-continue and the like: the real answer follows
            self.headers = {}

    def on_body(self, part: bytes) -> None:
        self.size += len(part)
        self.sink.write(part)

    def on_message_complete(self) -> None:
        self.done = self.parser.get_status_code() >= 200


async def _receive(reader: asyncio.StreamReader, sink: BinaryIO) -> Answer:
    answer = _Parser(sink)
    while not answer.done:
        try:
            data = await reader.read(READ_BYTES)
        except OSError:
            data = b""
        if not data:
            break
        try:
            answer.parser.feed_data(data)
        except httptools.HttpParserError as problem:
            raise CallFailed(f"the model server did not answer HTTP: {problem}", sent=True, final=True) from None
        if answer.size > MOST_ANSWER_BYTES:
            raise CallFailed(f"the model's answer is larger than {MOST_ANSWER_BYTES} bytes", sent=True, final=True)
    # An HTTP/1.0 style answer without a length ends where the connection does.
    ends_open = answer.headers and b"content-length" not in answer.headers and b"transfer-encoding" not in answer.headers
    if not answer.done and not ends_open:
        raise CallFailed("the model server closed the connection before its answer was whole", sent=True)
    return Answer(answer.parser.get_status_code(), answer.headers, answer.size)
