"""Operations of training jobs through boto3: what is refused and how, lists with every filter, tags, names, stops, Search."""

from __future__ import annotations

import time

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from modelyard.kernel.clock import ManualClock
from modelyard.kernel.store import Step
from modelyard.services.sagemaker.training_job.lifecycle import LIFECYCLE, moved
from tests.support import inproc
from tests.support.platform import ACCOUNT, InProcess

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
ARN = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:training-job/"


class Yard(InProcess):
    def __init__(self, folder) -> None:
        self.clock = ManualClock(time.time())
        super().__init__(folder, clock=self.clock)
        # What the client's own checks would stop is to reach the platform.
        self.sm = self.client("sagemaker", config=Config(parameter_validation=False))
        self.role = f"arn:aws:iam::{ACCOUNT}:role/" + self.client("sts").get_caller_identity()["Arn"].split("/")[1]

    def request(self, name: str, **more):
        asked = {
            "TrainingJobName": name,
            "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
            "RoleArn": self.role,
            "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 60},
        } | more
        return {k: v for k, v in asked.items() if v is not None}

    def create(self, name: str, **more) -> str:
        return self.sm.create_training_job(**self.request(name, **more))["TrainingJobArn"]

    def move(self, name: str, status: str, secondary: str, **state) -> None:
        """As the engine does."""
        job = self.platform.store.get(LIFECYCLE.kind, ACCOUNT, "us-east-1", name)
        step = Step(status, {**moved(job.state, secondary, self.clock.now()), **state})
        assert self.platform.store.apply(LIFECYCLE, job, step, None)


@pytest.fixture(scope="module")
def yard(tmp_path_factory):
    made = Yard(tmp_path_factory.mktemp("jobs"))
    yield made
    made.close()


@pytest.fixture
def refused():
    def check(call, code="ValidationException", *texts):
        with pytest.raises(ClientError) as found:
            call()
        error, http = found.value.response["Error"], found.value.response["ResponseMetadata"]["HTTPStatusCode"]
        assert (error["Code"], http) == (code, 400), error
        for text in texts:
            assert text in error["Message"], error
        return error["Message"]

    return check


# --- what the model forbids --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"TrainingJobName": None}, "1 validation error detected: Value null at 'trainingJobName' failed to satisfy constraint: Member must not be null"),
        ({"TrainingJobName": "a_b"}, "Value 'a_b' at 'trainingJobName' failed to satisfy constraint: Member must satisfy regular expression pattern: "),
        ({"TrainingJobName": "-a"}, "Value '-a' at 'trainingJobName' failed to satisfy constraint"),
        ({"TrainingJobName": "a" * 64}, "Member must have length less than or equal to 63"),
        ({"TrainingJobName": ""}, "Member must have length greater than or equal to 1"),
        ({"RoleArn": None}, "Value null at 'roleArn' failed to satisfy constraint: Member must not be null"),
        ({"RoleArn": "role"}, "Value 'role' at 'roleArn' failed to satisfy constraint: "),
        ({"OutputDataConfig": None}, "Value null at 'outputDataConfig' failed to satisfy constraint: Member must not be null"),
        ({"OutputDataConfig": {}}, "Value null at 'outputDataConfig.s3OutputPath' failed to satisfy constraint: Member must not be null"),
        ({"AlgorithmSpecification": {"TrainingImage": IMAGE}}, "Value null at 'algorithmSpecification.trainingInputMode' failed"),
        ({"AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "Tape"}}, "Member must satisfy enum value set: ["),
        ({"ResourceConfig": {"InstanceType": "ml.none.large", "InstanceCount": 1}}, "Value 'ml.none.large' at 'resourceConfig.instanceType' failed to satisfy constraint: Member must satisfy enum value set: ["),
        ({"ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": -1}}, "Value '-1' at 'resourceConfig.instanceCount' failed to satisfy constraint: Member must have value greater than or equal to 0"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 0}}, "Value '0' at 'stoppingCondition.maxRuntimeInSeconds' failed to satisfy constraint: Member must have value greater than or equal to 1"),
        ({"HyperParameters": {"k": "x" * 2501}}, "Member must have length less than or equal to 2500"),
        ({"HyperParameters": {f"k{n}": "v" for n in range(101)}}, "at 'hyperParameters' failed to satisfy constraint: Member must have length less than or equal to 100"),
        ({"InputDataConfig": [{"DataSource": {}}]}, "Value null at 'inputDataConfig.1.member.channelName' failed to satisfy constraint: Member must not be null"),
        ({"Tags": [{"Key": "", "Value": "v"}]}, "at 'tags.1.member.key' failed to satisfy constraint: Member must have length greater than or equal to 1"),
        ({"Tags": [{"Key": f"k{n}", "Value": "v"} for n in range(51)]}, "at 'tags' failed to satisfy constraint: Member must have length less than or equal to 50"),
        ({"Environment": {"1x": "v"}}, "at 'environment' failed to satisfy constraint"),
        ({"RetryStrategy": {"MaximumRetryAttempts": 31}}, "Member must have value less than or equal to 30"),
    ],
    ids=range(21),
)  # fmt: skip
def test_what_the_model_forbids_is_told_in_awss_words(yard, refused, change, text):
    message = refused(lambda: yard.sm.create_training_job(**yard.request("model", **change)), "ValidationException", text)
    assert "validation error" in message


