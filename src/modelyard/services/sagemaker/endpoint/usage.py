"""CPUUtilization, MemoryUtilization and DiskUtilization of replicas, from their real processes: namespace /aws/sagemaker/Endpoints.

Source: "SageMaker AI endpoint instance metrics": by EndpointName and VariantName, one sample per instance and period; CPU is the sum over
cores (two busy cores are 200 %). MetricsConfig.MetricPublishFrequencyInSeconds says how often (platform time, 60 s); with EnableEnhancedMetrics
they come by InstanceId too. Serverless variants have MemoryUtilization alone. Copies of inference
components have CPU and memory by InferenceComponentName (/aws/sagemaker/InferenceComponents).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.endpoint import container
from modelyard.services.sagemaker.endpoint.lifecycle import ENDPOINT, REPLICA
from modelyard.services.sagemaker.inference_component.lifecycle import COMPONENT
from modelyard.services.sagemaker.instances import instance

NAMESPACE, OF_COMPONENTS = "/aws/sagemaker/Endpoints", "/aws/sagemaker/InferenceComponents"
PERIOD_SECONDS, SHORTEST_REAL_SECONDS = 60.0, 1.0


class Usage:
    """What this engine saw last: when each endpoint is due, and the CPU seconds of each run with the real time of the look."""

    def __init__(self) -> None:
        self.due: dict[str, float] = {}
        self.cpu: dict[str, tuple[float, float]] = {}
        self.looked = float("-inf")


@api.worker
def measure(platform: Any) -> float | None:
    usage: Usage = platform.parts.setdefault("usage", Usage())
    if "runtime" not in platform.parts or monotonic() - usage.looked < SHORTEST_REAL_SECONDS:
        return None
    usage.looked, now = monotonic(), platform.clock.now()
    endpoints = [e for kind in (ENDPOINT.kind, COMPONENT.kind) for e in platform.store.list(kind) if e.state.get("serving")]
    usage.due = {e.uid: usage.due.get(e.uid, now) for e in endpoints}
    due = [e for e in endpoints if usage.due[e.uid] <= now]
    if due:
        _measure(platform, usage, due, now)
    return min(usage.due.values(), default=None)


def _measure(platform: Any, usage: Usage, endpoints: list[Record], now: float) -> None:
    replicas = {e.uid: [r for r in platform.store.children(e.uid, REPLICA.kind) if r.status == "InService"] for e in endpoints}
    runs = {r.uid: [container.run_id(r, n) for n in container.numbers(r)] for rows in replicas.values() for r in rows}
    seen = platform.runtime.usage([run for rows in runs.values() for run in rows])
    for endpoint in endpoints:
        config = endpoint.state["serving"].get("metrics") or {}
        usage.due[endpoint.uid] = now + config.get("MetricPublishFrequencyInSeconds", PERIOD_SECONDS)
        data: list[dict[str, Any]] = []
        for replica in replicas[endpoint.uid]:
            found = figures(platform, usage, replica, {run: seen[run] for run in runs[replica.uid] if run in seen})
            component = endpoint.kind == COMPONENT.kind
            dimensions = [{"Name": "EndpointName", "Value": endpoint.name}, {"Name": "VariantName", "Value": replica.spec["name"]}]
            sets = [[{"Name": "InferenceComponentName", "Value": endpoint.name}] if component else dimensions]
            if not component and config.get("EnableEnhancedMetrics"):
                sets.append([*dimensions, {"Name": "InstanceId", "Value": container.log_stream(replica).rpartition("/")[2]}])
            data += [
                {"MetricName": name, "Dimensions": d, "Timestamp": now, "Values": [value], "Counts": [1], "Unit": "Percent"}
                for d in sets
                for name, value in found.items()
            ]
        if data:
            namespace = OF_COMPONENTS if endpoint.kind == COMPONENT.kind else NAMESPACE
            platform.metrics.put(endpoint.account, endpoint.region, namespace, data)
    living = {run for rows in runs.values() for run in rows}
    for run in [run for run in usage.cpu if run not in living and len(usage.cpu) > 4096]:
        del usage.cpu[run]


def figures(platform: Any, usage: Usage, replica: Record, seen: Mapping[str, tuple[float, int]]) -> dict[str, float]:
    """CPU is known from the second look on: it is a rate."""
    if not seen:
        return {}
    real, percent, known = monotonic(), 0.0, True
    for run, (cpu_s, _) in seen.items():
        before = usage.cpu.get(run)
        usage.cpu[run] = (cpu_s, real)
        if before is None:
            known = False
        else:
            percent += 100.0 * max(0.0, cpu_s - before[0]) / max(1e-3, real - before[1])
    kind = instance(replica.spec["instance_type"])
    memory = 100.0 * sum(size for _, size in seen.values()) / kind.memory_here
    if replica.spec.get("serverless"):  # the one of these that AWS lists for serverless endpoints
        return {"MemoryUtilization": min(100.0, memory)}
    if replica.spec.get("component"):  # a copy of an inference component: its instance's disk is not its own
        return {**({"CPUUtilization": percent} if known else {}), "MemoryUtilization": min(100.0, memory)}
    disk = os.statvfs(platform.settings.data)
    used = 100.0 * bytes_in(container.folder(replica, platform)) / max(1, disk.f_blocks * disk.f_frsize)
    return {**({"CPUUtilization": percent} if known else {}), "MemoryUtilization": min(100.0, memory), "DiskUtilization": min(100.0, used)}


def bytes_in(folder: Path) -> int:
    """Bytes on disk; what vanishes meanwhile does not count."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(parent, name)).st_blocks * 512
            except OSError:
                continue
    return total
