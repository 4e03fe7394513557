"""Event notifications: who is told of what, in AWS's words, at least once."""

import json
from urllib.parse import quote_plus

import pytest
from botocore.exceptions import ClientError

from modelyard.kernel import targets
from modelyard.kernel.clock import ManualClock
from modelyard.kernel.errors import ApiError
from tests.support.platform import ACCOUNT, InProcess

START = 1_700_000_000.0


@pytest.fixture
def yard(tmp_path):
    made = InProcess(tmp_path, ManualClock(START))
    yield made
    made.close()


def queue(yard, bucket="bkt", name="q", action="sqs:SendMessage"):
    sqs = yard.client("sqs")
    url = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"
    allow(sqs, url, arn, bucket)
    return url, arn


def allow(sqs, url, arn, bucket):
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnLike": {"aws:SourceArn": f"arn:aws:s3:::{bucket}"}, "StringEquals": {"aws:SourceAccount": ACCOUNT}},
    }
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]})})


def received(yard, url):
    """All messages there are, parsed, oldest first; they are deleted."""
    yard.settle()
    sqs, found = yard.client("sqs"), []
    while got := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for one in got:
            found.append(json.loads(one["Body"]))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=one["ReceiptHandle"])
    return found


def records(yard, url):
    return [one for body in received(yard, url) for one in body["Records"]]


def configure(s3, arn, events=("s3:ObjectCreated:*", "s3:ObjectRemoved:*"), rules=(), bucket="bkt", **more):
    one = {"Id": "mine", "QueueArn": arn, "Events": list(events)}
    if rules:
        one["Filter"] = {"Key": {"FilterRules": [{"Name": name, "Value": value} for name, value in rules]}}
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={"QueueConfigurations": [one], **more})


@pytest.fixture
def s3(yard):
    made = yard.client("s3")
    made.create_bucket(Bucket="bkt")
    return made


