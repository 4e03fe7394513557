"""Cross-origin rules: what a page of another origin may send and read."""

import pytest
import requests

ORIGIN = "https://example.com"


@pytest.fixture
def ruled(s3, bucket):
    rules = [
        {"AllowedMethods": ["GET", "PUT"], "AllowedOrigins": ["https://*.example.org", ORIGIN], "AllowedHeaders": ["x-amz-*", "content-type"],
         "ExposeHeaders": ["ETag"], "MaxAgeSeconds": 60},
        {"AllowedMethods": ["HEAD"], "AllowedOrigins": ["*"]},
    ]  # fmt: skip
    s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": rules})
    assert s3.get_bucket_cors(Bucket=bucket)["CORSRules"] == rules
    return bucket


def preflight(yard, bucket, method="PUT", origin=ORIGIN, names=""):
    headers = {"Origin": origin, "Access-Control-Request-Method": method, **({"Access-Control-Request-Headers": names} if names else {})}
    return requests.options(f"{yard.url()}/{bucket}/k", headers=headers, timeout=10)


def test_preflight(yard, ruled):
    answer = preflight(yard, ruled, names="X-Amz-Date, Content-Type")
    assert answer.status_code == 200
    told = {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}
    assert told == {
        "access-control-allow-origin": ORIGIN,
        "access-control-allow-credentials": "true",
        "access-control-allow-methods": "GET, PUT",
        "access-control-allow-headers": "x-amz-date, content-type",
        "access-control-expose-headers": "ETag",
        "access-control-max-age": "60",
    }
    assert preflight(yard, ruled, "HEAD", "http://any.where").headers["access-control-allow-origin"] == "*"
    assert preflight(yard, ruled, origin="https://a.example.org").status_code == 200


@pytest.mark.parametrize(
    "asked, status, code",
    [
        ({"method": "DELETE"}, 403, "AccessForbidden"),
        ({"origin": "https://example.com.evil"}, 403, "AccessForbidden"),
        ({"names": "authorization"}, 403, "AccessForbidden"),
        ({"method": "BREW"}, 400, "BadRequest"),
        ({"origin": ""}, 400, "BadRequest"),
    ],
)
def test_preflight_refused(yard, ruled, asked, status, code):
    answer = preflight(yard, ruled, **asked)
    assert (answer.status_code, f"<Code>{code}</Code>" in answer.text) == (status, True)
    assert "access-control-allow-origin" not in answer.headers


def test_answers_tell_who_may_read_them(yard, s3, ruled):
    s3.put_object(Bucket=ruled, Key="k", Body=b"x")
    url = s3.generate_presigned_url("get_object", {"Bucket": ruled, "Key": "k"})
    assert requests.get(url, headers={"Origin": ORIGIN}, timeout=10).headers["access-control-allow-origin"] == ORIGIN
    assert "access-control-allow-origin" not in requests.get(url, headers={"Origin": "https://evil.com"}, timeout=10).headers
    refused = requests.get(f"{yard.url()}/{ruled}/k", headers={"Origin": ORIGIN}, timeout=10)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (403, ORIGIN)


def test_without_rules(yard, s3, bucket, refused):
    assert preflight(yard, bucket).status_code == 403
    assert preflight(yard, "no-such-bucket-here").status_code == 403
    refused(lambda: s3.get_bucket_cors(Bucket=bucket), "NoSuchCORSConfiguration", 404)
    put = lambda rule: s3.put_bucket_cors(Bucket=bucket, CORSConfiguration={"CORSRules": [rule]})  # noqa: E731
    refused(lambda: put({"AllowedMethods": ["PATCH"], "AllowedOrigins": ["*"]}), "InvalidRequest", 400)
    refused(lambda: put({"AllowedMethods": ["GET"], "AllowedOrigins": ["*.*"]}), "InvalidRequest", 400)
    refused(lambda: put({"AllowedMethods": ["GET"], "AllowedOrigins": ["*"], "ExposeHeaders": ["x-*"]}), "InvalidRequest", 400)
