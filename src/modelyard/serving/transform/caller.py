"""One payload through an instance: through all containers of a pipeline, within its time, tried again where that may help.

InvocationsTimeoutInSeconds (600 by default) is for one try through all containers, with the wait for a container that starts again;
InvocationsMaxRetries (3) more tries follow one that was not answered, or with 5xx or 429. An answer of 4xx will not get better.
"""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Protocol

import orjson

from modelyard.serving.pipeline import with_content_type, without
from modelyard.serving.transform.errors import ALGORITHM, CLIENT, Refused
from modelyard.serving.upstream import Reply, Upstream, UpstreamError

FIRST_PAUSE_S = 0.1
LOOK_S = 0.02
PARAMETERS_S = 60.0
MOST_REPLY_BYTES = 256 << 20
NO_ANSWER = "Unable to get response from algorithm"


class Instance(Protocol):
    """Where the containers of an instance answer."""

    def sockets(self) -> list[str] | None:
        """The unix socket of each container in order; None while the instance starts (again). Raises Refused where it never will."""


class Caller:
    """On one loop. `close()` it."""

    def __init__(
        self, instance: Instance, content_type: str | None, accept: str | None, timeout_s: float = 600.0, retries: int = 3
    ) -> None:
        self._instance, self._timeout_s, self._retries = instance, timeout_s, retries
        self.head = b"".join(
            f"{name}: {value}\r\n".encode() for name, value in (("Content-Type", content_type), ("Accept", accept)) if value is not None
        )
        self._pools: dict[str, Upstream] = {}
        self._known: list[str] | None = None

    async def ask(self, body: bytes, once: bool = False) -> Reply:
        """The answer (2xx) of the last container. Raises Refused. `once`: whatever it is, it is not tried again."""
        pause = FIRST_PAUSE_S
        for tries_left in range(0 if once else self._retries, -1, -1):
            try:
                reply = await asyncio.wait_for(self._reach(body), self._timeout_s)
            except (UpstreamError, TimeoutError) as why:
                said = str(why) or f"there was no answer within {self._timeout_s:.0f} s"
                problem = Refused(ALGORITHM, NO_ANSWER, said.encode())
            else:
                if 200 <= reply.status < 300:
                    return reply
                problem = refusal(reply)
                if reply.status < 500 and reply.status != 429:
                    raise problem
            if tries_left:
                await asyncio.sleep(pause)
                pause *= 2
        raise problem

    async def parameters(self) -> list[dict[str, object]]:
        """What each container answers to GET /execution-parameters; those without it are left out."""
        found = []
        for socket in await self.sockets():
            try:
                request = b"GET /execution-parameters HTTP/1.1\r\nHost: localhost:8080\r\n\r\n"
                reply = await self._pool(socket).request(request, b"", min(self._timeout_s, PARAMETERS_S))
                told = orjson.loads(reply.body) if reply.status == 200 else None
            except (UpstreamError, ValueError):
                continue
            if isinstance(told, dict):
                found.append(told)
        return found

    async def sockets(self) -> list[str]:
        while self._known is None:
            self._known = self._instance.sockets()
            if self._known is None:
                await asyncio.sleep(LOOK_S)
        return self._known

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()

    async def _reach(self, body: bytes) -> Reply:
        """An instance whose container has died comes back: until then nothing was asked, and no try is lost."""
        while True:
            try:
                return await self._through(body)
            except UpstreamError as problem:
                self._known = None
                if problem.sent:
                    raise
                await asyncio.sleep(LOOK_S)

    async def _through(self, body: bytes) -> Reply:
        sockets, head, deadline = await self.sockets(), self.head, monotonic() + self._timeout_s
        for place, socket in enumerate(sockets, 1):
            lines = head if place == len(sockets) else without(head, b"accept")
            request = b"POST /invocations HTTP/1.1\r\nHost: localhost:8080\r\n%bContent-Length: %d\r\n\r\n" % (lines, len(body))
            reply = await self._pool(socket).request(request, body, max(deadline - monotonic(), 0.001))
            if place == len(sockets) or not 200 <= reply.status < 300:
                break
            body, head = reply.body, with_content_type(self.head, reply.headers.get(b"content-type"))
        return reply

    def _pool(self, socket: str) -> Upstream:
        if socket not in self._pools:
            self._pools[socket] = Upstream(socket, asyncio.get_running_loop(), most_reply_bytes=MOST_REPLY_BYTES)
        return self._pools[socket]


def refusal(reply: Reply) -> Refused:
    """An answer that is none, in the words of AWS's data log."""
    if reply.status < 500:
        return Refused(CLIENT, f"ClientError: {reply.status}", reply.body)
    return Refused(ALGORITHM, f"Bad HTTP status received from algorithm: {reply.status}", reply.body)
