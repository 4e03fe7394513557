"""The aws-chunked coding, pushed bytes in, decoded bytes out. Pure.

    <hex size>[;chunk-signature=<64 hex>]\\r\\n <data> \\r\\n … 0[;chunk-signature=…]\\r\\n <trailers> \\r\\n

Source: "Signature calculations for the Authorization header: transferring a payload in multiple chunks" (Amazon S3 API
Reference) and "… with trailing headers". botocore sends the unsigned form, the Java and Go SDKs the signed ones.
"""

from __future__ import annotations

import hmac
import re
from hashlib import sha256

from modelyard.kernel.errors import ApiError
from modelyard.wire import signing

LONGEST_LINE = 4096
MOST_TRAILERS = 32
LARGEST_SIGNED_CHUNK = 16 << 20
_HEX = re.compile(r"[0-9a-fA-F]{1,16}").fullmatch


def malformed(text: str) -> ApiError:
    return ApiError("InvalidChunkSizeError" if "size" in text else "IncompleteBody", text, 400)


class ChunkSigner:
    """The running signature of a signed body: each chunk signs the one before."""

    def __init__(self, key: bytes, moment: str, scope: str, seed: str) -> None:
        self._key, self._prefix, self._last = key, f"{moment}\n{scope}\n", seed

    def chunk(self, digest: str, said: str) -> None:
        self._check(f"AWS4-HMAC-SHA256-PAYLOAD\n{self._prefix}{self._last}\n{signing.EMPTY_SHA256}\n{digest}", said)

    def trailer(self, canonical: bytes, said: str) -> None:
        self._check(f"AWS4-HMAC-SHA256-TRAILER\n{self._prefix}{self._last}\n{sha256(canonical).hexdigest()}", said)

    def _check(self, text: str, said: str) -> None:
        signature = signing.sign(self._key, text)
        if not hmac.compare_digest(signature.encode(), said.encode("latin-1")):
            raise ApiError(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
                403,
            )
        self._last = signature


class ChunkDecoder:
    """`feed` answers decoded pieces. Of a signed body a chunk comes out only once its signature was right.

    `signer` None: unsigned. `signatures`: the chunks carry signatures (they must, where a signer checks them). `trailing`: the
    body ends in trailers. After the last byte `done` is true and `trailers` are there.
    """

    def __init__(self, signer: ChunkSigner | None, trailing: bool, decoded_length: int | None) -> None:
        self._signer, self._trailing, self._expected = signer, trailing, decoded_length
        self.trailers: dict[str, str] = {}
        self.done = False
        self._buffer = bytearray()
        self._state = self._size_line
        self._left = self._decoded = 0
        self._said = ""
        self._held: list[bytes] = []
        self._hash = None
        self._canonical, self._lines, self._trailer_done = b"", 0, False

    def feed(self, data: bytes) -> list[bytes]:
        """Raises ApiError where framing, signature or length is wrong."""
        if self.done:
            if data:
                raise malformed("There are bytes after the end of the chunked body.")
            return []
        self._buffer += data
        out: list[bytes] = []
        while not self.done and self._state(out):
            pass
        if self.done and self._buffer:
            raise malformed("There are bytes after the end of the chunked body.")
        return out

    def end(self) -> None:
        """The transport's body has ended: so must this one have."""
        if not self.done:
            raise ApiError("IncompleteBody", "The request body terminated unexpectedly", 400)

    # --- states: each answers whether there may be more to do ------------------------------------------

    def _line(self) -> bytes | None:
        at = self._buffer.find(b"\r\n")
        if at < 0 or at > LONGEST_LINE:
            if len(self._buffer) > LONGEST_LINE:
                raise malformed("A line of the chunked body is too long.")
            return None
        line = bytes(self._buffer[:at])
        del self._buffer[: at + 2]
        return line

    def _size_line(self, out: list[bytes]) -> bool:
        line = self._line()
        if line is None:
            return False
        text, _, extension = line.decode("latin-1").partition(";")
        if not _HEX(text):
            raise malformed("The chunk size is not valid.")
        size = int(text, 16)
        name, _, said = extension.partition("=")
        self._said = said.strip() if name.strip() == "chunk-signature" else ""
        if self._signer is not None:
            if size > LARGEST_SIGNED_CHUNK:
                raise malformed("The chunk size is too large.")
            self._hash = sha256()
        self._left, self._decoded = size, self._decoded + size
        if self._expected is not None and self._decoded > self._expected:
            raise malformed("The chunked body is longer than x-amz-decoded-content-length said: its chunk size is wrong.")
        self._state = self._data if size else self._last
        return True

    def _data(self, out: list[bytes]) -> bool:
        piece = bytes(self._buffer[: self._left])
        if not piece:
            return False
        del self._buffer[: len(piece)]
        self._left -= len(piece)
        if self._signer is None:
            out.append(piece)
        else:
            self._hash.update(piece)
            self._held.append(piece)
        if self._left == 0:
            self._state = self._data_end
        return True

    def _data_end(self, out: list[bytes]) -> bool:
        if len(self._buffer) < 2:
            return False
        if self._buffer[:2] != b"\r\n":
            raise malformed("A chunk is longer than its chunk size.")
        del self._buffer[:2]
        if self._signer is not None:
            self._signer.chunk(self._hash.hexdigest(), self._said)
            out.extend(self._held)
            self._held = []
        self._state = self._size_line
        return True

    def _last(self, out: list[bytes]) -> bool:
        if self._signer is not None:
            self._signer.chunk(signing.EMPTY_SHA256, self._said)
        if self._expected is not None and self._decoded != self._expected:
            raise ApiError(
                "IncompleteBody", "You did not provide the number of bytes specified by the x-amz-decoded-content-length header.", 400
            )
        self._state = self._trailer_line
        return True

    def _trailer_line(self, out: list[bytes]) -> bool:
        line = self._line()
        if line is None:
            return False
        if not line:
            # A trailer section may have an empty line before the trailer signature.
            if self._signer is None or not self._trailing or self._trailer_done:
                self.done = True
            return True
        name, mark, value = line.decode("latin-1").partition(":")
        name = name.strip().lower()
        self._lines += 1
        if not mark or not name or self._lines > MOST_TRAILERS:
            raise malformed("A trailer of the chunked body is not valid.")
        if name == "x-amz-trailer-signature":
            if self._signer is not None:
                self._signer.trailer(self._canonical, value.strip())
            self._trailer_done = True
            return True
        self.trailers[name] = value.strip()
        self._canonical += f"{name}:{value.strip()}\n".encode("latin-1")
        return True
