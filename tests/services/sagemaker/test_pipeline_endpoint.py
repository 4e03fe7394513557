"""Endpoints whose models have several containers: serial pipelines and direct invocation, by an unmodified boto3 client."""

from __future__ import annotations

import ast

import pytest
from botocore.exceptions import ClientError

from tests.support.hosting import IMAGE, Hosting, eventually, user_with


@pytest.fixture(scope="module")
def hosting(tmp_path_factory):
    made = Hosting(tmp_path_factory.mktemp("pipes"))
    deploy(made, "serial", "one", "two", "three")
    deploy(made, "direct", "one", "two", mode="Direct", hostnames=True)
    yield made
    made.close()


def deploy(hosting, endpoint, *names, mode=None, hostnames=False, count=1, **env):
    containers = [{"Image": IMAGE, "ModelDataUrl": "s3://models/m/model.tar.gz", "Environment": {"NAME": name, **env}} for name in names]
    for container, name in zip(containers, names, strict=True):
        container |= {"ContainerHostname": name} if hostnames else {}
    more = {"InferenceExecutionConfig": {"Mode": mode}} if mode else {}
    hosting.sm.create_model(ModelName=endpoint, Containers=containers, ExecutionRoleArn=hosting.role, **more)
    row = {"VariantName": "v", "ModelName": endpoint, "InitialInstanceCount": count, "InstanceType": "ml.m5.large"}
    hosting.sm.create_endpoint_config(EndpointConfigName=endpoint, ProductionVariants=[row])
    hosting.sm.create_endpoint(EndpointName=endpoint, EndpointConfigName=endpoint)
    hosting.until("InService", endpoint)


def ask(hosting, body=b"x", endpoint="serial", **more):
    return hosting.rt.invoke_endpoint(EndpointName=endpoint, Body=body, **more)["Body"].read().decode()


def refused(hosting, body=b"x", endpoint="serial", **more):
    with pytest.raises(ClientError) as caught:
        ask(hosting, body, endpoint, **more)
    return caught.value.response


def boxes(hosting, endpoint):
    found = {b.spec.id: b for b in hosting.runtime.running()}
    uids = [r.uid for r in hosting.platform.store.list("endpoint-replica") if r.spec["endpoint"] == endpoint]
    return [box for run, box in found.items() if run.rpartition("-")[0] in uids]


def test_each_container_sees_the_answer_of_the_one_before(hosting):
    assert ask(hosting, b"x") == "three:two:one:x"


def test_content_type_goes_along_and_accept_goes_to_the_last(hosting):
    first = dict(
        ast.literal_eval(ask(hosting, b"headers", ContentType="in/put", Accept="a/b").split(":", 2)[2])
    )  # it came back through the others
    assert first["content-type"] == "in/put" and "accept" not in first
    assert "accept" not in dict(ast.literal_eval(ask(hosting, b"then headers", Accept="a/b").partition(":")[2]))
    last = dict(ast.literal_eval(ask(hosting, b"then then headers", ContentType="in/put", Accept="a/b", CustomAttributes="mine")))
    assert last["content-type"] == "text/csv", "what container 2 answered"
    assert (last["accept"], last["x-amzn-sagemaker-custom-attributes"]) == ("a/b", "mine")
    answer = hosting.rt.invoke_endpoint(EndpointName="serial", Body=b"x", ContentType="in/put", Accept="a/b")
    assert answer["ContentType"] == "a/b" and answer["InvokedProductionVariant"] == "v"


@pytest.mark.parametrize("place, body", [(1, "status"), (2, "then status"), (3, "then then status")])
def test_an_error_names_its_container(hosting, place, body):
    said = refused(hosting, f"{body} 415 cannot read it".encode())
    assert said["Error"]["Code"] == "ModelError" and said["ResponseMetadata"]["HTTPStatusCode"] == 424
    assert said["Error"]["Message"].startswith(f'Received client error (415) from container-{place} with message "cannot read it".')
    assert (said["OriginalStatusCode"], said["OriginalMessage"]) == (415, "cannot read it")


def test_a_time_out_is_one_for_all_and_names_its_container(hosting, monkeypatch):
    from dataclasses import replace

    ask(hosting)
    tables = hosting.platform.invoker._tables
    arn = hosting.sm.describe_endpoint(EndpointName="serial")["EndpointArn"]
    quick = replace(tables[arn], variants=tuple(replace(v, timeout_s=0.4) for v in tables[arn].variants))
    monkeypatch.setitem(tables, arn, quick)
    said = refused(hosting, b"then sleep 5")
    assert "waiting for a response from container container-2." in said["Error"]["Message"] and said["OriginalStatusCode"] == 0


