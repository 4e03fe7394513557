"""HTTP/1.1 for one connection: parse, queue, answer in order."""

from __future__ import annotations

import asyncio
import functools
import http
import logging
import os
from collections import deque
from collections.abc import Callable, Iterator
from time import perf_counter

import httptools

from .messages import Request, Response
from .queue import Queue

EACH_REQUEST = "MODELYARD_LOG_REQUESTS"
"""Set to 1: a line in the log for each request of /invocations and its answer."""
MAX_BODY = 256 << 20
MAX_HEADERS = 64 << 10
PHRASES = {status.value: status.phrase.encode() for status in http.HTTPStatus}
HEADS: dict[bytes, tuple[str, str, dict[str, str], int]] = {}
"""Heads of requests read before: (method, path, headers, length of the body). A platform sends nearly the same head each
time, and looking it up spares most of the parsing. Only heads that the parser found good, of keep-alive requests."""
MOST_HEADS, LONGEST_HEAD = 256, 2048


class Connection(asyncio.Protocol):
    """Requests of one client are answered one after the other, whatever it pipelines."""

    def __init__(self, server: Server):
        self.server = server
        self.transport: asyncio.Transport | None = None
        self.parser = httptools.HttpRequestParser(self)
        self.pending: deque[tuple[Request, bool]] = deque()
        self.working = False
        self.keep_alive = True
        self.writable = asyncio.Event()
        self.on_message_begin()
        self.between = True
        self.last: Request | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.server.connections.add(self)
        self.writable.set()

    def connection_lost(self, _error: Exception | None) -> None:
        self.transport = None
        self.pending.clear()
        self.server.connections.discard(self)
        self.writable.set()

    def pause_writing(self) -> None:
        self.writable.clear()

    def resume_writing(self) -> None:
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        end = data.find(b"\r\n\r\n") + 4 if self.between else 0
        known = HEADS.get(data[:end]) if end > 3 else None
        if known and len(data) == end + known[3]:
            self._received(Request(known[0], known[1], known[2].copy(), data[end:]), True)
            return
        try:
            self.parser.feed_data(data)
            if self.between and 3 < end <= LONGEST_HEAD:
                self._learn(data, end)
            self.last = None  # Or each idle connection would keep its last body.
        except httptools.HttpParserUpgrade:
            self._refuse(400, b"Upgrade is not supported")
        except httptools.HttpParserError as error:
            self._refuse(400, str(error).encode())

    def _learn(self, data: bytes, end: int) -> None:
        """Remember the head of the one whole message that `data` was (any other would be longer than this head and body)."""
        request = self.last
        if request and len(data) == end + len(request.body) and "expect" not in request.headers and self.parser.should_keep_alive():
            if len(HEADS) >= MOST_HEADS:
                HEADS.clear()
            HEADS[data[:end]] = (request.method, request.path, request.headers.copy(), len(request.body))

    def on_message_begin(self) -> None:
        self.between = False
        self.url, self.headers, self.parts, self.size, self.header_size = b"", {}, [], 0, 0

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.header_size += len(name) + len(value)
        if self.header_size > MAX_HEADERS:
            self._refuse(431, b"Request header fields too large")
            return
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        if self.headers.get("expect", "").lower() == "100-continue" and self.transport:
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self.size += len(body)
        if self.size > MAX_BODY:
            self._refuse(413, b"Request body too large")
        else:
            self.parts.append(body)

    def on_message_complete(self) -> None:
        method = self.parser.get_method().decode()
        path = self.url.split(b"?", 1)[0].decode("latin-1")
        self.between = True
        self.last = Request(method, path, self.headers, self.parts[0] if len(self.parts) == 1 else b"".join(self.parts))
        self._received(self.last, self.parser.should_keep_alive())

    def _received(self, request: Request, keep_alive: bool) -> None:
        if self.working:
            self.pending.append((request, keep_alive))
        else:
            self.working, self.keep_alive = True, keep_alive
            self.server.dispatch(request, self.answer)

    def _refuse(self, status: int, text: bytes) -> None:
        if self.transport:
            self.transport.write(head(Response(status), len(text), False) + text)
            self.transport.close()
            self.transport = None

    def _next(self) -> None:
        self.working = bool(self.pending)
        if self.working:
            request, self.keep_alive = self.pending.popleft()
            self.server.dispatch(request, self.answer)

    def answer(self, response: Response) -> None:
        """Send a response, then go on with the next request of this connection."""
        if not self.transport:
            return
        if not isinstance(response.body, bytes):
            self.server.loop.create_task(self._stream(response))
            return
        self.transport.write(head(response, len(response.body), self.keep_alive) + response.body)
        self._finish()

    def _finish(self) -> None:
        if self.transport and not (self.keep_alive and not self.server.stopping):
            self.transport.close()
        else:
            self._next()

    async def _stream(self, response: Response) -> None:
        """Send a streamed body chunk by chunk; a failure in the middle closes the connection, so that the client sees it."""
        self.transport.write(head(response, None, self.keep_alive))
        try:
            while (chunk := await self.server.loop.run_in_executor(self.server.queue.thread, _advance, response.body)) is not None:
                await self.writable.wait()
                if not self.transport:
                    return
                if chunk:
                    self.transport.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        except Exception:
            logging.exception("The response stream failed")
            if self.transport:
                self.transport.abort()
            return
        if self.transport:
            self.transport.write(b"0\r\n\r\n")
        self._finish()


