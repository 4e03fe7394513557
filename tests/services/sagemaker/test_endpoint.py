"""Endpoints from create to delete: real store, engine and HTTP over unix sockets; boxes are threads."""

from __future__ import annotations

import asyncio

import pytest

from modelyard.kernel.errors import ApiError
from modelyard.serving.invoker import Invoker
from modelyard.services.sagemaker_runtime.invoke_endpoint import invoke_endpoint
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


async def serve(world) -> Invoker:
    invoker = Invoker(world.store, world.platform.clock, world.metrics.put)
    invoker.start()
    world.platform.parts["invoker"] = invoker
    world.bells.append(invoker.ring)
    return invoker


async def predict(world, body=b"x", **more):
    return await invoke_endpoint(world.call("sagemaker-runtime", "InvokeEndpoint"), {"EndpointName": "e", "Body": body, **more})


def test_create_serve_delete(world):
    deploy(world, count=2)
    first = world.sm.describe_endpoint(EndpointName="e")
    assert first["EndpointStatus"] in ("Creating", "InService")
    there = world.until("InService")
    [variant] = there["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"], variant["CurrentWeight"]) == (2, 2, 1.0)
    assert there["EndpointArn"] == ARN and there["EndpointConfigName"] == "c" and "FailureReason" not in there
    assert len(world.runtime.running()) == 2

    async def use():
        invoker = await serve(world)
        answer = await predict(world, b"5.1,3.5", ContentType="text/csv", Accept="text/csv", CustomAttributes="trace")
        assert answer["Body"] == b"a:5.1,3.5" and answer["InvokedProductionVariant"] == "a"
        assert answer["ContentType"] == "text/csv" and answer["CustomAttributes"] == "trace-back"
        invoker.stop()

    asyncio.run(use())
    world.sm.delete_endpoint(EndpointName="e")
    with pytest.raises(AssertionError, match="Could not find endpoint"):
        eventually(lambda: gone(world))
        raise AssertionError(gone(world))
    assert world.runtime.ids() == []
    assert world.store.routes(ARN)[1] is None


def gone(world):
    try:
        world.sm.describe_endpoint(EndpointName="e")
    except ApiError as problem:
        assert problem.code == "ValidationException"
        return problem.message
    return None
