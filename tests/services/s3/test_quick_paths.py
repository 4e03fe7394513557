"""Objects without a thread: reads on the loop, small writes by the thread that commits, and reads that come again byte for byte."""

import hashlib
import http.client
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from modelyard.services.s3.ingest import SMALL


@pytest.fixture
def s3(yard):
    return yard.client(signature_version="s3v4")


@pytest.fixture
def answered(yard, monkeypatch):
    """How many requests went the ordinary way so far, and how many of them on a thread."""
    counts = {"ordinary": 0, "thread": 0}
    answer, on_thread = yard.gateway._answer, yard.gateway._on_thread

    async def counting(*arguments):
        counts["ordinary"] += 1
        return await answer(*arguments)

    def hopping(*arguments):
        counts["thread"] += 1
        return on_thread(*arguments)

    monkeypatch.setattr(yard.gateway, "_answer", counting)
    monkeypatch.setattr(yard.gateway, "_on_thread", hopping)
    return counts


@pytest.fixture
def ask(yard):
    """`ask(url)`: (status, headers, body) over one kept-alive connection."""
    connection = http.client.HTTPConnection("127.0.0.1", yard.port, timeout=60)

    def one(url, method="GET", body=None, headers=None):
        at = urlsplit(url)
        connection.request(method, f"{at.path}?{at.query}", body=body, headers=headers or {})
        got = connection.getresponse()
        return got.status, got.headers, got.read()

    yield one
    connection.close()


def url_of(s3, bucket, key, method="get_object", **more):
    return s3.generate_presigned_url(method, Params={"Bucket": bucket, "Key": key}, **more)


def test_small_objects_need_no_thread(s3, bucket, answered):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x" * 1024, Metadata={"a": "b"})
    got = s3.get_object(Bucket=bucket, Key="k")
    assert (got["Body"].read(), got["Metadata"]) == (b"x" * 1024, {"a": "b"})
    s3.put_object(Bucket=bucket, Key="large", Body=b"y" * (SMALL + 1))
    assert answered == {"ordinary": 3, "thread": 1}, "only the large one is written on a thread"
    assert s3.get_object(Bucket=bucket, Key="large")["Body"].read() == b"y" * (SMALL + 1)
    assert s3.head_object(Bucket=bucket, Key="large")["ContentLength"] == SMALL + 1
    assert answered["thread"] == 1


def test_what_is_encrypted_goes_by_a_thread(s3, bucket, answered):
    s3.put_object(Bucket=bucket, Key="k", Body=b"secret", ServerSideEncryption="AES256")
    got = s3.get_object(Bucket=bucket, Key="k")
    assert (got["Body"].read(), got["ServerSideEncryption"], answered["thread"]) == (b"secret", "AES256", 2)


def test_a_small_body_that_comes_late_and_in_pieces(yard, s3, bucket, answered):
    at, body = urlsplit(url_of(s3, bucket, "late", "put_object")), b"0123456789" * 300
    connection = http.client.HTTPConnection("127.0.0.1", yard.port, timeout=60)
    connection.putrequest("PUT", f"{at.path}?{at.query}")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders()
    for begin in range(0, len(body), 1000):
        time.sleep(0.02)
        connection.send(body[begin : begin + 1000])
    assert connection.getresponse().status == 200
    connection.close()
    assert s3.get_object(Bucket=bucket, Key="late")["Body"].read() == body
    assert answered["thread"] == 0


def test_refusals_of_small_writes(s3, bucket, refused):
    s3.put_object(Bucket=bucket, Key="k", Body=b"first", IfNoneMatch="*")
    refused(lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"second", IfNoneMatch="*"), "PreconditionFailed", 412)
    refused(lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"bad", ContentMD5="1B2M2Y8AsgTpgAmY7PhCfg=="), "BadDigest", 400)
    refused(lambda: s3.put_object(Bucket="no-such-bucket-here", Key="k", Body=b"x"), "NoSuchBucket", 404)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"first"


def test_of_many_conditional_writers_one_wins(s3, bucket):
    def put(number):
        try:
            s3.put_object(Bucket=bucket, Key="one", Body=b"%d" % number, IfNoneMatch="*")
            return number
        except ClientError as problem:
            assert problem.response["Error"]["Code"] == "PreconditionFailed"

    with ThreadPoolExecutor(8) as pool:
        won = [number for number in pool.map(put, range(24)) if number is not None]
    assert len(won) == 1 and s3.get_object(Bucket=bucket, Key="one")["Body"].read() == b"%d" % won[0]


