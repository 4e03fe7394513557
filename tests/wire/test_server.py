"""The HTTP server on raw sockets."""

from __future__ import annotations

import asyncio
import hashlib
import http.client
import os
import time

import pytest

from modelyard.kernel.service import FileSlice
from modelyard.wire.http import HttpRequest, HttpResponse
from modelyard.wire.limits import Limits
from tests.support.doors import serving, talk
from tests.support.patience import SLOWNESS


async def echo(request: HttpRequest) -> HttpResponse:
    """The body back, hashed on a thread when it is large (`/hash`)."""
    if request.path == "/hash":

        def work() -> bytes:
            digest, size = hashlib.sha256(), 0
            for piece in request.body:
                digest.update(piece)
                size += len(piece)
            return f"{size} {digest.hexdigest()}".encode()

        return HttpResponse(200, [], await asyncio.to_thread(work))
    if request.path == "/refuse":
        return HttpResponse(403, [], b"no")
    if request.path == "/boom":
        raise RuntimeError("bug")
    if request.path == "/split":
        return HttpResponse(200, [("x-a", "b\r\nx-evil: 1")], b"")
    if request.path == "/pieces":
        return HttpResponse(200, [], iter([b"one", b"", b"two"]))
    return HttpResponse(200, [("x-path", request.path), ("x-query", request.query)], await request.body.gather(1 << 20))


async def run(work, *args, **kwargs):
    return await asyncio.to_thread(work, *args, **kwargs)


async def test_keep_alive_head_and_pipelining_keep_order():
    async with serving(echo) as server:
        one = b"POST /a?x=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
        two = b"HEAD /b HTTP/1.1\r\nHost: h\r\n\r\n"
        three = b"POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nde\r\n0\r\n\r\n"
        out = await run(talk, server.port, one + two + three)
    assert out.count(b"HTTP/1.1 200 OK") == 3
    assert out.index(b"x-path: /a") < out.index(b"abc") < out.index(b"x-path: /b") < out.index(b"x-path: /c")
    assert out.endswith(b"de")


async def test_many_pipelined_requests():
    async with serving(echo) as server:
        out = await run(talk, server.port, b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx" * 100, half_close=True)
    assert out.count(b"HTTP/1.1 200") == 100


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x00\x01\x02\x03\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 20000 + b" HTTP/1.1\r\nHost: h\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\nHost: h\r\nX: " + b"a" * 200000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nHost: h\r\n" + b"a: b\r\n" * 500 + b"\r\n", b"431"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", b"400"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na", b"400"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"GET /\r\n\r\n", b"400"),
        (b"GET / HTTP/2.0\r\nHost: h\r\n\r\n", b"400"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"400"),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", b"405"),
    ],
)
async def test_malformed_gets_a_clean_4xx_and_close(data, status):
    async with serving(echo) as server:
        out = await run(talk, server.port, data)
    assert out.startswith(b"HTTP/1.1 " + status), out
    assert b"Traceback" not in out and b"connection: close" in out


@pytest.mark.parametrize("expected", [b"", b"200", b"x"])
async def test_other_expectations_are_passed_over(expected):
    async with serving(echo) as server:
        out = await run(
            talk, server.port, b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nExpect: " + expected + b"\r\nContent-Length: 1\r\n\r\na"
        )
    assert out.startswith(b"HTTP/1.1 200") and out.endswith(b"a"), out


