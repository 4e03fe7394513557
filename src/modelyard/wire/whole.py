"""Requests that come in one piece, head and body, as nearly all small ones do.

The callbacks of the parser are methods of a dict and of lists, so no Python runs per header. What is taken here must be beyond
doubt: one message, nothing before or after it, no header twice. Whatever else there is (a body still to come, pipelined requests,
folded lines, errors) is left to the `Reader`, which gets the same bytes.
"""

from __future__ import annotations

from types import SimpleNamespace

import httptools

from modelyard.wire.http import HeaderNames

SPECIAL = frozenset(("transfer-encoding", "expect", "upgrade", "connection", "proxy-connection", "trailer"))
names = HeaderNames()


class WholeReader:
    """`read(data)` answers (method, target, headers by lower-case name, body), or None: it is not that simple."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        """A parser for the next message; after anything but exactly one message it is another one."""
        self._targets: list[bytes] = []
        self._headers: dict[bytes, bytes] = {}
        self._pieces: list[bytes] = []
        self._first, self._last = [None], [None]  # a second message finds them empty, which stops the parser
        self._parser = httptools.HttpRequestParser(
            SimpleNamespace(
                on_message_begin=self._first.pop,
                on_url=self._targets.append,
                on_header=self._headers.__setitem__,
                on_body=self._pieces.append,
                on_message_complete=self._last.pop,
            )
        )

    def read(self, data: bytes) -> tuple[str, str, dict[str, str], bytes] | None:
        parser, targets, headers, pieces = self._parser, self._targets, self._headers, self._pieces
        try:
            parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._start()
            return None
        if self._first or self._last or len(targets) != 1 or len(pieces) > 1:
            self._start()
            return None
        body = pieces[0] if pieces else b""
        index = {names[name]: value.decode("latin-1").strip() for name, value in headers.items()}
        # One line end for the request line, for each header and for the end of the head: so no header was there twice.
        lines = data.count(b"\n", 0, len(data) - len(body))
        if lines != len(index) + 2 or "host" not in index or not _goes_on(index) or parser.get_http_version() != "1.1":
            self._start()
            return None
        found = parser.get_method().decode("latin-1"), targets[0].decode("latin-1"), index, body
        targets.clear()
        headers.clear()
        pieces.clear()
        self._first.append(None)
        self._last.append(None)
        return found


def _goes_on(index: dict[str, str]) -> bool:
    """Nothing among the headers changes how the message or the connection goes on."""
    if SPECIAL.isdisjoint(index):
        return True
    return SPECIAL.intersection(index) == {"connection"} and index["connection"].lower() == "keep-alive"
