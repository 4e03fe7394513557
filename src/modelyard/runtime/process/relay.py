"""Carrying bytes between sockets that cannot reach each other directly.

Two uses. A job's way to the platform: listening sockets that live in the box's network namespace are held by
the shim, which connects each caller to the same port of the host. A model server's way out: a unix socket of
the host, carried by a small process that sits in the box's network namespace and connects to port 8080 there.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable

from modelyard.runtime.process.cheap import suppress
from modelyard.runtime.process.loop import READ, WRITE, Loop

CHUNK = 256 * 1024


class Acceptor:
    """Accepts on `listener` and pairs each connection with a new one from `connect`."""

    def __init__(self, loop: Loop, listener: socket.socket, connect: Callable[[], socket.socket]) -> None:
        self._loop, self._listener, self._connect = loop, listener, connect
        self.live = 0
        listener.setblocking(False)
        loop.watch(listener.fileno(), READ, self._accept)

    def close(self) -> None:
        self._loop.forget(self._listener.fileno())
        self._listener.close()

    def _accept(self, events: int) -> None:
        try:
            near, _ = self._listener.accept()
        except OSError:
            return
        try:
            far = self._connect()
        except OSError:
            near.close()  # the caller sees a reset, as if nobody listened
            return
        self.live += 1
        Pair(self._loop, near, far, self._ended)

    def _ended(self) -> None:
        self.live -= 1


class Pair:
    """Two connections joined until both directions have ended."""

    def __init__(self, loop: Loop, near: socket.socket, far: socket.socket, ended: Callable[[], None]) -> None:
        self._loop, self._ended = loop, ended
        self._ends = (near, far)
        self._pending = [memoryview(b""), memoryview(b"")]  # read from end i, not yet written to the other
        self._eof = [False, False]
        self._closed = False
        for end in self._ends:
            end.setblocking(False)
            if end.family == socket.AF_INET:
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._arm()

    def _arm(self) -> None:
        for side in (0, 1):
            events = 0
            if not self._eof[side] and not self._pending[side]:
                events |= READ
            if self._pending[1 - side]:
                events |= WRITE
            if events:
                self._loop.watch(self._ends[side].fileno(), events, self._events if side else self._events_near)
            else:  # a descriptor watched for nothing would still report its hang-up, again and again
                self._loop.forget(self._ends[side].fileno())

    def _events_near(self, events: int) -> None:
        self._handle(0, events)

    def _events(self, events: int) -> None:
        self._handle(1, events)

    def _handle(self, side: int, events: int) -> None:
        try:
            if events & WRITE:
                self._flush(1 - side)
            if events & ~WRITE and not self._eof[side] and not self._pending[side]:
                self._read(side)
        except BlockingIOError:
            pass
        except OSError:
            self._close()
        if not self._closed:
            if all(self._eof) and not any(self._pending):
                self._close()
            else:
                self._arm()

    def _read(self, side: int) -> None:
        data = self._ends[side].recv(CHUNK)
        if data:
            self._pending[side] = memoryview(data)
        else:
            self._eof[side] = True
        self._flush(side)

    def _flush(self, side: int) -> None:
        """Write what came from `side` to the other end, and its end of file once that is through."""
        pending = self._pending[side]
        if pending:
            try:
                self._pending[side] = pending[self._ends[1 - side].send(pending) :]
            except BlockingIOError:
                return
        if self._eof[side] and not self._pending[side]:
            with suppress(OSError):
                self._ends[1 - side].shutdown(socket.SHUT_WR)

    def _close(self) -> None:
        self._closed = True
        for end in self._ends:
            self._loop.forget(end.fileno())
            end.close()
        self._ended()


def dial_tcp(port: int) -> socket.socket:
    """A connection to 127.0.0.1:`port` in the namespace this process is in. Loopback connects at once or never."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        sock.settimeout(5)
        sock.connect(("127.0.0.1", port))
    except OSError:
        sock.close()
        raise
    return sock


def dial_own(path: str) -> socket.socket | None:
    """A connection to the very socket at `path`, in a folder that the box may write: no link is followed, however quickly it
    is put there (it would lead to other sockets of this machine). None: no socket is there."""
    try:
        found = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return dial_unix(f"/proc/self/fd/{found}") if stat.S_ISSOCK(os.fstat(found).st_mode) else None
    finally:
        os.close(found)


def dial_unix(path: str) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(5)
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return sock


def serve_forever(public: str, direct: str, port: int, parent_pipe: int) -> None:
    """The relay of a model server: listens on `public`, carries to 127.0.0.1:`port` here; ends with the shim.

    A server that listens on `direct` itself makes this process superfluous: its socket is hard-linked over
    `public` (a link, so that the box cannot swap it afterwards for something else), and callers reach it
    without a relay. `parent_pipe` reads end of file when the shim is gone.
    """
    loop = Loop()
    ended = [False]
    loop.watch(parent_pipe, READ, lambda events: ended.__setitem__(0, True))
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    relay_path = os.path.dirname(direct)[: -len(".d")] + ".r"
    with suppress(FileNotFoundError):
        os.unlink(relay_path)
    listener.bind(relay_path)
    listener.listen(512)
    os.rename(relay_path, public)
    handed_over = [False]

    def connect() -> socket.socket:
        try:
            sock = dial_own(direct)
        except OSError:
            sock = None
        if sock is None:
            return dial_tcp(port)
        if not handed_over[0]:
            handed_over[0] = hand_over(direct, public)
        return sock

    acceptor = Acceptor(loop, listener, connect)
    while not ended[0] and not (handed_over[0] and acceptor.live == 0):
        loop.turn()


def hand_over(direct: str, public: str) -> bool:
    """Put the server's own socket in the place of the relay's."""
    temporary = os.path.dirname(direct)[: -len(".d")] + ".l"
    with suppress(FileNotFoundError):
        os.unlink(temporary)
    try:
        os.link(direct, temporary, follow_symlinks=False)
        if not _is_socket(temporary):
            os.unlink(temporary)
            return False
        os.rename(temporary, public)
    except OSError:
        return False
    return True


def _is_socket(path: str) -> bool:
    try:
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False
