"""Topics, subscriptions and deliveries by a real client; endpoints are real HTTP servers of this test."""

from __future__ import annotations

import base64
import http.server
import json
import threading
import urllib.parse
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError

from modelyard.kernel.clock import ManualClock
from modelyard.kernel.errors import ApiError
from modelyard.kernel.targets import Delivery, deliver
from tests.support.platform import ACCOUNT


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def sns(yard):
    return yard.client("sns")


@pytest.fixture
def sqs(yard):
    return yard.client("sqs")


class Endpoint:
    """Answers with the statuses it is told, then 200; keeps what it was sent."""

    def __init__(self) -> None:
        self.seen: list[tuple[dict, str]] = []
        self.statuses: list[int] = []
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                owner.seen.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(owner.statuses.pop(0) if owner.statuses else 200)
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/hook"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def messages(self) -> list[dict]:
        return [json.loads(body) for _, body in self.seen]


@pytest.fixture
def endpoint():
    made = Endpoint()
    yield made
    made.server.shutdown()
    made.server.server_close()


def queue(sqs, name="q", topic=None, **attributes):
    """(URL, ARN) of a queue that the topic may send to."""
    url = sqs.create_queue(QueueName=name, Attributes=attributes)["QueueUrl"]
    arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:{name}"
    if topic is not None:
        allow(sqs, url, arn, topic)
    return url, arn


def allow(sqs, url, arn, source):
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": source}},
    }
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]})})


def received(sqs, url, **more):
    return sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], AttributeNames=["All"], **more).get(
        "Messages", []
    )


def code(refused):
    return refused.value.response["Error"]["Code"]


def confirmed(yard, sns, topic, endpoint, **attributes):
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url, Attributes=attributes)
    yard.settle()
    token = json.loads(endpoint.seen.pop()[1])["Token"]
    return sns.confirm_subscription(TopicArn=topic, Token=token)["SubscriptionArn"]


def visit(yard, url):
    """What a person or a program does with a link of a message: a plain GET, unsigned."""
    from modelyard.kernel.service import BytesBody
    from modelyard.wire.http import HttpRequest
    from tests.support import inproc

    parts = urlsplit(url)
    request = HttpRequest("GET", parts.path, parts.query, [("host", parts.netloc)], BytesBody(b""), False, "127.0.0.1")
    return inproc.loop().run(yard.gateway.handle(request))


def check_signature(yard, envelope, names):
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    page = visit(yard, envelope["SigningCertURL"])
    assert page.status == 200
    key = x509.load_pem_x509_certificate(page.body).public_key()
    text = "".join(f"{name}\n{envelope[name]}\n" for name in names if name in envelope)
    kind = hashes.SHA256() if envelope["SignatureVersion"] == "2" else hashes.SHA1()
    key.verify(base64.b64decode(envelope["Signature"]), text.encode(), padding.PKCS1v15(), kind)


NOTIFICATION = ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type")
CONFIRMATION = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_queue_gets_the_signed_envelope(yard, sns, sqs, version):
    topic = sns.create_topic(Name="t", Attributes={"SignatureVersion": version})["TopicArn"]
    url, arn = queue(sqs, topic=topic)
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)["SubscriptionArn"]
    attributes = {"a": {"DataType": "String", "StringValue": "v"}, "b": {"DataType": "Binary", "BinaryValue": b"\x00"}}
    sent = sns.publish(TopicArn=topic, Message="hé", Subject="s", MessageAttributes=attributes)
    yard.settle()
    (message,) = received(sqs, url)
    envelope = json.loads(message["Body"])
    assert list(envelope) == ["Type", "MessageId", "TopicArn", "Subject", "Message", "Timestamp", "SignatureVersion", "Signature", "SigningCertURL", "UnsubscribeURL", "MessageAttributes"]  # fmt: skip
    assert (envelope["MessageId"], envelope["Message"], envelope["SignatureVersion"]) == (sent["MessageId"], "hé", version)
    assert envelope["MessageAttributes"] == {"a": {"Type": "String", "Value": "v"}, "b": {"Type": "Binary", "Value": "AA=="}}
    assert message["Attributes"]["SenderId"] and '"Type" : "Notification"' in message["Body"]
    check_signature(yard, envelope, NOTIFICATION)
    assert visit(yard, envelope["UnsubscribeURL"]).status == 200
    with pytest.raises(ClientError):
        sns.get_subscription_attributes(SubscriptionArn=subscription)


