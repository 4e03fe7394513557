"""Channels: their S3 objects as files under /opt/ml/input/data/<channel>.

FastFile is a copy as well: a job sees the same files, only earlier than a lazy mount would show them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from modelyard.kernel.errors import validation
from modelyard.services.sagemaker.jobs.inputs import check_objects, copy, plan
from modelyard.services.sagemaker.role_session import RoleSession


def check_channels(session: RoleSession, request: dict[str, Any], region: str) -> None:
    """At create: every S3Prefix has objects and every manifest is there."""
    for channel in request.get("InputDataConfig", []):
        source = channel["DataSource"].get("S3DataSource")
        if source is None:
            raise validation("FileSystemDataSource is not built yet; give an S3DataSource.")
        if source["S3DataType"] == "AugmentedManifestFile":
            raise validation("AugmentedManifestFile is not built yet; use S3Prefix or ManifestFile.")
        check_objects(session, source["S3Uri"], "inputDataConfig.dataSource.s3DataSource.s3Uri", request["RoleArn"], region)


def fetch(session: RoleSession, channels: list[dict[str, Any]], data: Path, say: Callable[[str], None] = lambda text: None) -> int:
    """Copies all channels into `data/<channel>/`; answers how many bytes."""
    total = 0
    for channel in channels:
        source = channel["DataSource"]["S3DataSource"]
        total += copy(session, plan(session, source["S3Uri"], source["S3DataType"]), data / channel["ChannelName"], say)
    return total
