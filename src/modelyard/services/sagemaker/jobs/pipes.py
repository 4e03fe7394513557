"""Pipe mode: the objects of an input through named pipes, sent by a feeder inside the box (algorithms/pipes.py).

The feeder reads the objects themselves: hard links in a folder beside /opt/ml that the box sees read-only, or copies where there is
no sandbox. It lives and dies with the payload, whoever is killed outside.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.runtime.base import Mount
from modelyard.services.sagemaker.common import client_error
from modelyard.services.sagemaker.jobs.inputs import Item, copy
from modelyard.services.sagemaker.role_session import RoleSession

IN_BOX = "/run/input"
"""Where a box finds the objects and the feeder's plan."""


def has_mounts(world: Any) -> bool:
    """Whether boxes of this machine can have read-only mounts."""
    return getattr(world.runtime, "tier", "") != "degraded"


def prepare(session: RoleSession, ml: Path, below: str, name: str, items: Sequence[Item], *, packed: bool, mounted: bool) -> dict[str, Any]:
    """The objects of the input `name` for the host of `ml` (its /opt/ml), and what the feeder has to know of it: the pipes are
    /opt/ml/<below>_0, _1, … Raises ClientError where the objects cannot be had."""
    folder = ml.parent / "links" / name
    folder.mkdir(parents=True, exist_ok=True)
    (ml / below).parent.mkdir(parents=True, exist_ok=True)
    if mounted:
        for item in items:
            _link(session, item, folder)
    else:
        copy(session, list(items), folder)
    return {
        "name": f"/opt/ml/{below}" if mounted else str(ml / below),
        "folder": f"{IN_BOX}/{name}" if mounted else str(folder),
        "entries": [[{"file": item.name}] for item in items],
        "wrap": False, "gzip": packed, "seed": None, "host": 1, "hosts": 1,
    }  # fmt: skip


def write_plan(ml: Path, inputs: list[dict[str, Any]]) -> None:
    path = _plan(ml)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(inputs))


def fed(ml: Path, argv: list[str], mounted: bool) -> tuple[list[str], dict[str, str], list[Mount]]:
    """(command, variables of the environment, mounts) of a host: with its feeder where it has a plan."""
    plan = _plan(ml)
    if not plan.exists():
        return argv, {}, []
    argv = ["python3", "-m", "modelyard_algorithms.pipes", *argv]
    if not mounted:
        return argv, {"MODELYARD_PIPES": str(plan)}, []
    folders = sorted((ml.parent / "links").iterdir())
    mounts = [Mount(str(folder), f"{IN_BOX}/{folder.name}") for folder in folders]
    return argv, {"MODELYARD_PIPES": f"{IN_BOX}/.pipes/{plan.name}"}, [*mounts, Mount(str(plan.parent), f"{IN_BOX}/.pipes")]


def _plan(ml: Path) -> Path:
    return ml.parent / "pipes" / "plan.json"


def _link(session: RoleSession, item: Item, folder: Path) -> None:
    try:
        session.link(item.bucket, item.key, folder / item.name)
    except ApiError as problem:
        where = f"s3://{item.bucket}/{item.key}"
        raise client_error(f"Data download failed:{problem.code} ({problem.status}): {problem.message} ({where})") from None
