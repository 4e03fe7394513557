"""SigV4 and SigV2: botocore signs, we verify; then everything that must be refused."""

from __future__ import annotations

import datetime
import time
from email.utils import formatdate
from unittest import mock

import pytest
from botocore.auth import HmacV1Auth, HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.kernel.clock import ManualClock, SystemClock
from modelyard.kernel.errors import ApiError
from modelyard.kernel.identity import Credential
from modelyard.kernel.service import BytesBody
from modelyard.wire import sigv2, sigv4
from modelyard.wire.http import HttpRequest
from tests.support.doors import KEY, ROOT, SECRET, FakeIdentity

HOST = "127.0.0.1:4566"
IDENTITY, CLOCK = FakeIdentity(), SystemClock()


def to_http(signed: AWSRequest, body: bytes = b"") -> HttpRequest:
    """As it goes over the wire: botocore's prepared request, names lower-cased."""
    from urllib.parse import urlsplit

    prepared = signed.prepare()
    url = urlsplit(prepared.url)
    headers = [(k.lower(), v.decode() if isinstance(v, bytes) else v) for k, v in prepared.headers.items()]
    if "host" not in dict(headers):
        headers.append(("host", url.netloc))
    return HttpRequest(prepared.method, url.path or "/", url.query, headers, BytesBody(body))


def sign(
    kind=SigV4Auth,
    service="sagemaker",
    method="POST",
    path="/",
    query="",
    body=b"{}",
    headers=None,
    token=None,
    secret=SECRET,
    key=KEY,
    when=None,
    **more,
) -> HttpRequest:
    request = AWSRequest(method, f"http://{HOST}{path}{'?' + query if query else ''}", data=body, headers=headers or {})
    moment = datetime.datetime.fromtimestamp(when or time.time(), datetime.UTC)
    with (
        mock.patch("botocore.auth.get_current_datetime", lambda **_: moment, create=True),
        mock.patch("botocore.auth.time", time, create=True),
    ):
        if kind in (HmacV1QueryAuth, HmacV1Auth):
            kind(Credentials(key, secret, token), **more).add_auth(request)
        else:
            kind(Credentials(key, secret, token), service, "us-east-1", **more).add_auth(request)
    return to_http(request, body)


def check(request: HttpRequest, family="json", body=b"{}", identity=IDENTITY, clock=CLOCK):
    return sigv4.authenticate(request, identity, clock, family, body)


def refusal(request: HttpRequest, family="json", body=b"{}", **more) -> tuple[str, int]:
    with pytest.raises(ApiError) as problem:
        check(request, family, body, **more)
    return problem.value.code, problem.value.status


def test_a_right_signature_names_the_caller_and_its_scope():
    who = check(sign())
    assert (who.principal, who.region, who.service) == (ROOT, "us-east-1", "sagemaker")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/a/b",
        "/a//b/./c/../d",
        "/a%20b/%E2%82%AC",
        "/arn%3Aaws%3Ax%2Fy",
        "/~a-_.b",
        "/a/",
        "/a+b=c@d",
        "/%2e%2e/x",
        "/..",
        "/a;b,c'(!*)",
    ],
)
@pytest.mark.parametrize("kind", [SigV4Auth, S3SigV4Auth])
def test_paths_as_botocore_signs_them(path, kind):
    s3 = kind is S3SigV4Auth
    assert check(sign(kind, "s3" if s3 else "lambda", path=path), "s3" if s3 else "rest-json")


@pytest.mark.parametrize(
    "query", ["a=1", "b=2&a=1&a=0", "a", "a=&b", "x=%2F%20%7E&y=a%2Bb", "list-type=2&prefix=a%2Fb%20c&delimiter=%2F", "A=1&a=2&_=3"]
)
@pytest.mark.parametrize("kind", [SigV4Auth, S3SigV4Auth])
def test_queries_as_botocore_signs_them(query, kind):
    s3 = kind is S3SigV4Auth
    assert check(sign(kind, "s3" if s3 else "lambda", "GET", query=query, body=b""), "s3" if s3 else "rest-json", b"")


def test_headers_are_folded_and_joined():
    assert check(sign(headers={"X-Amz-Meta-A": "  a   b\tc  ", "Content-Type": "text/csv; x=1", "Empty": ""}))
    request = sign(headers={"x-amz-two": "1,2"})
    at = next(i for i, (name, _) in enumerate(request.headers) if name == "x-amz-two")
    request.headers[at : at + 1] = [("x-amz-two", "1"), ("x-amz-two", "2")]
    request._index = None
    assert check(request)


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1, max_size=30),
    st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_any_key_and_query(name, query):
    from urllib.parse import quote, urlencode

    path = "/bucket/" + quote(name, safe="/~")
    assert check(sign(S3SigV4Auth, "s3", "GET", path, urlencode(query), b""), "s3", b"")


