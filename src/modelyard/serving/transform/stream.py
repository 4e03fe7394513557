"""An object of any size as one request with chunked transfer encoding: MaxPayloadInMB 0. Blocking; for a thread of its own."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Callable, Iterator

from modelyard.serving.transform.caller import NO_ANSWER, refusal
from modelyard.serving.transform.errors import ALGORITHM, Refused
from modelyard.serving.upstream import Reply

PIECE_BYTES = 1 << 20


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost:8080", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def stream(path: str, pieces: Iterator[bytes], headers: dict[str, str], timeout_s: float, write: Callable[[bytes], None]) -> None:
    """Sends the pieces and writes the answer's body as it comes. Raises Refused; it cannot be tried again."""
    connection = _Connection(path, timeout_s)
    try:
        connection.request("POST", "/invocations", body=pieces, headers={**headers, "Transfer-Encoding": "chunked"}, encode_chunked=True)
        reply = connection.getresponse()
        if not 200 <= reply.status < 300:
            raise refusal(Reply(reply.status, {}, reply.read(PIECE_BYTES)))
        while piece := reply.read(PIECE_BYTES):
            write(piece)
    except (OSError, http.client.HTTPException):
        raise Refused(ALGORITHM, NO_ANSWER) from None
    finally:
        connection.close()
