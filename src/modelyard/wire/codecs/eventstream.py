"""`application/vnd.amazon.eventstream`: frames with headers and two CRCs, as an answer that goes on.

A frame: total length, header length (4 bytes each, big-endian), CRC-32 of those eight bytes, the headers (name, type 7 =
string, value), the payload, CRC-32 of everything before. An `ApiError` raised by the iterator becomes an exception
frame, the only way to tell a client of a failure once the status line is gone.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from typing import Any
from zlib import crc32

from modelyard.kernel.errors import ApiError
from modelyard.wire.codecs import scalars, xml
from modelyard.wire.codecs.common import Compiled
from modelyard.wire.codecs.json import JsonWriter, dumps
from modelyard.wire.shapes import Shape

CONTENT_TYPE = "application/vnd.amazon.eventstream"


def frame(headers: list[tuple[str, Any]], payload: bytes) -> bytes:
    """One message. Header values: str, bytes, bool, int (long) or float epoch seconds wrapped as `Timestamp`."""
    packed = b"".join(_header(name, value) for name, value in headers)
    prelude = struct.pack("!II", 16 + len(packed) + len(payload), len(packed))
    head = prelude + struct.pack("!I", crc32(prelude)) + packed + payload
    return head + struct.pack("!I", crc32(head))


class Timestamp(float):
    """An event header that is a timestamp."""


def _header(name: str, value: Any) -> bytes:
    encoded = name.encode()
    start = bytes((len(encoded),)) + encoded
    if isinstance(value, bool):
        return start + (b"\x00" if value else b"\x01")
    if isinstance(value, Timestamp):
        return start + b"\x08" + struct.pack("!q", round(value * 1000))
    if isinstance(value, int):
        return start + (b"\x04" + struct.pack("!i", value) if -(1 << 31) <= value < 1 << 31 else b"\x05" + struct.pack("!q", value))
    data, kind = (value, 6) if isinstance(value, bytes) else (str(value).encode(), 7)
    return start + bytes((kind,)) + struct.pack("!H", len(data)) + data


Body = Callable[[Shape], Callable[[Any], bytes]]


def json_frames(shape: Shape, events: Any, initial: bytes | None = None) -> Iterator[bytes] | AsyncIterator[bytes]:
    """The frames of an iterator (plain or async) of `{"EventName": {…}}`; `initial` is the `initial-response` of RPC
    protocols, the members beside the stream."""

    def body(member: Shape) -> Callable[[Any], bytes]:
        write = JsonWriter().compile(member)
        return lambda value: dumps(value if write is None else write(value))

    return _frames(shape, events, body, "application/json", initial)


def xml_frames(shape: Shape, events: Any) -> Iterator[bytes] | AsyncIterator[bytes]:
    def body(member: Shape) -> Callable[[Any], bytes]:
        write = xml.XmlWriter().compile(member)

        def to_bytes(value: Any) -> bytes:
            parts: list[str] = []
            write(value, member.name, parts.append)
            return "".join(parts).encode()

        return to_bytes

    return _frames(shape, events, body, "text/xml", None)


def cbor_frames(shape: Shape, events: Any, initial: bytes) -> Iterator[bytes] | AsyncIterator[bytes]:
    from modelyard.wire.codecs.cbor import CborWriter
    from modelyard.wire.codecs.cbor import dumps as cbor_dumps

    def body(member: Shape) -> Callable[[Any], bytes]:
        write = CborWriter().compile(member)
        return lambda value: cbor_dumps(value if write is None else write(value))

    return _frames(shape, events, body, "application/cbor", initial)


def _frames(shape: Shape, events: Any, body: Body, content_type: str, initial: bytes | None) -> Any:
    writers = {name: _event_writer(name, member, body, content_type) for name, member in shape.members.items()}
    first = frame([(":message-type", "event"), (":event-type", "initial-response"), (":content-type", content_type)], initial or b"")

    def one(event: dict[str, Any]) -> bytes:
        ((name, value),) = event.items()
        return writers[name](value)

    def plain(events: Iterable[dict[str, Any]]) -> Iterator[bytes]:
        try:
            if initial is not None:
                yield first
            for event in events:
                yield one(event)
        except ApiError as error:
            yield exception_frame(error)

    async def awaited(events: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
        try:
            if initial is not None:
                yield first
            async for event in events:
                yield one(event)
        except ApiError as error:
            yield exception_frame(error)

    events = () if events is None else events
    return awaited(events) if hasattr(events, "__aiter__") else plain(events)


def exception_frame(error: ApiError) -> bytes:
    """What the client raises in the middle of the stream. (`fields` of the error travel in its JSON.)"""
    headers = [(":message-type", "exception"), (":exception-type", error.code), (":content-type", "application/json")]
    return frame(headers, dumps({"message": error.message, "Message": error.message, **error.fields}))


def _event_writer(name: str, member: Shape, body: Body, content_type: str) -> Compiled:
    """`event → frame`: members marked eventheader become headers, eventpayload the payload, else all is the body."""
    headers = {key: part for key, part in member.members.items() if part.trait("eventheader")}
    payload = next(((key, part) for key, part in member.members.items() if part.trait("eventpayload")), None)
    start = [(":message-type", "event"), (":event-type", name)]
    if payload is not None and payload[1].kind in ("blob", "string"):
        key, kind = payload[0], "application/octet-stream" if payload[1].kind == "blob" else "text/plain"
        convert: Callable[[Any], bytes] = lambda event: _bytes(event.get(key, b""))  # noqa: E731
    elif payload is not None:
        key, kind, write = payload[0], content_type, body(payload[1])
        convert = lambda event: write(event.get(key, {}))  # noqa: E731
    else:
        kind, write = content_type, body(member)
        convert = lambda event: write({k: v for k, v in event.items() if k not in headers})  # noqa: E731

    def to_frame(event: dict[str, Any]) -> bytes:
        said = [(k, _header_value(part, event[k])) for k, part in headers.items() if event.get(k) is not None]
        return frame([*start, (":content-type", kind), *said], convert(event))

    return to_frame


def _header_value(shape: Shape, value: Any) -> Any:
    return Timestamp(scalars.epoch(value)) if shape.kind == "timestamp" else value


def _bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value)
