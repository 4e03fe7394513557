"""Asynchronous inference by an unmodified boto3 client: real S3, IAM, queue, driver and HTTP; fake boxes."""

from __future__ import annotations

import ast
import json
import threading

import pytest
from botocore.exceptions import ClientError

from modelyard import app
from modelyard.kernel.clock import ManualClock
from modelyard.kernel.service import Service
from tests.support.hosting import Hosting, eventually

OUTPUT = {"S3OutputPath": "s3://results/out", "S3FailurePath": "s3://results/bad/"}
TOPICS = {name: f"arn:aws:sns:us-east-1:123456789012:{name}" for name in ("good", "bad")}


class Async(Hosting):
    def __init__(self, folder, **settings):
        super().__init__(folder, **settings)
        self.published = []
        self.platform.services["sns"] = self._sns()
        self.driver = app.async_driver(self.platform)
        for bucket in ("inputs", "results"):
            self.s3.create_bucket(Bucket=bucket)

    def _sns(self):
        sns = Service("sns")

        def publish(call, request):
            self.published.append((request["TopicArn"], json.loads(request["Message"]), call.principal.arn))
            return {"MessageId": "m"}

        sns.operation(publish)
        return sns

    def serve(self, name="e", output=OUTPUT, most=4, **more):
        config = {"OutputConfig": output, "ClientConfig": {"MaxConcurrentInvocationsPerInstance": most}}
        self.deploy(name, *more.pop("models", ()), AsyncInferenceConfig=config, **more)

    def send(self, body=b"x", name="e", key="in", content_type="text/csv", **more):
        self.s3.put_object(Bucket="inputs", Key=key, Body=body, ContentType=content_type)
        return self.rt.invoke_endpoint_async(EndpointName=name, InputLocation=f"s3://inputs/{key}", **more)

    def read(self, uri):
        bucket, _, key = uri.removeprefix("s3://").partition("/")
        return self.s3.get_object(Bucket=bucket, Key=key)

    def results(self):
        return [o["Key"] for o in self.s3.list_objects_v2(Bucket="results").get("Contents", [])]

    def metric(self, name, statistic="Sum", **dimensions):
        rows = [{"Name": k, "Value": v} for k, v in dimensions.items()]
        now = self.platform.clock.now()
        found = self.yard.client("cloudwatch").get_metric_statistics(
            Namespace="AWS/SageMaker",
            MetricName=name,
            Dimensions=rows,
            StartTime=now - 7200,
            EndTime=now + 60,
            Period=60,
            Statistics=[statistic],
        )
        return [p[statistic] for p in sorted(found["Datapoints"], key=lambda p: p["Timestamp"])]

    def log_line(self):
        logs = self.yard.client("logs")
        streams = logs.describe_log_streams(logGroupName="/aws/sagemaker/Endpoints/e")["logStreams"]
        (stream,) = [s["logStreamName"] for s in streams if s["logStreamName"].endswith("/data-log")]
        assert stream.startswith("m/i-")
        (event,) = logs.get_log_events(logGroupName="/aws/sagemaker/Endpoints/e", logStreamName=stream)["events"]
        return event["message"]

    def close(self):
        self.driver.close()
        super().close()


@pytest.fixture
def yard(tmp_path):
    made = Async(tmp_path)
    yield made
    made.close()


def refused(function, **request):
    with pytest.raises(ClientError) as caught:
        function(**request)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"]


def test_output_is_written_where_the_answer_said(yard):
    yard.serve()
    answer = yard.send(b"5.1,3.5", Accept="application/json", InferenceId="i-1")
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert answer["InferenceId"] == "i-1"
    assert answer["OutputLocation"].startswith("s3://results/out/") and answer["OutputLocation"].endswith(".out")
    assert answer["FailureLocation"] == answer["OutputLocation"].replace("/out/", "/bad/").replace(".out", "-error.out")
    assert yard.results() == []
    yard.driver.settle()
    there = yard.read(answer["OutputLocation"])
    assert (there["Body"].read(), there["ContentType"]) == (b"m:5.1,3.5", "application/json")
    assert len(yard.results()) == 1


def test_container_sees_the_request_and_the_type_of_the_object(yard):
    yard.serve()
    answer = yard.send(b"headers", content_type="text/libsvm", CustomAttributes="a=b")
    yard.driver.settle()
    seen = dict(ast.literal_eval(yard.read(answer["OutputLocation"])["Body"].read().decode()))
    assert seen["content-type"] == "text/libsvm"
    assert seen["x-amzn-sagemaker-custom-attributes"] == "a=b"
    assert seen["x-amzn-sagemaker-inference-id"] == answer["InferenceId"]


