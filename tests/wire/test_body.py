"""The body between loop and reader: a storm of small pieces loses nothing and never stops."""

from __future__ import annotations

import asyncio
import threading

import pytest

from modelyard.kernel.errors import ApiError
from modelyard.wire.body import InflowBody, incomplete


async def test_a_storm_of_pieces_between_two_threads():
    loop, pauses = asyncio.get_running_loop(), []
    for high in (1, 64, 4096):
        held = asyncio.Event()
        held.set()

        def flow(stop: bool, held=held) -> None:
            pauses.append(stop)
            held.clear() if stop else held.set()

        body = InflowBody(loop, None, high, flow)
        got: list[bytes] = []
        reader = threading.Thread(target=lambda body=body, got=got: got.extend(body))
        reader.start()
        for number in range(8000):
            if not held.is_set():
                await held.wait()
            body.feed(b"%04d" % number)
            if number % 50 == 0:
                await asyncio.sleep(0)
        body.finish()
        await asyncio.to_thread(reader.join, 20)
        assert not reader.is_alive()
        assert b"".join(got) == b"".join(b"%04d" % number for number in range(8000))
    assert True in pauses and False in pauses


async def test_an_abort_reaches_a_reader_that_waits():
    body = InflowBody(asyncio.get_running_loop(), 5, 100, lambda stop: None)
    waiting = asyncio.ensure_future(asyncio.to_thread(lambda: list(body)))
    await asyncio.sleep(0.1)
    body.abort(incomplete())
    with pytest.raises(ApiError, match="IncompleteBody"):
        await waiting


async def test_gathering_has_a_limit():
    body = InflowBody(asyncio.get_running_loop(), None, 100, lambda stop: None)
    waiting = asyncio.ensure_future(body.gather(10))
    await asyncio.sleep(0)
    body.feed(b"x" * 11)
    with pytest.raises(ApiError, match="RequestEntityTooLarge"):
        await waiting
    said = InflowBody(asyncio.get_running_loop(), 11, 100, lambda stop: None)
    with pytest.raises(ApiError, match="RequestEntityTooLarge"):
        await said.gather(10)
