"""POST forms: what a browser uploads with a policy that somebody signed."""

import base64
import datetime
import hmac
import json

import pytest
import requests

from tests.services.s3.yard import ACCOUNT


def post(presigned, body=b"from a form", name="photo.png", **more):
    fields = {**presigned["fields"], **more}
    return requests.post(presigned["url"], data=fields, files={"file": (name, body, "image/png")}, timeout=10, allow_redirects=False)


@pytest.fixture
def s3(yard):
    return yard.client(signature_version="s3v4")


def code(answer):
    return answer.text.partition("<Code>")[2].partition("</Code>")[0]


def test_presigned_post(s3, bucket):
    form = s3.generate_presigned_post(
        bucket,
        "up/${filename}",
        Fields={"acl": "bucket-owner-full-control", "x-amz-meta-who": "me", "Content-Type": "image/png"},
        Conditions=[["starts-with", "$Content-Type", "image/"], {"acl": "bucket-owner-full-control"}, {"x-amz-meta-who": "me"}],
    )
    answer = post(form)
    assert (answer.status_code, answer.text) == (204, "")
    got = s3.get_object(Bucket=bucket, Key="up/photo.png")
    assert (got["Body"].read(), got["ContentType"], got["Metadata"]) == (b"from a form", "image/png", {"who": "me"})
    assert answer.headers["etag"] == got["ETag"]


def test_status_and_redirect(s3, bucket):
    wish = {"success_action_status": "201"}
    answer = post(s3.generate_presigned_post(bucket, "k", Fields=wish, Conditions=[wish]))
    assert (answer.status_code, "<Key>k</Key>" in answer.text) == (201, True)
    wish = {"success_action_redirect": "http://127.0.0.1/done?x=1"}
    answer = post(s3.generate_presigned_post(bucket, "k", Fields=wish, Conditions=[wish]))
    assert answer.status_code == 303
    assert answer.headers["location"].startswith(f"http://127.0.0.1/done?x=1&bucket={bucket}&key=k&etag=%22")


def test_size_is_bounded(s3, bucket, refused):
    form = s3.generate_presigned_post(bucket, "k", Conditions=[["content-length-range", 10, 100_000]])
    assert (post(form, b"x" * 9).status_code, code(post(form, b"x" * 9))) == (400, "EntityTooSmall")
    assert (post(form, b"x" * 100_001).status_code, code(post(form, b"x" * 100_001))) == (400, "EntityTooLarge")
    refused(lambda: s3.head_object(Bucket=bucket, Key="k"), "404")
    assert post(form, b"x" * 100_000).status_code == 204


def test_a_large_file_streams(s3, bucket):
    body = b"0123456789abcdef\r\n--" * 200_000
    assert post(s3.generate_presigned_post(bucket, "big"), body).status_code == 204
    assert s3.get_object(Bucket=bucket, Key="big")["Body"].read() == body


@pytest.mark.parametrize(
    "change, status, expected",
    [
        ({"x-amz-meta-more": "1"}, 403, "AccessDenied"),
        ({"key": "other"}, 403, "AccessDenied"),
        ({"x-amz-signature": "0" * 64}, 403, "SignatureDoesNotMatch"),
        ({"policy": base64.b64encode(b'{"expiration":"2999-01-01T00:00:00Z","conditions":[]}').decode()}, 403, "SignatureDoesNotMatch"),
        (
            {"x-amz-credential": "AKIAIOSFODNN7EXAMPLE/20260101/us-east-1/s3/aws4_request"},
            403,
            ("InvalidAccessKeyId", "AuthorizationHeaderMalformed"),
        ),
        ({"x-ignore-this": "1"}, 204, ""),
    ],
)
def test_tampering(s3, bucket, change, status, expected):
    form = s3.generate_presigned_post(bucket, "k")
    answer = post(form, **change)
    if "x-amz-credential" in change:
        assert answer.status_code in (400, 403) and code(answer) in expected
    else:
        assert (answer.status_code, code(answer)) == (status, expected)


