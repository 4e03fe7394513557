"""Queues by a real client: what they keep, what they answer, what they refuse."""

from __future__ import annotations

import json
import threading
import time
from urllib.parse import urlencode

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from modelyard.kernel.clock import ManualClock


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def sqs(yard):
    return yard.client("sqs")


def make(sqs, name="q", **attributes):
    return sqs.create_queue(QueueName=name, Attributes={key: str(value) for key, value in attributes.items()})["QueueUrl"]


def arn(sqs, url):
    return sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def receive(sqs, url, **more):
    return sqs.receive_message(QueueUrl=url, **more).get("Messages", [])


def bodies(sqs, url, **more):
    return [message["Body"] for message in receive(sqs, url, MaxNumberOfMessages=10, **more)]


def code(refused):
    return refused.value.response["Error"]["Code"]


def test_send_receive_delete(sqs):
    url = make(sqs)
    attributes = {"n": {"DataType": "Number", "StringValue": "1.5"}, "b": {"DataType": "Binary.x", "BinaryValue": b"\x00\xff"}}
    sent = sqs.send_message(QueueUrl=url, MessageBody="hé", MessageAttributes=attributes)
    assert receive(sqs, url, VisibilityTimeout=0, MessageAttributeNames=["n*"])[0].get("MessageAttributes") is None
    (got,) = receive(sqs, url, MessageAttributeNames=["All"], AttributeNames=["All"])
    assert got["Body"] == "hé" and got["MessageId"] == sent["MessageId"] and got["MD5OfBody"] == sent["MD5OfMessageBody"]
    assert got["MessageAttributes"] == attributes and got["MD5OfMessageAttributes"] == sent["MD5OfMessageAttributes"]
    assert got["Attributes"]["ApproximateReceiveCount"] == "2" and got["Attributes"]["SentTimestamp"].isdigit()
    assert receive(sqs, url) == []
    sqs.delete_message(QueueUrl=url, ReceiptHandle=got["ReceiptHandle"])
    sqs.delete_message(QueueUrl=url, ReceiptHandle=got["ReceiptHandle"])
    counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert {counts[key] for key in counts if key.startswith("Approximate")} == {"0"}


def test_attributes_of_messages_by_the_older_member(sqs):
    url = make(sqs)
    sqs.send_message(QueueUrl=url, MessageBody="b")
    wanted = ["SentTimestamp", "ApproximateReceiveCount", "SenderId", "MessageGroupId", "AWSTraceHeader"]
    (got,) = receive(sqs, url, AttributeNames=wanted, VisibilityTimeout=0)
    assert set(got["Attributes"]) == {"SentTimestamp", "ApproximateReceiveCount", "SenderId"}
    for call in (sqs.receive_message, sqs.get_queue_attributes):
        with pytest.raises(ClientError) as refused:
            call(QueueUrl=url, AttributeNames=["Nonsense"])
        assert code(refused) == "InvalidAttributeName"
    with pytest.raises(ClientError) as refused:
        sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["SentTimestamp"])
    assert code(refused) == "InvalidAttributeName"


def test_md5_of_attributes_as_aws_computes_it(sqs):
    """A known value: one String attribute `test_attribute_name` = `test_attribute_value`-like pairs hash by length-prefixed parts."""
    import hashlib
    import struct

    sent = sqs.send_message(QueueUrl=make(sqs), MessageBody="x", MessageAttributes={"a": {"DataType": "String", "StringValue": "v"}})
    packed = b"".join([struct.pack("!I", 1), b"a", struct.pack("!I", 6), b"String", b"\x01", struct.pack("!I", 1), b"v"])
    assert sent["MD5OfMessageAttributes"] == hashlib.md5(packed).hexdigest()