@pytest.mark.parametrize(("kind", "service", "family"), [(S3SigV4QueryAuth, "s3", "s3"), (SigV4QueryAuth, "sts", "query")])
def test_presigned(kind, service, family):
    made = sign(kind, service, "GET", "/b/k%20x", "response-content-type=a%2Fb", b"", expires=60)
    assert check(made, family, b"")
    late = sign(kind, service, "GET", "/b/k", "", b"", expires=60, when=time.time() - 61)
    assert refusal(late, family, b"")[1] == 403
    early = sign(kind, service, "GET", "/b/k", "", b"", expires=60, when=time.time() + 1000)
    assert refusal(early, family, b"")[1] == 403
    weeks = sign(kind, service, "GET", "/b/k", "", b"", expires=7 * 86400 + 1)
    assert refusal(weeks, family, b"")[0] in ("AuthorizationQueryParametersError", "IncompleteSignature")
    made.query = made.query.replace("X-Amz-Expires=60", "X-Amz-Expires=61")
    assert refusal(made, family, b"")[0] == "SignatureDoesNotMatch"


@pytest.mark.parametrize("change", ["method", "path", "query", "header", "body", "host", "signature", "date"])
def test_whatever_is_changed_is_noticed(change):
    request = sign(query="a=b", path="/x", headers={"x-amz-target": "SageMaker.ListModels"})
    body = b"{}"
    if change == "method":
        request.method = "PUT"
    elif change == "path":
        request.path = "/y"
    elif change == "query":
        request.query = "a=c"
    elif change == "body":
        body = b"{} "
    else:
        name, old, new = {
            "header": ("x-amz-target", "ListModels", "DeleteModel"),
            "host": ("host", "127", "128"),
            "signature": ("authorization", "Signature=", "Signature=0"),
            "date": ("x-amz-date", "Z", "Z"),
        }[change]
        value = dict(request.headers)[name]
        value = value.replace(old, new) if change != "signature" else value[:-1] + ("0" if value[-1] != "0" else "1")
        if change == "date":
            value = value[:-3] + ("10Z" if value[-3:] != "10Z" else "11Z")
        request.headers = [(n, value if n == name else v) for n, v in request.headers]
    assert refusal(request, body=body) == ("InvalidSignatureException", 400)


@pytest.mark.parametrize("skew", [-16 * 60, 16 * 60])
@pytest.mark.parametrize(
    ("family", "code", "status"),
    [
        ("json", "InvalidSignatureException", 400),
        ("s3", "RequestTimeTooSkewed", 403),
        ("query", "SignatureDoesNotMatch", 403),
        ("rest-json", "InvalidSignatureException", 403),
    ],
)
def test_replay_outside_the_window_is_judged_by_real_time(skew, family, code, status):
    kind = S3SigV4Auth if family == "s3" else SigV4Auth
    request = sign(kind, "s3" if family == "s3" else "x", when=time.time() + skew)
    assert refusal(request, family, clock=ManualClock(time.time() + skew)) == (code, status)
    assert check(sign(kind, when=time.time() + skew / 2), family, clock=ManualClock(0.0))


def test_sessions_expire_on_the_platforms_clock():
    clock = ManualClock(1000.0)
    identity = FakeIdentity(Credential("ASIA", SECRET, ROOT, "tok", 2000.0))
    request = sign(key="ASIA", token="tok")
    assert check(request, identity=identity, clock=clock)
    clock.advance(1000)
    assert refusal(request, identity=identity, clock=clock) == ("ExpiredTokenException", 400)


@pytest.mark.parametrize(
    "header",
    [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=",
        "AWS4-HMAC-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=" + "0" * 64,
        "AWS4-HMAC-SHA256 Credential=a/20200101/r/s/aws5_request, SignedHeaders=host, Signature=" + "0" * 64,
        "AWS4-HMAC-SHA256 Credential=a/20200101/r/s/aws4_request, Signature=" + "0" * 64,
        "AWS4-HMAC-SHA256 \u00ff",
    ],
)
def test_malformed_headers(header):
    for family, code in (
        ("json", "IncompleteSignatureException"),
        ("s3", "AuthorizationHeaderMalformed"),
        ("query", "IncompleteSignature"),
    ):
        request = HttpRequest("GET", "/", "", [("host", HOST), ("authorization", header), ("x-amz-date", "20200101T000000Z")])
        assert refusal(request, family)[0] == code


def test_parts_in_another_order_and_a_date_header():
    request = sign()
    headers = dict(request.headers)
    front, signed, signature = headers["authorization"].removeprefix("AWS4-HMAC-SHA256 ").split(", ")
    headers["authorization"] = f"AWS4-HMAC-SHA256 {signature},{front},{signed}"
    request.headers, request._index = list(headers.items()), None
    assert check(request)


def test_s3_wants_every_amz_header_signed_and_host():
    request = sign(S3SigV4Auth, "s3", "GET", "/b", body=b"")
    request.headers.append(("x-amz-acl", "public-read"))
    assert refusal(request, "s3", b"") == ("AccessDenied", 403)