def test_raw_delivery_to_a_queue(yard, sns, sqs):
    topic = sns.create_topic(Name="t")["TopicArn"]
    url, arn = queue(sqs, topic=topic)
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
    attributes = {"a": {"DataType": "Number", "StringValue": "1"}, "b": {"DataType": "Binary", "BinaryValue": b"\x00"}}
    sns.publish(
        TopicArn=topic, Message=json.dumps({"default": "d", "sqs": "for queues"}), MessageStructure="json", MessageAttributes=attributes
    )
    yard.settle()
    (message,) = received(sqs, url)
    assert message["Body"] == "for queues" and message["MessageAttributes"] == attributes


def test_http_endpoints_confirm_first(yard, sns, endpoint):
    topic = sns.create_topic(Name="t")["TopicArn"]
    answer = sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=endpoint.url)
    assert answer["SubscriptionArn"] == "pending confirmation"
    sns.publish(TopicArn=topic, Message="too early")
    yard.settle()
    ((headers, body),) = endpoint.seen
    envelope = json.loads(body)
    assert headers["x-amz-sns-message-type"] == envelope["Type"] == "SubscriptionConfirmation"
    assert headers["content-type"] == "text/plain; charset=UTF-8" and headers["x-amz-sns-topic-arn"] == topic
    check_signature(yard, envelope, CONFIRMATION)
    assert visit(yard, envelope["SubscribeURL"].replace(envelope["Token"], "0" * 128)).status == 400
    answered = visit(yard, envelope["SubscribeURL"])
    assert answered.status == 200 and b"<ConfirmSubscriptionResult><SubscriptionArn>arn:aws:sns:" in answered.body
    sns.publish(TopicArn=topic, Message="now")
    yard.settle()
    headers, body = endpoint.seen[-1]
    assert json.loads(body)["Message"] == "now" and headers["x-amz-sns-message-type"] == "Notification"
    assert headers["x-amz-sns-subscription-arn"].startswith(topic + ":") and len(endpoint.seen) == 2
    assert sns.get_topic_attributes(TopicArn=topic)["Attributes"]["SubscriptionsConfirmed"] == "1"


def test_retries_on_the_platform_clock_then_dead_letters(yard, sns, sqs, endpoint):
    topic = sns.create_topic(Name="t")["TopicArn"]
    dead, dead_arn = queue(sqs, "dead", topic)
    policy = {"healthyRetryPolicy": {"numRetries": 2, "minDelayTarget": 5, "maxDelayTarget": 10}}
    arn = confirmed(
        yard, sns, topic, endpoint, DeliveryPolicy=json.dumps(policy), RedrivePolicy=json.dumps({"deadLetterTargetArn": dead_arn})
    )
    assert json.loads(sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]["EffectiveDeliveryPolicy"])
    endpoint.statuses = [500, 429, 503]
    sns.publish(TopicArn=topic, Message="m")
    yard.settle()
    assert len(endpoint.seen) == 1
    for seconds, tries in ((4.9, 1), (0.2, 2), (9.8, 2), (0.3, 3)):
        yard.platform.clock.advance(seconds)
        yard.settle()
        assert len(endpoint.seen) == tries
    assert len({body for _, body in endpoint.seen}) == 1
    (message,) = received(sqs, dead)
    assert json.loads(message["Body"])["Message"] == "m"
    assert message["MessageAttributes"]["ErrorMessage"]["StringValue"] == "HTTP 503"
    yard.platform.clock.advance(3600)
    yard.settle()
    assert len(endpoint.seen) == 3
    log = yard.client("logs").filter_log_events(logGroupName=f"sns/us-east-1/{ACCOUNT}/t/Failure")["events"]
    assert [json.loads(event["message"])["status"] for event in log] == ["RETRY", "RETRY", "FAILURE"]


