"""Operations of processing jobs through boto3: what is refused and how, defaults, lists with every filter, tags, names, stops, permissions."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from modelyard.kernel.clock import ManualClock
from modelyard.kernel.store import Step
from modelyard.services.sagemaker.processing_job.lifecycle import LIFECYCLE
from tests.support import inproc
from tests.support.platform import ACCOUNT, InProcess

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
ARN = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:processing-job/"
IN, OUT = "/opt/ml/processing/input", "/opt/ml/processing/output"
NAME = "Value 'a_b' at 'processingJobName' failed to satisfy constraint: Member must satisfy regular expression pattern: "


def s3_input(name="in", path: str | None = IN, **more: Any) -> dict[str, Any]:
    s3 = {"S3Uri": "s3://bucket/in", "LocalPath": path, "S3DataType": "S3Prefix", "S3InputMode": "File"} | more
    return {"InputName": name, "S3Input": {k: v for k, v in s3.items() if v is not None}}


def s3_output(name="out", path: str | None = OUT, **more: Any) -> dict[str, Any]:
    s3 = {"S3Uri": "s3://bucket/out", "LocalPath": path, "S3UploadMode": "EndOfJob"} | more
    return {"OutputName": name, "S3Output": {k: v for k, v in s3.items() if v is not None}}


def outputs(*given: dict[str, Any]) -> dict[str, Any]:
    return {"ProcessingOutputConfig": {"Outputs": list(given)}}


def cluster(**more: Any) -> dict[str, Any]:
    return {"ProcessingResources": {"ClusterConfig": {"VolumeSizeInGB": 1, **more}}}


class Yard(InProcess):
    def __init__(self, folder) -> None:
        self.clock = ManualClock(time.time())
        super().__init__(folder, clock=self.clock)
        # What the client's own checks would stop is to reach the platform.
        self.sm = self.client("sagemaker", config=Config(parameter_validation=False))
        self.role = f"arn:aws:iam::{ACCOUNT}:role/" + self.client("sts").get_caller_identity()["Arn"].split("/")[1]

    def request(self, name: str, **more):
        asked = {
            "ProcessingJobName": name,
            "AppSpecification": {"ImageUri": IMAGE, "ContainerEntrypoint": ["python3", "x.py"]},
            "RoleArn": self.role,
            **cluster(InstanceType="ml.m5.large", InstanceCount=1),
        } | more
        return {k: v for k, v in asked.items() if v is not None}

    def create(self, name: str, **more) -> str:
        return self.sm.create_processing_job(**self.request(name, **more))["ProcessingJobArn"]

    def describe(self, name: str) -> dict[str, Any]:
        said = self.sm.describe_processing_job(ProcessingJobName=name)
        del said["ResponseMetadata"]
        return said

    def move(self, name: str, status: str, **state) -> None:
        """As the engine does."""
        job = self.platform.store.get(LIFECYCLE.kind, ACCOUNT, "us-east-1", name)
        assert self.platform.store.apply(LIFECYCLE, job, Step(status, state), None)


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


# --- what is refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"ProcessingJobName": None}, "1 validation error detected: Value null at 'processingJobName' failed to satisfy constraint: Member must not be null"),
        ({"ProcessingJobName": "a_b"}, NAME),
        ({"ProcessingJobName": "a" * 64}, "Member must have length less than or equal to 63"),
        ({"ProcessingJobName": ""}, "Member must have length greater than or equal to 1"),
        ({"RoleArn": None}, "Value null at 'roleArn' failed to satisfy constraint: Member must not be null"),
        ({"RoleArn": "role"}, "Value 'role' at 'roleArn' failed to satisfy constraint: "),
        ({"AppSpecification": None}, "Value null at 'appSpecification' failed to satisfy constraint: Member must not be null"),
        ({"AppSpecification": {}}, "Value null at 'appSpecification.imageUri' failed to satisfy constraint: Member must not be null"),
        ({"AppSpecification": {"ImageUri": "x" * 256}}, "at 'appSpecification.imageUri' failed to satisfy constraint: Member must have length less than or equal to 255"),
        ({"AppSpecification": {"ImageUri": IMAGE, "ContainerEntrypoint": []}}, "at 'appSpecification.containerEntrypoint' failed to satisfy constraint: Member must have length greater than or equal to 1"),
        ({"AppSpecification": {"ImageUri": IMAGE, "ContainerArguments": ["x"] * 101}}, "at 'appSpecification.containerArguments' failed to satisfy constraint: Member must have length less than or equal to 100"),
        ({"AppSpecification": {"ImageUri": IMAGE, "ContainerArguments": ["x" * 257]}}, "Member must have length less than or equal to 256"),
        ({"ProcessingResources": None}, "Value null at 'processingResources' failed to satisfy constraint: Member must not be null"),
        ({"ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.large"}}}, "Value null at 'processingResources.clusterConfig.volumeSizeInGB' failed to satisfy constraint: Member must not be null"),
        (cluster(InstanceType="ml.none.large"), "Value 'ml.none.large' at 'processingResources.clusterConfig.instanceType' failed to satisfy constraint: Member must satisfy enum value set: ["),
        (cluster(InstanceType="ml.m5.large", InstanceCount=0), "Value '0' at 'processingResources.clusterConfig.instanceCount' failed to satisfy constraint: Member must have value greater than or equal to 1"),
        (cluster(InstanceType="ml.m5.large", InstanceCount=101), "Member must have value less than or equal to 100"),
        (cluster(InstanceType="ml.m5.large", VolumeSizeInGB=16385), "Member must have value less than or equal to 16384"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 0}}, "Value '0' at 'stoppingCondition.maxRuntimeInSeconds' failed to satisfy constraint: Member must have value greater than or equal to 1"),
        ({"StoppingCondition": {"MaxRuntimeInSeconds": 777601}}, "Member must have value less than or equal to 777600"),
        ({"ProcessingInputs": [s3_input(f"i{n}", f"{IN}/{n}") for n in range(11)]}, "at 'processingInputs' failed to satisfy constraint: Member must have length less than or equal to 10"),
        ({"ProcessingInputs": [{"S3Input": {}}]}, "Value null at 'processingInputs.1.member.inputName' failed to satisfy constraint: Member must not be null"),
        ({"ProcessingInputs": [s3_input(S3DataType="Folder")]}, "Member must satisfy enum value set: ["),
        ({"ProcessingInputs": [s3_input(S3DataType=None)]}, "Value null at 'processingInputs.1.member.s3Input.s3DataType' failed to satisfy constraint: Member must not be null"),
        ({"ProcessingInputs": [s3_input(S3InputMode="Tape")]}, "Member must satisfy enum value set: ["),
        ({"ProcessingInputs": [s3_input(S3DataDistributionType="Some")]}, "Member must satisfy enum value set: ["),
        ({"ProcessingInputs": [s3_input(S3Uri="bucket/in")]}, "at 'processingInputs.1.member.s3Input.s3Uri' failed to satisfy constraint: Member must satisfy regular expression pattern: (https|s3)://"),
        (outputs(*[s3_output(f"o{n}") for n in range(11)]), "at 'processingOutputConfig.outputs' failed to satisfy constraint: Member must have length less than or equal to 10"),
        (outputs(s3_output(S3UploadMode=None)), "Value null at 'processingOutputConfig.outputs.1.member.s3Output.s3UploadMode' failed to satisfy constraint: Member must not be null"),
        (outputs(s3_output(S3UploadMode="Sometimes")), "Member must satisfy enum value set: ["),
        ({"Environment": {"1x": "v"}}, "at 'environment' failed to satisfy constraint"),
        ({"Environment": {"x": "v" * 257}}, "at 'environment' failed to satisfy constraint"),
        ({"Environment": {f"k{n}": "v" for n in range(101)}}, "at 'environment' failed to satisfy constraint: Member must have length less than or equal to 100"),
        ({"NetworkConfig": {"VpcConfig": {"Subnets": ["subnet-1"]}}}, "Value null at 'networkConfig.vpcConfig.securityGroupIds' failed to satisfy constraint: Member must not be null"),
        ({"Tags": [{"Key": f"k{n}", "Value": "v"} for n in range(51)]}, "at 'tags' failed to satisfy constraint: Member must have length less than or equal to 50"),
        ({"ExperimentConfig": {"ExperimentName": "-"}}, "at 'experimentConfig.experimentName' failed to satisfy constraint: Member must satisfy regular expression pattern"),
    ],
    ids=range(36),
)  # fmt: skip
def test_what_the_model_forbids_is_told_in_awss_words(yard, refused, change, text):
    message = refused(lambda: yard.sm.create_processing_job(**yard.request("model", **change)), "ValidationException", text)
    assert "validation error" in message


PREFERENCES = [{"InstanceType": "ml.g5.xlarge"}, {"InstanceType": "ml.m5.large"}]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"AppSpecification": {"ImageUri": "YOUR_IMAGE_URI"}}, "Invalid image URI YOUR_IMAGE_URI. Please provide a valid Amazon Elastic Container Registry path of the Docker image to run."),
        ({"ProcessingInputs": [s3_input(path="/opt/ml/input/data")]}, "Invalid LocalPath '/opt/ml/input/data' of the processing input 'in'. It must be an absolute path that begins with /opt/ml/processing/."),
        ({"ProcessingInputs": [s3_input(path="opt/ml/processing/x")]}, "Invalid LocalPath"),
        ({"ProcessingInputs": [s3_input(path="/opt/ml/processing/../model")]}, "Invalid LocalPath"),
        ({"ProcessingInputs": [s3_input(path="/opt/ml/processing/a/../b")]}, "Invalid LocalPath"),
        ({"ProcessingInputs": [s3_input(path="/opt/ml/processing2")]}, "Invalid LocalPath"),
        ({"ProcessingInputs": [s3_input(path=None)]}, "LocalPath is required when AppManaged is false"),
        (outputs(s3_output(path="/tmp/out")), "Invalid LocalPath '/tmp/out' of the processing output 'out'"),
        (outputs(s3_output(path=None)), "LocalPath is required when AppManaged is false"),
        ({"ProcessingInputs": [s3_input("a"), s3_input("a", IN + "/b")]}, "The InputName of all ProcessingInputs must be unique: 'a' is given twice."),
        ({"ProcessingInputs": [s3_input("a"), s3_input("b", IN + "/")]}, f"The LocalPath of all ProcessingInputs must be unique: '{IN}' is given twice."),
        (outputs(s3_output("a"), s3_output("a", OUT + "/b")), "The OutputName of all ProcessingOutputConfig.Outputs must be unique: 'a' is given twice."),
        ({"ProcessingInputs": [{"InputName": "in"}]}, "exactly one of S3Input and DatasetDefinition"),
        ({"ProcessingInputs": [s3_input() | {"DatasetDefinition": {}}]}, "exactly one of S3Input and DatasetDefinition"),
        ({"ProcessingInputs": [{"InputName": "in", "DatasetDefinition": {"LocalPath": IN}}]}, "this platform has no Amazon Athena"),
        ({"ProcessingInputs": [s3_input(S3CompressionType="Gzip")]}, "S3CompressionType Gzip can only be used when S3InputMode is Pipe"),
        ({"ProcessingInputs": [s3_input(S3Uri="https://bucket.s3.amazonaws.com/in")]}, "it must be an S3 URI"),
        (outputs({"OutputName": "out"}), "exactly one of S3Output and FeatureStoreOutput"),
        (outputs({"OutputName": "out", "FeatureStoreOutput": {"FeatureGroupName": "g"}}), "FeatureStoreOutput is only supported when AppManaged is true"),
        (outputs({"OutputName": "out", "AppManaged": True, "FeatureStoreOutput": {"FeatureGroupName": "g"}}), "Feature Store is not built yet"),
        (cluster(), "You must specify InstanceType or InstancePreferences"),
        (cluster(InstanceType="ml.m5.large", InstancePreferences=PREFERENCES), "only one of InstanceType and InstancePreferences"),
        (cluster(InstancePreferences=PREFERENCES), "Give InstanceCount either on every item of InstancePreferences or once"),
        (cluster(InstancePreferences=[PREFERENCES[0] | {"InstanceCount": 1}, PREFERENCES[1]]), "Give InstanceCount either on every item"),
        (cluster(InstancePreferences=PREFERENCES[:1] * 2, InstanceCount=1), "The InstanceType of all InstancePreferences must be unique"),
        ({"Tags": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]}, "Duplicate tag keys"),
        ({"Tags": [{"Key": "aws:x", "Value": "1"}]}, "reserved for system use"),
        ({"RoleArn": "arn:aws:iam::999999999999:role/x"}, "Cross-account pass role is not allowed"),
        ({"RoleArn": f"arn:aws:iam::{ACCOUNT}:role/no-such"}, "Could not assume role"),
    ],
    ids=range(29),
)  # fmt: skip
def test_what_makes_no_sense_is_refused_and_nothing_is_made(yard, refused, change, text):
    refused(lambda: yard.create("senseless", **change), "ValidationException", text)
    refused(lambda: yard.describe("senseless"), "ValidationException", "Could not find requested job with name: senseless")


@pytest.mark.parametrize(
    "change",
    [{"ProcessingInputs": {"a": 1}}, {"ProcessingResources": "big"}, {"ProcessingJobName": 3}, {"Environment": ["x"]}, {"NetworkConfig": {"EnableNetworkIsolation": "maybe"}}],
    ids=range(5),
)  # fmt: skip
def test_the_wrong_type_is_a_client_error(yard, change):
    keys = yard.secrets["root"]
    wild = inproc.client(yard.gateway, "sagemaker", key=keys["AccessKeyId"], secret=keys["SecretAccessKey"])
    body = json.dumps(yard.request("typed", **change)).encode()
    wild.meta.events.register("before-call.sagemaker.CreateProcessingJob", lambda params, **_: params.update(body=body))
    with pytest.raises(ClientError) as found:
        wild.create_processing_job(**yard.request("typed"))
    assert found.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert found.value.response["Error"]["Code"] in ("SerializationException", "ValidationException")


# --- what a job is -----------------------------------------------------------------------------------


def test_describe_answers_everything_that_was_asked_with_defaults(yard):
    network = {"EnableNetworkIsolation": True, "VpcConfig": {"SecurityGroupIds": ["sg-1"], "Subnets": ["subnet-1"]}}
    yard.sm.create_experiment(ExperimentName="e")
    yard.sm.create_trial(ExperimentName="e", TrialName="t")
    experiment = {"ExperimentName": "e", "TrialName": "t", "TrialComponentDisplayName": "d", "RunName": "r"}
    arn = yard.create(
        "Whole", ProcessingInputs=[s3_input(S3InputMode=None)], **outputs(s3_output()), NetworkConfig=network, ExperimentConfig=experiment,
        Environment={"A": "1"}, StoppingCondition={"MaxRuntimeInSeconds": 7},
    )  # fmt: skip
    said = yard.describe("Whole")
    assert arn == said["ProcessingJobArn"] == ARN + "whole"
    assert said["ProcessingJobStatus"] == "InProgress"
    defaults = {"S3InputMode": "File", "S3DataDistributionType": "FullyReplicated", "S3CompressionType": "None"}
    assert said["ProcessingInputs"] == [{**s3_input(), "AppManaged": False, "S3Input": {**s3_input()["S3Input"], **defaults}}]
    assert said["ProcessingOutputConfig"] == {"Outputs": [{**s3_output(), "AppManaged": False}]}
    assert (said["NetworkConfig"], said["ExperimentConfig"], said["Environment"]) == (network, experiment, {"A": "1"})
    assert said["StoppingCondition"] == {"MaxRuntimeInSeconds": 7}
    assert not {"ProcessingEndTime", "ProcessingStartTime", "FailureReason", "ExitMessage"} & said.keys()


def test_the_least_request_has_a_day(yard):
    yard.create("least", **cluster(InstanceType="ml.m5.large"))
    said = yard.describe("least")
    assert said["StoppingCondition"] == {"MaxRuntimeInSeconds": 86400}
    assert said["ProcessingResources"]["ClusterConfig"] == {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
    assert (said["ProcessingInputs"], said["ProcessingOutputConfig"]) == ([], {"Outputs": []})


@pytest.mark.parametrize(
    ("given", "count"),
    [({"InstanceCount": 3, "InstancePreferences": PREFERENCES}, 3),
     ({"InstancePreferences": [{**one, "InstanceCount": n} for n, one in enumerate(PREFERENCES, 4)]}, 5)],
    ids=["one-count", "per-preference"],
)  # fmt: skip
def test_of_several_instance_types_the_first_is_selected_that_this_machine_has(yard, given, count):
    name = f"preferences-{count}"
    yard.create(name, **cluster(**given))
    said = yard.describe(name)["ProcessingResources"]["ClusterConfig"]
    assert (said["SelectedInstanceType"], said["SelectedInstanceCount"]) == ("ml.m5.large", count)
    assert said["InstancePreferences"] == given["InstancePreferences"] and said.get("InstanceCount") == given.get("InstanceCount")


def test_a_name_is_taken_until_the_ended_job_is_deleted(yard, refused):
    text = "Job name must be unique within an AWS account and region, and a job with this name already exists (" + ARN + "taken-name)"
    yard.create("Taken-Name", Tags=[{"Key": "a", "Value": "1"}])
    for name in ("Taken-Name", "taken-name"):
        refused(lambda name=name: yard.create(name), "ResourceInUse", text)
    assert yard.describe("taken-name")["ProcessingJobName"] == "Taken-Name", "as the SDK asks, from an ARN"
    delete = lambda: yard.sm.delete_processing_job(ProcessingJobName="Taken-Name")  # noqa: E731
    refused(delete, "ResourceInUse", "InProgress")
    yard.move("Taken-Name", "Failed", reason="x")
    refused(lambda: yard.create("Taken-Name"), "ResourceInUse", text)
    delete()
    refused(delete, "ValidationException", "Could not find requested job with name: Taken-Name")
    assert yard.sm.list_tags(ResourceArn=yard.create("Taken-Name"))["Tags"] == []


def test_what_is_missing(yard, refused):
    for call in (yard.sm.describe_processing_job, yard.sm.stop_processing_job, yard.sm.delete_processing_job):
        refused(
            lambda call=call: call(ProcessingJobName="missing"), "ValidationException", "Could not find requested job with name: missing"
        )
    refused(lambda: yard.sm.list_tags(ResourceArn=ARN + "missing"))


@pytest.mark.parametrize("status", ["Completed", "Failed", "Stopped"])
def test_stops(yard, refused, status):
    name = f"stop-{status.lower()}"
    yard.create(name)
    for _ in range(2):
        yard.sm.stop_processing_job(ProcessingJobName=name)
    yard.move(name, "Stopping")
    yard.sm.stop_processing_job(ProcessingJobName=name)
    assert yard.describe(name)["ProcessingJobStatus"] == "Stopping"
    yard.move(name, status, ended_at=yard.clock.now())
    stop = lambda: yard.sm.stop_processing_job(ProcessingJobName=name)  # noqa: E731
    refused(stop, "ValidationException", f"The request was rejected because the processing job is in status {status}")


def test_tags(yard, refused):
    arn = yard.create("tagged", Tags=[{"Key": "team", "Value": "red"}])
    yard.sm.add_tags(ResourceArn=arn, Tags=[{"Key": "stage", "Value": "test"}])
    yard.sm.delete_tags(ResourceArn=arn, TagKeys=["team"])
    assert yard.sm.list_tags(ResourceArn=arn)["Tags"] == [{"Key": "stage", "Value": "test"}]


# --- who may -----------------------------------------------------------------------------------------


def test_another_accounts_jobs_are_not_there(yard, refused):
    from modelyard.services.iam.bootstrap import ensure_account

    yard.create("private")
    keys = ensure_account(yard.platform, "210987654321")["root"]
    other = inproc.client(yard.gateway, "sagemaker", key=keys["AccessKeyId"], secret=keys["SecretAccessKey"])
    refused(lambda: other.describe_processing_job(ProcessingJobName="private"), "ValidationException", "Could not find requested job")
    assert other.list_processing_jobs()["ProcessingJobSummaries"] == []


def test_permissions_are_asked_per_job_and_the_role_must_be_passed(yard, refused):
    iam = yard.root("iam")
    iam.create_user(UserName="ana")
    allowed = ["sagemaker:CreateProcessingJob", "sagemaker:DescribeProcessingJob"]
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": allowed, "Resource": ARN + "ana-*"}]}
    iam.put_user_policy(UserName="ana", PolicyName="p", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName="ana")["AccessKey"]
    ana = inproc.client(yard.gateway, "sagemaker", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    denied = "AccessDeniedException"
    refused(lambda: ana.create_processing_job(**yard.request("other")), denied, "sagemaker:CreateProcessingJob")
    refused(lambda: ana.create_processing_job(**yard.request("ana-1")), denied, "iam:PassRole")
    document["Statement"].append({"Effect": "Allow", "Action": "iam:PassRole", "Resource": yard.role})
    iam.put_user_policy(UserName="ana", PolicyName="p", PolicyDocument=json.dumps(document))
    assert ana.create_processing_job(**yard.request("ana-1"))["ProcessingJobArn"] == ARN + "ana-1"
    assert ana.describe_processing_job(ProcessingJobName="ana-1")
    refused(lambda: ana.create_processing_job(**yard.request("ana-2", Tags=[{"Key": "a", "Value": "b"}])), denied, "sagemaker:AddTags")
    for call, action in ((ana.stop_processing_job, "Stop"), (ana.delete_processing_job, "Delete")):
        refused(lambda call=call: call(ProcessingJobName="ana-1"), denied, f"sagemaker:{action}ProcessingJob")
    refused(lambda: ana.list_processing_jobs(), denied, "sagemaker:ListProcessingJobs")


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
        name = f"job-{number:02}" + ("-Odd" if number % 2 else "")
        made.move(name, "Failed", ended_at=made.clock.now(), reason="AlgorithmError: x", message="m")
        made.clock.advance(60)
    yield made
    made.close()


def names(yard, **filters) -> list[str]:
    pages = yard.sm.get_paginator("list_processing_jobs").paginate(**filters)
    return [job["ProcessingJobName"][4:6] for page in pages for job in page["ProcessingJobSummaries"]]


ALL = [f"{n:02}" for n in range(12)]


@pytest.mark.parametrize("size", [1, 5, 12, 100])
@pytest.mark.parametrize("order", ["Ascending", "Descending"])
def test_pages_of_every_size_and_order(listed, size, order):
    found = names(listed, SortBy="Name", SortOrder=order, PaginationConfig={"PageSize": size})
    assert found == (ALL if order == "Ascending" else ALL[::-1])
    assert names(listed, SortBy="CreationTime", SortOrder=order, PaginationConfig={"PageSize": size}) == found


def test_every_filter(listed):
    minute = lambda n: listed.start + 60 * n  # noqa: E731
    by_name = {"SortBy": "Name", "SortOrder": "Ascending"}
    assert names(listed, StatusEquals="Failed", **by_name) == ["00", "03", "06", "09"]
    assert names(listed, StatusEquals="Completed") == []
    assert names(listed, SortBy="Status", SortOrder="Ascending")[:4] == ["00", "03", "06", "09"]
    assert names(listed, NameContains="odd", **by_name) == ALL[1::2]
    assert names(listed, CreationTimeAfter=minute(8.5), **by_name) == ["09", "10", "11"]
    assert names(listed, CreationTimeBefore=minute(1.5), **by_name) == ["00", "01"]
    assert names(listed, LastModifiedTimeAfter=minute(60), **by_name) == ["00", "03", "06", "09"]
    assert names(listed, LastModifiedTimeBefore=minute(1.5), **by_name) == ["01"]
    between = {"CreationTimeAfter": minute(2.5), "CreationTimeBefore": minute(7.5)}
    assert names(listed, StatusEquals="Failed", NameContains="job", **between, **by_name) == ["03", "06"]


def test_summaries_have_what_clients_read(listed):
    (job,) = listed.sm.list_processing_jobs(StatusEquals="Failed", MaxResults=1)["ProcessingJobSummaries"]
    assert (job["FailureReason"], job["ExitMessage"], job["ProcessingJobStatus"]) == ("AlgorithmError: x", "m", "Failed")
    assert {"ProcessingJobName", "ProcessingJobArn", "CreationTime", "LastModifiedTime", "ProcessingEndTime"} < job.keys()


def test_bad_lists(listed, refused):
    bad = listed.sm.list_processing_jobs
    refused(lambda: bad(MaxResults=0), "ValidationException", "Member must have value greater than or equal to 1")
    refused(lambda: bad(MaxResults=101), "ValidationException", "Member must have value less than or equal to 100")
    refused(lambda: bad(StatusEquals="Odd"), "ValidationException", "enum value set")
    refused(lambda: bad(SortBy="Size"), "ValidationException", "enum value set")
    for token in ("nonsense", "é", "W10=", "bnVsbA=="):
        refused(lambda token=token: bad(NextToken=token))
    token = bad(MaxResults=1)["NextToken"]
    refused(lambda: bad(MaxResults=1, NextToken=token, StatusEquals="Failed"))


def test_an_image_of_awss_that_is_not_here_is_refused_by_name(yard, refused):
    uri = "205585389593.dkr.ecr.us-east-1.amazonaws.com/sagemaker-geospatial-v1-0:latest"
    refused(lambda: yard.create("geo", AppSpecification={"ImageUri": uri}), "ValidationException", f"The image {uri} is not available here")


def test_an_experiment_that_is_not_there_is_refused(yard, refused):
    refused(lambda: yard.create("lost", ExperimentConfig={"ExperimentName": "no-such"}), "ResourceNotFound", "no-such")


def test_more_hosts_than_the_accounts_quota_are_refused_in_awss_words(yard, refused):
    refused(lambda: yard.create("many", **cluster(InstanceType="ml.m5.large", InstanceCount=21)), "ResourceLimitExceeded", "processing job")