def test_every_way_of_changing_an_object_is_told(yard, s3):
    url, arn = queue(yard)
    configure(s3, arn, ["s3:ObjectCreated:*", "s3:ObjectRemoved:*", "s3:ObjectTagging:*", "s3:ObjectAcl:Put"])
    test = received(yard, url)
    assert [one["Event"] for one in test] == ["s3:TestEvent"] and test[0]["Bucket"] == "bkt" and test[0]["Service"] == "Amazon S3"
    s3.put_object(Bucket="bkt", Key="a b/ü+1.csv", Body=b"hello")
    s3.copy_object(Bucket="bkt", Key="copy", CopySource={"Bucket": "bkt", "Key": "a b/ü+1.csv"})
    upload = s3.create_multipart_upload(Bucket="bkt", Key="big")["UploadId"]
    etag = s3.upload_part(Bucket="bkt", Key="big", UploadId=upload, PartNumber=1, Body=b"part")["ETag"]
    parts = {"Parts": [{"PartNumber": 1, "ETag": etag}]}
    s3.complete_multipart_upload(Bucket="bkt", Key="big", UploadId=upload, MultipartUpload=parts)
    s3.put_object_tagging(Bucket="bkt", Key="copy", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
    s3.delete_object_tagging(Bucket="bkt", Key="copy")
    s3.delete_object(Bucket="bkt", Key="copy")
    s3.put_bucket_versioning(Bucket="bkt", VersioningConfiguration={"Status": "Enabled"})
    marker = s3.delete_object(Bucket="bkt", Key="big")["VersionId"]
    told = records(yard, url)
    assert [one["eventName"] for one in told] == [
        "ObjectCreated:Put",
        "ObjectCreated:Copy",
        "ObjectCreated:CompleteMultipartUpload",
        "ObjectTagging:Put",
        "ObjectTagging:Delete",
        "ObjectRemoved:Delete",
        "ObjectRemoved:DeleteMarkerCreated",
    ]
    first, gone, last = told[0], told[5], told[6]
    assert first["eventVersion"] == "2.1" and first["eventSource"] == "aws:s3" and first["awsRegion"] == "us-east-1"
    assert first["eventTime"] == "2023-11-14T22:13:20.000Z" and first["userIdentity"]["principalId"].startswith("AWS:")
    assert first["requestParameters"]["sourceIPAddress"] and first["responseElements"]["x-amz-request-id"]
    assert first["s3"]["configurationId"] == "mine" and first["s3"]["bucket"]["arn"] == "arn:aws:s3:::bkt"
    what = first["s3"]["object"]
    assert what["key"] == "a+b/%C3%BC%2B1.csv" == quote_plus("a b/ü+1.csv", safe="/")
    assert (what["size"], what["eTag"]) == (5, "5d41402abc4b2a76b9719d911017c592") and "versionId" not in what
    assert "size" not in gone["s3"]["object"] and last["s3"]["object"]["versionId"] == marker
    assert last["s3"]["object"]["eTag"] == "d41d8cd98f00b204e9800998ecf8427e" and "size" not in last["s3"]["object"]
    assert [set(one["s3"]["object"]) for one in told[3:5]] == [{"key", "eTag"}] * 2  # neither size nor place in an order


def test_a_key_that_was_not_there_is_told_as_deleted(yard, s3):
    url, arn = queue(yard)
    configure(s3, arn, ["s3:ObjectRemoved:*"])
    received(yard, url)
    s3.put_object(Bucket="bkt", Key="there")
    s3.delete_objects(Bucket="bkt", Delete={"Objects": [{"Key": "there"}, {"Key": "never"}]})
    s3.delete_object(Bucket="bkt", Key="nor this")
    told = [(one["eventName"], one["s3"]["object"]["key"]) for one in records(yard, url)]
    assert sorted(told) == [("ObjectRemoved:Delete", key) for key in ("never", "nor+this", "there")]


def test_the_null_version_is_not_named(yard, s3):
    url, arn = queue(yard)
    configure(s3, arn)
    received(yard, url)
    for status in ("Enabled", "Suspended"):
        s3.put_bucket_versioning(Bucket="bkt", VersioningConfiguration={"Status": status})
        s3.put_object(Bucket="bkt", Key="k")
    assert ["versionId" in one["s3"]["object"] for one in records(yard, url)] == [True, False]


def test_filters_choose_by_prefix_and_suffix(yard, s3):
    url, arn = queue(yard)
    configure(s3, arn, rules=[("prefix", "in/"), ("suffix", ".csv")])
    received(yard, url)
    for key in ("in/a.csv", "in/a.txt", "out/a.csv"):
        s3.put_object(Bucket="bkt", Key=key)
    assert [one["s3"]["object"]["key"] for one in records(yard, url)] == ["in/a.csv"]
    got = s3.get_bucket_notification_configuration(Bucket="bkt")
    s3.put_bucket_notification_configuration(
        Bucket="bkt", NotificationConfiguration={name: value for name, value in got.items() if name != "ResponseMetadata"}
    )  # what was read can be put again
    kept = s3.get_bucket_notification_configuration(Bucket="bkt")["QueueConfigurations"][0]["Filter"]["Key"]["FilterRules"]
    assert kept == [{"Name": "Prefix", "Value": "in/"}, {"Name": "Suffix", "Value": ".csv"}]


def test_a_topic_gets_the_same_and_an_empty_configuration_ends_it(yard, s3):
    url, arn = queue(yard)
    sns = yard.client("sns")
    topic = sns.create_topic(Name="t")["TopicArn"]
    with pytest.raises(ClientError, match="Unable to validate the following destination configurations"):
        s3.put_bucket_notification_configuration(
            Bucket="bkt", NotificationConfiguration={"TopicConfigurations": [{"TopicArn": topic, "Events": ["s3:ObjectCreated:Put"]}]}
        )
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "sns:Publish", "Resource": topic}],
    }
    sns.set_topic_attributes(TopicArn=topic, AttributeName="Policy", AttributeValue=json.dumps(policy))
    sqs = yard.client("sqs")
    policy["Statement"][0] |= {"Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps(policy)})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    s3.put_bucket_notification_configuration(
        Bucket="bkt", NotificationConfiguration={"TopicConfigurations": [{"TopicArn": topic, "Events": ["s3:ObjectCreated:Put"]}]}
    )
    s3.put_object(Bucket="bkt", Key="k")
    test, told = received(yard, url)
    assert told["Subject"] == "Amazon S3 Notification" == test["Subject"]
    assert json.loads(told["Message"])["Records"][0]["s3"]["object"]["key"] == "k"
    s3.put_bucket_notification_configuration(Bucket="bkt", NotificationConfiguration={})
    s3.put_object(Bucket="bkt", Key="k2")
    assert received(yard, url) == [] and "TopicConfigurations" not in s3.get_bucket_notification_configuration(Bucket="bkt")


def test_the_event_bus_gets_the_whole_envelope_once(yard, s3):
    s3.put_bucket_notification_configuration(Bucket="bkt", NotificationConfiguration={"EventBridgeConfiguration": {}})
    s3.put_bucket_versioning(Bucket="bkt", VersioningConfiguration={"Status": "Enabled"})
    version = s3.put_object(Bucket="bkt", Key="a b", Body=b"12")["VersionId"]
    s3.delete_object(Bucket="bkt", Key="a b")
    s3.delete_object(Bucket="bkt", Key="a b", VersionId=version)
    yard.settle()
    told = [one.detail for one in yard.platform.store.events(0, 10_000) if one.kind == "aws.s3"]
    assert [one["detail-type"] for one in told] == ["Object Created", "Object Deleted", "Object Deleted"]
    created, marked, gone = told
    assert created["source"] == "aws.s3" and created["resources"] == ["arn:aws:s3:::bkt"] and created["account"] == ACCOUNT
    assert created["detail"]["object"]["key"] == "a b" and created["detail"]["object"]["version-id"] == version
    assert (
        created["detail"]["reason"] == "PutObject"
        and created["detail"]["bucket"] == {"name": "bkt"}
        and created["detail"]["object"]["size"] == 2
    )
    assert (marked["detail"]["deletion-type"], gone["detail"]["deletion-type"]) == ("Delete Marker Created", "Permanently Deleted")
    assert s3.get_bucket_notification_configuration(Bucket="bkt")["EventBridgeConfiguration"] == {}