def test_what_the_client_did_wrong_is_not_tried_again(yard, sns, endpoint):
    topic = sns.create_topic(Name="t")["TopicArn"]
    confirmed(yard, sns, topic, endpoint)
    endpoint.statuses = [404, 302]
    for _ in range(2):
        sns.publish(TopicArn=topic, Message="m")
        yard.settle()
    yard.platform.clock.advance(3600)
    yard.settle()
    assert len(endpoint.seen) == 2, "neither a 404 again, nor a redirect followed"


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:4566/", "http://localhost:4566/x", "http://169.254.169.254/latest/meta-data", "http://0.0.0.0:1234/"]
)
def test_the_platform_itself_and_metadata_services_are_no_endpoints(yard, sns, url):
    topic = sns.create_topic(Name="t")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=url)
    yard.settle()
    (event,) = yard.client("logs").filter_log_events(logGroupName=f"sns/us-east-1/{ACCOUNT}/t/Failure")["events"]
    assert json.loads(event["message"])["status"] == "FAILURE"


def test_a_queue_without_a_policy_gets_nothing(yard, sns, sqs):
    """As on AWS; the log says why."""
    topic = sns.create_topic(Name="t")["TopicArn"]
    url, arn = queue(sqs)
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    sns.publish(TopicArn=topic, Message="m")
    yard.settle()
    assert received(sqs, url) == []
    (event,) = yard.client("logs").filter_log_events(logGroupName=f"sns/us-east-1/{ACCOUNT}/t/Failure")["events"]
    assert "is not authorized to perform: sqs:SendMessage" in event["message"]
    said = json.loads(event["message"])
    assert '{"Service":"sns.amazonaws.com"}' in json.dumps(said).replace("\\", ""), "the statement that would allow it can be pasted"
    allow(sqs, url, arn, topic)
    sns.publish(TopicArn=topic, Message="m2")
    yard.settle()
    assert [json.loads(m["Body"])["Message"] for m in received(sqs, url)] == ["m2"]


def test_filters(yard, sns, sqs):
    topic = sns.create_topic(Name="t")["TopicArn"]
    urls = {}
    for name, attributes in {
        "all": {},
        "red": {"FilterPolicy": json.dumps({"colour": ["red", {"prefix": "dark-"}]})},
        "big": {"FilterPolicy": json.dumps({"order": {"size": [{"numeric": [">", 5]}]}}), "FilterPolicyScope": "MessageBody"},
    }.items():
        urls[name], arn = queue(sqs, name, topic)
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true", **attributes})
    for message, colour in (('{"order":{"size":6}}', "red"), ('{"order":{"size":5}}', "dark-blue"), ("no json", "green")):
        sns.publish(TopicArn=topic, Message=message, MessageAttributes={"colour": {"DataType": "String", "StringValue": colour}})
    yard.settle()
    assert {name: len(received(sqs, url)) for name, url in urls.items()} == {"all": 3, "red": 2, "big": 1}


def test_fifo_topics_keep_order_and_send_nothing_twice(yard, sns, sqs):
    topic = sns.create_topic(Name="t.fifo", Attributes={"FifoTopic": "true", "ContentBasedDeduplication": "true"})["TopicArn"]
    url, arn = queue(sqs, "q.fifo", topic, FifoQueue="true")
    plain, plain_arn = queue(sqs, "plain", topic)
    for one in (arn, plain_arn):
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=one, Attributes={"RawMessageDelivery": "true"})
    sent = [sns.publish(TopicArn=topic, Message=f"m{i}", MessageGroupId="g") for i in range(5)]
    assert sns.publish(TopicArn=topic, Message="m0", MessageGroupId="g")["SequenceNumber"] == sent[0]["SequenceNumber"]
    assert [one["SequenceNumber"] for one in sent] == sorted({one["SequenceNumber"] for one in sent})
    yard.settle()
    assert [m["Body"] for m in received(sqs, url)] == [f"m{i}" for i in range(5)]
    assert sorted(m["Body"] for m in received(sqs, plain)) == [f"m{i}" for i in range(5)]
    for more in ({}, {"MessageGroupId": "g", "MessageDeduplicationId": "a b"}):
        with pytest.raises(ClientError) as refused:
            sns.publish(TopicArn=topic, Message="x", **more)
        assert code(refused) == "InvalidParameter"


