"""CPUUtilization, MemoryUtilization and DiskUtilization of the hosts of training and processing jobs, from their real processes.

Source: "SageMaker AI jobs and endpoint instance metrics": dimension Host, which is `<job>/algo-<n>`; CPU is the sum over cores (two busy
cores are 200 %), disk is of the job's volume. One sample per minute of platform time: a job that ends within a minute has none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.sagemaker.endpoint.usage import bytes_in
from modelyard.services.sagemaker.instances import instance

PERIOD_SECONDS, SHORTEST_REAL_SECONDS = 60.0, 1.0


@dataclass(frozen=True)
class HostRun:
    """`name` is algo-1, …; `run` its run, `folder` what lies on its volume of so many bytes."""

    name: str
    run: str
    instance_type: str
    folder: Path
    volume_bytes: float


@dataclass
class Meter:
    """What this engine saw last of the jobs of one kind: when each is due, and the CPU seconds of each run at which real time."""

    kind: str
    namespace: str
    hosts: Callable[[Record, Any], Iterable[HostRun]]
    due: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, tuple[float, float]] = field(default_factory=dict)
    looked: float = float("-inf")

    def measure(self, platform: Any) -> float | None:
        """Publishes what is due; answers when something will be due next."""
        if "runtime" not in platform.parts or monotonic() - self.looked < SHORTEST_REAL_SECONDS:
            return None
        self.looked, now = monotonic(), platform.clock.now()
        jobs = [job for job in platform.store.list(self.kind, status="InProgress") if job.state.get("phase") == "run"]
        fresh = {job.uid for job in jobs} - self.due.keys()
        self.due = {job.uid: self.due.get(job.uid, now + PERIOD_SECONDS) for job in jobs}
        for job in jobs:
            if job.uid in fresh:
                self._rates(platform, list(self.hosts(job, platform)))  # CPU is a rate: where it begins
            elif self.due[job.uid] <= now:
                self.due[job.uid] = now + PERIOD_SECONDS
                self._publish(platform, job, now)
        if not jobs:
            self.cpu.clear()
        return min(self.due.values(), default=None)

    def _publish(self, platform: Any, job: Record, now: float) -> None:
        hosts, data = list(self.hosts(job, platform)), []
        for host, (percent, memory) in zip(hosts, self._rates(platform, hosts), strict=True):
            kind = instance(host.instance_type)
            figures = {
                "CPUUtilization": percent,
                "MemoryUtilization": None if memory is None else min(100.0, 100.0 * memory / kind.memory_here),
                "DiskUtilization": min(100.0, 100.0 * bytes_in(host.folder) / max(1.0, host.volume_bytes)),
            }
            where = [{"Name": "Host", "Value": f"{job.name}/{host.name}"}]
            data += [
                {"MetricName": name, "Dimensions": where, "Timestamp": now, "Value": value, "Unit": "Percent"}
                for name, value in figures.items()
                if value is not None
            ]
        platform.metrics.put(job.account, job.region, self.namespace, data)

    def _rates(self, platform: Any, hosts: list[HostRun]) -> list[tuple[float | None, int | None]]:
        """(CPU percent since the look before, resident bytes) of each host; None where it is not known."""
        seen, real, rates = platform.runtime.usage([host.run for host in hosts]), monotonic(), []
        for host in hosts:
            spent, memory = seen.get(host.run, (None, None))
            before = self.cpu.get(host.run)
            known = spent is not None and before is not None
            rates.append((100.0 * max(0.0, spent - before[0]) / max(1e-3, real - before[1]) if known else None, memory))
            if spent is not None:
                self.cpu[host.run] = (spent, real)
        return rates
