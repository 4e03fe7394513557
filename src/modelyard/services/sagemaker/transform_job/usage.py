"""CPUUtilization, MemoryUtilization and DiskUtilization of a job's instances, once per minute of platform time.

Source: "SageMaker AI jobs and endpoint instance metrics": namespace /aws/sagemaker/TransformJobs, dimension Host, which is
`<job>/<instance>`. A job that is through in less than a minute has few or none.
"""

from __future__ import annotations

from time import monotonic
from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.endpoint import container
from modelyard.services.sagemaker.endpoint.lifecycle import REPLICA
from modelyard.services.sagemaker.endpoint.usage import PERIOD_SECONDS, SHORTEST_REAL_SECONDS, Usage, figures
from modelyard.services.sagemaker.transform_job.lifecycle import LIFECYCLE

NAMESPACE = "/aws/sagemaker/TransformJobs"


@api.worker
def measure(platform: Any) -> float | None:
    usage: Usage = platform.parts.setdefault("transform_usage", Usage())
    if "runtime" not in platform.parts or monotonic() - usage.looked < SHORTEST_REAL_SECONDS:
        return None
    usage.looked, now = monotonic(), platform.clock.now()
    jobs = [job for job in platform.store.list(LIFECYCLE.kind, status="InProgress") if job.state.get("phase") == "run"]
    usage.due = {job.uid: usage.due.get(job.uid, now) for job in jobs}
    for job in jobs:
        if usage.due[job.uid] <= now:
            usage.due[job.uid] = now + PERIOD_SECONDS
            _measure(platform, usage, job, now)
    if not jobs:
        usage.cpu.clear()
    return min(usage.due.values(), default=None)


def _measure(platform: Any, usage: Usage, job: Record, now: float) -> None:
    data: list[dict[str, Any]] = []
    for replica in platform.store.children(job.uid, REPLICA.kind):
        if replica.status == "InService":
            seen = platform.runtime.usage([container.run_id(replica, number) for number in container.numbers(replica)])
            host = [{"Name": "Host", "Value": f"{job.name}/i-{replica.uid[:17]}"}]
            data += [
                {"MetricName": name, "Dimensions": host, "Timestamp": now, "Values": [value], "Counts": [1], "Unit": "Percent"}
                for name, value in figures(platform, usage, replica, seen).items()
            ]
    if data:
        platform.metrics.put(job.account, job.region, NAMESPACE, data)