def test_inline_body_names_and_folders(yard):
    yard.serve()
    answer = yard.rt.invoke_endpoint_async(
        EndpointName="e", Body=b"1,2", ContentType="text/csv", Filename="r.json", S3OutputPathExtension="a/b"
    )
    assert answer["OutputLocation"] == "s3://results/out/a/b/r.json"
    yard.driver.settle()
    assert yard.read(answer["OutputLocation"])["Body"].read() == b"m:1,2"


def test_large_input_and_output_are_streamed(yard):
    yard.serve()
    body = b"0123456789abcdef" * (1 << 18)
    answer = yard.send(body)
    yard.driver.settle()
    assert yard.read(answer["OutputLocation"])["Body"].read() == b"m:" + body


def test_model_error_becomes_the_failure_object_and_a_notification(yard):
    yard.serve(output={**OUTPUT, "NotificationConfig": {"SuccessTopic": TOPICS["good"], "ErrorTopic": TOPICS["bad"]}})
    answer = yard.send(b"status 500 it broke", ContentType="text/csv")
    yard.driver.settle()
    assert yard.read(answer["FailureLocation"])["Body"].read() == b"it broke", "the model's own answer"
    assert 'Received server error (500) from primary with message "it broke". See https://us-east-1' in yard.log_line()
    assert yard.results() == [answer["FailureLocation"].removeprefix("s3://results/")]
    ((topic, told, _),) = yard.published
    assert topic == TOPICS["bad"]
    assert told["invocationStatus"] == "Failed"
    assert told["failureReason"] == (
        "ClientError: Received server error (500) from model. See the SageMaker Endpoint logs in your account for more information."
    )
    assert yard.metric("Invocation5XXErrors", EndpointName="e", VariantName="m") == [1.0]
    assert yard.metric("InvocationFailures", EndpointName="e", VariantName="m") == [1.0]


def test_notification_of_a_good_end_is_aws_message(yard):
    topics = {"SuccessTopic": TOPICS["good"], "IncludeInferenceResponseIn": ["SUCCESS_NOTIFICATION_TOPIC"]}
    yard.serve(output={**OUTPUT, "NotificationConfig": topics})
    answer = yard.send(b"1", Accept="text/csv", ContentType="text/csv", InferenceId="mine")
    yard.driver.settle()
    ((topic, told, principal),) = yard.published
    assert topic == TOPICS["good"] and ":assumed-role/" in principal, "published as the execution role"
    assert told.pop("eventTime") >= told.pop("receivedTime")
    assert told == {
        "awsRegion": "us-east-1",
        "invocationStatus": "Completed",
        "requestParameters": {
            "accept": "text/csv",
            "contentType": "text/csv",
            "endpointName": "e",
            "inputLocation": "s3://inputs/in",
        },
        "responseParameters": {"contentType": "text/csv", "outputLocation": answer["OutputLocation"]},
        "responseBody": {
            "content": "bTox",
            "message": "Check S3 path location(if configured) or Cloudwatch for additional details.",
            "encoding": "BASE64",
        },
        "inferenceId": "mine",
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }


def test_input_that_is_not_there(yard):
    yard.serve()
    answer = yard.rt.invoke_endpoint_async(EndpointName="e", InputLocation="s3://inputs/none")
    yard.driver.settle()
    text = yard.read(answer["FailureLocation"])["Body"].read().decode()
    assert "s3://inputs/none" in text and "NoSuchKey" in text
    assert yard.metric("RequestDownloadFailures", EndpointName="e", VariantName="m") == [1.0]


def test_output_that_cannot_be_written_is_told_in_the_failure_object_and_the_log(yard):
    yard.serve(output={**OUTPUT, "S3OutputPath": "s3://nowhere-at-all/x"})
    answer = yard.send(b"1")
    yard.driver.settle()
    assert "nowhere-at-all" in yard.read(answer["FailureLocation"])["Body"].read().decode()
    assert yard.metric("ResponseUploadFailures", EndpointName="e", VariantName="m") == [1.0]
    assert answer["InferenceId"] in yard.log_line() and "Inference request failed" in yard.log_line()


def test_a_model_that_dies_of_a_request_gets_it_three_times(yard):
    yard.serve()
    answer = yard.send(b"die")
    yard.driver.settle()
    assert "called 3 times" in yard.read(answer["FailureLocation"])["Body"].read().decode()
    assert sum(box.requests for box in yard.runtime.running()) == 3


def test_invocation_timeout(yard):
    yard.serve()
    answer = yard.send(b"sleep 20", InvocationTimeoutSeconds=1)
    yard.driver.settle()
    assert "within the 1 seconds" in yard.read(answer["FailureLocation"])["Body"].read().decode()


