"""A job's volume has an end, as on AWS: what its hosts have written is counted now and then, beside the engine's loop.

A count of many files takes its time, so the next one waits the longer the longer the last one took. A host may therefore write a
few seconds more than it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from modelyard.services.sagemaker.endpoint.usage import bytes_in

EVERY_SECONDS, TIMES_LONGER = 2.0, 20.0


def written(world: Any, key: str) -> list[int]:
    """Bytes of each host as last counted by the task `key`; [] where nothing was counted yet."""
    task = world.tasks.look(key)
    return task.result[0] if task.state == "done" else []


def count(world: Any, key: str, hosts: Sequence[Sequence[Path]]) -> None:
    """Counts anew what lies in the folders of each host, unless a count is under way or fresh."""
    last = world.tasks.look(key)
    if last.state == "running" or (last.state == "done" and monotonic() < last.result[1]):
        return
    world.tasks.forget(key)

    def work() -> tuple[list[int], float]:
        began = monotonic()
        sizes = [sum(bytes_in(folder) for folder in folders) for folders in hosts]
        ended = monotonic()
        return sizes, ended + max(EVERY_SECONDS, TIMES_LONGER * (ended - began))

    world.tasks.ensure(key, work)


def full(host: str, gigabytes: int) -> str:
    """The reason of a failure."""
    return (
        f"ClientError: No space left on device: {host} has written more than the {gigabytes} GB of VolumeSizeInGB. "
        "Please use a larger volume, or reduce the size of job data processed on an instance."
    )
