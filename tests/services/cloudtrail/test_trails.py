"""Trails: files of events in a bucket whose policy lets CloudTrail in."""

from __future__ import annotations

import gzip
import json

import pytest
from botocore.exceptions import ClientError

from modelyard.kernel.clock import ManualClock
from tests.support.platform import ACCOUNT, InProcess

ARN = f"arn:aws:cloudtrail:us-east-1:{ACCOUNT}:trail/all-calls"


@pytest.fixture
def yard(tmp_path):
    made = InProcess(tmp_path / "data", ManualClock(1_800_000_000.0))
    made.client("s3").create_bucket(Bucket="trail-bucket")
    yield made
    made.close()


def let_in(yard, prefix="", source=ARN):
    """The bucket policy of CloudTrail's user guide."""
    asks = {"StringEquals": {"aws:SourceArn": source}}
    service = {"Service": "cloudtrail.amazonaws.com"}
    write = {"StringEquals": {"s3:x-amz-acl": "bucket-owner-full-control", "aws:SourceArn": source}}
    look = {
        "Effect": "Allow",
        "Principal": service,
        "Action": "s3:GetBucketAcl",
        "Resource": "arn:aws:s3:::trail-bucket",
        "Condition": asks,
    }
    put = {"Action": "s3:PutObject", "Resource": f"arn:aws:s3:::trail-bucket/{prefix}AWSLogs/{ACCOUNT}/*", "Condition": write}
    document = {"Version": "2012-10-17", "Statement": [look, {"Effect": "Allow", "Principal": service, **put}]}
    yard.client("s3").put_bucket_policy(Bucket="trail-bucket", Policy=json.dumps(document))


def delivered(yard):
    s3 = yard.client("s3")
    keys = [row["Key"] for row in s3.list_objects_v2(Bucket="trail-bucket").get("Contents", [])]
    bodies = [gzip.decompress(s3.get_object(Bucket="trail-bucket", Key=key)["Body"].read()) for key in keys]
    return keys, [event for body in bodies for event in json.loads(body)["Records"]]


def test_a_trail_delivers_what_is_done(yard):
    trail, iam, clock = yard.client("cloudtrail"), yard.client("iam"), yard.platform.clock
    let_in(yard, "logs/")
    made = trail.create_trail(Name="all-calls", S3BucketName="trail-bucket", S3KeyPrefix="logs", TagsList=[{"Key": "a", "Value": "b"}])
    assert made["TrailARN"] == ARN and made["IncludeGlobalServiceEvents"] and not made["IsMultiRegionTrail"]
    iam.create_group(GroupName="before")
    assert trail.get_trail_status(Name="all-calls")["IsLogging"] is False
    clock.advance(10)
    trail.start_logging(Name=ARN)
    clock.advance(10)
    iam.create_group(GroupName="crew")
    yard.client("s3").put_object(Bucket="trail-bucket", Key="data", Body=b"no management event")
    yard.client("s3").delete_object(Bucket="trail-bucket", Key="data")
    yard.settle()
    assert delivered(yard)[0] == []
    clock.advance(120)
    yard.settle()
    (key,), events = delivered(yard)
    assert key.startswith(f"logs/AWSLogs/{ACCOUNT}/CloudTrail/us-east-1/2027/01/15/{ACCOUNT}_CloudTrail_us-east-1_20270115T0802Z_")
    names = [event["eventName"] for event in events]
    assert names.count("CreateGroup") == 1 and "PutObject" not in names
    group = next(event for event in events if event["eventName"] == "CreateGroup")
    assert group["requestParameters"] == {"groupName": "crew"} and group["recipientAccountId"] == ACCOUNT
    status = trail.get_trail_status(Name="all-calls")
    assert status["IsLogging"] and status["LatestDeliveryTime"].timestamp() == clock.now()
    iam.create_group(GroupName="last")
    clock.advance(1)
    trail.stop_logging(Name="all-calls")
    clock.advance(1)
    iam.create_group(GroupName="after")
    clock.advance(300)
    yard.settle()
    clock.advance(300)
    yard.settle()
    told = [event["requestParameters"]["groupName"] for event in delivered(yard)[1] if event["eventName"] == "CreateGroup"]
    assert sorted(told) == ["crew", "last"]
    assert trail.list_tags(ResourceIdList=[ARN])["ResourceTagList"][0]["TagsList"] == [{"Key": "a", "Value": "b"}]
    assert (
        [one["Name"] for one in trail.describe_trails()["trailList"]]
        == ["all-calls"]
        == [one["Name"] for one in trail.list_trails()["Trails"]]
    )
    trail.delete_trail(Name="all-calls")
    assert trail.describe_trails()["trailList"] == []


