"""The HTTP proxy on the gateway's port (transparent mode), and the one sandboxed jobs go out by (egress).

CONNECT to an AWS host ends here: its TLS is answered with a certificate of the local authority and the gateway serves what is
inside. So does an absolute-form request to one. Anything else is passed through untouched, for holders of a token only: the
gateway's port is reachable from sandboxes, and without a token it must not be a way to the machine around it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from modelyard.wire.awshosts import is_aws_host
from modelyard.wire.ca import Authority
from modelyard.wire.egress import CONNECT_S, Denied, Rules, Tokens, Unreachable, Upstream, Upstreams
from modelyard.wire.exchange import Exchange
from modelyard.wire.http import HttpRequest, HttpResponse
from modelyard.wire.limits import Limits
from modelyard.wire.origin import fetch
from modelyard.wire.server import Server
from modelyard.wire.tunnel import Pipe, join

if TYPE_CHECKING:
    from modelyard.wire.connection import Connection

log = logging.getLogger("modelyard.proxy")
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"
MOST_TUNNELS = 1024
USER = "user"
"""The name in the proxy URL of the host's own user; every other name is a run's."""


class Proxy:
    """What a `Server` asks about CONNECT and absolute-form requests.

    `tokens` None: nobody may pass through. `admits` says which of their holders may: a run's token must not open the
    gateway's own port, from which this machine can be reached. `closed`: AWS hosts need a token too (egress).
    """

    def __init__(
        self,
        handle: Callable[[HttpRequest], Awaitable[HttpResponse]],
        *,
        tls: ssl.SSLContext | Callable[[], ssl.SSLContext],
        rules: Rules,
        upstreams: Upstreams,
        tokens: Tokens | None,
        admits: Callable[[str], bool] = lambda name: True,
        closed: bool = False,
        limits: Limits | None = None,
        pool: Executor | None = None,
    ) -> None:
        self.handle, self.rules, self.upstreams, self.tokens = handle, rules, upstreams, tokens
        self.admits, self.closed = admits, closed
        self.inner = Server(handle, limits, tls=tls, pool=pool)
        self._pipes: set[Pipe] = set()

    async def stop(self, grace_s: float) -> None:
        await self.inner.stop(grace_s)
        for pipe in list(self._pipes):
            pipe.transport.abort()

    # --- what the server calls -----------------------------------------------------------------------

    async def connect(self, connection: Connection, exchange: Exchange) -> None:
        """Answers a CONNECT; the connection belongs to the tunnel from then on."""
        request = exchange.request
        try:
            host, port = authority_of(exchange.authority, None)
            aws = is_aws_host(host)
            self._admit(request, aws)
            if aws:
                await self._land(connection)
            else:
                await self._pass_through(connection, host, port)
        except _Refused as refused:
            await connection.answer_and_close(refused.response())
        except Denied as denied:
            await connection.answer_and_close(_text(403, str(denied)))
        except Unreachable as unreachable:
            await connection.answer_and_close(_text(502, str(unreachable)))

    async def forward(self, exchange: Exchange) -> HttpResponse:
        """Answers an absolute-form request: `GET http://host/path`."""
        request = exchange.request
        try:
            host, port = authority_of(exchange.authority, 80)
            aws = is_aws_host(host)
            if aws or (port in self.rules.own_ports and host in ("127.0.0.1", "localhost", "::1")):
                self._admit(request, True)
                return await self.handle(request)
            self._admit(request, False)
            upstream = self.upstreams.for_host(host, port, "http")
            reader, writer = await self._open_stream(host, port, upstream)
            return await fetch(reader, writer, request, exchange.authority, upstream)
        except _Refused as refused:
            return refused.response()
        except Denied as denied:
            return _text(403, str(denied))
        except Unreachable as unreachable:
            return _text(502, str(unreachable))

    def _admit(self, request: HttpRequest, aws: bool) -> None:
        if aws and not self.closed:
            return
        name = self.tokens.holder(request.header("proxy-authorization")) if self.tokens is not None else None
        if name is None or not self.admits(name):
            raise _Refused(407, "This proxy wants the user and token of its URL (see `modelyard env --transparent`).")

    # --- an AWS host: here -----------------------------------------------------------------------------

    async def _land(self, connection: Connection) -> None:
        """Hands the client's socket to the inner server, which sees TLS or plain HTTP by the first byte."""
        self.inner.loop = asyncio.get_running_loop()
        connection.transport.write(ESTABLISHED)
        await connection.flushed()
        early = connection.take_rest()
        if not early and not connection.secure:
            sock = connection.transport.get_extra_info("socket").dup()
            connection.let_go()
            connection.transport.close()
            self.inner.adopt(sock)
            return
        # The client did not wait for our answer (or speaks TLS to the proxy): go on through a pair of sockets.
        ours, theirs = socket.socketpair()
        self.inner.adopt(theirs)
        ours.setblocking(False)
        _, far = await self.inner.loop.create_connection(Pipe, sock=ours)
        self._join(connection, far, early)

    # --- any other host: untouched -----------------------------------------------------------------------

    async def _pass_through(self, connection: Connection, host: str, port: int) -> None:
        if len(self._pipes) >= 2 * MOST_TUNNELS:
            raise _Refused(503, "Too many connections are passed through already.")
        upstream = self.upstreams.for_host(host, port, "https")
        if upstream is not None:
            far, said = await self._by_upstream(upstream, host, port)
        else:
            far, said = await self._direct(host, port), b""
        connection.transport.write(ESTABLISHED + said)
        self._join(connection, far, connection.take_rest())

    def _join(self, connection: Connection, far: Pipe, early: bytes) -> None:
        near = Pipe()
        near.connection_made(connection.transport)
        connection.let_go()
        connection.transport.set_protocol(near)
        for pipe in (near, far):
            self._pipes.add(pipe)
            pipe.ended.add_done_callback(lambda _, pipe=pipe: self._pipes.discard(pipe))
        join(near, far)
        if early:
            far.transport.write(early)
        if connection.lost:
            far.transport.close()
        else:
            connection.transport.resume_reading()

    async def _direct(self, host: str, port: int) -> Pipe:
        loop = asyncio.get_running_loop()
        for family, address, number in await self.rules.addresses(host, port):
            try:
                async with asyncio.timeout(CONNECT_S):
                    _, pipe = await loop.create_connection(Pipe, address, number, family=family)
                return pipe
            except (OSError, TimeoutError):
                continue
        raise Unreachable(f"{host}:{port} does not answer")

    async def _by_upstream(self, upstream: Upstream, host: str, port: int) -> tuple[Pipe, bytes]:
        """Asks the host's own proxy for the tunnel; answers it and what came after its head already."""
        await self._check_for_upstream(host, port)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_S * 2):
                _, pipe = await loop.create_connection(Pipe, upstream.host, upstream.port, ssl=True if upstream.secure else None)
                name = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
                login = f"Proxy-Authorization: {upstream.authorization}\r\n" if upstream.authorization else ""
                pipe.transport.write(f"CONNECT {name} HTTP/1.1\r\nHost: {name}\r\n{login}\r\n".encode("latin-1"))
                head, rest = await pipe.head()
        except (OSError, TimeoutError, ssl.SSLError):
            raise Unreachable("the upstream proxy does not answer") from None
        status = head.split(b" ", 2)[1:2]
        if status != [b"200"]:
            pipe.transport.close()
            raise Unreachable(f"the upstream proxy refused {host}: {head[:100].decode('latin-1')}")
        return pipe, rest

    async def _check_for_upstream(self, host: str, port: int) -> None:
        """A name that this machine can resolve must be allowed; one that only the upstream knows must look public."""
        try:
            await self.rules.addresses(host, port)
        except Unreachable:
            self.rules.check_name(host)

    async def _open_stream(self, host: str, port: int, upstream: Upstream | None) -> Any:
        if upstream is not None:
            await self._check_for_upstream(host, port)
            where = [(0, upstream.host, upstream.port)]
        else:
            where = await self.rules.addresses(host, port)
        for family, address, number in where:
            try:
                async with asyncio.timeout(CONNECT_S):
                    return await asyncio.open_connection(
                        address, number, family=family, ssl=True if upstream is not None and upstream.secure else None
                    )
            except (OSError, TimeoutError):
                continue
        raise Unreachable(f"{host}:{port} does not answer")


