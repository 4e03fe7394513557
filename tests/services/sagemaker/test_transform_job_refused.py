"""What CreateTransformJob and its sisters refuse, and in which words."""

from __future__ import annotations

import json

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.hosting import ACCOUNT, IMAGE
from tests.support.transform import Transforms


@pytest.fixture(scope="module")
def yard(tmp_path_factory):
    made = Transforms(tmp_path_factory.mktemp("tr"))
    made.sm = made.yard.client("sagemaker", config=Config(parameter_validation=False))
    made.uri = made.put(("a.csv", b"1\n"))
    yield made
    made.close()


def refused(call, code="ValidationException", *texts):
    with pytest.raises(ClientError) as found:
        call()
    error, http = found.value.response["Error"], found.value.response["ResponseMetadata"]["HTTPStatusCode"]
    assert (error["Code"], http) == (code, 400), error
    for text in texts:
        assert text in error["Message"], error
    return error["Message"]


def changed(request, path, value):
    """The request with the member at a dotted path replaced, or with None taken away."""
    *way, last = path.split(".")
    copy = json.loads(json.dumps(request))
    place = copy
    for step in way:
        place = place.setdefault(step, {})
    if value is None:
        place.pop(last, None)
    else:
        place[last] = value
    return copy


SOURCE = "TransformInput.DataSource.S3DataSource"


