"""Inputs of jobs: which S3 objects they mean, which of them are one host's, and those objects as files.

An input is a copy: a job may write over its files, and a link would change the object.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import orjson

from modelyard.kernel.errors import ApiError, validation
from modelyard.kernel.reserve import is_full
from modelyard.services.sagemaker.common import client_error, parse_s3_uri
from modelyard.services.sagemaker.role_session import RoleSession

MANIFEST_BYTES = 64 << 20


@dataclass(frozen=True)
class Item:
    """An object that goes to `name` (relative) in its input's folder."""

    bucket: str
    key: str
    name: str
    size: int


def check_objects(session: RoleSession, uri: str, member: str, role: str, region: str) -> None:
    """At create: there are objects (or the manifest) at `uri`, else AWS's text. `member` names the place in the request."""
    bucket, prefix = parse_s3_uri(uri, member)
    why = ""
    try:
        if next(session.list(bucket, prefix), None) is not None:
            return
    except ApiError as problem:
        why = f" Error message from S3: {problem.message}"
    raise validation(
        f'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that the bucket exists in the selected '
        f'region ({region}), that objects exist under that S3 prefix, and that the role "{role}" has '
        f'"s3:ListBucket" permissions on bucket "{bucket}".{why}'
    )


def objects(session: RoleSession, uri: str, data_type: str) -> Iterator[Item]:
    """Every object that `uri` names, in the order of keys or of the manifest; raises ClientError where there is none."""
    bucket, prefix = parse_s3_uri(uri, "s3Uri")
    none = True
    for item in _manifest(session, bucket, prefix) if data_type == "ManifestFile" else _prefix(session, bucket, prefix):
        none = False
        yield item
    if none:
        raise client_error(f"Data download failed:No objects found under {uri}")


def plan(session: RoleSession, uri: str, data_type: str) -> list[Item]:
    """Everything that `uri` names, in the order of keys; `data_type` is S3Prefix or ManifestFile. Raises ClientError for
    names that cannot be files side by side."""
    items = list(objects(session, uri, data_type))
    names = {item.name for item in items}
    for item in items:
        parts = item.name.split("/")
        if ".." in parts or item.name.startswith("/") or "\0" in item.name:
            raise client_error(f"Data download failed:The key '{item.key}' would leave the folder of its channel")
        if any("/".join(parts[:i]) in names for i in range(1, len(parts))):
            raise client_error(
                "Data download failed:Failed to download data. Please check your s3 objects and ensure that there is no object that is "
                f"both a folder as well as a file ('{item.key}')"
            )
    return items


def share(items: list[Item], host: int, hosts: int) -> list[Item]:
    """ShardedByS3Key: what the `host`th (from 1) of so many hosts gets. Dealt out like cards, in the order of keys: with
    fewer objects than hosts the last hosts get none, as on AWS."""
    return items[host - 1 :: hosts]


def copy(
    session: RoleSession,
    items: list[Item],
    folder: Path,
    say: Callable[[str], None] = lambda text: None,
    progress: Callable[[int], None] = lambda size: None,
) -> int:
    """The objects as files below `folder`; answers how many bytes. What is there already from an earlier try is written again."""
    folder.mkdir(parents=True, exist_ok=True)
    for item in items:
        try:
            session.download(item.bucket, item.key, folder / item.name, progress)
        except ApiError as problem:
            raise client_error(
                f"Data download failed:{problem.code} ({problem.status}): {problem.message} (s3://{item.bucket}/{item.key})"
            ) from None
        except OSError as problem:
            if is_full(problem):
                raise client_error("Data download failed:Insufficient disk space") from problem
            raise client_error(f"Data download failed:{problem.strerror or problem} ('{item.key}')") from problem
        say(f"s3://{item.bucket}/{item.key}")
    return sum(item.size for item in items)


def _prefix(session: RoleSession, bucket: str, prefix: str) -> Iterator[Item]:
    try:
        for key, size in session.list(bucket, prefix):
            if not key.endswith("/"):
                yield Item(bucket, key, _name(key, prefix), size)
    except ApiError as problem:
        raise client_error(f"Data download failed:{problem.code} ({problem.status}): {problem.message} (s3://{bucket}/{prefix})") from None


def _name(key: str, prefix: str) -> str:
    """The file's name in its channel: the key after the prefix's last folder; `train.csv` for the key itself."""
    if prefix.endswith("/") or key.startswith(prefix + "/"):
        return key[len(prefix) :].lstrip("/")
    return key[prefix.rfind("/") + 1 :]


def _manifest(session: RoleSession, bucket: str, key: str) -> Iterator[Item]:
    """`[{"prefix": "s3://bucket/folder/"}, "relative/key", …]`: each key after the prefix, under its relative name."""
    raw = _read_manifest(session, bucket, key)
    try:
        manifest = orjson.loads(raw)
        head, names = manifest[0]["prefix"], manifest[1:]
        if not all(isinstance(name, str) for name in (head, *names)):
            raise TypeError
        data_bucket, base = parse_s3_uri(head, "prefix")
    except (ValueError, TypeError, KeyError, IndexError, ApiError):
        raise client_error(
            f"Data download failed:The manifest s3://{bucket}/{key} is not a JSON list that starts with a prefix: "
            '[{"prefix": "s3://bucket/folder/"}, "relative/key", …]'
        ) from None
    for name in names:
        yield Item(data_bucket, base + name, name.lstrip("/"), 0)


def _read_manifest(session: RoleSession, bucket: str, key: str) -> bytes:
    try:
        raw = session.read(bucket, key, MANIFEST_BYTES)
    except ApiError as problem:
        raise client_error(f"Data download failed:{problem.code} ({problem.status}): {problem.message} (s3://{bucket}/{key})") from None
    if raw is None:
        raise client_error(f"Data download failed:The manifest s3://{bucket}/{key} has more than {MANIFEST_BYTES >> 20} MiB")
    return raw
