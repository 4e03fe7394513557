"""Patient describes: the gateway holds the answer until the status changes, without a thread."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from modelyard.kernel.clock import SystemClock
from modelyard.kernel.database import SQLite
from modelyard.kernel.dispatch import Dispatch
from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.service import Service
from modelyard.kernel.store import Step, Store
from modelyard.kernel.wake import Watch
from modelyard.wire.gateway import Gateway
from tests.support import inproc
from tests.support.doors import make_platform

JOB = Lifecycle("job", "InProgress", {"InProgress": {"Completed"}})
sagemaker = Service("sagemaker")
CALLS = []


@sagemaker.operation
def describe_endpoint(call, request):
    CALLS.append(threading.current_thread().name)
    record = call.store.get("job", call.account, call.region, request["EndpointName"])
    if record is None:
        raise sagemaker.error.ResourceNotFound("gone")
    if record.status == "InProgress":
        call.hold(record)
    return {
        "EndpointName": record.name,
        "EndpointArn": "a" * 20,
        "EndpointStatus": "Creating" if record.status == "InProgress" else "InService",
    } | {
        "CreationTime": 1.0,
        "LastModifiedTime": 1.0,
    }


@pytest.fixture
def world(tmp_path):
    def make(patience):
        platform = make_platform(sagemaker, patience=patience)
        platform.store = Store(SQLite(tmp_path / "store.db", durable=False), SystemClock())
        platform.dispatch = Dispatch(platform)
        job = platform.store.create(JOB, account="123456789012", region="us-east-1", name="e", arn="arn", spec={})
        return Gateway(platform, watch=Watch(platform.store)), platform.store, job

    CALLS.clear()
    return make


def describe(door, meanwhile=lambda: None):
    client = inproc.client(door, "sagemaker")
    threading.Timer(0.4, meanwhile).start()
    began = time.monotonic()
    said = client.describe_endpoint(EndpointName="e")["EndpointStatus"]
    return said, time.monotonic() - began


def test_an_answer_waits_for_the_next_status(world):
    door, store, job = world(5.0)
    said, took = describe(door, lambda: store.apply(JOB, job, Step("Completed"), None))
    assert said == "InService" and 0.3 < took < 2.5 and len(CALLS) == 2


def test_patience_ends_and_zero_is_none(world):
    door, _, _ = world(0.4)
    said, took = describe(door)
    assert said == "Creating" and took < 2 and len(CALLS) == 2
    door.platform.settings.__dict__["patience"] = 0.0
    CALLS.clear()
    assert describe(door)[0] == "Creating" and len(CALLS) == 1


def test_a_record_that_goes_away_is_told(world):
    door, store, job = world(5.0)
    with pytest.raises(Exception, match="gone"):
        describe(door, lambda: store.delete(job))


def test_waiting_holds_no_thread(world):
    door, store, job = world(60.0)

    async def many():
        from tests.wire.test_sigv4 import sign

        def ask():
            request = sign(
                headers={"X-Amz-Target": "SageMaker.DescribeEndpoint", "Content-Type": "application/x-amz-json-1.1"},
                body=b'{"EndpointName":"e"}',
            )
            return asyncio.ensure_future(door.handle(request))

        waiting = [ask() for _ in range(200)]
        async with asyncio.timeout(50):
            while len(CALLS) < 200:
                await asyncio.sleep(0.01)
        assert not any(task.done() for task in waiting)
        store.apply(JOB, job, Step("Completed"), None)
        answers = await asyncio.gather(*waiting)
        assert all(b"InService" in answer.body for answer in answers)

    inproc.loop().run(many())
