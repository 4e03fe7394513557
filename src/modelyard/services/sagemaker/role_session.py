"""A job's or replica's hands: S3 reached as its execution role, through the operations a client reaches."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from copy import copy
from pathlib import Path
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.identity import Credential
from modelyard.kernel.service import Call, FileBody, FileSlice

SESSION_NAME = "SageMaker"
SESSION_SECONDS = 12 * 3600.0
COPY_BYTES = 1 << 20


class RoleSession:
    """Temporary credentials of an execution role, and S3 as that role may use it. Raises the ApiErrors of S3."""

    def __init__(self, world: Any, account: str, region: str, role_arn: str, at_least_s: float = 0.0, name: str = SESSION_NAME) -> None:
        # The session runs on the platform clock, the job in real time: a fast clock must not cut it off.
        seconds = (SESSION_SECONDS + at_least_s) * max(world.clock.speed, 1.0)
        self.credential: Credential = world.identity.session_for_role(role_arn, name, seconds)
        self._call = Call(world, "sagemaker", "", account, region, self.credential.principal, f"role-{os.urandom(6).hex()}")

        self._more: dict[str, Any] = {}

    def encrypting(self, kms_key: str | None) -> RoleSession:
        """The same hands; what they upload is encrypted by S3 with this KMS key, which the role must be allowed to use. None or "": as
        the bucket keeps its objects."""
        other = copy(self)
        other._more = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": kms_key} if kms_key else {}
        return other

    def environment(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": self.credential.access_key,
            "AWS_SECRET_ACCESS_KEY": self.credential.secret_key,
            "AWS_SESSION_TOKEN": self.credential.token or "",
        }

    def list(self, bucket: str, prefix: str) -> Iterator[tuple[str, int]]:
        """(key, size) of every object with this prefix, in order."""
        request: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix}
        while True:
            page = self._call.invoke("s3", "ListObjectsV2", request)
            for item in page.get("Contents", []):
                yield item["Key"], item["Size"]
            if not page.get("IsTruncated"):
                return
            request["ContinuationToken"] = page["NextContinuationToken"]

    def exists(self, bucket: str, key: str) -> bool:
        """Whether the role sees this object; raises AccessDenied where it may not look."""
        try:
            self._call.invoke("s3", "HeadObject", {"Bucket": bucket, "Key": key})
        except ApiError as problem:
            if problem.status != 404:
                raise
            return False
        return True

    def head(self, bucket: str, key: str) -> tuple[str, int]:
        """(ETag, size) of an object; raises NoSuchKey or AccessDenied."""
        answer = self._call.invoke("s3", "HeadObject", {"Bucket": bucket, "Key": key})
        return answer.get("ETag", ""), answer.get("ContentLength", 0)

    def read(self, bucket: str, key: str, limit: int) -> bytes | None:
        """A small object whole; None where it has more than `limit` bytes."""
        answer = self._call.invoke("s3", "GetObject", {"Bucket": bucket, "Key": key})
        if answer.get("ContentLength", 0) > limit:
            _close(answer["Body"])
            return None
        return b"".join(_pieces(answer["Body"]))

    def stream(self, bucket: str, key: str) -> tuple[int, str, Iterator[bytes]]:
        """(size, content type, pieces) of an object; the generator closes what it opened."""
        answer = self._call.invoke("s3", "GetObject", {"Bucket": bucket, "Key": key})
        return answer["ContentLength"], answer.get("ContentType", ""), _pieces(answer["Body"])

    def ask(self, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Any operation of S3."""
        return self._call.invoke("s3", operation, request)

    def put(self, bucket: str, key: str, body: Any, **members: Any) -> None:
        """`body` is bytes or a Body; `members` further members of PutObject."""
        self._call.invoke("s3", "PutObject", {"Bucket": bucket, "Key": key, "Body": body, **self._more, **members})

    def invoke(self, service: str, operation: str, request: dict[str, Any]) -> dict[str, Any]:
        """Any operation, as the role."""
        return self._call.invoke(service, operation, request)

    def publish(self, topic: str, message: str) -> None:
        """To an SNS topic, as the role."""
        self._call.invoke("sns", "Publish", {"TopicArn": topic, "Message": message})

    def download(self, bucket: str, key: str, path: Path, progress: Callable[[int], None] = lambda size: None) -> None:
        """The object as a file of its own (never a link: a job may write over its inputs)."""
        answer = self._call.invoke("s3", "GetObject", {"Bucket": bucket, "Key": key})
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            for piece in _pieces(answer["Body"]):
                file.write(piece)
                progress(len(piece))

    def link(self, bucket: str, key: str, path: Path) -> bool:
        """The object's very file at `path`, for places that nobody can write to. False: it is no file of this disk, and was copied."""
        answer = self._call.invoke("s3", "GetObject", {"Bucket": bucket, "Key": key})
        body = answer["Body"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if isinstance(body, FileSlice) and not body.offset and body.length == os.fstat(body.file.fileno()).st_size:
            try:
                os.link(body.file.name, path)
                body.file.close()
                return True
            except (OSError, TypeError):  # it was deleted meanwhile, lies on another disk, or has no name
                pass
        with path.open("wb") as file:
            for piece in _pieces(body):
                file.write(piece)
        return False

    def upload(self, path: Path, bucket: str, key: str) -> None:
        with path.open("rb") as file:
            self.put(bucket, key, FileBody(file))


def _pieces(body: Any) -> Iterator[bytes]:
    if isinstance(body, FileSlice):
        with body.file as file:
            file.seek(body.offset)
            left = body.length
            while left > 0 and (piece := file.read(min(left, COPY_BYTES))):
                left -= len(piece)
                yield piece
    elif isinstance(body, (bytes, bytearray)):
        yield bytes(body)
    else:
        yield from body


def _close(body: Any) -> None:
    if isinstance(body, FileSlice):
        body.file.close()