def test_a_standard_topic_takes_no_fifo_queue(sns, sqs, endpoint):
    topic, fifo = sns.create_topic(Name="t")["TopicArn"], sns.create_topic(Name="t.fifo", Attributes={"FifoTopic": "true"})["TopicArn"]
    _, arn = queue(sqs, "q.fifo", FifoQueue="true")
    for refused_by, protocol, where in ((topic, "sqs", arn), (fifo, "http", endpoint.url)):
        with pytest.raises(ClientError) as refused:
            sns.subscribe(TopicArn=refused_by, Protocol=protocol, Endpoint=where)
        assert code(refused) == "InvalidParameter"


def test_batches(yard, sns, sqs):
    topic = sns.create_topic(Name="t")["TopicArn"]
    url, arn = queue(sqs, topic=topic)
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, Attributes={"RawMessageDelivery": "true"})
    entries = [{"Id": str(i), "Message": f"m{i}", **({"Subject": "\n"} if i == 2 else {})} for i in range(4)]
    answer = sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=entries)
    assert [one["Id"] for one in answer["Successful"]] == ["0", "1", "3"] and answer["Failed"][0]["Code"] == "InvalidParameter"
    yard.settle()
    assert sorted(m["Body"] for m in received(sqs, url)) == ["m0", "m1", "m3"]
    for wrong, expected in (
        ([], "EmptyBatchRequest"),
        ([{"Id": str(i), "Message": "x"} for i in range(11)], "TooManyEntriesInBatchRequest"),
        ([{"Id": "a", "Message": "x"}] * 2, "BatchEntryIdsNotDistinct"),
        ([{"Id": "?", "Message": "x"}], "InvalidBatchEntryId"),
    ):
        with pytest.raises(ClientError) as refused:
            sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=wrong)
        assert code(refused) == expected


def test_topics_are_idempotent_listed_tagged_and_deleted(yard, sns, sqs):
    arn = sns.create_topic(Name="t", Attributes={"DisplayName": "d"}, Tags=[{"Key": "a", "Value": "1"}])["TopicArn"]
    assert sns.create_topic(Name="t")["TopicArn"] == arn and sns.list_topics()["Topics"] == [{"TopicArn": arn}]
    with pytest.raises(ClientError) as refused:
        sns.create_topic(Name="t", Attributes={"DisplayName": "e"})
    assert code(refused) == "InvalidParameter"
    sns.tag_resource(ResourceArn=arn, Tags=[{"Key": "b", "Value": "2"}])
    sns.untag_resource(ResourceArn=arn, TagKeys=["a"])
    assert sns.list_tags_for_resource(ResourceArn=arn)["Tags"] == [{"Key": "b", "Value": "2"}]
    sns.set_topic_attributes(TopicArn=arn, AttributeName="DisplayName", AttributeValue="new")
    told = sns.get_topic_attributes(TopicArn=arn)["Attributes"]
    assert (
        told["DisplayName"] == "new"
        and told["Owner"] == ACCOUNT
        and json.loads(told["Policy"])
        and json.loads(told["EffectiveDeliveryPolicy"])
    )
    url, queue_arn = queue(sqs, topic=arn)
    subscription = sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue_arn)["SubscriptionArn"]
    assert sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue_arn)["SubscriptionArn"] == subscription
    (listed,) = sns.list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]
    assert listed == {"SubscriptionArn": subscription, "Owner": ACCOUNT, "Protocol": "sqs", "Endpoint": queue_arn, "TopicArn": arn}
    sns.publish(TopicArn=arn, Message="on its way")
    sns.delete_topic(TopicArn=arn)
    sns.delete_topic(TopicArn=arn)
    yard.settle()
    assert received(sqs, url) == [] and sns.list_subscriptions()["Subscriptions"] == []
    with pytest.raises(ClientError) as refused:
        sns.publish(TopicArn=arn, Message="x")
    assert code(refused) == "NotFound" and "Topic does not exist" in str(refused.value)


def test_mail_is_recorded_and_stays_pending(sns):
    topic = sns.create_topic(Name="t")["TopicArn"]
    assert sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="a@example.com")["SubscriptionArn"] == "pending confirmation"
    arn = sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="a@example.com", ReturnSubscriptionArn=True)["SubscriptionArn"]
    assert sns.get_subscription_attributes(SubscriptionArn=arn)["Attributes"]["PendingConfirmation"] == "true"
    assert sns.list_subscriptions()["Subscriptions"][0]["SubscriptionArn"] == "PendingConfirmation"


