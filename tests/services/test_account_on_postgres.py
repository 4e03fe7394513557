"""The services of the account on PostgreSQL: a few calls of each that write, read, list and delete (about 6 s)."""

from __future__ import annotations

import json
import time

import pytest
from botocore.exceptions import ClientError

from modelyard.kernel.clock import ManualClock
from tests.support.needs import needs
from tests.support.platform import ACCOUNT, InProcess
from tests.support.postgres import cluster

pytestmark = [needs("postgresql"), pytest.mark.slow]


@pytest.fixture(scope="module")
def yard(tmp_path_factory):
    with cluster() as url:
        made = InProcess(tmp_path_factory.mktemp("postgres"), ManualClock(time.time()), store=url)
        yield made
        made.close()


def test_objects(yard):
    s3 = yard.client("s3")
    s3.create_bucket(Bucket="data-b")
    s3.put_bucket_versioning(Bucket="data-b", VersioningConfiguration={"Status": "Enabled"})
    for number in range(12):
        s3.put_object(Bucket="data-b", Key=f"in/{number:02d}", Body=b"x" * number, Tagging="a=b")
    pages = list(s3.get_paginator("list_objects_v2").paginate(Bucket="data-b", PaginationConfig={"PageSize": 5}))
    assert [row["Size"] for page in pages for row in page["Contents"]] == list(range(12))
    s3.delete_objects(Bucket="data-b", Delete={"Objects": [{"Key": "in/03"}, {"Key": "nothing"}]})
    assert s3.list_objects_v2(Bucket="data-b", Delimiter="/")["CommonPrefixes"] == [{"Prefix": "in/"}]
    assert len(s3.list_object_versions(Bucket="data-b", Prefix="in/03")["DeleteMarkers"]) == 1
    upload = s3.create_multipart_upload(Bucket="data-b", Key="big")["UploadId"]
    part = s3.upload_part(Bucket="data-b", Key="big", UploadId=upload, PartNumber=1, Body=b"z" * 1000)
    parts = {"Parts": [{"ETag": part["ETag"], "PartNumber": 1}]}
    s3.complete_multipart_upload(Bucket="data-b", Key="big", UploadId=upload, MultipartUpload=parts)
    s3.copy_object(Bucket="data-b", Key="copy", CopySource="data-b/big")
    assert s3.get_object(Bucket="data-b", Key="copy", Range="bytes=0-9")["Body"].read() == b"z" * 10


def test_identity_and_trail(yard):
    iam, trail = yard.client("iam"), yard.client("cloudtrail")
    iam.create_user(UserName="ann")
    iam.create_group(GroupName="crew")
    iam.add_user_to_group(UserName="ann", GroupName="crew")
    allow = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}})
    iam.put_group_policy(GroupName="crew", PolicyName="p", PolicyDocument=allow)
    said = iam.simulate_principal_policy(PolicySourceArn=f"arn:aws:iam::{ACCOUNT}:user/ann", ActionNames=["s3:GetObject", "iam:GetUser"])
    assert [one["EvalDecision"] for one in said["EvaluationResults"]] == ["allowed", "implicitDeny"]
    iam.remove_user_from_group(UserName="ann", GroupName="crew")
    iam.delete_user(UserName="ann")
    with pytest.raises(ClientError):
        iam.get_user(UserName="ann")
    found = trail.lookup_events(LookupAttributes=[{"AttributeKey": "ResourceName", "AttributeValue": "ann"}])["Events"]
    assert found[0]["EventName"] == "GetUser" and {"CreateUser", "DeleteUser"} <= {event["EventName"] for event in found}


