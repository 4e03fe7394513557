"""Requests, responses and what a model handler is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol


@dataclass
class Request:
    """One HTTP request; header names are lower-case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Response:
    """One answer. A `body` that is not bytes is an iterator of bytes, sent chunk by chunk as it produces them."""

    status: int = 200
    body: bytes | Iterator[bytes] = b""
    content_type: str = "text/plain"
    headers: dict[str, str] = field(default_factory=dict)


class Handler(Protocol):
    """A model behind the server. `load` is called once, before the workers are forked if that is safe."""

    batches: bool
    """Whether `handle` may get several requests at once. Known after `load`."""
    cheap: bool
    """Whether a batch takes so little that one process serves more than several, among which it would be divided. Known
    after `load`."""
    forks: bool
    """Whether a loaded model may be forked. May be left out: it may."""
    most: int | None
    """The most requests in one batch. May be left out or None: the server's own limit."""

    def prepare(self) -> None:
        """Called first, once, before sockets and workers. May be left out."""

    def load(self) -> None:
        """Read the model; raises whatever went wrong."""

    def handle(self, requests: list[Request]) -> list[Response]:
        """Answer each request, in order. A bad request gets its own error; this never raises for one."""

    def execution_parameters(self) -> Response | None:
        """The answer to `GET /execution-parameters`, None for 404."""
