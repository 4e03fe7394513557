"""Export tasks into a real bucket, and resource policies, through a real boto3 client."""

from __future__ import annotations

import gzip
import json
import time

import pytest

from modelyard.kernel.clock import ManualClock
from modelyard.services.logs import export_tasks
from modelyard.services.logs.export_tasks import EXPORT
from tests.support.chaos import Chaos, Crash

NOW = 1_700_000_000
ACCOUNT = "123456789012"
LETS = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "logs.us-east-1.amazonaws.com"},
            "Action": action,
            "Resource": f"arn:aws:s3:::out{what}",
        }
        for action, what in (("s3:GetBucketAcl", ""), ("s3:PutObject", "/*"))
    ],
}


@pytest.fixture
def clock():
    return ManualClock(NOW)


@pytest.fixture
def logs(yard):
    logs, s3 = yard.client("logs"), yard.client("s3")
    logs.create_log_group(logGroupName="/e")
    for stream in ("a/1", "b"):
        logs.create_log_stream(logGroupName="/e", logStreamName=stream)
        events = [{"timestamp": NOW * 1000 + n, "message": f"{stream} {n}"} for n in range(5)]
        logs.put_log_events(logGroupName="/e", logStreamName=stream, logEvents=events)
    s3.create_bucket(Bucket="out")
    s3.put_bucket_policy(Bucket="out", Policy=json.dumps(LETS))
    return logs


def begin(logs, **more):
    asked = {"logGroupName": "/e", "from": NOW * 1000 + 1, "to": NOW * 1000 + 3, "destination": "out", **more}
    return logs.create_export_task(**asked)["taskId"]


def ended(yard, logs, task):
    until = time.monotonic() + 30
    while time.monotonic() < until:
        yard.settle()
        (said,) = logs.describe_export_tasks(taskId=task)["exportTasks"]
        if said["status"]["code"] not in ("PENDING", "RUNNING", "PENDING_CANCEL"):
            return said
    raise TimeoutError(said)


def refused(call):
    with pytest.raises(Exception) as raised:
        call()
    return raised.value.response["Error"]["Code"]


def test_an_export_is_a_gzip_file_per_stream_with_both_ends_of_its_time(yard, logs):
    task = begin(logs, taskName="mine", destinationPrefix="x/y")
    assert logs.describe_export_tasks(statusCode="PENDING")["exportTasks"][0]["taskId"] == task
    assert refused(lambda: begin(logs)) == "LimitExceededException"
    said = ended(yard, logs, task)
    assert said["status"] == {"code": "COMPLETED", "message": "Completed successfully"}
    assert said["taskName"] == "mine" and said["executionInfo"]["completionTime"] == NOW * 1000
    s3 = yard.client("s3")
    keys = [one["Key"] for one in s3.list_objects_v2(Bucket="out")["Contents"]]
    assert keys == sorted(["x/y/aws-logs-write-test", f"x/y/{task}/a-1/000000.gz", f"x/y/{task}/b/000000.gz"])
    text = gzip.decompress(s3.get_object(Bucket="out", Key=f"x/y/{task}/a-1/000000.gz")["Body"].read()).decode()
    assert text == "".join(f"2023-11-14T22:13:20.00{n}Z a/1 {n}\n" for n in (1, 2, 3))
    assert refused(lambda: logs.cancel_export_task(taskId=task)) == "InvalidOperationException"


def test_a_cancelled_export_ends_and_makes_room_for_the_next(yard, logs):
    task = begin(logs)
    logs.cancel_export_task(taskId=task)
    assert logs.describe_export_tasks(taskId=task)["exportTasks"][0]["status"]["code"] == "PENDING_CANCEL"
    assert ended(yard, logs, task)["status"]["code"] == "CANCELLED"
    again = begin(logs, logStreamNamePrefix="b")
    assert ended(yard, logs, again)["status"]["code"] == "COMPLETED"
    assert [one["taskId"] for one in logs.describe_export_tasks()["exportTasks"]].count(again) == 1


