"""Shadow variants by boto3: real wire, store, engine, splitter and HTTP; boxes are threads."""

from __future__ import annotations

import json
import threading
import time

import pytest
from botocore.exceptions import ClientError

from modelyard.serving import shadow as copies
from modelyard.serving.meter import DROPPED
from tests.support.clocks import JumpingClock
from tests.support.hosting import Hosting, eventually

CAPTURE = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 100,
    "DestinationS3Uri": "s3://captured/here",
    "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
    "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
}


@pytest.fixture
def hosting(tmp_path):
    made = Hosting(tmp_path, clock=JumpingClock())
    yield made
    made.close()


def row(model, weight=1.0, count=1, **more):
    shape = {"VariantName": model, "ModelName": model, "InitialInstanceCount": count, "InstanceType": "ml.m5.large"}
    return {**shape, "InitialVariantWeight": weight, **more}


def config(hosting, name, production, shadow=None, **more):
    extra = {"ShadowProductionVariants": [shadow]} if shadow else {}
    hosting.sm.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[production], **extra, **more)


def serve(hosting, weight=1.0, **more):
    hosting.model("live")
    hosting.model("candidate")
    config(hosting, "both", row("live"), row("candidate", weight), **more)
    hosting.sm.create_endpoint(EndpointName="e", EndpointConfigName="both")
    return hosting.until("InService")


def invoke(hosting, body=b"1,2", **more):
    return hosting.rt.invoke_endpoint(EndpointName="e", Body=body, ContentType="text/csv", **more)


def box(hosting, name):
    [found] = [b for b in hosting.runtime.running() if b.name == name]
    return found


