"""The filter pattern language, and metric and subscription filters that use it, through a real boto3 client."""

from __future__ import annotations

import base64
import gzip
import json

import pytest

from modelyard.kernel.clock import ManualClock
from modelyard.services.logs import filter_worker
from modelyard.services.logs.patterns import matcher
from tests.support.chaos import Chaos, Crash

NOW = 1_700_000_000
JSON = json.dumps({"a": {"b": "boo"}, "n": 7, "list": [{"k": "x"}, {"k": "yy"}], "nil": None, "ok": True, "code": "404", "the key": 1})
LINE = '127.0.0.1 - frank [10/Oct/2000:13:25:15 -0700] "GET /index.html HTTP/1.0" 404 1534'


@pytest.fixture
def clock():
    return ManualClock(NOW)


@pytest.fixture
def logs(yard):
    logs = yard.client("logs")
    logs.create_log_group(logGroupName="/g")
    logs.create_log_stream(logGroupName="/g", logStreamName="s")
    return logs


def put(logs, *messages):
    logs.put_log_events(
        logGroupName="/g", logStreamName="s", logEvents=[{"timestamp": NOW * 1000 + n, "message": m} for n, m in enumerate(messages)]
    )


@pytest.mark.parametrize(
    ("pattern", "message", "values"),
    [
        ('{ $.a.b = "boo" }', JSON, {"$.a.b": "boo"}),
        ('{ $.a.b = "b*" && $.n > 6.5 }', JSON, {"$.a.b": "boo", "$.n": "7"}),
        ("{ $.n = 8 || ($.n >= 7 && $.n != 8) }", JSON, {"$.n": "7"}),
        ("{ $.n < 7 }", JSON, None),
        ("[]", "a b", {}),
        ("{ $.list[1].k = %^y+$% }", JSON, {"$.list[1].k": "yy"}),
        ("{ $.list[*].k = x }", JSON, {"$.list[*].k": "x"}),
        ("{ $.nil IS NULL }", JSON, {}),
        ("{ $.ok IS TRUE && $.none NOT EXISTS }", JSON, {"$.ok": "true"}),
        ("{ $.nil EXISTS && $.ok IS FALSE }", JSON, None),
        ("{ $.none != 3 }", JSON, None),
        ("{ $.code = 404 }", JSON, {"$.code": "404"}),
        ("{ $.['the key'] = 1 }", JSON, {"$.['the key']": "1"}),
        ("{ $.n = * }", "no json", None),
        ("[ip, identity, user, time, request, status = 4*, size > 1000]", LINE,
         {"$ip": "127.0.0.1", "$identity": "-", "$user": "frank", "$time": "10/Oct/2000:13:25:15 -0700", "$request": "GET /index.html HTTP/1.0",
          "$status": "404", "$size": "1534"}),
        ("[..., status = 404 || status = 500, size]", LINE, {"$status": "404", "$size": "1534"}),
        ("[ip = %^127%, ..., size < 10]", LINE, None),
        ("[a, b]", LINE, None),
        ("[, , user = frank, ...]", LINE, {"$1": "127.0.0.1", "$2": "-", "$user": "frank"}),
        ('"exit code" -warn', "exit code 1", {}),
        ("?one ?two", "two", {}),
    ],
)  # fmt: skip
def test_patterns(logs, pattern, message, values):
    found = logs.test_metric_filter(filterPattern=pattern, logEventMessages=["other", message])["matches"]
    hits = [match for match in found if match["eventNumber"] == 2]
    assert [match["extractedValues"] for match in hits] == ([] if values is None else [values])
    assert values is None or all(term in message for term in matcher(pattern, ValueError).terms)


@pytest.mark.parametrize(
    ("pattern", "terms"),
    [
        ('error "disk full" -warn', ("error", "disk full")),
        ("?a ?b", ()),
        ('{ $.level = "ERR*7" && $.ms > 3 }', ("level", "ms", "ERR", "7")),
        ("{ $.a = x || $.b = y }", ()),
        ('{ $.none NOT EXISTS && $.a.b != "c" }', ("a", "b")),
        ('{ $.a = "caf\u00e9" && $.b = "x/y" }', ("a", "b")),
        ("[ip = 10.*, status = 404, word = boo, ...]", ("10.", "boo")),
        ("[a = x || a = y, b]", ()),
    ],
)
def test_what_every_match_has_in_it_is_looked_for_first(pattern, terms):
    assert matcher(pattern, ValueError).terms == terms


@pytest.mark.parametrize(
    "pattern", ["{ $.a = }", "{ a = 1 }", "{ $.a = 1", "{ $.a > x }", "[a, ..., ...]", "[a = 1", "[a = 1 && b = 2]", "%(%", '{ $.a IS 1 }', "{ " + "(" * 99 + "$.a=1 }"]
)  # fmt: skip
def test_what_is_no_pattern(logs, pattern):
    with pytest.raises(logs.exceptions.InvalidParameterException):
        logs.filter_log_events(logGroupName="/g", filterPattern=pattern)


def metric(logs, name="f", pattern="{ $.ms = * }", **transformation):
    said = {"metricName": "m", "metricNamespace": "n", "metricValue": "$.ms", **transformation}
    logs.put_metric_filter(logGroupName="/g", filterName=name, filterPattern=pattern, metricTransformations=[said])


def total(yard, name="m", dimensions=()):
    points = yard.client("cloudwatch").get_metric_statistics(
        Namespace="n",
        MetricName=name,
        StartTime=NOW - 600,
        EndTime=NOW + 600,
        Period=3600,
        Statistics=["Sum", "SampleCount"],
        Dimensions=list(dimensions),
    )["Datapoints"]
    return sum(p["Sum"] for p in points), sum(p["SampleCount"] for p in points)


