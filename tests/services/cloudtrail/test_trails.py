"""Trails: files of events in a bucket whose policy lets CloudTrail in."""

from __future__ import annotations

import gzip
import hashlib
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
        ("UnsupportedOperationException", {"IsOrganizationTrail": True}),
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


def a_trail(yard, **more):
    trail = yard.client("cloudtrail")
    let_in(yard)
    trail.create_trail(Name="all-calls", S3BucketName="trail-bucket", **more)
    return trail


def test_data_events_are_logged_for_those_who_ask(yard):
    trail, s3, clock = a_trail(yard), yard.client("s3"), yard.platform.clock
    trail.start_logging(Name="all-calls")
    s3.create_bucket(Bucket="data")
    s3.put_object(Bucket="data", Key="in/before", Body=b"x")
    chosen = {"ReadWriteType": "WriteOnly", "IncludeManagementEvents": False}
    resources = [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::data/in/"]}]
    trail.put_event_selectors(TrailName="all-calls", EventSelectors=[{**chosen, "DataResources": resources}])
    clock.advance(1)
    s3.put_object(Bucket="data", Key="in/one", Body=b"12345", ServerSideEncryption="AES256")
    s3.put_object(Bucket="data", Key="out/two", Body=b"x")
    s3.get_object(Bucket="data", Key="in/one")["Body"].read()
    s3.delete_object(Bucket="data", Key="in/one")
    clock.advance(120)
    yard.settle()
    _, events = delivered(yard)
    events = [event for event in events if not event["managementEvent"]]
    assert [event["eventName"] for event in events] == ["PutObject", "DeleteObject"]
    put = events[0]
    assert put["eventCategory"] == "Data" and put["readOnly"] is False
    assert {"bucketName": "data", "key": "in/one", "x-amz-server-side-encryption": "AES256"}.items() <= put["requestParameters"].items()
    assert put["resources"] == [
        {"type": "AWS::S3::Object", "ARN": "arn:aws:s3:::data/in/one"},
        {"accountId": ACCOUNT, "type": "AWS::S3::Bucket", "ARN": "arn:aws:s3:::data"},
    ]
    assert put["additionalEventData"]["SignatureVersion"] == "SigV4"
    assert not [one for one in trail.lookup_events()["Events"] if one["EventName"] == "PutObject"]


def test_advanced_selectors(yard):
    trail, s3, clock = a_trail(yard), yard.client("s3"), yard.platform.clock
    s3.create_bucket(Bucket="data")
    fields = [
        {"Field": "eventCategory", "Equals": ["Data"]},
        {"Field": "resources.type", "Equals": ["AWS::S3::Object"]},
        {"Field": "eventName", "NotEquals": ["PutObject"]},
        {"Field": "resources.ARN", "StartsWith": ["arn:aws:s3:::data/"], "NotEndsWith": [".tmp"]},
    ]
    chosen = [{"Name": "reads", "FieldSelectors": fields}]
    assert trail.put_event_selectors(TrailName="all-calls", AdvancedEventSelectors=chosen)["AdvancedEventSelectors"] == chosen
    told = trail.get_event_selectors(TrailName="all-calls")
    assert told["AdvancedEventSelectors"] == chosen and "EventSelectors" not in told
    trail.start_logging(Name="all-calls")
    clock.advance(1)
    for key in ("one", "two.tmp"):
        s3.put_object(Bucket="data", Key=key, Body=b"x")
        s3.get_object(Bucket="data", Key=key)["Body"].read()
    s3.list_objects_v2(Bucket="data")
    with pytest.raises(ClientError):
        s3.get_object(Bucket="data", Key="nothing")
    clock.advance(120)
    yard.settle()
    _, events = delivered(yard)
    assert [(event["eventName"], event.get("errorCode")) for event in events] == [
        ("GetObject", None), ("ListObjects", None), ("GetObject", "NoSuchKey"),
    ]  # fmt: skip
    trail.put_event_selectors(TrailName="all-calls", EventSelectors=[{"ReadWriteType": "All"}])
    assert "AdvancedEventSelectors" not in trail.get_event_selectors(TrailName="all-calls")


def test_data_events_of_other_services(yard):
    trail, clock = a_trail(yard), yard.platform.clock
    topic = yard.client("sns").create_topic(Name="news")["TopicArn"]
    queue = yard.client("sqs").create_queue(QueueName="work")["QueueUrl"]
    kinds = ("AWS::SageMaker::Endpoint", "AWS::SNS::Topic", "AWS::SQS::Queue", "AWS::CloudWatch::Metric")
    fields = [[{"Field": "eventCategory", "Equals": ["Data"]}, {"Field": "resources.type", "Equals": [kind]}] for kind in kinds]
    trail.put_event_selectors(TrailName="all-calls", AdvancedEventSelectors=[{"FieldSelectors": one} for one in fields])
    trail.start_logging(Name="all-calls")
    clock.advance(1)
    with pytest.raises(ClientError):
        yard.client("sagemaker-runtime").invoke_endpoint(EndpointName="nothing", Body=b"secret payload", TargetVariant="v")
    yard.client("sns").publish(TopicArn=topic, Message="secret news")
    yard.client("sqs").send_message(QueueUrl=queue, MessageBody="secret work")
    yard.client("cloudwatch").put_metric_data(Namespace="n", MetricData=[{"MetricName": "m", "Value": 1}])
    clock.advance(120)
    yard.settle()
    _, events = delivered(yard)
    assert [(event["eventSource"].partition(".")[0], event["eventName"]) for event in events] == [
        ("sagemaker", "InvokeEndpoint"), ("sns", "Publish"), ("sqs", "SendMessage"), ("monitoring", "PutMetricData"),
    ]  # fmt: skip
    assert events[0]["resources"][0]["type"] == "AWS::SageMaker::Endpoint" and events[0]["requestParameters"]["endpointName"] == "nothing"
    assert "secret" not in json.dumps(events)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"EventSelectors": [{"DataResources": [{"Type": "AWS::S3::Object", "Values": ["arn:aws:s3:::data"]}]}]}, "DataResources.Values"),
        ({"EventSelectors": [{"DataResources": [{"Type": "AWS::SQS::Queue", "Values": ["arn:aws:sqs"]}]}]}, "DataResources.Type"),
        ({"EventSelectors": [{}] * 6}, "up to 5"),
        ({"EventSelectors": []}, "At least one"),
        ({"AdvancedEventSelectors": [{"FieldSelectors": [{"Field": "eventName", "Equals": ["PutObject"]}]}]}, "eventCategory"),
        ({"AdvancedEventSelectors": [{"FieldSelectors": [{"Field": "eventCategory", "Equals": ["Data"]}]}]}, "resources.type"),
    ],
)
def test_wrong_selectors(yard, request_, said):
    trail = a_trail(yard)
    with pytest.raises(ClientError, match=said) as refused:
        trail.put_event_selectors(TrailName="all-calls", **request_)
    assert refused.value.response["Error"]["Code"] == "InvalidEventSelectorsException"
    assert trail.get_event_selectors(TrailName="all-calls")["EventSelectors"][0]["DataResources"] == []


