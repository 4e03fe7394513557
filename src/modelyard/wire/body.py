"""A request body between the loop, which feeds it, and whoever reads it.

Lock-free under the GIL: the loop alone writes `_fed`, `_paused` and appends; the reader alone writes `_taken` and pops;
each side publishes its own move before it looks at the other's.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Mapping
from types import MappingProxyType

from modelyard.kernel.errors import ApiError
from modelyard.kernel.service import Body


def incomplete() -> ApiError:
    """S3's IncompleteBody: fewer bytes came than the client had said."""
    return ApiError("IncompleteBody", "The request body terminated unexpectedly", 400)


def timed_out() -> ApiError:
    return ApiError(
        "RequestTimeout",
        "Your socket connection to the server was not read from or written to within the timeout period. Idle connections will be closed.",
        400,
    )


def too_large(limit: int) -> ApiError:
    return ApiError("RequestEntityTooLargeException", f"The request body must be no longer than {limit} bytes.", 413)


class InflowBody(Body):
    """The body of one HTTP request as its bytes come in. `read` blocks a thread, `gather` awaits on the loop.

    `wanted` is called once, on the loop, before the first byte is waited for (it answers `Expect: 100-continue`);
    `flow(True)` stops and `flow(False)` restarts reading from the socket.
    """

    # Where a body begins: on the class, since most are one small piece and never leave this state.
    complete = False
    _paused = _gathering = False
    _fed = _taken = _limit = 0
    _error: ApiError | None = None
    _event: threading.Event | None = None
    _future: asyncio.Future[None] | None = None
    _piece: asyncio.Future[None] | None = None
    trailers: Mapping[str, str] = MappingProxyType({})

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        length: int | None,
        high: int,
        flow: Callable[[bool], None],
        wanted: Callable[[], None] | None = None,
    ) -> None:
        self.length = length
        self._loop, self._high, self._flow, self._wanted = loop, high, flow, wanted
        self._chunks: deque[bytes] = deque()

    @classmethod
    def here(cls, loop: asyncio.AbstractEventLoop, data: bytes, high: int, flow: Callable[[bool], None]) -> InflowBody:
        """A body that came whole, together with its head."""
        body = cls(loop, len(data), high, flow)
        if data:
            body._chunks.append(data)
            body._fed = len(data)
        body.complete = True
        return body

    # --- the loop's side -------------------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        self._chunks.append(data)
        self._fed += len(data)
        self._tell()
        if self._piece is not None:
            self._wake_piece()
        if self._gathering:
            if self._fed > self._limit:
                self.abort(too_large(self._limit))
        elif not self._paused and self._fed - self._taken > self._high:
            self._paused = True
            self._flow(True)
            self._resume()

    def finish(self) -> None:
        self.complete = True
        self._tell()
        self._wake_piece()
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def abort(self, error: ApiError) -> None:
        """The rest will not come: whoever waits, or reads on, gets `error`."""
        if self.complete or self._error is not None:
            return
        self._error = error
        self._tell()
        self._wake_piece()
        if self._future is not None and not self._future.done():
            self._future.set_exception(error)

    def begin(self) -> None:
        """Someone wants the body: the client may send it."""
        if self._wanted is not None:
            wanted, self._wanted = self._wanted, None
            wanted()

    @property
    def unasked(self) -> bool:
        """The client waits for 100 Continue and nobody has asked for the body."""
        return self._wanted is not None

    @property
    def starving(self) -> bool:
        """A reader is, or may be, waiting for the client rather than the other way round."""
        return not (self.complete or self._paused or self._error or self._wanted)

    @property
    def received(self) -> int:
        return self._fed

    async def gather(self, limit: int) -> bytes:
        """The whole body, on the loop. Raises RequestEntityTooLargeException (413) over `limit`, IncompleteBody."""
        if (self.length is not None and self.length > limit) or self._fed > limit:
            raise too_large(limit)
        if not self.complete:
            self.begin()
            if self._error is not None:
                raise self._error
            self._gathering, self._limit = True, limit
            if self._paused:
                self._paused = False
                self._flow(False)
            self._future = self._loop.create_future()
            await self._future
        return self._all()

    def whole(self, limit: int) -> bytes | None:
        """The same without waiting: None where not all of it has come."""
        return self._all() if self.complete and self._fed <= limit else None

    def peek(self) -> bytes:
        """All of a body that came whole; it stays there for whoever reads it."""
        return self._chunks[0] if self._chunks else b""

    def _all(self) -> bytes:
        chunks = self._chunks
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        chunks.clear()
        self._taken = self._fed
        return data

    async def next_piece(self) -> bytes:
        """What has come, on the loop; b"" at the end."""
        while not self._chunks:
            if self.complete:
                return b""
            if self._error is not None:
                raise self._error
            self.begin()
            self._piece = self._loop.create_future()
            await self._piece
        chunk = self._chunks.popleft()
        self._taken += len(chunk)
        self._resume()
        return chunk

    def _wake_piece(self) -> None:
        if self._piece is not None and not self._piece.done():
            self._piece.set_result(None)
        self._piece = None

    async def drop(self) -> None:
        """Lets the (short) rest of the body come and forgets it."""
        self._chunks.clear()
        self._taken = self._fed
        if self.complete or self._error is not None:
            return
        self._gathering, self._limit = True, self._fed + 2 * self._high
        if self._paused:
            self._paused = False
            self._flow(False)
        self._future = self._loop.create_future()
        with contextlib.suppress(ApiError):
            await self._future
        self._chunks.clear()

    def _tell(self) -> None:
        event = self._event  # looked at once: the reader may take it away meanwhile
        if event is not None:
            event.set()

    def _resume(self) -> None:
        if self._paused and self._fed - self._taken <= self._high // 2:
            self._paused = False
            self._flow(False)

    # --- the reader's side -----------------------------------------------------------------------

    def read(self, size: int = 1 << 18) -> bytes:
        """Up to `size` bytes, b"" at the end; blocks until there are some. Not for the loop's own thread."""
        if not self._chunks and not self.complete:
            self._wait()
        try:
            chunk = self._chunks.popleft()
        except IndexError:
            return b""
        if len(chunk) > size:
            self._chunks.appendleft(chunk[size:])
            chunk = chunk[:size]
        self._taken += len(chunk)
        if self._paused and self._fed - self._taken <= self._high // 2:
            self._loop.call_soon_threadsafe(self._resume)
        return chunk

    def _wait(self) -> None:
        if self._wanted is not None:
            self._loop.call_soon_threadsafe(self.begin)
        event = self._event = threading.Event()
        while not (self._chunks or self.complete):
            if self._error is not None:
                raise self._error
            event.wait()
            event.clear()
        self._event = None


async def gather(body: Body, limit: int) -> bytes:
    """The whole of any body; one that is in memory already is simply read."""
    if isinstance(body, InflowBody):
        return await body.gather(limit)
    data = b"".join(body)
    if len(data) > limit:
        raise too_large(limit)
    return data
