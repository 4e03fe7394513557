"""Calls of endpoints by an unmodified boto3 client."""

from __future__ import annotations

import ast
import contextlib
import json
import threading

import pytest
from botocore.exceptions import ClientError

from modelyard.serving.routes import from_body
from tests.support.hosting import Hosting, eventually

SIX_MB = 6_291_456


@pytest.fixture(scope="module")
def hosting(tmp_path_factory):
    made = Hosting(tmp_path_factory.mktemp("invoke"))
    made.deploy()
    yield made
    made.close()


def invoke(hosting, body=b"x", **more):
    return hosting.rt.invoke_endpoint(**{"EndpointName": "e", "Body": body, **more})


def refused(hosting, body=b"x", **more):
    with pytest.raises(ClientError) as caught:
        invoke(hosting, body, **more)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"], answer


def test_answer(hosting):
    answer = invoke(hosting, b"5.1,3.5", ContentType="text/csv", Accept="application/json", CustomAttributes="trace")
    assert answer["Body"].read() == b"m:5.1,3.5"
    assert (answer["ContentType"], answer["InvokedProductionVariant"], answer["CustomAttributes"]) == (
        "application/json",
        "m",
        "trace-back",
    )


def test_container_sees_the_headers_of_the_contract(hosting):
    more = {
        "ContentType": "text/csv",
        "Accept": "text/csv",
        "CustomAttributes": "a=b",
        "InferenceId": "i-1",
        "TargetVariant": "m",
        "SessionId": "s1",
    }
    seen = dict(ast.literal_eval(invoke(hosting, b"headers", **more)["Body"].read().decode()))
    assert seen == {
        "host": "localhost:8080",
        "content-type": "text/csv",
        "accept": "text/csv",
        "content-length": "7",
        "x-amzn-sagemaker-custom-attributes": "a=b",
        "x-amzn-sagemaker-inference-id": "i-1",
        "x-amzn-sagemaker-target-variant": "m",
        "x-amzn-sagemaker-session-id": "s1",
    }


def test_six_megabytes_pass_and_one_byte_more_does_not(hosting):
    """The limit of requests is that of answers (the model's BodyBlob); the echo has two bytes more than it was sent."""
    assert invoke(hosting, b"sleep 0".ljust(SIX_MB))["Body"].read() == b"slept"
    assert len(invoke(hosting, b"x" * (SIX_MB - 2))["Body"].read()) == SIX_MB
    code, status, message, _ = refused(hosting, b"x" * SIX_MB)
    assert (code, status) == ("ModelError", 424) and str(SIX_MB) in message
    code, status, message, _ = refused(hosting, b"x" * (SIX_MB + 1))
    assert (code, status) == ("ValidationError", 400) and str(SIX_MB) in message


@pytest.mark.parametrize("status, side", [(400, "client"), (415, "client"), (500, "server"), (503, "server"), (304, "server")])
def test_model_error(hosting, status, side):
    code, http, message, answer = refused(hosting, f"status {status} no such feature".encode())
    assert (code, http) == ("ModelError", 424)
    text = "no such feature" if status != 304 else ""
    assert (answer["OriginalStatusCode"], answer["OriginalMessage"]) == (status, text)
    assert answer["LogStreamArn"] == "arn:aws:logs:us-east-1:123456789012:log-group:/aws/sagemaker/Endpoints/e"
    assert message == (
        f'Received {side} error ({status}) from primary with message "{text}". See https://us-east-1.console.aws.amazon.com/cloudwatch/home'
        "?region=us-east-1#logEventViewer:group=/aws/sagemaker/Endpoints/e in account 123456789012 for more information."
    )


def test_connection_that_breaks_is_a_model_error(hosting):
    code, http, _, answer = refused(hosting, b"die")
    assert (code, http, answer["OriginalStatusCode"]) == ("ModelError", 424, 500)
    assert invoke(hosting)["Body"].read() == b"m:x"


def test_time_out(hosting, monkeypatch):
    table = next(iter(hosting.platform.invoker._tables.values()))
    monkeypatch.setattr("modelyard.serving.routes.Variant.timeout_s", 0.3, raising=False)
    variant = table.variants[0]
    object.__setattr__(variant, "timeout_s", 0.3)
    code, http, message, answer = refused(hosting, b"sleep 2")
    object.__setattr__(variant, "timeout_s", 60.0)
    assert (code, http, answer["OriginalStatusCode"]) == ("ModelError", 424, 0)
    assert 'Received server error (0) from primary with message "Your invocation timed out while waiting for a response' in message


