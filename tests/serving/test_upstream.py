"""The HTTP client of the splitter, against servers that do what they should not."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from modelyard.serving.upstream import TimedOut, Upstream, UpstreamError

HEAD = b"POST /invocations HTTP/1.1\r\nContent-Length: 1\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@contextlib.asynccontextmanager
async def server(tmp_path, talk):
    """`talk(n, reader, writer)` is the n-th connection."""
    path, count = str(tmp_path / "s.sock"), iter(range(1_000_000))

    async def accept(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await talk(next(count), reader, writer)
        writer.close()

    running = await asyncio.start_unix_server(accept, path)
    pool = Upstream(path, asyncio.get_running_loop())
    yield pool
    pool.close()
    running.close()


async def read(reader):
    return await reader.readexactly(len(HEAD) + 1)


async def test_keep_alive_uses_one_connection(tmp_path):
    connections = []

    async def talk(n, reader, writer):
        connections.append(n)
        while True:
            await read(reader)
            writer.write(OK)

    async with server(tmp_path, talk) as pool:
        for _ in range(5):
            reply = await pool.request(HEAD, b"x", 5)
            assert (reply.status, reply.body) == (200, b"ok")
        assert connections == [0] and not pool.in_use


async def test_connection_close_is_honoured(tmp_path):
    async def talk(n, reader, writer):
        await read(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n%d" % n)

    async with server(tmp_path, talk) as pool:
        assert [(await pool.request(HEAD, b"x", 5)).body for _ in range(3)] == [b"0", b"1", b"2"]


async def test_stale_connection_is_tried_once_more(tmp_path):
    """The server closes a kept connection just when it is used again."""

    async def talk(n, reader, writer):
        await read(reader)
        writer.write(OK)
        if n == 0:
            await read(reader)
            return
        await read(reader)

    async with server(tmp_path, talk) as pool:
        await pool.request(HEAD, b"x", 5)
        assert (await pool.request(HEAD, b"x", 5)).status == 200


async def test_half_an_answer_is_never_sent_again(tmp_path):
    requests = []

    async def talk(n, reader, writer):
        while True:
            await read(reader)
            requests.append(n)
            if len(requests) == 2:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
                return
            writer.write(OK)

    async with server(tmp_path, talk) as pool:
        await pool.request(HEAD, b"x", 5)
        with pytest.raises(UpstreamError) as caught:
            await pool.request(HEAD, b"x", 5)
        assert caught.value.sent and requests == [0, 0]


async def test_new_connection_that_breaks_is_not_tried_again(tmp_path):
    requests = []

    async def talk(n, reader, writer):
        await read(reader)
        requests.append(n)

    async with server(tmp_path, talk) as pool:
        with pytest.raises(UpstreamError) as caught:
            await pool.request(HEAD, b"x", 5)
        assert caught.value.sent and requests == [0]


async def test_nobody_there(tmp_path):
    pool = Upstream(str(tmp_path / "none.sock"), asyncio.get_running_loop())
    with pytest.raises(UpstreamError) as caught:
        await pool.request(HEAD, b"x", 5)
    assert not caught.value.sent


async def test_time_out(tmp_path):
    async def talk(n, reader, writer):
        await reader.read()

    async with server(tmp_path, talk) as pool:
        with pytest.raises(TimedOut):
            await pool.request(HEAD, b"x", 0.2)
        assert not pool.in_use


@pytest.mark.parametrize("answer", [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 banana\r\n\r\n", b"\x00" * 100])
async def test_no_http(tmp_path, answer):
    async def talk(n, reader, writer):
        await read(reader)
        writer.write(answer)
        await reader.read()

    async with server(tmp_path, talk) as pool:
        with pytest.raises(UpstreamError):
            await pool.request(HEAD, b"x", 5)


@pytest.mark.parametrize(
    "answer, body",
    [
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n", b"abc"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    ],
)
async def test_ways_to_answer(tmp_path, answer, body):
    async def talk(n, reader, writer):
        await read(reader)
        for at in range(0, len(answer), 7):
            writer.write(answer[at : at + 7])
            await writer.drain()
            await asyncio.sleep(0)

    async with server(tmp_path, talk) as pool:
        assert (await pool.request(HEAD, b"x", 5)).body == body


async def test_concurrent_answers_are_not_mixed_up(tmp_path):
    async def talk(n, reader, writer):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            body = await reader.readexactly(size)
            await asyncio.sleep(size % 3 / 100)
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (size, body))

    async with server(tmp_path, talk) as pool:

        async def one(n):
            body = b"%d" % n * (n % 40 + 1)
            reply = await pool.request(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(body), body, 5)
            assert reply.body == body

        await asyncio.gather(*(one(n) for n in range(400)))


async def test_stream_is_passed_on_part_by_part_and_held_back(tmp_path):
    sent = []

    async def talk(n, reader, writer):
        await read(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(200):
            writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            await writer.drain()
            sent.append(1)
        writer.write(b"0\r\n\r\n")

    async with server(tmp_path, talk) as pool:
        reply = await pool.request(HEAD, b"x", 5, streaming=True)
        first = await anext(reply.stream)
        assert first.startswith(b"x")
        await asyncio.sleep(0.1)
        assert len(sent) < 50, "a slow reader holds the model server back"
        size = len(first) + sum([len(part) async for part in reply.stream])
        assert size == 200 * 0x10000 and not pool.in_use


async def test_reader_of_a_stream_goes_away(tmp_path):
    async def talk(n, reader, writer):
        await read(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        await reader.read()

    async with server(tmp_path, talk) as pool:
        reply = await pool.request(HEAD, b"x", 5, streaming=True)
        assert await anext(reply.stream) == b"a"
        reply.stream.close()
        await asyncio.sleep(0.05)
        assert not pool.in_use
