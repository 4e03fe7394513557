"""The front door against clients that mean harm."""

from __future__ import annotations

import hashlib

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from modelyard.kernel.service import BytesBody, Service
from modelyard.wire.body import gather
from modelyard.wire.gateway import Gateway
from modelyard.wire.http import HttpRequest, HttpResponse
from tests.support import inproc
from tests.support.background import BackgroundServer
from tests.support.doors import KEY, SECRET, make_platform, talk
from tests.support.patience import SLOWNESS

# --- framing: what one end takes for a body must not be a request for another --------------------------

HEAD = b"POST / HTTP/1.1\r\nHost: h\r\n"
EVIL = b"GET /evil HTTP/1.1\r\nHost: h\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
SMUGGLED = {
    "length and coding": HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + EVIL,
    "coding and length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + EVIL,
    "two lengths": HEAD + b"Content-Length: 4\r\nContent-Length: 0\r\n\r\n" + EVIL,
    "two codings": HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + EVIL,
    "unknown coding": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + EVIL,
    "space before the colon": HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + EVIL,
    "folded line": HEAD + b"X: a\r\n Transfer-Encoding: chunked\r\n\r\n" + EVIL,
    "bare line feeds": b"GET / HTTP/1.1\nHost: h\n\n" + EVIL,
    "line feed in the head": b"GET / HTTP/1.1\r\nHost: h\nX: a\r\n\r\n" + EVIL,
    "carriage return in a value": HEAD + b"X: a\rb\r\n\r\n" + EVIL,
    "line feed in a chunk extension": CHUNKED + b"3;\nxx\r\nabc\r\n0\r\n\r\n" + EVIL,
    "chunks by line feeds": CHUNKED + b"3\nabc\n0\n\n" + EVIL,
    "signed length of a chunk": CHUNKED + b"-3\r\nabc\r\n0\r\n\r\n" + EVIL,
    "a chunk beyond 64 bits": CHUNKED + b"10000000000000003\r\nabc\r\n0\r\n\r\n" + EVIL,
    "framing in a trailer": CHUNKED + b"0\r\nContent-Length: 5\r\n\r\n" + EVIL,
    "upgrade with a length": HEAD + b"Upgrade: h2c\r\nConnection: upgrade\r\nContent-Length: %d\r\n\r\n" % len(EVIL) + EVIL,
    "upgrade in chunks": HEAD
    + b"Upgrade: h2c\r\nConnection: upgrade\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(EVIL), EVIL),
}


@pytest.fixture(scope="module")
def listener():
    seen: list[tuple[str, bytes]] = []

    async def handle(request: HttpRequest) -> HttpResponse:
        body = await gather(request.body, 1 << 20)
        seen.append((request.path, body))
        return HttpResponse(200, [], b"ok")

    with BackgroundServer(handle) as server:
        yield server, seen


@pytest.mark.parametrize("trick", SMUGGLED)
def test_no_request_hides_in_a_body(listener, trick):
    server, seen = listener
    seen.clear()
    talk(server.port, SMUGGLED[trick], half_close=True)
    assert "/evil" not in [path for path, _ in seen]


