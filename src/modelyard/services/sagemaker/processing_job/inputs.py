"""Inputs: their S3 objects as files in the folders of the hosts, or through named pipes while these run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelyard.services.sagemaker.jobs.inputs import copy, plan, share
from modelyard.services.sagemaker.jobs.pipes import prepare, write_plan
from modelyard.services.sagemaker.processing_job.check import below, managed_inputs
from modelyard.services.sagemaker.role_session import RoleSession


def fetch(session: RoleSession, spec: Mapping[str, Any], hosts: list[Path], mounted: bool) -> int:
    """Every input for `hosts` (each one's /opt/ml): whole, or with ShardedByS3Key to each host its share of the objects. File inputs are
    copies; Pipe inputs are prepared for the feeder (`mounted`: boxes can have read-only mounts). Answers how many bytes were copied."""
    total = 0
    piped: dict[Path, list[dict[str, Any]]] = {}
    for place, source in enumerate(managed_inputs(spec)):
        items = plan(session, source["S3Uri"], source["S3DataType"])
        sharded, where = source["S3DataDistributionType"] == "ShardedByS3Key", below(source["LocalPath"])
        for number, ml in enumerate(hosts, 1):
            mine = share(items, number, len(hosts)) if sharded else items
            if source["S3InputMode"] == "Pipe":
                packed = source["S3CompressionType"] == "Gzip"
                one = prepare(session, ml, where, str(place), mine, packed=packed, mounted=mounted)
                piped.setdefault(ml, []).append(one)
            else:
                total += copy(session, mine, ml / where)
    for ml, inputs in piped.items():
        write_plan(ml, inputs)
    return total