def test_a_large_object_replaced_by_a_small_one_leaves_no_file(yard, s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"L" * SMALL * 2)
    blob = yard.depot.find(bucket, "k").blob
    s3.put_object(Bucket=bucket, Key="k", Body=b"small")
    end = time.monotonic() + 20
    while yard.depot.blobs.path(blob).exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"small"


def test_the_same_bytes_again(s3, bucket, ask, answered):
    """Known from the third time on, and then as true as before: other bytes, no object, other headers."""
    s3.put_object(Bucket=bucket, Key="k", Body=b"one")
    url = url_of(s3, bucket, "k")
    first = [ask(url) for _ in range(2)]
    ordinary = answered["ordinary"]
    status, headers, body = ask(url)
    assert answered["ordinary"] == ordinary, "it was known"
    assert (status, body) == (200, b"one") == (first[0][0], first[0][2])
    plain = ("x-amz-request-id", "x-amz-id-2", "date")
    assert {k: v for k, v in headers.items() if k not in plain} == {k: v for k, v in first[0][1].items() if k not in plain}
    assert headers["x-amz-request-id"] != first[1][1]["x-amz-request-id"]
    s3.put_object(Bucket=bucket, Key="k", Body=b"two", ContentType="text/plain")
    status, headers, body = ask(url)
    assert (status, body, headers["content-type"], headers["etag"]) == (200, b"two", "text/plain", f'"{hashlib.md5(b"two").hexdigest()}"')
    s3.put_object(Bucket=bucket, Key="k", Body=b"L" * 300_000)
    assert ask(url)[2] == b"L" * 300_000 and ask(url)[2] == b"L" * 300_000
    s3.delete_object(Bucket=bucket, Key="k")
    assert ask(url)[0] == 404
    s3.put_object(Bucket=bucket, Key="k", Body=b"back")
    assert ask(url)[2] == b"back"


def test_the_same_bytes_again_after_a_denial(yard, s3, bucket, ask):
    """A policy that changes, and a key that is taken back, are in force at the next call."""
    iam = yard.client(service="iam")
    iam.create_user(UserName="reader")
    iam.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=policy("Allow"))
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    session = boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name="us-east-1")
    mine = session.client("s3", endpoint_url=f"http://127.0.0.1:{yard.port}", config=Config(signature_version="s3v4"))
    s3.put_object(Bucket=bucket, Key="k", Body=b"bytes")
    url = url_of(mine, bucket, "k")
    assert [ask(url)[0] for _ in range(4)] == [200] * 4
    denial = json.loads(policy("Deny"))
    denial["Statement"][0] |= {"Principal": "*", "Resource": f"arn:aws:s3:::{bucket}/*"}
    s3.put_bucket_policy(Bucket=bucket, Policy=json.dumps(denial))
    assert [ask(url)[0] for _ in range(2)] == [403] * 2
    s3.delete_bucket_policy(Bucket=bucket)
    assert [ask(url)[0] for _ in range(3)] == [200] * 3
    iam.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=policy("Deny"))
    assert ask(url)[0] == 403
    iam.put_user_policy(UserName="reader", PolicyName="read", PolicyDocument=policy("Allow"))
    assert [ask(url)[0] for _ in range(4)] == [200] * 4
    iam.update_access_key(UserName="reader", AccessKeyId=key["AccessKeyId"], Status="Inactive")
    assert ask(url)[0] == 403


def policy(effect):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": effect, "Action": "s3:GetObject", "Resource": "*"}]})


def test_the_same_bytes_again_when_they_have_expired(s3, bucket, ask):
    s3.put_object(Bucket=bucket, Key="k", Body=b"bytes")
    url = url_of(s3, bucket, "k", ExpiresIn=2)
    end = time.monotonic() + 30
    while (status := ask(url)[0]) == 200:
        assert time.monotonic() < end
        time.sleep(0.1)
    assert status == 403


def test_writers_and_readers_of_one_key(s3, bucket):
    """Whatever a reader gets was written whole, and never older than what it got before."""
    stop, problems = threading.Event(), []
    s3.put_object(Bucket=bucket, Key="k", Body=b"0" * 2000)
    url, last = urlsplit(url_of(s3, bucket, "k")), 0

    def write():
        for number in range(1, 40):
            s3.put_object(Bucket=bucket, Key="k", Body=b"%d " % number * 500)
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
    while not stop.is_set():
        connection.request("GET", f"{url.path}?{url.query}")
        words = connection.getresponse().read().split() or [b"?"]
        if len(set(words)) != 1 or int(words[0]) < last:
            problems.append((last, words[:3]))
        last = int(words[0])
    writer.join(30)
    connection.close()
    assert problems == []
