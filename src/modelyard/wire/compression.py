"""Request bodies that clients compress by themselves: botocore gzips PutMetricData from 10 KiB on."""

from __future__ import annotations

import zlib

from modelyard.kernel.errors import ApiError
from modelyard.wire.http import HttpRequest

MAX_BYTES = 32 << 20


def plain_body(request: HttpRequest, body: bytes) -> bytes:
    """The body without its `Content-Encoding: gzip`; as it is where there is none. What was signed is the compressed form."""
    if not body or not request.header("content-encoding").rstrip().endswith("gzip"):
        return body
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(body, MAX_BYTES)
    except zlib.error:
        raise ApiError("SerializationException", "the request body is not gzip as its Content-Encoding says", 400)
    if unpacker.unconsumed_tail:
        raise ApiError("RequestEntityTooLarge", f"the request body is longer than {MAX_BYTES} bytes when unpacked", 413)
    if not unpacker.eof:
        raise ApiError("SerializationException", "the gzip stream of the request body ends too early", 400)
    return plain
