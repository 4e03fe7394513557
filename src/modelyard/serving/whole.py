"""Answers that come in one piece, as those of most models do: no Python runs per header (compare `wire/whole.py`).

What is taken here is one whole HTTP/1.1 message that keeps the connection, and nothing after it. The rest is left to the connection's own parser.
A model server says the same head over and over (with a Date, for a second): one that was read is known again by its bytes.
"""

from __future__ import annotations

from types import SimpleNamespace

import httptools


class _Lower(dict[bytes, bytes]):
    """Header names as sent → lower-cased."""

    MOST = 1024

    def __missing__(self, name: bytes) -> bytes:
        if len(self) >= self.MOST:
            self.clear()
        lower = self[name] = name.lower()
        return lower


lower = _Lower()
HEADS_KEPT, HEAD_BYTES = 512, 2048
_heads: dict[bytes, tuple[int, dict[bytes, bytes], int]] = {}
"""Heads of answers that gave the length of their body: (status, headers, length). Nobody changes the headers of an answer."""


class WholeAnswer:
    """`read(data)` answers (status, headers by lower-case name, body), or None."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        self._headers: dict[bytes, bytes] = {}
        self._pieces: list[bytes] = []
        self._first, self._last = [None], [None]  # a second message finds them empty, which stops the parser
        self._parser = httptools.HttpResponseParser(
            SimpleNamespace(
                on_message_begin=self._first.pop,
                on_header=self._headers.__setitem__,
                on_body=self._pieces.append,
                on_message_complete=self._last.pop,
            )
        )

    def read(self, data: bytes) -> tuple[int, dict[bytes, bytes], bytes] | None:
        head, _, body = data.partition(b"\r\n\r\n")
        kept = _heads.get(head)
        if kept is None:
            found = self._parse(data)
            if found is not None and len(head) <= HEAD_BYTES:
                _keep(head, body, *found)
            return found
        status, headers, length = kept
        return (status, headers, body) if length == len(body) else self._parse(data)

    def _parse(self, data: bytes) -> tuple[int, dict[bytes, bytes], bytes] | None:
        parser, pieces = self._parser, self._pieces
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._start()
            return None
        if self._first or self._last:
            self._start()
            return None
        status = parser.get_status_code()
        headers = {lower[name]: value for name, value in self._headers.items()}
        if status < 200 or headers.get(b"connection", b"keep-alive").lower() != b"keep-alive" or parser.get_http_version() != "1.1":
            self._start()
            return None
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._headers.clear()
        pieces.clear()
        self._first.append(None)
        self._last.append(None)
        return status, headers, body


def _keep(head: bytes, rest: bytes, status: int, headers: dict[bytes, bytes], body: bytes) -> None:
    """Only where a Content-Length alone says where the answer ends, and the rest of the bytes was its body."""
    if headers.get(b"content-length") == b"%d" % len(rest) and b"transfer-encoding" not in headers and body == rest:
        if len(_heads) >= HEADS_KEPT:
            _heads.clear()
        _heads[head] = (status, headers, len(rest))
