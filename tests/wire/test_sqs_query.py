"""SQS as clients from before its move to JSON speak it (API reference of 2012-11-05)."""

import xml.etree.ElementTree as ET

from modelyard.kernel.errors import ApiError
from modelyard.wire.codec import codec
from modelyard.wire.http import HttpRequest
from modelyard.wire.routing import Route

REQUEST = HttpRequest("POST", "/", "", [])


def parse(operation, form):
    return codec("sqs", operation, "query").parse(Route("sqs", operation, "query"), REQUEST, form.encode())


def test_requests():
    assert parse("CreateQueue", "QueueName=q&Attribute.1.Name=DelaySeconds&Attribute.1.Value=5&Tag.1.Key=a&Tag.1.Value=b") == {
        "QueueName": "q",
        "Attributes": {"DelaySeconds": "5"},
        "tags": {"a": "b"},
    }
    form = "QueueUrl=u&SendMessageBatchRequestEntry.1.Id=1&SendMessageBatchRequestEntry.1.MessageBody=hi"
    form += (
        "&SendMessageBatchRequestEntry.1.MessageAttribute.1.Name=n&SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.DataType=String"
    )
    form += "&SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.StringValue=v"
    entry = {"Id": "1", "MessageBody": "hi", "MessageAttributes": {"n": {"DataType": "String", "StringValue": "v"}}}
    assert parse("SendMessageBatch", form) == {"QueueUrl": "u", "Entries": [entry]}
    assert parse("ReceiveMessage", "QueueUrl=u&AttributeName.1=All&MessageAttributeName.1=x&MaxNumberOfMessages=3") == {
        "QueueUrl": "u",
        "AttributeNames": ["All"],
        "MessageAttributeNames": ["x"],
        "MaxNumberOfMessages": 3,
    }


def test_answers():
    urls = codec("sqs", "ListQueues", "query").serialise({"QueueUrls": ["http://x/1", "http://x/2"]}, "rid", strict=True)
    root = ET.fromstring(urls.body)
    name = "{http://queue.amazonaws.com/doc/2012-11-05/}"
    assert [node.text for node in root.iter(f"{name}QueueUrl")] == ["http://x/1", "http://x/2"]
    message = {"MessageId": "m", "Body": "b", "Attributes": {"SentTimestamp": "1"}}
    root = ET.fromstring(codec("sqs", "ReceiveMessage", "query").serialise({"Messages": [message]}, "rid", strict=True).body)
    found = root.find(f"{name}ReceiveMessageResult/{name}Message/{name}Attribute")
    assert [(node.tag.removeprefix(name), node.text) for node in found] == [("Name", "SentTimestamp"), ("Value", "1")]
    error = codec("sqs", "SendMessage", "query").error(ApiError("QueueDoesNotExist", "gone", 400), "rid")
    assert b"<Code>AWS.SimpleQueueService.NonExistentQueue</Code>" in error.body
