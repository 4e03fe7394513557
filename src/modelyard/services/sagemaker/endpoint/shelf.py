"""The artifacts of a multi-model container on one instance: brought from S3 as the model's role, kept as long as the storage lasts.

    endpoints/<replica>/ml/models/<name>/model/…     what the container sees, read-only, as /opt/ml/models/<name>/model
    endpoints/<replica>/shelf-<place>/               ours: <name>.json (etag, size), <name>.lock, <name>.half/ while it is brought

A model is in `models` whole or not at all: it is unpacked beside and renamed. Whoever holds a model's lock may work on it; a lock dies
with its process, and what a dead one left half-done is begun anew. An artifact that lies here is used again without a download while
S3 still has the same object (its ETag), or has it no longer.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.runtime.archives import BadArchive, extract
from modelyard.services.sagemaker.common import parse_s3_uri
from modelyard.services.sagemaker.endpoint.container import ml_of
from modelyard.services.sagemaker.role_session import RoleSession
from modelyard.serving.shelf import CannotBring, NoRoom

NOT_THERE = (
    "Failed to download model data(bucket: {}, key: {}). Please ensure that there is an object located at the URL and that the role passed "
    "to CreateModel has permissions to download the model."
)
NO_ARCHIVE = "Failed to extract model data archive (bucket: {}, key: {}). Please ensure that the object located at the URL is a valid tar.gz archive. ({})"


class Shelf:
    """See serving/shelf.py. `many` is a row of `Variant.extra["models"]`, `replica` a record's uid."""

    def __init__(self, world: Any, account: str, region: str, many: Mapping[str, Any], replica: str) -> None:
        self._world, self._account, self._region, self._many = world, account, region, many
        folder = Path(world.settings.data) / "endpoints" / replica
        self._models = ml_of(folder, many["place"]) / "models"
        self._own = folder / f"shelf-{many['place'] + 1}"

    def url(self, name: str) -> str:
        return f"/opt/ml/models/{name}/model"

    def lock(self, name: str) -> Callable[[], None] | None:
        self._own.mkdir(exist_ok=True)  # never its parent: a replica that is gone stays gone
        fd = os.open(self._own / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        return lambda: os.close(fd)

    def bring(self, name: str, target: str, loaded: set[str]) -> float | None:
        """With the lock of `name` held."""
        bucket, key = self._place(target)
        try:
            role = RoleSession(self._world, self._account, self._region, self._many["role"])
            etag, size = role.head(bucket, key)
        except ApiError as problem:
            if problem.status == 404 and self._has(name):
                return None  # as on AWS: what the instance has serves on
            raise CannotBring(f"{NOT_THERE.format(bucket, key)} ({problem.code}: {problem.message})") from None
        if self._has(name):
            if self._told(name).get("etag") == etag:
                os.utime(self._own / f"{name}.json")
                return None
            self.drop(name)
        began = perf_counter()
        self._make_room(size, loaded - {name})
        self._fetch(role, name, bucket, key, etag, loaded)
        return perf_counter() - began

    def drop(self, name: str) -> None:
        """The name of a folder that goes is freed first, so that nobody sees half a model."""
        going = self._own / f"{name}.gone"
        shutil.rmtree(going, ignore_errors=True)
        (self._own / f"{name}.json").unlink(missing_ok=True)
        try:
            os.rename(self._models / name, going)
        except FileNotFoundError:
            return
        shutil.rmtree(going, ignore_errors=True)

    # --- parts -----------------------------------------------------------------------------------------

    def _place(self, target: str) -> tuple[str, str]:
        """(bucket, key) of a TargetModel, which is relative to the prefix and never leaves it."""
        bucket, prefix = parse_s3_uri(self._many["url"], "modelDataUrl")
        relative = target.removeprefix("/")
        key = "/".join(part for part in (prefix.rstrip("/"), relative) if part)
        if not relative or any(part in ("", ".", "..") for part in relative.split("/")):
            raise CannotBring(NOT_THERE.format(bucket, key))
        return bucket, key

    def _has(self, name: str) -> bool:
        return (self._models / name).is_dir() and (self._own / f"{name}.json").exists()

    def _told(self, name: str) -> dict[str, Any]:
        try:
            return json.loads((self._own / f"{name}.json").read_text())
        except (FileNotFoundError, ValueError):
            return {}

    def _fetch(self, role: RoleSession, name: str, bucket: str, key: str, etag: str, loaded: set[str]) -> None:
        half, packed, final = self._own / f"{name}.half", self._own / f"{name}.tar.gz", self._models / name
        for old in (half, final):
            shutil.rmtree(old, ignore_errors=True)
        (half / "model").mkdir(parents=True)
        try:
            role.download(bucket, key, packed)
            extract(packed, half / "model")
            packed.unlink()
            size = sum(f.lstat().st_size for f in half.rglob("*"))
            self._make_room(size, loaded - {name})
            os.rename(half, final)
            made = self._own / f"{name}.json.new"
            made.write_text(json.dumps({"etag": etag, "size": size}))
            os.rename(made, self._own / f"{name}.json")
        except ApiError as problem:
            raise CannotBring(f"{NOT_THERE.format(bucket, key)} ({problem.code}: {problem.message})") from None
        except BadArchive as problem:
            raise CannotBring(NO_ARCHIVE.format(bucket, key, problem)) from None
        except OSError as problem:
            if problem.errno != errno.ENOSPC:
                raise
            raise NoRoom("The storage of the instance is full.") from None
        finally:
            packed.unlink(missing_ok=True)
            shutil.rmtree(half, ignore_errors=True)

    def _make_room(self, size: int, loaded: set[str]) -> None:
        """Drops artifacts that are not loaded, the one unused for the longest time first, until `size` bytes more fit."""
        held = sorted((path.stat().st_mtime, path.stem, self._told(path.stem).get("size", 0)) for path in self._own.glob("*.json"))
        total = sum(row[2] for row in held)
        for _, name, its in held:
            if total + size <= self._many["disk"]:
                return
            done = None if name in loaded else self.lock(name)
            if done is not None:
                try:
                    self.drop(name)
                    total -= its
                finally:
                    done()
        if total + size > self._many["disk"]:
            raise NoRoom("The model does not fit into the storage of the instance.")


def shelf_of(world: Any) -> Callable[[str, str, Mapping[str, Any], str], Shelf]:
    """What gateways are given: the shelf of a replica, by the run id in its route."""
    return lambda account, region, many, run_id: Shelf(world, account, region, many, run_id.rpartition("-")[0])