def test_two_faults_are_told_together(yard, refused):
    refused(lambda: yard.create("two", RoleArn=None, OutputDataConfig={}), "ValidationException", "2 validation errors detected: ", "; ")


@pytest.mark.parametrize(
    "change",
    [
        {"HyperParameters": ["x"]},
        {"ResourceConfig": "big"},
        {"InputDataConfig": {"a": 1}},
        {"TrainingJobName": 3},
        {"Tags": "x"},
        {"EnableNetworkIsolation": "maybe"},
    ],
)
def test_the_wrong_type_is_a_client_error(yard, refused, change):
    wild = inproc.client(yard.gateway, "sagemaker", key=yard.secrets["root"]["AccessKeyId"], secret=yard.secrets["root"]["SecretAccessKey"])
    with pytest.raises(ClientError) as found:
        _raw(wild, yard.request("typed", **change))
    assert found.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert found.value.response["Error"]["Code"] in ("SerializationException", "ValidationException")


def _raw(client, request):
    """Sends the body as it is, past the client's serialiser."""
    import json

    client.meta.events.register(
        "before-call.sagemaker.CreateTrainingJob", lambda params, **_: params.update(body=json.dumps(request).encode())
    )
    client.create_training_job(
        **{k: v for k, v in request.items() if k in ("RoleArn", "OutputDataConfig")},
        TrainingJobName="x",
        AlgorithmSpecification={"TrainingInputMode": "File"},
    )


@pytest.mark.parametrize(
    "change",
    [
        {"AlgorithmSpecification": None}, {"ResourceConfig": None}, {"ResourceConfig": {"VolumeSizeInGB": 1}},
        {"AlgorithmSpecification": {"TrainingImage": IMAGE, "AlgorithmName": "x", "TrainingInputMode": "File"}},
        {"AlgorithmSpecification": {"TrainingInputMode": "File"}}, {"EnableManagedSpotTraining": True},
        {"EnableManagedSpotTraining": True, "StoppingCondition": {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 30}},
        {"Tags": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]}, {"Tags": [{"Key": "aws:x", "Value": "1"}]},
        {"AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File", "MetricDefinitions": [{"Name": "m", "Regex": "("}]}},
    ],
    ids=range(10),
)  # fmt: skip
def test_what_makes_no_sense_is_refused_and_nothing_is_made(yard, refused, change):
    refused(lambda: yard.create("senseless", **change))
    refused(lambda: yard.sm.describe_training_job(TrainingJobName="senseless"))


