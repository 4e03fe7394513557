"""Topics and queues of a real platform by the AWS CLI and boto3: a topic, a queue, an http endpoint, and dead endpoints beside them."""

from __future__ import annotations

import http.server
import json
import socket
import threading
import time
import urllib.request

import pytest

from tests.journeys.conftest import CommandLine, wait

LONGEST = 40.0
"""Of twenty endpoints that never answer a few at a time would hold a delivery up for minutes: each is given up after 15 s."""


@pytest.fixture(scope="module")
def aws(yard, aws_commands, tmp_path_factory):
    return CommandLine(yard, aws_commands, tmp_path_factory.mktemp("cli"))


class Hook:
    """An http endpoint that confirms its subscription by visiting the SubscribeURL, as an application does."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                envelope = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if envelope["Type"] == "SubscriptionConfirmation":
                    urllib.request.urlopen(envelope["SubscribeURL"], timeout=10).read()
                else:
                    owner.messages.append(envelope["Message"])
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()


def test_the_cli(aws):
    url = aws("sqs", "create-queue", "--queue-name", "cli", "--attributes", "VisibilityTimeout=5")["QueueUrl"]
    arn = aws("sqs", "get-queue-attributes", "--queue-url", url, "--attribute-names", "All")["Attributes"]["QueueArn"]
    topic = aws("sns", "create-topic", "--name", "cli")["TopicArn"]
    statement = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}
    policy = json.dumps({"Policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]})})
    aws("sqs", "set-queue-attributes", "--queue-url", url, "--attributes", policy)
    aws("sns", "subscribe", "--topic-arn", topic, "--protocol", "sqs", "--notification-endpoint", arn)
    sent = aws("sns", "publish", "--topic-arn", topic, "--message", "hello", "--subject", "s")
    (message,) = aws("sqs", "receive-message", "--queue-url", url, "--wait-time-seconds", "10")["Messages"]
    assert json.loads(message["Body"])["MessageId"] == sent["MessageId"]
    aws("sqs", "delete-message", "--queue-url", url, "--receipt-handle", message["ReceiptHandle"])
    assert "NonExistentQueue" in aws("sqs", "send-message", "--queue-url", url + "x", "--message-body", "m", code=255)
    aws("sns", "delete-topic", "--topic-arn", topic)
    aws("sqs", "delete-queue", "--queue-url", url)


def test_dead_endpoints_hold_up_nobody(yard):
    """Twenty endpoints that take connections and never answer, and one that works: its message comes at once."""
    sns, sqs = yard.client("sns"), yard.client("sqs")
    topic = sns.create_topic(Name="busy")["TopicArn"]
    hook, silent = Hook(), socket.socket()
    silent.bind(("127.0.0.1", 0))
    silent.listen(128)
    try:
        sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=hook.url)
        wait(lambda: sns.get_topic_attributes(TopicArn=topic)["Attributes"]["SubscriptionsConfirmed"] == "1", 15)
        for i in range(20):
            sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}/{i}")
        arn = "arn:aws:sqs:us-east-1:123456789012:busy"
        statement = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        url = sqs.create_queue(QueueName="busy", Attributes={"Policy": policy})["QueueUrl"]
        sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        began = time.monotonic()
        sns.publish(TopicArn=topic, Message="now")
        assert sqs.receive_message(QueueUrl=url, WaitTimeSeconds=10).get("Messages")
        wait(lambda: hook.messages == ["now"], 15)
        assert time.monotonic() - began < LONGEST, "twenty who never answer hold nobody up"
    finally:
        silent.close()
        hook.server.shutdown()
        hook.server.server_close()
        sns.delete_topic(TopicArn=topic)