def counted(hosting, metric, variant):
    dimensions = [{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": variant}]
    now = hosting.platform.clock.now()
    found = hosting.platform.metrics.buckets("123456789012", "us-east-1", "AWS/SageMaker", metric, dimensions, now - 3600, now + 3600, 1e12)
    return found[0].total if found else 0


def refused(call, **request):
    with pytest.raises(ClientError) as caught:
        call(**request)
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    return caught.value.response["Error"]["Message"]


# --- what happens to calls -------------------------------------------------------------------------


def test_callers_hear_production_and_the_shadow_gets_copies(hosting):
    there = serve(hosting)
    assert [v["VariantName"] for v in there["ProductionVariants"]] == ["live"]
    [shadow] = there["ShadowProductionVariants"]
    assert (shadow["VariantName"], shadow["CurrentWeight"], shadow["CurrentInstanceCount"]) == ("candidate", 1.0, 1)
    for number in range(20):
        answer = invoke(hosting, f"{number}".encode())
        assert answer["InvokedProductionVariant"] == "live"
        assert answer["Body"].read() == f"live:{number}".encode()
    eventually(lambda: box(hosting, "candidate").requests == 20)
    assert box(hosting, "live").requests == 20
    eventually(lambda: counted(hosting, "Invocations", "candidate") == counted(hosting, "Invocations", "live") == 20)
    assert counted(hosting, "ModelLatency", "candidate") > 0


def test_the_share_that_is_copied_is_the_weight_over_the_production_weight(hosting):
    serve(hosting, weight=0.3)
    for _ in range(400):
        invoke(hosting)
    eventually(lambda: counted(hosting, "Invocations", "live") == 400)
    assert 120 - 4 * 9.2 < box(hosting, "candidate").requests < 120 + 4 * 9.2


def test_captured_records_are_pairs(hosting):
    hosting.s3.create_bucket(Bucket="captured")
    kms = hosting.yard.client("kms")
    key = kms.create_key()["KeyMetadata"]["Arn"]
    kms.create_alias(AliasName="alias/captures", TargetKeyId=key)
    serve(hosting, DataCaptureConfig={**CAPTURE, "KmsKeyId": "alias/captures"})
    for number in range(5):
        invoke(hosting, f"{number}".encode(), InferenceId=f"call-{number}")

    def records(variant):
        hosting.platform.clock.advance(20)
        rows = hosting.s3.list_objects_v2(Bucket="captured", Prefix=f"here/e/{variant}/").get("Contents", [])
        lines = [
            json.loads(line) for r in rows for line in hosting.s3.get_object(Bucket="captured", Key=r["Key"])["Body"].read().splitlines()
        ]
        return {r["eventMetadata"]["eventId"]: r for r in lines}

    eventually(lambda: len(records("live")) == 5 and len(records("candidate")) == 5)
    live, candidate = records("live"), records("candidate")
    assert live.keys() == candidate.keys()
    for event, record in live.items():
        twin = candidate[event]
        assert twin["eventMetadata"]["inferenceId"] == record["eventMetadata"]["inferenceId"]
        assert twin["captureData"]["endpointInput"] == record["captureData"]["endpointInput"]
        sent = record["captureData"]["endpointInput"]["data"]
        assert record["captureData"]["endpointOutput"]["data"] == f"live:{sent}"
        assert twin["captureData"]["endpointOutput"]["data"] == f"candidate:{sent}"
        assert twin["eventMetadata"]["invocationSource"] == "ShadowExperiment" and "invocationSource" not in record["eventMetadata"]
    place = hosting.s3.list_objects_v2(Bucket="captured", Prefix="here/e/live/")["Contents"][0]["Key"]
    head = hosting.s3.head_object(Bucket="captured", Key=place)
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key)


def test_errors_and_streams_are_copied_too(hosting):
    serve(hosting)
    with pytest.raises(ClientError):
        invoke(hosting, b"status 500 no")
    stream = hosting.rt.invoke_endpoint_with_response_stream(EndpointName="e", Body=b"parts a b")["Body"]
    assert b"".join(e["PayloadPart"]["Bytes"] for e in stream) == b"ab"
    eventually(lambda: box(hosting, "candidate").requests == 2)
    eventually(lambda: counted(hosting, "Invocation5XXErrors", "candidate") == 1)


def test_nobody_calls_a_shadow_by_name(hosting):
    serve(hosting)
    with pytest.raises(ClientError, match="Variant candidate not found for endpoint e"):
        invoke(hosting, TargetVariant="candidate")


# --- what a shadow may not do to callers -------------------------------------------------------------


def test_a_slow_shadow_is_dropped_from_and_counted(hosting, monkeypatch):
    monkeypatch.setattr(copies, "MOST_PER_REPLICA", 3)
    serve(hosting)
    late(hosting, "candidate", 60_000)
    began = time.monotonic()
    for _ in range(30):
        assert invoke(hosting)["Body"].read() == b"live:1,2"
    assert time.monotonic() - began < 50, "the shadow takes a minute"
    eventually(lambda: counted(hosting, DROPPED, "candidate") == 27)
    assert counted(hosting, "Invocations", "candidate") == 0, "the three are under way"
    assert counted(hosting, "Invocations", "live") == 30


def test_bytes_under_way_are_bounded(hosting, monkeypatch):
    monkeypatch.setattr(copies, "MOST_BYTES", 1000)
    serve(hosting)
    assert invoke(hosting, b"x" * 2000)["Body"].read() == b"live:" + b"x" * 2000
    eventually(lambda: counted(hosting, DROPPED, "candidate") == 1)
    assert box(hosting, "candidate").requests == 0
    invoke(hosting, b"small")
    eventually(lambda: box(hosting, "candidate").requests == 1)


def test_a_dead_shadow_hurts_nobody(hosting):
    serve(hosting)
    box(hosting, "candidate").end(137)
    for _ in range(10):
        assert invoke(hosting)["Body"].read() == b"live:1,2"
    eventually(lambda: counted(hosting, "Invocation5XXErrors", "candidate") > 0)
    eventually(lambda: [b for b in hosting.runtime.running() if b.name == "candidate"])
    assert hosting.until("InService")
    eventually(lambda: (invoke(hosting), box(hosting, "candidate").requests > 0)[1])


def late(hosting, variant, milliseconds):
    """Calls of this variant wait at the splitter."""
    own = hosting.yard.client("modelyard")
    own.put_endpoint_fault(EndpointName="e", VariantName=variant, LatencyMilliseconds=milliseconds, DurationInSeconds=3600)
    tables = hosting.platform.invoker._tables
    eventually(lambda: all(s.variant.fault for s in tables["arn:aws:sagemaker:us-east-1:123456789012:endpoint/e"].shadows))


# --- deployments -----------------------------------------------------------------------------------


def test_updates_add_and_remove_shadows_without_a_failed_call(hosting):
    hosting.model("live")
    hosting.model("candidate")
    config(hosting, "alone", row("live"))
    config(hosting, "both", row("live"), row("candidate", count=2))
    hosting.sm.create_endpoint(EndpointName="e", EndpointConfigName="alone")
    assert "ShadowProductionVariants" not in hosting.until("InService")
    problems, stop = [], threading.Event()

    def call():
        while not stop.is_set():
            try:
                assert invoke(hosting)["Body"].read() == b"live:1,2"
            except Exception as problem:
                problems.append(problem)

    caller = threading.Thread(target=call)
    caller.start()
    try:
        hosting.sm.update_endpoint(EndpointName="e", EndpointConfigName="both")
        pending = hosting.sm.describe_endpoint(EndpointName="e")["PendingDeploymentSummary"]
        assert [v["VariantName"] for v in pending["ShadowProductionVariants"]] == ["candidate"]
        assert pending["ShadowProductionVariants"][0]["DesiredInstanceCount"] == 2
        assert hosting.until("InService")["ShadowProductionVariants"][0]["CurrentInstanceCount"] == 2
        eventually(lambda: sum(b.requests for b in hosting.runtime.running() if b.name == "candidate") > 3)
        hosting.sm.update_endpoint(EndpointName="e", EndpointConfigName="alone")
        assert "ShadowProductionVariants" not in hosting.until("InService")
        eventually(lambda: [b.name for b in hosting.runtime.running()] == ["live"])
    finally:
        stop.set()
        caller.join(10)
    assert not problems


def test_weights_and_capacities_of_a_shadow(hosting):
    serve(hosting)
    change = [{"VariantName": "candidate", "DesiredWeight": 0.0, "DesiredInstanceCount": 2}]
    hosting.sm.update_endpoint_weights_and_capacities(EndpointName="e", DesiredWeightsAndCapacities=change)
    [shadow] = hosting.until("InService")["ShadowProductionVariants"]
    assert (shadow["CurrentWeight"], shadow["CurrentInstanceCount"], shadow["DesiredInstanceCount"]) == (0.0, 2, 2)
    before = sum(b.requests for b in hosting.runtime.running() if b.name == "candidate")
    for _ in range(10):
        invoke(hosting)
    eventually(lambda: counted(hosting, "Invocations", "live") == 10)
    assert sum(b.requests for b in hosting.runtime.running() if b.name == "candidate") == before
    text = refused(
        hosting.sm.update_endpoint_weights_and_capacities,
        EndpointName="e",
        DesiredWeightsAndCapacities=[{"VariantName": "candidate", "DesiredInstanceCount": 0}],
    )
    assert "shadow variant candidate must be at least 1" in text


def test_a_shadow_that_cannot_come_up_fails_the_update_and_production_stays(hosting):
    hosting.model("live")
    hosting.model("candidate", START="crash")
    config(hosting, "alone", row("live"))
    config(hosting, "both", row("live"), row("candidate"))
    hosting.sm.create_endpoint(EndpointName="e", EndpointConfigName="alone")
    hosting.until("InService")
    hosting.sm.update_endpoint(EndpointName="e", EndpointConfigName="both")
    there = hosting.until("InService")
    assert there["EndpointConfigName"] == "alone" and "candidate" in there["FailureReason"]
    assert invoke(hosting)["Body"].read() == b"live:1,2"


# --- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "more, text",
    [
        ({"ShadowProductionVariants": [row("b"), row("c")]}, "you can only specify one variant for ProductionVariants and one variant"),
        ({"ProductionVariants": [row("a"), row("c")]}, "you can only specify one variant for ProductionVariants and one variant"),
        ({"ShadowProductionVariants": [row("a")]}, "must be unique"),
        ({"ShadowProductionVariants": [row("gone")]}, "Could not find model"),
        ({"ShadowProductionVariants": [{**row("b"), "InstanceType": "ml.inf1.xlarge"}]}, "uses an Inf1 instance"),
        (
            {
                "ShadowProductionVariants": [
                    {"VariantName": "b", "ModelName": "b", "ServerlessConfig": {"MemorySizeInMB": 1024, "MaxConcurrency": 1}}
                ]
            },
            "is serverless",
        ),
        ({"ShadowProductionVariants": [{"VariantName": "b", "ModelName": "b"}]}, "InstanceType is required for shadow variant b"),
        (
            {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://b/o"}}},
            "not supported when specifying an AsyncInferenceConfig",
        ),
    ],
)
def test_bad_configurations(hosting, more, text):
    for name in ("a", "b", "c"):
        hosting.model(name)
    request = {"EndpointConfigName": "x", "ProductionVariants": [row("a")], "ShadowProductionVariants": [row("b")], **more}
    assert text in refused(hosting.sm.create_endpoint_config, **request)


def test_models_of_several_containers_have_no_shadow(hosting):
    from tests.support.hosting import IMAGE

    hosting.model("live")
    container = {"Image": IMAGE, "ModelDataUrl": "s3://models/m/model.tar.gz"}
    hosting.sm.create_model(ModelName="two", Containers=[container, container], ExecutionRoleArn=hosting.role)
    text = refused(
        hosting.sm.create_endpoint_config,
        EndpointConfigName="x",
        ProductionVariants=[row("live")],
        ShadowProductionVariants=[row("two")],
    )
    assert "model two has several containers" in text


def test_a_configuration_tells_its_shadow(hosting):
    hosting.model("a")
    hosting.model("b")
    bare = {k: v for k, v in row("b").items() if k != "InitialVariantWeight"}
    config(hosting, "x", row("a"), bare)
    [told] = hosting.sm.describe_endpoint_config(EndpointConfigName="x")["ShadowProductionVariants"]
    assert (told["VariantName"], told["InitialVariantWeight"]) == ("b", 1.0)