# --- digests --------------------------------------------------------------------------------------------


def validated(yard, hours=30):
    """What `aws cloudtrail validate-logs` finds: (valid digests, valid files, complaints)."""
    import datetime

    from awscli.customizations.cloudtrail.validation import S3ClientProvider, create_digest_traverser

    class InProcessClients(S3ClientProvider):
        def __init__(self):
            pass

        def get_client(self, bucket_name):
            return yard.client("s3")

    class Base64:
        """The CLI gets blobs as base64."""

        def list_public_keys(self, **request):
            import base64

            found = yard.client("cloudtrail").list_public_keys(**request)
            return {"PublicKeyList": [{**one, "Value": base64.b64encode(one["Value"])} for one in found["PublicKeyList"]]}

        def describe_trails(self):
            return yard.client("cloudtrail").describe_trails()

    complaints = []
    tell = lambda **said: complaints.append(said.get("message") or said)  # noqa: E731
    traverser = create_digest_traverser(Base64(), None, InProcessClients(), ARN, "us-east-1", on_invalid=tell, on_gap=tell, on_missing=tell)
    now = datetime.datetime.fromtimestamp(yard.platform.clock.now(), datetime.UTC)
    digests = list(traverser.traverse_digests(now - datetime.timedelta(hours=hours), now))
    s3, good = yard.client("s3"), 0
    for one in (file for digest in digests for file in digest["logFiles"]):
        body = gzip.decompress(s3.get_object(Bucket=one["s3Bucket"], Key=one["s3Object"])["Body"].read())
        good += hashlib.sha256(body).hexdigest() == one["hashValue"]
    return digests, good, complaints


def hour_by_hour(yard, hours):
    for number in range(hours):
        yard.client("iam").create_group(GroupName=f"g{yard.platform.clock.now():.0f}-{number}")
        for _ in range(4):
            yard.platform.clock.advance(900)
            yard.settle({"trail"})


