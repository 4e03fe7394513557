"""CPU, memory and disk of replicas in CloudWatch: of real processes, once a minute of platform time, by variant and by instance."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress

from botocore.exceptions import ClientError

from modelyard.kernel.clock import ManualClock
from modelyard.runtime.process.usage import of_trees
from modelyard.services.sagemaker.endpoint import usage
from tests.support.hosting import Hosting, eventually

NAMESPACE = "/aws/sagemaker/Endpoints"
BUSY = "import subprocess, sys, time\nchild = subprocess.Popen([sys.executable, '-c', 'while True: pass'])\nprint(child.pid, flush=True)\nchild.wait()"


def test_a_tree_counts_as_one():
    parent = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE)
    try:
        child = int(parent.stdout.readline())
        deadline = time.monotonic() + 20
        while of_trees([parent.pid])[parent.pid][0] < 0.3 and time.monotonic() < deadline:
            time.sleep(0.05)
        cpu_s, memory = of_trees([parent.pid])[parent.pid]
        assert cpu_s >= 0.3 and memory > 4 << 20
        os.kill(child, 9)
    finally:
        parent.kill()
        parent.wait()
    assert of_trees([parent.pid]) == {}


def test_figures_of_an_endpoint(tmp_path, monkeypatch):
    clock = ManualClock()
    monkeypatch.setattr(usage, "SHORTEST_REAL_SECONDS", 0.0)
    yard = Hosting(tmp_path, clock=clock)
    try:
        yard.deploy("e", MetricsConfig={"EnableEnhancedMetrics": True, "MetricPublishFrequencyInSeconds": 60})
        usage.measure(yard.platform)
        for _ in range(3):
            yard.rt.invoke_endpoint(EndpointName="e", Body=b"x")
        clock.advance(59)
        usage.measure(yard.platform)
        clock.advance(1)
        due = usage.measure(yard.platform)
        assert due == clock.now() + 60
        found = yard.yard.client("cloudwatch").list_metrics(Namespace=NAMESPACE)["Metrics"]
        plain = {m["MetricName"] for m in found if {d["Name"] for d in m["Dimensions"]} == {"EndpointName", "VariantName"}}
        assert plain == {"CPUUtilization", "MemoryUtilization", "DiskUtilization"}
        (instance,) = {d["Value"] for m in found for d in m["Dimensions"] if d["Name"] == "InstanceId"}
        assert instance.startswith("i-")
        samples = yard.yard.client("cloudwatch").get_metric_statistics(
            Namespace=NAMESPACE,
            MetricName="CPUUtilization",
            Dimensions=[{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "m"}],
            StartTime=clock.now() - 600,
            EndTime=clock.now() + 60,
            Period=60,
            Statistics=["SampleCount", "Sum"],
        )["Datapoints"]
        assert sum(s["SampleCount"] for s in samples) == 1 and samples[0]["Sum"] > 0
    finally:
        yard.close()


def test_invocations_by_instance(tmp_path):
    """EnableEnhancedMetrics: the figures of calls come once more for each instance, and add up."""
    yard = Hosting(tmp_path)
    try:
        yard.model("m")
        row = {"VariantName": "m", "ModelName": "m", "InitialInstanceCount": 2, "InstanceType": "ml.m5.large"}
        enhanced = {"EnableEnhancedMetrics": True}
        yard.sm.create_endpoint_config(EndpointConfigName="e", ProductionVariants=[row], MetricsConfig=enhanced)
        yard.sm.create_endpoint(EndpointName="e", EndpointConfigName="e")
        yard.until("InService")
        for number in range(20):
            with suppress(ClientError):
                yard.rt.invoke_endpoint(EndpointName="e", Body=b"status 500 no" if number == 0 else b"x")
        cloudwatch = yard.yard.client("cloudwatch")

        def sums(metric):
            found = {}
            for listed in cloudwatch.list_metrics(Namespace="AWS/SageMaker", MetricName=metric)["Metrics"]:
                names = {d["Name"]: d["Value"] for d in listed["Dimensions"]}
                now = yard.platform.clock.now()
                window = {"StartTime": now - 600, "EndTime": now + 60, "Period": 60, "Statistics": ["Sum", "Maximum"]}
                points = cloudwatch.get_metric_statistics(
                    Namespace="AWS/SageMaker", MetricName=metric, Dimensions=listed["Dimensions"], **window
                )["Datapoints"]
                found[tuple(sorted(names.items()))] = sum(p["Sum"] for p in points), max((p["Maximum"] for p in points), default=0)
            return found

        def by_instance(metric):
            return {dict(k)["InstanceId"]: v[0] for k, v in sums(metric).items() if "InstanceId" in dict(k)}

        eventually(lambda: sum(by_instance("Invocations").values()) == 20)
        assert sorted(by_instance("Invocations").values()) == [10, 10]
        assert sum(by_instance("Invocation5XXErrors").values()) == 1
        assert set(by_instance("ModelLatency")) == set(by_instance("Invocations")) and len(by_instance("Invocations")) == 2
        assert not by_instance("InvocationsPerInstance")
        flights = eventually(lambda: sums("ConcurrentRequestsPerModel"))
        assert {tuple(name for name, _ in key) for key in flights} == {
            ("EndpointName", "VariantName"),
            ("EndpointName", "InstanceId", "VariantName"),
        }
        assert max(highest for _, highest in flights.values()) == 1, "one at a time was under way"
    finally:
        yard.close()
