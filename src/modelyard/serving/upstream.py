"""HTTP/1.1 to one model server over its unix socket: pooled connections, one request at a time on each.

Own protocol code on httptools, because every ready-made async client measured 10 times the CPU of nginx
(docs/design/hosting.md). It knows nothing of AWS: bytes out, a `Reply` back.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import httptools

from modelyard.serving.whole import WholeAnswer

CONNECT_TIMEOUT_S = 5.0
FULL_QUEUE_PAUSE_S = 0.005
SWEEP_SECONDS = 0.25
MOST_REPLY_BYTES = 6_291_456
"""A whole answer, as a whole request: 6 MiB (the model's BodyBlob). What is larger can only be streamed."""
LONGEST_STREAM_SECONDS = 480.0  # AWS ends a response stream after 8 minutes
HIGH_WATER_BYTES = 256 << 10


class UpstreamError(Exception):
    """The model server gave no usable answer. `sent` says whether it may have seen the request."""

    def __init__(self, text: str, *, sent: bool) -> None:
        super().__init__(text)
        self.sent = sent


class TimedOut(UpstreamError):
    """No (whole) answer within the time the caller gave."""


@dataclass(slots=True)
class Reply:
    """`headers` have lower-case byte names. `body` is whole, unless `stream` is there to read it from."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes = b""
    stream: PartStream | None = None

    def header(self, name: bytes) -> str | None:
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1")


class PartStream:
    """The parts of a body as the model server sends them; reading slowly slows the model server down.

    `close()` must be called by whoever got it: a stream left in the middle closes its connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._parts: deque[bytes] = deque()
        self._held = 0
        self._ready = asyncio.Event()
        self._ended = False
        self._error: UpstreamError | None = None

    def feed(self, part: bytes) -> None:
        self._parts.append(part)
        self._held += len(part)
        self._ready.set()
        if self._held > HIGH_WATER_BYTES:
            self._connection.pause()

    def end(self, error: UpstreamError | None = None) -> None:
        self._ended, self._error = True, error
        self._ready.set()

    def __aiter__(self) -> PartStream:
        return self

    async def __anext__(self) -> bytes:
        while not self._parts:
            if self._error is not None:
                raise self._error
            if self._ended:
                raise StopAsyncIteration
            self._ready.clear()
            await self._ready.wait()
        part = self._parts.popleft()
        self._held -= len(part)
        if not self._parts:
            self._connection.resume()
        return part

    def close(self) -> None:
        if not self._ended:
            self._connection.abort(UpstreamError("the reader went away", sent=True))


class Connection(asyncio.Protocol):
    """One connection; `send` starts a request, whose waiter (a future, or what has `done`, `set_result` and `set_exception`) gets
    the Reply or an UpstreamError once nothing of this request is left to do here."""

    __slots__ = (
        "_asked", "_body", "_headers", "_held", "_keep", "_parser", "_paused", "_pool", "_reply", "_stream", "_streaming",
        "_transport", "_waiter", "_whole", "answered", "deadline",
    )  # fmt: skip

    def __init__(self, pool: Upstream) -> None:
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._whole = WholeAnswer()
        self._parser: Any = None
        """Of an answer that did not come in one piece."""
        self._asked = False
        self._reply: Reply | None = None
        self._waiter: Any = None
        self._stream: PartStream | None = None
        self._streaming = self._paused = False
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._held = 0
        self._keep = True
        self.answered = False
        self.deadline = 0.0

    # --- a request ---------------------------------------------------------------------------------

    def send(self, head: bytes, body: bytes, deadline: float, streaming: bool, waiter: Any) -> None:
        self._waiter, self._asked = waiter, True
        self._streaming, self.answered, self.deadline = streaming, False, deadline
        if len(body) < 65536:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))

    def abort(self, error: UpstreamError) -> None:
        """Gives this request up: its connection cannot be used again."""
        self._keep = False
        self._settle(error)
        self._transport.abort()

    @property
    def alive(self) -> bool:
        return self._keep and not self._transport.is_closing()

    def pause(self) -> None:
        if not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            self._transport.resume_reading()

    def close(self) -> None:
        self._keep = False
        if self._transport is not None:
            self._transport.close()

    # --- asyncio.Protocol --------------------------------------------------------------------------

    def connection_made(self, transport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if not self._asked:  # nobody asked: the connection cannot be trusted any more
            self.close()
            return
        if self._parser is None:
            if not self._streaming:
                found = self._whole.read(data)
                if found is not None:
                    self.answered = True
                    self._reply = Reply(*found)
                    self._finish()
                    return
            self._parser = httptools.HttpResponseParser(self)
            self._headers, self._body, self._held = {}, [], 0
        self.answered = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as problem:
            if self._reply is None:
                self.abort(UpstreamError(f"the model server did not answer HTTP: {problem}", sent=True))
                return
            self._keep = False  # a whole answer, and something after it
        if self._reply is not None:
            self._finish()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, problem: Exception | None) -> None:
        self._keep = False
        if self._parser is not None and self._ends_with_connection():
            self.on_message_complete()
            self._finish()
            return
        self._settle(UpstreamError("the model server closed the connection before its answer was whole", sent=True))
        self._pool.lost(self)

    def _ends_with_connection(self) -> bool:
        """An HTTP/1.0 style answer without a length ends where the connection does."""
        return (
            self.answered
            and b"content-length" not in self._headers
            and b"transfer-encoding" not in self._headers
            and (self._stream is not None or bool(self._body))
        )

    # --- httptools ---------------------------------------------------------------------------------

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_message_begin(self) -> None:
        if self._reply is not None:
            raise ValueError("there is something after the answer")

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # 100-continue and the like: the real answer follows
            self._headers = {}
            return
        self._keep = self._parser.should_keep_alive()
        if self._streaming and 200 <= status < 300 and not self._waiter.done():
            self._stream = PartStream(self)
            self.deadline = monotonic() + LONGEST_STREAM_SECONDS
            self._waiter.set_result(Reply(status, self._headers, b"", self._stream))

    def on_body(self, part: bytes) -> None:
        if self._stream is not None:
            self._stream.feed(part)
            return
        self._held += len(part)
        if self._held > self._pool.most_reply_bytes:
            self.abort(UpstreamError(f"the model's answer is larger than {self._pool.most_reply_bytes} bytes", sent=True))
            return
        self._body.append(part)

    def on_message_complete(self) -> None:
        """The answer is whole; `_finish` follows once the parser has returned."""
        if self._parser is not None and (status := self._parser.get_status_code()) >= 200:
            self._reply = Reply(status, self._headers, b"".join(self._body))

    def _finish(self) -> None:
        """Hands the answer over. The connection is free again before its waiter hears of it: it may send the next request at once."""
        reply, self._reply = self._reply, None
        waiter, stream = self._rest()
        self._pool.back(self)
        if stream is not None:
            stream.end()
        elif waiter is not None and not waiter.done():
            waiter.set_result(reply)

    def _settle(self, error: UpstreamError) -> None:
        waiter, stream = self._rest()
        if stream is not None:
            stream.end(error)
        elif waiter is not None and not waiter.done():
            waiter.set_exception(error)

    def _rest(self) -> tuple[Any, PartStream | None]:
        """Nothing is asked any more; answers who waited for it."""
        waiter, self._waiter = self._waiter, None
        stream, self._stream = self._stream, None
        self._parser, self._asked = None, False
        if self._paused and not self._transport.is_closing():
            self.resume()
        return waiter, stream


