"""The HTTP server: the only thing that touches client sockets. http and https on one port."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from time import monotonic
from typing import Any

from modelyard.wire.connection import Connection, no_delay
from modelyard.wire.http import HttpRequest, HttpResponse
from modelyard.wire.limits import Limits

log = logging.getLogger("modelyard.wire")
TLS_HANDSHAKE = b"\x16"
BACKLOG = 1024


class Server:
    """Serves `handle` on one TCP port.

    `tls` is the context for clients that start with a TLS handshake (or makes it; None: they are refused). `proxy`
    (`wire/connect.py`) takes CONNECT and absolute-form requests; None: they get 405 and are served as ordinary ones.
    `pool` runs blocking response iterators. `at_once` (wire/atonce.py) takes a request that is here whole, and whose answer can be
    had without a task, or says None: then `handle` has it; `again` likewise takes the bytes of one like one before.
    """

    def __init__(
        self,
        handle: Callable[[HttpRequest], Awaitable[HttpResponse]],
        limits: Limits | None = None,
        *,
        tls: ssl.SSLContext | Callable[[], ssl.SSLContext] | None = None,
        proxy: Any = None,
        pool: Executor | None = None,
        at_once: Callable[[HttpRequest, Any, Callable[..., None]], Any] | None = None,
        again: Callable[[bytes, str, bool, Callable[..., None]], Any] | None = None,
    ) -> None:
        self.handle, self.limits, self.tls, self.proxy, self.pool = handle, limits or Limits(), tls, proxy, pool
        self.at_once, self.again = at_once, again
        self.connections: set[Connection] = set()
        self.loop: asyncio.AbstractEventLoop = None  # type: ignore[assignment]
        self.port = 0
        self._socket: socket.socket | None = None
        self._opening: dict[int, tuple[socket.socket, float]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._sweep: asyncio.TimerHandle | None = None

    async def start(
        self, host: str = "127.0.0.1", port: int = 0, *, reuse_port: bool = False, listener: socket.socket | None = None
    ) -> int:
        """Listens and answers the port. `reuse_port`: several processes share it. `listener` is a listening socket made
        by somebody else (a supervisor that keeps it open while this process is replaced). OSError: the port is taken."""
        self.loop = asyncio.get_running_loop()
        if listener is None:
            listener = _listen(host, port, reuse_port)
        listener.setblocking(False)
        self._socket, self.port = listener, listener.getsockname()[1]
        self.loop.add_reader(listener, self._accept)
        return self.port

    async def stop(self, grace_s: float = 10.0) -> None:
        """Accepts nothing more, lets what runs finish for `grace_s` real seconds, then closes everything."""
        if self._socket is not None:
            self.loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        for sock, _ in list(self._opening.values()):
            self._close_opening(sock)
        for connection in list(self.connections):
            connection.close_when_done()
        end = monotonic() + grace_s
        while any(connection.busy for connection in self.connections) and monotonic() < end:
            await asyncio.sleep(0.02)
        for connection in list(self.connections):
            connection.transport.abort()
        if self.proxy is not None:
            await self.proxy.stop(max(0.0, end - monotonic()))
        for task in list(self._tasks):
            task.cancel()
        if self._sweep is not None:
            self._sweep.cancel()

    # --- accepting ---------------------------------------------------------------------------------

    def _accept(self) -> None:
        for _ in range(64):
            try:
                sock, _ = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as problem:
                if problem.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    log.error("no connection can be accepted: %s", problem)
                    self.loop.remove_reader(self._socket)
                    self.loop.call_later(1.0, self._accept_again)
                    return
                raise
            if len(self.connections) + len(self._opening) >= self.limits.connections:
                sock.close()
                continue
            no_delay(sock)
            self.adopt(sock)

    def adopt(self, sock: socket.socket) -> None:
        """Serves a connected socket, however it came; it is this server's from now on."""
        sock.setblocking(False)
        self._opening[sock.fileno()] = (sock, monotonic())
        self.loop.add_reader(sock, self._first_byte, sock)
        self._keep_sweeping()

    def _accept_again(self) -> None:
        if self._socket is not None:
            self.loop.add_reader(self._socket, self._accept)

    def _first_byte(self, sock: socket.socket) -> None:
        """Looks at the first byte without taking it: a TLS handshake starts with 0x16, no HTTP method does."""
        try:
            first = sock.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            first = b""
        if not first or (first == TLS_HANDSHAKE and self.tls is None):
            self._close_opening(sock)
            return
        self.loop.remove_reader(sock)
        self._opening.pop(sock.fileno(), None)
        self.spawn(self._open(sock, first == TLS_HANDSHAKE))

    async def _open(self, sock: socket.socket, secure: bool) -> None:
        options = {"ssl": self._context(), "ssl_handshake_timeout": self.limits.head_s} if secure else {}
        try:
            await self.loop.connect_accepted_socket(lambda: Connection(self, secure), sock, **options)
        except (OSError, ssl.SSLError, ConnectionError):
            sock.close()

    def _context(self) -> ssl.SSLContext:
        """Made for the first TLS client, not before: most platforms never see one."""
        if not isinstance(self.tls, ssl.SSLContext):
            self.tls = self.tls()
        return self.tls

    def _close_opening(self, sock: socket.socket) -> None:
        self.loop.remove_reader(sock)
        self._opening.pop(sock.fileno(), None)
        sock.close()

    # --- the rest ----------------------------------------------------------------------------------

    def spawn(self, work: Awaitable[Any]) -> asyncio.Task[Any]:
        """A task that is kept until it is done."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _keep_sweeping(self) -> None:
        """One timer for all connections, and only while there are any."""
        if self._sweep is None:
            self._sweep = self.loop.call_later(1.0, self._sweep_once)

    def _sweep_once(self) -> None:
        self._sweep, now = None, monotonic()
        for sock, since in list(self._opening.values()):
            if now - since > self.limits.head_s:
                self._close_opening(sock)
        for connection in list(self.connections):
            connection.expire(now)
        if self._opening or self.connections:
            self._keep_sweeping()


def _listen(host: str, port: int, reuse_port: bool) -> socket.socket:
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
