"""Running checksums, by S3's names of the algorithms. CRC32C and CRC64NVME come from the small package `anycrc` (16 GB/s; pure Python
makes 10 MB/s)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from functools import cache
from typing import Any

DIGEST_BYTES = {"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8, "SHA1": 20, "SHA256": 32, "SHA512": 64, "MD5": 16}


class _Crc:
    """A running CRC with hashlib's interface."""

    def __init__(self, function: Any, width: int) -> None:
        self._function, self._width, self._value = function, width, 0

    def update(self, data: Any) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._width, "big")


@cache
def _crc(name: str) -> Any:
    import anycrc

    return anycrc.Model(name).calc


def hasher(algorithm: str) -> Any:
    """A fresh running checksum of one of DIGEST_BYTES: `update(bytes)`, `digest()`. KeyError: it is none of them."""
    match algorithm:
        case "CRC32":
            return _Crc(zlib.crc32, 4)
        case "CRC32C":
            return _Crc(_crc("CRC32C"), 4)
        case "CRC64NVME":
            return _Crc(_crc("CRC64-NVME"), 8)
        case "SHA1" | "SHA256" | "SHA512" | "MD5":
            return hashlib.new(algorithm.lower(), usedforsecurity=False)
    raise KeyError(algorithm)


def digest_of(algorithm: str, value: str) -> bytes | None:
    """The digest that a base64 text says; None: it is not one of this algorithm."""
    try:
        digest = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return None
    return digest if len(digest) == DIGEST_BYTES[algorithm] else None
