"""S3's longer doings cut off half way: what comes after finds everything there and finishes it, once."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from modelyard.kernel.clock import ManualClock
from modelyard.services.s3 import access_lines, lifecycle_run
from modelyard.services.s3.lifecycle_rules import due
from tests.support.platform import InProcess

DAY, LARGE = 86_400.0, b"x" * 40_000  # larger than what is kept in the index


class CutOff(OSError):
    pass


@pytest.fixture
def yard(tmp_path):
    made = InProcess(tmp_path, ManualClock(1_700_000_000.0))
    yield made
    made.close()


@pytest.fixture
def s3(yard):
    made = yard.client("s3")
    made.create_bucket(Bucket="box")
    return made


@pytest.fixture
def depot(yard):
    return yard.platform.parts["s3"]


def once(monkeypatch, where, name):
    """`where.name` fails at its next call, and does nothing."""
    real, calls = getattr(where, name), []

    def cut(*args, **kwargs):
        if not calls:
            calls.append(1)
            raise CutOff(name)
        return real(*args, **kwargs)

    monkeypatch.setattr(where, name, cut)


def read(s3, key):
    return s3.get_object(Bucket="box", Key=key)["Body"].read()


def test_a_delete_that_does_not_commit_leaves_the_object_with_its_bytes(s3, depot, monkeypatch):
    s3.put_object(Bucket="box", Key="k", Body=LARGE)
    once(monkeypatch, depot.index, "remove")
    with pytest.raises(CutOff):
        depot.delete("box", "k", None)
    assert read(s3, "k") == LARGE
    s3.delete_object(Bucket="box", Key="k")
    with pytest.raises(ClientError):
        read(s3, "k")


def test_a_complete_that_does_not_commit_can_be_asked_again(s3, depot, monkeypatch):
    upload = s3.create_multipart_upload(Bucket="box", Key="k")["UploadId"]
    etag = s3.upload_part(Bucket="box", Key="k", UploadId=upload, PartNumber=1, Body=LARGE)["ETag"]
    asked = {"Bucket": "box", "Key": "k", "UploadId": upload, "MultipartUpload": {"Parts": [{"PartNumber": 1, "ETag": etag}]}}
    once(monkeypatch, depot.index, "insert")
    try:
        s3.complete_multipart_upload(**asked)  # boto3 asks again by itself
    except ClientError:
        s3.complete_multipart_upload(**asked)
    assert read(s3, "k") == LARGE
    s3.complete_multipart_upload(**asked)
    assert len(s3.list_object_versions(Bucket="box")["Versions"]) == 1
    assert depot.sweep(grace_s=-5.0) == 0


def expire_all(s3):
    rule = {"ID": "r", "Status": "Enabled", "Filter": {}, "Expiration": {"Days": 1}}
    s3.put_bucket_lifecycle_configuration(Bucket="box", LifecycleConfiguration={"Rules": [rule]})


def test_a_lifecycle_pass_that_is_cut_off_is_begun_anew(yard, s3, depot, monkeypatch):
    for number in range(5):
        s3.put_object(Bucket="box", Key=f"k{number}", Body=LARGE)
    expire_all(s3)
    yard.settle()
    monkeypatch.setattr(lifecycle_run, "BATCH", 1)
    yard.platform.clock._now += 3 * DAY  # nobody is woken: the engine's worker is called here
    real, count = lifecycle_run._commit, []

    def cut(*args):
        count.append(1)
        if len(count) == 3:
            raise CutOff
        return real(*args)

    monkeypatch.setattr(lifecycle_run, "_commit", cut)
    with pytest.raises(CutOff):
        lifecycle_run.drain(yard.platform)
    assert s3.list_objects_v2(Bucket="box")["KeyCount"] == 3
    lifecycle_run.drain(yard.platform)
    assert s3.list_objects_v2(Bucket="box")["KeyCount"] == 0
    assert depot.sweep(grace_s=-5.0) == 0


def test_what_was_put_anew_meanwhile_does_not_expire(yard, s3, depot):
    s3.put_object(Bucket="box", Key="k", Body=b"old")
    expire_all(s3)
    seen = depot.index.latest("box", "k")
    now = seen.modified + 3 * DAY
    actions = due(depot.index.bucket("box").settings["Lifecycle"], [seen], now)
    s3.put_object(Bucket="box", Key="k", Body=b"new")
    assert actions and lifecycle_run._commit(depot, "box", actions, now) == 0
    assert read(s3, "k") == b"new"


def test_a_delivery_of_access_logs_that_is_cut_off_is_made_again(yard, s3, depot, monkeypatch):
    s3.create_bucket(Bucket="logs")
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "logging.s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::logs/*",
    }
    s3.put_bucket_policy(Bucket="logs", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))
    s3.put_bucket_logging(Bucket="box", BucketLoggingStatus={"LoggingEnabled": {"TargetBucket": "logs", "TargetPrefix": ""}})
    now = yard.platform.clock.now()
    rows = [("box", now - 900, f"line {number}") for number in range(3)]
    once(monkeypatch, yard.platform.objects, "put_bytes")
    depot.index.db.grouped(lambda tx: tx.executemany("INSERT INTO s3_log_lines (bucket, at, line) VALUES (?,?,?)", rows))
    with pytest.raises(CutOff):
        access_lines._deliver(yard.platform, depot, "box")
    access_lines._deliver(yard.platform, depot, "box")
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket="logs")["Contents"]]
    told = b"".join(s3.get_object(Bucket="logs", Key=key)["Body"].read() for key in keys).decode()
    assert [one for one in told.splitlines() if one.startswith("line")] == ["line 0", "line 1", "line 2"]
