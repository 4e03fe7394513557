"""Gzip objects (CompressionType Gzip) as their content. What a small object unpacks to is never held at once."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from modelyard.serving.transform.errors import CLIENT, Refused

PIECE_BYTES = 1 << 20
GZIP = 16 + zlib.MAX_WBITS


def unpacked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The content of one or more gzip members, in pieces of at most PIECE_BYTES. Raises Refused for what is no gzip, or ends early."""
    inflate, began = zlib.decompressobj(GZIP), False
    try:
        for piece in pieces:
            while piece:
                if inflate.eof:  # another member begins; padding by zeros is none
                    piece = piece.lstrip(b"\0")
                    if not piece:
                        break
                    inflate = zlib.decompressobj(GZIP)
                began = True
                out = inflate.decompress(piece, PIECE_BYTES)
                if out:
                    yield out
                piece = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
            while not inflate.eof and (out := inflate.decompress(b"", PIECE_BYTES)):
                yield out
    except zlib.error as problem:
        raise Refused(CLIENT, f"Failed to decompress the object as gzip: {problem}") from None
    if began and not inflate.eof:
        raise Refused(CLIENT, "Failed to decompress the object as gzip: it ends before its last byte")
