"""How many instances of a type the jobs of an account may hold or wait for at once: AWS's quota, in AWS's words.

It is far above what a machine runs at a time: jobs queue (admission.py), they are not refused. It stops the slip of a loop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from modelyard.services.sagemaker import api

MOST_INSTANCES = 1000
"""Per instance type, account, region and kind of job."""
MOST_HOSTS = 20
"""Of one job; the quota that AWS gives by default."""


def check_quota(call: Any, kind: str, usage: str, asked: Mapping[str, int]) -> None:
    """`asked` is instance type → instances of a new job of this record kind, `usage` what AWS calls it ("training job usage").
    Raises ResourceLimitExceeded."""
    hosts = sum(asked.values())
    if hosts > MOST_HOSTS:
        raise _exceeded(f"Number of instances for a {usage.removesuffix(' usage')}", MOST_HOSTS, 0, hosts)
    waiting = "SELECT count(*) FROM records WHERE kind = ? AND account = ? AND region = ? AND status IN ('InProgress', 'Stopping')"
    jobs = call.store.db.read(waiting, (kind, call.account, call.region))[0][0]
    if jobs * MOST_HOSTS + hosts <= MOST_INSTANCES:
        return
    used: Counter[str] = Counter()
    for job in call.store.list(kind, call.account, call.region, status=("InProgress", "Stopping")):
        used.update(instances(_resources(job.spec)))
    for name, count in asked.items():
        if used[name] + count > MOST_INSTANCES:
            raise _exceeded(f"{name} for {usage}", MOST_INSTANCES, used[name], count)


def instances(resources: Mapping[str, Any]) -> dict[str, int]:
    """Instance type → how many, of a ResourceConfig with one type or with InstanceGroups, or of a processing job's ClusterConfig."""
    counts: Counter[str] = Counter()
    if "SelectedInstanceType" in resources:
        return {resources["SelectedInstanceType"]: resources["SelectedInstanceCount"]}
    for group in resources.get("InstanceGroups") or [resources]:
        counts[group.get("InstanceType", "")] += group.get("InstanceCount", 1)
    return dict(counts)


def _resources(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """Where a kind of job says its instances."""
    cluster = spec.get("ProcessingResources", {}).get("ClusterConfig", {})
    return spec.get("ResourceConfig") or spec.get("TransformResources") or cluster


def _exceeded(what: str, limit: int, used: int, asked: int) -> Exception:
    return api.error.ResourceLimitExceeded(
        f"The account-level service limit '{what}' is {limit} Instances, with current utilization of {used} Instances and a request "
        f"delta of {asked} Instances. Please use AWS Service Quotas to request an increase for this quota. If AWS Service Quotas is not "
        "available, contact AWS support to request an increase for this quota."
    )