def test_the_host_may_come_without_its_port():
    request = sign()
    request.headers = [(n, "127.0.0.1:4566" if n == "host" else v) for n, v in request.headers]
    assert check(request)
    bare = AWSRequest("POST", "https://sts.us-east-1.amazonaws.com/", data=b"{}")
    SigV4Auth(Credentials(KEY, SECRET), "sts", "us-east-1").add_auth(bare)
    arrived = to_http(bare, b"{}")
    arrived.headers = [(n, v + ":443" if n == "host" else v) for n, v in arrived.headers]
    assert check(arrived, "query")


def test_payload_of_an_s3_request_must_be_what_was_signed():
    request = sign(S3SigV4Auth, "s3", "PUT", "/b", body=b"{}")
    assert refusal(request, "s3", b"{]") == ("XAmzContentSHA256Mismatch", 400)


@pytest.mark.parametrize("path", ["/bucket/key", "/bucket/a%20b"])
def test_sigv2_presigned(path):
    when = time.time()
    good = sign(HmacV1QueryAuth, "s3", "GET", path, "versionId=3&response-content-type=a%2Fb", b"", expires=60)
    assert sigv2.authenticate(good, IDENTITY, CLOCK).principal is ROOT
    for change in (("path", "/bucket/other"), ("method", "PUT"), ("query", good.query.replace("versionId=3", "versionId=4"))):
        bad = HttpRequest(good.method, good.path, good.query, good.headers)
        setattr(bad, *change)
        with pytest.raises(ApiError) as problem:
            sigv2.authenticate(bad, IDENTITY, CLOCK)
        assert problem.value.code == "SignatureDoesNotMatch"
    with mock.patch("modelyard.wire.sigv2.real_now", lambda: when + 70), pytest.raises(ApiError) as problem:
        sigv2.authenticate(good, IDENTITY, CLOCK)
    assert problem.value.code == "AccessDenied"


@pytest.mark.parametrize("path", ["/bucket/key", "/bucket/a%20b"])
def test_sigv2_in_a_header(path):
    good = sign(HmacV1Auth, "s3", "GET", path, "versionId=3&uploads", b"", headers={"x-amz-meta-a": "1"})
    who = sigv2.authenticate(good, IDENTITY, CLOCK)
    assert who.principal is ROOT and who.claim.version == 2 and who.claim.expires_s is None
    for change in (("path", "/bucket/other"), ("method", "PUT"), ("query", "versionId=4&uploads")):
        bad = HttpRequest(good.method, good.path, good.query, good.headers)
        setattr(bad, *change)
        with pytest.raises(ApiError) as problem:
            sigv2.authenticate(bad, IDENTITY, CLOCK)
        assert problem.value.code == "SignatureDoesNotMatch"
    with mock.patch("modelyard.wire.sigv2.real_now", lambda: time.time() + 1000), pytest.raises(ApiError) as problem:
        sigv2.authenticate(good, IDENTITY, CLOCK)
    assert problem.value.code == "RequestTimeTooSkewed"


@pytest.mark.parametrize(
    ("authorization", "date", "code"),
    [
        ("AWS key:sig", "now", "InvalidAccessKeyId"),
        ("AWS HAHAHA", "now", "InvalidArgument"),
        ("AWS " + KEY + ":sig", "Bad Date", "AccessDenied"),
        ("AWS " + KEY + ":sig", "", "AccessDenied"),
        ("AWS " + KEY + ":sig", "Tue, 07 Jul 1950 21:53:04 GMT", "AccessDenied"),
        ("AWS " + KEY + ":sig", "Tue, 07 Jul 9999 21:53:04 GMT", "RequestTimeTooSkewed"),
        ("AWS " + KEY + ":sig", "now", "SignatureDoesNotMatch"),
        ("Basic abc", "now", "InvalidArgument"),
    ],
)
def test_sigv2_in_a_header_that_is_wrong(authorization, date, code):
    told = formatdate() if date == "now" else date
    request = HttpRequest("GET", "/", "", [("host", HOST), ("date", told), ("authorization", authorization)])
    with pytest.raises(ApiError) as problem:
        sigv2.authenticate(request, IDENTITY, CLOCK)
    assert problem.value.code == code


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_noise_in_the_authorization_is_a_4xx(noise):
    text = noise.decode("latin-1")
    for headers, query in (
        ([("authorization", "AWS4-HMAC-SHA256 " + text), ("x-amz-date", text)], ""),
        ([], "X-Amz-Signature=" + text + "&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" + text),
    ):
        for family in ("s3", "json", "query", "ec2"):
            with pytest.raises(ApiError) as problem:
                check(HttpRequest("GET", "/", query, [("host", HOST), *headers]), family)
            assert 400 <= problem.value.status < 500


@given(st.binary(max_size=60))
@settings(max_examples=100, deadline=None)
def test_noise_in_a_sigv2_query_is_a_4xx(noise):
    query = f"AWSAccessKeyId={KEY}&Expires=9999999999&Signature=" + noise.decode("latin-1")
    with pytest.raises(ApiError) as problem:
        sigv2.authenticate(HttpRequest("GET", "/b/k", query, [("host", HOST)]), IDENTITY, CLOCK)
    assert 400 <= problem.value.status < 500