@pytest.mark.parametrize(
    ("path", "value", "text"),
    [
        ("TransformJobName", None, "Value null at 'transformJobName' failed to satisfy constraint: Member must not be null"),
        ("TransformJobName", "a_b", "Value 'a_b' at 'transformJobName' failed to satisfy constraint: Member must satisfy regular expression pattern: "),
        ("TransformJobName", "a" * 64, "Member must have length less than or equal to 63"),
        ("ModelName", None, "'modelName' failed to satisfy constraint: Member must not be null"),
        ("ModelName", "nobody", f'Could not find model "arn:aws:sagemaker:us-east-1:{ACCOUNT}:model/nobody".'),
        ("TransformInput", None, "'transformInput' failed to satisfy constraint: Member must not be null"),
        ("TransformInput.DataSource", None, "'transformInput.dataSource' failed to satisfy constraint: Member must not be null"),
        (f"{SOURCE}.S3Uri", None, "s3Uri' failed to satisfy constraint: Member must not be null"),
        (f"{SOURCE}.S3Uri", "in/a.csv", "s3Uri' failed to satisfy constraint: Member must satisfy regular expression pattern: "),
        (f"{SOURCE}.S3Uri", "https://bucket/key", "it must be an S3 URI"),
        (f"{SOURCE}.S3Uri", "s3://data/nothing/here", 'No S3 objects found under S3 URL "s3://data/nothing/here" given in input data source. Please ensure that the bucket exists'),
        (f"{SOURCE}.S3Uri", "s3://no-such-bucket/x", 'No S3 objects found under S3 URL "s3://no-such-bucket/x"'),
        (f"{SOURCE}.S3DataType", "Folder", "failed to satisfy constraint: Member must satisfy enum value set"),
        (f"{SOURCE}.S3DataType", "AugmentedManifestFile", "S3DataType AugmentedManifestFile is not supported for transform jobs"),
        ("TransformInput.SplitType", "Word", "'transformInput.splitType' failed to satisfy constraint: Member must satisfy enum value set"),
        ("TransformInput.CompressionType", "Zip", "enum value set"),
        ("TransformInput.ContentType", "x" * 257, "length less than or equal to 256"),
        ("TransformOutput", None, "'transformOutput' failed to satisfy constraint: Member must not be null"),
        ("TransformOutput.S3OutputPath", None, "s3OutputPath' failed to satisfy constraint: Member must not be null"),
        ("TransformOutput.S3OutputPath", "out", "s3OutputPath' failed to satisfy constraint"),
        ("TransformOutput.AssembleWith", "Comma", "enum value set"),
        ("TransformResources", None, "'transformResources' failed to satisfy constraint: Member must not be null"),
        ("TransformResources.InstanceType", "ml.t2.medium", "'transformResources.instanceType' failed to satisfy constraint: Member must satisfy enum value set"),
        ("TransformResources.InstanceCount", 0, "'transformResources.instanceCount' failed to satisfy constraint: Member must have value greater than or equal to 1"),
        ("MaxConcurrentTransforms", -1, "value greater than or equal to 0"),
        ("MaxPayloadInMB", -1, "value greater than or equal to 0"),
        ("MaxPayloadInMB", 101, "MaxPayloadInMB cannot be greater than 100 MB"),
        ("BatchStrategy", "All", "enum value set"),
        ("ModelClientConfig.InvocationsTimeoutInSeconds", 3601, "value less than or equal to 3600"),
        ("ModelClientConfig.InvocationsMaxRetries", 4, "value less than or equal to 3"),
        ("Environment", {f"K{n}": "v" for n in range(17)}, "'environment' failed to satisfy constraint: Member must have length less than or equal to 16"),
        ("Environment", {"1K": "v"}, "failed to satisfy constraint"),
        ("DataProcessing.JoinSource", "Output", "enum value set"),
        ("DataProcessing.InputFilter", "[1:]", "Invalid InputFilter. The JSONPath '[1:]' must begin with $."),
        ("DataProcessing.InputFilter", "$..a", "Invalid InputFilter. The JSONPath '$..a' is not supported"),
        ("DataProcessing.OutputFilter", "$[a]", "Invalid OutputFilter."),
        ("DataProcessing.OutputFilter", "$" + ".a" * 40, "length less than or equal to 63"),
        ("DataProcessing.InputFilter", "$.features", "a CSV record is an array, whose columns are selected by index"),
        ("DataCaptureConfig", {"GenerateInferenceId": True}, "destinationS3Uri' failed to satisfy constraint: Member must not be null"),
        ("DataCaptureConfig", {"DestinationS3Uri": "https://x/y"}, "it must be an S3 URI"),
        ("Tags", [{"Key": "aws:x", "Value": "y"}], "reserved for system use"),
        ("ExperimentConfig.TrialName", "-", "failed to satisfy constraint"),
    ],
)  # fmt: skip
def test_create_refuses(yard, path, value, text):
    request = changed(yard.request("echo", yard.uri, split="Line"), path, value)
    refused(lambda: yard.sm.create_transform_job(**request), "ValidationException", text)
    assert not yard.sm.list_transform_jobs(NameContains=request.get("TransformJobName", "x")[:63].replace("_", "-"))[
        "TransformJobSummaries"
    ]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"MaxPayloadInMB": 50, "MaxConcurrentTransforms": 3}, "The value of (MaxConcurrentTransforms * MaxPayloadInMB) cannot exceed 100 MB"),
        ({"MaxPayloadInMB": 0, "split": "Line"}, "SplitType must be None"),
        ({"MaxPayloadInMB": 0, "processing": {"JoinSource": "Input"}}, "cannot be used then"),
        ({"content": "image/png", "processing": {"JoinSource": "Input"}}, "text/csv, application/json and application/jsonlines only"),
        ({"content": None, "processing": {"InputFilter": "$[1:]"}}, "text/csv, application/json and application/jsonlines only"),
        ({"content": None, "processing": {"OutputFilter": "$[1:]"}}, "name its type in Accept"),
        ({"content": "image/png", "DataCaptureConfig": {"DestinationS3Uri": "s3://data/c", "GenerateInferenceId": True}}, "name its type in Accept"),
        ({"accept": "text/csv", "content": "application/json", "processing": {"OutputFilter": "$.a"}}, "Invalid OutputFilter '$.a'"),
    ],
)  # fmt: skip
def test_members_that_do_not_go_together(yard, change, text):
    refused(lambda: yard.sm.create_transform_job(**yard.request("echo", yard.uri, **change)), "ValidationException", text)


def test_too_many_instances(yard):
    text = "The account-level service limit 'Number of instances for a transform job' is 20 Instances"
    refused(lambda: yard.sm.create_transform_job(**yard.request("echo", yard.uri, count=21)), "ResourceLimitExceeded", text)