EFS = {"FileSystemId": "fs-0123456789a", "FileSystemAccessMode": "ro", "FileSystemType": "EFS", "DirectoryPath": "/data"}
VPC = {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}
WAIT = {"MaxRuntimeInSeconds": 60, "MaxWaitTimeInSeconds": 90}


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"StoppingCondition": WAIT}, "Invalid MaxWaitTimeInSeconds. It is only supported when EnableManagedSpotTraining is set to true"),
        ({"EnableManagedSpotTraining": True}, "It must be present and be greater than or equal to MaxRuntimeInSeconds"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 28 * 86_400 + 1}}, "less than or equal to 2419200"),
        ({"InputDataConfig": [{"ChannelName": "a", "DataSource": {"FileSystemDataSource": EFS}}]}, "VpcConfig is required"),
        ({"InputDataConfig": [{"ChannelName": "a", "DataSource": {"FileSystemDataSource": EFS}}], "VpcConfig": VPC}, "no Amazon EFS file systems"),
        ({"InputDataConfig": [{"ChannelName": "a", "DataSource": {}}]}, "channel 'a' must have an S3DataSource or a FileSystemDataSource"),
    ],
    ids=range(6),
)  # fmt: skip
def test_refusals_say_what_to_change(yard, refused, change, text):
    assert text in str(refused(lambda: yard.create("senseless", **change)))


# --- hosts and quotas --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resources", "text"),
    [
        ({"InstanceType": "ml.m5.large", "InstanceCount": 0}, "InstanceCount must be at least 1"),
        (
            {
                "InstanceType": "ml.m5.large",
                "InstanceGroups": [{"InstanceGroupName": "a", "InstanceType": "ml.m5.large", "InstanceCount": 1}],
            },
            "InstanceGroups together with InstanceType",
        ),
        ({"InstanceGroups": [{"InstanceGroupName": "a", "InstanceType": "ml.m5.large", "InstanceCount": 1}] * 2}, "must be unique: a"),
    ],
)
def test_hosts_that_cannot_be(yard, refused, resources, text):
    refused(lambda: yard.create("hosts", ResourceConfig={"VolumeSizeInGB": 1, **resources}), "ValidationException", text)


def test_a_channel_for_a_group_that_is_not_there(yard, refused):
    source = {"S3DataType": "S3Prefix", "S3Uri": "s3://bucket/x", "InstanceGroupNames": ["nobody"]}
    asked = [{"ChannelName": "train", "DataSource": {"S3DataSource": source}}]
    refused(lambda: yard.create("groups", InputDataConfig=asked), "ValidationException", "instance group 'nobody'")


def test_quotas_in_the_words_of_aws(yard, refused, monkeypatch):
    from modelyard.services.sagemaker.jobs import quota

    many = {"InstanceType": "ml.m5.large", "InstanceCount": 21, "VolumeSizeInGB": 1}
    refused(
        lambda: yard.create("many", ResourceConfig=many), "ResourceLimitExceeded",
        "The account-level service limit 'Number of instances for a training job' is 20 Instances, with current utilization of 0 Instances",
        "a request delta of 21 Instances. Please use AWS Service Quotas to request an increase for this quota.",
    )  # fmt: skip
    monkeypatch.setattr(quota, "MOST_INSTANCES", 3)
    three = {"InstanceType": "ml.c4.xlarge", "InstanceCount": 3, "VolumeSizeInGB": 1}
    yard.create("three", ResourceConfig=three)
    text = (
        "'ml.c4.xlarge for training job usage' is 3 Instances, with current utilization of 3 Instances and a request delta of 1 Instances."
    )
    refused(lambda: yard.create("fourth", ResourceConfig={**three, "InstanceCount": 1}), "ResourceLimitExceeded", text)
    spot = {"EnableManagedSpotTraining": True, "StoppingCondition": {"MaxRuntimeInSeconds": 1, "MaxWaitTimeInSeconds": 1}}
    refused(
        lambda: yard.create("fourth", ResourceConfig={**three, "InstanceCount": 1}, **spot), "ResourceLimitExceeded",
        "'ml.c4.xlarge for spot training job usage' is 3 Instances",
    )  # fmt: skip
    yard.move("three", "Failed", "Failed", reason="x")
    yard.create("fourth", ResourceConfig={**three, "InstanceCount": 1})