async def test_expect_continue_is_answered_before_the_body_and_not_when_refused():
    async with serving(echo) as server:

        def ask(path: bytes) -> bytes:
            import socket

            with socket.create_connection(("127.0.0.1", server.port), timeout=5) as sock:
                sock.sendall(b"POST " + path + b" HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
                first = sock.recv(1000)
                if b"100 Continue" in first:
                    sock.sendall(b"abc")
                    first += sock.recv(1000)
                return first

        out = await run(ask, b"/")
        assert out.startswith(b"HTTP/1.1 100 Continue\r\n\r\n") and out.endswith(b"abc")
        refused = await run(ask, b"/refuse")
        assert refused.startswith(b"HTTP/1.1 403") and b"connection: close" in refused


async def test_refused_upload_can_read_its_answer():
    async with serving(echo) as server:
        out = await run(talk, server.port, b"PUT /refuse HTTP/1.1\r\nHost: h\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3000000)
    assert out.startswith(b"HTTP/1.1 403") and out.endswith(b"no")


async def test_bug_and_header_splitting_are_a_bare_500():
    async with serving(echo) as server:
        assert (await run(talk, server.port, b"GET /boom HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")).startswith(b"HTTP/1.1 500")
        out = await run(talk, server.port, b"GET /split HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert out.startswith(b"HTTP/1.1 500") and b"x-evil" not in out


async def test_large_bodies_stream_with_bounded_memory():
    import psutil

    process, size = psutil.Process(), 96 << 20
    piece = os.urandom(1 << 20)
    async with serving(echo) as server:

        def put() -> bytes:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            connection.request("PUT", "/hash", (piece for _ in range(size >> 20)), {"Content-Length": str(size)})
            return connection.getresponse().read()

        await run(talk, server.port, b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        before = process.memory_info().rss
        task = asyncio.ensure_future(run(put))
        peak = before
        while not task.done():
            peak = max(peak, process.memory_info().rss)
            await asyncio.sleep(0.02)
    expected = hashlib.sha256(piece * (size >> 20)).hexdigest()
    assert task.result() == f"{size} {expected}".encode()
    assert peak - before < 16 << 20


@pytest.mark.parametrize("size", [0, 10, 65536, 65537, 30 << 20])
async def test_file_slices(tmp_path, size):
    path = tmp_path / "f"
    data = os.urandom(size + 20)
    path.write_bytes(data)

    async def handle(request: HttpRequest) -> HttpResponse:
        return HttpResponse(200, [], FileSlice(path.open("rb"), 10, size))

    async with serving(handle) as server:

        def get() -> tuple[bytes, bytes]:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
            connection.request("GET", "/")
            first = connection.getresponse().read()
            connection.request("GET", "/")
            return first, connection.getresponse().read()

        first, second = await run(get)
    assert first == second == data[10 : 10 + size]


async def test_iterators_are_sent_chunked():
    async with serving(echo) as server:
        out = await run(talk, server.port, b"GET /pieces HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert out.endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
        old = await run(talk, server.port, b"GET /pieces HTTP/1.0\r\nHost: h\r\n\r\n")
        assert old.endswith(b"\r\n\r\nonetwo") and b"chunked" not in old


async def test_slow_head_slow_body_and_idle_are_ended():
    limits = Limits(head_s=0.5, body_idle_s=0.5, idle_s=0.5)
    async with serving(echo, limits) as server:
        began = time.monotonic()
        head = await run(talk, server.port, b"GET / HTTP/1.1\r\nHost")
        body = await run(talk, server.port, b"POST /hash HTTP/1.1\r\nHost: h\r\nContent-Length: 9\r\n\r\nabc")
        idle = await run(talk, server.port, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
        silent = await run(talk, server.port, b"")
    assert (
        head.startswith(b"HTTP/1.1 408")
        and body.startswith(b"HTTP/1.1 400")
        and b"RequestTimeout" in body
        and idle.startswith(b"HTTP/1.1 200")
        and silent == b""
    )
    assert time.monotonic() - began < 12 * SLOWNESS


async def test_graceful_stop_finishes_what_runs():
    started = asyncio.Event()

    async def handle(request: HttpRequest) -> HttpResponse:
        started.set()
        await asyncio.sleep(0.3)
        return HttpResponse(200, [], b"done")

    async with serving(handle) as server:
        asked = asyncio.ensure_future(run(talk, server.port, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"))
        await started.wait()
        await server.stop(2.0)
        out = await asked
    assert out.endswith(b"done") and b"connection: close" in out


@pytest.mark.slow
async def test_a_gibibyte_up_and_down_costs_no_memory(tmp_path):
    import psutil

    size, process = 1 << 30, psutil.Process()
    sparse = tmp_path / "sparse"
    with sparse.open("wb") as file:
        file.truncate(size)

    async def handle(request: HttpRequest) -> HttpResponse:
        if request.method == "GET":
            return HttpResponse(200, [], FileSlice(sparse.open("rb"), 0, size))
        return HttpResponse(200, [], str(await asyncio.to_thread(lambda: sum(len(piece) for piece in request.body))).encode())

    async with serving(handle) as server:

        def both() -> tuple[bytes, int]:
            piece = bytes(1 << 20)
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
            connection.request("PUT", "/", (piece for _ in range(size >> 20)), {"Content-Length": str(size)})
            said = connection.getresponse().read()
            connection.request("GET", "/")
            response, got = connection.getresponse(), 0
            while data := response.read(1 << 20):
                got += len(data)
            return said, got

        await run(talk, server.port, b"GET /x HTTP/1.1\r\nHost: h\r\n\r\n"[:10])
        before = peak = process.memory_info().rss
        task = asyncio.ensure_future(run(both))
        while not task.done():
            peak = max(peak, process.memory_info().rss)
            await asyncio.sleep(0.02)
    assert task.result() == (str(size).encode(), size)
    assert peak - before < 16 << 20


async def test_a_sweep_between_the_head_and_its_task_does_not_end_the_request():
    """The marks of the body's deadline are set as the head arrives, not when its task first runs."""
    async with serving(echo) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET /first HTTP/1.1\r\nHost: h\r\n\r\n")
        assert b"200 OK" in await reader.readuntil(b"\r\n\r\n")
        (connection,) = server.connections
        connection._body_seen, connection._body_start = -1, 0.0  # as if long ago
        connection.data_received(b"POST /late HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n")
        connection.expire(time.monotonic())
        await asyncio.sleep(0)
        connection.data_received(b"body")
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        assert b"200 OK" in head and b"x-path: /late" in head and await reader.readexactly(4) == b"body"
        writer.close()