@pytest.mark.parametrize(
    "more, text",
    [
        ({"EndpointName": "nope"}, "Endpoint nope of account 123456789012 not found."),
        ({"TargetVariant": "zz"}, "Variant zz not found"),
        ({"TargetModel": "a.tar.gz"}, "Endpoint e is not a multi-model endpoint and does not support target model header."),
        ({"TargetContainerHostname": "a"}, "is not configured for direct invocation"),
        ({"InferenceComponentName": "a"}, "Inference component a of account 123456789012 not found on endpoint e."),
    ],
)
def test_validation_error(hosting, more, text):
    code, status, message, _ = refused(hosting, **more)
    assert (code, status) == ("ValidationError", 400) and text in message


def test_no_healthy_replica(hosting):
    hosting.deploy("dead", "d")
    [box] = [b for b in hosting.runtime.running() if b.name == "d"]
    hosting.engine.stop()
    box.end(1)
    code, status, _, _ = refused(hosting, EndpointName="dead")
    assert (code, status) == ("ServiceUnavailable", 503)
    hosting.engine.__init__(hosting.platform, list(hosting.engine._by_kind.values()))
    hosting._thread = threading.Thread(target=hosting.engine.run, daemon=True)
    hosting._thread.start()
    eventually(lambda: any(b.name == "d" for b in hosting.runtime.running()))


def stream(hosting, body):
    return hosting.rt.invoke_endpoint_with_response_stream(EndpointName="e", Body=body, ContentType="text/plain", Accept="text/plain")


def test_stream(hosting):
    answer = stream(hosting, b"parts one two three")
    assert answer["InvokedProductionVariant"] == "m"
    assert [e["PayloadPart"]["Bytes"] for e in answer["Body"]] == [b"one", b"two", b"three"]


def test_stream_that_breaks_in_the_middle(hosting):
    parts = []
    with pytest.raises(ClientError, match="ModelStreamError"):
        for part in stream(hosting, b"parts one break")["Body"]:
            parts.append(part["PayloadPart"]["Bytes"])
    assert parts == [b"one"]


def test_stream_of_an_error_is_a_model_error(hosting):
    with pytest.raises(ClientError) as caught:
        stream(hosting, b"status 400 bad")
    assert caught.value.response["Error"]["Code"] == "ModelError" and caught.value.response["OriginalStatusCode"] == 400


def test_metrics(hosting):
    hosting.deploy("counted", "c")
    for body in (b"x", b"x", b"status 400 a", b"status 500 b"):
        with contextlib.suppress(ClientError):
            invoke(hosting, body, EndpointName="counted")
    cloudwatch = hosting.yard.client("cloudwatch")

    def value(name, statistic="Sum"):
        rows = cloudwatch.get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=name,
            Dimensions=[{"Name": "EndpointName", "Value": "counted"}, {"Name": "VariantName", "Value": "c"}],
            StartTime=hosting.platform.clock.now() - 3600,
            EndTime=hosting.platform.clock.now() + 3600,
            Period=7200,
            Statistics=[statistic],
        )["Datapoints"]
        return sum(row[statistic] for row in rows)

    eventually(lambda: value("Invocations") == 4)
    assert (value("Invocation4XXErrors"), value("Invocation5XXErrors"), value("InvocationModelErrors")) == (1, 1, 2)
    assert 50 < value("ModelLatency", "Maximum") < 2_000_000 and value("OverheadLatency", "SampleCount") == 4