# --- names -------------------------------------------------------------------------------------------


def test_a_name_is_taken_once_whatever_became_of_the_job(yard, refused):
    arn = yard.create("Taken-Name")
    assert arn == ARN + "taken-name"
    for _ in range(2):
        refused(
            lambda: yard.create("Taken-Name"),
            "ResourceInUse",
            "Job name must be unique within an AWS account and region, and a job with this name already exists",
        )
        if yard.sm.describe_training_job(TrainingJobName="Taken-Name")["TrainingJobStatus"] == "InProgress":
            yard.move("Taken-Name", "Failed", "Failed", reason="x")


def test_what_is_missing(yard, refused):
    for call in (yard.sm.describe_training_job, yard.sm.stop_training_job):
        refused(lambda call=call: call(TrainingJobName="missing"), "ValidationException", "Requested resource not found.")
    refused(lambda: yard.sm.list_tags(ResourceArn=ARN + "missing"))
    refused(lambda: yard.sm.list_tags(ResourceArn="nonsense"))
    for operation, member in (("model", "ModelName"), ("endpoint", "EndpointName"), ("endpoint_config", "EndpointConfigName")):
        for verb in ("describe", "delete"):
            refused(
                lambda op=f"{verb}_{operation}", m=member: getattr(yard.sm, op)(**{m: "missing"}), "ValidationException", "Could not find "
            )


def test_another_accounts_jobs_are_not_there(yard, refused):
    from modelyard.services.iam.bootstrap import ensure_account

    yard.create("private")
    keys = ensure_account(yard.platform, "210987654321")["root"]
    other = inproc.client(yard.gateway, "sagemaker", key=keys["AccessKeyId"], secret=keys["SecretAccessKey"])
    refused(lambda: other.describe_training_job(TrainingJobName="private"), "ValidationException", "Requested resource not found.")
    refused(lambda: other.list_tags(ResourceArn=ARN + "private"), "AccessDeniedException")
    assert other.list_training_jobs()["TrainingJobSummaries"] == []


# --- stops -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("secondary", ["Starting", "Downloading", "Training", "Uploading"])
def test_a_stop_on_the_way_is_accepted_and_again(yard, secondary):
    name = f"stop-{secondary.lower()}"
    yard.create(name)
    if secondary != "Starting":
        yard.move(name, "InProgress", secondary)
    for _ in range(2):
        yard.sm.stop_training_job(TrainingJobName=name)
    assert yard.sm.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] in ("InProgress", "Stopping")
    yard.move(name, "Stopping", "Stopping")
    yard.sm.stop_training_job(TrainingJobName=name)
    yard.move(name, "Stopped", "Stopped", ended_at=yard.clock.now())


@pytest.mark.parametrize("status", ["Completed", "Failed", "Stopped"])
def test_a_stop_of_a_job_that_has_ended_is_refused(yard, refused, status):
    yard.create(f"ended-{status.lower()}")
    yard.move(f"ended-{status.lower()}", status, status)
    refused(
        lambda: yard.sm.stop_training_job(TrainingJobName=f"ended-{status.lower()}"),
        "ValidationException",
        f"The request was rejected because the training job is in status {status}",
    )


# --- lists -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def listed(tmp_path_factory):
    """Twelve jobs a minute apart; every third one failed, an hour later."""
    made = Yard(tmp_path_factory.mktemp("list"))
    made.start = made.clock.now()
    for number in range(12):
        made.create(f"job-{number:02}" + ("-Odd" if number % 2 else ""))
        made.clock.advance(60)
    made.clock.advance(3600)
    for number in range(0, 12, 3):
        made.move(f"job-{number:02}" + ("-Odd" if number % 2 else ""), "Failed", "Failed", ended_at=made.clock.now())
        made.clock.advance(60)
    yield made
    made.close()