def test_a_bucket_that_does_not_let_cloudtrail_in(yard):
    trail = yard.client("cloudtrail")
    asked = {"Name": "all-calls", "S3BucketName": "trail-bucket"}
    for code, change in (
        ("InsufficientS3BucketPolicyException", {}),
        ("S3BucketDoesNotExistException", {"S3BucketName": "nobodys-bucket"}),
        ("InvalidTrailNameException", {"Name": "a__b"}),
        ("UnsupportedOperationException", {"EnableLogFileValidation": True}),
    ):
        with pytest.raises(ClientError) as refused:
            trail.create_trail(**{**asked, **change})
        assert refused.value.response["Error"]["Code"] == code
    let_in(yard, source=ARN.replace("all-calls", "another"))
    with pytest.raises(ClientError, match="Incorrect S3 bucket policy is detected for bucket: trail-bucket"):
        trail.create_trail(**asked)
    let_in(yard)
    trail.create_trail(**asked)
    with pytest.raises(ClientError, match=f"Trail all-calls already exists for customer: {ACCOUNT}"):
        trail.create_trail(**asked)
    with pytest.raises(ClientError, match="Unknown trail"):
        trail.get_trail_status(Name="nothing")
    trail.start_logging(Name="all-calls")
    yard.client("s3").delete_bucket_policy(Bucket="trail-bucket")
    yard.platform.clock.advance(120)
    yard.settle()
    assert delivered(yard)[0] == [] and trail.get_trail_status(Name="all-calls")["LatestDeliveryError"] == "AccessDenied"
    let_in(yard)
    yard.platform.clock.advance(120)
    yard.settle()
    assert len(delivered(yard)[1]) > 0 and "LatestDeliveryError" not in trail.get_trail_status(Name="all-calls")


def test_selectors(yard):
    trail = yard.client("cloudtrail")
    let_in(yard)
    trail.create_trail(Name="all-calls", S3BucketName="trail-bucket")
    chosen = [{"ReadWriteType": "WriteOnly", "IncludeManagementEvents": True, "ExcludeManagementEventSources": ["kms.amazonaws.com"]}]
    trail.put_event_selectors(TrailName="all-calls", EventSelectors=chosen)
    assert trail.get_event_selectors(TrailName="all-calls")["EventSelectors"][0]["ReadWriteType"] == "WriteOnly"
    assert trail.get_trail(Name="all-calls")["Trail"]["HasCustomEventSelectors"]
    yard.platform.clock.advance(1)
    trail.start_logging(Name="all-calls")
    yard.platform.clock.advance(1)
    yard.client("iam").list_users()
    yard.client("iam").create_user(UserName="ann")
    yard.client("kms").create_key()
    yard.platform.clock.advance(120)
    yard.settle()
    assert {"CreateUser"} == {event["eventName"] for event in delivered(yard)[1]} - {"StartLogging"}
    with pytest.raises(ClientError, match="Data events are not delivered"):
        data = {"DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3"]}]}
        trail.put_event_selectors(TrailName="all-calls", EventSelectors=[data])
