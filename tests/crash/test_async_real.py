"""Asynchronous requests while gateway and engine are killed with -9: the benchmark of 10,000 at a small size; and counts that survive."""

from __future__ import annotations

import importlib
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from botocore.config import Config

from benchmarks.support.platform import Platform
from tests.support.realm import eventually

pytestmark = pytest.mark.slow
bench = importlib.import_module("benchmarks.async")


@pytest.fixture
def yard(tmp_path):
    made = Platform(tmp_path / "data")
    yield made
    made.stop()


def test_every_request_ends_in_one_object(yard):
    bench.deploy(yard, most=8)
    came = bench.storm(yard, 600, kills=2)
    assert came["acknowledged"] == came["different places"] == 600
    assert (came["missing"], came["written twice"], came["wrong bytes"], came["failures"]) == (0, 0, 0, 0)


def metric(yard, name, **dimensions):
    rows = [{"Name": k, "Value": v} for k, v in dimensions.items()]
    now = datetime.now(UTC)
    found = yard.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/SageMaker",
        MetricName=name,
        Dimensions=rows,
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(minutes=2),
        Period=60,
        Statistics=["Sum", "SampleCount"],
    )["Datapoints"]
    return sum(p["Sum"] for p in found)


def stress(yard, calls, threads, endpoint="plain"):
    """Every call answered; answers how many were made, by threads with clients of their own."""
    made = []

    def work():
        client = yard.client("sagemaker-runtime", config=Config(retries={"max_attempts": 0}, read_timeout=60))
        for _ in range(calls // threads):
            client.invoke_endpoint(EndpointName=endpoint, Body=b"1,2", ContentType="text/csv")
            made.append(1)

    running = [threading.Thread(target=work) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return len(made)


def plain(yard):
    bench.deploy(yard, most=1)
    sm = yard.client("sagemaker")
    rows = [{"VariantName": "v", "ModelName": "bench", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}]
    sm.create_endpoint_config(EndpointConfigName="plain", ProductionVariants=rows)
    sm.create_endpoint(EndpointName="plain", EndpointConfigName="plain")
    sm.get_waiter("endpoint_in_service").wait(EndpointName="plain", WaiterConfig={"Delay": 1, "MaxAttempts": 300})


def test_figures_are_what_was_sent_also_when_the_gateway_is_killed(yard):
    plain(yard)
    assert stress(yard, 2000, 20) == 2000
    eventually(lambda: metric(yard, "Invocations", EndpointName="plain", VariantName="v") == 2000, 20)
    assert stress(yard, 200, 4) == 200
    bench.kill(yard)  # within the second in which the last of them were counted
    time.sleep(0.2)
    eventually(lambda: metric(yard, "Invocations", EndpointName="plain", VariantName="v") == 2200, 60)
    assert metric(yard, "InvocationsPerInstance", EndpointName="plain", VariantName="v") == 2200
    assert metric(yard, "Invocation5XXErrors", EndpointName="plain", VariantName="v") == 0