def names(yard, **filters) -> list[str]:
    pages = yard.sm.get_paginator("list_training_jobs").paginate(**filters)
    return [job["TrainingJobName"][4:6] for page in pages for job in page["TrainingJobSummaries"]]


ALL = [f"{n:02}" for n in range(12)]


@pytest.mark.parametrize("size", [1, 5, 12, 100])
@pytest.mark.parametrize("order", ["Ascending", "Descending"])
def test_pages_of_every_size_and_order(listed, size, order):
    found = names(listed, SortBy="Name", SortOrder=order, PaginationConfig={"PageSize": size})
    assert found == (ALL if order == "Ascending" else ALL[::-1])
    assert names(listed, SortBy="CreationTime", SortOrder=order, PaginationConfig={"PageSize": size}) == found


def test_sorted_by_status(listed):
    assert names(listed, SortBy="Status", SortOrder="Ascending")[:4] == ["00", "03", "06", "09"]


def test_the_newest_ten_come_first_by_default(listed):
    page = listed.sm.list_training_jobs()
    assert [job["TrainingJobName"][4:6] for job in page["TrainingJobSummaries"]] == ALL[::-1][:10] and page["NextToken"]
    last = listed.sm.list_training_jobs(NextToken=page["NextToken"])
    assert "NextToken" not in last and len(last["TrainingJobSummaries"]) == 2


def test_every_filter(listed):
    minute = lambda n: listed.start + 60 * n  # noqa: E731
    by_name = {"SortBy": "Name", "SortOrder": "Ascending"}
    assert names(listed, StatusEquals="Failed", **by_name) == ["00", "03", "06", "09"]
    assert names(listed, StatusEquals="Completed") == []
    assert names(listed, NameContains="odd", **by_name) == ALL[1::2]
    assert names(listed, NameContains="no-such") == []
    assert names(listed, CreationTimeAfter=minute(8.5), **by_name) == ["09", "10", "11"]
    assert names(listed, CreationTimeBefore=minute(1.5), **by_name) == ["00", "01"]
    assert names(listed, LastModifiedTimeAfter=minute(60), **by_name) == ["00", "03", "06", "09"]
    assert names(listed, LastModifiedTimeBefore=minute(1.5), **by_name) == ["01"]
    assert names(
        listed, CreationTimeAfter=minute(2.5), CreationTimeBefore=minute(7.5), StatusEquals="Failed", NameContains="job", **by_name
    ) == ["03", "06"]


def test_summaries_have_what_clients_read(listed):
    job = listed.sm.list_training_jobs(StatusEquals="Failed", MaxResults=1)["TrainingJobSummaries"][0]
    assert {"TrainingJobName", "TrainingJobArn", "CreationTime", "LastModifiedTime", "TrainingJobStatus", "TrainingEndTime"} <= job.keys()


def test_bad_lists(listed, refused):
    refused(lambda: listed.sm.list_training_jobs(MaxResults=0), "ValidationException", "Member must have value greater than or equal to 1")
    refused(lambda: listed.sm.list_training_jobs(MaxResults=101), "ValidationException", "Member must have value less than or equal to 100")
    refused(lambda: listed.sm.list_training_jobs(StatusEquals="Odd"), "ValidationException", "enum value set")
    refused(lambda: listed.sm.list_training_jobs(SortBy="Size"), "ValidationException", "enum value set")
    refused(lambda: listed.sm.list_training_jobs(NameContains="a_b"), "ValidationException", "regular expression pattern")
    for token in ("nonsense", "é", "W10=", "bnVsbA==", "eyJhIjogMX0=", "x" * 8193):
        refused(lambda token=token: listed.sm.list_training_jobs(NextToken=token))
    token = listed.sm.list_training_jobs(MaxResults=1)["NextToken"]
    refused(lambda: listed.sm.list_training_jobs(MaxResults=1, NextToken=token, StatusEquals="Failed"))


