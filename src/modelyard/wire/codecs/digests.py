"""What the headers of an S3 request promise about a document in its body: Content-MD5 and x-amz-checksum-*.

Source: "Common request headers" of the S3 API reference. Bodies that stream are checked as they pass (services/s3/ingest.py).
"""

from __future__ import annotations

from modelyard.kernel.errors import ApiError
from modelyard.kernel.hashing import digest_of, hasher
from modelyard.wire.http import HttpRequest

ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")


def check(request: HttpRequest, body: bytes, wanted: bool) -> None:
    """Raises InvalidDigest, InvalidRequest or BadDigest; where one is `wanted` and there is none, InvalidRequest."""
    index = request.index
    if (said := index.get("content-md5")) is not None:
        given = digest_of("MD5", said)
        if given is None:
            raise ApiError("InvalidDigest", "The Content-MD5 you specified was invalid.", 400, fields={"Content-MD5": said})
        if given != _digest("MD5", body):
            raise ApiError("BadDigest", "The Content-MD5 you specified did not match what we received.", 400)
        wanted = False
    for algorithm in ALGORITHMS:
        header = f"x-amz-checksum-{algorithm.lower()}"
        if (said := index.get(header)) is None:
            continue
        given = digest_of(algorithm, said)
        if given is None:
            raise ApiError("InvalidRequest", f"Value for {header} header is invalid.", 400)
        if given != _digest(algorithm, body):
            raise ApiError("BadDigest", f"The {algorithm} you specified did not match the calculated checksum.", 400)
        wanted = False
    if wanted and "x-amz-trailer" not in index:
        raise ApiError("InvalidRequest", "Missing required header for this request: Content-MD5 OR x-amz-checksum-*", 400)


def _digest(algorithm: str, body: bytes) -> bytes:
    running = hasher(algorithm)
    running.update(body)
    return running.digest()
