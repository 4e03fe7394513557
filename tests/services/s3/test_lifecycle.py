"""Lifecycles: what rules are taken, and what the engine does by the platform's clock."""

from datetime import UTC, datetime

import pytest
from botocore.exceptions import ClientError

from modelyard.kernel.clock import ManualClock
from modelyard.services.s3 import lifecycle_run
from tests.support.platform import InProcess

DAY = 86_400.0
NOON = 1_700_006_400.0 // DAY * DAY + DAY / 2


@pytest.fixture
def yard(tmp_path):
    made = InProcess(tmp_path, ManualClock(NOON))
    yield made
    made.close()


@pytest.fixture
def s3(yard):
    made = yard.client("s3")
    made.create_bucket(Bucket="bkt")
    return made


def rules(s3, *said, **more):
    made = [{"Status": "Enabled", **({} if "Filter" in one or "Prefix" in one else {"Filter": {}}), **one} for one in said]
    s3.put_bucket_lifecycle_configuration(Bucket="bkt", LifecycleConfiguration={"Rules": made}, **more)


def pass_days(yard, days):
    yard.platform.clock.advance(days * DAY)
    yard.settle()


def keys(s3):
    return [one["Key"] for one in s3.list_objects_v2(Bucket="bkt").get("Contents", [])]


def versions(s3):
    page = s3.list_object_versions(Bucket="bkt")
    return len(page.get("Versions", [])), len(page.get("DeleteMarkers", []))


def test_objects_expire_at_the_midnight_after_their_days(yard, s3):
    rules(s3, {"ID": "old logs", "Filter": {"Prefix": "logs/"}, "Expiration": {"Days": 2}})
    for key in ("logs/a", "keep"):
        s3.put_object(Bucket="bkt", Key=key, Body=b"x")
    wanted = datetime.fromtimestamp(NOON + 2.5 * DAY, UTC).strftime("%a, %d %b %Y 00:00:00 GMT")
    assert s3.head_object(Bucket="bkt", Key="logs/a")["Expiration"] == f'expiry-date="{wanted}", rule-id="old%20logs"'
    assert "Expiration" not in s3.head_object(Bucket="bkt", Key="keep")
    assert "Expiration" not in s3.head_object(Bucket="bkt", Key="logs/a", VersionId="null")
    assert s3.put_object(Bucket="bkt", Key="logs/b")["Expiration"] == s3.get_object(Bucket="bkt", Key="logs/a")["Expiration"]
    pass_days(yard, 2.4)
    assert keys(s3) == ["keep", "logs/a", "logs/b"]
    pass_days(yard, 0.1)
    assert keys(s3) == ["keep"]


def test_an_expiration_by_date_and_a_rule_that_is_disabled(yard, s3):
    day = datetime.fromtimestamp(NOON + 1.5 * DAY, UTC)
    rules(
        s3,
        {"ID": "a", "Filter": {"Prefix": "a"}, "Expiration": {"Date": day}},
        {"ID": "b", "Filter": {"Prefix": "b"}, "Expiration": {"Date": day}, "Status": "Disabled"},
    )
    for key in "ab":
        s3.put_object(Bucket="bkt", Key=key)
    pass_days(yard, 1)
    assert keys(s3) == ["a", "b"]
    pass_days(yard, 1)
    assert keys(s3) == ["b"]
    assert s3.get_bucket_lifecycle_configuration(Bucket="bkt")["Rules"][0]["Expiration"]["Date"] == day


def test_filters_by_tags_and_sizes(yard, s3):
    both = {"And": {"Prefix": "p/", "Tags": [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}], "ObjectSizeGreaterThan": 2}}
    rules(
        s3,
        {"ID": "and", "Filter": both, "Expiration": {"Days": 1}},
        {"ID": "tag", "Filter": {"Tag": {"Key": "temp", "Value": "yes"}}, "Expiration": {"Days": 1}},
        {"ID": "small", "Filter": {"And": {"ObjectSizeLessThan": 3, "Prefix": "s/"}}, "Expiration": {"Days": 1}},
    )
    for key, size, tags in (
        ("p/goes", 3, "a=1&b=2&c=3"), ("p/small", 2, "a=1&b=2"), ("p/tag", 3, "a=1"), ("x/p", 3, "a=1&b=2"),
        ("temp", 1, "temp=yes"), ("temp2", 1, "temp=no"), ("s/2", 2, ""), ("s/3", 3, ""),
    ):  # fmt: skip
        s3.put_object(Bucket="bkt", Key=key, Body=b"x" * size, Tagging=tags)
    pass_days(yard, 2)
    assert keys(s3) == ["p/small", "p/tag", "s/3", "temp2", "x/p"]


