"""An output object: gathered, uploaded in parts where it is large, and there only once it is whole. As on AWS, S3's multipart upload."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.reserve import is_full
from modelyard.services.sagemaker.role_session import RoleSession
from modelyard.services.sagemaker.transform_job.ledger import Ledger
from modelyard.serving.transform.errors import CLIENT, Refused

FIRST_PART_BYTES, MORE_PARTS = 16 << 20, 1000
"""After so many parts they double in size: 10,000 of them reach S3's largest object."""


class Output:
    """`close()` or `abort()` it."""

    def __init__(self, session: RoleSession, ledger: Ledger, host: int, bucket: str, key: str, kms: str = "") -> None:
        self._session, self._ledger, self._host, self._bucket, self._key = session, ledger, host, bucket, key
        self._more = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms} if kms else {}
        self._held = bytearray()
        self._upload = ""
        self._note: Path | None = None
        self._parts: list[dict[str, Any]] = []

    async def write(self, data: bytes) -> None:
        self._held += data
        if len(self._held) >= FIRST_PART_BYTES << (len(self._parts) // MORE_PARTS):
            await asyncio.to_thread(self.flush)

    def write_now(self, data: bytes) -> None:
        """The same on a thread that may wait."""
        self._held += data
        if len(self._held) >= FIRST_PART_BYTES << (len(self._parts) // MORE_PARTS):
            self.flush()

    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    async def abort(self) -> None:
        await asyncio.to_thread(self._abort)

    def flush(self) -> None:
        """What is held becomes a part."""
        with _uploading(self._bucket, self._key):
            if not self._upload:
                answer = self._session.ask("CreateMultipartUpload", {"Bucket": self._bucket, "Key": self._key, **self._more})
                self._upload = answer["UploadId"]
                self._note = self._ledger.note_upload(self._host, self._bucket, self._key, self._upload)
            number = len(self._parts) + 1
            answer = self._session.ask("UploadPart", {**self._id(), "PartNumber": number, "Body": bytes(self._held)})
            self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})
            self._held.clear()

    def _close(self) -> None:
        with _uploading(self._bucket, self._key):
            if not self._upload:
                self._session.put(self._bucket, self._key, bytes(self._held), **self._more)
                return
            if self._held:
                self.flush()
            self._session.ask("CompleteMultipartUpload", {**self._id(), "MultipartUpload": {"Parts": self._parts}})
            self._note.unlink(missing_ok=True)

    def _abort(self) -> None:
        if self._upload:
            abort(self._session, self._note, self._bucket, self._key, self._upload)

    def _id(self) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._key, "UploadId": self._upload}


def abort(session: RoleSession, note: Path, bucket: str, key: str, upload: str) -> None:
    with contextlib.suppress(ApiError):
        session.ask("AbortMultipartUpload", {"Bucket": bucket, "Key": key, "UploadId": upload})
    note.unlink(missing_ok=True)


@contextlib.contextmanager
def _uploading(bucket: str, key: str):
    try:
        yield
    except ApiError as problem:
        raise Refused(CLIENT, f"Failed to upload the output to s3://{bucket}/{key}: {problem.code}: {problem.message}") from None
    except OSError as problem:
        if is_full(problem):
            raise Refused(CLIENT, "Failed to upload the output: Insufficient disk space") from None
        raise
