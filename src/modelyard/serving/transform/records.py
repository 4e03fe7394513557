"""An object's bytes as payloads: what goes to the model in one request.

Line: a record is a line; embedded newlines are not understood, also not in quotes, and an empty line is no record, as on AWS.
RecordIO, TFRecord: a record is a frame. MultiRecord keeps the bytes as they are, packed up to the limit; SingleRecord takes each
record without its line end or frame.
Sources: API_TransformInput (SplitType), "Use batch transform to get inferences from large datasets".
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from modelyard.serving.transform.errors import CLIENT, Refused, too_large

MIB = 1 << 20
RECORDIO_MAGIC = 0xCED7230A
_U32X2, _U64 = struct.Struct("<II"), struct.Struct("<Q")
Frame = tuple[int, bytes]
"""(bytes with the frame, the record without it)"""


@dataclass(slots=True)
class Payload:
    """`first` is the number of its first record in the object, from 1; for lines, of its first line. `whole`: the object is not split."""

    body: bytes
    first: int
    count: int
    offset: int
    lines: bool = True
    whole: bool = False

    @property
    def place(self) -> str:
        """As a person looks for it."""
        if self.whole:
            return ""
        what, last = ("line" if self.lines else "record"), self.first + self.count - 1
        span = f"{what} {self.first}" if self.count == 1 else f"{what}s {self.first} to {last}"
        return f"{span} (from byte {self.offset})"


def payloads(pieces: Iterable[bytes], split: str, single: bool, most: int) -> Iterator[Payload]:
    """`split` is None, Line, RecordIO or TFRecord; `most` bytes per payload. Raises Refused where a record is too large or broken."""
    if split == "Line":
        return _single_lines(pieces, most) if single else _many_lines(pieces, most)
    if split in ("RecordIO", "TFRecord"):
        return _framed(pieces, _recordio if split == "RecordIO" else _tfrecord, split, single, most)
    return _whole(pieces, most)


def parts(payload: Payload, split: str) -> list[Payload]:
    """A payload of many records in two halves, to find a bad one; [] where it is one record."""
    if payload.count < 2 or payload.whole:
        return []
    if split == "Line":
        cut, line = _cut(payload.body)
        if cut is None:
            return []
        return [
            Payload(payload.body[:cut], payload.first, line, payload.offset),
            Payload(payload.body[cut:], payload.first + line, payload.count - line, payload.offset + cut),
        ]
    measure, at, half = (_recordio if split == "RecordIO" else _tfrecord), 0, payload.count // 2
    for _ in range(half):
        at += measure(memoryview(payload.body)[at:])[0]  # type: ignore[index]
    return [
        Payload(payload.body[:at], payload.first, half, payload.offset, False),
        Payload(payload.body[at:], payload.first + half, payload.count - half, payload.offset + at, False),
    ]


def _cut(body: bytes) -> tuple[int | None, int]:
    """(where the second half of the lines begins, how many lines are before it)."""
    middle = len(body) // 2
    cut = body.rfind(b"\n", 0, middle) + 1 or body.find(b"\n", middle) + 1
    if cut in (0, len(body)):
        return None, 0
    return cut, body.count(b"\n", 0, cut)


# --- not split -------------------------------------------------------------------------------------


def _whole(pieces: Iterable[bytes], most: int) -> Iterator[Payload]:
    held, size = [], 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size > most:
            raise too_large("")
    if size:
        yield Payload(b"".join(held), 1, 1, 0, whole=True)


# --- lines -----------------------------------------------------------------------------------------


def _many_lines(pieces: Iterable[bytes], most: int) -> Iterator[Payload]:
    buffer, line, offset = bytearray(), 1, 0
    for piece in pieces:
        buffer += piece
        while len(buffer) > most:
            cut = buffer.rfind(b"\n", 0, most + 1) + 1
            if not cut:
                raise too_large(f"line {line} (from byte {offset})")
            body = bytes(buffer[:cut])
            del buffer[:cut]
            ends = body.count(b"\n")
            if body.strip(b"\r\n"):
                yield Payload(body, line, ends, offset)
            line, offset = line + ends, offset + cut
    if buffer.strip(b"\r\n"):
        body = bytes(buffer)
        yield Payload(body, line, body.count(b"\n") + (not body.endswith(b"\n")), offset)


def _single_lines(pieces: Iterable[bytes], most: int) -> Iterator[Payload]:
    rest, line, offset = b"", 1, 0
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n")
        for raw in whole:
            body = raw.removesuffix(b"\r")
            if len(body) > most:
                raise too_large(f"line {line} (from byte {offset})")
            if body:
                yield Payload(body, line, 1, offset)
            line, offset = line + 1, offset + len(raw) + 1
        if len(rest) > most + 1:
            raise too_large(f"line {line} (from byte {offset})")
    rest = rest.removesuffix(b"\r")
    if rest:
        yield Payload(rest, line, 1, offset)


# --- frames ----------------------------------------------------------------------------------------


def _framed(
    pieces: Iterable[bytes], measure: Callable[[memoryview], Frame | None], kind: str, single: bool, most: int
) -> Iterator[Payload]:
    held: list[bytes] = []
    size, first, number, offset, start = 0, 1, 1, 0, 0
    for length, frame, record in _frames(pieces, measure, kind, most):
        if single:
            yield Payload(record, number, 1, offset, False)
        else:
            if held and size + length > most:
                yield Payload(b"".join(held), first, len(held), start, False)
                held, size, first, start = [], 0, number, offset
            held.append(frame)
            size += length
        number, offset = number + 1, offset + length
    if held:
        yield Payload(b"".join(held), first, len(held), start, False)


def _frames(
    pieces: Iterable[bytes], measure: Callable[[memoryview], Frame | None], kind: str, most: int
) -> Iterator[tuple[int, bytes, bytes]]:
    buffer, number, offset = b"", 1, 0
    for piece in pieces:
        buffer, at = buffer + piece, 0
        view = memoryview(buffer)
        while True:
            place = f"record {number} (from byte {offset})"
            try:
                found = measure(view[at:])
            except ValueError as problem:
                raise Refused(CLIENT, f"Failed to split the object as {kind}: {problem}", place=place) from None
            if found is None:
                break
            length, record = found
            if length > most:
                raise too_large(place)
            yield length, bytes(view[at : at + length]), record
            at, number, offset = at + length, number + 1, offset + length
        buffer = bytes(view[at:])
        if len(buffer) > most + 64:
            raise too_large(f"record {number} (from byte {offset})")
    if buffer:
        raise Refused(CLIENT, f"Failed to split the object as {kind}: it ends in the middle of a record", place=f"record {number}")


def _recordio(view: memoryview) -> Frame | None:
    """MXNet's RecordIO: magic, flag and length, data padded to 4 bytes. A record that contains the magic is in several parts."""
    at, found = 0, []
    while True:
        if len(view) < at + 8:
            return None
        magic, told = _U32X2.unpack_from(view, at)
        if magic != RECORDIO_MAGIC:
            raise ValueError("there is no RecordIO header")
        flag, length = told >> 29, told & 0x1FFFFFFF
        end = at + 8 + length + (-length % 4)
        if len(view) < end:
            return None
        found.append(bytes(view[at + 8 : at + 8 + length]))
        at = end
        if flag in (0, 3):
            return at, struct.pack("<I", RECORDIO_MAGIC).join(found)


def _tfrecord(view: memoryview) -> Frame | None:
    """TensorFlow's TFRecord: length, its checksum, data, the data's checksum."""
    if len(view) < 12:
        return None
    (length,) = _U64.unpack_from(view, 0)
    if length > 1 << 40:
        raise ValueError("there is no TFRecord header")
    end = 12 + length + 4
    return (end, bytes(view[12 : 12 + length])) if len(view) >= end else None
