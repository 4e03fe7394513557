"""A bucket as a file system: what Hadoop asks of one, on an S3 client.

Folders are prefixes. One that was made and is still empty exists for the process that made it; below `_temporary`, where Spark's hosts
work together, it is an object `<folder>/`, as S3A makes them.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

SPOOLED_BYTES = 8 << 20
DELETED_AT_ONCE = 1000


class Files:
    """Paths are keys without slashes at their ends; "" is the bucket itself. S3's errors come through."""

    def __init__(self, s3: Any) -> None:
        self._s3 = s3
        self._made: set[tuple[str, str]] = set()

    def status(self, bucket: str, path: str) -> dict[str, Any] | None:
        """`{"type": "FILE" | "DIRECTORY", "length", "at"}` (milliseconds); None where there is nothing."""
        if not path:
            self._s3.head_bucket(Bucket=bucket)
            return _folder()
        try:
            found = self._s3.head_object(Bucket=bucket, Key=path)
            return _file(found["ContentLength"], found["LastModified"])
        except self._s3.exceptions.ClientError as problem:
            if problem.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
        if self._s3.list_objects_v2(Bucket=bucket, Prefix=f"{path}/", MaxKeys=1).get("KeyCount"):
            return _folder()
        return _folder() if (bucket, path) in self._made else None

    def list(self, bucket: str, path: str) -> list[tuple[str, dict[str, Any]]] | None:
        """(name, status) of what is in a folder; of a file itself, with an empty name; None where there is nothing."""
        found: list[tuple[str, dict[str, Any]]] = []
        prefix = f"{path}/" if path else ""
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix, Delimiter="/"):
            found += [(one["Prefix"][len(prefix) : -1], _folder()) for one in page.get("CommonPrefixes", [])]
            rows = [one for one in page.get("Contents", []) if one["Key"] != prefix]
            found += [(one["Key"][len(prefix) :], _file(one["Size"], one["LastModified"])) for one in rows]
        if found:
            return sorted(found, key=lambda one: one[0])
        itself = self.status(bucket, path)
        if itself is None:
            return None
        return [("", itself)] if itself["type"] == "FILE" else []

    def read(self, bucket: str, path: str, offset: int, length: int | None) -> tuple[int, Any]:
        """(bytes, stream) from `offset` on."""
        size = self._s3.head_object(Bucket=bucket, Key=path)["ContentLength"]
        end = size if length is None else min(size, offset + length)
        if offset >= end:
            return 0, None
        return end - offset, self._s3.get_object(Bucket=bucket, Key=path, Range=f"bytes={offset}-{end - 1}")["Body"]

    def write(self, bucket: str, path: str, pieces: Iterator[bytes]) -> None:
        """The object appears whole, at the end."""
        with tempfile.SpooledTemporaryFile(SPOOLED_BYTES) as body:
            for piece in pieces:
                body.write(piece)
            body.seek(0)
            self._s3.upload_fileobj(body, bucket, path)

    def make(self, bucket: str, path: str) -> None:
        if "_temporary" in path.split("/"):
            self._s3.put_object(Bucket=bucket, Key=f"{path}/", Body=b"")
        self._made.add((bucket, path))

    def rename(self, bucket: str, source: str, target: str) -> bool:
        """A copy of each object and the end of the old ones, as S3 has no renames."""
        what, there = self.status(bucket, source), self.status(bucket, target)
        if what is None or (there is not None and there["type"] == "FILE"):
            return False
        if there is not None:
            target = f"{target}/{source.rpartition('/')[2]}"
        keys = [source] if what["type"] == "FILE" else list(self._below(bucket, source))
        for key in keys:
            self._s3.copy({"Bucket": bucket, "Key": key}, bucket, target + key[len(source) :])
        self._delete(bucket, keys)
        self._made.discard((bucket, source))
        if what["type"] == "DIRECTORY":
            self._made.add((bucket, target))
        return True

    def delete(self, bucket: str, path: str, recursive: bool) -> bool | None:
        """Whether there was something; None for a folder that is not empty and must not be deleted with what it has."""
        what = self.status(bucket, path)
        if what is None:
            return False
        keys = [path] if what["type"] == "FILE" else list(self._below(bucket, path))
        if what["type"] == "DIRECTORY" and not recursive and any(key != f"{path}/" for key in keys):
            return None
        self._delete(bucket, keys)
        self._made = {one for one in self._made if one != (bucket, path) and not (one[0] == bucket and one[1].startswith(f"{path}/"))}
        return True

    def _below(self, bucket: str, path: str) -> Iterator[str]:
        for page in self._s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{path}/"):
            yield from (one["Key"] for one in page.get("Contents", []))

    def _delete(self, bucket: str, keys: list[str]) -> None:
        for at in range(0, len(keys), DELETED_AT_ONCE):
            self._s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": k} for k in keys[at : at + DELETED_AT_ONCE]], "Quiet": True})


def _file(length: int, at: Any) -> dict[str, Any]:
    return {"type": "FILE", "length": length, "at": int(at.timestamp() * 1000)}


def _folder() -> dict[str, Any]:
    return {"type": "DIRECTORY", "length": 0, "at": 0}
