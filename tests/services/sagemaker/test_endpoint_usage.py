"""CPU, memory and disk of replicas in CloudWatch: of real processes, once a minute of platform time, by variant and by instance."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from modelyard.kernel.clock import ManualClock
from modelyard.runtime.process.usage import of_trees
from modelyard.services.sagemaker.endpoint import usage
from tests.support.hosting import Hosting

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
