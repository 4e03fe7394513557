"""Calls without a task (wire/atonce.py, serving/errand.py) against the ordinary path: the same requests, the same answers."""

from __future__ import annotations

import itertools
import re
import socket
import struct
import time
from contextlib import contextmanager

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelyard.wire.server import Server
from tests.support.hosting import Hosting, eventually

PATH = "/endpoints/{}/invocations"


class Doors:
    """One platform behind two servers: `quick` may answer without a task, `plain` never does. `taken` counts what `quick` took so,
    `known` what of it was like one before."""

    def __init__(self, folder) -> None:
        self.hosting = Hosting(folder)
        self.hosting.deploy("e", "m", "n")
        self.hosting.platform.invoker._random = lambda: 0.1  # all calls go to m
        gateway, self.taken, self.known, self.loop = self.hosting.yard.gateway, 0, 0, self.hosting._loop

        def at_once(*args):
            errand = gateway.at_once(*args)
            self.taken += errand is not None
            return errand

        def again(*args):
            errand = gateway.again(*args)
            self.known += errand is not None
            self.taken += errand is not None
            return errand

        self.servers = {
            "quick": Server(gateway.handle, pool=gateway.pool, at_once=at_once, again=again),
            "plain": Server(gateway.handle, pool=gateway.pool),
        }
        for server in self.servers.values():
            self.loop.run(server.start())
        self.port = {name: server.port for name, server in self.servers.items()}
        keys = self.hosting.yard.secrets["session"]
        self.key = Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])

    def close(self) -> None:
        for server in self.servers.values():
            self.loop.run(server.stop(1.0))
        self.hosting.close()

    def signed(self, body: bytes = b"x", endpoint: str = "e", key: Credentials | None = None, **headers: str) -> dict[str, str]:
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        request = AWSRequest("POST", "http://h:1" + PATH.format(endpoint), data=body, headers={"Host": "h:1", **more})
        SigV4Auth(key or self.key, "sagemaker", "us-east-1").add_auth(request)
        return {**dict(request.headers.items()), "Content-Length": str(len(body))}

    def raw(self, body: bytes = b"x", endpoint: str = "e", **headers: str) -> bytes:
        return message(self.signed(body, endpoint, **headers), body, endpoint)

    @contextmanager
    def connected(self, name: str):
        with socket.create_connection(("127.0.0.1", self.port[name]), timeout=10) as sock:
            yield sock

    def ask(self, name: str, *pieces: bytes) -> tuple[int, dict[str, str], bytes]:
        with self.connected(name) as sock:
            sock.sendall(self.raw(b"warm"))
            read_answer(sock.makefile("rb"))
            for number, piece in enumerate(pieces):
                if number:
                    time.sleep(0.003)
                sock.sendall(piece)
            return read_answer(sock.makefile("rb"))

    @property
    def pools(self):
        return self.hosting.platform.invoker._replicas._pools.values()


def message(headers: dict[str, str], body: bytes, endpoint: str = "e", line: str = "POST {} HTTP/1.1\r\n") -> bytes:
    return (line.format(PATH.format(endpoint)) + "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n").encode("latin-1") + body


def read_answer(file) -> tuple[int, dict[str, str], bytes]:
    line = file.readline()
    if not line:
        return 0, {}, b""
    headers = {}
    while (header := file.readline()) not in (b"\r\n", b""):
        name, _, value = header.decode("latin-1").partition(":")
        headers[name] = value.strip()
    return int(line.split()[1]), headers, file.read(int(headers.get("content-length", 0)))


def comparable(answer: tuple[int, dict[str, str], bytes]) -> tuple[int, dict[str, str], bytes]:
    """Without what differs from answer to answer: ids and times."""
    status, headers, body = answer
    body = re.sub(rb"\d{8}T\d{6}Z", b"MOMENT", re.sub(rb"<(RequestId|HostId)>[^<]*", b"", body))
    return status, {k: v for k, v in headers.items() if k not in ("date", "x-amzn-requestid", "x-amz-request-id", "x-amz-id-2")}, body


