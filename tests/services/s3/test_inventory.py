"""Inventories: configurations as AWS checks them, reports on the platform's clock."""

import csv
import gzip
import hashlib
import io
import json
from urllib.parse import unquote

import pytest
from botocore.exceptions import ClientError

from modelyard.kernel.clock import ManualClock
from modelyard.services.s3 import inventory_run
from tests.support.platform import ACCOUNT, InProcess

DAY, SATURDAY_NOON = 86_400.0, 1_700_308_800.0  # 2023-11-18


@pytest.fixture
def yard(tmp_path):
    made = InProcess(tmp_path, ManualClock(SATURDAY_NOON))
    yield made
    made.close()


@pytest.fixture
def s3(yard):
    made = yard.client("s3")
    for name in ("src", "reports"):
        made.create_bucket(Bucket=name)
    return made


def allow(s3, source="src"):
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "s3:PutObject",
        "Resource": "arn:aws:s3:::reports/*",
        "Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{source}"}, "StringEquals": {"aws:SourceAccount": ACCOUNT}},
    }
    s3.put_bucket_policy(Bucket="reports", Policy=json.dumps({"Version": "2012-10-17", "Statement": [statement]}))


def asked(name="all", **more):
    to = {"Bucket": "arn:aws:s3:::reports", "Format": "CSV", "Prefix": "inv", **more.pop("to", {})}
    return {
        "Id": name,
        "IsEnabled": True,
        "IncludedObjectVersions": "Current",
        "Schedule": {"Frequency": "Daily"},
        "Destination": {"S3BucketDestination": to},
        **more,
    }


def put(s3, name="all", **more):
    s3.put_bucket_inventory_configuration(Bucket="src", Id=name, InventoryConfiguration=asked(name, **more))


def later(yard, days):
    yard.platform.clock.advance(days * DAY)
    yard.settle()


def keys(s3):
    return [one["Key"] for one in s3.list_objects_v2(Bucket="reports").get("Contents", [])]


def report(s3, manifest_key):
    """(manifest, rows as dicts), every checksum compared."""
    read = lambda key: s3.get_object(Bucket="reports", Key=key)["Body"].read()  # noqa: E731
    text = read(manifest_key)
    assert read(manifest_key.replace("manifest.json", "manifest.checksum")).decode() == hashlib.md5(text).hexdigest()
    manifest, rows = json.loads(text), []
    for file in manifest["files"]:
        data = read(file["key"])
        assert len(data) == file["size"] and hashlib.md5(data).hexdigest() == file["MD5checksum"]
        for row in csv.reader(io.StringIO(gzip.decompress(data).decode())):
            rows.append(dict(zip(manifest["fileSchema"].split(", "), row, strict=True)))
    return manifest, rows


def test_a_daily_report_lists_what_is_there(yard, s3):
    allow(s3)
    s3.put_object(Bucket="src", Key='a b/ü,"x', Body=b"one")
    s3.put_object(Bucket="src", Key="cold", Body=b"two!", StorageClass="GLACIER_IR", ServerSideEncryption="AES256")
    fields = [
        "Size",
        "LastModifiedDate",
        "StorageClass",
        "ETag",
        "IsMultipartUploaded",
        "EncryptionStatus",
        "ChecksumAlgorithm",
        "ObjectOwner",
    ]
    put(s3, OptionalFields=fields)
    yard.settle()
    assert keys(s3) == []  # the first comes at midnight
    later(yard, 0.5)
    found = keys(s3)
    assert "inv/src/all/2023-11-19T00-00Z/manifest.json" in found and "inv/src/all/hive/dt=2023-11-19-00-00/symlink.txt" in found
    manifest, rows = report(s3, "inv/src/all/2023-11-19T00-00Z/manifest.json")
    assert manifest["fileSchema"] == ", ".join(["Bucket", "Key", *fields])
    assert manifest["sourceBucket"] == "src" and manifest["destinationBucket"] == "arn:aws:s3:::reports"
    assert [(unquote(one["Key"]), one["Size"], one["StorageClass"], one["EncryptionStatus"]) for one in rows] == [
        ('a b/ü,"x', "3", "STANDARD", "NOT-SSE"),
        ("cold", "4", "GLACIER_IR", "SSE-S3"),
    ]
    assert rows[0]["ETag"] == hashlib.md5(b"one").hexdigest() and rows[0]["Bucket"] == "src"
    later(yard, 1)
    assert "inv/src/all/2023-11-20T00-00Z/manifest.json" in keys(s3)