def test_visibility_on_the_platform_clock(yard, sqs):
    url = make(sqs, VisibilityTimeout=60)
    sqs.send_message(QueueUrl=url, MessageBody="a")
    (first,) = receive(sqs, url)
    yard.platform.clock.advance(59)
    assert receive(sqs, url) == []
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=10)
    yard.platform.clock.advance(10)
    (second,) = receive(sqs, url)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=second["ReceiptHandle"], VisibilityTimeout=0)
    (third,) = receive(sqs, url)
    assert third["MessageId"] == first["MessageId"], "an old receipt deletes nothing after a new receive"
    yard.platform.clock.advance(61)
    with pytest.raises(ClientError) as refused:
        sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=third["ReceiptHandle"], VisibilityTimeout=5)
    assert code(refused) == "AWS.SimpleQueueService.MessageNotInflight"
    sqs.delete_message(QueueUrl=url, ReceiptHandle=third["ReceiptHandle"])
    assert receive(sqs, url) == []


def test_delay_and_retention(yard, sqs):
    url = make(sqs, DelaySeconds=30, MessageRetentionPeriod=60)
    sqs.send_message(QueueUrl=url, MessageBody="queue's")
    sqs.send_message(QueueUrl=url, MessageBody="own", DelaySeconds=5)
    told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["ApproximateNumberOfMessagesDelayed"])["Attributes"]
    assert told == {"ApproximateNumberOfMessagesDelayed": "2"}
    yard.platform.clock.advance(5)
    assert bodies(sqs, url, VisibilityTimeout=0) == ["own"]
    yard.platform.clock.advance(25)
    assert sorted(bodies(sqs, url, VisibilityTimeout=0)) == ["own", "queue's"]
    yard.platform.clock.advance(30)
    assert bodies(sqs, url) == []
    yard.platform.queues.sweep(yard.platform)
    assert yard.platform.queues.messages.db.read("SELECT count(*) FROM sqs_messages") == [(0,)]


def test_batches(sqs):
    url = make(sqs)
    entries = [{"Id": str(i), "MessageBody": f"m{i}", "DelaySeconds": 901 if i == 3 else 0} for i in range(5)]
    sent = sqs.send_message_batch(QueueUrl=url, Entries=entries)
    assert [one["Id"] for one in sent["Successful"]] == ["0", "1", "2", "4"]
    assert [(one["Id"], one["Code"], one["SenderFault"]) for one in sent["Failed"]] == [("3", "InvalidParameterValue", True)]
    got = receive(sqs, url, MaxNumberOfMessages=10)
    visible = [{"Id": str(i), "ReceiptHandle": m["ReceiptHandle"], "VisibilityTimeout": 0} for i, m in enumerate(got[:2])]
    assert len(sqs.change_message_visibility_batch(QueueUrl=url, Entries=visible)["Successful"]) == 2
    deleted = [{"Id": "a", "ReceiptHandle": got[2]["ReceiptHandle"]}, {"Id": "b", "ReceiptHandle": "bogus"}]
    answer = sqs.delete_message_batch(QueueUrl=url, Entries=deleted)
    assert [one["Id"] for one in answer["Successful"]] == ["a"] and answer["Failed"][0]["Code"] == "ReceiptHandleIsInvalid"
    for wrong, expected in (
        ([], "AWS.SimpleQueueService.EmptyBatchRequest"),
        ([{"Id": str(i), "MessageBody": "x"} for i in range(11)], "AWS.SimpleQueueService.TooManyEntriesInBatchRequest"),
        ([{"Id": "a", "MessageBody": "x"}] * 2, "AWS.SimpleQueueService.BatchEntryIdsNotDistinct"),
        ([{"Id": "a b", "MessageBody": "x"}], "AWS.SimpleQueueService.InvalidBatchEntryId"),
        ([{"Id": str(i), "MessageBody": "x" * 600_000} for i in range(2)], "AWS.SimpleQueueService.BatchRequestTooLong"),
    ):
        with pytest.raises(ClientError) as refused:
            sqs.send_message_batch(QueueUrl=url, Entries=wrong)
        assert code(refused) == expected