@pytest.fixture(scope="module")
def doors(tmp_path_factory):
    made = Doors(tmp_path_factory.mktemp("doors"))
    yield made
    made.close()


def test_it_is_taken_at_all(doors):
    before = doors.taken
    doors.ask("quick", doors.raw(b"a"))
    doors.ask("quick", doors.raw(b"a"))
    assert doors.taken - before >= 3, "only the first of all may go the ordinary way, which finds its route"
    before = doors.taken
    doors.ask("plain", doors.raw(b"a"))
    assert doors.taken == before


bodies = st.one_of(
    st.binary(max_size=300),
    st.sampled_from(
        [
            b"",
            b"status 400 no such feature",
            b"status 500 x",
            b"status 204",
            b"die",
            b"parts one two",
            b"x" * 70_000,
            b"\r\n\r\nPOST / HTTP/1.1\r\n\r\n",
        ]
    ),
)
members = st.fixed_dictionaries(
    {},
    optional={
        "Content_Type": st.sampled_from(["text/csv", "application/json", "a  b", "\xe9"]),
        "Accept": st.sampled_from(["text/csv", "*/*", ""]),
        "X_Amzn_SageMaker_Custom_Attributes": st.sampled_from(["t=1", "x" * 1025, " padded "]),
        "X_Amzn_SageMaker_Target_Variant": st.sampled_from(["m", "zz", "-bad-"]),
        "X_Amzn_SageMaker_Inference_Id": st.sampled_from(["i-1", "x" * 65]),
        "X_Amzn_SageMaker_Target_Model": st.just("a.tar.gz"),
        "X_Amz_Content_Sha256": st.sampled_from(["UNSIGNED-PAYLOAD", "0" * 64, "STREAMING-UNSIGNED-PAYLOAD-TRAILER"]),
        "Content_Encoding": st.sampled_from(["gzip", "aws-chunked"]),
        "Connection": st.sampled_from(["close", "keep-alive", "Upgrade"]),
    },
)
damage = st.sampled_from(
    ["none"] * 12 + ["signature", "no token", "no authorization", "other host", "twice", "fold", "no space", "lf", "1.0", "close", "expect",
    "chunked", "target", "query", "name", "key", "null", "long"]
)  # fmt: skip


def spoil(how: str, headers: dict[str, str], body: bytes, endpoint: str) -> bytes:
    if how == "signature":
        headers["Authorization"] = headers["Authorization"][:-1] + ("0" if headers["Authorization"][-1] != "0" else "1")
    elif how == "no token":
        headers.pop("X-Amz-Security-Token")
    elif how == "no authorization":
        headers.pop("Authorization")
    elif how == "other host":
        headers["Host"] = "other"
    elif how == "1.0":
        return message(headers, body, endpoint, "POST {} HTTP/1.0\r\n")
    elif how == "target":
        return message(headers, body, endpoint, "POST http://h:1{} HTTP/1.1\r\n")
    elif how == "query":
        return message(headers, body, endpoint, "POST {}?a=b#c HTTP/1.1\r\n")
    elif how in ("close", "expect"):
        headers |= {"Connection": "close"} if how == "close" else {"Expect": "nothing"}
    elif how == "key":
        headers["Authorization"] = headers["Authorization"].replace("Credential=", "Credential=X")
    raw = message(headers, body, endpoint)
    if how == "twice":
        return raw.replace(b"\r\nHost:", b"\r\nHost: x\r\nHost:", 1)
    if how == "fold":
        return raw.replace(b"\r\nX-Amz-Date:", b"\r\nX-Fold: a\r\n b\r\nX-Amz-Date:", 1)
    if how == "no space":
        return raw.replace(b"\r\nHost: ", b"\r\nhOsT:", 1)
    if how == "lf":
        return raw.replace(b"\r\nHost", b"\nHost", 1)
    if how == "name":
        return raw.replace(b"\r\nHost", b"\r\nA b: c\r\nHost", 1)
    if how == "null":
        return raw.replace(b"\r\nHost", b"\r\nA: b\0c\r\nHost", 1)
    if how == "long":
        return raw.replace(b"\r\nHost", b"\r\nA: " + b"b" * 66_000 + b"\r\nHost", 1)
    if how == "chunked":
        head, _, _ = message({k: v for k, v in headers.items() if k != "Content-Length"}, b"", endpoint).partition(b"\r\n\r\n")
        chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        return head + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n"
    return raw


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(body=bodies, said=members, how=damage, endpoint=st.sampled_from(["e", "E", "nope", "e%20e"]), cut=st.floats(0, 1))
def test_the_same_answers(doors, body, said, how, endpoint, cut):
    """Whatever is sent, whole or in two pieces, both servers say the same but for ids and dates."""
    headers = doors.signed(body, endpoint, **{k: v for k, v in said.items() if k not in ("Connection",)})
    if "Connection" in said:
        headers["Connection"] = said["Connection"]
    raw = spoil(how, headers, body, endpoint)
    at = int(len(raw) * cut)
    whole, plain = comparable(doors.ask("quick", raw)), comparable(doors.ask("plain", raw))
    assert whole == plain
    if 0 < at < len(raw):
        assert comparable(doors.ask("quick", raw[:at], raw[at:])) == plain


