"""Checksums of objects: MD5 for the ETag, and S3's additional checksums.

Source: "Checking object integrity" of the S3 user guide; members `Checksum<ALGORITHM>` of botocore's model, values
base64 of the big-endian digest, made by kernel/hashing.py. The XXHASH family is refused, not ignored.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from modelyard.kernel import hashing
from modelyard.kernel.errors import ApiError
from modelyard.kernel.hashing import DIGEST_BYTES
from modelyard.services.s3.errors import s3_error

_UNBUILT = ("XXHASH64", "XXHASH3", "XXHASH128")
DEFAULT = "CRC64NVME"
"""What S3 keeps of an object when the client named no algorithm."""

# Bit-reflected polynomials, for joining the CRCs of parts.
_POLYNOMIALS = {"CRC32": (32, 0xEDB88320), "CRC32C": (32, 0x82F63B78), "CRC64NVME": (64, 0x9A6C9329AC4BC9B5)}


def hasher(algorithm: str) -> Any:
    """A fresh running checksum: `update(bytes)`, `digest()`."""
    if algorithm not in DIGEST_BYTES:
        raise unsupported()
    return hashing.hasher(algorithm)


def unsupported() -> ApiError:
    return s3_error(
        "InvalidRequest",
        f"Checksum algorithm provided is unsupported. Please try again with any of the valid types: [{', '.join(DIGEST_BYTES)}]",
    )


def is_crc(algorithm: str) -> bool:
    return algorithm in _POLYNOMIALS


def text(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


def raw(value: str) -> bytes:
    return base64.b64decode(value)


def expected(request: Mapping[str, Any]) -> dict[str, str]:
    """The checksums a request states in its own members: algorithm → base64. More than one is refused."""
    if any(request.get(f"Checksum{name}") for name in _UNBUILT):
        raise unsupported()
    found = {name: request[f"Checksum{name}"] for name in DIGEST_BYTES if request.get(f"Checksum{name}")}
    if len(found) > 1:
        raise s3_error("InvalidRequest", "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.")
    for name, value in found.items():
        _check_form(name, value)
    return found


def expected_in_trailers(trailers: Mapping[str, str]) -> dict[str, str]:
    found = {name: trailers[f"x-amz-checksum-{name.lower()}"] for name in DIGEST_BYTES if f"x-amz-checksum-{name.lower()}" in trailers}
    for name, value in found.items():
        _check_form(name, value)
    return found


def content_md5(value: str | None) -> bytes | None:
    """The digest of a Content-MD5 header; InvalidDigest where it is no MD5."""
    if value is None:
        return None
    digest = hashing.digest_of("MD5", value)
    if digest is None:
        raise s3_error("InvalidDigest", **{"Content-MD5": value})
    return digest


def mismatch(algorithm: str) -> ApiError:
    return s3_error("BadDigest", f"The {algorithm} you specified did not match the calculated checksum.")


def composite(algorithm: str, parts: list[str]) -> str:
    """The checksum of checksums of a multipart object: `base64(H(h1 h2 …))-N`."""
    whole = hasher(algorithm)
    whole.update(b"".join(raw(one) for one in parts))
    return f"{text(whole.digest())}-{len(parts)}"


def joined_crc(algorithm: str, parts: list[tuple[str, int]]) -> str:
    """The CRC of all bytes from the CRCs and lengths of their pieces: CRC is linear, so the first one is moved on by
    the second's length (multiplied by x^(8·length)) and added."""
    width, polynomial = _POLYNOMIALS[algorithm]
    value = 0
    for one, length in parts:
        value = _times(value, _power_of_x(8 * length, width, polynomial), width, polynomial) ^ int.from_bytes(raw(one), "big")
    return text(value.to_bytes(width // 8, "big"))


def _times(a: int, b: int, width: int, polynomial: int) -> int:
    """a·b modulo the polynomial, both bit-reflected (the highest bit is x^0)."""
    product = 0
    for bit in range(width - 1, -1, -1):
        if a >> bit & 1:
            product ^= b
        b = (b >> 1) ^ polynomial if b & 1 else b >> 1
    return product


def _power_of_x(exponent: int, width: int, polynomial: int) -> int:
    result, square = 1 << (width - 1), 1 << (width - 2)
    while exponent:
        if exponent & 1:
            result = _times(result, square, width, polynomial)
        square = _times(square, square, width, polynomial)
        exponent >>= 1
    return result


def _check_form(algorithm: str, value: str) -> None:
    if hashing.digest_of(algorithm, value) is None:
        raise s3_error("InvalidRequest", f"Value for x-amz-checksum-{algorithm.lower()} header is invalid.")
