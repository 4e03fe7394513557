"""What the model server says of each request where it is one of several containers."""

from __future__ import annotations

import asyncio
import logging

import pytest

from modelyard.algorithms.serving import protocol
from modelyard.algorithms.serving.messages import Request, Response


class Queue:
    def __init__(self, *_):
        self.put = lambda request, answer: answer(Response(200, b"1,2", "text/csv"))


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setattr(protocol, "Queue", Queue)

    def made(asked: str) -> protocol.Server:
        monkeypatch.setenv(protocol.EACH_REQUEST, asked)
        return protocol.Server(None, None, asyncio.AbstractEventLoop())

    return made


def test_a_line_for_each_request_and_none_for_pings(server, caplog):
    caplog.set_level(logging.INFO)
    said = []
    for path, method in (("/ping", "GET"), ("/invocations", "POST")):
        server("1").dispatch(Request(method, path, {"content-type": "application/json"}, b"[1]"), said.append)
    assert [response.body for response in said] == [b"\n", b"1,2"]
    (line,) = caplog.messages
    assert line.startswith("POST /invocations (3 bytes, application/json): 200 (3 bytes, text/csv) after ")


def test_nothing_where_nobody_asked(server, caplog):
    caplog.set_level(logging.INFO)
    server("").dispatch(Request("POST", "/invocations", {}, b""), lambda response: None)
    assert not caplog.messages
