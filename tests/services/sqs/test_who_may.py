"""Who may do what to queues and topics: IAM users, accounts by resource policy, and denials."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from modelyard.services.iam.bootstrap import ensure_account
from tests.support import inproc
from tests.support.platform import ACCOUNT

OTHER = "210987654321"


def user(yard, name, *statements, account=None):
    """A user with one policy; answers `client(service)` of its key."""
    iam = yard.root("iam") if account is None else _root(yard, account)("iam")
    iam.create_user(UserName=name)
    if statements:
        document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return lambda service: inproc.client(yard.gateway, service, key=key["AccessKeyId"], secret=key["SecretAccessKey"])


def _root(yard, account):
    keys = ensure_account(yard.platform, account)["root"]
    return lambda service: inproc.client(yard.gateway, service, key=keys["AccessKeyId"], secret=keys["SecretAccessKey"])


def allow(action, resource="*"):
    return {"Effect": "Allow", "Action": action, "Resource": resource}


def refused(work, code):
    with pytest.raises(ClientError) as problem:
        work()
    assert problem.value.response["Error"]["Code"] == code
    assert "is not authorized to perform" in str(problem.value)


def test_a_user_without_permission_is_denied_everywhere(yard):
    url = yard.client("sqs").create_queue(QueueName="q")["QueueUrl"]
    topic = yard.client("sns").create_topic(Name="t")["TopicArn"]
    nobody = user(yard, "nobody")
    sqs, sns = nobody("sqs"), nobody("sns")
    for work in (
        lambda: sqs.create_queue(QueueName="x"),
        lambda: sqs.get_queue_url(QueueName="q"),
        lambda: sqs.list_queues(),
        lambda: sqs.send_message(QueueUrl=url, MessageBody="x"),
        lambda: sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": "a", "MessageBody": "x"}]),
        lambda: sqs.receive_message(QueueUrl=url),
        lambda: sqs.delete_message(QueueUrl=url, ReceiptHandle="x"),
        lambda: sqs.purge_queue(QueueUrl=url),
        lambda: sqs.set_queue_attributes(QueueUrl=url, Attributes={"DelaySeconds": "1"}),
        lambda: sqs.delete_queue(QueueUrl=url),
        lambda: sqs.start_message_move_task(SourceArn=f"arn:aws:sqs:us-east-1:{ACCOUNT}:q"),
    ):
        refused(work, "AccessDenied")
    for work in (
        lambda: sns.create_topic(Name="x"),
        lambda: sns.publish(TopicArn=topic, Message="x"),
        lambda: sns.publish_batch(TopicArn=topic, PublishBatchRequestEntries=[{"Id": "a", "Message": "x"}]),
        lambda: sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="a@b.c"),
        lambda: sns.confirm_subscription(TopicArn=topic, Token="x"),
        lambda: sns.list_topics(),
        lambda: sns.set_topic_attributes(TopicArn=topic, AttributeName="DisplayName", AttributeValue="x"),
        lambda: sns.delete_topic(TopicArn=topic),
        lambda: sns.unsubscribe(SubscriptionArn=topic + ":x"),
    ):
        refused(work, "AuthorizationError")


def test_a_permission_reaches_its_own_queue_and_topic_only(yard):
    urls = [yard.client("sqs").create_queue(QueueName=name)["QueueUrl"] for name in ("mine", "other")]
    topics = [yard.client("sns").create_topic(Name=name)["TopicArn"] for name in ("mine", "other")]
    some = user(yard, "some", allow("sqs:SendMessage", f"arn:aws:sqs:us-east-1:{ACCOUNT}:mine"), allow("sns:Publish", topics[0]))
    some("sqs").send_message(QueueUrl=urls[0], MessageBody="x")
    some("sns").publish(TopicArn=topics[0], Message="x")
    refused(lambda: some("sqs").send_message(QueueUrl=urls[1], MessageBody="x"), "AccessDenied")
    refused(lambda: some("sqs").receive_message(QueueUrl=urls[0]), "AccessDenied")
    refused(lambda: some("sns").publish(TopicArn=topics[1], Message="x"), "AuthorizationError")


def test_another_account_by_the_queues_policy(yard):
    """Both sides must allow it: the queue's policy names the account, the account's own policy lets the user."""
    sqs = yard.client("sqs")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    may = user(yard, "may", allow("sqs:*"), account=OTHER)("sqs")
    may_not = user(yard, "may-not", account=OTHER)("sqs")
    refused(lambda: may.send_message(QueueUrl=url, MessageBody="x"), "AccessDenied")
    sqs.add_permission(QueueUrl=url, Label="them", AWSAccountIds=[OTHER], Actions=["SendMessage", "GetQueueUrl"])
    may.send_message(QueueUrl=url, MessageBody="from elsewhere")
    assert may.get_queue_url(QueueName="q", QueueOwnerAWSAccountId=ACCOUNT)["QueueUrl"] == url
    refused(lambda: may_not.send_message(QueueUrl=url, MessageBody="x"), "AccessDenied")
    refused(lambda: may.receive_message(QueueUrl=url), "AccessDenied")
    assert sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "from elsewhere"
    sqs.remove_permission(QueueUrl=url, Label="them")
    refused(lambda: may.send_message(QueueUrl=url, MessageBody="x"), "AccessDenied")


def test_another_account_by_the_topics_policy(yard):
    sns = yard.client("sns")
    topic = sns.create_topic(Name="t")["TopicArn"]
    them = user(yard, "them", allow("sns:*"), account=OTHER)("sns")
    refused(lambda: them.publish(TopicArn=topic, Message="x"), "AuthorizationError")
    sns.add_permission(TopicArn=topic, Label="them", AWSAccountId=[OTHER], ActionName=["Publish"])
    them.publish(TopicArn=topic, Message="x")
    refused(lambda: them.subscribe(TopicArn=topic, Protocol="email", Endpoint="a@b.c"), "AuthorizationError")
    sns.remove_permission(TopicArn=topic, Label="them")
    refused(lambda: them.publish(TopicArn=topic, Message="x"), "AuthorizationError")


def test_a_deny_of_the_resource_wins(yard):
    sqs = yard.client("sqs")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    deny = {"Effect": "Deny", "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*"}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [deny]})})
    refused(lambda: sqs.send_message(QueueUrl=url, MessageBody="x"), "AccessDenied")


def test_a_subscriptions_links_are_no_way_around_a_signature(yard):
    """Publish without a signature stays refused; only the two operations that mails and messages link to are open."""
    from modelyard.kernel.service import BytesBody
    from modelyard.wire.http import HttpRequest

    topic = yard.client("sns").create_topic(Name="t")["TopicArn"]
    for action in ("Publish", "DeleteTopic", "Subscribe"):
        query = f"Action={action}&Version=2010-03-31&TopicArn={topic}&Message=x&Protocol=email"
        request = HttpRequest("GET", "/", query, [("host", "127.0.0.1:4566")], BytesBody(b""), False, "127.0.0.1")
        assert inproc.loop().run(yard.gateway.handle(request)).status == 403