def test_dead_letters_and_the_way_back(yard, sqs):
    dead = make(sqs, "dead")
    url = make(sqs, "work", RedrivePolicy=json.dumps({"deadLetterTargetArn": arn(sqs, dead), "maxReceiveCount": "2"}), VisibilityTimeout=1)
    sqs.send_message(QueueUrl=url, MessageBody="poison")
    for _ in range(2):
        assert bodies(sqs, url) == ["poison"]
        yard.platform.clock.advance(2)
    assert bodies(sqs, url) == []
    (buried,) = receive(sqs, dead, AttributeNames=["All"], VisibilityTimeout=0)
    assert buried["Attributes"]["DeadLetterQueueSourceArn"] == arn(sqs, url) and buried["Attributes"]["ApproximateReceiveCount"] == "3"
    assert sqs.list_dead_letter_source_queues(QueueUrl=dead)["queueUrls"] == [url]
    sqs.start_message_move_task(SourceArn=arn(sqs, dead))
    yard.settle()
    (task,) = sqs.list_message_move_tasks(SourceArn=arn(sqs, dead))["Results"]
    assert task["Status"] == "COMPLETED" and task["ApproximateNumberOfMessagesMoved"] == 1 and "TaskHandle" not in task
    assert bodies(sqs, url) == ["poison"] and bodies(sqs, dead) == []


def test_a_move_task_keeps_its_rate_and_can_be_cancelled(yard, sqs):
    dead, other = make(sqs, "dead"), make(sqs, "other")
    make(sqs, "work", RedrivePolicy=json.dumps({"deadLetterTargetArn": arn(sqs, dead), "maxReceiveCount": 1}))
    for i in range(10):
        sqs.send_message(QueueUrl=dead, MessageBody=str(i))
    handle = sqs.start_message_move_task(SourceArn=arn(sqs, dead), DestinationArn=arn(sqs, other), MaxNumberOfMessagesPerSecond=2)
    for _ in range(3):
        yard.settle()
        yard.platform.clock.advance(1)
    with pytest.raises(ClientError) as refused:
        sqs.start_message_move_task(SourceArn=arn(sqs, dead))
    assert code(refused) == "AWS.SimpleQueueService.UnsupportedOperation"
    assert sqs.cancel_message_move_task(TaskHandle=handle["TaskHandle"])["ApproximateNumberOfMessagesMoved"] == 6
    yard.settle()
    assert sqs.list_message_move_tasks(SourceArn=arn(sqs, dead))["Results"][0]["Status"] == "CANCELLED"
    assert len(bodies(sqs, other)) == 6 and len(bodies(sqs, dead)) == 4


def test_fifo_keeps_the_order_of_each_group(sqs):
    url = make(sqs, "f.fifo", FifoQueue="true", ContentBasedDeduplication="true")
    sent = [sqs.send_message(QueueUrl=url, MessageBody=f"{g}{i}", MessageGroupId=g)["SequenceNumber"] for i in range(3) for g in "ab"]
    assert sent == sorted(sent) and len(set(sent)) == 6
    got = receive(sqs, url, MaxNumberOfMessages=2, AttributeNames=["All"])
    assert [m["Body"] for m in got] == ["a0", "b0"] and got[0]["Attributes"]["MessageGroupId"] == "a"
    assert receive(sqs, url) == [], "a group with a message in flight waits"
    sqs.delete_message(QueueUrl=url, ReceiptHandle=got[1]["ReceiptHandle"])
    assert bodies(sqs, url) == ["b1", "b2"]
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=got[0]["ReceiptHandle"], VisibilityTimeout=0)
    assert bodies(sqs, url) == ["a0", "a1", "a2"]


def test_fifo_sends_nothing_twice_in_five_minutes(yard, sqs):
    url = make(sqs, "f.fifo", FifoQueue="true")
    first = sqs.send_message(QueueUrl=url, MessageBody="a", MessageGroupId="g", MessageDeduplicationId="d")
    again = sqs.send_message(QueueUrl=url, MessageBody="b", MessageGroupId="h", MessageDeduplicationId="d")
    assert (again["MessageId"], again["SequenceNumber"]) == (first["MessageId"], first["SequenceNumber"])
    (got,) = receive(sqs, url)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=got["ReceiptHandle"])
    sqs.send_message(QueueUrl=url, MessageBody="c", MessageGroupId="g", MessageDeduplicationId="d")
    assert bodies(sqs, url) == [], "also after the first one was deleted"
    yard.platform.clock.advance(300)
    sqs.send_message(QueueUrl=url, MessageBody="d", MessageGroupId="g", MessageDeduplicationId="d")
    assert bodies(sqs, url) == ["d"]


