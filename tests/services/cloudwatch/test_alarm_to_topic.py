"""An alarm to a real topic to a real queue, through boto3."""

from __future__ import annotations

import json

from modelyard.kernel.clock import ManualClock
from tests.services.cloudwatch.conftest import START, metric_alarm
from tests.support.platform import InProcess


def test_an_alarm_arrives_in_a_queue(tmp_path):
    clock = ManualClock(START)
    yard = InProcess(tmp_path, clock=clock)
    sns, sqs, cloudwatch = (yard.client(name) for name in ("sns", "sqs", "cloudwatch"))
    topic = sns.create_topic(Name="bell")["TopicArn"]
    url = sqs.create_queue(QueueName="q")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    statement = {"Effect": "Allow", "Principal": {"Service": "sns.amazonaws.com"}, "Action": "sqs:SendMessage", "Resource": arn}
    sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": json.dumps({"Version": "2012-10-17", "Statement": [statement]})})
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
    cloudwatch.put_metric_alarm(**metric_alarm(AlarmActions=[topic]))
    cloudwatch.put_metric_data(Namespace="App", MetricData=[{"MetricName": "m", "Value": 9.0, "Timestamp": START}])
    clock.advance(60)
    yard.settle()
    (message,) = sqs.receive_message(QueueUrl=url)["Messages"]
    envelope = json.loads(message["Body"])
    assert envelope["Subject"] == 'ALARM: "a" in US East (N. Virginia)'
    assert json.loads(envelope["Message"])["NewStateValue"] == "ALARM"
    (item,) = cloudwatch.describe_alarm_history(AlarmName="a", HistoryItemType="Action")["AlarmHistoryItems"]
    assert item["HistorySummary"] == f"Successfully executed action {topic}"
    yard.close()