class _Refused(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text

    def response(self) -> HttpResponse:
        answer = _text(self.status, self.text)
        if self.status == 407:
            answer.headers.append(("proxy-authenticate", 'Basic realm="modelyard"'))
        return answer


def _text(status: int, text: str) -> HttpResponse:
    return HttpResponse(status, [("content-type", "text/plain; charset=utf-8")], text.encode() + b"\n")


def authority_of(text: str, default_port: int | None) -> tuple[str, int]:
    """`host:port`, `[v6]:port`. Raises a 400 for anything else."""
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port or default_port
    except ValueError:
        host = port = None
    if not host or not port or "@" in text or "/" in text or any(c.isspace() or c < " " for c in text):
        raise _Refused(400, "The host to connect to is not valid.")
    return host, port


# --- put together ----------------------------------------------------------------------------------


def transparent_proxy(
    handle: Callable[[HttpRequest], Awaitable[HttpResponse]],
    authority: Authority,
    tokens: Tokens,
    environment: Any,
    own_ports: set[int],
    *,
    limits: Limits | None = None,
    pool: Executor | None = None,
) -> Proxy:
    """The proxy on the gateway's own port. `own_ports` is a live set: add the port once it is known."""
    return Proxy(
        handle,
        tls=authority.server_context,
        rules=Rules(False, own_ports=own_ports),
        upstreams=Upstreams.of(environment, own_ports),
        tokens=tokens,
        admits=lambda name: name == USER,
        limits=limits,
        pool=pool,
    )


async def start_egress(
    handle: Callable[[HttpRequest], Awaitable[HttpResponse]],
    authority: Authority,
    tokens: Tokens,
    environment: Any,
    own_ports: set[int],
    *,
    port: int = 0,
    listener: socket.socket | None = None,
    allowed: frozenset[tuple[str, int]] = frozenset(),
    limits: Limits | None = None,
    pool: Executor | None = None,
) -> Server:
    """The way out for sandboxed jobs, on host loopback at `port` (0: a free one; read `.port`) or on a `listener`.

    Give a run `http://<run id>:<tokens.of(run id)>@127.0.0.1:<port>` as its proxy URL. It reaches AWS hosts (which land here) and
    the public internet; never this machine, private or link-local networks, but for `allowed` (host, port) pairs. `stop()` ends it.
    """

    async def not_a_server(request: HttpRequest) -> HttpResponse:
        return _text(400, "This is a proxy: send CONNECT or an absolute URL.")

    rules = Rules(True, allowed, own_ports)
    proxy = Proxy(
        handle,
        tls=authority.server_context,
        rules=rules,
        upstreams=Upstreams.of(environment, own_ports),
        tokens=tokens,
        admits=lambda name: name != USER,
        closed=True,
        limits=limits,
        pool=pool,
    )
    server = Server(not_a_server, limits, proxy=proxy, pool=pool)
    own_ports.add(await server.start("127.0.0.1", port, listener=listener))
    return server


def client_environment(proxy_url: str, bundle: str, no_proxy: str = "") -> dict[str, str]:
    """What a client's environment needs for transparent mode: boto3, requests, git, curl, pip, Node, in both spellings."""
    local = ["127.0.0.1", "localhost", "::1"]
    exempt = ",".join(dict.fromkeys([*local, *filter(None, (part.strip() for part in no_proxy.split(",")))]))
    names = {"HTTP_PROXY": proxy_url, "HTTPS_PROXY": proxy_url, "NO_PROXY": exempt}
    trusted = (
        "AWS_CA_BUNDLE",
        "REQUESTS_CA_BUNDLE",
        "CURL_CA_BUNDLE",
        "SSL_CERT_FILE",
        "GIT_SSL_CAINFO",
        "NODE_EXTRA_CA_CERTS",
        "PIP_CERT",
    )
    return names | {name.lower(): value for name, value in names.items()} | dict.fromkeys(trusted, bundle)
