"""Waiting awake: it ends at whatever comes, reads nothing itself, and rests where it does not help."""

from __future__ import annotations

import asyncio
import os
import socket
from time import monotonic, perf_counter

import pytest
import uvloop

from modelyard.serving import awake
from modelyard.serving.awake import Awake
from modelyard.serving.upstream import Upstream, UpstreamError

HEAD = b"POST /invocations HTTP/1.1\r\nHost: m\r\nContent-Length: 2\r\n\r\n"


@pytest.fixture
def loop():
    made = uvloop.new_event_loop()
    yield made
    made.close()


class Model:
    """A model server whose answer is written by hand."""

    def __init__(self, path: str) -> None:
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        self.listener.listen(4)
        self.listener.settimeout(10)

    def close(self) -> None:
        self.listener.close()


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = Model("m")
    yield made
    made.close()


def ask(loop, model, answer):
    """One request over a connection that is there; `answer(connection)` runs inside of the wait, where the loop cannot."""

    async def run():
        pool, waits = Upstream("m", loop), Awake(loop)
        connection = await pool._dial()
        taken, _ = model.listener.accept()
        looks = []

        class Poll:
            def poll(self, *_):
                looks.append(1)
                if len(looks) == 2:
                    answer(taken)
                return real.poll(0, 1)

            def close(self):
                real.close()

        real, waits._epoll = waits._epoll, Poll()
        waiter = loop.create_future()
        pool.send(connection, HEAD, b"1\n", monotonic() + 5, False, waiter)
        waits.watch()
        try:
            return await asyncio.wait_for(waiter, 5), waits, len(looks)
        finally:
            taken.close()
            pool.close()
            waits.close()

    return loop.run_until_complete(run())


def test_an_answer_that_comes_meanwhile(loop, model, monkeypatch):
    monkeypatch.setattr(awake, "MOST_S", 5.0)
    monkeypatch.setattr(awake, "TAKEN_AWAY_S", 5.0)
    began = perf_counter()
    reply, waits, looks = ask(loop, model, lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n0\n"))
    assert (reply.status, reply.body) == (200, b"0\n") and looks >= 2 and perf_counter() - began < 4
    assert waits._rests_until == 0.0  # it helped


def test_an_answer_in_pieces(loop, model, monkeypatch):
    """The wait ends at the first piece; the rest comes the ordinary way."""
    monkeypatch.setattr(awake, "MOST_S", 5.0)
    monkeypatch.setattr(awake, "TAKEN_AWAY_S", 5.0)

    def pieces(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")
        loop.call_later(0.02, connection.sendall, b"ngth: 2\r\n\r\n0")
        loop.call_later(0.04, connection.sendall, b"\n")

    reply, _, _ = ask(loop, model, pieces)
    assert (reply.status, reply.body) == (200, b"0\n")


def test_an_end_instead_of_an_answer(loop, model, monkeypatch):
    monkeypatch.setattr(awake, "MOST_S", 5.0)
    monkeypatch.setattr(awake, "TAKEN_AWAY_S", 5.0)
    with pytest.raises(UpstreamError, match="closed the connection"):
        ask(loop, model, lambda c: c.shutdown(socket.SHUT_RDWR))


def test_nothing_comes_in_time_and_it_rests_longer_each_time(loop, model):
    """A slow model: bounded, and soon it is hardly tried."""
    reply, waits, _ = ask(loop, model, lambda c: loop.call_later(0.05, c.sendall, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n0\n"))
    assert reply.body == b"0\n"
    assert waits._rests_until > 0 and waits._rest_s == 2 * awake.REST_S

    async def again():
        quiet = Awake(loop)
        for _ in range(12):
            quiet._look()
        rest, until = quiet._rest_s, quiet._rests_until
        quiet.watch()  # rests: nothing is even put on the loop
        quiet.close()
        return rest, until

    rest, until = loop.run_until_complete(again())
    assert rest == awake.LONGEST_REST_S and until > perf_counter()


def test_another_event_ends_it_too(loop):
    """A call from a thread, say, must not wait for a model."""

    async def run():
        waits = Awake(loop)
        ours, theirs = socket.socketpair()
        loop.add_reader(ours, lambda: None)
        await asyncio.sleep(0.01)
        theirs.send(b"x")
        before = perf_counter()
        waits._look()
        took, rested = perf_counter() - before, waits._rests_until
        loop.remove_reader(ours)
        ours.close(), theirs.close()
        waits.close()
        waits.watch()
        waits._look()  # closed: nothing
        await asyncio.sleep(0.01)  # and the loop's own epoll still works
        return took, rested

    took, rested = loop.run_until_complete(run())
    assert rested == 0.0 and took < 5


def test_off_where_it_cannot_help(monkeypatch):
    plain = asyncio.new_event_loop()
    try:
        waits = Awake(plain)
        waits.watch()
        assert waits._epoll is None
    finally:
        plain.close()
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    lone = uvloop.new_event_loop()
    try:
        assert Awake(lone)._epoll is None
    finally:
        lone.close()