@dataclass
class Upstream:
    """The connections to one model server. `outstanding` is how many requests it has not answered yet."""

    socket: str
    loop: asyncio.AbstractEventLoop
    outstanding: int = 0
    down_until: float = 0.0
    turn: int = 0
    peak: int = 0
    """The most requests under way at once since `take_peak`."""
    most_reply_bytes: int = MOST_REPLY_BYTES
    _idle: list[Connection] = field(default_factory=list)
    _busy: set[Connection] = field(default_factory=set)
    _sweeping: bool = False
    _closed: bool = False
    on_quiet: object = None

    async def request(self, head: bytes, body: bytes, timeout_s: float, streaming: bool = False, stale: bool = False) -> Reply:
        """One request. Raises UpstreamError (`sent` False: certainly not seen by the server) or TimedOut.

        A pooled connection that the server closed without one byte of an answer was stale: the request is
        sent once more, on a new one. `stale`: this is that second time.
        """
        deadline = monotonic() + timeout_s
        self.outstanding += 1
        try:
            connection = None if stale else self.pooled()
            if connection is not None:
                try:
                    return await self._on(connection, head, body, deadline, streaming)
                except TimedOut:
                    raise
                except UpstreamError:
                    if not self.was_stale(connection):
                        raise
            return await self._on(await self._dial(), head, body, deadline, streaming)
        finally:
            self.outstanding -= 1

    async def _on(self, connection: Connection, head: bytes, body: bytes, deadline: float, streaming: bool) -> Reply:
        waiter = self.loop.create_future()
        self.send(connection, head, body, deadline, streaming, waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            connection.abort(UpstreamError("the caller went away", sent=True))
            raise

    def send(self, connection: Connection, head: bytes, body: bytes, deadline: float, streaming: bool, waiter: Any) -> None:
        """Starts a request on a connection of this pool."""
        busy = self._busy
        busy.add(connection)
        if len(busy) > self.peak:
            self.peak = len(busy)
        if not self._sweeping:
            self._sweep_later()
        connection.send(head, body, deadline, streaming, waiter)

    def was_stale(self, connection: Connection) -> bool:
        """Whether a request that failed on a pooled connection may go once more."""
        return not connection.answered and not self._closed

    def pooled(self) -> Connection | None:
        """A connection that is open and free; it is the caller's until `back`."""
        while self._idle:
            connection = self._idle.pop()
            if connection.alive:
                return connection
        return None

    async def _dial(self) -> Connection:
        """A new connection. Connecting a unix socket never waits: it succeeds, fails, or the accept queue of the
        server is full (EAGAIN), which event loops take for "on its way"; so it is done here."""
        raw = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            raw.setblocking(False)
            until = monotonic() + CONNECT_TIMEOUT_S
            while True:
                try:
                    raw.connect(self.socket)
                    break
                except BlockingIOError:
                    if monotonic() > until:
                        raise
                    await asyncio.sleep(FULL_QUEUE_PAUSE_S)
            _, connection = await self.loop.create_unix_connection(lambda: Connection(self), sock=raw)
        except OSError as problem:
            raw.close()
            raise UpstreamError(f"the model server does not take connections: {problem}", sent=False) from None
        except BaseException:
            raw.close()
            raise
        return connection

    def back(self, connection: Connection) -> None:
        """The connection has had its whole answer."""
        self._busy.discard(connection)
        if connection.alive and not self._closed:
            self._idle.append(connection)
        else:
            connection.close()
        self._tell_quiet()

    def lost(self, connection: Connection) -> None:
        self._busy.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        self._tell_quiet()

    @property
    def load(self) -> int:
        """Requests and streams under way: what the choice inside a variant goes by."""
        busy = len(self._busy)
        return busy if busy > self.outstanding else self.outstanding

    def take_peak(self) -> int:
        peak, self.peak = max(self.peak, self.load), len(self._busy)
        return peak

    @property
    def in_use(self) -> bool:
        return bool(self._busy) or self.outstanding > 0

    @property
    def closed(self) -> bool:
        return self._closed

    def quiet(self) -> None:
        """Whoever counted itself into `outstanding` has left: a pool that is closed may be let go of now."""
        self._tell_quiet()

    def close(self) -> None:
        """No new requests; idle connections are closed now, busy ones when they are done."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    def _tell_quiet(self) -> None:
        if self._closed and self.on_quiet is not None and not self._busy:
            self.loop.call_soon(self.on_quiet)

    def _sweep_later(self) -> None:
        if not self._sweeping:
            self._sweeping = True
            self.loop.call_later(SWEEP_SECONDS, self._sweep)

    def _sweep(self) -> None:
        """One timer for all requests of this server, and none while it is idle."""
        now = monotonic()
        for connection in [c for c in self._busy if c.deadline < now]:
            self._busy.discard(connection)
            connection.abort(TimedOut("the model server did not answer in time", sent=True))
        self._sweeping = False
        if self._busy:
            self._sweep_later()