def test_most_at_once_per_instance(yard):
    yard.serve(most=2)
    for _ in range(6):
        yard.send(b"sleep 0.3")
    most = []

    def watch():
        while not done.is_set():
            rows = yard.platform.async_queue.db.read("SELECT count(*) FROM async_requests WHERE state = 'running'")
            most.append(rows[0][0])

    done = threading.Event()
    thread = threading.Thread(target=watch)
    thread.start()
    yard.driver.settle()
    done.set()
    thread.join()
    assert max(most) == 2 and len(yard.results()) == 6


def test_each_kind_of_endpoint_takes_its_own_calls(yard):
    yard.serve()
    code, status, text = refused(yard.rt.invoke_endpoint, EndpointName="e", Body=b"x")
    assert (code, status) == ("ValidationError", 400) and "InvokeEndpointAsync" in text
    yard.deploy("plain", "p")
    code, status, text = refused(yard.rt.invoke_endpoint_async, EndpointName="plain", InputLocation="s3://inputs/x")
    assert (code, status) == ("ValidationError", 400) and "InvokeEndpoint API" in text
    code, status, text = refused(yard.rt.invoke_endpoint_async, EndpointName="none", InputLocation="s3://inputs/x")
    assert (code, status, text) == ("ValidationError", 400, "Endpoint none of account 123456789012 not found.")


@pytest.mark.parametrize(
    "request_", [{}, {"InputLocation": "https://inputs/x"}, {"InputLocation": "s3://inputs"}, {"InputLocation": "s3://i/x", "Body": b"x"}]
)
def test_bad_requests_are_refused_before_they_are_queued(yard, request_):
    yard.serve()
    code, status, _ = refused(yard.rt.invoke_endpoint_async, EndpointName="e", **request_)
    assert (code, status) == ("ValidationError", 400)
    assert yard.platform.async_queue.backlog() == {}


def test_bad_configurations_are_refused(yard):
    yard.model()
    rows = [{"VariantName": "m", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}]

    def create(output):
        return refused(
            yard.sm.create_endpoint_config, EndpointConfigName="c", ProductionVariants=rows, AsyncInferenceConfig={"OutputConfig": output}
        )

    assert create({"S3OutputPath": "https://x/y"})[0] == "ValidationException"
    assert "no place for responses" in create({})[2]


def test_describe_says_what_was_configured(yard):
    yard.serve(most=3)
    config = {"OutputConfig": OUTPUT, "ClientConfig": {"MaxConcurrentInvocationsPerInstance": 3}}
    assert yard.sm.describe_endpoint(EndpointName="e")["AsyncInferenceConfig"] == config
    assert yard.sm.describe_endpoint_config(EndpointConfigName="e")["AsyncInferenceConfig"] == config


def test_scale_to_zero_and_back_loses_nothing(yard):
    yard.serve()
    scale = yard.sm.update_endpoint_weights_and_capacities
    scale(EndpointName="e", DesiredWeightsAndCapacities=[{"VariantName": "m", "DesiredInstanceCount": 0}])
    there = yard.until("InService")
    assert (there["ProductionVariants"][0]["CurrentInstanceCount"], there["ProductionVariants"][0]["DesiredInstanceCount"]) == (0, 0)
    answers = [yard.send(b"%d" % n, key=f"k{n}") for n in range(3)]
    yard.driver.settle()
    assert yard.results() == []
    assert yard.metric("HasBacklogWithoutCapacity", "Maximum", EndpointName="e") == [1.0]
    assert yard.metric("ApproximateBacklogSize", "Maximum", EndpointName="e") == [3.0]
    assert yard.metric("ApproximateBacklogSizePerInstance", "Maximum", EndpointName="e") == [3.0]
    eventually(lambda: not yard.runtime.running(), 20)
    scale(EndpointName="e", DesiredWeightsAndCapacities=[{"VariantName": "m", "DesiredInstanceCount": 1}])
    yard.until("InService")
    yard.driver.settle()
    assert [yard.read(a["OutputLocation"])["Body"].read() for a in answers] == [b"m:0", b"m:1", b"m:2"]


def test_deleted_endpoint_fails_what_waits_and_its_successor_does_not_get_it(yard):
    yard.serve()
    answer = yard.send(b"old")
    yard.sm.delete_endpoint(EndpointName="e")
    eventually(lambda: yard.sm.list_endpoints()["Endpoints"] == [], 20)
    yard.sm.create_endpoint(EndpointName="e", EndpointConfigName="e")
    yard.until("InService")
    new = yard.rt.invoke_endpoint_async(EndpointName="e", Body=b"new")
    yard.driver.settle()
    assert "deleted" in yard.read(answer["FailureLocation"])["Body"].read().decode()
    assert yard.read(new["OutputLocation"])["Body"].read() == b"m:new"


