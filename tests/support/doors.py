"""A platform with a few operations behind a real front door, for tests of the wire."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

from modelyard.config import Settings
from modelyard.kernel.clock import Clock, SystemClock
from modelyard.kernel.dispatch import Dispatch
from modelyard.kernel.identity import Credential, Decision, Principal
from modelyard.kernel.platform import Platform
from modelyard.kernel.service import Service
from modelyard.wire.gateway import Gateway
from modelyard.wire.limits import Limits
from modelyard.wire.server import Server
from tests.support import fakewire

ACCOUNT = "123456789012"
KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
ROOT = Principal("root", ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root", ACCOUNT, KEY)


class FakeIdentity:
    """Knows the credentials it was given and allows everything."""

    def __init__(self, *more: Credential) -> None:
        self.known = {c.access_key: c for c in (Credential(KEY, SECRET, ROOT), *more)}

    def credential(self, access_key: str) -> Credential | None:
        return self.known.get(access_key)

    def authorize(self, call: Any, request: Any) -> None:
        """Everything is allowed."""

    def decide(self, *_: Any, **__: Any) -> Decision:
        return Decision(True)

    def steady(self, call: Any, request: Any) -> Any:
        return None


def make_platform(*services: Service, clock: Clock | None = None, identity: Any = None, **settings: Any) -> Platform:
    platform = Platform(Settings(**settings), clock or SystemClock(), None, {s.name: s for s in services}, identity or FakeIdentity())
    platform.dispatch = Dispatch(platform)
    return platform


@contextlib.asynccontextmanager
async def serving(handle: Any, limits: Limits | None = None, **options: Any) -> AsyncIterator[Server]:
    server = Server(handle, limits, **options)
    await server.start("127.0.0.1", 0)
    try:
        yield server
    finally:
        await server.stop(1.0)


def fake_gateway(platform: Platform, **options: Any) -> Gateway:
    return Gateway(platform, router=fakewire.ROUTER, codecs=fakewire.codec, **options)


def talk(port: int, data: bytes, *, half_close: bool = False, timeout_s: float = 5.0) -> bytes:
    """Sends raw bytes and answers everything that comes until the server closes (or the time is up)."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as sock:
        out = b""
        with contextlib.suppress(OSError):
            sock.sendall(data)
            if half_close:
                sock.shutdown(socket.SHUT_WR)
            while piece := sock.recv(65536):
                out += piece
        return out
