"""Warm pools: what a job with KeepAlivePeriodInSeconds leaves for the next one like it.

Here that is its place among the jobs of this machine (jobs/admission.py), so that the next job waits for nobody, and the folder
/opt/ml/sagemaker/warmpoolcache of each host. The job's record goes on after its end: Available → Reused or Terminated.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson

from modelyard.kernel.records import Record
from modelyard.services.sagemaker.jobs import admission

CACHE = "/opt/ml/sagemaker/warmpoolcache"


def keep_alive_s(spec: Mapping[str, Any]) -> int:
    return spec["ResourceConfig"].get("KeepAlivePeriodInSeconds") or 0


def pool_key(job: Record) -> str | None:
    """Equal for jobs that may use each other's instances (AWS's list of matching members); None: never for this one."""
    spec, resources = job.spec, job.spec["ResourceConfig"]
    if resources.get("InstanceGroups") or spec.get("EnableManagedSpotTraining"):
        return None
    same = [
        job.account,
        job.region,
        spec["RoleArn"],
        *(resources.get(name) for name in ("InstanceType", "InstanceCount", "VolumeKmsKeyId", "VolumeSizeInGB")),
        spec.get("VpcConfig"),
        bool(spec.get("EnableInterContainerTrafficEncryption")),
        bool(spec.get("EnableNetworkIsolation")),
    ]
    return hashlib.sha256(orjson.dumps(same, option=orjson.OPT_SORT_KEYS)).hexdigest()


def until(job: Record) -> float:
    """When an available pool ends, platform time."""
    return job.state["ended_at"] + keep_alive_s(job.spec)


def cache_folder(job: Record, world: Any) -> Path:
    return Path(world.settings.data) / "jobs" / job.uid / "warm"


def take_over(job: Record, world: Any, took: str | None) -> None:
    """The cache of the job whose place this one took becomes its own; harmless to repeat."""
    target = cache_folder(job, world)
    if took and not target.exists():
        source = Path(world.settings.data) / "jobs" / took / "warm"
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            os.rename(source, target)
        world.wake(took)


def taken_by(job: Record, world: Any) -> str | None:
    """The name of the job that took this one's pool, once it has fetched what it took; "" while it has not."""
    uid = admission.taker(world, job.uid)
    taker = world.store.by_uid(uid) if uid else None
    if taker is None:
        return None
    fetched = not cache_folder(job, world).exists() or "ended_at" in taker.state
    return taker.name if fetched else ""


def status(job: Record, now: float) -> dict[str, Any] | None:
    """WarmPoolStatus as Describe and List show it; None for a job without a pool."""
    said = job.state.get("warm")
    if said is None:
        return {"Status": "InUse"} if job.status in ("InProgress", "Stopping") and keep_alive_s(job.spec) else None
    kept = min(job.state.get("warm_ended_at", now), until(job)) - job.state["ended_at"]
    shown = {"Status": said, "ResourceRetainedBillableTimeInSeconds": max(0, round(kept))}
    if said == "Reused":
        shown["ReusedByJob"] = job.state["warm_by"]
    return shown