def test_an_engine_that_is_gone_leaves_its_requests_to_the_next(yard):
    yard.serve()
    answers = [yard.send(b"%d" % n, key=f"k{n}") for n in range(4)]
    queue = yard.platform.async_queue
    dead = app.async_driver(yard.platform)
    (replica,) = [box.spec.id for box in yard.runtime.running()]
    key = yard.sm.describe_endpoint(EndpointName="e")["EndpointArn"]
    taken = queue.claim(key, 4, dead._owner.name, lambda running, most: [("m", replica)] * 4)
    assert len(taken) == 4
    # One of them was brought as far as its output.
    yard.s3.put_object(Bucket="results", Key=answers[0]["OutputLocation"].removeprefix("s3://results/"), Body=b"first")
    yard.driver.settle()
    assert yard.results() == [answers[0]["OutputLocation"].removeprefix("s3://results/")], "its owner lives"
    dead.close()
    yard.driver.settle()
    assert [yard.read(a["OutputLocation"])["Body"].read() for a in answers] == [b"first", b"m:1", b"m:2", b"m:3"]
    assert yard.metric("InvocationsProcessed", EndpointName="e", VariantName="m") == [4.0]


def test_role_that_may_not_write_fails_the_request_not_the_queue(yard):
    iam = yard.yard.root("iam")
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }
    yard.role = iam.create_role(RoleName="reader", AssumeRolePolicyDocument=json.dumps(trust))["Role"]["Arn"]
    allow = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": ["s3:Get*", "s3:List*"], "Resource": "*"}]}
    iam.put_role_policy(RoleName="reader", PolicyName="p", PolicyDocument=json.dumps(allow))
    yard.serve(output={**OUTPUT, "NotificationConfig": {"ErrorTopic": TOPICS["bad"]}})
    answer = yard.send(b"1")
    yard.driver.settle()
    assert yard.results() == [] and yard.published == [], answer
    assert yard.metric("ResponseUploadFailures", EndpointName="e", VariantName="m") == [1.0]
    assert yard.metric("NotificationFailures", EndpointName="e", VariantName="m") == [1.0]


def test_output_is_encrypted_with_the_key_of_the_configuration(yard):
    """By the role's rights: one that may write but not use the key writes nothing in the clear."""
    key = yard.yard.client("kms").create_key()["KeyMetadata"]["Arn"]
    yard.serve(output={**OUTPUT, "KmsKeyId": key})
    answer = yard.send(b"1")
    yard.driver.settle()
    there = yard.read(answer["OutputLocation"])
    assert (there["ServerSideEncryption"], there["SSEKMSKeyId"], there["Body"].read()) == ("aws:kms", key, b"m:1")
    yard.yard.client("kms").disable_key(KeyId=key)
    yard.send(b"2", key="second")
    yard.driver.settle()
    assert len(yard.results()) == 1
    assert yard.metric("ResponseUploadFailures", EndpointName="e", VariantName="m") == [1.0]


def test_captured_as_real_time_calls_are(yard):
    capture = {
        "EnableCapture": True,
        "InitialSamplingPercentage": 100,
        "DestinationS3Uri": "s3://results/captured",
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
    }
    yard.serve(DataCaptureConfig=capture)
    yard.send(b"1,2", InferenceId="c-1", CustomAttributes="who")
    yard.driver.settle()
    (key,) = [k for k in yard.results() if k.startswith("captured/e/m/")]
    (line,) = yard.s3.get_object(Bucket="results", Key=key)["Body"].read().splitlines()
    line = json.loads(line)
    assert line["captureData"]["endpointInput"]["data"] == "1,2"
    assert line["captureData"]["endpointOutput"]["data"] == "m:1,2"
    assert line["eventMetadata"]["inferenceId"] == "c-1"


def test_request_ttl_runs_on_the_platform_clock(tmp_path):
    clock = ManualClock()
    yard = Async(tmp_path, clock=clock)
    try:
        yard.serve()
        yard.sm.update_endpoint_weights_and_capacities(
            EndpointName="e", DesiredWeightsAndCapacities=[{"VariantName": "m", "DesiredInstanceCount": 0}]
        )
        yard.until("InService")
        answer = yard.send(b"1", RequestTTLSeconds=60)
        yard.send(b"2", key="k2")
        clock.advance(59)
        yard.driver.settle()
        assert yard.results() == []
        assert yard.metric("ApproximateAgeOfOldestRequest", "Maximum", EndpointName="e")[-1] == 59.0
        clock.advance(2)
        yard.driver.settle()
        assert yard.results() == [answer["FailureLocation"].removeprefix("s3://results/")]
        assert "RequestTTLSeconds (60 s)" in yard.read(answer["FailureLocation"])["Body"].read().decode()
        assert yard.metric("ExpiredRequests", EndpointName="e") == [1.0]
    finally:
        yard.close()