# --- tags --------------------------------------------------------------------------------------------


def test_tags_from_create_to_their_limit(yard, refused):
    arn = yard.create("tagged", Tags=[{"Key": "team", "Value": "red"}, {"Key": "empty", "Value": ""}])
    tags = lambda: {t["Key"]: t["Value"] for page in yard.sm.get_paginator("list_tags").paginate(ResourceArn=arn) for t in page["Tags"]}  # noqa: E731
    assert tags() == {"team": "red", "empty": ""}
    yard.sm.add_tags(ResourceArn=arn, Tags=[{"Key": f"k{n}", "Value": "v"} for n in range(48)])
    assert len(tags()) == 50
    refused(lambda: yard.sm.add_tags(ResourceArn=arn, Tags=[{"Key": "one-more", "Value": "v"}]))
    yard.sm.add_tags(ResourceArn=arn, Tags=[{"Key": "team", "Value": "blue"}])
    yard.sm.delete_tags(ResourceArn=arn, TagKeys=["empty", "not-there", *[f"k{n}" for n in range(48)]])
    assert tags() == {"team": "blue"}
    refused(lambda: yard.sm.add_tags(ResourceArn=arn, Tags=[{"Key": "aws:x", "Value": "v"}]))
    refused(lambda: yard.sm.add_tags(ResourceArn=arn, Tags=[{"Key": "x" * 129, "Value": "v"}]))
    assert yard.sm.list_tags(ResourceArn=yard.create("untagged"))["Tags"] == []


# --- Search ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "expression",
    [
        {"Filters": [{"Name": "TrainingJobName", "Operator": "GreaterThan"}]},
        {"Filters": [{"Name": "x" * 256, "Operator": "Equals", "Value": "1"}]},
        {"Filters": [{"Name": "TrainingJobName", "Operator": "Near", "Value": "1"}]},
        {"Filters": []}, {"SubExpressions": []},
        {"Filters": [{"Name": f"n{n}", "Value": "1"} for n in range(21)]},
    ],
    ids=range(6),
)  # fmt: skip
def test_searches_that_cannot_be(listed, refused, expression):
    refused(lambda: listed.sm.search(Resource="TrainingJob", SearchExpression=expression))


def test_odd_searches_find_nothing_or_all_and_never_fail(listed):
    def search(**expression) -> int:
        return listed.sm.search(Resource="TrainingJob", SearchExpression=expression, MaxResults=100)["TotalHits"]["Value"]

    for operator in ("Equals", "NotEquals", "GreaterThan", "GreaterThanOrEqualTo", "LessThan", "LessThanOrEqualTo", "Contains", "In"):
        for name in (
            "TrainingJobName",
            "CreationTime",
            "NoSuch.Thing",
            "InputDataConfig.ChannelName",
            "Metrics.x",
            "Tags.team",
            "..",
            "ResourceConfig",
        ):
            assert 0 <= search(Filters=[{"Name": name, "Operator": operator, "Value": "not-a-date"}]) <= 12
    assert search(Filters=[{"Name": "TrainingJobStatus", "Operator": "Equals", "Value": "Failed"}]) == 4
    assert search(Filters=[{"Name": "NoSuch", "Operator": "NotExists"}]) == 12
    deep = {"Filters": [{"Name": "TrainingJobStatus", "Value": "Failed"}]}
    for _ in range(18):
        deep = {"SubExpressions": [deep]}
    assert search(**deep) == 4


def test_a_token_of_another_search_is_refused(listed, refused):
    refused(lambda: listed.sm.search(Resource="TrainingJob", NextToken="nonsense"))


def test_boto3_itself_refuses_nothing_we_would_take():
    """The names of the operations are those of the client."""
    client = boto3.client("sagemaker", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    assert all(hasattr(client, name) for name in ("create_training_job", "stop_training_job", "list_training_jobs", "search", "add_tags"))
