"""Folders that are kept in step with S3 while a job runs: checkpoints (which also come back), TensorBoard output, Debugger tensors.

Uploads are repeatable. What is up there is remembered beside the job's /opt/ml (`marks.json`), so that neither an engine's end nor a
restored checkpoint makes everything be sent again. Files that somebody is just writing wait until they are settled.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from modelyard.kernel.clock import real_now
from modelyard.services.sagemaker.common import parse_s3_uri
from modelyard.services.sagemaker.jobs.inputs import Item, copy
from modelyard.services.sagemaker.jobs.outputs import Mark, upload_folder, uploading
from modelyard.services.sagemaker.role_session import RoleSession

CHECKPOINTS = "/opt/ml/checkpoints"
SYSTEM = ("/bin", "/boot", "/dev", "/etc", "/lib", "/proc", "/run", "/sbin", "/sys", "/usr", "/opt/venv", "/opt/image", "/opt/modelyard")
RESERVED = ("/opt/ml/input", "/opt/ml/model", "/opt/ml/code")


@dataclass(frozen=True)
class Synced:
    """`below` is the folder in /opt/ml; `seen_as` where the payload finds it, if that is elsewhere."""

    below: str
    uri: str
    comes_back: bool = False
    seen_as: str | None = None

    @property
    def place(self) -> tuple[str, str]:
        """(bucket, prefix that ends with "/")"""
        bucket, key = parse_s3_uri(self.uri, "s3Uri")
        return bucket, key.rstrip("/") + "/" if key else ""


def synced(spec: Mapping[str, Any], job: str) -> list[Synced]:
    """What a job asked for: CheckpointConfig, TensorBoardOutputConfig, DebugHookConfig."""
    found = []
    if checkpoints := spec.get("CheckpointConfig"):
        found.append(_at(checkpoints.get("LocalPath") or CHECKPOINTS, "checkpoints", checkpoints["S3Uri"], comes_back=True))
    for member, local, folder in (
        ("TensorBoardOutputConfig", "/opt/ml/output/tensorboard", "tensorboard-output"),
        ("DebugHookConfig", "/opt/ml/output/tensors", "debug-output"),
    ):
        if config := spec.get(member):
            below = ".synced/" + folder
            found.append(_at(config.get("LocalPath") or local, below, f"{config['S3OutputPath'].rstrip('/')}/{job}/{folder}"))
    return found


def _at(local: str, elsewhere: str, uri: str, comes_back: bool = False) -> Synced:
    """A folder of /opt/ml is where it is; any other is a folder of /opt/ml that is mounted there."""
    path = os.path.normpath(local)
    if path.startswith("/opt/ml/"):
        return Synced(path[len("/opt/ml/") :], uri, comes_back)
    return Synced(elsewhere, uri, comes_back, path)


def bad_local_path(path: str) -> str | None:
    """Why a folder of the payload cannot be synced; None: it can."""
    normal = os.path.normpath(path)
    if not path.startswith("/") or normal in ("/", "/opt", "/opt/ml") or ".." in path.split("/"):
        return "it must be an absolute path of a folder of its own"
    for reserved in (*SYSTEM, *RESERVED):
        if normal == reserved or normal.startswith(reserved + "/"):
            return f"{reserved} has another use in a training container"
    return None


def restore(session: RoleSession, folders: list[Synced], ml: Path) -> None:
    """The checkpoints that are in S3, back in their folder, before the payload starts."""
    marks: dict[str, dict[str, Mark]] = {}
    for folder in folders:
        target = ml / folder.below
        target.mkdir(parents=True, exist_ok=True)
        if not folder.comes_back:
            continue
        bucket, prefix = folder.place
        items = [Item(bucket, key, key[len(prefix) :], size) for key, size in session.list(bucket, prefix) if not key.endswith("/")]
        items = [item for item in items if item.name and ".." not in item.name.split("/") and not item.name.startswith("/")]
        copy(session, items, target)
        marks[folder.below] = {item.name: _mark(target / item.name) for item in items}
    _remember(ml, marks)


def save(session: RoleSession, folders: list[Synced], ml: Path, settled_s: float | None = None) -> None:
    """Sends what is new. While the payload runs (`settled_s` is given) only files that nobody has written in the last so many
    seconds; after its end (None) everything, and a file that is gone is an error then."""
    known = _remembered(ml)
    settled = None if settled_s is None else int((real_now() - settled_s) * 1e9)
    marks = {}
    for folder in folders:
        bucket, prefix = folder.place
        with uploading():
            marks[folder.below] = upload_folder(session, ml, folder.below, bucket, prefix, known.get(folder.below), settled)
    if marks != known:
        _remember(ml, marks)


def _mark(path: Path) -> Mark:
    seen = path.stat()
    return seen.st_mtime_ns, seen.st_size


def _file(ml: Path) -> Path:
    return ml.parent / "marks.json"


def _remember(ml: Path, marks: dict[str, dict[str, Mark]]) -> None:
    temporary = _file(ml).with_suffix(".tmp")
    temporary.write_bytes(orjson.dumps(marks))
    os.replace(temporary, _file(ml))


def _remembered(ml: Path) -> dict[str, dict[str, Mark]]:
    try:
        found = orjson.loads(_file(ml).read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return {below: {name: (mark[0], mark[1]) for name, mark in marks.items()} for below, marks in found.items()}
