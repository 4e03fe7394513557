"""Channels: their S3 objects as files under /opt/ml/input/data/<channel>.

FastFile is a copy as well: a job sees the same files, only earlier than a lazy mount would show them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelyard.kernel.errors import validation
from modelyard.services.sagemaker.jobs.inputs import check_objects, copy, plan, share
from modelyard.services.sagemaker.role_session import RoleSession
from modelyard.services.sagemaker.training_job.hosts import Host


def check_channels(session: RoleSession, request: dict[str, Any], region: str) -> None:
    """At create: every S3Prefix has objects and every manifest is there."""
    for channel in request.get("InputDataConfig", []):
        source = channel["DataSource"].get("S3DataSource")
        if source is None:
            raise validation("FileSystemDataSource is not built yet; give an S3DataSource.")
        if source["S3DataType"] == "AugmentedManifestFile":
            raise validation("AugmentedManifestFile is not built yet; use S3Prefix or ManifestFile.")
        check_objects(session, source["S3Uri"], "inputDataConfig.dataSource.s3DataSource.s3Uri", request["RoleArn"], region)


def is_for(channel: dict[str, Any], host: Host) -> bool:
    """Whether this host has the channel at all: one may be meant for some instance groups only."""
    groups = channel["DataSource"].get("S3DataSource", {}).get("InstanceGroupNames")
    return not groups or host.group in groups


def fetch(session: RoleSession, spec: dict[str, Any], folders: dict[Host, Path], say: Callable[[str], None] = lambda text: None) -> int:
    """Copies the channels of each host into its /opt/ml (`folders`); answers how many bytes. ShardedByS3Key deals the objects
    out among the hosts that have the channel."""
    total = 0
    for channel in spec.get("InputDataConfig", []):
        source = channel["DataSource"]["S3DataSource"]
        items = plan(session, source["S3Uri"], source["S3DataType"])
        hosts = [host for host in folders if is_for(channel, host)]
        sharded = source.get("S3DataDistributionType") == "ShardedByS3Key"
        for place, host in enumerate(hosts, 1):
            mine = share(items, place, len(hosts)) if sharded else items
            total += copy(session, mine, folders[host] / "input" / "data" / channel["ChannelName"], say)
    return total