def test_a_destination_that_is_away_gets_it_later_and_a_crash_repeats(yard, s3, monkeypatch):
    url, arn = queue(yard)
    configure(s3, arn)
    received(yard, url)
    real = targets.deliver

    def away(*_):
        raise ApiError("Away", "not now", 500)

    monkeypatch.setattr(targets, "deliver", away)
    s3.put_object(Bucket="bkt", Key="k")
    assert received(yard, url) == []
    monkeypatch.setattr(targets, "deliver", real)
    assert received(yard, url) == []
    yard.platform.clock.advance(10)
    assert [one["s3"]["object"]["key"] for one in records(yard, url)] == ["k"]

    def killed(platform, delivery):
        real(platform, delivery)
        raise KeyboardInterrupt  # the process ends between delivery and the row's removal

    s3.put_object(Bucket="bkt", Key="k2")
    monkeypatch.setattr(targets, "deliver", killed)
    with pytest.raises(KeyboardInterrupt):
        yard.settle()
    monkeypatch.setattr(targets, "deliver", real)
    depot = yard.platform.parts["s3"]
    assert depot.index.db.read("SELECT count(*) FROM s3_notices")[0][0] == 1
    depot.index.db.grouped(lambda tx: tx.execute("UPDATE s3_notices SET lease_until = 0"))  # what the lease of a dead engine becomes
    assert [one["s3"]["object"]["key"] for one in records(yard, url)] == ["k2"]  # the queue knows the same delivery again


def test_what_fails_to_commit_is_not_told(yard, s3):
    url, arn = queue(yard)
    configure(s3, arn)
    received(yard, url)
    s3.put_object(Bucket="bkt", Key="k")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        s3.put_object(Bucket="bkt", Key="k", IfNoneMatch="*")
    assert len(records(yard, url)) == 1


@pytest.mark.parametrize(
    ("configuration", "text"),
    [
        ([{"Events": ["s3:Nope"]}], "A specified event is not supported for notifications"),
        ([{"Events": ["s3:ObjectCreated:*"]}, {"Events": ["s3:ObjectCreated:Put"]}], "cannot share a common event type"),
        ([{"Events": ["s3:ObjectCreated:*"], "prefix": "a"}, {"Events": ["s3:ObjectCreated:*"], "prefix": "ab"}], "ambiguously defined"),
        ([{"Events": ["s3:ObjectCreated:*"], "Id": "x"}, {"Events": ["s3:ObjectRemoved:*"], "Id": "x"}], "IDs must be unique"),
        ([{"Events": ["s3:ObjectCreated:*"], "arn": "arn:aws:sqs:us-east-1:1"}], "could not be parsed"),
        ([{"Events": ["s3:ObjectCreated:*"], "arn": f"arn:aws:sqs:eu-west-1:{ACCOUNT}:q"}], "region is not valid"),
        ([{"Events": ["s3:ObjectCreated:*"], "arn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:none"}], "Unable to validate the following"),
        ([{"Events": ["s3:ObjectCreated:*"], "arn": f"arn:aws:sqs:us-east-1:{ACCOUNT}:q.fifo"}], "Unable to validate the following"),
    ],
)
def test_wrong_configurations_are_refused(yard, s3, configuration, text):
    _, arn = queue(yard)
    made = []
    for one in configuration:
        filtered = {"Filter": {"Key": {"FilterRules": [{"Name": "prefix", "Value": one["prefix"]}]}}} if "prefix" in one else {}
        named = {"Id": one["Id"]} if "Id" in one else {}
        made.append({"QueueArn": one.get("arn", arn), "Events": one["Events"], **filtered, **named})
    with pytest.raises(ClientError, match=text):
        s3.put_bucket_notification_configuration(Bucket="bkt", NotificationConfiguration={"QueueConfigurations": made})
    assert "QueueConfigurations" not in s3.get_bucket_notification_configuration(Bucket="bkt")


@pytest.mark.parametrize("rule", [{}, {"Name": "prefix"}, {"Value": "test"}])
def test_a_filter_rule_lacks_nothing(yard, s3, rule):
    _, arn = queue(yard)
    one = {"QueueArn": arn, "Events": ["s3:ObjectCreated:*"], "Filter": {"Key": {"FilterRules": [rule]}}}
    with pytest.raises(ClientError) as problem:
        s3.put_bucket_notification_configuration(Bucket="bkt", NotificationConfiguration={"QueueConfigurations": [one]})
    assert problem.value.response["Error"]["Code"] == "MalformedXML"


def test_a_function_that_does_not_exist_is_refused(yard, s3):
    rule = {"LambdaFunctionArn": f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f", "Events": ["s3:ObjectCreated:*"]}
    with pytest.raises(ClientError, match="Unable to validate the following destination configurations") as found:
        s3.put_bucket_notification_configuration(Bucket="bkt", NotificationConfiguration={"LambdaFunctionConfigurations": [rule]})
    assert found.value.response["Error"]["Code"] == "InvalidArgument"
