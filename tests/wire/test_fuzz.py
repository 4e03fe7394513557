"""Noise on raw sockets: no 500, no hang, no growth, and the door still works afterwards."""

from __future__ import annotations

import logging
import socket
import time

import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelyard.kernel.service import Service
from modelyard.wire.gateway import Gateway
from modelyard.wire.limits import Limits
from tests.support.background import BackgroundServer
from tests.support.doors import make_platform, talk
from tests.support.patience import SLOWNESS, deadline

s3, sts, sagemaker = Service("s3"), Service("sts"), Service("sagemaker")


@s3.operation
def put_object(call, request):
    for _ in request["Body"]:
        pass
    return {}


@s3.operation
def get_object(call, request):
    return {"Body": b"data"}


@sts.operation
def get_caller_identity(call, request):
    return {}


@sagemaker.operation
def create_model(call, request):
    return {"ModelArn": "arn:aws:sagemaker:us-east-1:123456789012:model/m"}


@pytest.fixture(scope="module", params=["iam", "open"])
def door(request):
    gateway = Gateway(make_platform(s3, sts, sagemaker, auth=request.param))
    limits = Limits(head_s=1.0, body_idle_s=1.0, idle_s=1.0, linger_s=0.2)
    with BackgroundServer(gateway.handle, limits, pool=gateway.pool) as server:
        yield server
        assert talk(server.port, b"GET /_modelyard/health HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 200")
        end = deadline(5)
        while server.server.connections and time.monotonic() < end:
            time.sleep(0.05)
        assert not server.server.connections


FUZZ = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def judge(port: int, data: bytes, caplog=None) -> bytes:
    began = time.monotonic()
    out = talk(port, data, half_close=True, timeout_s=8 * SLOWNESS)
    assert time.monotonic() - began < 6 * SLOWNESS, data
    assert b"HTTP/1.1 5" not in out.replace(b"HTTP/1.1 501", b"") and b"Traceback" not in out, (data, out)
    return out


@FUZZ
@given(data=st.binary(max_size=400))
def test_any_bytes(door, data):
    judge(door.port, data)


TOKENS = st.sampled_from(
    [
        b"GET",
        b"PUT",
        b"POST",
        b"HEAD",
        b"CONNECT",
        b" ",
        b"/",
        b"/b/k",
        b"*",
        b"http://x/",
        b" HTTP/1.1",
        b" HTTP/1.0",
        b" HTTP/9.9",
        b"\r\n",
        b"\r\n\r\n",
        b"\n",
        b"Host: h",
        b"Content-Length: 3",
        b"Content-Length: 99999999999999999999",
        b"Transfer-Encoding: chunked",
        b"Expect: 100-continue",
        b"abc",
        b"3\r\nabc\r\n",
        b"0\r\n\r\n",
        b"ffffffffffffffff\r\n",
        b"Connection: close",
        b"Upgrade: h2c\r\nConnection: Upgrade",
        b"\x00",
        b"\xff",
        b":",
        b"a: b",
        b"Authorization: AWS4-HMAC-SHA256 ",
        b"x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        b"x-amz-decoded-content-length: 3",
        b"X-Amz-Target: SageMaker.CreateModel",
        b"?Action=x",
        b"%",
        b"%zz",
    ]
)


@FUZZ
@given(parts=st.lists(TOKENS, max_size=30))
def test_any_sequence_of_http_words(door, parts):
    judge(door.port, b"".join(parts))


HEADERS = st.lists(
    st.tuples(
        st.sampled_from(
            [
                "authorization",
                "x-amz-date",
                "x-amz-content-sha256",
                "x-amz-target",
                "content-type",
                "content-encoding",
                "x-amz-decoded-content-length",
                "x-amz-security-token",
                "range",
                "if-match",
                "x-amz-copy-source",
                "x-amz-meta-a",
                "smithy-protocol",
                "date",
                "cookie",
                "content-md5",
            ]
        ),
        st.one_of(
            st.sampled_from(
                [
                    "AWS4-HMAC-SHA256 Credential=a/20200101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=" + "0" * 64,
                    "AWS4-HMAC-SHA256 Credential=a",
                    "AWS a:b",
                    "20200101T000000Z",
                    "SageMaker.CreateModel",
                    "application/x-www-form-urlencoded",
                    "application/cbor",
                    "rpc-v2-cbor",
                    "aws-chunked",
                    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
                    "SageMaker.",
                    ".",
                    "bytes=5-1",
                    "UNSIGNED-PAYLOAD",
                    "99999999999999999999",
                    "-1",
                ]
            ),
            st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=40),
        ),
    ),
    max_size=8,
)


@FUZZ
@given(
    method=st.sampled_from(["GET", "PUT", "POST", "HEAD", "DELETE", "OPTIONS", "PATCH"]),
    path=st.one_of(
        st.sampled_from(
            [
                "/",
                "/b/k",
                "/endpoints/e/invocations",
                "/service/X/operation/Y",
                "/b?uploads",
                "/?Action=GetCallerIdentity&Version=2011-06-15",
            ]
        ),
        st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=30).map(lambda t: "/" + t),
    ),
    headers=HEADERS,
    body=st.binary(max_size=100),
)
def test_well_formed_http_with_any_aws_content(door, method, path, headers, body):
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}", *(f"{n}: {v}" for n, v in headers), "", ""]
    out = judge(door.port, "\r\n".join(lines).encode("latin-1") + body)
    assert out.startswith(b"HTTP/1.1 ")


@pytest.mark.parametrize("cut", range(0, 160, 7))
def test_clients_that_go_away(door, cut):
    data = b"PUT /b/k HTTP/1.1\r\nHost: h\r\nx-amz-content-sha256: UNSIGNED-PAYLOAD\r\nContent-Length: 100\r\n\r\n" + b"x" * 60
    with socket.create_connection(("127.0.0.1", door.port)) as sock:
        sock.sendall(data[:cut])
        if cut % 2:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def test_no_growth(door, caplog):
    process = psutil.Process()
    noise = [
        b"\x00" * 5000,
        b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000,
        b"PUT /b/k HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1;" + b"e" * 200_000,
    ]
    with caplog.at_level(logging.CRITICAL):
        for data in noise * 5:
            judge(door.port, data)
        before = process.memory_info().rss
        for data in noise * 40:
            judge(door.port, data)
    assert process.memory_info().rss - before < 16 << 20


@FUZZ
@given(value=st.text(st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=60))
def test_any_authorization(door, value):
    head = f"GET /b/k HTTP/1.1\r\nHost: h\r\nx-amz-date: {value}\r\nAuthorization: AWS4-HMAC-SHA256 {value}\r\n\r\n"
    assert judge(door.port, head.encode("latin-1")).startswith(b"HTTP/1.1 4")
