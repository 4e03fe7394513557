"""From an `HttpResponse` to bytes on a transport, with backpressure and without gathering."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from email.utils import formatdate
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING

from modelyard.kernel.clock import real_now
from modelyard.kernel.service import FileSlice
from modelyard.wire.http import HttpResponse

if TYPE_CHECKING:
    from modelyard.wire.connection import Connection
    from modelyard.wire.exchange import Exchange

SMALL_FILE = 64 << 10
PIECE = 1 << 20
_date: tuple[int, str] = (0, "")


@cache
def status_line(status: int) -> str:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = "Status"
    return f"HTTP/1.1 {status} {phrase}\r\n"


def date_line() -> str:
    """`date: …`, made once per second."""
    global _date
    now = int(real_now())
    if _date[0] != now:
        _date = (now, f"date: {formatdate(now, usegmt=True)}\r\n")
    return _date[1]


def bare(status: int) -> bool:
    """An answer that never has a body, and says no length."""
    return status in (204, 304) or status < 200


def head(response: HttpResponse, length: int | None, keep_alive: bool, chunked: bool) -> bytes:
    """The head of an answer. Raises ValueError where a header would carry a line break."""
    said_length = said_date = False
    lines = [status_line(response.status)]
    for name, value in response.headers:
        if name == "content-length":
            said_length = True
        elif name == "date":
            said_date = True
        lines.append(f"{name}: {value}\r\n")
    if not said_date:
        lines.append(date_line())
    if chunked:
        lines.append("transfer-encoding: chunked\r\n")
    elif not said_length and length is not None:
        lines.append(f"content-length: {length}\r\n")
    lines.append("connection: keep-alive\r\n\r\n" if keep_alive else "connection: close\r\n\r\n")
    text = "".join(lines)
    if text.count("\n") != len(lines) + 1 or "\0" in text:
        raise ValueError("a response header has a line break")
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8")


def small(response: HttpResponse) -> bytes | None:
    """A whole small answer that keeps the connection; None where it is not that, or not valid: `send` deals with it."""
    body = response.body
    if not isinstance(body, bytes) or len(body) > SMALL_FILE or bare(response.status):
        return None
    try:
        return head(response, len(body), True, False) + body
    except ValueError:
        return None


class Kept:
    """The head of a small answer that keeps the connection, for as long as its `date` holds: only id and body are new each time."""

    __slots__ = ("_after", "_before", "second", "status")

    def __init__(self, response: HttpResponse, request_id: str) -> None:
        start = head(response, 0, True, False)
        self.second, self.status = _date[0], response.status
        self._before, _, after = start.partition(request_id.encode())
        self._after = after.removesuffix(b"content-length: 0\r\nconnection: keep-alive\r\n\r\n")

    def filled(self, request_id: str, body: bytes) -> bytes:
        return b"%b%b%bcontent-length: %d\r\nconnection: keep-alive\r\n\r\n%b" % (
            self._before,
            request_id.encode(),
            self._after,
            len(body),
            body,
        )


async def send(connection: Connection, exchange: Exchange, response: HttpResponse, keep_alive: bool) -> bool:
    """Writes the answer. Answers whether the connection may be used further (False: its end marks the body's)."""
    body, transport = response.body, connection.transport
    is_head = exchange.request is not None and exchange.request.method == "HEAD"
    if isinstance(body, (bytes, bytearray, memoryview)):
        length = None if bare(response.status) else len(body)
        start = head(response, length, keep_alive, False)
        if is_head or not length:
            transport.write(start)
        elif length <= SMALL_FILE:
            transport.write(start + body)
        else:
            transport.write(start)
            await connection.drain()
            view = memoryview(body)
            for at in range(0, length, PIECE):
                transport.write(view[at : at + PIECE])
                await connection.drain()
        return keep_alive
    if isinstance(body, FileSlice):
        try:
            transport.write(head(response, body.length, keep_alive, False))
            if not is_head:
                await _send_file(connection, body)
        finally:
            body.file.close()
        return keep_alive
    return await _send_pieces(connection, exchange, response, keep_alive, is_head)


async def _send_pieces(connection: Connection, exchange: Exchange, response: HttpResponse, keep_alive: bool, is_head: bool) -> bool:
    body, transport = response.body, connection.transport
    sized = any(name == "content-length" for name, _ in response.headers)
    chunked = not sized and exchange.version == "1.1" and not bare(response.status)
    keep_alive = keep_alive and (sized or chunked)
    pieces = body if hasattr(body, "__anext__") or hasattr(body, "__aiter__") else _on_threads(connection, body)
    try:
        transport.write(head(response, None, keep_alive, chunked))
        if not is_head:
            async for piece in pieces:
                if not piece:
                    continue
                transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                await connection.drain()
            if chunked:
                transport.write(b"0\r\n\r\n")
    finally:
        close = getattr(body, "aclose", None)
        if close is not None:
            await close()
    return keep_alive


async def _on_threads(connection: Connection, pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """A blocking iterator, one step at a time on a thread."""
    pieces, end = iter(pieces), object()
    loop = asyncio.get_running_loop()
    try:
        while (piece := await loop.run_in_executor(connection.server.pool, next, pieces, end)) is not end:
            yield piece
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            await loop.run_in_executor(connection.server.pool, close)


async def _send_file(connection: Connection, piece: FileSlice) -> None:
    if piece.length <= SMALL_FILE:
        connection.transport.write(_exactly(piece.file.fileno(), piece.length, piece.offset))
        return
    if connection.secure:
        loop, at, end = asyncio.get_running_loop(), piece.offset, piece.offset + piece.length
        while at < end:
            data = await loop.run_in_executor(connection.server.pool, _exactly, piece.file.fileno(), min(PIECE // 4, end - at), at)
            at += len(data)
            connection.transport.write(data)
            await connection.drain()
        return
    await connection.flushed()
    await _sendfile(connection, piece)


def _exactly(descriptor: int, length: int, offset: int) -> bytes:
    data = os.pread(descriptor, length, offset)
    if len(data) != length:
        raise OSError("the file became shorter while it was sent")
    return data


async def _sendfile(connection: Connection, piece: FileSlice) -> None:
    """sendfile(2) on a duplicate of the socket: the transport keeps its own, and has nothing buffered now."""
    loop = asyncio.get_running_loop()
    out = os.dup(connection.transport.get_extra_info("socket").fileno())
    at, left = piece.offset, piece.length
    try:
        while left:
            try:
                sent = os.sendfile(out, piece.file.fileno(), at, min(left, PIECE))
            except BlockingIOError:
                await _writable(loop, out, connection)
                continue
            if sent == 0:
                raise OSError("the file became shorter while it was sent")
            at, left = at + sent, left - sent
            connection.touch()
            if left:
                await asyncio.sleep(0)
    finally:
        os.close(out)


async def _writable(loop: asyncio.AbstractEventLoop, descriptor: int, connection: Connection) -> None:
    ready = loop.create_future()
    loop.add_writer(descriptor, lambda: ready.done() or ready.set_result(None))
    connection.writing_since()
    try:
        await ready
    finally:
        loop.remove_writer(descriptor)
        connection.touch()