def test_a_body_after_an_upgrade_that_is_not_taken_up_arrives(listener):
    """JDK's HTTP client asks for h2c with every request of its own."""
    server, seen = listener
    for trick in ("upgrade with a length", "upgrade in chunks"):
        seen.clear()
        talk(server.port, SMUGGLED[trick] + b"GET /next HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
        assert seen == [("/", EVIL), ("/next", b"")]


def test_a_half_closed_connection_ends_with_its_last_answer(listener):
    """Or each of them would hold a descriptor until the idle time is over."""
    import time

    server, _ = listener
    began = time.monotonic()
    said = talk(server.port, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n" * 3, half_close=True, timeout_s=60)
    assert said.count(b"HTTP/1.1 200") == 3 and time.monotonic() - began < 5 * SLOWNESS


# --- signatures ------------------------------------------------------------------------------------------

sagemaker, s3 = Service("sagemaker"), Service("s3")
got: list[dict] = []


@sagemaker.operation
def list_tags(call, request):
    got.append(request)
    return {"Tags": []}


@s3.operation
def put_object(call, request):
    got.append({**request, "Body": b"".join(request["Body"])})
    return {}


@s3.operation
def get_object(call, request):
    got.append(request)
    return {"Body": b""}


@pytest.fixture
def gateway():
    got.clear()
    gateway = Gateway(make_platform(sagemaker, s3))
    yield gateway
    gateway.close()


def answer(gateway: Gateway, request: HttpRequest) -> HttpResponse:
    return inproc.loop().run(gateway.handle(request))


def signed(service: str, body: bytes, headers: dict[str, str], path: str = "/") -> list[tuple[str, str]]:
    kind = botocore.auth.S3SigV4Auth if service == "s3" else botocore.auth.SigV4Auth
    request = botocore.awsrequest.AWSRequest("PUT" if service == "s3" else "POST", f"http://h{path}", headers, body)
    kind(botocore.credentials.Credentials(KEY, SECRET), service, "us-east-1").add_auth(request)
    return [("host", "h"), *((name.lower(), value) for name, value in request.headers.items())]


JSON = {"content-type": "application/x-amz-json-1.1", "x-amz-target": "SageMaker.ListTags"}
BODY = b'{"ResourceArn": "arn:aws:sagemaker:us-east-1:123456789012:model/mine"}'


@pytest.mark.parametrize("hash_said", [True, False])
def test_a_coding_that_was_not_signed_does_not_change_the_signed_body(gateway, hash_said):
    body = b"" if not hash_said else BODY
    headers = signed("sagemaker", body, JSON | ({"x-amz-content-sha256": hashlib.sha256(body).hexdigest()} if hash_said else {}))
    other = BODY.replace(b"mine", b"evil")
    coded = b"%x\r\n%b\r\n0\r\n\r\n" % (len(other), other)
    headers += [("content-encoding", "aws-chunked"), ("x-amz-decoded-content-length", str(len(other)))]
    said = answer(gateway, HttpRequest("POST", "/", "", headers, BytesBody(coded)))
    assert said.status in (400, 403) and got == []


def test_a_region_cannot_carry_an_arn(gateway):
    evil = "us-east-1:123456789012:model/mine"
    request = botocore.awsrequest.AWSRequest("POST", "http://h/", JSON, BODY)
    botocore.auth.SigV4Auth(botocore.credentials.Credentials(KEY, SECRET), "sagemaker", evil).add_auth(request)
    headers = [("host", "h"), *((name.lower(), value) for name, value in request.headers.items())]
    assert answer(gateway, HttpRequest("POST", "/", "", headers, BytesBody(BODY))).status in (400, 403) and got == []


ODD_QUERIES = [
    "X-Amz-Expires=%C2%B2", "X-Amz-Expires=" + "9" * 5000, "X-Amz-SignedHeaders=host%3B%E2%82%AC",
    f"X-Amz-Credential={KEY}/20200101/%E2%82%AC/s3/aws4_request", f"X-Amz-Credential={KEY}/20200101/us-east-1/%E2%82%AC/aws4_request",
    "X-Amz-Date=%E2%82%AC", "X-Amz-Security-Token=%E2%82%AC", "X-Amz-Signature=%E2%82%AC",
]  # fmt: skip


@pytest.mark.parametrize("odd", ODD_QUERIES, ids=range(len(ODD_QUERIES)))
def test_odd_presigned_urls_are_the_clients_fault(gateway, odd):
    import time

    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    usual = {
        "X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": f"{KEY}/{moment[:8]}/us-east-1/s3/aws4_request", "X-Amz-Date": moment,
        "X-Amz-Expires": "60", "X-Amz-SignedHeaders": "host", "X-Amz-Signature": "0" * 64,
    }  # fmt: skip
    name, _, value = odd.partition("=")
    query = "&".join(f"{n}={v}" for n, v in (usual | {name: value.replace("20200101", moment[:8])}).items())
    said = answer(gateway, HttpRequest("GET", "/b/k", query, [("host", "h")]))
    assert 400 <= said.status < 500 and b"Traceback" not in said.body


@pytest.mark.parametrize("expires", ["%C2%B2", "9" * 5000])
@pytest.mark.parametrize("more", ["", "&x-amz-%E2%82%AC=1", "&response-content-type=%E2%82%AC"])
def test_odd_old_presigned_urls_are_the_clients_fault(gateway, expires, more):
    for when in (expires, "99999999999"):
        query = f"AWSAccessKeyId={KEY}&Signature=x&Expires={when}{more}"
        assert 400 <= answer(gateway, HttpRequest("GET", "/b/k", query, [("host", "h")])).status < 500


@pytest.mark.parametrize("length", ["\u00b2", "9" * 5000, "-1", "1e3", ""])
def test_odd_decoded_lengths_are_the_clients_fault(gateway, length):
    headers = {"x-amz-content-sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "content-encoding": "aws-chunked"}
    request = [*headers.items(), ("x-amz-decoded-content-length", length), ("host", "h")]
    said = answer(gateway, HttpRequest("PUT", "/b/k", "", request, BytesBody(b"3\r\nabc\r\n0\r\n\r\n")))
    assert 400 <= said.status < 500


# --- web pages of strangers ------------------------------------------------------------------------------

PAGES = {
    "a form": ("POST", [("host", "127.0.0.1:4566"), ("origin", "https://evil.example")]),
    "a form without an origin": ("POST", [("host", "127.0.0.1:4566"), ("sec-fetch-site", "cross-site")]),
    "a sandboxed frame": ("POST", [("host", "127.0.0.1:4566"), ("origin", "null")]),
    "an image": ("GET", [("host", "127.0.0.1:4566"), ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors")]),
    "a rebound name": ("GET", [("host", "evil.example:4566")]),
    "a rebound name that looks local": ("GET", [("host", "localhost.evil.example")]),
    "a rebound name that looks like AWS": ("GET", [("host", "amazonaws.com.evil.example")]),
}


@pytest.mark.parametrize("page", PAGES)
def test_a_web_page_of_a_stranger_does_nothing_in_open_mode(page):
    got.clear()
    gateway = Gateway(make_platform(sagemaker, s3, auth="open"))
    method, headers = PAGES[page]
    said = answer(gateway, HttpRequest("PUT" if method == "POST" else "GET", "/b/k", "", headers, BytesBody(b"")))
    health = answer(gateway, HttpRequest("GET", "/_modelyard/health", "", headers))
    gateway.close()
    assert said.status == 403 and got == []
    assert health.status == (403 if "rebound" in page else 200)


@pytest.mark.parametrize(
    "host", ["127.0.0.1:4566", "localhost", "b.s3.localhost:4566", "b.s3.us-east-1.amazonaws.com", "[::1]:80", "modelyard", "10.0.0.7"]
)
def test_open_mode_serves_its_own_names(host):
    got.clear()
    gateway = Gateway(make_platform(sagemaker, s3, auth="open"))
    local = [("origin", "http://localhost:8888"), ("sec-fetch-site", "same-site")]
    for more in ([], local):
        assert answer(gateway, HttpRequest("GET", "/b/k", "", [("host", host), *more])).status == 200
    gateway.close()
