"""Bytes on their way in: hashed as they pass, small ones kept in memory, the rest written to a blob.

Memory is bounded whatever the size: one buffer of the body, one of the hashing thread's queue.
"""

from __future__ import annotations

import hmac
import queue
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelyard.kernel.service import Body, BytesBody
from modelyard.services.s3 import checksums
from modelyard.services.s3.blobs import Blobs, BlobWriter
from modelyard.services.s3.errors import s3_error
from modelyard.services.s3.sealing import Sealer, SealingWriter

SMALL = 16 << 10
"""Objects up to this size live in the index itself: one group commit makes them durable."""
LARGEST = 5 << 30
"""Of one PUT or one part, as in S3."""
_CHUNK = 1 << 18
_AHEAD = 8


@dataclass
class Received:
    """What came in: bytes in `small`, or (small is None) durable in the blob store under `blob`.

    `etag` is the MD5 in hex, `checksums` has base64 values by algorithm.
    """

    size: int
    etag: str
    checksums: dict[str, str]
    blob: str = ""
    small: bytes | None = None
    salt: str = ""
    """Of encrypted bytes (see sealing.py)."""


@dataclass
class Promise:
    """What the client said about the bytes: to be computed, and to hold. Where it names no algorithm, not in a trailer
    either, S3's default checksum is kept."""

    algorithms: set[str] = field(default_factory=set)
    values: dict[str, str] = field(default_factory=dict)
    md5: bytes | None = None
    etag_key: bytes | None = None
    """Given, the ETag is made with it and so says nothing of the bytes."""

    @classmethod
    def of(cls, request: Mapping[str, Any]) -> Promise:
        values = checksums.expected(request)
        named = {request["ChecksumAlgorithm"]} if request.get("ChecksumAlgorithm") else set()
        return cls(named | set(values), values, checksums.content_md5(request.get("ContentMD5")))


def as_body(value: Any) -> Body:
    """The body of a request as a `Body`, also when a caller in process passed bytes or nothing."""
    if isinstance(value, Body):
        return value
    return BytesBody(value.encode() if isinstance(value, str) else bytes(value or b""))


def receive(blobs: Blobs, body: Body, promise: Promise, sealer: Sealer | None = None) -> Received:
    """Reads a body to its end and checks what was promised. On any error nothing is left behind. With a `sealer` the bytes are
    kept encrypted; sizes and checksums are those of the plain ones."""
    if body.length is not None and body.length > LARGEST:
        raise s3_error("EntityTooLarge", ProposedSize=body.length, MaxSizeAllowed=LARGEST)
    hashers = {name: checksums.hasher(name) for name in sorted((promise.algorithms or {checksums.DEFAULT}) | {"MD5"})}
    head = _read_head(body, SMALL + 1)
    if len(head) <= SMALL:
        for one in hashers.values():
            one.update(head)
        md5, sums = _settle(hashers, promise, body, lambda: [head])
        if sealer is not None:
            return Received(len(head), md5, sums, small=sealer.update(head) + sealer.end(), salt=sealer.salt)
        return Received(len(head), md5, sums, small=head)
    writer: Any = blobs.writer() if sealer is None else SealingWriter(blobs.writer(), sealer)
    try:
        size = _stream(writer, head, body, list(hashers.values()))
        md5, sums = _settle(hashers, promise, body, lambda: _pieces(writer))
    except BaseException:
        writer.abort()
        raise
    return Received(size, md5, sums, blob=writer.commit(), salt=sealer.salt if sealer is not None else "")


def _read_head(body: Body, size: int) -> bytes:
    pieces, have = [], 0
    while have < size and (piece := body.read(_CHUNK)):
        pieces.append(piece)
        have += len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _stream(writer: BlobWriter, head: bytes, body: Body, hashers: list[Any]) -> int:
    """Writes and hashes side by side: one thread hashes piece n while this one writes it and reads piece n+1."""
    size, piece = 0, head
    with HashThread(hashers) as hashing:
        while piece:
            size += len(piece)
            if size > LARGEST:
                raise s3_error("EntityTooLarge", ProposedSize=size, MaxSizeAllowed=LARGEST)
            hashing.update(piece)
            writer.write(piece)
            piece = body.read(_CHUNK)
    return size


class HashThread:
    """Feeds pieces to hashers, from the second MiB on with a thread of its own that is at most `_AHEAD` pieces behind.
    Left normally, all are hashed."""

    def __init__(self, hashers: list[Any]) -> None:
        self._hashers, self._problem, self._inline = hashers, None, 1 << 20
        self._queue: queue.Queue[bytes | None] = queue.Queue(_AHEAD)
        self._thread: threading.Thread | None = None

    def __enter__(self) -> HashThread:
        return self

    def update(self, piece: bytes) -> None:
        if self._thread is not None:
            self._queue.put(piece)
            return
        self._hash(piece)
        self._inline -= len(piece)
        if self._inline <= 0:
            self._thread = threading.Thread(target=self._run, name="s3 hash", daemon=True)
            self._thread.start()

    def __exit__(self, *_: Any) -> None:
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
        if self._problem is not None:
            raise self._problem

    def _hash(self, piece: bytes) -> None:
        for one in self._hashers:
            one.update(piece)

    def _run(self) -> None:
        while (piece := self._queue.get()) is not None:
            if self._problem is None:
                try:
                    self._hash(piece)
                except BaseException as problem:
                    self._problem = problem


def _settle(hashers: Mapping[str, Any], promise: Promise, body: Body, again: Any) -> tuple[str, dict[str, str]]:
    """The MD5 in hex and the checksums to keep, after every promise (headers and trailers) was found kept."""
    digests = {name: one.digest() for name, one in hashers.items()}
    if promise.md5 is not None and promise.md5 != digests["MD5"]:
        raise s3_error("BadDigest", ExpectedDigest=promise.md5.hex(), CalculatedDigest=checksums.text(digests["MD5"]))
    values = {**promise.values, **checksums.expected_in_trailers(getattr(body, "trailers", None) or {})}
    for name in values.keys() - digests.keys():  # named in the trailer only: read the bytes once more
        late = checksums.hasher(name)
        for piece in again():
            late.update(piece)
        digests[name] = late.digest()
    for name, value in values.items():
        if checksums.text(digests[name]) != value:
            raise checksums.mismatch(name)
    kept = promise.algorithms | values.keys() or {checksums.DEFAULT}
    etag = digests["MD5"].hex() if promise.etag_key is None else hmac.digest(promise.etag_key, digests["MD5"], "sha256")[:16].hex()
    return etag, {name: checksums.text(digests[name]) for name in sorted(kept)}


def _pieces(writer: BlobWriter) -> Iterable[bytes]:
    with writer.reread() as file:
        while piece := file.read(_CHUNK):
            yield piece
