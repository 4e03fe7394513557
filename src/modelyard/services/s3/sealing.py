"""Encrypted bytes: AES-256-GCM in segments of 64 KiB, so that a range is read by decrypting only what it touches.

An object is one or more pieces (the parts of a multipart upload), each a run of segments under a key of its own: HKDF-SHA-256 of the
object's key with the piece's random salt. The nonce is the segment's number; a key is used for one piece only, so none repeats.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SEGMENT, TAG = 64 << 10, 16

Pieces = list[list[Any]]
"""[[bytes of plain text, salt in hex], …]"""


def _cipher(key: bytes, salt: str) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, bytes.fromhex(salt), b"modelyard s3 object").derive(key))


def _nonce(number: int) -> bytes:
    return number.to_bytes(12, "big")


def sealed_size(size: int) -> int:
    """Bytes that `size` bytes of plain text take."""
    return size + TAG * -(-size // SEGMENT)


class Sealer:
    """Encrypts one piece: `update` answers what is ready, `end` the rest."""

    def __init__(self, key: bytes) -> None:
        self.salt = os.urandom(16).hex()
        self._key, self._cipher = key, _cipher(key, self.salt)
        self._number, self._buffer = 0, bytearray()
        self.size = 0

    def update(self, data: bytes) -> bytes:
        self.size += len(data)
        self._buffer += data
        out, whole = [], len(self._buffer) // SEGMENT * SEGMENT
        view = bytes(self._buffer[:whole])
        del self._buffer[:whole]
        for at in range(0, whole, SEGMENT):
            out.append(self._seal(view[at : at + SEGMENT]))
        return b"".join(out)

    def end(self) -> bytes:
        rest, self._buffer = bytes(self._buffer), bytearray()
        return self._seal(rest) if rest else b""

    def _seal(self, segment: bytes) -> bytes:
        made = self._cipher.encrypt(_nonce(self._number), segment, None)
        self._number += 1
        return made

    def opened(self, raw: BinaryIO) -> BinaryIO:
        """What was sealed so far, read back."""
        return opened(raw, [[self.size, self.salt]], self._key)


class SealingWriter:
    """A BlobWriter that encrypts what it is given."""

    def __init__(self, inner: Any, sealer: Sealer) -> None:
        self._inner, self._sealer, self._ended = inner, sealer, False

    def write(self, data: Any) -> None:
        if ready := self._sealer.update(bytes(data)):
            self._inner.write(ready)

    def reread(self) -> BinaryIO:
        self._end()
        return self._sealer.opened(self._inner.reread())

    def commit(self) -> str:
        self._end()
        return self._inner.commit()

    def abort(self) -> None:
        self._inner.abort()

    def _end(self) -> None:
        if not self._ended:
            self._ended = True
            if rest := self._sealer.end():
                self._inner.write(rest)


class _Opened(io.RawIOBase):
    """The plain text of sealed bytes, as a file. One segment is kept, so small reads in a row decrypt it once."""

    def __init__(self, raw: BinaryIO, pieces: Pieces, key: bytes) -> None:
        self._raw, self._at, self._kept = raw, 0, (-1, -1, b"")
        self._pieces: list[tuple[int, int, int, AESGCM]] = []  # plain start, plain size, where it lies
        start = place = 0
        for size, salt in pieces:
            self._pieces.append((start, size, place, _cipher(key, salt)))
            start, place = start + size, place + sealed_size(size)
        self._size = start

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self._size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, target: Any) -> int:
        piece = self._segment()
        take = min(len(target), len(piece))
        target[:take] = piece[:take]
        self._at += take
        return take

    def _segment(self) -> bytes:
        """What is left of the segment at the current position; b"" at the end."""
        for number, (start, size, place, cipher) in enumerate(self._pieces):
            if start <= self._at < start + size:
                index, skip = divmod(self._at - start, SEGMENT)
                if self._kept[:2] != (number, index):
                    self._raw.seek(place + index * (SEGMENT + TAG))
                    sealed = _read_exactly(self._raw, min(SEGMENT, size - index * SEGMENT) + TAG)
                    try:
                        self._kept = number, index, cipher.decrypt(_nonce(index), sealed, None)
                    except InvalidTag:
                        raise OSError("the bytes of an encrypted object do not fit its key: the file was changed") from None
                return self._kept[2][skip:]
        return b""

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


def _read_exactly(raw: BinaryIO, size: int) -> bytes:
    pieces = []
    while size and (piece := raw.read(size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def opened(raw: BinaryIO | bytes, pieces: Pieces, key: bytes) -> BinaryIO:
    """Sealed bytes (or a file of them, which it will close) as a seekable file of the plain text."""
    return io.BufferedReader(_Opened(io.BytesIO(raw) if isinstance(raw, bytes) else raw, pieces, key), SEGMENT)  # type: ignore[return-value]


def stream(data: BinaryIO, offset: int, length: int) -> Iterator[bytes]:
    """A range of a file, piece by piece; the file is closed at the end."""
    with data:
        data.seek(offset)
        while length > 0 and (piece := data.read(min(length, 4 * SEGMENT))):
            length -= len(piece)
            yield piece