def test_digests_hold_what_the_command_line_checks(yard):
    trail = a_trail(yard, EnableLogFileValidation=True)
    trail.start_logging(Name="all-calls")
    assert trail.get_trail(Name="all-calls")["Trail"]["LogFileValidationEnabled"]
    hour_by_hour(yard, 3)
    digests, good, complaints = validated(yard)
    assert complaints == [] and len(digests) == 3
    assert good == sum(len(one["logFiles"]) for one in digests) >= 3
    assert [one["previousDigestSignature"] is None for one in digests] == [False, False, True]
    assert "LatestDigestDeliveryTime" in trail.get_trail_status(Name="all-calls")
    key = digests[1]["digestS3Object"]
    body = yard.client("s3").get_object(Bucket="trail-bucket", Key=key)
    text = gzip.decompress(body["Body"].read()).replace(b"us-east-1", b"us-east-2", 1)
    yard.client("s3").put_object(Bucket="trail-bucket", Key=key, Body=gzip.compress(text), Metadata=body["Metadata"])
    assert any("INVALID" in str(one) for one in validated(yard)[2])


def test_the_chain_ends_where_logging_stops(yard):
    trail = a_trail(yard, EnableLogFileValidation=True)
    trail.start_logging(Name="all-calls")
    hour_by_hour(yard, 1)
    yard.client("iam").create_group(GroupName="last")
    yard.platform.clock.advance(600)
    trail.stop_logging(Name="all-calls")
    for _ in range(3):
        yard.platform.clock.advance(60)
        yard.settle()
    digests, good, complaints = validated(yard)
    assert complaints == [] and len(digests) == 2 and good == sum(len(one["logFiles"]) for one in digests)
    yard.platform.clock.advance(7200)
    yard.settle()
    assert len(validated(yard)[0]) == 2
    trail.start_logging(Name="all-calls")
    hour_by_hour(yard, 1)
    digests, _, complaints = validated(yard)
    assert len(digests) == 3 and digests[0]["previousDigestS3Object"] is None
    assert len(complaints) == 1, "the gap is told"


def test_a_trail_that_is_deleted_delivers_what_it_had(yard):
    trail = a_trail(yard, EnableLogFileValidation=True)
    trail.start_logging(Name="all-calls")
    yard.platform.clock.advance(1)
    yard.client("iam").create_group(GroupName="crew")
    yard.platform.clock.advance(1)
    trail.delete_trail(Name="all-calls")
    keys = [row["Key"] for row in yard.client("s3").list_objects_v2(Bucket="trail-bucket")["Contents"]]
    assert len([key for key in keys if "/CloudTrail/" in key]) == 1 and len([key for key in keys if "Digest" in key]) == 1


# --- where else events go ---------------------------------------------------------------------------------


