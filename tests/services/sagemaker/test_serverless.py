"""Serverless endpoints: real boto3, wire, splitter and engine; boxes are threads, the clock is by hand."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from modelyard.kernel.clock import ManualClock
from modelyard.services.sagemaker.endpoint.serverless import IDLE_SECONDS
from tests.support.hosting import Hosting, eventually


@pytest.fixture
def hosting(tmp_path):
    made = Hosting(tmp_path, clock=ManualClock(1_790_000_000.0))
    yield made
    made.close()


def config(hosting, name="c", model="m", **serverless):
    serverless = {"MemorySizeInMB": 2048, "MaxConcurrency": 3, **serverless}
    row = {"VariantName": "v", "ModelName": model, "ServerlessConfig": serverless}
    hosting.sm.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[row])
    return serverless


def create(hosting, **serverless):
    hosting.model("m")
    made = config(hosting, **serverless)
    hosting.sm.create_endpoint(EndpointName="e", EndpointConfigName="c")
    hosting.until("InService")
    return made


def call(hosting, body=b"x", client=None):
    return (client or hosting.rt).invoke_endpoint(EndpointName="e", Body=body)["Body"].read()


def impatient(hosting):
    """A client that tells of a refusal at once."""
    return hosting.yard.client("sagemaker-runtime", config=Config(retries={"total_max_attempts": 1}, max_pool_connections=50))


def running(hosting):
    return len(hosting.runtime.running())


def idle(hosting, seconds=IDLE_SECONDS + 1):
    hosting.platform.clock.advance(seconds)
    hosting.engine.ring()


def metric(hosting, name):
    dimensions = [{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "v"}]
    now = hosting.platform.clock.now()
    return hosting.platform.metrics.buckets("123456789012", "us-east-1", "AWS/SageMaker", name, dimensions, now - 3600, now + 60, 60)


def test_to_zero_and_back(hosting):
    made = create(hosting)
    row = hosting.sm.describe_endpoint(EndpointName="e")["ProductionVariants"][0]
    assert row["CurrentServerlessConfig"] == made and row["CurrentInstanceCount"] == 0 and "DesiredInstanceCount" not in row
    assert call(hosting) == b"m:x" and running(hosting) == 1
    idle(hosting)
    eventually(lambda: running(hosting) == 0)
    assert hosting.sm.describe_endpoint(EndpointName="e")["EndpointStatus"] == "InService"
    assert call(hosting) == b"m:x", "the call waits for an instance to start"
    assert running(hosting) == 1
    setup = eventually(lambda: metric(hosting, "ModelSetupTime"))
    overhead = eventually(lambda: metric(hosting, "OverheadLatency"))
    model = metric(hosting, "ModelLatency")
    assert setup[0].samples == 1 and setup[0].low > 1000.0, "microseconds the call waited for an instance"
    assert max(b.high for b in overhead) >= setup[0].high * 0.9 > max(b.high for b in model) * 0.5
    assert metric(hosting, "ServerlessConcurrentExecutionsUtilization")[0].high == pytest.approx(1 / 3)
    assert (hosting.runtime.boxes and next(iter(hosting.runtime.boxes.values()))).spec.memory_bytes == 2048 << 20


def test_use_keeps_an_instance(hosting):
    create(hosting)
    for _ in range(3):
        idle(hosting, IDLE_SECONDS / 2)
        assert call(hosting) == b"m:x"
        hosting.platform.invoker._loop.call_soon_threadsafe(hosting.platform.invoker._rotate)
        eventually(
            lambda: hosting.platform.store.db.read("SELECT count(*) FROM serverless_demand WHERE at = ?", (hosting.platform.clock.now(),))[
                0
            ][0]
        )
    assert len(hosting.runtime.starts) == 1, "the same instance all the time"


@pytest.fixture
def go(tmp_path):
    """A file that lets the calls go that are held until it is there; in the end it is."""
    path = tmp_path / "go"
    yield path
    path.touch()


def test_an_instance_for_each_call_and_no_more_than_allowed(hosting, go):
    create(hosting, MaxConcurrency=3)
    with ThreadPoolExecutor(8) as pool:
        busy = [pool.submit(call, hosting, f"hold {go}".encode()) for _ in range(3)]
        eventually(lambda: [box.requests for box in hosting.runtime.running()] == [1, 1, 1])
        with pytest.raises(ClientError) as problem:
            call(hosting, b"x", impatient(hosting))
        assert problem.value.response["Error"]["Code"] == "ThrottlingException"
        assert problem.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429
        go.touch()
        assert [f.result() for f in busy] == [b"held"] * 3
    counted = eventually(lambda: [b for b in metric(hosting, "Invocation4XXErrors") if b.total])
    assert sum(b.total for b in counted) == 1 and not any(b.total for b in metric(hosting, "Invocation5XXErrors")), "the caller's error"
    assert call(hosting) == b"m:x"
    assert all(box.requests <= 2 for box in hosting.runtime.running())
    idle(hosting)
    eventually(lambda: running(hosting) == 0)


def test_many_callers_lose_nothing(hosting):
    """From zero, more calls than instances at once: every one of the admitted is answered, by at most MaxConcurrency instances."""
    create(hosting, MaxConcurrency=4)
    idle(hosting)
    eventually(lambda: running(hosting) == 0)
    answers, gate, client = [], threading.Semaphore(4), impatient(hosting)

    def one(number):
        with gate:
            answers.append(call(hosting, f"b{number}".encode(), client))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(40)))
    assert sorted(answers) == sorted(f"m:b{n}".encode() for n in range(40)) and 1 <= running(hosting) <= 4


def test_provisioned_concurrency(hosting, go):
    create(hosting, MaxConcurrency=5, ProvisionedConcurrency=2)
    assert running(hosting) == 2
    idle(hosting, 3600.0)
    assert call(hosting) == b"m:x" and running(hosting) == 2 and len(hosting.runtime.starts) == 2
    eventually(lambda: metric(hosting, "ServerlessProvisionedConcurrencyUtilization"))
    assert metric(hosting, "ServerlessProvisionedConcurrencyUtilization")[0].high == 0.5
    assert metric(hosting, "ServerlessProvisionedConcurrencyInvocations")[0].total == 1.0
    with ThreadPoolExecutor(3) as pool:
        held = [pool.submit(call, hosting, f"hold {go}".encode()) for _ in range(3)]
        eventually(lambda: running(hosting) == 3)
        go.touch()
        assert [f.result() for f in held] == [b"held"] * 3
    spilled = eventually(lambda: metric(hosting, "ServerlessProvisionedConcurrencySpilloverInvocations"))
    assert spilled[0].total == 1.0
    wish = {"VariantName": "v", "ServerlessUpdateConfig": {"MaxConcurrency": 6, "ProvisionedConcurrency": 4}}
    hosting.sm.update_endpoint_weights_and_capacities(EndpointName="e", DesiredWeightsAndCapacities=[wish])
    there = hosting.until("InService")["ProductionVariants"][0]["CurrentServerlessConfig"]
    assert (there["MaxConcurrency"], there["ProvisionedConcurrency"], there["MemorySizeInMB"]) == (6, 4, 2048) and running(hosting) == 4


def test_serverless_to_instances_and_back(hosting):
    create(hosting)
    row = {"VariantName": "v", "ModelName": "m", "InitialInstanceCount": 2, "InstanceType": "ml.m5.large"}
    hosting.sm.create_endpoint_config(EndpointConfigName="real", ProductionVariants=[row])
    hosting.sm.update_endpoint(EndpointName="e", EndpointConfigName="real")
    there = hosting.until("InService")["ProductionVariants"][0]
    assert there["CurrentInstanceCount"] == 2 and "CurrentServerlessConfig" not in there and call(hosting) == b"m:x"
    hosting.sm.update_endpoint(EndpointName="e", EndpointConfigName="c", RetainAllVariantProperties=True)
    assert "CurrentServerlessConfig" in hosting.until("InService")["ProductionVariants"][0]
    assert call(hosting) == b"m:x"
    eventually(lambda: running(hosting) == 1)


def test_a_container_that_dies_in_a_cold_start(hosting):
    """The instance is started again; the call that waits gets its answer."""
    create(hosting)
    idle(hosting)
    eventually(lambda: running(hosting) == 0)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(call, hosting)
        eventually(lambda: hosting.runtime.running())
        assert waiting.result(20) == b"m:x"


CAPTURE = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 100,
    "DestinationS3Uri": "s3://models/c",
    "CaptureOptions": [{"CaptureMode": "Input"}],
}
VPC = {"SecurityGroupIds": ["sg-1"], "Subnets": ["s-1"]}
GOOD = {"MemorySizeInMB": 1024, "MaxConcurrency": 2}
WRONG = [
    ([{**GOOD, "MemorySizeInMB": 1500}], {}, {}, "MemorySizeInMB of ServerlessConfig is 1500"),
    ([{**GOOD, "MemorySizeInMB": 7168}], {}, {}, "6144"),
    ([{**GOOD, "MaxConcurrency": 201}], {}, {}, "200"),
    ([{**GOOD, "ProvisionedConcurrency": 3}], {}, {}, "less than or equal to MaxConcurrency"),
    ([GOOD, GOOD], {}, {}, "one production variant"),
    ([GOOD], {"InstanceType": "ml.m5.large"}, {}, "InstanceType cannot be specified"),
    ([GOOD], {}, {"VpcConfig": VPC}, "VpcConfig"),
    ([GOOD], {}, {"DataCaptureConfig": CAPTURE}, "DataCaptureConfig"),
]


def test_what_serverless_does_not_have(hosting):
    hosting.model("m")
    for configs, of_variant, of_config, text in WRONG:
        rows = [{"VariantName": f"v{n}", "ModelName": "m", "ServerlessConfig": s, **of_variant} for n, s in enumerate(configs)]
        with pytest.raises(ClientError, match=text) as problem:
            hosting.sm.create_endpoint_config(EndpointConfigName="bad", ProductionVariants=rows, **of_config)
        assert problem.value.response["Error"]["Code"] == "ValidationException"


def test_counts_of_serverless_variants_are_refused(hosting):
    create(hosting)
    for wish, text in [
        ({"DesiredInstanceCount": 2}, "DesiredInstanceCount cannot be specified"),
        ({"ServerlessUpdateConfig": {"ProvisionedConcurrency": 9}}, "less than or equal to MaxConcurrency"),
    ]:
        with pytest.raises(ClientError, match=text):
            hosting.sm.update_endpoint_weights_and_capacities(EndpointName="e", DesiredWeightsAndCapacities=[{"VariantName": "v", **wish}])
    with pytest.raises(ClientError, match="serverless variants have no instances"):
        hosting.yard.client("application-autoscaling").register_scalable_target(
            ServiceNamespace="sagemaker", ResourceId="endpoint/e/variant/v", ScalableDimension="sagemaker:variant:DesiredInstanceCount", MinCapacity=1, MaxCapacity=2,
        )  # fmt: skip