def test_an_export_that_an_engine_died_over_is_done_by_the_next(yard, logs):
    """A crash loses the task's thread: the look after it begins anew and writes the same keys."""
    task = begin(logs)
    record = yard.platform.store.get(EXPORT.kind, ACCOUNT, "us-east-1", task)
    chaos = Chaos(1, 0.5)
    for _ in range(20):
        try:
            export_tasks.export(record, chaos.wrap(yard.platform))
        except Crash:
            continue
    assert ended(yard, logs, task)["status"]["code"] == "COMPLETED"
    assert len([k for k in yard.platform.objects.list(ACCOUNT, "out", f"exportedlogs/{task}/")]) == 2


def test_what_an_export_cannot_do(yard, logs):
    s3 = yard.client("s3")
    s3.create_bucket(Bucket="closed")
    s3.create_bucket(Bucket="half")
    half = {**LETS, "Statement": [{**LETS["Statement"][0], "Resource": "arn:aws:s3:::half"}]}
    s3.put_bucket_policy(Bucket="half", Policy=json.dumps(half))
    for bucket, said in (("closed", "GetBucketAcl call on the given bucket"), ("half", "PutObject call"), ("none-such", "does not exist")):
        with pytest.raises(logs.exceptions.InvalidParameterException, match=said):
            begin(logs, destination=bucket)
    assert refused(lambda: begin(logs, **{"from": 9, "to": 8})) == "InvalidParameterException"
    assert refused(lambda: begin(logs, logGroupName="/none")) == "ResourceNotFoundException"
    assert refused(lambda: logs.cancel_export_task(taskId="none")) == "ResourceNotFoundException"
    nothing = begin(logs, **{"from": 1, "to": 2})  # a span before the group was there: AWS takes it
    assert ended(yard, logs, nothing)["status"]["code"] == "COMPLETED"
    task = begin(logs)
    logs.delete_log_group(logGroupName="/e")
    assert ended(yard, logs, task)["status"]["code"] == "FAILED"


def test_resource_policies(logs):
    statement = {"Effect": "Allow", "Principal": {"Service": "es.amazonaws.com"}, "Action": ["logs:PutLogEvents"], "Resource": "*"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    for n in range(10):
        said = logs.put_resource_policy(policyName=f"p{n}", policyDocument=document)["resourcePolicy"]
    assert said["policyName"] == "p9" and said["policyDocument"] == document and said["policyScope"] == "ACCOUNT"
    assert refused(lambda: logs.put_resource_policy(policyName="p10", policyDocument=document)) == "LimitExceededException"
    logs.put_resource_policy(policyName="p9", policyDocument=document)
    assert refused(lambda: logs.put_resource_policy(policyName="p9", policyDocument="{")) == "InvalidParameterException"
    page = logs.describe_resource_policies(limit=6)
    rest = logs.describe_resource_policies(limit=6, nextToken=page["nextToken"])
    assert len(page["resourcePolicies"]) == 6 and len(rest["resourcePolicies"]) == 4
    logs.delete_resource_policy(policyName="p0")
    assert refused(lambda: logs.delete_resource_policy(policyName="p0")) == "ResourceNotFoundException"
    arn = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:/e"
    first = logs.put_resource_policy(resourceArn=arn, policyDocument=document)["revisionId"]
    second = logs.put_resource_policy(resourceArn=arn, policyDocument=document, expectedRevisionId=first)["revisionId"]
    assert second != first
    stale = lambda: logs.put_resource_policy(resourceArn=arn, policyDocument=document, expectedRevisionId=first)  # noqa: E731
    assert refused(stale) == "OperationAbortedException"
    assert len(logs.describe_resource_policies(resourceArn=arn)["resourcePolicies"]) == 1
    assert len(logs.describe_resource_policies()["resourcePolicies"]) == 9
