"""The inside of a pack: many lines of one stream as a few bytes each, and the bits that tell which words cannot be in it.

A pack's text is deflated at once, its places and times as differences. Its bits are a Bloom filter of the trigrams of its text: a term that has a
trigram whose bit is not set is in none of its lines, so that a search for something rare opens hardly any pack.
"""

from __future__ import annotations

import sys
import zlib
from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate, compress, pairwise, repeat

import orjson

from modelyard.services.logs.lines import LogEvent

LEVEL = 5
BITS = 1 << 15
_FACTORS = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D)
_SHIFT = 32 - 15
_LINES, _JSON = b"n", b"j"


def close_pack(events: Sequence[LogEvent]) -> tuple[bytes, bytes, bytes]:
    """(places, text, bits) of lines in the order of their places."""
    messages = [event.message or "" for event in events]
    joined = "\n".join(messages).encode()
    plain = joined.count(b"\n") == len(messages) - 1
    text = _LINES + zlib.compress(joined, LEVEL) if plain else _JSON + zlib.compress(orjson.dumps(messages), LEVEL)
    columns = ([getattr(event, column) for event in events] for column in ("at_ms", "seq", "ingested_ms"))
    numbers = array("q", [step for column in columns for step in (column[0], *(b - a for a, b in pairwise(column)))])
    return zlib.compress(_little(numbers).tobytes(), LEVEL), text, _bits(joined)


def text_of(text: bytes) -> bytes:
    """The text of a pack, in which a term is looked for before it is taken apart; of lines with line breaks in them it is JSON."""
    return text[:1] + zlib.decompress(text[1:])


def has_all(text: bytes, terms: Sequence[str]) -> bool:
    return text[:1] == _JSON or all(term.encode() in text for term in terms)


def open_pack(stream_id: int, places: bytes, text: bytes, terms: Sequence[str] = ()) -> Iterator[LogEvent]:
    """The lines of a pack that have all terms; `text` is what `text_of` answers."""
    messages = text[1:].decode().split("\n") if text[:1] == _LINES else orjson.loads(text[1:])
    numbers = array("q")
    numbers.frombytes(zlib.decompress(places))
    size, numbers = len(messages), _little(numbers)
    times, seqs, ingested = (accumulate(numbers[start : start + size]) for start in (0, size, 2 * size))
    if terms:
        wanted = [all(term in message for term in terms) for message in messages]
        times, seqs, ingested, messages = (compress(column, wanted) for column in (times, seqs, ingested, messages))
    return map(LogEvent, seqs, repeat(stream_id), times, ingested, messages)


def probes(terms: Sequence[str]) -> list[tuple[int, int]]:
    """(byte, mask) of the bits that are set in every pack in which all these terms are."""
    found = set()
    for said in (term.encode() for term in terms):
        for trigram in zip(said, said[1:], said[2:], strict=False):
            mixed = 0
            for letter, factor in zip(trigram, _FACTORS, strict=True):
                mixed ^= letter * factor
            found.add((mixed & 0xFFFFFFFF) >> _SHIFT)
    return [(bit >> 3, 0x80 >> (bit & 7)) for bit in sorted(found)]


def _bits(text: bytes) -> bytes:
    import numpy as np

    letters = np.frombuffer(text, np.uint8).astype(np.uint32)
    bits = np.zeros(BITS, bool)
    if len(letters) > 2:
        first, second, third = (np.uint32(factor) for factor in _FACTORS)
        bits[((letters[:-2] * first) ^ (letters[1:-1] * second) ^ (letters[2:] * third)) >> np.uint32(_SHIFT)] = True
    return np.packbits(bits).tobytes()


def _little(numbers: array) -> array:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
