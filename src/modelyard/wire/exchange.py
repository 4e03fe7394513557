"""From the parser's callbacks to `HttpRequest`s: what one connection is being asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import httptools

from modelyard.wire.body import InflowBody
from modelyard.wire.http import Headers, HttpRequest
from modelyard.wire.limits import Limits
from modelyard.wire.whole import WholeReader, names


class Refused(Exception):
    """A request that is not even HTTP as we take it: answered with `status` and the connection is closed."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


@dataclass(slots=True)
class Exchange:
    """One request of a connection and what the answer must know about it. `refused`: there is no request.
    `authority` is the host:port of an absolute-form or CONNECT target ("" for the ordinary form)."""

    request: HttpRequest | None
    body: InflowBody | None
    version: str = "1.1"
    keep_alive: bool = True
    authority: str = ""
    refused: Refused | None = None


class Reader:
    """The callbacks of one httptools parser. Complete heads go to `arrived(exchange)`; bodies fill themselves."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        client: str,
        secure: bool,
        arrived: Callable[[Exchange], None],
        flow: Callable[[bool], None],
        go_on: Callable[[], None],
    ) -> None:
        self._loop, self._limits, self._client, self._secure = loop, limits, client, secure
        self._arrived, self._flow, self._go_on = arrived, flow, go_on
        self.exchange: Exchange | None = None
        self.in_head = False
        self._whole = WholeReader()
        self.tls = ""
        self.reset()

    def reset(self) -> None:
        """A new parser: at the start, and after an `Upgrade:` we do not take up."""
        self.parser = httptools.HttpRequestParser(self)
        self.quiet = 0
        self._framing, self._resuming = b"", False

    @property
    def between(self) -> bool:
        """Nothing of another request was read already."""
        return not (self.in_head or self._framing or self._resuming or self._in_framing())

    def whole(self, data: bytes) -> Exchange | None:
        """A request that is `data`, all of it. None: `feed` must look at it."""
        limits = self._limits
        if not self.between or len(data) > limits.head_bytes:
            return None
        found = self._whole.read(data)
        if found is None:
            return None
        method, target, index, content = found
        if len(target) > limits.target_bytes or len(index) > limits.head_count or not target.startswith("/"):
            return None
        path, _, query = target.partition("?")
        body = InflowBody.here(self._loop, content, limits.buffered_bytes, self._flow)
        query = query.partition("#")[0]
        return Exchange(
            HttpRequest(method, path, query, list(index.items()), body, self._secure, self._client, index, data, self.tls), body
        )

    def feed(self, data: bytes) -> bytes | None:
        """Parses on. Answers the bytes after a CONNECT (another protocol), else None. Raises Refused."""
        self.quiet += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            if self.exchange is not None and self.exchange.request.method == "CONNECT":
                return rest
            framing = self._framing
            self.reset()
            if framing:  # the parser took the body for another protocol: a new one reads it, as what it is
                self._resuming = True
                rest = b"POST / HTTP/1.1\r\nHost: _\r\n" + framing + b"\r\n\r\n" + rest
            return self.feed(rest) if rest else None
        except httptools.HttpParserCallbackError as problem:
            if isinstance(problem.__context__, Refused):
                raise problem.__context__ from None
            raise
        except httptools.HttpParserError:
            raise Refused(400, "The request is not valid HTTP/1.1.") from None
        if self.quiet > self._limits.head_bytes + 4096 and (self.in_head or self._in_framing()):
            raise Refused(431, "The request header section is too large.")
        return None

    def _in_framing(self) -> bool:
        return self.exchange is not None and self.exchange.body is not None and not self.exchange.body.complete

    # --- httptools' callbacks ----------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._resuming:
            return
        self._url, self._headers, self._size = b"", [], 0
        self.in_head, self.exchange = True, None

    def on_url(self, url: bytes) -> None:
        if self._resuming:
            return
        self._url += url
        if len(self._url) > self._limits.target_bytes:
            raise Refused(414, "The request target is too long.")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._resuming:
            return
        self._size += len(name) + len(value) + 4
        self._headers.append((names[name], value.decode("latin-1").strip()))
        if self._size > self._limits.head_bytes or len(self._headers) > self._limits.head_count:
            raise Refused(431, "The request header section is too large.")

    def on_headers_complete(self) -> None:
        self.in_head, self.quiet = False, 0
        if self._resuming:
            self._resuming = False
            return
        parser, headers = self.parser, self._headers
        version = parser.get_http_version()
        if version not in ("1.1", "1.0"):
            raise Refused(400, "Only HTTP/1.0 and HTTP/1.1 are spoken here.")
        self.exchange = exchange = self._make(parser.get_method().decode("latin-1"), version, headers)
        self._headers, self._size = [], 0
        if parser.should_upgrade() and exchange.request.method != "CONNECT" and exchange.body.length != 0:
            length = exchange.body.length
            self._framing = b"Transfer-Encoding: chunked" if length is None else b"Content-Length: %d" % length
            exchange.keep_alive = True
        self._arrived(exchange)

    def _make(self, method: str, version: str, headers: Headers) -> Exchange:
        path, query, authority = self._target(method)
        index = dict(headers)
        if ("host" not in index and version == "1.1") or (len(index) != len(headers) and sum(name == "host" for name, _ in headers) > 1):
            raise Refused(400, "A request must have one Host header.")
        length: int | None = int(index.get("content-length", 0))
        if "transfer-encoding" in index:
            if index["transfer-encoding"].lower() != "chunked" or version == "1.0":
                raise Refused(400, "The only transfer coding here is chunked.")
            length = None
        expects = version == "1.1" and index.get("expect", "").lower() == "100-continue"  # others are passed over, as AWS does
        body = InflowBody(self._loop, length, self._limits.buffered_bytes, self._flow, self._go_on if expects and length != 0 else None)
        request = HttpRequest(method, path, query, headers, body, self._secure, self._client, index, tls=self.tls)
        return Exchange(request, body, version, self.parser.should_keep_alive(), authority)

    def _target(self, method: str) -> tuple[str, str, str]:
        """(path, query, authority) of the request target in its ordinary, absolute or CONNECT form."""
        url = self._url.decode("latin-1")
        if method == "CONNECT":
            return "", "", url
        authority = ""
        if not url.startswith("/"):
            if url == "*" and method == "OPTIONS":
                return "*", "", ""
            scheme, mark, rest = url.partition("://")
            if not mark or scheme.lower() not in ("http", "https") or not rest:
                raise Refused(400, "The request target is not valid.")
            cut = min((at for at in (rest.find("/"), rest.find("?")) if at >= 0), default=len(rest))
            authority, url = rest[:cut], rest[cut:]
            if not url.startswith("/"):
                url = "/" + url
        path, _, query = url.partition("?")
        return path, query.partition("#")[0], authority

    def on_body(self, data: bytes) -> None:
        self.quiet = 0
        self.exchange.body.feed(data)

    def on_chunk_header(self) -> None:
        self.quiet = 0

    def on_message_complete(self) -> None:
        self.quiet = 0
        if self._framing:
            return
        body = self.exchange.body
        if self._headers:
            body.trailers = dict(self._headers)
        body.finish()
