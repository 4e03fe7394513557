"""What asynchronous inference touches outside, as the model's execution role: input and output objects, topics.

`item` is a serving/asynchronous/queue.py Item. A notification is published by the role itself, as on AWS ("your IAM role must
have sns:Publish"), so its policies and the topic's decide.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from time import monotonic
from types import SimpleNamespace
from typing import Any, BinaryIO

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.kernel.service import FileBody
from modelyard.services.sagemaker.common import parse_s3_uri
from modelyard.services.sagemaker.role_session import RoleSession

SESSION_REAL_SECONDS = 1800.0
"""A role's session is used for so long, then the next one is made; it is good for much longer."""
IN_MEMORY_BYTES = 1 << 20


class Hands:
    """Used by many threads. Raises the ApiErrors of S3, SNS and IAM."""

    def __init__(self, platform: Any) -> None:
        self._platform = platform
        self._sessions: dict[tuple[str, str, str], tuple[float, RoleSession]] = {}
        self._lock = threading.Lock()

    def read(self, item: Any, uri: str) -> Any:
        """`length`, `content_type`, `pieces` (b"" never among them) and `close` of an object."""
        bucket, key = parse_s3_uri(uri, "inputLocation")
        length, content_type, pieces = self._role(item).stream(bucket, key)
        return SimpleNamespace(length=length, content_type=content_type, pieces=pieces, close=_closer(pieces))

    def written(self, item: Any, uri: str) -> bool:
        """Whether this request's object is there: nobody else writes to its place, but a place the client named may have been
        written before."""
        bucket, key = parse_s3_uri(uri, "outputLocation")
        try:
            return self._platform.objects.head(item.account, bucket, key).modified >= item.received_at - 1.0
        except ApiError:
            return False

    def write(self, item: Any, uri: str, file: BinaryIO, content_type: str) -> None:
        """Creates the object; a place made up by the platform is written once, a place the client named is written over."""
        bucket, key = parse_s3_uri(uri, "outputLocation")
        size = file.seek(0, 2)
        file.seek(0)
        body = file.read() if size <= IN_MEMORY_BYTES else FileBody(file, size)
        members: dict[str, Any] = {"ContentType": content_type} if content_type else {}
        if item.request.get("kms"):
            members |= {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": item.request["kms"]}
        if not item.request.get("named"):
            members["IfNoneMatch"] = "*"
        try:
            self._role(item).put(bucket, key, body, **members)
        except ApiError as problem:
            if problem.code != "PreconditionFailed":
                raise

    def publish(self, item: Any, topic: str, message: dict[str, Any]) -> None:
        self._role(item).publish(topic, orjson.dumps(message).decode())

    def _role(self, item: Any) -> RoleSession:
        key = (item.account, item.region, item.request["role"])
        with self._lock:
            made, session = self._sessions.get(key, (0.0, None))
            if session is None or monotonic() - made > SESSION_REAL_SECONDS:
                session = RoleSession(self._platform, *key)
                self._sessions[key] = (monotonic(), session)
            return session


def _closer(pieces: Iterator[bytes]) -> Callable[[], None]:
    def close() -> None:
        with suppress(ValueError):  # a thread is still reading it: then it closes when it is collected
            pieces.close()  # type: ignore[attr-defined]

    return close
