"""What the headers of an S3 request promise about a document in its body: Content-MD5 and x-amz-checksum-*.

Source: "Common request headers" of the S3 API reference. Bodies that stream are checked as they pass (services/s3/ingest.py).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Callable

import anycrc

from modelyard.kernel.errors import ApiError
from modelyard.wire.http import HttpRequest

_CRC32C, _CRC64NVME = anycrc.Model("CRC32C"), anycrc.Model("CRC64-NVME")
_MADE: dict[str, Callable[[bytes], bytes]] = {
    "crc32": lambda body: zlib.crc32(body).to_bytes(4, "big"),
    "crc32c": lambda body: _CRC32C.calc(body).to_bytes(4, "big"),
    "crc64nvme": lambda body: _CRC64NVME.calc(body).to_bytes(8, "big"),
    "sha1": lambda body: hashlib.sha1(body, usedforsecurity=False).digest(),
    "sha256": lambda body: hashlib.sha256(body).digest(),
}


def check(request: HttpRequest, body: bytes, wanted: bool) -> None:
    """Raises InvalidDigest, InvalidRequest or BadDigest; where one is `wanted` and there is none, InvalidRequest."""
    index = request.index
    if (said := index.get("content-md5")) is not None:
        if _decoded(said, 16) != hashlib.md5(body, usedforsecurity=False).digest():
            raise ApiError("BadDigest", "The Content-MD5 you specified did not match what we received.", 400)
        wanted = False
    for name, made in _MADE.items():
        if (said := index.get(f"x-amz-checksum-{name}")) is None:
            continue
        digest = made(body)
        try:
            given = base64.b64decode(said, validate=True)
        except (binascii.Error, ValueError):
            given = b""
        if len(given) != len(digest):
            raise ApiError("InvalidRequest", f"Value for x-amz-checksum-{name} header is invalid.", 400)
        if given != digest:
            raise ApiError("BadDigest", f"The {name.upper()} you specified did not match the calculated checksum.", 400)
        wanted = False
    if wanted and "x-amz-trailer" not in index:
        raise ApiError("InvalidRequest", "Missing required header for this request: Content-MD5 OR x-amz-checksum-*", 400)


def _decoded(text: str, length: int) -> bytes:
    try:
        digest = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        digest = b""
    if len(digest) != length:
        raise ApiError("InvalidDigest", "The Content-MD5 you specified was invalid.", 400, fields={"Content-MD5": text})
    return digest
