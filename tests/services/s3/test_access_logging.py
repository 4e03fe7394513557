"""Server access logging: lines in AWS's format, delivered by the platform's clock to a bucket that lets S3 write."""

import json
import re
import time

import pytest
from botocore.exceptions import ClientError

from modelyard.kernel.clock import ManualClock
from tests.support.platform import ACCOUNT, InProcess

FIELDS = re.compile(r'\[[^\]]*\]|"[^"]*"|\S+')


@pytest.fixture
def yard(tmp_path):
    made = InProcess(tmp_path, ManualClock(1_700_000_000.0))
    yield made
    made.close()


@pytest.fixture
def s3(yard):
    made = yard.client("s3")
    for name in ("src", "logs"):
        made.create_bucket(Bucket=name)
    return made


def allow(s3):
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::logs/a/*",
        "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::src"}, "StringEquals": {"aws:SourceAccount": ACCOUNT}},
    }
    s3.put_bucket_policy(Bucket="logs", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))


def turn_on(s3, **more):
    s3.put_bucket_logging(Bucket="src", BucketLoggingStatus={"LoggingEnabled": {"TargetBucket": "logs", "TargetPrefix": "a/", **more}})


def delivered(yard, s3, seconds=400):
    lines = yard.platform.parts["s3_access"]
    end = time.monotonic() + 60
    while lines._busy and time.monotonic() < end:  # the gateway's thread is writing them
        time.sleep(0.005)
    yard.platform.clock.advance(seconds)
    yard.settle()
    found = {}
    for one in s3.list_objects_v2(Bucket="logs").get("Contents", []):
        found[one["Key"]] = s3.get_object(Bucket="logs", Key=one["Key"])["Body"].read().decode().splitlines()
    return found


def test_lines_of_requests_are_delivered(yard, s3):
    allow(s3)
    turn_on(s3)
    assert s3.get_bucket_logging(Bucket="src")["LoggingEnabled"]["TargetBucket"] == "logs"
    s3.put_object(Bucket="src", Key="a b.txt", Body=b"12345")
    s3.get_object(Bucket="src", Key="a b.txt")
    with pytest.raises(ClientError):
        s3.get_object(Bucket="src", Key="none")
    assert delivered(yard, s3, 10) == {}
    found = delivered(yard, s3)
    ((key, lines),) = found.items()
    assert re.fullmatch(r"a/\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d-[0-9A-F]{16}", key)
    rows = [FIELDS.findall(line) for line in lines]
    assert {len(row) for row in rows} == {26}
    rows = [row for row in rows if row[6].endswith(".OBJECT")]
    assert [(row[1], row[6], row[7], row[9], row[10]) for row in rows] == [
        ("src", "REST.PUT.OBJECT", "a%20b.txt", "200", "-"),
        ("src", "REST.GET.OBJECT", "a%20b.txt", "200", "-"),
        ("src", "REST.GET.OBJECT", "none", "404", "NoSuchKey"),
    ]
    put, get, _ = rows
    assert put[2] == "[14/Nov/2023:22:13:20 +0000]" and put[4].startswith("arn:aws:sts:") and put[8].startswith('"PUT /src/a%20b.txt')
    assert get[11] == "5" and get[12] == "5" and get[19] == "SigV4" and get[21] == "AuthHeader"
    assert delivered(yard, s3) == found  # nothing twice


def test_a_denied_request_is_logged_and_partitions_name_the_day(yard, s3):
    allow(s3)
    turn_on(s3, TargetObjectKeyFormat={"PartitionedPrefix": {"PartitionDateSource": "EventTime"}})
    iam = yard.client("iam")
    iam.create_user(UserName="u")
    from tests.support import inproc

    key = iam.create_access_key(UserName="u")["AccessKey"]
    other = inproc.client(yard.gateway, "s3", key=key["AccessKeyId"], secret=key["SecretAccessKey"], token=None)
    with pytest.raises(ClientError, match="AccessDenied"):
        other.get_object(Bucket="src", Key="k")
    found = delivered(yard, s3)
    ((name, lines),) = found.items()
    assert name.startswith(f"a/{ACCOUNT}/us-east-1/src/2023/11/14/2023-11-14-")
    assert any(" 403 AccessDenied " in line and "user/u" in line for line in lines)


def test_targets_that_cannot_be(yard, s3):
    with pytest.raises(ClientError, match="The target bucket for logging does not exist") as problem:
        turn_on(s3, TargetBucket="none-there")
    assert problem.value.response["Error"]["TargetBucket"] == "none-there"
    far = yard.client("s3", region="eu-west-1")
    far.create_bucket(Bucket="far", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    with pytest.raises(ClientError, match="Cross S3 location logging not allowed") as problem:
        turn_on(s3, TargetBucket="far")
    assert problem.value.response["Error"]["TargetBucketLocation"] == "eu-west-1"
    assert "LoggingEnabled" not in s3.get_bucket_logging(Bucket="src")


def test_a_target_may_let_s3_in_later(yard, s3):
    turn_on(s3)
    s3.put_object(Bucket="src", Key="unseen")
    assert delivered(yard, s3) == {}
    allow(s3)
    s3.put_object(Bucket="src", Key="seen")
    lines = [line for found in delivered(yard, s3).values() for line in found]
    assert any("REST.PUT.OBJECT seen " in line for line in lines) and not any("unseen" in line for line in lines)


def test_turned_off_nothing_is_logged(yard, s3):
    allow(s3)
    turn_on(s3)
    s3.put_bucket_logging(Bucket="src", BucketLoggingStatus={})
    delivered(yard, s3)
    before = len(delivered(yard, s3))
    s3.put_object(Bucket="src", Key="k")
    assert len(delivered(yard, s3)) == before
