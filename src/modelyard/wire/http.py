"""HTTP as the gateway sees it: plain values, no sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

from modelyard.kernel.service import Body, BytesBody, FileSlice

Headers = list[tuple[str, str]]
"""Names lower-case, in the order received; values latin-1 decoded and stripped."""


class HeaderNames(dict[bytes, str]):
    """Header names as sent → lower-cased, made when first seen: clients send the same ones over and over."""

    MOST = 1024

    def __missing__(self, name: bytes) -> str:
        if len(self) >= self.MOST:
            self.clear()
        lower = self[name] = name.decode("latin-1").lower()
        return lower


@dataclass(slots=True)
class HttpRequest:
    """One request. `path` and `query` are as received, still percent-encoded (signatures need them so).

    `body` is streaming: the server fills it while the request runs. `secure` says whether it came by TLS.
    """

    method: str
    path: str
    query: str
    headers: Headers
    body: Body = field(default_factory=lambda: BytesBody(b""))
    secure: bool = False
    client: str = "127.0.0.1"
    _index: dict[str, str] | None = field(default=None, repr=False)
    raw: bytes = field(default=b"", repr=False)
    """Head and body as they came, where they came in one piece (`wire/whole.py`)."""
    tls: str = ""
    """The version of TLS it came by: `1.2`, `1.3`."""

    def header(self, name: str, default: str = "") -> str:
        """The (last) value of a header by its lower-case name."""
        return (self._index or self.index).get(name, default)

    @property
    def index(self) -> dict[str, str]:
        """The (last) values by name. As long as `headers`: no name is there twice."""
        if self._index is None:
            self._index = dict(self.headers)
        return self._index


@dataclass(slots=True)
class HttpResponse:
    """One answer. `body`: bytes; a FileSlice (sent with sendfile); or an (async) iterator of bytes (sent chunked
    unless `content-length` is among the headers)."""

    status: int
    headers: Headers = field(default_factory=list)
    body: bytes | FileSlice | Iterator[bytes] | AsyncIterator[bytes] = b""
