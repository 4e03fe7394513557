"""A plain-http request passed on to where it was going, and its answer passed back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httptools

from modelyard.wire.egress import Unreachable, Upstream
from modelyard.wire.http import Headers, HttpRequest, HttpResponse

HOP_BY_HOP = frozenset(
    (
        "connection",
        "proxy-connection",
        "proxy-authorization",
        "proxy-authenticate",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
    )
)
PIECE = 64 << 10
LONGEST_HEAD = 256 << 10
ANSWER_S = 120.0


async def fetch(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: HttpRequest, authority: str, upstream: Upstream | None
) -> HttpResponse:
    """Streams the request out and the answer back. Raises Unreachable when none comes."""
    answer = _Answer(request.method == "HEAD")
    sending = asyncio.ensure_future(_send(writer, request, authority, upstream))
    try:
        async with asyncio.timeout(ANSWER_S):
            while not answer.headed:
                data = await reader.read(PIECE)
                if not data:
                    raise Unreachable(f"{authority} closed the connection without an answer")
                answer.feed(data)
    except (OSError, TimeoutError, httptools.HttpParserError):
        await _end(writer, sending)
        raise Unreachable(f"{authority} did not answer in HTTP") from None
    except BaseException:
        await _end(writer, sending)
        raise
    return HttpResponse(answer.status, answer.headers, _body(reader, writer, answer, sending))


async def _send(writer: asyncio.StreamWriter, request: HttpRequest, authority: str, upstream: Upstream | None) -> None:
    target = request.path + (f"?{request.query}" if request.query else "")
    if upstream is not None:
        target = f"http://{authority}{target}"
    named = {part.strip().lower() for part in request.header("connection").split(",")}
    lines = [f"{request.method} {target} HTTP/1.1\r\n"]
    named -= {"host", "content-length"}  # a client must not have the framing of its own body taken away
    lines += [f"{name}: {value}\r\n" for name, value in request.headers if name not in HOP_BY_HOP and name not in named]
    if upstream is not None and upstream.authorization:
        lines.append(f"proxy-authorization: {upstream.authorization}\r\n")
    chunked = request.body.length is None
    lines.append("transfer-encoding: chunked\r\n" if chunked else "")
    writer.write(("".join(lines) + "connection: close\r\n\r\n").encode("latin-1"))
    request.body.begin()
    while piece := await request.body.next_piece():
        writer.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
        await writer.drain()
    if chunked:
        writer.write(b"0\r\n\r\n")
    await writer.drain()


async def _body(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: _Answer, sending: asyncio.Future
) -> AsyncIterator[bytes]:
    try:
        while True:
            for piece in answer.take():
                yield piece
            if answer.complete:
                return
            data = await reader.read(PIECE)
            if not data:
                answer.ended()
                return
            answer.feed(data)
    finally:
        await _end(writer, sending)


async def _end(writer: asyncio.StreamWriter, sending: asyncio.Future) -> None:
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    writer.close()


class _Answer:
    """The callbacks of httptools' response parser."""

    def __init__(self, bodiless: bool) -> None:
        self.status, self.headers = 0, []
        self.headed = self.complete = False
        self._bodiless, self._pieces, self._size = bodiless, [], 0
        self._parser = httptools.HttpResponseParser(self)
        self._sized = False

    def feed(self, data: bytes) -> None:
        if not self.headed:
            self._size += len(data)
            if self._size > LONGEST_HEAD:
                raise Unreachable("the answer's head is too long")
        if not self.complete:
            self._parser.feed_data(data)

    def take(self) -> list[bytes]:
        pieces, self._pieces = self._pieces, []
        return pieces

    def ended(self) -> None:
        """The connection's end is the body's end only where nothing else says it."""
        if self._sized:
            raise ConnectionResetError("the answer was cut off")

    def on_message_begin(self) -> None:
        self._raw: Headers = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._raw.append((name.decode("latin-1").lower(), value.decode("latin-1").strip()))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:
            return
        named = {part.strip().lower() for name, value in self._raw if name == "connection" for part in value.split(",")}
        self._sized = any(name in ("content-length", "transfer-encoding") for name, _ in self._raw)
        self.status = status
        self.headers = [(name, value) for name, value in self._raw if name not in HOP_BY_HOP and name not in named]
        self.headed = True
        self.complete = self._bodiless or status in (204, 304)

    def on_body(self, data: bytes) -> None:
        self._pieces.append(data)

    def on_message_complete(self) -> None:
        self.complete = self.headed
