"""A streamed payload, verified as it is read: aws-chunked taken off, hashes, signatures and lengths checked."""

from __future__ import annotations

from hashlib import sha256

from modelyard.kernel.errors import ApiError
from modelyard.kernel.service import Body
from modelyard.wire.body import incomplete
from modelyard.wire.chunked import ChunkDecoder, ChunkSigner
from modelyard.wire.http import HttpRequest
from modelyard.wire.sigv4 import Authenticated, is_decimal, payload_mismatch

UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
_BACKLOG = 1 << 20


class HashedBody(Body):
    """A body whose SHA-256 was signed: the last read raises where it differs, before the end is told."""

    def __init__(self, inner: Body, said: str, family: str) -> None:
        self._inner, self._said, self._family = inner, said, family
        self._hash, self._checked = sha256(), False
        self.length = inner.length

    @property
    def trailers(self) -> dict[str, str]:
        return self._inner.trailers

    def read(self, size: int = 1 << 18) -> bytes:
        data = self._inner.read(size)
        if data:
            self._hash.update(data)
        elif not self._checked:
            computed = self._hash.hexdigest()
            if computed != self._said:
                raise payload_mismatch(self._family, self._said, computed)
            self._checked = True
        return data


class ChunkedBody(Body):
    """A body in aws-chunked; `trailers` are those inside the coding."""

    def __init__(self, inner: Body, decoder: ChunkDecoder, length: int | None) -> None:
        self._inner, self._decoder, self.length = inner, decoder, length
        self._ready: list[bytes] = []
        self._ended = False

    @property
    def trailers(self) -> dict[str, str]:
        return self._decoder.trailers

    def read(self, size: int = 1 << 18) -> bytes:
        while not self._ready:
            if self._ended:
                return b""
            data = self._inner.read(size)
            if not data:
                self._decoder.end()
                self._ended = True
                return b""
            self._ready.extend(reversed(self._decoder.feed(data)))
        piece = self._ready.pop()
        if len(piece) > size:
            self._ready.append(piece[size:])
            piece = piece[:size]
        return piece


class MeasuredBody(Body):
    """A body of a said length; fewer bytes are IncompleteBody (the server's own framing cannot end early, other carriers can)."""

    def __init__(self, inner: Body, length: int) -> None:
        self._inner, self.length, self._left = inner, length, length

    @property
    def trailers(self) -> dict[str, str]:
        return self._inner.trailers

    def read(self, size: int = 1 << 18) -> bytes:
        data = self._inner.read(size)
        self._left -= len(data)
        if not data and self._left:
            raise incomplete()
        return data


def is_chunked(said: str, request: HttpRequest) -> bool:
    """Whether the payload is in aws-chunked: the content hash says so, or (unsigned mode of old clients) the encoding. Where
    a hash was signed the encoding, which need not be signed, must not take the payload out of its reach."""
    return said.startswith("STREAMING-") or (said in ("", "UNSIGNED-PAYLOAD") and "aws-chunked" in request.header("content-encoding"))


def verified(request: HttpRequest, who: Authenticated, family: str) -> Body:
    """The body as an operation may read it. Raises ApiError for a coding we do not know."""
    claim = who.claim
    said = (claim.payload if claim else "") or request.header("x-amz-content-sha256")
    if is_chunked(said, request):
        return _unchunked(request, who, said)
    if family == "s3" and "content-length" not in request.index and "transfer-encoding" not in request.index:
        raise ApiError("MissingContentLength", "You must provide the Content-Length HTTP header.", 411)
    body = request.body
    if len(said) == 64:
        return HashedBody(body, said, family)
    if said not in ("", "UNSIGNED-PAYLOAD"):
        raise ApiError(
            "InvalidArgument",
            "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, "
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.",
            400,
            fields={"ArgumentName": "x-amz-content-sha256", "ArgumentValue": said},
        )
    return body


def _unchunked(request: HttpRequest, who: Authenticated, said: str) -> Body:
    claim, signer = who.claim, None
    if said in (SIGNED, SIGNED_TRAILER):
        if claim is not None and who.key:
            signer = ChunkSigner(who.key, claim.moment, claim.scope, claim.signature)
    elif said.startswith("STREAMING-") and said != UNSIGNED_TRAILER:
        raise ApiError("NotImplemented", f"{said}: this way of signing a payload is not built.", 501)
    length = request.header("x-amz-decoded-content-length")
    if length and not is_decimal(length):
        raise ApiError("InvalidArgument", "x-amz-decoded-content-length must be a number.", 400)
    if not length:
        raise ApiError("MissingContentLength", "You must provide the Content-Length HTTP header.", 411)
    decoder = ChunkDecoder(signer, said.endswith("-TRAILER"), int(length))
    return ChunkedBody(request.body, decoder, int(length))
