"""Two connections joined into one: bytes pass untouched both ways, with backpressure and half-closes."""

from __future__ import annotations

import asyncio


class Pipe(asyncio.Protocol):
    """One end. `peer` is the other; what one receives the other writes."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self.peer: Pipe = None  # type: ignore[assignment]
        self.ended = asyncio.get_running_loop().create_future()
        self._early: list[bytes] = []
        self._more: asyncio.Event | None = None

    async def head(self, longest: int = 64 << 10) -> tuple[bytes, bytes]:
        """Before the join: the first line of an HTTP head that comes in, and what came after that head."""
        self._more = asyncio.Event()
        while True:
            data = b"".join(self._early)
            at = data.find(b"\r\n\r\n")
            if at >= 0:
                self._early, self._more = [], None
                return data[:at].split(b"\r\n")[0], data[at + 4 :]
            if len(data) > longest or self.ended.done():
                raise ConnectionResetError("no HTTP head came")
            self._more.clear()
            await self._more.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        if self.peer is None:
            self._early.append(data)
            if self._more is not None:
                self._more.set()
        elif not self.peer.transport.is_closing():
            self.peer.transport.write(data)

    def eof_received(self) -> bool:
        if self.peer is None:
            return False
        transport = self.peer.transport
        if not transport.is_closing():
            if transport.can_write_eof():
                transport.write_eof()
                return True
            transport.close()
        return False

    def connection_lost(self, problem: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
        if self._more is not None:
            self._more.set()
        if self.peer is not None and not self.peer.transport.is_closing():
            self.peer.transport.close()

    def pause_writing(self) -> None:
        if self.peer is not None and not self.peer.transport.is_closing():
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer is not None and not self.peer.transport.is_closing():
            self.peer.transport.resume_reading()


def join(one: Pipe, other: Pipe) -> None:
    """From here on the two are one connection."""
    one.peer, other.peer = other, one
    for pipe in (one, other):
        for data in pipe._early:
            pipe.peer.transport.write(data)
        pipe._early.clear()
