"""Checksums of objects: MD5 for the ETag, and S3's CRC32, CRC32C, CRC64NVME, SHA1, SHA256.

Source: "Checking object integrity" of the S3 user guide; members `Checksum<ALGORITHM>` of botocore's model, values
base64 of the big-endian digest.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Mapping
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.services.s3.errors import s3_error

ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
MEMBERS = {f"Checksum{name}": name for name in ALGORITHMS}
CRCS = {"CRC32", "CRC32C", "CRC64NVME"}


class _Crc:
    """A running CRC with hashlib's interface."""

    def __init__(self, function: Any, width: int) -> None:
        self._function, self._width, self._value = function, width, 0

    def update(self, data: Any) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._width, "big")


def _crc32c(data: Any, value: int) -> int:
    from awscrt import checksums

    return checksums.crc32c(bytes(data), value)


def _crc64nvme(data: Any, value: int) -> int:
    from awscrt import checksums

    return checksums.crc64nvme(bytes(data), value)


def hasher(algorithm: str) -> Any:
    """A fresh running checksum: `update(bytes)`, `digest()`."""
    match algorithm:
        case "CRC32":
            return _Crc(zlib.crc32, 4)
        case "CRC32C":
            return _Crc(_crc32c, 4)
        case "CRC64NVME":
            return _Crc(_crc64nvme, 8)
        case "SHA1":
            return hashlib.sha1(usedforsecurity=False)
        case "SHA256":
            return hashlib.sha256()
        case "MD5":
            return hashlib.md5(usedforsecurity=False)
    raise s3_error(
        "InvalidRequest", "Checksum algorithm provided is unsupported. Please try again with any of the valid types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]"
    )


def text(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def expected(request: Mapping[str, Any]) -> dict[str, str]:
    """The checksums a request states in its own members: algorithm → base64. More than one is refused."""
    found = {name: request[member] for member, name in MEMBERS.items() if request.get(member)}
    if len(found) > 1:
        raise s3_error("InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
    for name, value in found.items():
        _check_form(name, value)
    return found


def expected_in_trailers(trailers: Mapping[str, str]) -> dict[str, str]:
    found = {name: trailers[f"x-amz-checksum-{name.lower()}"] for name in ALGORITHMS if f"x-amz-checksum-{name.lower()}" in trailers}
    for name, value in found.items():
        _check_form(name, value)
    return found


def content_md5(value: str | None) -> bytes | None:
    """The digest of a Content-MD5 header; InvalidDigest where it is no MD5."""
    if value is None:
        return None
    try:
        digest = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != 16:
        raise s3_error("InvalidDigest", **{"Content-MD5": value})
    return digest


def mismatch(algorithm: str) -> ApiError:
    return s3_error("BadDigest", f"The {algorithm} you specified did not match the calculated checksum.")


def _check_form(algorithm: str, value: str) -> None:
    size = {"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8, "SHA1": 20, "SHA256": 32}[algorithm]
    try:
        good = len(base64.b64decode(value, validate=True)) == size
    except (binascii.Error, ValueError):
        good = False
    if not good:
        raise s3_error("InvalidRequest", f"Value for x-amz-checksum-{algorithm.lower()} header is invalid.")
