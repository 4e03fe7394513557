"""Requests that must not be let in: each attack on each dialect has AWS's code and status, and does nothing."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import time
from dataclasses import dataclass, field, replace
from urllib.parse import quote

import pytest

from modelyard.wire.body import InflowBody
from modelyard.wire.http import HttpRequest
from tests.support import inproc
from tests.support.platform import ACCOUNT, InProcess

ROLE = f"arn:aws:iam::{ACCOUNT}:role/ModelyardExecutionRole"


@dataclass(frozen=True)
class Keys:
    key: str
    secret: str
    token: str | None = None


@dataclass(frozen=True)
class Request:
    """What is signed; `after` is done to (path, query, headers, body) once it was."""

    service: str
    method: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    query: tuple[tuple[str, str], ...] = ()
    scope: str = ""
    late_s: float = 0.0
    expires: int | None = None
    loose: tuple[str, ...] = ()
    after: object = None


DIALECTS = {
    "s3": Request("s3", "PUT", "/bucket-b/k", b"evil"),
    "query": Request("iam", "POST", "/", b"Action=CreateGroup&Version=2010-05-08&GroupName=evil", {"content-type": "application/x-www-form-urlencoded"}),
    "json": Request(
        "logs", "POST", "/", json.dumps({"logGroupName": "evil"}).encode(),
        {"content-type": "application/x-amz-json-1.1", "x-amz-target": "Logs_20140328.CreateLogGroup"},
    ),
    "rest-json": Request("sagemaker", "POST", "/endpoints/e/invocations", b"evil", {"content-type": "text/csv", "host": "runtime.sagemaker.us-east-1.amazonaws.com"}),
}  # fmt: skip


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signed(keys: Keys, asked: Request) -> HttpRequest:
    at = time.gmtime(time.time() + asked.late_s)
    moment, day = time.strftime("%Y%m%dT%H%M%SZ", at), time.strftime("%Y%m%d", at)
    scope = f"{day}/us-east-1/{asked.scope or asked.service}/aws4_request"
    headers, query = {"host": "127.0.0.1", **asked.headers}, list(asked.query)
    presigned = asked.expires is not None
    payload = "UNSIGNED-PAYLOAD" if presigned else hashlib.sha256(asked.body).hexdigest()
    if not presigned:
        headers |= {"x-amz-date": moment, **({"x-amz-security-token": keys.token} if keys.token else {})}
        headers |= {"x-amz-content-sha256": payload} if asked.service == "s3" else {}
    names = sorted(name for name in headers if name not in asked.loose)
    if presigned:
        query += [
            ("X-Amz-Algorithm", "AWS4-HMAC-SHA256"), ("X-Amz-Credential", f"{keys.key}/{scope}"), ("X-Amz-Date", moment),
            ("X-Amz-Expires", str(asked.expires)), ("X-Amz-SignedHeaders", ";".join(names)),
            *([("X-Amz-Security-Token", keys.token)] if keys.token else []),
        ]  # fmt: skip
    told = "&".join(sorted(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query))
    canonical = "\n".join([asked.method, asked.path, told, *(f"{name}:{headers[name]}" for name in names), "", ";".join(names), payload])
    key = f"AWS4{keys.secret}".encode()
    for piece in (day, "us-east-1", asked.scope or asked.service, "aws4_request"):
        key = _hmac(key, piece)
    signature = _hmac(key, f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}").hex()
    if presigned:
        told += f"&X-Amz-Signature={signature}"
    else:
        headers["authorization"] = f"AWS4-HMAC-SHA256 Credential={keys.key}/{scope}, SignedHeaders={';'.join(names)}, Signature={signature}"
    path, listed, body = asked.path, list(headers.items()), asked.body
    if asked.after is not None:
        path, told, listed, body = asked.after(path, told, listed, body)
    listed.append(("content-length", str(len(body))))
    return HttpRequest(asked.method, path, told, listed, InflowBody.here(None, body, 1 << 20, lambda stop: None), False, "127.0.0.1")


@pytest.fixture(scope="module")
def yard(tmp_path_factory):
    made = InProcess(tmp_path_factory.mktemp("signatures"))
    made.client("s3").create_bucket(Bucket="bucket-b")
    iam = made.client("iam")
    iam.create_user(UserName="off")
    key = iam.create_access_key(UserName="off")["AccessKey"]
    iam.attach_user_policy(UserName="off", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    iam.update_access_key(UserName="off", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    own = made.secrets["session"]
    other = made.client("sts").assume_role(RoleArn=ROLE, RoleSessionName="other")["Credentials"]
    root = made.secrets["root"]
    made.keys = {
        "own": Keys(own["AccessKeyId"], own["SecretAccessKey"], own["SessionToken"]),
        "token of another": Keys(own["AccessKeyId"], own["SecretAccessKey"], other["SessionToken"]),
        "without its token": Keys(own["AccessKeyId"], own["SecretAccessKey"]),
        "a token too much": Keys(root["AccessKeyId"], root["SecretAccessKey"], own["SessionToken"]),
        "secret of another": Keys(own["AccessKeyId"], other["SecretAccessKey"], own["SessionToken"]),
        "inactive": Keys(key["AccessKeyId"], key["SecretAccessKey"]),
        "unknown": Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI"),
    }
    yield made
    made.close()


def send(yard, keys: str, asked: Request) -> tuple[int, str, str]:
    response = inproc.loop().run(yard.gateway.handle(signed(yard.keys[keys], asked)))
    text = response.body.decode() if isinstance(response.body, bytes) else b"".join(response.body).decode()
    code = re.search(r"<Code>(.*?)</Code>", text) or re.search(r'"__type":\s?"(?:[^"#]*#)?([^"#]+)"', text)
    header = next((value for name, value in response.headers if name.lower() == "x-amzn-errortype"), "")
    return response.status, code[1] if code else header.partition(":")[0], text


def set_header(name, value):
    return lambda path, query, headers, body: (path, query, [(n, value if n == name else v) for n, v in headers], body)


def no_header(name):
    return lambda path, query, headers, body: (path, query, [(n, v) for n, v in headers if n != name], body)


def more(*pairs):
    return lambda path, query, headers, body: (path, query, [*headers, *pairs], body)


def first(*pairs):
    return lambda path, query, headers, body: (path, query, [*pairs, *headers], body)


def another_body(path, query, headers, body):
    return path, query, headers, body.replace(b"evil", b"vile")


def more_query(path, query, headers, body):
    return path, f"{query}&x=1" if query else "x=1", headers, body


MISMATCH = {
    "s3": (403, "SignatureDoesNotMatch"),
    "query": (403, "SignatureDoesNotMatch"),
    "json": (400, "InvalidSignatureException"),
    "rest-json": (403, "InvalidSignatureException"),
}
SKEWED = {**MISMATCH, "s3": (403, "RequestTimeTooSkewed")}
TOKEN = {
    "s3": (400, "InvalidToken"),
    "query": (403, "InvalidClientTokenId"),
    "json": (400, "UnrecognizedClientException"),
    "rest-json": (403, "UnrecognizedClientException"),
}
KEY = {**TOKEN, "s3": (403, "InvalidAccessKeyId")}
MISSING = {
    "s3": (403, "AccessDenied"),
    "query": (403, "MissingAuthenticationToken"),
    "json": (400, "MissingAuthenticationTokenException"),
    "rest-json": (403, "MissingAuthenticationTokenException"),
}
HALF = {
    "s3": (400, "AuthorizationHeaderMalformed"),
    "query": (403, "IncompleteSignature"),
    "json": (400, "IncompleteSignatureException"),
    "rest-json": (403, "IncompleteSignatureException"),
}

ATTACKS = {
    "the clock is slow": (SKEWED, "own", {"late_s": -16 * 60}),
    "the clock is fast": (SKEWED, "own", {"late_s": 16 * 60}),
    "replayed a day later": (SKEWED, "own", {"late_s": -86400}),
    "another body": ({**MISMATCH, "s3": (400, "XAmzContentSHA256Mismatch")}, "own", {"after": another_body}),
    "another query": (MISMATCH, "own", {"after": more_query}),
    "another host": (MISMATCH, "own", {"after": set_header("host", "evil.example")}),
    "host is not signed": (MISMATCH, "own", {"loose": ("host",)}),
    "a header twice": (MISMATCH, "own", {"after": more(("host", "evil.example"))}),
    "another time": (MISMATCH, "own", {"after": set_header("x-amz-date", time.strftime("%Y%m%dT000000Z", time.gmtime(time.time() - 60)))}),
    "a signed header is gone": (MISMATCH, "own", {"headers": {"x-more": "1"}, "after": no_header("x-more")}),
    "the token of another session": (TOKEN, "token of another", {}),
    "a token with a key that has none": (TOKEN, "a token too much", {}),
    "a session without its token": (KEY, "without its token", {}),
    "the secret of another key": (MISMATCH, "secret of another", {}),
    "an inactive key": (KEY, "inactive", {}),
    "an unknown key": (KEY, "unknown", {}),
    "no signature": (MISSING, "own", {"after": no_header("authorization")}),
    "half a signature": (HALF, "own", {"after": set_header("authorization", "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20260101")}),
    "two signatures": (HALF, "own", {"after": more(("authorization", "AWS4-HMAC-SHA256 Credential=x"))}),
    "two signatures, the good one last": (HALF, "own", {"after": first(("authorization", "AWS4-HMAC-SHA256 Credential=x"))}),
}  # fmt: skip


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("attack", ATTACKS)
def test_nobody_is_let_in(yard, attack, dialect):
    expected, keys, change = ATTACKS[attack]
    base = DIALECTS[dialect]
    change = {**change, "headers": {**base.headers, **change.get("headers", {})}}
    status, code, text = send(yard, keys, replace(base, **change))
    if attack == "another time" and (status, code) != expected[dialect]:
        assert (status, code) == SKEWED[dialect], text  # early in the day or late, that is another fault
        return
    assert (status, code) == expected[dialect], text
    assert yard.client("s3").list_objects_v2(Bucket="bucket-b").get("KeyCount") == 0
    assert yard.client("iam").list_groups()["Groups"] == [] and yard.client("logs").describe_log_groups()["logGroups"] == []


@pytest.mark.parametrize(
    "attack, change, status, code",
    [
        ("over", {"expires": 60, "late_s": -61}, 403, "AccessDenied"),
        ("not yet", {"expires": 60, "late_s": 16 * 60}, 403, "AccessDenied"),
        ("more than a week", {"expires": 604801}, 400, "AuthorizationQueryParametersError"),
        ("negative", {"expires": -1}, 400, "AuthorizationQueryParametersError"),
        ("another key", {"expires": 60, "after": lambda p, q, h, b: (p + "x", q, h, b)}, 403, "SignatureDoesNotMatch"),
        (
            "longer",
            {"expires": 60, "after": lambda p, q, h, b: (p, q.replace("Expires=60", "Expires=600"), h, b)},
            403,
            "SignatureDoesNotMatch",
        ),
        ("a header that was not signed", {"expires": 60, "after": more(("x-amz-acl", "public-read"))}, 403, "AccessDenied"),
        ("a second signature", {"expires": 60, "after": more(("authorization", "AWS4-HMAC-SHA256 Credential=x"))}, 400, "InvalidArgument"),
    ],
)
def test_presigned_urls(yard, attack, change, status, code):
    found = send(yard, "own", replace(DIALECTS["s3"], **change))
    assert found[:2] == (status, code), found[2]
    assert yard.client("s3").list_objects_v2(Bucket="bucket-b").get("KeyCount") == 0


def test_a_signature_for_another_service_is_not_one_for_this(yard):
    """What is signed for another service is a request to that one, or is refused where a header says whose it is."""
    for dialect, asked in DIALECTS.items():
        for scope in ("ec2", "sts", "kms", "nonsense"):
            status, code, text = send(yard, "own", replace(asked, scope=scope))
            assert 400 <= status < 600 and status != 500, (dialect, scope, text)
            assert dialect != "json" or (status, code) == (400, "InvalidSignatureException"), text
            assert dialect != "json" or "Credential should be scoped to correct service: 'logs'" in text
    assert yard.client("s3").list_objects_v2(Bucket="bucket-b").get("KeyCount") == 0
    assert yard.client("iam").list_groups()["Groups"] == [] and yard.client("logs").describe_log_groups()["logGroups"] == []


def test_headers_of_amazon_that_were_not_signed(yard):
    found = send(yard, "own", replace(DIALECTS["s3"], after=more(("x-amz-acl", "public-read"))))
    assert found[:2] == (403, "AccessDenied") and "not signed" in found[2]
    loose = replace(DIALECTS["json"], loose=("x-amz-target",))
    assert send(yard, "own", loose)[:2] == (400, "InvalidSignatureException"), "the operation must be signed"
    assert yard.client("logs").describe_log_groups()["logGroups"] == []


def test_the_same_requests_signed_rightly_are_let_in(yard):
    """Else nothing of the above would say anything."""
    assert [send(yard, "own", asked)[0] for asked in (DIALECTS["s3"], DIALECTS["query"], DIALECTS["json"])] == [200, 200, 200]
    assert send(yard, "own", DIALECTS["rest-json"])[1] == "ValidationError", "there is no such endpoint"
    assert send(yard, "own", replace(DIALECTS["s3"], expires=60))[0] == 200
    yard.client("iam").delete_group(GroupName="evil")
    yard.client("logs").delete_log_group(logGroupName="evil")
    yard.client("s3").delete_object(Bucket="bucket-b", Key="k")