def test_pipelined_requests_in_any_pieces(doors):
    stream = b"".join(doors.raw(b"%d" % n) for n in range(60))
    for step in (len(stream), 1000, 777, 50_000):
        with doors.connected("quick") as sock:
            for at in range(0, len(stream), step):
                sock.sendall(stream[at : at + step])
            file = sock.makefile("rb")
            got = [read_answer(file)[2].partition(b":")[2] for _ in range(60)]
        assert got == [b"%d" % n for n in range(60)]


def test_what_comes_while_one_is_under_way_waits_its_turn(doors):
    with doors.connected("quick") as sock:
        sock.sendall(doors.raw(b"sleep 0.1"))
        time.sleep(0.03)
        sock.sendall(doors.raw(b"second"))
        time.sleep(0.03)
        sock.sendall(doors.raw(b"third") + b"garbage\r\n\r\n")
        file = sock.makefile("rb")
        said = [read_answer(file) for _ in range(4)]
    assert [s[0] for s in said] == [200, 200, 200, 400] and said[0][2] == b"slept" and said[2][2].endswith(b"third")


def test_both_ways_split_alike(doors, monkeypatch):
    """The draw decides, whether a connection was at hand or not."""
    invoker = doors.hosting.platform.invoker
    draws = [0.1, 0.9, 0.49, 0.51, 0.0, 0.99]
    for name in ("quick", "plain"):
        for pool in doors.pools:
            doors.loop.run(_closed(pool))
        turn = itertools.cycle(draws)
        monkeypatch.setattr(invoker, "_random", lambda turn=turn: next(turn))
        with doors.connected(name) as sock:
            file = sock.makefile("rb")
            got = []
            for _ in draws:
                sock.sendall(doors.raw(b"x"))
                got.append(read_answer(file)[2])
        assert got == [b"m:x" if draw < 0.5 else b"n:x" for draw in draws], name
        monkeypatch.undo()


async def _closed(pool):
    while pool._idle:
        pool._idle.pop().close()


@pytest.mark.parametrize("name", ["quick", "plain"])
def test_a_stale_connection_is_tried_once_more_and_only_once(doors, name):
    [box] = [b for b in doors.hosting.runtime.running() if b.name == "m"]
    with doors.connected(name) as sock:
        file = sock.makefile("rb")
        for _ in range(2):
            sock.sendall(doors.raw(b"x", X_Amzn_SageMaker_Target_Variant="m"))
            assert read_answer(file)[0] == 200
        before = box.requests
        sock.sendall(doors.raw(b"die", X_Amzn_SageMaker_Target_Variant="m"))
        assert read_answer(file)[0] == 424 and box.requests - before == 2
        sock.sendall(doors.raw(b"x"))
        assert read_answer(file)[0] == 200
    assert all(pool.outstanding == 0 for pool in doors.pools)


