"""Inputs: their S3 objects as files in the folders of the hosts, or through named pipes while these run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelyard.services.sagemaker.jobs.inputs import Item, copy, plan, share
from modelyard.services.sagemaker.jobs.pipes import Feed
from modelyard.services.sagemaker.processing_job.check import below, managed_inputs
from modelyard.services.sagemaker.role_session import RoleSession


def fetch(session: RoleSession, spec: Mapping[str, Any], hosts: list[Path]) -> int:
    """Copies every File input to `hosts` (each one's /opt/ml): whole, or with ShardedByS3Key to each host its share of the
    objects; makes the first pipe of the others. Answers how many bytes."""
    total = 0
    for place, source in enumerate(managed_inputs(spec)):
        items = plan(session, source["S3Uri"], source["S3DataType"])
        for number, ml in enumerate(hosts, 1):
            if source["S3InputMode"] == "Pipe":
                feed_of(ml, place, source).prepare()
            else:
                total += copy(session, _mine(items, source, number, len(hosts)), ml / below(source["LocalPath"]))
    return total


def piped(spec: Mapping[str, Any]) -> list[tuple[int, dict[str, Any]]]:
    """(place, source) of the inputs in Pipe mode."""
    return [(place, source) for place, source in enumerate(managed_inputs(spec)) if source["S3InputMode"] == "Pipe"]


def feed_of(ml: Path, place: int, source: Mapping[str, Any]) -> Feed:
    return Feed(ml, below(source["LocalPath"]), ml.parent / f"input-{place}.feed")


def items_of(session: RoleSession, source: Mapping[str, Any], number: int, hosts: int) -> list[Item]:
    """What of an input the `number`th host gets."""
    return _mine(plan(session, source["S3Uri"], source["S3DataType"]), source, number, hosts)


def _mine(items: list[Item], source: Mapping[str, Any], number: int, hosts: int) -> list[Item]:
    return share(items, number, hosts) if source["S3DataDistributionType"] == "ShardedByS3Key" else items
