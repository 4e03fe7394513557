"""One client connection: requests in, answers out, in order; deadlines; a clean end."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, Any

from modelyard.kernel.errors import ApiError
from modelyard.wire import answer
from modelyard.wire.body import incomplete, timed_out
from modelyard.wire.exchange import Exchange, Reader, Refused
from modelyard.wire.http import HttpResponse
from modelyard.wire.plainerror import plain_error

if TYPE_CHECKING:
    from modelyard.wire.server import Server

log = logging.getLogger("modelyard.wire")
NEVER = float("inf")


class Connection(asyncio.Protocol):
    """`secure` says that its bytes come out of TLS. The server's sweep calls `expire` once a second."""

    def __init__(self, server: Server, secure: bool) -> None:
        self.server, self.secure = server, secure
        self.limits = server.limits
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self._queue: deque[Exchange] = deque()
        self._task: asyncio.Task[None] | None = None
        self._errand: Any = None
        """The request at the head of the queue, where it is answered without a task (`Server.at_once`)."""
        self._held_back = 0
        self._blocked: asyncio.Future[None] | None = None
        self._closing = self._deaf = self._half_closed = False
        self._lost = self._lingering = False
        self._rest: bytes | None = None
        self._client = ""
        self._since = monotonic()
        self._body_seen, self._body_at, self._body_start = -1, 0.0, 0.0
        self._write_since = NEVER

    # --- asyncio's callbacks -----------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]
        self.server.connections.add(self)
        peer = transport.get_extra_info("peername")
        self._client = client = peer[0] if isinstance(peer, tuple) and peer else "127.0.0.1"
        self._reader = Reader(self.server.loop, self.limits, client, self.secure, self._arrived, self._flow, self._go_on)
        if self.secure and (tls := transport.get_extra_info("ssl_object")) is not None:
            self._reader.tls = (tls.version() or "").removeprefix("TLSv")

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            if self._rest is not None:
                self._rest += data
            return
        if not self._queue and not self._reader.in_head:
            self._since = monotonic()
            if self._again(data):
                return
            exchange = self._reader.whole(data)
            if exchange is not None:
                self._arrived(exchange)
                return
        try:
            rest = self._reader.feed(data)
        except Refused as refused:
            self._refuse(refused)
            return
        except Exception:
            log.exception("parsing a request failed")
            self._refuse(Refused(400, "The request is not valid HTTP/1.1."))
            return
        if rest is not None:
            self._deaf, self._rest = True, rest
            self._flow(True)

    def eof_received(self) -> bool:
        """A half-closed client still gets the answers to what it asked whole."""
        self._cut_off()
        self._half_closed = True
        return bool(self._queue) and not self.secure and not self._lingering

    def connection_lost(self, problem: Exception | None) -> None:
        self._lost = True
        self.server.connections.discard(self)
        self._cut_off()
        if self._task is not None:
            self._task.cancel()
        if self._errand is not None:
            self._errand.cancel()
        self._wake_writer()

    def pause_writing(self) -> None:
        if self._blocked is None:
            self._blocked = self.server.loop.create_future()
            self.writing_since()

    def resume_writing(self) -> None:
        self._wake_writer()

    # --- requests ----------------------------------------------------------------------------------

    def _arrived(self, exchange: Exchange) -> None:
        if len(self._queue) >= self.limits.pipelined:
            raise Refused(400, "Too many requests are pipelined.")
        self._queue.append(exchange)
        if len(self._queue) == 2:
            self._flow(True)
        if self._task is None and self._errand is None:
            if exchange.body.complete and self._blocked is None and self.server.at_once is not None:
                self._errand = self.server.at_once(exchange.request, exchange.body, self._answered)
            if self._errand is None:
                # The sweep may come before the task does: it must not measure this body by the marks of an earlier one.
                self._body_seen, self._body_start = -1, monotonic()
                self._task = self.server.loop.create_task(self._serve())

    def _again(self, data: bytes) -> bool:
        """Whether this is a request like one before, and on its way."""
        server = self.server
        if server.again is None or self._blocked is not None or self._closing or not self._reader.between:
            return False
        errand = server.again(data, self._client, self.secure, self._answered)
        if errand is None:
            return False
        self._errand = errand
        self._queue.append(errand.exchange)
        return True

    def _answered(self, start: bytes | None, response: Callable[[], HttpResponse]) -> None:
        """The end of an errand. A small answer, `start`, leaves here; whatever needs waiting or closing does so in a task."""
        self._errand = None
        if self._lost:
            return
        if start is None or self._closing or self._blocked is not None:
            self._task = self.server.loop.create_task(self._serve(response()))
            return
        self.transport.write(start)
        queue = self._queue
        queue.popleft()
        if queue:
            if len(queue) == 1:
                self._flow(False)
            self._task = self.server.loop.create_task(self._serve())
        else:
            self._since = monotonic()
            if self._half_closed:
                self.transport.close()

    def _refuse(self, refused: Refused) -> None:
        """The bytes from here on mean nothing: answer in turn, then close."""
        self._deaf = True
        last = self._queue[-1] if self._queue else None
        if last is not None and last.body is not None and not last.body.complete:
            last.body.abort(incomplete())
            last.keep_alive = False
            return
        self._queue.append(Exchange(None, None, keep_alive=False, refused=refused))
        if self._task is None and self._errand is None:
            self._task = self.server.loop.create_task(self._serve())

    def _cut_off(self) -> None:
        if self._queue and self._queue[-1].body is not None:
            self._queue[-1].body.abort(incomplete())

    async def _serve(self, response: HttpResponse | None = None) -> None:
        """Answers what is queued, one after the other; `response` is that of the first."""
        queue = self._queue
        try:
            while queue:
                exchange = queue[0]
                if exchange.request is not None and exchange.request.method == "CONNECT":
                    await self._connect(exchange)
                    return
                self._body_seen, self._body_start = -1, monotonic()
                if response is None:
                    response = await self._answer(exchange)
                if not await self._finish(exchange, response):
                    return
                response = None
                queue.popleft()
                if len(queue) == 1:
                    self._flow(False)
            self._since = monotonic()
        except (ConnectionError, TimeoutError):
            self.transport.abort()
        except Exception:
            log.exception("an answer could not be sent")
            self.transport.abort()
        finally:
            self._task = None
        if self._closing or (self._half_closed and not queue):
            self.transport.close()

    async def _answer(self, exchange: Exchange) -> HttpResponse:
        if exchange.refused is not None:
            return HttpResponse(exchange.refused.status, [("content-type", "text/plain")], exchange.refused.text.encode())
        try:
            if exchange.authority and self.server.proxy is not None:
                return await self.server.proxy.forward(exchange)
            return await self.server.handle(exchange.request)
        except ApiError as error:
            return plain_error(error, "")
        except Exception:
            log.exception("the handler failed")
            return HttpResponse(500, [("content-type", "text/plain")], b"Internal failure.")

    async def _finish(self, exchange: Exchange, response: HttpResponse) -> bool:
        """Sends the answer and settles what is left of the request; True: the next one may be served."""
        body = exchange.body
        keep = exchange.keep_alive and not self._closing and not self._lost
        unread = body is not None and not body.complete
        if unread and (body.unasked or not self._short_rest(body)):
            keep = False
        try:
            keep = await answer.send(self, exchange, response, keep)
        except ValueError:
            log.exception("an answer was not valid")
            keep = await answer.send(self, exchange, HttpResponse(500, [], b"Internal failure."), False)
        if keep and unread:
            await body.drop()
            keep = body.complete
        if not keep:
            await self._end(linger=unread or exchange.refused is not None)
        return keep

    def _short_rest(self, body) -> bool:
        return body.length is not None and body.length - body.received <= self.limits.buffered_bytes

    async def _end(self, linger: bool) -> None:
        """Closes. With `linger`, writing ends first and what still comes is dropped for a while: a reset would
        take the answer away from a client that is still sending."""
        await self.flushed()
        self._deaf = True
        if linger and not self._lost:
            self._lingering = True
            self._resume_reading()
            if not self.secure and self.transport.can_write_eof():
                self.transport.write_eof()
            await asyncio.sleep(0 if self._lost else min(self.limits.linger_s, 2.0))
        self.transport.close()

    # --- becoming a tunnel ---------------------------------------------------------------------------

    async def _connect(self, exchange: Exchange) -> None:
        if self.server.proxy is None:
            await self.answer_and_close(HttpResponse(405, [("content-type", "text/plain")], b"There is no proxy here.\n"))
        else:
            await self.server.proxy.connect(self, exchange)

    async def answer_and_close(self, response: HttpResponse) -> None:
        """The answer to a CONNECT that does not become a tunnel."""
        await answer.send(self, self._queue[0], response, False)
        await self._end(linger=True)

    def take_rest(self) -> bytes:
        """What the client sent after its CONNECT already."""
        rest, self._rest = self._rest or b"", b""
        return rest

    def let_go(self) -> None:
        """The transport is another's from now on: its end is no concern of this connection."""
        self._queue.clear()
        self._task = None
        self.server.connections.discard(self)

    @property
    def lost(self) -> bool:
        return self._lost

    # --- flow --------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        if not self._lost:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _flow(self, stop: bool) -> None:
        """Counted: a full body and a full queue may both hold reading back."""
        self._held_back += 1 if stop else -1
        if self._lost or self.transport.is_closing():
            return
        if stop and self._held_back == 1:
            self.transport.pause_reading()
        elif not stop and self._held_back == 0:
            self._body_at = monotonic()
            self.transport.resume_reading()

    def _resume_reading(self) -> None:
        if self._held_back > 0:
            self._held_back = 0
            self.transport.resume_reading()

    async def drain(self) -> None:
        """Waits while the client is behind. Raises ConnectionResetError once it is gone."""
        if self._lost or self.transport.is_closing():
            raise ConnectionResetError("the client is gone")
        if self._blocked is not None:
            await self._blocked
            if self._lost:
                raise ConnectionResetError("the client is gone")

    async def flushed(self) -> None:
        """Waits until nothing is left in the transport's buffer."""
        if self.transport.get_write_buffer_size() and not self._lost:
            self.transport.set_write_buffer_limits(0)
            try:
                if self.transport.get_write_buffer_size() and self._blocked is None:
                    self.pause_writing()
                await self.drain()
            finally:
                if not self._lost:
                    self.transport.set_write_buffer_limits()

    def _wake_writer(self) -> None:
        self.touch()
        if self._blocked is not None:
            blocked, self._blocked = self._blocked, None
            if not blocked.done():
                blocked.set_result(None)

    def touch(self) -> None:
        self._write_since = NEVER

    def writing_since(self) -> None:
        self._write_since = monotonic()

    # --- deadlines ---------------------------------------------------------------------------------

    def expire(self, now: float) -> None:
        """Ends what takes too long: idle connections, slow heads, slow bodies, clients that do not read."""
        limits = self.limits
        if now - self._write_since > limits.write_idle_s:
            self.transport.abort()
        elif self._reader.in_head and now - self._since > limits.head_s:
            if not self._deaf:
                self._refuse(Refused(408, "The request took too long."))
        elif self._queue:
            self._expire_body(now)
        elif not self.busy and now - self._since > limits.idle_s:
            self.transport.close()

    def _expire_body(self, now: float) -> None:
        body = self._queue[0].body
        if body is None or not body.starving:
            return
        if body.received != self._body_seen:
            self._body_seen, self._body_at = body.received, now
        slow = now - self._body_start > self.limits.body_grace_s and body.received < (now - self._body_start) * self.limits.body_rate
        if slow or now - self._body_at > self.limits.body_idle_s:
            self._queue[0].keep_alive = False
            body.abort(timed_out())

    def close_when_done(self) -> None:
        """Graceful end: at once when idle, else after the answer under way."""
        self._closing = True
        if not self._queue and not self.busy:
            self.transport.close()

    @property
    def busy(self) -> bool:
        return self._task is not None or self._errand is not None


def no_delay(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