def test_streams_come_from_the_last_container(hosting):
    answer = hosting.rt.invoke_endpoint_with_response_stream(EndpointName="serial", Body=b"then then parts a b c")
    assert [e["PayloadPart"]["Bytes"] for e in answer["Body"]] == [b"a", b"b", b"c"]
    assert refused(hosting, b"then then parts a break")["Error"]["Code"] == "ModelError"


def test_logs_by_container(hosting):
    def streams():
        found = hosting.yard.client("logs").describe_log_streams(logGroupName="/aws/sagemaker/Endpoints/serial")["logStreams"]
        names = sorted(s["logStreamName"] for s in found)
        return names if len(names) == 3 else None

    names = eventually(streams)
    assert [n.split("/")[0] for n in names] == ["v"] * 3 and [n.split("/")[2] for n in names] == [
        "container-1",
        "container-2",
        "container-3",
    ]
    assert len({n.split("/")[1] for n in names}) == 1, "one instance"


def test_latency_by_container(hosting):
    ask(hosting)
    ask(hosting, endpoint="direct", TargetContainerHostname="two")
    cloudwatch = hosting.yard.client("cloudwatch")

    def found():
        metrics = cloudwatch.list_metrics(Namespace="AWS/SageMaker", MetricName="ContainerLatency")["Metrics"]
        dimensions = [{d["Name"]: d["Value"] for d in m["Dimensions"]} for m in metrics]
        names = {(d["EndpointName"], d["VariantName"], d["ContainerName"]) for d in dimensions}
        return names >= {("serial", "v", f"container-{n}") for n in (1, 2, 3)} | {("direct", "v", "two")}

    eventually(found)


def test_direct_asks_one_container(hosting):
    assert ask(hosting, endpoint="direct", TargetContainerHostname="two") == "two:x"
    assert ask(hosting, endpoint="direct", TargetContainerHostname="one") == "one:x"
    said = refused(hosting, b"status 500 sorry", "direct", TargetContainerHostname="two")
    assert said["Error"]["Message"].startswith('Received server error (500) from two with message "sorry".')


@pytest.mark.parametrize(
    "endpoint, more, text",
    [
        ("direct", {}, "is missing a target container hostname header"),
        ("direct", {"TargetContainerHostname": "four"}, "Container with hostname four not found for endpoint direct"),
        ("serial", {"TargetContainerHostname": "container-1"}, "is not configured for direct invocation"),
        ("serial", {"TargetModel": "a.tar.gz"}, "is not a multi-model endpoint and does not support target model header."),
        ("direct", {"TargetModel": "a.tar.gz", "TargetContainerHostname": "one"}, "is not a multi-model endpoint"),
    ],
)
def test_a_target_that_the_endpoint_has_not(hosting, endpoint, more, text):
    said = refused(hosting, endpoint=endpoint, **more)
    assert (said["Error"]["Code"], said["ResponseMetadata"]["HTTPStatusCode"]) == ("ValidationError", 400)
    assert text in said["Error"]["Message"]


def test_one_dead_container_is_started_again_and_the_others_stay(hosting):
    deploy(hosting, "mends", "one", "two")
    before = {b.name: b for b in boxes(hosting, "mends")}
    before["two"].end(1)

    def mended():
        now = {b.name: b for b in boxes(hosting, "mends")}
        return len(now) == 2 and now["two"] is not before["two"] and now

    now = eventually(mended)
    assert now["one"] is before["one"], "a healthy container goes on"

    def answers():
        try:
            return ask(hosting, endpoint="mends") == "two:one:x"
        except ClientError as problem:
            assert problem.response["Error"]["Code"] in ("ServiceUnavailable", "ModelError")

    eventually(answers)
    hosting.sm.delete_endpoint(EndpointName="mends")
    eventually(lambda: not boxes(hosting, "mends"))


def test_another_instance_answers_while_one_is_unwell(hosting):
    deploy(hosting, "two-of-them", "one", "two", count=2)
    victim = next(b for b in boxes(hosting, "two-of-them") if b.name == "two")
    victim.end(1)
    assert [ask(hosting, endpoint="two-of-them") for _ in range(30)] == ["two:one:x"] * 30


