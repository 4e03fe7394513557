"""Endpoints from create to delete: real store, engine and HTTP over unix sockets; boxes are threads."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from modelyard.kernel.errors import ApiError
from modelyard.services.sagemaker.endpoint import operations
from modelyard.services.sagemaker_runtime.invoke_endpoint import invoke_endpoint
from modelyard.serving.invoker import Invoker
from tests.support.hosting import World, eventually

ARN = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/e"


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    world.start_engine()
    yield world
    world.stop()


def deploy(world, count=1, **env):
    world.model("a", **env)
    world.config("c", ("a", 1.0, count))
    world.sm.create_endpoint(EndpointName="e", EndpointConfigName="c")


@contextlib.contextmanager
def serving(world):
    """An invoker as a gateway has it; on the loop that runs the test."""
    invoker = Invoker(world.store, world.platform.clock, world.metrics.put)
    invoker.start()
    world.platform.parts["invoker"] = invoker
    world.bells.append(invoker.ring)
    yield invoker
    world.bells.remove(invoker.ring)
    invoker.stop()


async def predict(world, body=b"x", **more):
    return await invoke_endpoint(world.call("sagemaker-runtime", "InvokeEndpoint"), {"EndpointName": "e", "Body": body, **more})


async def on_thread(function, *args, **kwargs):
    return await asyncio.to_thread(function, *args, **kwargs)


def refusal(function, *args, **kwargs):
    with pytest.raises(ApiError) as caught:
        function(*args, **kwargs)
    return caught.value.code, caught.value.message


def gone(world):
    try:
        world.sm.describe_endpoint(EndpointName="e")
    except ApiError as problem:
        return problem.code, problem.message
    return None


async def test_create_serve_delete(world):
    await on_thread(deploy, world, count=2)
    there = await on_thread(world.until, "InService")
    [variant] = there["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"], variant["CurrentWeight"]) == (2, 2, 1.0)
    assert there["EndpointArn"] == ARN and there["EndpointConfigName"] == "c" and "FailureReason" not in there
    assert len(world.runtime.running()) == 2
    with serving(world):
        answer = await predict(world, b"5.1,3.5", ContentType="text/csv", Accept="text/csv", CustomAttributes="trace")
        assert answer["Body"] == b"a:5.1,3.5" and answer["InvokedProductionVariant"] == "a"
        assert answer["ContentType"] == "text/csv" and answer["CustomAttributes"] == "trace-back"
        await on_thread(world.sm.delete_endpoint, EndpointName="e")
        assert await on_thread(eventually, lambda: gone(world)) == ("ValidationException", f'Could not find endpoint "{ARN}".')
        with pytest.raises(ApiError, match="Endpoint e of account 123456789012 not found"):
            await predict(world)
    assert world.runtime.ids() == []
    assert list((world.settings.data / "endpoints").iterdir()) == []
    assert list(world.settings.socket_dir.iterdir()) == []


def test_describe_at_once_and_after_delete(world):
    deploy(world)
    assert world.sm.describe_endpoint(EndpointName="e")["EndpointStatus"] in ("Creating", "InService")
    world.until("InService")
    world.sm.delete_endpoint(EndpointName="e")
    assert gone(world) or world.status() == "Deleting"


def test_second_name(world):
    deploy(world)
    assert refusal(world.sm.create_endpoint, EndpointName="E", EndpointConfigName="c") == (
        "ValidationException",
        f'Cannot create already existing endpoint "{ARN}".',
    )


def test_log_goes_to_the_endpoints_group(world):
    deploy(world)
    world.until("InService")
    group = eventually(lambda: world.logs.group("123456789012", "us-east-1", "/aws/sagemaker/Endpoints/e"))
    [stream] = world.logs.streams(group)
    assert stream.name.startswith("a/i-")


async def test_update_drops_no_request(world):
    await on_thread(deploy, world, count=2)
    await on_thread(world.until, "InService")
    world.model("b")
    world.config("c2", ("b", 1.0, 2))
    seen, stop = [], asyncio.Event()

    async def client():
        while not stop.is_set():
            answer = await predict(world, b"sleep 0.05" if len(seen) % 7 == 0 else b"x")
            seen.append(answer["InvokedProductionVariant"])

    with serving(world):
        clients = [asyncio.create_task(client()) for _ in range(6)]
        await asyncio.sleep(0.2)
        await on_thread(world.sm.update_endpoint, EndpointName="e", EndpointConfigName="c2")
        assert await on_thread(world.status) == "Updating"
        there = await on_thread(world.until, "InService")
        await on_thread(eventually, lambda: len(world.runtime.running()) == 2)
        await asyncio.sleep(0.2)
        stop.set()
        await asyncio.gather(*clients)
    assert there["EndpointConfigName"] == "c2" and [v["VariantName"] for v in there["ProductionVariants"]] == ["b"]
    assert seen[0] == "a" and seen[-1] == "b" and len(seen) > 50
    assert {box.name for box in world.runtime.running()} == {"b"}


async def test_request_in_flight_outlives_the_update(world):
    """The old replica is stopped only after its last answer."""
    await on_thread(deploy, world)
    await on_thread(world.until, "InService")
    world.model("b")
    world.config("c2", ("b", 1.0, 1))
    with serving(world):
        slow = asyncio.create_task(predict(world, b"sleep 1.0"))
        await asyncio.sleep(0.1)
        await on_thread(world.sm.update_endpoint, EndpointName="e", EndpointConfigName="c2")
        await on_thread(world.until, "InService")
        assert (await predict(world))["Body"] == b"b:x"
        assert (await slow)["Body"] == b"slept"
        await on_thread(eventually, lambda: {box.name for box in world.runtime.running()} == {"b"})


async def test_failing_update_keeps_the_old_serving(world):
    await on_thread(deploy, world)
    await on_thread(world.until, "InService")
    world.model("b", START="crash")
    world.config("c2", ("b", 1.0, 1))
    with serving(world):
        await on_thread(world.sm.update_endpoint, EndpointName="e", EndpointConfigName="c2")
        there = await on_thread(world.until, "InService")
        assert "production variant b did not pass the ping health check" in there["FailureReason"]
        assert there["EndpointConfigName"] == "c"
        assert (await predict(world))["Body"] == b"a:x"
        await on_thread(eventually, lambda: len(world.runtime.ids()) == 1)
        world.model("d")
        world.config("c3", ("d", 1.0, 1))
        await on_thread(world.sm.update_endpoint, EndpointName="e", EndpointConfigName="c3")
        there = await on_thread(world.until, "InService")
        assert "FailureReason" not in there and there["EndpointConfigName"] == "c3"


def test_never_healthy_fails_with_the_reason_of_aws(world):
    world.model("a", PING="never")
    world.config("c", ("a", 1.0, 1))
    spec = world.store.get("endpoint-config", "123456789012", "us-east-1", "c")
    world.store.request(
        spec, {"ProductionVariants": [{**spec.spec["ProductionVariants"][0], "ContainerStartupHealthCheckTimeoutInSeconds": 1}]}
    )
    world.sm.create_endpoint(EndpointName="e", EndpointConfigName="c")
    there = world.until("Failed")
    assert there["FailureReason"] == (
        "The primary container for production variant a did not pass the ping health check. Please check CloudWatch logs for this endpoint."
    )
    eventually(lambda: world.runtime.ids() == [])
    code, message = refusal(world.sm.update_endpoint, EndpointName="e", EndpointConfigName="c")
    assert code == "ValidationException" and "Failed" in message
    world.sm.delete_endpoint(EndpointName="e")
    eventually(lambda: gone(world))


def test_crash_at_start_is_tried_three_times(world):
    deploy(world, START="crash")
    world.until("Failed")
    assert len(world.runtime.starts) == 3


async def test_crashed_replica_comes_back(world):
    await on_thread(deploy, world, count=2)
    await on_thread(world.until, "InService")
    with serving(world):
        world.runtime.running()[0].end(1)
        for _ in range(20):
            assert (await predict(world))["Body"] == b"a:x"
        await on_thread(eventually, lambda: len(world.runtime.running()) == 2)
        await on_thread(
            eventually, lambda: world.sm.describe_endpoint(EndpointName="e")["ProductionVariants"][0]["CurrentInstanceCount"] == 2
        )
    assert len(world.runtime.starts) == 3


@pytest.mark.parametrize("data, reason", [(None, "Failed to download model data"), (b"no tar", "Failed to extract model data archive")])
def test_bad_model_data(world, data, reason):
    world.model("a")
    world.config("c", ("a", 1.0, 1))
    if data is None:
        world.objects.clear()
    else:
        world.objects["models", "m/model.tar.gz"] = data
    world.sm.create_endpoint(EndpointName="e", EndpointConfigName="c")
    assert world.until("Failed")["FailureReason"].startswith(reason)


def test_delete_while_creating(world):
    deploy(world, PING="never")
    eventually(lambda: world.runtime.running())
    world.sm.delete_endpoint(EndpointName="e")
    assert world.status() == "Deleting"
    world.sm.delete_endpoint(EndpointName="e")
    eventually(lambda: gone(world))
    assert world.runtime.ids() == []
    deploy_again = world.sm.create_endpoint(EndpointName="e", EndpointConfigName="c")
    assert deploy_again["EndpointArn"] == ARN


def test_update_while_in_progress_is_refused(world):
    deploy(world, PING="never")
    said = ("ValidationException", f'Cannot update in-progress endpoint "{ARN}".')
    assert refusal(world.sm.update_endpoint, EndpointName="e", EndpointConfigName="c") == said
    wish = [{"VariantName": "a", "DesiredWeight": 2.0}]
    assert refusal(world.sm.update_endpoint_weights_and_capacities, EndpointName="e", DesiredWeightsAndCapacities=wish) == said


async def test_weights_and_capacities(world):
    world.model("a")
    world.model("b")
    world.config("c", ("a", 9.0, 1), ("b", 1.0, 1))
    world.sm.create_endpoint(EndpointName="e", EndpointConfigName="c")
    await on_thread(world.until, "InService")
    first = set(world.runtime.starts)
    wish = [{"VariantName": "a", "DesiredWeight": 0.0}, {"VariantName": "b", "DesiredInstanceCount": 3}]
    world.sm.update_endpoint_weights_and_capacities(EndpointName="e", DesiredWeightsAndCapacities=wish)
    there = await on_thread(world.until, "InService")
    shown = {v["VariantName"]: (v["CurrentWeight"], v["CurrentInstanceCount"]) for v in there["ProductionVariants"]}
    assert shown == {"a": (0.0, 1), "b": (1.0, 3)}
    assert first < set(world.runtime.starts) and len(world.runtime.starts) == 4, "replicas that stay are not started again"
    with serving(world):
        assert {(await predict(world))["InvokedProductionVariant"] for _ in range(30)} == {"b"}
        assert (await predict(world, TargetVariant="a"))["InvokedProductionVariant"] == "a"
    world.sm.update_endpoint_weights_and_capacities(
        EndpointName="e", DesiredWeightsAndCapacities=[{"VariantName": "b", "DesiredInstanceCount": 1}]
    )
    await on_thread(world.until, "InService")
    await on_thread(eventually, lambda: len(world.runtime.running()) == 2)
    code, _ = refusal(
        world.sm.update_endpoint_weights_and_capacities,
        EndpointName="e",
        DesiredWeightsAndCapacities=[{"VariantName": "z", "DesiredWeight": 1.0}],
    )
    assert code == "ValidationException"


def test_update_that_retains_counts_and_weights(world):
    deploy(world)
    world.until("InService")
    world.sm.update_endpoint_weights_and_capacities(
        EndpointName="e", DesiredWeightsAndCapacities=[{"VariantName": "a", "DesiredInstanceCount": 2}]
    )
    world.until("InService")
    world.config("c2", ("a", 5.0, 1))
    world.sm.update_endpoint(
        EndpointName="e",
        EndpointConfigName="c2",
        RetainAllVariantProperties=True,
        ExcludeRetainedVariantProperties=[{"VariantPropertyType": "DesiredWeight"}],
    )
    [variant] = world.until("InService")["ProductionVariants"]
    assert (variant["CurrentWeight"], variant["CurrentInstanceCount"]) == (5.0, 2)


async def test_gateway_restart_needs_no_engine(world):
    await on_thread(deploy, world)
    await on_thread(world.until, "InService")
    world.engine.stop()
    for _ in range(2):
        with serving(world):
            assert (await predict(world))["Body"] == b"a:x"


def test_describe_waits_for_the_end_of_an_update_not_for_its_begin(world):
    """The answer is held until the event after the one that says Updating."""
    deploy(world)
    world.until("InService")
    world.engine.stop()
    world.sm.update_endpoint(EndpointName="e", EndpointConfigName="c")
    endpoint = operations.the_endpoint(world.call("sagemaker", "DescribeEndpoint"), "e")
    call = world.call("sagemaker", "DescribeEndpoint")
    assert operations.describe_endpoint(call, {"EndpointName": "e"})["EndpointStatus"] == "Updating"
    assert call.held == (endpoint.uid, endpoint.revision + 1)


def test_quota(world):
    world.model("a")
    world.config("c", ("a", 1.0, 33))
    code, message = refusal(world.sm.create_endpoint, EndpointName="e", EndpointConfigName="c")
    assert code == "ResourceLimitExceeded" and "'ml.m5.large for endpoint usage' is 32 Instances" in message
    world.config("c2", ("a", 1.0, 1))
    world.sm.create_endpoint(EndpointName="e", EndpointConfigName="c2")
    world.until("InService")
    code, message = refusal(
        world.sm.update_endpoint_weights_and_capacities,
        EndpointName="e",
        DesiredWeightsAndCapacities=[{"VariantName": "a", "DesiredInstanceCount": 33}],
    )
    assert code == "ResourceLimitExceeded" and world.status() == "InService"


def test_list(world):
    world.model("a")
    world.config("c", ("a", 1.0, 1))
    for name in ("x1", "x2", "y1"):
        world.sm.create_endpoint(EndpointName=name, EndpointConfigName="c")
    rows = world.sm.list_endpoints(NameContains="x", SortBy="Name", SortOrder="Ascending")["Endpoints"]
    assert [r["EndpointName"] for r in rows] == ["x1", "x2"]
    page = world.sm.list_endpoints(MaxResults=2)
    rest = world.sm.list_endpoints(MaxResults=2, NextToken=page["NextToken"])
    assert len(page["Endpoints"]) == 2 and len(rest["Endpoints"]) == 1 and "NextToken" not in rest
