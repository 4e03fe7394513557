"""A line of a stream, and places in streams."""

from __future__ import annotations

from typing import NamedTuple

Place = tuple[int, int]
"""(timestamp ms, seq): where in a stream."""
START: Place = (-1, -1)
END: Place = (1 << 62, 1 << 62)


class LogEvent(NamedTuple):
    """`message` is None only of the marks of a search: everything up to their place was looked at."""

    seq: int
    stream_id: int
    at_ms: int
    ingested_ms: int
    message: str | None


def place_of(event: LogEvent) -> Place:
    return (event.at_ms, event.seq)
