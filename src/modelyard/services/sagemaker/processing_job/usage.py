"""CPU, memory and disk of the hosts as metrics (jobs/usage.py)."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.jobs.usage import HostRun, Meter
from modelyard.services.sagemaker.processing_job import run as job_run
from modelyard.services.sagemaker.processing_job.lifecycle import LIFECYCLE

NAMESPACE = "/aws/sagemaker/ProcessingJobs"


def hosts(job: Record, world: Any) -> list[HostRun]:
    volume = job.spec["ProcessingResources"]["ClusterConfig"]["VolumeSizeInGB"] * 2.0**30
    kind = job_run.instance_type(job)
    rows = zip(job_run.host_numbers(job), job_run.run_ids(job), job_run.ml_folders(job, world), strict=True)
    return [HostRun(job_run.host_name(number), run, kind, ml, volume) for number, run, ml in rows]


@api.worker
def measure(platform: Any) -> float | None:
    return platform.parts.setdefault("processing_usage", Meter(LIFECYCLE.kind, NAMESPACE, hosts)).measure(platform)
