"""Constraints of the models in AWS's words, in the codes of the services."""

import json
import re
import time

import pytest

from modelyard.kernel.errors import ApiError
from modelyard.wire.codec import codec
from modelyard.wire.http import HttpRequest
from modelyard.wire.java_regex import full_match
from modelyard.wire.routing import Route
from modelyard.wire.shapes import model
from modelyard.wire.validate import validator


def complaint(service, operation, params):
    with pytest.raises(ApiError) as caught:
        codec(service, operation).validate(params)
    return caught.value


def test_one_pattern():
    wrong = complaint("sagemaker", "DescribeTrainingJob", {"TrainingJobName": "a b"})
    assert (wrong.code, wrong.status) == ("ValidationException", 400)
    assert wrong.message == (
        "1 validation error detected: Value 'a b' at 'trainingJobName' failed to satisfy constraint: "
        "Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"
    )


def test_several_and_nested():
    params = {
        "TrainingJobName": "x" * 64,
        "RoleArn": "arn:aws:iam::123456789012:role/r",
        "AlgorithmSpecification": {"TrainingInputMode": "Pigeon"},
        "OutputDataConfig": {"S3OutputPath": "s3://b/o"},
        "ResourceConfig": {"InstanceCount": -1, "VolumeSizeInGB": 0, "InstanceType": "ml.m5.large"},
        "StoppingCondition": {"MaxRuntimeInSeconds": 0},
        "InputDataConfig": [{"ChannelName": "train", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix"}}}],
        "VpcConfig": {"SecurityGroupIds": [], "Subnets": ["not ok"]},
    }
    message = complaint("sagemaker", "CreateTrainingJob", params).message
    assert message.split(" ")[1:4] == ["validation", "errors", "detected:"]
    for text in (
        "at 'trainingJobName' failed to satisfy constraint: Member must have length less than or equal to 63",
        "Value 'Pigeon' at 'algorithmSpecification.trainingInputMode' failed to satisfy constraint: Member must satisfy enum value set: [",
        "Value '-1' at 'resourceConfig.instanceCount' failed to satisfy constraint: Member must have value greater than or equal to 0",
        "Value '0' at 'stoppingCondition.maxRuntimeInSeconds' failed to satisfy constraint: Member must have value greater than or equal to 1",
        "Value null at 'inputDataConfig.1.member.dataSource.s3DataSource.s3Uri' failed to satisfy constraint: Member must not be null",
        "Value '[]' at 'vpcConfig.securityGroupIds' failed to satisfy constraint: Member must have length greater than or equal to 1",
        "Value '[not ok]' at 'vpcConfig.subnets' failed to satisfy constraint: Member must satisfy constraint: [Member must have length less than",
    ):
        assert text in message, (text, message)
    count = int(message.split(" ")[0])
    assert message.count("failed to satisfy constraint") == count


def test_maps_tell_of_keys_and_values():
    wrong = complaint("sagemaker", "CreateModel", {"ModelName": "m", "PrimaryContainer": {"Environment": {"bad key": "v" * 1_000_000}}})
    assert "at 'primaryContainer.environment' failed to satisfy constraint: Map keys must satisfy constraint: [" in wrong.message


@pytest.mark.parametrize(
    ("service", "operation", "params", "code", "text"),
    [
        ("iam", "CreateRole", {"RoleName": "a b", "AssumeRolePolicyDocument": "{}"}, "ValidationError", "The specified value for roleName is invalid."),
        ("sts", "AssumeRole", {"RoleArn": "short", "RoleSessionName": "ok"}, "ValidationError", "greater than or equal to 20"),
        ("logs", "CreateLogGroup", {"logGroupName": "a b"}, "InvalidParameterException", "at 'logGroupName'"),
        ("sagemaker-runtime", "InvokeEndpoint", {"EndpointName": "a b", "Body": b""}, "ValidationError", "at 'endpointName'"),
        ("cloudwatch", "PutMetricData", {"MetricData": []}, "MissingParameter", "The parameter Namespace is required."),
        ("s3", "PutBucketVersioning", {"Bucket": "b"}, "MissingRequestBodyError", "Request Body is empty"),
        ("ec2", "TerminateInstances", {}, "MissingParameter", "The request must contain the parameter InstanceIds"),
        ("lambda", "GetFunction", {"FunctionName": ""}, "ValidationException", "at 'functionName'"),
    ],
)  # fmt: skip
def test_services_have_their_own_codes(service, operation, params, code, text):
    wrong = complaint(service, operation, params)
    assert wrong.code == code and text in wrong.message, wrong.message


def test_what_is_sensitive_is_not_told():
    wrong = complaint("secretsmanager", "CreateSecret", {"Name": "n", "SecretString": "", "ClientRequestToken": "x" * 32})
    assert "Value at 'secretString' failed" in wrong.message


def test_huge_values_are_told_in_part():
    events = [{"timestamp": number, "message": "a line"} for number in range(10_001)]
    wrong = complaint("logs", "PutLogEvents", {"logGroupName": "g", "logStreamName": "s", "logEvents": events})
    assert len(wrong.message) < 5_000
    assert wrong.message.endswith("…' at 'logEvents' failed to satisfy constraint: Member must have length less than or equal to 10000")


def test_java_patterns():
    assert full_match(r"[\p{Alnum}\-_]+", "ab-1_") and not full_match(r"[\p{Alnum}\-_]+", "a b")
    assert full_match(r"\p{L}+", "Straße") and not full_match(r"\p{L}+", "1")
    assert full_match(r"^[a-z]+$", "abc") and not full_match(r"^[a-z]+$", "abc\n")
    assert full_match(r"\Qa.b\E", "a.b") and not full_match(r"\Qa.b\E", "axb")
    assert full_match(r"[\p{L}\p{Z}\p{N}_.:/=+\-@]*", "Team a/1")


def test_bounded_patterns_decide_like_the_plain_ones():
    from modelyard.wire.java_regex import _bounded

    pattern = "[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"
    for value in ("a", "a-b", "-a", "a-", "x" * 63, "x" * 64, "a" * 40 + "!"):
        assert full_match(pattern, value) == _bounded(pattern)(value) == bool(re.fullmatch(pattern, value))


@pytest.mark.parametrize("service", ["sagemaker", "iam", "logs", "lambda", "events", "sts", "s3", "cloudwatch"])
def test_no_value_takes_long(service):
    hostile = ["a" * 40 + "!", "-" * 1000 + "!", "a-" * 300 + "!", "/" * 1000 + "\n", "arn:aws:" + "a:" * 400 + "\n"]
    patterns = {shape["pattern"] for shape in model(service).raw["shapes"].values() if shape.get("type") == "string" and "pattern" in shape}
    for pattern in patterns:
        full_match(pattern, "a")
        for value in hostile:
            began = time.perf_counter()
            full_match(pattern, value)
            assert time.perf_counter() - began < 1, (pattern, value[:20])


def test_valid_requests_pass():
    params = json.loads("""{"TrainingJobName":"j","RoleArn":"arn:aws:iam::123456789012:role/r","OutputDataConfig":{"S3OutputPath":"s3://b/o"},
      "AlgorithmSpecification":{"TrainingInputMode":"File","TrainingImage":"683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.0-1-cpu-py3"},
      "ResourceConfig":{"InstanceCount":1,"VolumeSizeInGB":5,"InstanceType":"ml.m5.large"},"StoppingCondition":{"MaxRuntimeInSeconds":60},
      "HyperParameters":{"objective":"\\"multi:softmax\\"","sagemaker_program":"train.py"},"Tags":[{"Key":"a","Value":""}]}""")
    codec("sagemaker", "CreateTrainingJob").validate(params)


def test_a_value_of_the_wrong_type():
    job = HttpRequest("POST", "/", "", [])
    for body, text in (
        (b'{"TrainingJobName":1}', "NUMBER_VALUE can not be converted to a String"),
        (b'{"TrainingJobName":{}}', "Start of structure or map found where not expected."),
        (b'{"TrainingJobName":', "not valid JSON"),
        (b"[]", "Start of list found where not expected"),
    ):
        with pytest.raises(ApiError, match="SerializationException") as caught:
            codec("sagemaker", "DescribeTrainingJob").parse(Route("sagemaker", "DescribeTrainingJob", "json"), job, body)
        assert text in caught.value.message
    route = Route("s3", "ListObjectsV2", "rest-xml", {"Bucket": "b"}, {"max-keys": ["many"]})
    with pytest.raises(ApiError, match="InvalidArgument"):
        codec("s3", "ListObjectsV2").parse(route, job, b"")


def test_no_constraint_no_work():
    assert validator(model("sts"), model("sts").input("GetCallerIdentity")) is None


@pytest.mark.parametrize("value", ["a", "no base64!", "ü", "YQ=", 1, {}])
def test_a_blob_that_is_not_base64(value):
    body = json.dumps({"KeyId": "k", "Plaintext": value}).encode()
    with pytest.raises(ApiError, match="SerializationException"):
        codec("kms", "Encrypt").parse(Route("kms", "Encrypt", "json"), HttpRequest("POST", "/", "", []), body)