def test_all_versions_of_a_prefix_weekly(yard, s3):
    allow(s3)
    s3.put_bucket_versioning(Bucket="src", VersioningConfiguration={"Status": "Enabled"})
    for key in ("in/a", "in/a", "out/b"):
        s3.put_object(Bucket="src", Key=key, Body=b"x")
    s3.delete_object(Bucket="src", Key="in/a")
    later(yard, 1.5)  # Monday
    put(s3, IncludedObjectVersions="All", Schedule={"Frequency": "Weekly"}, Filter={"Prefix": "in/"}, OptionalFields=["Size"])
    later(yard, 5)
    assert keys(s3) == []
    later(yard, 1)  # Sunday
    _, rows = report(s3, "inv/src/all/2023-11-26T00-00Z/manifest.json")
    assert [(one["IsLatest"], one["IsDeleteMarker"], one["Size"]) for one in rows] == [
        ("true", "true", ""),
        ("false", "false", "1"),
        ("false", "false", "1"),
    ]
    assert len({one["VersionId"] for one in rows}) == 3


def test_a_report_that_was_cut_off_is_written_again_under_the_same_names(yard, s3, monkeypatch):
    allow(s3)
    s3.put_object(Bucket="src", Key="a", Body=b"x")
    put(s3)
    real = inventory_run._note_done

    def cut_off(*_):
        monkeypatch.setattr(inventory_run, "_note_done", real)
        raise OSError("cut off")

    monkeypatch.setattr(inventory_run, "_note_done", cut_off)
    yard.platform.clock.advance(DAY)
    with pytest.raises(OSError):
        inventory_run.drain(yard.platform)
    first = keys(s3)
    assert len(first) == 4
    inventory_run.drain(yard.platform)
    assert keys(s3) == first
    report(s3, "inv/src/all/2023-11-19T00-00Z/manifest.json")


def test_many_rows_are_several_files(yard, s3, monkeypatch):
    monkeypatch.setattr(inventory_run, "MOST_ROWS", 2)
    allow(s3)
    for number in range(5):
        s3.put_object(Bucket="src", Key=f"k{number}", Body=b"")
    put(s3)
    later(yard, 1)
    manifest, rows = report(s3, "inv/src/all/2023-11-19T00-00Z/manifest.json")
    assert len(manifest["files"]) == 3 and [one["Key"] for one in rows] == [f"k{number}" for number in range(5)]


def test_nothing_goes_where_the_policy_does_not_let_it(yard, s3):
    allow(s3, "another")
    put(s3)
    later(yard, 1)
    assert keys(s3) == []
    allow(s3)
    later(yard, 1)
    assert keys(s3)


def test_reports_under_a_key(yard, s3):
    allow(s3)
    key = yard.client("kms").create_key()["KeyMetadata"]["Arn"]
    put(s3, to={"Encryption": {"SSEKMS": {"KeyId": key}}})
    later(yard, 1)
    head = s3.head_object(Bucket="reports", Key="inv/src/all/2023-11-19T00-00Z/manifest.json")
    assert head["SSEKMSKeyId"] == key


def test_disabled_and_deleted_ones_make_none(yard, s3):
    allow(s3)
    put(s3, IsEnabled=False)
    later(yard, 1)
    put(s3, "gone")
    s3.delete_bucket_inventory_configuration(Bucket="src", Id="gone")
    later(yard, 1)
    assert keys(s3) == []


def test_configurations_come_back_in_pages(s3):
    for number in range(101):
        put(s3, f"c{number:03}")
    got = s3.get_bucket_inventory_configuration(Bucket="src", Id="c007")["InventoryConfiguration"]
    assert got == asked("c007")
    page = s3.list_bucket_inventory_configurations(Bucket="src")
    assert page["IsTruncated"] and len(page["InventoryConfigurationList"]) == 100
    rest = s3.list_bucket_inventory_configurations(Bucket="src", ContinuationToken=page["NextContinuationToken"])
    assert [one["Id"] for one in rest["InventoryConfigurationList"]] == ["c100"] and not rest["IsTruncated"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"to": {"Bucket": "arn:aws:s3:::nowhere"}}, "InvalidS3DestinationBucket"),
        ({"to": {"Bucket": "reports"}}, "InvalidS3DestinationBucket"),
        ({"to": {"Format": "Parquet"}}, "NotImplemented"),
        ({"to": {"Format": "XML"}}, "MalformedXML"),
        ({"Schedule": {"Frequency": "Hourly"}}, "MalformedXML"),
        ({"IncludedObjectVersions": "Some"}, "MalformedXML"),
        ({"OptionalFields": ["Size", "Size"]}, "MalformedXML"),
        ({"OptionalFields": ["Colour"]}, "MalformedXML"),
        ({"Id": "other"}, "IdMismatch"),
    ],
)
def test_wrong_configurations(s3, change, code):
    with pytest.raises(ClientError) as problem:
        s3.put_bucket_inventory_configuration(Bucket="src", Id="all", InventoryConfiguration={**asked(), **asked(**change)})
    assert problem.value.response["Error"]["Code"] == code


def test_one_that_is_not_there(s3):
    for ask in (s3.get_bucket_inventory_configuration, s3.delete_bucket_inventory_configuration):
        with pytest.raises(ClientError) as problem:
            ask(Bucket="src", Id="none")
        assert problem.value.response["Error"]["Code"] == "NoSuchConfiguration"
