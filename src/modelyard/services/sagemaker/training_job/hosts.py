"""The hosts of a job: algo-1 … algo-n, each a run of its own, and what their runs say together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelyard.runtime.base import RunState
from modelyard.services.sagemaker.instances import instance

HOMOGENEOUS = "homogeneousCluster"


@dataclass(frozen=True)
class Host:
    """`number` counts from 1 over all instance groups."""

    number: int
    instance_type: str
    group: str = HOMOGENEOUS

    @property
    def name(self) -> str:
        return f"algo-{self.number}"


def hosts_of(spec: Mapping[str, Any]) -> list[Host]:
    """The hosts that a job's ResourceConfig asks for, in order."""
    resources, hosts = spec["ResourceConfig"], list[Host]()
    for group in resources.get("InstanceGroups") or [resources]:
        name = group.get("InstanceGroupName", HOMOGENEOUS)
        hosts += [Host(len(hosts) + n, group.get("InstanceType", ""), name) for n in range(1, group.get("InstanceCount", 1) + 1)]
    return hosts


def groups_of(hosts: Sequence[Host]) -> list[dict[str, Any]]:
    """`instance_groups` of resourceconfig.json."""
    groups: dict[str, dict[str, Any]] = {}
    for host in hosts:
        group = {"instance_group_name": host.group, "instance_type": host.instance_type, "hosts": []}
        groups.setdefault(host.group, group)["hosts"].append(host.name)
    return list(groups.values())


def no_gpus(spec: Mapping[str, Any]) -> str | None:
    """What a job that asks for GPUs is told at once: in its first transition and its log."""
    kinds = sorted({host.instance_type for host in hosts_of(spec) if instance(host.instance_type).gpus})
    if not kinds:
        return None
    return f"{', '.join(kinds)} has {instance(kinds[0]).gpus} GPU(s) on AWS; this machine gives none to jobs, the job runs on CPUs."


@dataclass(frozen=True)
class Together:
    """One state for all hosts; `host` is the one whose end decides (from 1). `failing`: one has failed, others still run."""

    run: RunState
    host: int = 1
    failing: bool = False


def together(runs: Sequence[RunState]) -> Together:
    """The job lives as long as a host of it lives; the first that fails by itself decides how it ends. Pure."""
    bad = [(run.finished_at or 0.0, number) for number, run in enumerate(runs, 1) if _failed(run)]
    first = min(bad)[1] if bad else 1
    if any(run.state == "lost" for run in runs) and not bad:
        return Together(next(run for run in runs if run.state == "lost"))
    living = [run for run in runs if not run.ended]
    if not living:
        if not bad:
            first = next((n for n, run in enumerate(runs, 1) if run.ended_by), 1)
        return Together(runs[first - 1], first)
    if bad:
        return Together(next((run for run in living if run.state != "absent"), living[0]), first, failing=True)
    absent = [run for run in living if run.state == "absent"]
    oldest = min(living, key=lambda run: run.started_at or 0.0)
    return Together(absent[0] if absent else oldest)


def _failed(run: RunState) -> bool:
    """Ended badly, and not because it was told to end."""
    return run.state == "exited" and (run.ended_by in ("oom", "disk") or (run.ended_by is None and run.exit_code != 0))