def test_versions_expire_to_markers_then_go_and_the_markers_after_them(yard, s3):
    s3.put_bucket_versioning(Bucket="bkt", VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_notification_configuration(Bucket="bkt", NotificationConfiguration={"EventBridgeConfiguration": {}})
    rules(
        s3,
        {"ID": "cur", "Expiration": {"Days": 1}},
        {"ID": "old", "NoncurrentVersionExpiration": {"NoncurrentDays": 3}},
        {"ID": "mark", "Expiration": {"ExpiredObjectDeleteMarker": True}},
    )
    s3.put_object(Bucket="bkt", Key="k", Body=b"1")
    s3.put_object(Bucket="bkt", Key="k", Body=b"2")
    pass_days(yard, 2)
    assert keys(s3) == [] and versions(s3) == (2, 1)
    pass_days(yard, 2)
    assert versions(s3) == (1, 1)
    pass_days(yard, 2)
    assert versions(s3) == (0, 0)
    told = [one.detail["detail"] for one in yard.platform.store.events(0, 10_000) if one.kind == "aws.s3"][2:]
    assert [one["deletion-type"] for one in told] == ["Delete Marker Created"] + ["Permanently Deleted"] * 3
    assert {one["reason"] for one in told} == {"Lifecycle Expiration"}


def test_newer_noncurrent_versions_are_kept_and_locked_ones_stay(yard, s3):
    s3.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    one = {"Status": "Enabled", "Filter": {}, "ID": "n", "NoncurrentVersionExpiration": {"NoncurrentDays": 1, "NewerNoncurrentVersions": 2}}
    for bucket in ("bkt", "locked"):
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [one]})
        for n in range(6):
            hold = {"ObjectLockLegalHoldStatus": "ON"} if bucket == "locked" and n == 0 else {}
            s3.put_object(Bucket=bucket, Key="k", Body=str(n).encode(), **hold)
    pass_days(yard, 3)
    assert versions(s3) == (3, 0)
    assert len(s3.list_object_versions(Bucket="locked")["Versions"]) == 4


def test_uploads_are_aborted_and_their_bytes_go(yard, s3):
    rules(s3, {"ID": "up", "Filter": {"Prefix": "a"}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}})
    for key in "ab":
        upload = s3.create_multipart_upload(Bucket="bkt", Key=key)["UploadId"]
        s3.upload_part(Bucket="bkt", Key=key, UploadId=upload, PartNumber=1, Body=b"x" * 100_000)
    pass_days(yard, 2)
    assert [one["Key"] for one in s3.list_multipart_uploads(Bucket="bkt")["Uploads"]] == ["b"]
    objects = yard.platform.settings.data / "objects"
    assert len([path for path in objects.rglob("*") if path.is_file()]) == 1


def test_transitions_change_the_class_of_what_is_large_enough(yard, s3):
    moves = [{"Days": 30, "StorageClass": "STANDARD_IA"}, {"Days": 60, "StorageClass": "GLACIER_IR"}]
    rules(s3, {"ID": "t", "Transitions": moves})
    s3.put_object(Bucket="bkt", Key="large", Body=b"x" * (128 << 10))
    s3.put_object(Bucket="bkt", Key="small", Body=b"x")
    pass_days(yard, 31)
    found = {one["Key"]: one["StorageClass"] for one in s3.list_objects_v2(Bucket="bkt")["Contents"]}
    assert found == {"large": "STANDARD_IA", "small": "STANDARD"}
    pass_days(yard, 30)
    assert s3.head_object(Bucket="bkt", Key="large")["StorageClass"] == "GLACIER_IR"
    assert s3.get_object(Bucket="bkt", Key="large")["Body"].read() == b"x" * (128 << 10)


