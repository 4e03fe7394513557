"""CPU, memory and disk of the hosts as metrics (jobs/usage.py)."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.jobs.usage import HostRun, Meter
from modelyard.services.sagemaker.training_job import run as job_run
from modelyard.services.sagemaker.training_job.hosts import hosts_of
from modelyard.services.sagemaker.training_job.lifecycle import LIFECYCLE
from modelyard.services.sagemaker.training_job.metrics import NAMESPACE


def hosts(job: Record, world: Any) -> list[HostRun]:
    volume = job.spec["ResourceConfig"].get("VolumeSizeInGB", 30) * 2.0**30
    return [
        HostRun(host.name, job_run.run_id(job, host=host.number), host.instance_type, job_run.ml_folder(job, world, host=host), volume)
        for host in hosts_of(job.spec)
    ]


@api.worker
def measure(platform: Any) -> float | None:
    return platform.parts.setdefault("training_usage", Meter(LIFECYCLE.kind, NAMESPACE, hosts)).measure(platform)
