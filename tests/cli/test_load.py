"""The open loop: calls begin when they are due, and latency counts from then."""

from __future__ import annotations

import asyncio

import pytest

from modelyard.cli import openloop, own
from modelyard.cli.histogram import Histogram
from modelyard.kernel.clock import SystemClock
from modelyard.wire import sigv4
from modelyard.wire.http import HttpRequest

AWS = {
    "AWS_ENDPOINT_URL": "http://127.0.0.1:4566",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "token",
}


class StallingServer:
    """Answers at once, but for one pause in which it answers nobody."""

    def __init__(self, stall_after: int, stall_s: float) -> None:
        self.seen, self._after, self._stall_s = 0, stall_after, stall_s
        self._free = asyncio.Event()
        self._free.set()

    async def start(self) -> str:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
                await reader.readexactly(length)
                self.seen += 1
                if self.seen == self._after:
                    self._free.clear()
                    asyncio.get_running_loop().call_later(self._stall_s, self._free.set)
                await self._free.wait()
                status = b"500 Oops" if head.count(b"fail") else b"200 OK"
                writer.write(b"HTTP/1.1 %b\r\nx-amzn-invoked-production-variant: v\r\ncontent-length: 2\r\n\r\nok" % status)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def close(self) -> None:
        self._server.close()


async def test_a_stall_is_felt_by_every_call_that_was_due_in_it():
    server = StallingServer(stall_after=20, stall_s=0.5)
    address = await server.start()
    plan = openloop.Plan("e", rate=100, seconds=1.0, bodies=[b"1", b"2"], connections=4)
    result = await openloop.run(plan, AWS | {"AWS_ENDPOINT_URL": address})
    server.close()
    assert result.statuses == {200: 100} and result.variants == {"v": 100} and result.planned == server.seen == 100
    late = sum(count for us, count in result.latency.counts.items() if us > 100_000)
    assert late >= 35, "a closed loop of 4 connections would have seen 4 late calls"
    assert result.latency.percentile(99) > 0.4


async def test_calls_without_an_answer_are_told():
    server = StallingServer(0, 0)
    address = await server.start()
    server.close()
    result = await openloop.run(openloop.Plan("e", 20, 0.2, [b""]), AWS | {"AWS_ENDPOINT_URL": address})
    assert result.statuses == {0: 4} and result.failed == 4 and result.problems


def test_the_plan():
    even = list(openloop.Plan("e", 50, 2.0, [b""]).times())
    assert len(even) == 100 and even[1] == pytest.approx(0.02)
    poisson = list(openloop.Plan("e", 500, 4.0, [b""], arrivals="poisson", seed=1).times())
    assert 1800 < len(poisson) < 2200 and poisson == sorted(poisson)


def test_requests_are_signed_as_aws_signs():
    signer = openloop.Signer(openloop.Plan("my-endpoint", 1, 1, [b""], variant="v", accept="text/csv"), AWS)
    head, _, body = signer.request(b"1,2").partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    method, path, _ = first.split(" ")
    headers = [(line.partition(":")[0], line.partition(":")[2].strip()) for line in lines]
    request = HttpRequest(method, path, "", headers, None, False, "127.0.0.1")

    class Keys:
        def credential(self, key):
            from modelyard.kernel.identity import Credential, Principal

            return Credential(key, "secret", Principal("root", "1" * 12, "arn", "x"), "token", None)

    claim = sigv4.read_claim(request, "json")
    credential = sigv4.check_claim(claim, Keys(), SystemClock(), "json")
    assert sigv4.finish(request, claim, credential, "json", body).verified


def test_histogram():
    latencies = Histogram()
    for ms in range(1, 1001):
        latencies.add(ms / 1000)
    assert latencies.percentile(50) == pytest.approx(0.5, rel=0.01) and latencies.percentile(99) == pytest.approx(0.99, rel=0.01)
    assert latencies.summary()["max"] == 1000.0 and sum(count for _, _, count in latencies.rows()) == 1000
    assert len(list(latencies.bars())) == len(latencies.rows()) and Histogram().summary() == {} and list(Histogram().bars()) == []


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("250ms", 0.25), ("5m", 300), ("1h", 3600), ("1.5s", 1.5)])
def test_times(text, seconds):
    assert own.seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "x", "-1s", "1d", "nan", "inf"])
def test_what_is_no_time(text):
    with pytest.raises(ValueError, match="is not a length of time"):
        own.seconds(text)