def test_the_same_receive_attempt_answers_the_same(yard, sqs):
    url = make(sqs, "f.fifo", FifoQueue="true", ContentBasedDeduplication="true")
    sqs.send_message(QueueUrl=url, MessageBody="a", MessageGroupId="g")
    first = receive(sqs, url, ReceiveRequestAttemptId="x")
    assert receive(sqs, url, ReceiveRequestAttemptId="x") == first and receive(sqs, url) == []
    yard.platform.clock.advance(31)
    with pytest.raises(ClientError) as refused:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=first[0]["ReceiptHandle"])
    assert "expired" in str(refused.value)


def test_a_long_poll_ends_with_the_message(yard, sqs):
    url = make(sqs)
    threading.Timer(0.3, lambda: yard.client("sqs").send_message(QueueUrl=url, MessageBody="late")).start()
    began = time.monotonic()
    assert bodies(sqs, url, WaitTimeSeconds=20) == ["late"]
    assert time.monotonic() - began < 18


def test_a_long_poll_notices_another_process(yard, sqs):
    """Sent through a store of its own, as another gateway would: nothing tells this process but the database."""
    from modelyard.kernel.database import SQLite
    from modelyard.services.sqs.message_store import MessageStore, Outgoing

    url = make(sqs)
    uid = yard.platform.store.list("sqs-queue")[0].uid
    other = MessageStore(SQLite(yard.settings.data / "queues.db"), yard.platform.clock)
    threading.Timer(0.3, lambda: other.send(uid, [Outgoing("id", "late", {}, {}, None, 0.0, 60.0)])).start()
    began = time.monotonic()
    assert bodies(sqs, url, WaitTimeSeconds=20) == ["late"]
    assert time.monotonic() - began < 18


def test_many_who_wait_hold_no_thread(yard, sqs):
    """More long polls than threads of any pool, and others are still served at once."""
    url, other = make(sqs), make(sqs, "other")
    client = yard.client("sqs", config=Config(max_pool_connections=80))
    waiting = [threading.Thread(target=lambda: client.receive_message(QueueUrl=url, WaitTimeSeconds=20)) for _ in range(60)]
    for thread in waiting:
        thread.start()
    began = time.monotonic()
    sqs.send_message(QueueUrl=other, MessageBody="x")
    assert bodies(sqs, other) == ["x"] and time.monotonic() - began < 15
    while any(thread.is_alive() for thread in waiting):
        sqs.send_message(QueueUrl=url, MessageBody="go")
        waiting = [thread for thread in waiting if thread.is_alive()]
    assert time.monotonic() - began < 20, "none of them waited to the end"


def test_create_is_idempotent_with_equal_attributes_only(sqs):
    url = make(sqs, VisibilityTimeout=60)
    assert make(sqs, VisibilityTimeout=60) == url == make(sqs) == sqs.get_queue_url(QueueName="q")["QueueUrl"]
    with pytest.raises(ClientError) as refused:
        make(sqs, VisibilityTimeout=61)
    assert code(refused) == "QueueAlreadyExists" and "VisibilityTimeout" in str(refused.value)
    assert refused.value.__class__ is sqs.exceptions.QueueNameExists


def test_lists_by_prefix_and_page(sqs):
    urls = [make(sqs, f"p{i}") for i in range(5)] + [make(sqs, "other")]
    assert sqs.list_queues(QueueNamePrefix="p")["QueueUrls"] == urls[:5]
    pages = sqs.get_paginator("list_queues").paginate(PaginationConfig={"PageSize": 2})
    assert [url for page in pages for url in page["QueueUrls"]] == sorted(urls)