def test_keys_parameters_and_secrets(yard):
    kms, ssm, vault = yard.client("kms"), yard.client("ssm"), yard.client("secretsmanager")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.create_alias(AliasName="alias/mine", TargetKeyId=key)
    sealed = kms.encrypt(KeyId="alias/mine", Plaintext=b"text", EncryptionContext={"a": "b"})["CiphertextBlob"]
    assert kms.decrypt(CiphertextBlob=sealed, EncryptionContext={"a": "b"})["Plaintext"] == b"text"
    kms.create_grant(KeyId=key, GranteePrincipal=f"arn:aws:iam::{ACCOUNT}:role/ModelyardExecutionRole", Operations=["Decrypt"])
    kms.rotate_key_on_demand(KeyId=key)
    yard.settle()
    assert kms.decrypt(CiphertextBlob=sealed, EncryptionContext={"a": "b"})["Plaintext"] == b"text"
    for version in range(3):
        ssm.put_parameter(Name="/app/db", Value=f"v{version}", Type="SecureString", Overwrite=True, KeyId=key)
    ssm.label_parameter_version(Name="/app/db", ParameterVersion=1, Labels=["first"])
    assert ssm.get_parameter(Name="/app/db:first", WithDecryption=True)["Parameter"]["Value"] == "v0"
    assert len(ssm.get_parameter_history(Name="/app/db", WithDecryption=True)["Parameters"]) == 3
    assert ssm.get_parameters_by_path(Path="/app", WithDecryption=True)["Parameters"][0]["Value"] == "v2"
    vault.create_secret(Name="db", SecretString="one", KmsKeyId=key)
    vault.put_secret_value(SecretId="db", SecretString="two")
    assert vault.get_secret_value(SecretId="db", VersionStage="AWSPREVIOUS")["SecretString"] == "one"
    vault.delete_secret(SecretId="db")
    vault.restore_secret(SecretId="db")
    assert vault.get_secret_value(SecretId="db")["SecretString"] == "two"
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingDeletion"


def test_logs_and_metrics(yard):
    logs, cloudwatch, now = yard.client("logs"), yard.client("cloudwatch"), int(yard.platform.clock.now())
    logs.create_log_group(logGroupName="g")
    logs.create_log_stream(logGroupName="g", logStreamName="s")
    rows = [{"timestamp": now * 1000 - 1000 + n, "message": f"line {n}"} for n in range(20)]
    logs.put_log_events(logGroupName="g", logStreamName="s", logEvents=rows)
    assert len(logs.filter_log_events(logGroupName="g", filterPattern="line")["events"]) == 20
    assert logs.get_log_events(logGroupName="g", logStreamName="s", limit=1)["events"][0]["message"] == "line 19"
    logs.put_retention_policy(logGroupName="g", retentionInDays=1)
    assert logs.describe_log_groups()["logGroups"][0]["retentionInDays"] == 1
    point = {"MetricName": "m", "Value": 3.0, "Dimensions": [{"Name": "a", "Value": "b"}], "Timestamp": now}
    cloudwatch.put_metric_data(Namespace="n", MetricData=[point, {**point, "Value": 5.0}])
    asked = {
        "Namespace": "n",
        "MetricName": "m",
        "Dimensions": point["Dimensions"],
        "StartTime": now - 600,
        "EndTime": now + 60,
        "Period": 60,
    }
    (found,) = cloudwatch.get_metric_statistics(**asked, Statistics=["Sum", "Maximum"])["Datapoints"]
    assert (found["Sum"], found["Maximum"]) == (8.0, 5.0)
    assert [metric["MetricName"] for metric in cloudwatch.list_metrics(Namespace="n")["Metrics"]] == ["m"]
    alarm = {"Namespace": "n", "MetricName": "m", "Period": 60, "EvaluationPeriods": 1, "Threshold": 1.0, "Statistic": "Sum"}
    cloudwatch.put_metric_alarm(AlarmName="high", ComparisonOperator="GreaterThanThreshold", **alarm)
    cloudwatch.put_dashboard(DashboardName="d", DashboardBody=json.dumps({"widgets": []}))
    assert cloudwatch.describe_alarms()["MetricAlarms"][0]["AlarmName"] == "high"