def test_data_capture(hosting):
    hosting.s3.create_bucket(Bucket="captured")
    hosting.deploy(
        "watched",
        "w",
        DataCaptureConfig={
            "EnableCapture": True,
            "InitialSamplingPercentage": 100,
            "DestinationS3Uri": "s3://captured/data",
            "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
            "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
        },
    )
    assert hosting.sm.describe_endpoint(EndpointName="watched")["DataCaptureConfig"]["CaptureStatus"] == "Started"
    invoke(hosting, b"1,2", EndpointName="watched", ContentType="text/csv", Accept="text/csv", InferenceId="seven")
    listed = eventually(lambda: hosting.s3.list_objects_v2(Bucket="captured", Prefix="data/watched/w/").get("Contents"), 15)
    line = json.loads(hosting.s3.get_object(Bucket="captured", Key=listed[0]["Key"])["Body"].read())
    assert line["captureData"]["endpointInput"]["data"] == "1,2" and line["captureData"]["endpointOutput"]["data"] == "w:1,2"
    assert line["eventMetadata"]["inferenceId"] == "seven"


@pytest.mark.parametrize(
    ("member", "status"), [({}, "Started"), ({"EnableCapture": True}, "Started"), ({"EnableCapture": False}, "Stopped")]
)
def test_capture_is_on_unless_the_configuration_says_otherwise(hosting, member, status):
    name = f"capture-{len(member)}-{status}".lower()
    capture = {
        "InitialSamplingPercentage": 40,
        "DestinationS3Uri": "s3://captured/on",
        "CaptureOptions": [{"CaptureMode": "Output"}],
        **member,
    }
    hosting.deploy(name, name, DataCaptureConfig=capture)
    assert hosting.sm.describe_endpoint(EndpointName=name)["DataCaptureConfig"] == {
        "EnableCapture": status == "Started",
        "CaptureStatus": status,
        "CurrentSamplingPercentage": 40,
        "DestinationS3Uri": "s3://captured/on",
        "KmsKeyId": "",
    }
    (_, _, body) = next(row for row in hosting.platform.store.routes_since(0) if row[1].endswith(f"/{name}"))
    assert bool(from_body(body).capture) is (status == "Started")


def test_what_describe_tells_as_it_was_given(hosting):
    hosting.model("told")
    told = {
        "RoutingConfig": {"RoutingStrategy": "LEAST_OUTSTANDING_REQUESTS"},
        "ManagedInstanceScaling": {"Status": "ENABLED", "MinInstanceCount": 1, "MaxInstanceCount": 2},
    }
    row = {"VariantName": "v", "ModelName": "told", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large", **told}
    metrics = {"EnableEnhancedMetrics": True, "MetricPublishFrequencyInSeconds": 10}
    hosting.sm.create_endpoint_config(EndpointConfigName="told", ProductionVariants=[row], MetricsConfig=metrics)
    hosting.sm.create_endpoint(EndpointName="told", EndpointConfigName="told")
    there = hosting.until("InService", "told")
    variant = there["ProductionVariants"][0]
    assert {member: variant[member] for member in told} == told and there["MetricsConfig"] == metrics
    made = variant["DeployedImages"][0]["ResolutionTime"]
    hosting.sm.update_endpoint(EndpointName="told", EndpointConfigName="told")
    assert hosting.until("InService", "told")["ProductionVariants"][0]["DeployedImages"][0]["ResolutionTime"] > made
    row["ManagedInstanceScaling"] = {"Status": "ENABLED", "MinInstanceCount": 3, "MaxInstanceCount": 2}
    with pytest.raises(ClientError, match="must not be more than its MaxInstanceCount"):
        hosting.sm.create_endpoint_config(EndpointConfigName="told-2", ProductionVariants=[row])


def test_who_saw_the_end_of_an_update_is_served_by_it(hosting, monkeypatch):
    """Also by a gateway that heard no bell and is not due to look."""
    hosting.deploy("swap", "before")
    assert invoke(hosting, EndpointName="swap")["Body"].read() == b"before:x"
    hosting.model("after")
    row = {"VariantName": "before", "ModelName": "after", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    hosting.sm.create_endpoint_config(EndpointConfigName="swap-after", ProductionVariants=[row])
    monkeypatch.setattr("modelyard.serving.invoker.POLL_SECONDS", 3600)
    monkeypatch.setattr(hosting.platform, "ring", lambda topic: hosting.engine.ring())
    hosting.platform.invoker.ring()
    hosting.sm.update_endpoint(EndpointName="swap", EndpointConfigName="swap-after")
    hosting.until("InService", "swap")
    told = invoke(hosting, EndpointName="swap")["Body"].read()
    monkeypatch.undo()
    hosting.platform.invoker.ring()
    assert told == b"after:x"