@pytest.mark.parametrize("name", ["quick", "plain"])
def test_a_client_that_hangs_up_takes_its_request_along(doors, name):
    with doors.connected(name) as sock:
        sock.sendall(doors.raw(b"x"))
        read_answer(sock.makefile("rb"))
        sock.sendall(doors.raw(b"sleep 1"))
        eventually(lambda: any(pool._busy for pool in doors.pools))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # its end is a reset, not a half-close
    eventually(lambda: not any(pool._busy or pool.outstanding for pool in doors.pools), 0.8)


def test_a_half_closed_client_gets_its_answer(doors):
    with doors.connected("quick") as sock:
        sock.sendall(doors.raw(b"x"))
        file = sock.makefile("rb")
        read_answer(file)
        sock.sendall(doors.raw(b"sleep 0.1"))
        sock.shutdown(socket.SHUT_WR)
        assert read_answer(file)[2] == b"slept" and file.read() == b""


def test_a_server_that_stops_says_close(doors):
    gateway = doors.hosting.yard.gateway
    server = Server(gateway.handle, pool=gateway.pool, at_once=gateway.at_once, again=gateway.again)
    port = doors.loop.run(server.start())
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(doors.raw(b"sleep 0.2"))
        eventually(lambda: any(c.busy for c in server.connections))
        doors.loop.run(server.stop(5.0))
        status, headers, body = read_answer(sock.makefile("rb"))
    assert (status, headers["connection"], body) == (200, "close", b"slept")


def test_what_iam_says_is_in_force_at_the_next_call(doors):
    iam = doors.hosting.yard.client("iam")
    iam.create_user(UserName="caller")
    made = iam.create_access_key(UserName="caller")["AccessKey"]
    key = Credentials(made["AccessKeyId"], made["SecretAccessKey"])
    statement = {"Effect": "Allow", "Action": "sagemaker:InvokeEndpoint", "Resource": "*"}

    def allow() -> None:
        import json

        iam.put_user_policy(
            UserName="caller", PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        )

    with doors.connected("quick") as sock:
        file = sock.makefile("rb")

        def status() -> int:
            sock.sendall(message(doors.signed(b"x", key=key), b"x"))
            return read_answer(file)[0]

        assert status() in (400, 403)
        for _ in range(3):
            allow()
            before = doors.taken
            assert [status() for _ in range(3)] == [200] * 3
            assert doors.taken - before == 3
            iam.delete_user_policy(UserName="caller", PolicyName="p")
            assert status() in (400, 403)
        allow()
        assert status() == 200
        iam.update_access_key(UserName="caller", AccessKeyId=key.access_key, Status="Inactive")
        assert status() == 403


def test_counted_and_captured_like_any_other(doors):
    hosting = doors.hosting
    hosting.s3.create_bucket(Bucket="seen")
    hosting.deploy(
        "w", "w",
        DataCaptureConfig={
            "EnableCapture": True, "InitialSamplingPercentage": 100, "DestinationS3Uri": "s3://seen/d",
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        },
    )  # fmt: skip
    for name in ("quick", "plain"):
        before = doors.taken
        with doors.connected(name) as sock:
            file = sock.makefile("rb")
            for n in range(10):
                sock.sendall(doors.raw(b"%d" % n if n else b"status 400 a", "w"))
                read_answer(file)
        assert doors.taken - before == (9 if name == "quick" else 0), "the first finds the route of this endpoint"
    cloudwatch, now = hosting.yard.client("cloudwatch"), hosting.platform.clock.now()

    def lines() -> bool:
        found = hosting.s3.list_objects_v2(Bucket="seen").get("Contents", [])
        return sum(hosting.s3.get_object(Bucket="seen", Key=o["Key"])["Body"].read().count(b"\n") for o in found) == 18

    def counted(name: str) -> float:
        rows = cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker", MetricName=name, StartTime=now - 3600, EndTime=now + 3600, Period=7200, Statistics=["Sum"],
            Dimensions=[{"Name": "EndpointName", "Value": "w"}, {"Name": "VariantName", "Value": "w"}],
        )  # fmt: skip
        return sum(row["Sum"] for row in rows["Datapoints"])

    eventually(lines, 15)
    eventually(lambda: counted("Invocations") == 20)
    assert counted("Invocation4XXErrors") == 2
