"""Destinations for other accounts' log groups, and delivery destinations."""

from __future__ import annotations

import base64
import gzip
import json
import time

import pytest
from botocore.exceptions import ClientError

from modelyard.services.iam.bootstrap import ensure_account
from tests.services.sqs.test_who_may import allow, user
from tests.support import inproc
from tests.support.platform import ACCOUNT

OTHER = "210987654321"


@pytest.fixture
def logs(yard):
    return yard.client("logs")


@pytest.fixture
def role(yard):
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "logs.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }
    return yard.root("iam").create_role(RoleName="logs", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]


@pytest.fixture
def queue(yard):
    sqs = yard.client("sqs")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    arn = f"arn:aws:sqs:us-east-1:{ACCOUNT}:q"
    allow = {"Effect": "Allow", "Principal": {"Service": "logs.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [allow]})})

    def read():
        found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages", [])
        for message in found:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [json.loads(gzip.decompress(base64.b64decode(json.loads(m["Body"])["awslogs"]["data"]))) for m in found]

    return arn, read


def them(yard, service="logs"):
    keys = ensure_account(yard.platform, OTHER)["root"]
    return inproc.client(yard.gateway, service, key=keys["AccessKeyId"], secret=keys["SecretAccessKey"])


def refused(work):
    with pytest.raises(ClientError) as problem:
        work()
    return problem.value.response["Error"]["Code"], problem.value.response["Error"]["Message"]


def subscribe(client, arn, **more):
    client.put_subscription_filter(logGroupName="/theirs", filterName="f", filterPattern="ERROR", destinationArn=arn, **more)


def policy(arn, account):
    statement = {"Effect": "Allow", "Principal": {"AWS": account}, "Action": "logs:PutSubscriptionFilter", "Resource": arn}
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_another_accounts_lines_come_through_a_destination_that_lets_it(yard, logs, role, queue):
    target, read = queue
    made = logs.put_destination(destinationName="d", targetArn=target, roleArn=role)["destination"]
    assert made["arn"] == f"arn:aws:logs:us-east-1:{ACCOUNT}:destination:d" and "accessPolicy" not in made
    assert [message["messageType"] for message in read()] == ["CONTROL_MESSAGE"]
    other = them(yard)
    other.create_log_group(logGroupName="/theirs")
    other.create_log_stream(logGroupName="/theirs", logStreamName="s")
    code, text = refused(lambda: subscribe(other, made["arn"]))
    assert code == "AccessDeniedException"
    assert f"User with accountId: {OTHER} is not authorized to perform: logs:PutSubscriptionFilter on resource: {made['arn']}" in text
    logs.put_destination_policy(destinationName="d", accessPolicy=policy(made["arn"], "999999999999"))
    assert refused(lambda: subscribe(other, made["arn"]))[0] == "AccessDeniedException"
    logs.put_destination_policy(destinationName="d", accessPolicy=policy(made["arn"], OTHER))
    subscribe(other, made["arn"])
    (told,) = other.describe_subscription_filters(logGroupName="/theirs")["subscriptionFilters"]
    assert told["destinationArn"] == made["arn"] and told["applyOnTransformedLogs"] is False
    now = int(time.time() * 1000)
    lines = [{"timestamp": now, "message": "fine"}, {"timestamp": now, "message": "ERROR one"}]
    other.put_log_events(logGroupName="/theirs", logStreamName="s", logEvents=lines)
    yard.settle()
    (data,) = read()
    assert data["owner"] == OTHER and data["logGroup"] == "/theirs"
    assert [event["message"] for event in data["logEvents"]] == ["ERROR one"]


def test_the_destinations_own_account_needs_its_policy_too(yard, logs, role, queue):
    arn = logs.put_destination(destinationName="d", targetArn=queue[0], roleArn=role)["destination"]["arn"]
    logs.create_log_group(logGroupName="/theirs")
    assert refused(lambda: subscribe(logs, arn))[0] == "AccessDeniedException"
    logs.put_destination_policy(destinationName="d", accessPolicy=policy(arn, ACCOUNT))
    subscribe(logs, arn)
    assert refused(lambda: subscribe(logs, arn, roleArn=role)) == (
        "InvalidParameterException",
        "destinationArn for vendor logs cannot be used with roleArn",
    )
    assert refused(lambda: subscribe(logs, arn + "x"))[0] == "ResourceNotFoundException"


def test_wrong_destinations(yard, logs, role, queue):
    target = queue[0]
    for bad in ("arn:aws:kinesis:us-east-1:123456789012:stream/none", target + "x"):
        code, text = refused(lambda bad=bad: logs.put_destination(destinationName="d", targetArn=bad, roleArn=role))
        assert code == "InvalidParameterException" and "Could not deliver test message" in text
    assert refused(lambda: logs.put_destination(destinationName="d", targetArn=target, roleArn=role + "x"))[0] == "ValidationException"
    assert refused(lambda: logs.put_destination_policy(destinationName="no", accessPolicy="{}"))[0] == "ResourceNotFoundException"
    logs.put_destination(destinationName="d", targetArn=target, roleArn=role, tags={"a": "b"})
    assert refused(lambda: logs.put_destination_policy(destinationName="d", accessPolicy="{}"))[0] == "InvalidParameterException"
    assert [one["destinationName"] for one in logs.describe_destinations(DestinationNamePrefix="d")["destinations"]] == ["d"]
    arn = f"arn:aws:logs:us-east-1:{ACCOUNT}:destination:d"
    logs.tag_resource(resourceArn=arn, tags={"c": "d"})
    assert logs.list_tags_for_resource(resourceArn=arn)["tags"] == {"a": "b", "c": "d"}
    logs.delete_destination(destinationName="d")
    assert logs.describe_destinations()["destinations"] == []
    assert refused(lambda: logs.delete_destination(destinationName="d"))[0] == "ResourceNotFoundException"


def test_delivery_destinations_are_kept_and_there_is_no_delivery_source(logs):
    put = {"name": "d", "outputFormat": "json", "deliveryDestinationConfiguration": {"destinationResourceArn": "arn:aws:s3:::b"}}
    made = logs.put_delivery_destination(**put)["deliveryDestination"]
    assert made["deliveryDestinationType"] == "S3" and logs.get_delivery_destination(name="d")["deliveryDestination"] == made
    assert refused(lambda: logs.put_delivery_destination(**{**put, "outputFormat": "plain"}))[0] == "ValidationException"
    assert refused(lambda: logs.put_delivery_destination(**{**put, "outputFormat": "foobar"}))[0] == "ValidationException"
    document = policy(made["arn"], ACCOUNT).replace("PutSubscriptionFilter", "CreateDelivery")
    logs.put_delivery_destination_policy(deliveryDestinationName="d", deliveryDestinationPolicy=document)
    kept = logs.get_delivery_destination_policy(deliveryDestinationName="d")["policy"]["deliveryDestinationPolicy"]
    assert json.loads(kept) == json.loads(document)
    logs.delete_delivery_destination_policy(deliveryDestinationName="d")
    assert logs.get_delivery_destination_policy(deliveryDestinationName="d")["policy"] == {}
    source = {"name": "s", "resourceArn": "arn:aws:s3:::b", "logType": "ACCESS_LOGS"}
    assert refused(lambda: logs.put_delivery_source(**source)) == ("ResourceNotFoundException", "Cannot access provided service.")
    assert "Delivery Source does not exist" in refused(lambda: logs.create_delivery(deliverySourceName="s", deliveryDestinationArn="x"))[1]
    assert logs.describe_deliveries()["deliveries"] == logs.describe_delivery_sources()["deliverySources"] == []
    logs.delete_delivery_destination(name="d")
    assert refused(lambda: logs.get_delivery_destination(name="d"))[1] == ("Requested Delivery Destination does not exist in this account.")


def test_what_aws_says(logs):
    logs.create_log_group(logGroupName="/g")
    logs.create_log_stream(logGroupName="/g", logStreamName="s")
    assert "uploadSequenceToken" not in logs.describe_log_streams(logGroupName="/g")["logStreams"][0]
    assert refused(lambda: logs.describe_log_streams(logGroupName="/g", logGroupIdentifier="/g")) == (
        "ValidationException",
        "LogGroup name and LogGroup ARN are mutually exclusive parameters.",
    )
    starred = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/g:*"
    assert refused(lambda: logs.describe_log_streams(logGroupIdentifier=starred))[1] == (
        "1 validation error detected: Value at 'logGroupIdentifier' failed to satisfy constraint: "
        r"Member must satisfy regular expression pattern: [\w#+=/:,.@-]*"
    )
    assert refused(lambda: logs.create_log_group(logGroupName="a" * 513))[1] == (
        "Invalid LogGroup or LogStream, both must have length less than or equal to 512."
    )
    (found,) = logs.describe_log_groups(logGroupNamePattern="g")["logGroups"]
    assert "storedBytes" not in found and "storedBytes" in logs.describe_log_groups(logGroupNamePrefix="/g")["logGroups"][0]
    assert (
        "does not exist for account ID '123456789012' (Service: AWSLogs"
        in refused(lambda: logs.start_query(logGroupName="none", startTime=1, endTime=2, queryString="fields @message"))[1]
    )
    now = int(time.time())
    logs.start_query(logGroupName="/g", startTime=now - 60, endTime=now, queryString="fields @message")
    (query,) = logs.describe_queries()["queries"]
    assert query["queryString"] == f'SOURCE "/g" START={now - 60}000 END={now}999 | fields @message'
    document = {"Statement": [{"Action": "logs:*", "Effect": "Allow", "Principal": {"Service": ["es.amazonaws.com"]}, "Resource": "*"}]}
    logs.put_resource_policy(policyName="p", policyDocument=json.dumps(document))
    told = json.loads(logs.describe_resource_policies()["resourcePolicies"][0]["policyDocument"])
    assert told["Version"] == "2008-10-17" and told["Statement"][0]["Principal"] == {"Service": "es.amazonaws.com"}
    assert refused(lambda: logs.delete_resource_policy(policyName="no"))[1] == "Policy with name [no] does not exist."
    assert (
        refused(
            lambda: logs.put_subscription_filter(
                logGroupName="/none", filterName="f", filterPattern="", destinationArn=f"arn:aws:lambda:us-east-1:{OTHER}:function:f"
            )
        )[0]
        == "AccessDeniedException"
    )


def test_who_may_not_is_denied(yard, logs, role, queue):
    arn = logs.put_destination(destinationName="d", targetArn=queue[0], roleArn=role)["destination"]["arn"]
    nobody = user(yard, "nobody")("logs")
    delivery = {"name": "x", "deliveryDestinationConfiguration": {"destinationResourceArn": "arn:aws:s3:::b"}}
    for work in (
        lambda: nobody.put_destination(destinationName="d", targetArn=queue[0], roleArn=role),
        lambda: nobody.put_destination_policy(destinationName="d", accessPolicy=policy(arn, OTHER)),
        lambda: nobody.describe_destinations(),
        lambda: nobody.delete_destination(destinationName="d"),
        lambda: nobody.put_delivery_destination(**delivery),
        lambda: nobody.put_index_policy(logGroupIdentifier="/g", policyDocument='{"Fields": ["a"]}'),
    ):
        assert refused(work)[0] in ("AccessDeniedException", "AccessDenied")
    some = user(yard, "some", allow("logs:PutDestination*", arn), allow("logs:PutDestination", arn + "2"))("logs")
    some.put_destination_policy(destinationName="d", accessPolicy=policy(arn, OTHER))
    assert refused(lambda: some.put_destination(destinationName="d2", targetArn=queue[0], roleArn=role))[1].count("iam:PassRole")