def test_a_container_that_never_answers_is_named_in_the_failure(hosting, monkeypatch):
    from modelyard.services.sagemaker.endpoint import replica

    decide = replica._start

    def quicker(record, seen):
        record.spec["startup_s"] = 0.3
        return decide(record, seen)

    monkeypatch.setattr(replica, "_start", quicker)
    containers = [{"Image": IMAGE}, {"Image": IMAGE, "Environment": {"PING": "never"}}]
    hosting.sm.create_model(ModelName="sick", Containers=containers, ExecutionRoleArn=hosting.role)
    row = {"VariantName": "v", "ModelName": "sick", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    hosting.sm.create_endpoint_config(EndpointConfigName="sick", ProductionVariants=[row])
    hosting.sm.create_endpoint(EndpointName="sick", EndpointConfigName="sick")
    reason = hosting.until("Failed", "sick")["FailureReason"]
    assert reason.startswith("The container-2 for production variant v did not pass the ping health check.")


def test_a_single_item_in_containers_is_served(hosting):
    deploy(hosting, "single", "alone")
    assert ask(hosting, endpoint="single") == "alone:x"


def test_what_goes_in_first_and_comes_out_last_is_captured(hosting):
    import json

    capture = {"EnableCapture": True, "InitialSamplingPercentage": 100, "DestinationS3Uri": "s3://models/captured"}
    capture |= {
        "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
        "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"]},
    }
    row = {"VariantName": "v", "ModelName": "serial", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    hosting.sm.create_endpoint_config(EndpointConfigName="captured", ProductionVariants=[row], DataCaptureConfig=capture)
    hosting.sm.create_endpoint(EndpointName="captured", EndpointConfigName="captured")
    hosting.until("InService", "captured")
    ask(hosting, b"x", "captured", ContentType="text/csv")
    hosting._on_loop(lambda: hosting.platform.invoker._capture.rotate(True))
    found = eventually(lambda: hosting.s3.list_objects_v2(Bucket="models", Prefix="captured/").get("Contents"))
    line = json.loads(hosting.s3.get_object(Bucket="models", Key=found[0]["Key"])["Body"].read().splitlines()[0])["captureData"]
    assert (line["endpointInput"]["data"], line["endpointOutput"]["data"]) == ("x", "three:two:one:x")


# --- bad containers ----------------------------------------------------------------------------------


@pytest.mark.parametrize("place, body", [(1, "die"), (2, "then die"), (3, "then then die")])
def test_a_container_that_hangs_up_is_named_and_the_others_are_unharmed(hosting, place, body):
    said = refused(hosting, body.encode())
    assert said["Error"]["Code"] == "ModelError" and said["OriginalStatusCode"] == 500
    assert f"from container-{place} with message" in said["Error"]["Message"]
    assert ask(hosting) == "three:two:one:x" and ask(hosting, endpoint="direct", TargetContainerHostname="one") == "one:x"


def test_the_largest_body_goes_through_and_a_larger_answer_is_an_error(hosting):
    most = 6_291_456
    assert len(ask(hosting, b"x" * (most - 14))) == most  # each container puts its name before it
    said = refused(hosting, b"x" * (most - 6))
    assert said["Error"]["Code"] == "ModelError" and "is larger than" in said["OriginalMessage"]
    assert "from container-2 with message" in said["Error"]["Message"], "one: and two: are 8 bytes"
    assert ask(hosting) == "three:two:one:x"


def test_a_client_that_hangs_up_in_mid_stream_leaves_nothing_busy(hosting):
    for _ in range(3):
        body = hosting.rt.invoke_endpoint_with_response_stream(EndpointName="serial", Body=b"then then parts " + b"a " * 50)["Body"]
        assert next(iter(body))["PayloadPart"]["Bytes"]
        body.close()
    eventually(lambda: not any(pool.in_use for pool in hosting.platform.invoker._replicas._pools.values()))
    assert ask(hosting) == "three:two:one:x"


def test_a_policy_can_name_the_containers(hosting):
    """The condition key sagemaker:TargetContainerHostname."""
    only = {"StringEquals": {"sagemaker:TargetContainerHostname": "two"}}
    client = user_with(hosting, "sagemaker-runtime", {"Action": "sagemaker:InvokeEndpoint", "Condition": only})
    assert client.invoke_endpoint(EndpointName="direct", Body=b"x", TargetContainerHostname="two")["Body"].read() == b"two:x"
    for more in ({"TargetContainerHostname": "one"}, {}):
        with pytest.raises(ClientError) as caught:
            client.invoke_endpoint(EndpointName="direct", Body=b"x", **more)
        assert caught.value.response["Error"]["Code"] == "AccessDeniedException"