def test_a_metric_filter_makes_points_of_what_comes_after_it(yard, logs):
    put(logs, json.dumps({"ms": 1000}))
    metric(logs)
    metric(logs, "errors", "ERROR", metricName="errors", metricValue="1", defaultValue=0.0)
    metric(logs, "by", "{ $.ms > 5 }", metricName="by", dimensions={"who": "$.who"})
    put(logs, json.dumps({"ms": 10, "who": "ann"}), "ERROR", json.dumps({"ms": 4.5}), json.dumps({"ms": 7}))
    yard.settle()
    assert total(yard) == (21.5, 3)
    assert total(yard, "errors") == (1, 4)
    assert total(yard, "by", [{"Name": "who", "Value": "ann"}]) == (10, 1)
    assert logs.describe_log_groups()["logGroups"][0]["metricFilterCount"] == 3
    named = logs.describe_metric_filters(metricName="by", metricNamespace="n")["metricFilters"]
    assert [f["filterName"] for f in named] == ["by"]
    page = logs.describe_metric_filters(logGroupName="/g", limit=2)
    assert [f["filterName"] for f in logs.describe_metric_filters(logGroupName="/g", nextToken=page["nextToken"])["metricFilters"]] == ["f"]
    logs.delete_metric_filter(logGroupName="/g", filterName="f")
    put(logs, json.dumps({"ms": 10}))
    yard.settle()
    assert total(yard) == (21.5, 3)


def test_points_are_made_once_each_over_crashes(yard, logs):
    metric(logs)
    for n in range(60):
        put(logs, json.dumps({"ms": n}), json.dumps({"ms": 1}))
    chaos, real, quiet = Chaos(5, 0.05), yard.platform.metrics, 0
    filters = filter_worker.FilterStore
    try:
        for _ in range(300):
            yard.platform.parts["metrics"] = chaos.wrap(real)
            filter_worker.FilterStore = lambda db: chaos.wrap(filters(db))
            try:
                filter_worker.drain(yard.platform)
                quiet += 1
            except Crash:
                quiet = 0
            if quiet == 3:
                break
    finally:
        filter_worker.FilterStore = filters
        yard.platform.parts["metrics"] = real
    assert quiet == 3 and chaos.crashes > 5
    assert total(yard) == (60 * 59 / 2 + 60, 120)


@pytest.mark.parametrize(
    ("pattern", "transformation"),
    [("x", {}), ("[a, b]", {"metricValue": "$c"}), ("{ $.a = 1 }", {"metricValue": "much"}),
     ("{ $.a = 1 }", {"dimensions": {"a": "$.a"}, "defaultValue": 0.0}), ("{ $.a = 1 }", {"metricName": "a:b"})],
)  # fmt: skip
def test_bad_metric_filters(logs, pattern, transformation):
    with pytest.raises(logs.exceptions.InvalidParameterException):
        metric(logs, pattern=pattern, **transformation)


def test_a_subscription_delivers_to_what_takes_it(yard, logs):
    sqs = yard.client("sqs")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    subscribe = {"logGroupName": "/g", "filterName": "f", "filterPattern": "ERROR", "destinationArn": arn}
    with pytest.raises(logs.exceptions.InvalidParameterException):  # the queue's policy lets nobody
        logs.put_subscription_filter(**subscribe)
    allow = {"Effect": "Allow", "Principal": {"Service": "logs.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [allow]})})
    logs.put_subscription_filter(**subscribe)
    put(logs, "fine", "ERROR disk")
    yard.settle()
    bodies = []
    while found := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        for message in found:
            bodies.append(json.loads(gzip.decompress(base64.b64decode(json.loads(message["Body"])["awslogs"]["data"]))))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert [body["messageType"] for body in bodies] == ["CONTROL_MESSAGE", "DATA_MESSAGE"]
    assert [event["message"] for event in bodies[1]["logEvents"]] == ["ERROR disk"]
    assert (bodies[1]["logGroup"], bodies[1]["logStream"], bodies[1]["subscriptionFilters"]) == ("/g", "s", ["f"])
    (said,) = logs.describe_subscription_filters(logGroupName="/g")["subscriptionFilters"]
    assert said["destinationArn"] == arn and said["distribution"] == "ByLogStream"
    logs.delete_subscription_filter(logGroupName="/g", filterName="f")
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.delete_subscription_filter(logGroupName="/g", filterName="f")


def test_a_delivery_that_is_refused_is_tried_again_for_a_day(yard, logs):
    sqs = yard.client("sqs")
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    allow = {"Effect": "Allow", "Principal": {"Service": "logs.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    logs.put_subscription_filter(logGroupName="/g", filterName="f", filterPattern="", destinationArn=arn)
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": ""})
    put(logs, "first")
    yard.settle()
    filters = filter_worker.FilterStore(yard.platform.logs.db)
    assert len(filters.entries(0, 10)) == 1
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
    yard.platform.clock.advance(5)
    yard.settle()
    assert filters.entries(0, 10) == []
    assert len(sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]) == 2
    sqs.delete_queue(QueueUrl=url)
    put(logs, "second")
    yard.settle()
    yard.platform.clock.advance(25 * 3600)
    yard.settle()
    assert filters.entries(0, 10) == []


@pytest.mark.parametrize(
    "arn", ["nonsense", "arn:aws:lambda:us-east-1:123456789012:function:none", "arn:aws:kinesis:us-east-1:123456789012:stream/none"]
)
def test_a_destination_that_is_not_there_is_refused(logs, arn):
    with pytest.raises(logs.exceptions.InvalidParameterException):
        logs.put_subscription_filter(logGroupName="/g", filterName="f", filterPattern="", destinationArn=arn)
