"""A model's artifact, brought from S3 as the model's role and unpacked into a folder."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.runtime.archives import BadArchive, extract
from modelyard.services.sagemaker.common import parse_s3_uri
from modelyard.services.sagemaker.role_session import RoleSession

ML_FOLDERS = ("model", "input/config", "input/data", "output", "code")


class NoModel(Exception):
    """The text is AWS's FailureReason."""


def make_ml(role: RoleSession | None, source: dict[str, Any] | None, name: str, target: Path, more: tuple[str, ...] = ()) -> None:
    """Makes the folder that becomes a container's /opt/ml, with its model in it: beside its place first, then renamed, so that it
    is whole or absent. `name` is the container's in AWS's texts; `more` are further folders in it."""
    half = target.with_name("half")
    shutil.rmtree(half, ignore_errors=True)
    for folder in (*ML_FOLDERS, *more):
        (half / folder).mkdir(parents=True)
    if source:
        try:
            _fetch(role, source, name, half)
        except NoModel:
            shutil.rmtree(half, ignore_errors=True)
            raise
        except OSError as problem:  # a full disk, or names that cannot be side by side; this machine's paths are not told
            shutil.rmtree(half, ignore_errors=True)
            raise NoModel(
                f'Failed to download model data for container "{name}" from URL: "{source["S3Uri"]}". ({problem.strerror or "I/O error"})'
            ) from problem
    os.rename(half, target)


def _fetch(role: RoleSession, source: dict[str, Any], name: str, ml: Path) -> None:
    url = source["S3Uri"]
    bucket, key = parse_s3_uri(url, "modelDataUrl")
    packed = ml.parent / "model.tar.gz"
    try:
        if source["S3DataType"] == "S3Prefix":
            for found, _ in role.list(bucket, key):
                if not found.endswith("/"):
                    role.download(bucket, found, _inside(ml / "model", found[len(key) :].lstrip("/") or found.rpartition("/")[2]))
            return
        if source["CompressionType"] == "None":
            role.download(bucket, key, ml / "model" / key.rpartition("/")[2])
            return
        role.download(bucket, key, packed)
    except ApiError as problem:
        raise NoModel(
            f'Failed to download model data for container "{name}" from URL: "{url}". Please ensure that there is an object located at the '
            f"URL and that the role passed to CreateModel has permissions to download the object. ({problem.code}: {problem.message})"
        ) from None
    try:
        extract(packed, ml / "model")
    except BadArchive as problem:
        raise NoModel(
            f'Failed to extract model data archive for container "{name}" from URL "{url}". Please ensure that the object located at the '
            f"URL is a valid tar.gz archive. ({problem})"
        ) from None
    finally:
        packed.unlink(missing_ok=True)


def _inside(root: Path, name: str) -> Path:
    path = Path(os.path.normpath(root / name))
    if not path.is_relative_to(root):
        raise NoModel(f"The object key {name!r} leads out of the model folder.")
    return path
