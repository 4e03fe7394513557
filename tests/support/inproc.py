"""A real boto3 client on a `Gateway` in this process: no socket, everything else as by wire.

    client = inproc.client(gateway, "sagemaker")            # signed with tests.support.doors' key unless you say otherwise

botocore signs and serialises as always; its HTTP session is replaced by one that calls `gateway.handle` on a loop of its own.
"""

from __future__ import annotations

import asyncio
import functools
import io
import threading
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.awsrequest import AWSResponse
from botocore.config import Config

from modelyard.kernel.models import OWN
from modelyard.kernel.service import BytesBody, FileSlice
from modelyard.wire.gateway import Gateway
from modelyard.wire.http import HttpRequest, HttpResponse

ENDPOINT = "http://127.0.0.1:4566"
KEY, SECRET = "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"


class Loop:
    """An event loop on a thread of its own."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, name="in-process gateway", daemon=True).start()

    def run(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(240)


_loop: Loop | None = None


def loop() -> Loop:
    global _loop
    if _loop is None:
        _loop = Loop()
    return _loop


class Session:
    """Stands in for botocore's URLLib3Session."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    def send(self, request: Any) -> AWSResponse:
        url = urlsplit(request.url)
        headers = [(k.lower(), v.decode() if isinstance(v, bytes) else str(v)) for k, v in request.headers.items()]
        if not any(name == "host" for name, _ in headers):
            headers.append(("host", url.netloc))
        asked = HttpRequest(
            request.method, url.path or "/", url.query, headers, BytesBody(_bytes(request.body)), url.scheme == "https", "127.0.0.1"
        )
        response, body = loop().run(self._ask(asked))
        raw = _Raw(body)
        return AWSResponse(request.url, response.status, _headers(response), raw)

    async def _ask(self, request: HttpRequest) -> tuple[HttpResponse, bytes]:
        response = await self._gateway.handle(request)
        return response, b"" if request.method == "HEAD" else await _whole(response.body)

    def close(self) -> None:
        """Nothing is open."""


class _Raw(io.BytesIO):
    def stream(self, amount: int = 65536, decode_content: bool = True) -> Any:
        while piece := self.read(amount):
            yield piece

    def release_conn(self) -> None:
        """There is no connection."""


def _headers(response: HttpResponse) -> Any:
    from botocore.compat import HTTPHeaders

    headers = HTTPHeaders()
    for name, value in response.headers:
        headers[name] = value
    return headers


def _bytes(body: Any) -> bytes:
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, (bytes, bytearray)):
        return bytes(body)
    if hasattr(body, "read"):
        return body.read()
    return b"".join(body)


async def _whole(body: Any) -> bytes:
    if isinstance(body, (bytes, bytearray, memoryview)):
        return bytes(body)
    if isinstance(body, FileSlice):
        with body.file as file:
            file.seek(body.offset)
            return file.read(body.length)
    if hasattr(body, "__aiter__"):
        return b"".join([piece async for piece in body])
    return b"".join(await asyncio.to_thread(list, body))


def client(
    gateway: Gateway,
    service: str,
    *,
    key: str = KEY,
    secret: str = SECRET,
    token: str | None = None,
    region: str = "us-east-1",
    endpoint: str = ENDPOINT,
    config: Config | None = None,
) -> Any:
    """A boto3 client (no retries) whose every request goes to `gateway`."""
    options = Config(retries={"max_attempts": 0, "mode": "standard"}).merge(config) if config else Config(retries={"max_attempts": 0})
    keys = {"aws_access_key_id": key, "aws_secret_access_key": secret, "aws_session_token": token}
    made = _session().client(service, region_name=region, endpoint_url=endpoint, config=options, **keys)
    made._endpoint.http_session = Session(gateway)
    return made


@functools.cache
def _session() -> boto3.Session:
    """One for all clients of this process: a session of its own for each would read botocore's service models each time (0.3 s of CPU
    for SageMaker). What a client registers stays its own: each gets a copy of the session's handlers."""
    session = boto3.Session(region_name="us-east-1")
    session._loader.search_paths.append(str(OWN))  # a client of our own API too
    return session
