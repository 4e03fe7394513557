"""Open-loop load on an endpoint: calls begin when the plan says so, however slow the answers are.

A closed loop waits for an answer before it asks again, so a server that stalls is asked less and looks better than it is
("coordinated omission"). Here the latency of a call counts from the moment it was due, also when it had to wait for a connection.
Own protocol code, because a client that costs more than the server measures itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import random
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter
from typing import Any
from urllib.parse import quote, urlsplit

import httptools

from modelyard.cli.histogram import Histogram
from modelyard.kernel.clock import real_now

TIMEOUT_S = 70.0
VARIANT = b"x-amzn-invoked-production-variant"


@dataclass
class Plan:
    """`rate` calls a second for `seconds`; `bodies` in turn. `arrivals` is even or poisson. `seed` makes poisson repeatable."""

    endpoint: str
    rate: float
    seconds: float
    bodies: Sequence[bytes]
    content_type: str = "text/csv"
    accept: str = ""
    variant: str = ""
    arrivals: str = "even"
    connections: int = 128
    seed: int | None = None

    def times(self) -> Iterator[float]:
        """Seconds from the start at which calls are due."""
        chance, at = random.Random(self.seed), 0.0
        while at < self.seconds:
            yield at
            at += 1 / self.rate if self.arrivals == "even" else chance.expovariate(self.rate)


@dataclass
class Result:
    """`latency` is of all answered calls, from when they were due; `statuses` has 0 for calls without an answer."""

    latency: Histogram = field(default_factory=Histogram)
    statuses: Counter[int] = field(default_factory=Counter)
    variants: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    planned: int = 0
    seconds: float = 0.0

    @property
    def failed(self) -> int:
        return sum(count for status, count in self.statuses.items() if not 200 <= status < 300)

    def as_dict(self) -> dict[str, Any]:
        done = sum(self.statuses.values())
        return {
            "calls": done,
            "failed": self.failed,
            "seconds": round(self.seconds, 3),
            "rate": round(done / self.seconds, 2) if self.seconds else 0.0,
            "latency_ms": self.latency.summary(),
            "statuses": {str(k): v for k, v in sorted(self.statuses.items())},
            "variants": dict(sorted(self.variants.items())),
            "problems": dict(self.problems.most_common(5)),
        }


async def run(plan: Plan, aws: dict[str, str], tell: Callable[[Result, float], None] = lambda *_: None) -> Result:
    """`aws` has AWS_ENDPOINT_URL, AWS_REGION, keys. `tell(result so far, seconds since the start)` comes about once a second."""
    result, signer = Result(), Signer(plan, aws)
    pool = _Pool(signer.host, signer.port, plan.connections)
    calls: set[asyncio.Task[None]] = set()
    began = told = perf_counter()
    for number, at in enumerate(plan.times()):
        while (wait := began + at - perf_counter()) > 0:
            await asyncio.sleep(wait)
            if perf_counter() - told > 1:
                told = perf_counter()
                tell(result, told - began)
        result.planned += 1
        task = asyncio.ensure_future(_call(pool, signer, plan.bodies[number % len(plan.bodies)], began + at, result))
        calls.add(task)
        task.add_done_callback(calls.discard)
        if number % 64 == 63:
            await asyncio.sleep(0)  # behind the plan: answers are still taken
    while calls:
        await asyncio.wait(calls, timeout=1.0)
        tell(result, perf_counter() - began)
    result.seconds = perf_counter() - began
    pool.close()
    return result


async def _call(pool: _Pool, signer: Signer, body: bytes, due: float, result: Result) -> None:
    try:
        status, headers, text = await asyncio.wait_for(pool.ask(signer.request(body)), TIMEOUT_S)
    except (OSError, TimeoutError) as problem:
        result.statuses[0] += 1
        result.problems[str(problem) or type(problem).__name__] += 1
        return
    result.latency.add(perf_counter() - due)
    result.statuses[status] += 1
    if variant := headers.get(VARIANT):
        result.variants[variant.decode()] += 1
    if status >= 300:
        result.problems[text[:160].decode("utf-8", "replace")] += 1


class Signer:
    """Signed InvokeEndpoint requests as bytes."""

    def __init__(self, plan: Plan, aws: dict[str, str]) -> None:
        url = urlsplit(aws["AWS_ENDPOINT_URL"])
        self.host, self.port = url.hostname or "127.0.0.1", url.port or 80
        self._path = f"/endpoints/{quote(plan.endpoint, safe='')}/invocations"
        self._region, self._key, self._secret = aws["AWS_REGION"], aws["AWS_ACCESS_KEY_ID"], aws["AWS_SECRET_ACCESS_KEY"]
        self._headers = {
            "content-type": plan.content_type,
            "host": url.netloc,
            **({"accept": plan.accept} if plan.accept else {}),
            **({"x-amz-security-token": aws["AWS_SESSION_TOKEN"]} if aws.get("AWS_SESSION_TOKEN") else {}),
            **({"x-amzn-sagemaker-target-variant": plan.variant} if plan.variant else {}),
        }
        self._day, self._day_key = "", b""

    def request(self, body: bytes) -> bytes:
        stamp = datetime.fromtimestamp(real_now(), UTC).strftime("%Y%m%dT%H%M%SZ")
        headers = {**self._headers, "x-amz-date": stamp}
        names = sorted(headers)
        signed = ";".join(names)
        lines = "".join(f"{name}:{headers[name]}\n" for name in names)
        canonical = f"POST\n{self._path}\n\n{lines}\n{signed}\n{hashlib.sha256(body).hexdigest()}"
        scope = f"{stamp[:8]}/{self._region}/sagemaker/aws4_request"
        text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = hmac.new(self._signing_key(stamp[:8]), text.encode(), "sha256").hexdigest()
        head = "".join(f"{name}: {headers[name]}\r\n" for name in names)
        authorization = f"AWS4-HMAC-SHA256 Credential={self._key}/{scope}, SignedHeaders={signed}, Signature={signature}"
        return f"POST {self._path} HTTP/1.1\r\n{head}authorization: {authorization}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body

    def _signing_key(self, day: str) -> bytes:
        if day != self._day:
            key = f"AWS4{self._secret}".encode()
            for part in (day, self._region, "sagemaker", "aws4_request"):
                key = hmac.new(key, part.encode(), "sha256").digest()
            self._day, self._day_key = day, key
        return self._day_key


class _Pool:
    """Keep-alive connections; a call that finds all of them busy waits in line."""

    def __init__(self, host: str, port: int, most: int) -> None:
        self._host, self._port, self._most, self._open = host, port, most, 0
        self._idle: list[_Connection] = []
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def ask(self, request: bytes) -> tuple[int, dict[bytes, bytes], bytes]:
        connection = await self._take()
        try:
            return await connection.ask(request)
        except BaseException:
            connection.close()
            raise
        finally:
            if connection.alive:
                self._idle.append(connection)
            else:
                self._open -= 1
            if self._waiting:
                waiter = self._waiting.popleft()
                if not waiter.done():
                    waiter.set_result(None)

    async def _take(self) -> _Connection:
        loop = asyncio.get_running_loop()
        while True:
            while self._idle:
                connection = self._idle.pop()
                if connection.alive:
                    return connection
                self._open -= 1
            if self._open < self._most:
                self._open += 1
                try:
                    _, made = await loop.create_connection(_Connection, self._host, self._port)
                except BaseException:
                    self._open -= 1
                    raise
                return made
            waiter = loop.create_future()
            self._waiting.append(waiter)
            await waiter

    def close(self) -> None:
        for connection in self._idle:
            connection.close()


class _Connection(asyncio.Protocol):
    alive = True

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._waiter: asyncio.Future[Any] | None = None

    def ask(self, request: bytes) -> asyncio.Future[tuple[int, dict[bytes, bytes], bytes]]:
        self._waiter = asyncio.get_running_loop().create_future()
        self._parser, self._headers, self._body = httptools.HttpResponseParser(self), {}, []
        self._transport.write(request)
        return self._waiter

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.lower()] = value

    def on_body(self, part: bytes) -> None:
        self._body.append(part)

    def on_message_complete(self) -> None:
        if not self._parser.should_keep_alive():
            self.close()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result((self._parser.get_status_code(), self._headers, b"".join(self._body)))

    def connection_lost(self, problem: Exception | None) -> None:
        self.alive = False
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(ConnectionResetError("the platform closed the connection without an answer"))

    def close(self) -> None:
        self.alive = False
        self._transport.close()