def test_a_deleted_queue_is_gone_with_its_messages(sqs):
    url = make(sqs)
    sqs.send_message(QueueUrl=url, MessageBody="x")
    sqs.delete_queue(QueueUrl=url)
    with pytest.raises(sqs.exceptions.QueueDoesNotExist) as refused:
        sqs.send_message(QueueUrl=url, MessageBody="x")
    assert code(refused) == "AWS.SimpleQueueService.NonExistentQueue"
    assert bodies(sqs, make(sqs)) == []


def test_purge_once_a_minute(yard, sqs):
    url = make(sqs)
    sqs.send_message(QueueUrl=url, MessageBody="x")
    sqs.purge_queue(QueueUrl=url)
    assert bodies(sqs, url) == []
    with pytest.raises(ClientError) as refused:
        sqs.purge_queue(QueueUrl=url)
    assert code(refused) == "AWS.SimpleQueueService.PurgeQueueInProgress"
    yard.platform.clock.advance(61)
    sqs.purge_queue(QueueUrl=url)


def test_tags(sqs):
    url = sqs.create_queue(QueueName="q", tags={"a": "1"})["QueueUrl"]
    sqs.tag_queue(QueueUrl=url, Tags={"b": "2"})
    sqs.untag_queue(QueueUrl=url, TagKeys=["a"])
    assert sqs.list_queue_tags(QueueUrl=url)["Tags"] == {"b": "2"}


@pytest.mark.parametrize(
    ("name", "attributes", "expected"),
    [
        ("a b", {}, "InvalidParameterValue"),
        ("x" * 81, {}, "InvalidParameterValue"),
        ("q", {"FifoQueue": "true"}, "InvalidParameterValue"),
        ("q.fifo", {}, "InvalidParameterValue"),
        ("q", {"VisibilityTimeout": "43201"}, "InvalidAttributeValue"),
        ("q", {"DelaySeconds": "-1"}, "InvalidAttributeValue"),
        ("q", {"MaximumMessageSize": "1023"}, "InvalidAttributeValue"),
        ("q", {"ContentBasedDeduplication": "true"}, "InvalidAttributeName"),
        ("q", {"Nonsense": "1"}, "InvalidAttributeName"),
        ("q", {"Policy": "{"}, "InvalidAttributeValue"),
        ("q", {"RedrivePolicy": "{}"}, "InvalidParameterValue"),
        ("q", {"RedrivePolicy": json.dumps({"deadLetterTargetArn": "arn:aws:sqs:us-east-1:123456789012:no", "maxReceiveCount": 1})}, "InvalidParameterValue"),
    ],
)  # fmt: skip
def test_queues_that_cannot_be(sqs, name, attributes, expected):
    with pytest.raises(ClientError) as refused:
        make(sqs, name, **attributes)
    assert code(refused) == expected


def test_dead_letters_of_another_kind_or_refused(sqs):
    fifo, shut = make(sqs, "d.fifo", FifoQueue="true"), make(sqs, "shut", RedriveAllowPolicy='{"redrivePermission":"denyAll"}')
    for target in (fifo, shut):
        with pytest.raises(ClientError) as refused:
            make(sqs, "q", RedrivePolicy=json.dumps({"deadLetterTargetArn": arn(sqs, target), "maxReceiveCount": 1}))
        assert code(refused) == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("operation", "more", "expected"),
    [
        ("send_message", {"MessageBody": "\x01"}, "InvalidMessageContents"),
        ("send_message", {"MessageBody": "x" * 2000}, "InvalidParameterValue"),
        ("send_message", {"MessageBody": "x", "DelaySeconds": 901}, "InvalidParameterValue"),
        ("send_message", {"MessageBody": "x", "MessageDeduplicationId": "d"}, "InvalidParameterValue"),
        ("send_message", {"MessageBody": "x", "MessageAttributes": {"a": {"DataType": "Text", "StringValue": "x"}}}, "InvalidParameterValue"),
        ("send_message", {"MessageBody": "x", "MessageAttributes": {"a": {"DataType": "Number", "StringValue": "x"}}}, "InvalidParameterValue"),
        ("send_message", {"MessageBody": "x", "MessageAttributes": {"aws.a": {"DataType": "String", "StringValue": "x"}}}, "InvalidParameterValue"),
        ("receive_message", {"MaxNumberOfMessages": 11}, "InvalidParameterValue"),
        ("receive_message", {"WaitTimeSeconds": 21}, "InvalidParameterValue"),
        ("receive_message", {"VisibilityTimeout": 43201}, "InvalidParameterValue"),
        ("receive_message", {"ReceiveRequestAttemptId": "x"}, "InvalidParameterValue"),
        ("delete_message", {"ReceiptHandle": "nonsense"}, "ReceiptHandleIsInvalid"),
        ("change_message_visibility", {"ReceiptHandle": "nonsense", "VisibilityTimeout": 1}, "ReceiptHandleIsInvalid"),
        ("set_queue_attributes", {"Attributes": {"FifoQueue": "true"}}, "InvalidAttributeName"),
        ("set_queue_attributes", {"Attributes": {"VisibilityTimeout": "x"}}, "InvalidAttributeValue"),
        ("remove_permission", {"Label": "none"}, "InvalidParameterValue"),
    ],
)  # fmt: skip
def test_requests_that_are_wrong(sqs, operation, more, expected):
    url = make(sqs, MaximumMessageSize=1024)
    with pytest.raises(ClientError) as refused:
        getattr(sqs, operation)(QueueUrl=url, **more)
    assert code(refused) == expected