def test_a_name_is_used_once_for_all_time(yard):
    job = yard.run("echo", uri=yard.uri)
    request = {**yard.request("echo", yard.uri), "TransformJobName": job["TransformJobName"]}
    refused(lambda: yard.sm.create_transform_job(**request), "ResourceInUse", "a job with this name already exists", job["TransformJobArn"])


def test_what_is_not_there(yard):
    for call in (yard.sm.describe_transform_job, yard.sm.stop_transform_job):
        refused(lambda call=call: call(TransformJobName="nobody"), "ValidationException", "Could not find requested job with name: nobody")


def test_models_that_batch_transform_does_not_know(yard):
    container = {"Image": IMAGE, "Environment": {"MODEL": "echo"}}
    hosts = [{**container, "ContainerHostname": name} for name in ("a", "b")]
    yard.sm.create_model(ModelName="direct", Containers=hosts, InferenceExecutionConfig={"Mode": "Direct"}, ExecutionRoleArn=yard.role)
    many = {**container, "Mode": "MultiModel", "ModelDataUrl": "s3://models/"}
    yard.sm.create_model(ModelName="many", PrimaryContainer=many, ExecutionRoleArn=yard.role)
    for name in ("direct", "many"):
        refused(
            lambda name=name: yard.sm.create_transform_job(**yard.request(name, yard.uri)),
            "ValidationException",
            "not supported by batch transform jobs",
        )


def test_lists_refuse(yard):
    refused(lambda: yard.sm.list_transform_jobs(MaxResults=101), "ValidationException", "less than or equal to 100")
    refused(lambda: yard.sm.list_transform_jobs(StatusEquals="Done"), "ValidationException", "enum value set")
    refused(lambda: yard.sm.list_transform_jobs(NextToken="x"), "ValidationException", "oken")


def test_who_may_not_is_denied(yard):
    iam, sts = yard.yard.client("iam"), yard.yard.client("sts")
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "sts:AssumeRole"}],
    }
    iam.create_role(RoleName="reader", AssumeRolePolicyDocument=json.dumps(trust))
    allowed = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:transform-job/mine-*"
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sagemaker:*TransformJob", "Resource": allowed}]}
    iam.put_role_policy(RoleName="reader", PolicyName="p", PolicyDocument=json.dumps(policy))
    keys = sts.assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/reader", RoleSessionName="session")["Credentials"]
    from tests.support import inproc

    sm = inproc.client(yard.yard.gateway, "sagemaker", key=keys["AccessKeyId"], secret=keys["SecretAccessKey"], token=keys["SessionToken"])
    refused(lambda: sm.describe_transform_job(TransformJobName="theirs"), "AccessDeniedException", "sagemaker:DescribeTransformJob")
    refused(lambda: sm.stop_transform_job(TransformJobName="theirs"), "AccessDeniedException", "sagemaker:StopTransformJob")
    refused(lambda: sm.create_transform_job(**yard.request("echo", yard.uri)), "AccessDeniedException", "sagemaker:CreateTransformJob")
    refused(lambda: sm.list_transform_jobs(), "AccessDeniedException", "sagemaker:ListTransformJobs")
    refused(lambda: sm.describe_transform_job(TransformJobName="mine-1"), "ValidationException", "Could not find")


def test_a_role_that_may_not_read_the_data(yard):
    iam = yard.yard.client("iam")
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }
    role = iam.create_role(RoleName="blind", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    yard.sm.create_model(ModelName="blind", PrimaryContainer={"Image": IMAGE, "Environment": {"MODEL": "echo"}}, ExecutionRoleArn=role)
    text = refused(
        lambda: yard.sm.create_transform_job(**yard.request("blind", yard.uri)), "ValidationException", "No S3 objects found under S3 URL"
    )
    assert 'the role "arn:aws:iam::' in text and '"s3:ListBucket" permissions' in text
    listing = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "*"}]}
    iam.put_role_policy(RoleName="blind", PolicyName="p", PolicyDocument=json.dumps(listing))
    job = yard.run("blind", uri=yard.uri)
    assert job["TransformJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("ClientError: See job logs for more information. Failed to read the object: AccessDenied (403)")
