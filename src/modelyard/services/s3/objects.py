"""`platform.objects`: objects for the platform itself (training inputs, artifacts, captured data).

Every method raises the ApiErrors that a client would see (NoSuchBucket, NoSuchKey). It checks no permission: whoever
acts for a role checks first, with `READ_ACTION`, `LIST_ACTION`, `WRITE_ACTION`, `DELETE_ACTION` on `arn(bucket, key)`.
`account` is the account on whose behalf it happens; bucket names are global, so it is not part of the name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from modelyard.kernel.service import Body, BytesBody, FileBody
from modelyard.kernel.targets import Delivery
from modelyard.services.iam.resource_documents import admits
from modelyard.services.s3.blobs import copy_range
from modelyard.services.s3.depot import Depot, Draft
from modelyard.services.s3.encryption import plan_for
from modelyard.services.s3.index import Version
from modelyard.services.s3.ingest import Promise, receive
from modelyard.services.s3.keys import check_key
from modelyard.services.s3.listing import current_page
from modelyard.services.s3.new_object import finished
from modelyard.services.s3.sealing import stream

READ_ACTION, LIST_ACTION, WRITE_ACTION, DELETE_ACTION = "s3:GetObject", "s3:ListBucket", "s3:PutObject", "s3:DeleteObject"


def arn(bucket: str, key: str | None = None) -> str:
    """The resource that READ/WRITE/DELETE_ACTION (with a key) or LIST_ACTION (without) is checked on."""
    return f"arn:aws:s3:::{bucket}" + ("" if key is None else f"/{key}")


class ObjectStore:
    def __init__(self, depot: Depot) -> None:
        self._depot = depot

    def put_bytes(
        self,
        account: str,
        bucket: str,
        key: str,
        data: bytes,
        content_type: str | None = None,
        metadata: dict[str, str] | None = None,
        kms: str | None = None,
        sealed: dict[str, Any] | None = None,
    ) -> str:
        """Durable when it returns. Answers the ETag (no quotes). `kms`: the KMS key that encrypts it; `sealed`: the encryption as
        PutObject's members say it."""
        return self.put_stream(account, bucket, key, BytesBody(data), content_type, metadata, kms, sealed)

    def put_file(
        self, account: str, bucket: str, key: str, path: Path, content_type: str | None = None, metadata: dict[str, str] | None = None
    ) -> str:
        with open(path, "rb", buffering=0) as file:
            return self.put_stream(account, bucket, key, FileBody(file), content_type, metadata)

    def put_stream(
        self,
        account: str,
        bucket: str,
        key: str,
        body: Body,
        content_type: str | None = None,
        metadata: dict[str, str] | None = None,
        kms: str | None = None,
        sealed: dict[str, Any] | None = None,
    ) -> str:
        check_key(key)
        home = self._depot.bucket(bucket)
        asked: dict[str, Any] = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms} if kms else sealed or {}
        plan = plan_for(None, self._depot.ring, home, key, asked)
        promise = Promise(algorithms={"CRC32"}, etag_key=plan and plan.etag_key())
        received = receive(self._depot.blobs, body, promise, plan and plan.sealer())
        meta = finished({"headers": {"ContentType": content_type} if content_type else {}}, plan, received)
        if metadata:
            meta["user"] = metadata
        return self._depot.put(bucket, key, Draft(received, meta)).etag

    def open(self, account: str, bucket: str, key: str, version: str | None = None) -> BinaryIO:
        """The bytes as a seekable binary file, of the version that is current now, whatever happens to the key later."""
        import io

        _, data = self._depot.find_open(bucket, key, version)
        return io.BytesIO(data) if isinstance(data, bytes) else data

    def read(self, account: str, bucket: str, key: str) -> bytes:
        """All bytes at once: for small documents."""
        with self.open(account, bucket, key) as file:
            return file.read()

    def copy_to(self, account: str, bucket: str, key: str, path: Path, progress: Callable[[int], Any] | None = None) -> int:
        """Writes an independent copy (shared extents where the file system can) to `path`, replacing a file there;
        folders must exist. `progress(bytes)` after each piece. Answers the size in bytes. Not fsynced."""
        version, data = self._depot.find_open(bucket, key)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            if isinstance(data, bytes):
                _write_all(fd, data)
                if progress is not None:
                    progress(len(data))
            elif "sealed" in version.meta:
                for piece in stream(data, 0, version.size):
                    _write_all(fd, piece)
                    if progress is not None:
                        progress(len(piece))
            else:
                with data:
                    copy_range(data.fileno(), fd, version.size, progress)
        finally:
            os.close(fd)
        return version.size

    def list(self, account: str, bucket: str, prefix: str = "") -> Iterator[tuple[str, int, str]]:
        """(key, size, etag) of every object with this prefix, in key order; read in pages."""
        self._depot.bucket(bucket)
        after, inclusive = prefix, True
        while True:
            page = current_page(self._depot.index, bucket, prefix, "", after, 1000, inclusive=inclusive)
            yield from ((one.key, one.size, one.etag) for one in page.items)
            if not page.truncated:
                return
            after, inclusive = page.items[-1].key, False

    def head(self, account: str, bucket: str, key: str, version: str | None = None) -> Version:
        """`size`, `etag`, `modified`, `version`, `meta` of an object."""
        return self._depot.find(bucket, key, version)

    def delete(self, account: str, bucket: str, key: str) -> None:
        self._depot.delete(bucket, key, None)

    def bucket_exists(self, bucket: str) -> bool:
        return self._depot.index.bucket(bucket) is not None

    def owner(self, bucket: str) -> str | None:
        """The account whose bucket it is."""
        home = self._depot.index.bucket(bucket)
        return home.account if home is not None else None

    def admits(self, platform: Any, delivery: Delivery, action: str, more: dict[str, Any] | None = None) -> bool:
        """Whether the policy of the bucket of `delivery.arn` lets the service that delivers do this; `more` are further condition keys."""
        home = self._depot.bucket(delivery.arn.removeprefix("arn:aws:s3:::").partition("/")[0])
        return admits(platform, delivery, action, home.account, orjson.loads(home.policy) if home.policy else None, more).allowed

    def sweep(self, grace_s: float = 24 * 3600.0) -> int:
        """Removes bytes that no object refers to (left by crashes); answers how many files. For the engine, now and then."""
        return self._depot.sweep(grace_s)


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