def by_hand(yard, document):
    """A form whose policy is signed in the old way (signature version 2)."""
    key = yard.keys[ACCOUNT]
    policy = base64.b64encode(document if isinstance(document, bytes) else json.dumps(document).encode()).decode()
    signature = base64.b64encode(hmac.digest(key["SecretAccessKey"].encode(), policy.encode(), "sha1")).decode()
    return {"key": "k", "AWSAccessKeyId": key["AccessKeyId"], "policy": policy, "signature": signature}


def test_policies(yard, s3, bucket):
    soon = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    conditions = [{"bucket": bucket}, ["starts-with", "$key", ""]]
    cases = [
        ({"expiration": soon, "conditions": conditions}, 204, ""),
        ({"expiration": "2001-01-01T00:00:00Z", "conditions": conditions}, 403, "AccessDenied"),
        ({"expiration": "tomorrow", "conditions": conditions}, 400, "InvalidPolicyDocument"),
        ({"conditions": conditions}, 400, "InvalidPolicyDocument"),
        ({"expiration": soon}, 400, "InvalidPolicyDocument"),
        ({"expiration": soon, "conditions": [["like", "$key", "x"]]}, 400, "InvalidPolicyDocument"),
        ({"expiration": soon, "conditions": [["content-length-range", 0]]}, 400, "InvalidPolicyDocument"),
        ({"expiration": soon, "conditions": [{"bucket": "other"}, *conditions[1:]]}, 403, "AccessDenied"),
        (b"not json", 400, "InvalidPolicyDocument"),
    ]
    for document, status, expected in cases:
        answer = post({"url": f"{yard.url()}/{bucket}", "fields": by_hand(yard, document)})
        assert (answer.status_code, code(answer)) == (status, expected), document


def test_forms_that_are_none(yard, s3, bucket):
    url = f"{yard.url()}/{bucket}"
    kind = {"Content-Type": "multipart/form-data; boundary=b"}
    part = '--b\r\nContent-Disposition: form-data; name="{}"\r\n\r\n{}\r\n'
    cases = [
        (part.format("key", "k") + "--b--\r\n", "InvalidArgument"),
        (part.format("file", "x") + "--b--\r\n", "InvalidArgument"),
        (part.format("key", "x" * 30_000), "MaxPostPreDataLengthExceeded"),
        ("nothing", "IncompleteBody"),
        (part.format("key", "k") + part.format("file", "cut off")[:-2], "IncompleteBody"),
    ]
    for body, expected in cases:
        assert code(requests.post(url, data=body.encode(), headers=kind, timeout=10)) in (expected, "AccessDenied"), expected
    anonymous = {"url": url, "fields": {"key": "k"}}
    assert (post(anonymous).status_code, code(post(anonymous))) == (403, "AccessDenied")
    assert code(requests.post(f"{yard.url()}/no-such-bucket-here", data={"key": "k"}, files={"file": b"x"}, timeout=10)) == "NoSuchBucket"


def test_open_mode_takes_no_forms_of_strangers(tmp_path):
    """A page of another site can make a browser post a form here; where any key will do, that must not write."""
    import asyncio

    from modelyard.kernel.service import BytesBody
    from modelyard.wire.http import HttpRequest
    from tests.support.platform import InProcess

    yard = InProcess(tmp_path, auth="open")
    try:
        yard.client("s3").create_bucket(Bucket="open-mode")
        body = b'--b\r\nContent-Disposition: form-data; name="key"\r\n\r\nk\r\n--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--b--\r\n'

        def answer(**headers):
            sent = [("host", "127.0.0.1"), ("content-type", "multipart/form-data; boundary=b"), *headers.items()]
            return asyncio.run(yard.gateway.handle(HttpRequest("POST", "/open-mode", "", sent, BytesBody(body)))).status

        assert answer(origin="https://evil.example") == 403
        assert answer() == 204
    finally:
        yard.close()