def _advance(body: Iterator[bytes]) -> bytes | None:
    chunk = next(body, None)
    return chunk.encode() if isinstance(chunk, str) else chunk


def head(response: Response, length: int | None, keep_alive: bool) -> bytes:
    """Status line and headers; `length` None means a chunked body."""
    framing = b"Transfer-Encoding: chunked" if length is None else b"Content-Length: %d" % length
    extra = b"".join(b"%b: %b\r\n" % (_clean(n), _clean(v)) for n, v in response.headers.items()) if response.headers else b""
    if not keep_alive:
        extra += b"Connection: close\r\n"
    return b"%b%b\r\n%b\r\n" % (_start(response.status, response.content_type), framing, extra)


@functools.lru_cache(256)
def _start(status: int, content_type: str) -> bytes:
    return b"HTTP/1.1 %d %b\r\nContent-Type: %b\r\n" % (status, PHRASES.get(status, b"Unknown"), _clean(content_type))


def _clean(text: str) -> bytes:
    """A header's bytes; line breaks would start a header of their own."""
    return text.replace("\r", " ").replace("\n", " ").encode("latin-1", "replace")


def _told(request: Request, answer: Callable[[Response], None]) -> Callable[[Response], None]:
    """The same answer, with a line in the log. For containers of pipelines, where one wants to know how far a request came."""
    began = perf_counter()

    def tell(response: Response) -> None:
        said = f"{len(response.body)} bytes" if isinstance(response.body, bytes) else "a stream"
        sort = request.headers.get("content-type", "no type")
        logging.info(
            "%s %s (%d bytes, %s): %d (%s, %s) after %.1f ms",
            request.method,
            request.path,
            len(request.body),
            sort,
            response.status,
            said,
            response.content_type,
            (perf_counter() - began) * 1000,
        )
        answer(response)

    return tell


class Server:
    """Routes of the inference contract, for all connections of one process."""

    def __init__(self, handler: object, failure: str | None, loop: asyncio.AbstractEventLoop):
        self.handler, self.failure, self.loop = handler, failure, loop
        self.queue = Queue(handler, loop)
        self.connections: set[Connection] = set()
        self.stopping = False
        self.tells = os.environ.get(EACH_REQUEST) == "1"

    def dispatch(self, request: Request, answer: object) -> None:
        """Answer now, or queue for the model."""
        if request.path == "/ping" and request.method in ("GET", "HEAD"):
            answer(Response(500, self.failure.encode()) if self.failure else Response(200, b"\n"))
        elif request.path == "/invocations":
            if request.method != "POST":
                answer(Response(405, b"Method Not Allowed"))
            elif self.failure:
                answer(Response(500, self.failure.encode()))
            else:
                self.queue.put(request, _told(request, answer) if self.tells else answer)
        elif request.path == "/execution-parameters" and request.method == "GET":
            answer((None if self.failure else self.handler.execution_parameters()) or Response(404, b"Not Found"))
        else:
            answer(Response(404, b"Not Found"))