def test_thousands_of_objects_go_in_bounded_batches(yard, s3, monkeypatch):
    depot, most = yard.platform.parts["s3"], []

    def fill(tx):
        for n in range(5000):
            depot.index.insert(tx, "bkt", f"k{n:05}", "null", False, 0, "d41d8cd98f00b204e9800998ecf8427e", NOON, "", {})

    depot.index.db.grouped(fill)
    rules(s3, {"ID": "all", "Expiration": {"Days": 1}})
    real = lifecycle_run._commit

    def counted(depot, bucket, actions, now):
        most.append(len(actions))
        return real(depot, bucket, actions, now)

    monkeypatch.setattr(lifecycle_run, "_commit", counted)
    pass_days(yard, 2)
    assert keys(s3) == [] and max(most) <= lifecycle_run.BATCH and sum(most) == 5000


def test_a_configuration_is_deleted_and_what_was_due_stays(yard, s3):
    rules(s3, {"ID": "all", "Expiration": {"Days": 1}})
    s3.put_object(Bucket="bkt", Key="k")
    s3.delete_bucket_lifecycle(Bucket="bkt")
    pass_days(yard, 5)
    assert keys(s3) == ["k"]
    with pytest.raises(ClientError, match="NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(Bucket="bkt")
    rules(s3, {"ID": "all", "Expiration": {"Days": 1}})
    yard.settle()
    assert keys(s3) == []  # put on the same day: run at once


def test_the_older_api(yard, s3):
    s3.put_bucket_lifecycle(
        Bucket="bkt",
        LifecycleConfiguration={"Rules": [{"ID": "x", "Prefix": "a", "Status": "Enabled", "Expiration": {"Days": 1}}]},
    )
    assert s3.get_bucket_lifecycle(Bucket="bkt")["Rules"][0]["Prefix"] == "a"
    for key in "ab":
        s3.put_object(Bucket="bkt", Key=key)
    pass_days(yard, 2)
    assert keys(s3) == ["b"]


@pytest.mark.parametrize(
    ("said", "code", "text"),
    [
        ({"Expiration": {"Days": 0}}, "InvalidArgument", "'Days' for Expiration action must be a positive integer"),
        ({"Expiration": {"Date": datetime(2030, 1, 1, 1, tzinfo=UTC)}}, "InvalidArgument", "'Date' must be at midnight GMT"),
        ({}, "InvalidRequest", "At least one action needs to be specified in a rule."),
        ({"ID": "x" * 256, "Expiration": {"Days": 1}}, "InvalidArgument", "ID length should not exceed allowed limit of 255"),
        ({"Status": "enabled", "Expiration": {"Days": 1}}, "MalformedXML", ""),
        ({"Filter": {}, "Prefix": "", "Expiration": {"Days": 1}}, "MalformedXML", ""),
        ({"Expiration": {"Days": 1, "ExpiredObjectDeleteMarker": True}}, "MalformedXML", ""),
        ({"Filter": {"And": {"Prefix": "a"}}, "Expiration": {"Days": 1}}, "MalformedXML", ""),
        (
            {"Filter": {"Tag": {"Key": "a", "Value": "b"}}, "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}},
            "InvalidRequest",
            "cannot be specified with Tags",
        ),
        ({"Transitions": [{"Days": 1, "StorageClass": "STANDARD_IA"}]}, "InvalidArgument", "greater than or equal to 30"),
        (
            {"Transitions": [{"Days": 30, "StorageClass": "GLACIER"}], "Expiration": {"Days": 30}},
            "InvalidArgument",
            "must be greater than 'Days' in the Transition action",
        ),
        ({"NoncurrentVersionExpiration": {"NoncurrentDays": 0}}, "InvalidArgument", "must be a positive integer"),
        ({"NoncurrentVersionExpiration": {"NewerNoncurrentVersions": 3}}, "MalformedXML", ""),
    ],
)
def test_wrong_rules_are_refused(yard, s3, said, code, text):
    with pytest.raises(ClientError) as found:
        rules(s3, said)
    error = found.value.response["Error"]
    assert error["Code"] == code and text in error["Message"]
    with pytest.raises(ClientError, match="NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(Bucket="bkt")


def test_rules_of_one_name_are_refused(s3):
    with pytest.raises(ClientError, match="Found same ID for more than one rule"):
        rules(s3, {"ID": "a", "Expiration": {"Days": 1}}, {"ID": "a", "Prefix": "x", "Expiration": {"Days": 2}})
