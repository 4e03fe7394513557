"""Inputs: their S3 objects as files in the folders of the hosts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelyard.services.sagemaker.jobs.inputs import copy, plan, share
from modelyard.services.sagemaker.processing_job.check import below, managed_inputs
from modelyard.services.sagemaker.role_session import RoleSession


def fetch(session: RoleSession, spec: Mapping[str, Any], hosts: list[Path]) -> int:
    """Copies every input to `hosts` (each one's /opt/ml): whole, or with ShardedByS3Key to each host its share of the
    objects. Answers how many bytes."""
    total = 0
    for source in managed_inputs(spec):
        items = plan(session, source["S3Uri"], source["S3DataType"])
        sharded = source["S3DataDistributionType"] == "ShardedByS3Key"
        for number, ml in enumerate(hosts, 1):
            mine = share(items, number, len(hosts)) if sharded else items
            total += copy(session, mine, ml / below(source["LocalPath"]))
    return total