def test_other_services_publish_by_arn(yard, sns, sqs):
    """An alarm of the same account may, by the policy every topic begins with; one of another account may not."""
    topic = sns.create_topic(Name="t")["TopicArn"]
    url, arn = queue(sqs, topic=topic)
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)

    def alarm(account):
        source = f"arn:aws:cloudwatch:us-east-1:{account}:alarm:a"
        return Delivery(
            topic, '{"AlarmName":"a"}', "cloudwatch.amazonaws.com", source, account, "us-east-1", f"key {account}", subject="ALARM: x"
        )

    deliver(yard.platform, alarm(ACCOUNT))
    with pytest.raises(ApiError) as refused:
        deliver(yard.platform, alarm("999999999999"))
    assert refused.value.code == "AuthorizationError"
    yard.settle()
    (message,) = received(sqs, url)
    assert json.loads(message["Body"])["Subject"] == "ALARM: x"


@pytest.mark.parametrize(
    ("operation", "request_", "expected"),
    [
        ("publish", {"Message": ""}, "InvalidParameter"),
        ("publish", {"Message": "x" * (257 << 10)}, "InvalidParameter"),
        ("publish", {"Message": "{}", "MessageStructure": "json"}, "InvalidParameter"),
        ("publish", {"Message": "x", "Subject": "a\nb"}, "InvalidParameter"),
        ("publish", {"Message": "x", "MessageDeduplicationId": "d"}, "InvalidParameter"),
        ("publish", {"Message": "x", "MessageAttributes": {"a": {"DataType": "Number", "StringValue": "x"}}}, "ParameterValueInvalid"),
        ("subscribe", {"Protocol": "carrier-pigeon", "Endpoint": "x"}, "InvalidParameter"),
        ("subscribe", {"Protocol": "http", "Endpoint": "https://x"}, "InvalidParameter"),
        ("subscribe", {"Protocol": "http", "Endpoint": "http://x:99999"}, "InvalidParameter"),
        ("subscribe", {"Protocol": "sqs", "Endpoint": "q"}, "InvalidParameter"),
        ("subscribe", {"Protocol": "sms", "Endpoint": "+100000"}, "InvalidParameter"),
        ("subscribe", {"Protocol": "email", "Endpoint": "a@b.c", "Attributes": {"Nope": "1"}}, "InvalidParameter"),
        ("subscribe", {"Protocol": "email", "Endpoint": "a@b.c", "Attributes": {"RawMessageDelivery": "true"}}, "InvalidParameter"),
        ("subscribe", {"Protocol": "email", "Endpoint": "a@b.c", "Attributes": {"FilterPolicy": "{"}}, "InvalidParameter"),
        ("set_topic_attributes", {"AttributeName": "Nope", "AttributeValue": "1"}, "InvalidParameter"),
        ("set_topic_attributes", {"AttributeName": "Policy", "AttributeValue": "{}"}, "InvalidParameter"),
        ("set_topic_attributes", {"AttributeName": "DeliveryPolicy", "AttributeValue": '{"http":{"defaultHealthyRetryPolicy":{"numRetries":101}}}'}, "InvalidParameter"),
        ("confirm_subscription", {"Token": "nonsense"}, "InvalidParameter"),
        ("add_permission", {"Label": "l", "AWSAccountId": ["123456789012"], "ActionName": ["Nope"]}, "InvalidParameter"),
    ],
)  # fmt: skip
def test_requests_that_are_wrong(sns, operation, request_, expected):
    topic = sns.create_topic(Name="t")["TopicArn"]
    with pytest.raises(ClientError) as refused:
        getattr(sns, operation)(TopicArn=topic, **request_)
    assert code(refused) == expected


@pytest.mark.parametrize("name", ["", "a b", "x" * 257, "t.fifo"])
def test_names_that_cannot_be(sns, name):
    with pytest.raises(ClientError) as refused:
        sns.create_topic(Name=name)
    assert code(refused) == "InvalidParameter"


def test_links_name_the_platform(yard, sns, endpoint):
    topic = sns.create_topic(Name="t")["TopicArn"]
    confirmed(yard, sns, topic, endpoint)
    sns.publish(TopicArn=topic, Message="m")
    yard.settle()
    link = urllib.parse.urlsplit(endpoint.messages()[-1]["UnsubscribeURL"])
    assert link.netloc == "127.0.0.1:4566"