def test_fifo_wants_a_group_and_a_deduplication_id(sqs):
    url = make(sqs, "f.fifo", FifoQueue="true")
    for more, expected in (
        ({"MessageDeduplicationId": "d"}, "MissingParameter"),
        ({"MessageGroupId": "g"}, "InvalidParameterValue"),
        ({"MessageGroupId": "g", "MessageDeduplicationId": "d", "DelaySeconds": 1}, "InvalidParameterValue"),
    ):
        with pytest.raises(ClientError) as refused:
            sqs.send_message(QueueUrl=url, MessageBody="x", **more)
        assert code(refused) == expected


# --- the query protocol of older clients -----------------------------------------------------------


def test_the_query_protocol(yard, sqs):
    """As clients of 2022 speak: a signed form to the queue's own URL, XML back."""
    import xml.etree.ElementTree as ET

    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    from tests.support import inproc

    url, keys = make(sqs), yard.secrets["session"]
    credentials = Credentials(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])

    def ask(**parameters):
        form = urlencode({"Version": "2012-11-05", **parameters})
        request = AWSRequest("POST", url, data=form, headers={"content-type": "application/x-www-form-urlencoded; charset=utf-8"})
        SigV4Auth(credentials, "sqs", "us-east-1").add_auth(request)
        answer = inproc.Session(yard.gateway).send(request.prepare())
        text = answer.content.decode()
        assert "http://queue.amazonaws.com/doc/2012-11-05/" in text
        return answer.status_code, ET.fromstring(text.replace('xmlns="http://queue.amazonaws.com/doc/2012-11-05/"', ""))

    form = {"MessageAttribute.1.Name": "a", "MessageAttribute.1.Value.DataType": "String", "MessageAttribute.1.Value.StringValue": "v"}
    status, sent = ask(Action="SendMessage", MessageBody="x", **form)
    assert status == 200 and sent.findtext(".//MD5OfMessageBody")
    status, got = ask(Action="ReceiveMessage", QueueUrl=url, **{"AttributeName.1": "All", "MessageAttributeName.1": "a"})
    assert got.findtext(".//Message/Body") == "x" and got.findtext(".//Message/MessageAttribute/Value/StringValue") == "v"
    assert "SentTimestamp" in [name.text for name in got.findall(".//Message/Attribute/Name")]
    status, _ = ask(Action="DeleteMessage", ReceiptHandle=got.findtext(".//ReceiptHandle"))
    assert status == 200
    status, told = ask(Action="GetQueueAttributes", **{"AttributeName.1": "ApproximateNumberOfMessages"})
    assert told.findtext(".//Attribute/Value") == "0"
    status, refused = ask(Action="GetQueueUrl", QueueName="nope")
    assert status == 400 and refused.findtext(".//Code") == "AWS.SimpleQueueService.NonExistentQueue"