def test_a_topic_hears_of_files_and_a_log_group_gets_the_events(yard):
    sns, sqs, logs, iam = (yard.client(name) for name in ("sns", "sqs", "logs", "iam"))
    let_in(yard)
    topic = sns.create_topic(Name="news")["TopicArn"]
    trail, asked = yard.client("cloudtrail"), {"Name": "all-calls", "S3BucketName": "trail-bucket"}
    with pytest.raises(ClientError, match="SNS Topic does not exist or the topic policy is incorrect!"):
        trail.create_trail(**asked, SnsTopicName="news")
    let = {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"}, "Action": "SNS:Publish", "Resource": topic}
    sns.set_topic_attributes(
        TopicArn=topic, AttributeName="Policy", AttributeValue=json.dumps({"Version": "2012-10-17", "Statement": [let]})
    )
    logs.create_log_group(logGroupName="trail")
    group = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:trail:*"
    trusts = {"Effect": "Allow", "Principal": {"Service": "cloudtrail.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName="writer", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trusts]}))
    more = {"CloudWatchLogsLogGroupArn": group, "CloudWatchLogsRoleArn": role["Role"]["Arn"]}
    with pytest.raises(ClientError, match="Check the permissions for your role"):
        trail.create_trail(**asked, **more)
    write = {"Effect": "Allow", "Action": ["logs:CreateLogStream", "logs:PutLogEvents"], "Resource": "*"}
    iam.put_role_policy(RoleName="writer", PolicyName="w", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [write]}))
    made = trail.create_trail(**asked, **more, SnsTopicName="news")
    assert made["SnsTopicARN"] == topic and made["CloudWatchLogsLogGroupArn"] == group
    trail.start_logging(Name="all-calls")
    yard.platform.clock.advance(1)
    iam.create_group(GroupName="crew")
    yard.platform.clock.advance(120)
    yard.settle()
    rows = logs.get_log_events(logGroupName="trail", logStreamName=f"{ACCOUNT}_CloudTrail_us-east-1", startFromHead=True)["events"]
    assert "CreateGroup" in [json.loads(row["message"])["eventName"] for row in rows]
    status = trail.get_trail_status(Name="all-calls")
    assert "LatestNotificationTime" in status and "LatestCloudWatchLogsDeliveryTime" in status and "LatestNotificationError" not in status
    trail.update_trail(Name="all-calls", SnsTopicName="")
    assert "SnsTopicARN" not in trail.get_trail(Name="all-calls")["Trail"]
    assert sqs is not None


def test_files_under_a_key(yard):
    kms = yard.client("kms")
    let_in(yard)
    key = kms.create_key()["KeyMetadata"]
    trail, asked = yard.client("cloudtrail"), {"Name": "all-calls", "S3BucketName": "trail-bucket", "KmsKeyId": key["Arn"]}
    with pytest.raises(ClientError) as refused:
        trail.create_trail(**asked)
    assert refused.value.response["Error"]["Code"] == "InsufficientEncryptionPolicyException"
    own = json.loads(kms.get_key_policy(KeyId=key["KeyId"])["Policy"])
    own["Statement"].append(
        {
            "Effect": "Allow",
            "Principal": {"Service": "cloudtrail.amazonaws.com"},
            "Action": "kms:GenerateDataKey*",
            "Resource": "*",
            "Condition": {"StringLike": {"kms:EncryptionContext:aws:cloudtrail:arn": f"arn:aws:cloudtrail:*:{ACCOUNT}:trail/*"}},
        }
    )
    kms.put_key_policy(KeyId=key["KeyId"], PolicyName="default", Policy=json.dumps(own))
    assert trail.create_trail(**asked)["KmsKeyId"] == key["Arn"]
    trail.start_logging(Name="all-calls")
    yard.platform.clock.advance(1)
    yard.client("iam").create_group(GroupName="crew")
    yard.platform.clock.advance(120)
    yard.settle()
    (name,), _ = delivered(yard)
    assert yard.client("s3").head_object(Bucket="trail-bucket", Key=name)["SSEKMSKeyId"] == key["Arn"]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a", "Trail name too short. Minimum allowed length: 3 characters. Specified name length: 1 characters."),
        ("a" * 129, "Trail name too long. Maximum allowed length: 128 characters. Specified name length: 129 characters."),
        ("trail!", "Trail name must ends with a letter or number."),
        ("my#trail", "Trail name or ARN can only contain uppercase letters"),
        ("-trail", "Trail name must starts with a letter or number."),
    ],
)
def test_names(yard, name, said):
    with pytest.raises(ClientError, match=said.replace("(", r"\(")):
        yard.client("cloudtrail").create_trail(Name=name, S3BucketName="trail-bucket")


def test_more_that_is_refused(yard):
    trail = yard.client("cloudtrail")
    with pytest.raises(ClientError, match="Multi-Region trail must include global service events"):
        trail.create_trail(Name="abc", S3BucketName="nobodys", IncludeGlobalServiceEvents=False, IsMultiRegionTrail=True)
    with pytest.raises(ClientError, match=f"Unknown trail: unknown for the user: {ACCOUNT}"):
        trail.get_trail(Name="unknown")
    let_in(yard)
    trail.create_trail(Name="all-calls", S3BucketName="trail-bucket", IsMultiRegionTrail=True)
    status = trail.get_trail_status(Name="all-calls")
    assert status["LatestDeliveryAttemptTime"] == status["TimeLoggingStarted"] == "" and "StartLoggingTime" not in status
    elsewhere = yard.client("cloudtrail", region="eu-west-1")
    assert [one["Name"] for one in elsewhere.describe_trails()["trailList"]] == ["all-calls"]
    assert elsewhere.get_trail_status(Name=ARN)["IsLogging"] is False
    with pytest.raises(ClientError) as refused:
        elsewhere.start_logging(Name=ARN)
    assert refused.value.response["Error"]["Code"] == "InvalidHomeRegionException"
    with pytest.raises(ClientError) as refused:
        trail.get_insight_selectors(TrailName="all-calls")
    assert refused.value.response["Error"]["Code"] == "InsightNotEnabledException"
