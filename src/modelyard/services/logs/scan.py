"""Reads lines in the order of their places: loose ones and packs of a stream as one, several streams as one.

Nothing is read before it is asked for: a pack is opened when the reading comes to its first line.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

from modelyard.kernel.database import Database
from modelyard.services.logs.lines import END, START, LogEvent, Place, place_of
from modelyard.services.logs.pack import probes
from modelyard.services.logs.packs import Moved, Pack, Packs

MANY_ROWS = 4096
_EVENT = "SELECT seq, stream_id, at_ms, ingested_ms, message FROM log_events WHERE stream_id = ?"


class Run(NamedTuple):
    """Lines in order, from a place up to a place (in the direction of reading)."""

    first: Place
    last: Place
    open: Callable[[], Iterator[LogEvent]]


class Reader:
    def __init__(self, db: Database) -> None:
        self._db, self._packs = db, Packs(db)

    def stream(
        self, stream_id: int, after: Place, before: Place, *, newest_first: bool = False, size: int = MANY_ROWS, terms: Sequence[str] = ()
    ) -> Iterator[LogEvent]:
        """Lines of a stream strictly between two places. `size`: how many rows are read, or with `terms` looked into, at first. With `terms` only
        lines that have each of them come, and marks."""
        while True:
            known = self._packs.newest(stream_id)
            try:
                for event in _merged(self._runs(stream_id, after, before, newest_first, size, terms, known), -1 if newest_first else 1):
                    yield event
                    after, before = (after, place_of(event)) if newest_first else (place_of(event), before)
                return
            except Moved:
                continue

    def _runs(
        self, stream_id: int, after: Place, before: Place, newest_first: bool, size: int, terms: Sequence[str], known: int
    ) -> Iterable[Run]:
        sign, way = (-1, "DESC") if newest_first else (1, "ASC")
        head = self._db.read(
            "SELECT at_ms, seq FROM log_events WHERE stream_id = ? AND (at_ms, seq) > (?, ?) AND (at_ms, seq) < (?, ?) "
            f"ORDER BY at_ms {way}, seq {way} LIMIT 1",
            (stream_id, *after, *before),
        )
        self._still(stream_id, known)
        packed = self._packed(stream_id, after, before, newest_first, terms, known) if known else ()
        if not head:
            return packed
        search = partial(self._searched, stream_id, after, before, terms, size, known)
        loose = search if terms else partial(self._loose, stream_id, after, before, newest_first, size, known)
        return heapq.merge(packed, [Run(_turned(head[0], sign), _turned(START if newest_first else END, sign), loose)], key=_first)

    def _packed(self, stream_id: int, after: Place, before: Place, newest_first: bool, terms: Sequence[str], known: int) -> Iterator[Run]:
        sign, wanted = -1 if newest_first else 1, probes(terms)
        for packs in self._packs.between(stream_id, after, before, known, newest_first):
            may = self._packs.that_may_have(packs, wanted) if wanted and packs else {pack.id for pack in packs}
            for pack in packs:
                first, last = (pack.last, pack.first) if newest_first else (pack.first, pack.last)
                lines = partial(self._of_pack, pack, after, before, newest_first, terms, pack.id in may)
                yield Run(_turned(first, sign), _turned(last, sign), lines)

    def _of_pack(self, pack: Pack, after: Place, before: Place, newest_first: bool, terms: Sequence[str], may: bool) -> Iterator[LogEvent]:
        lines = self._packs.lines(pack, terms) if may else iter(())
        if newest_first:
            lines = iter(list(lines)[::-1])
        inside = after < pack.first and pack.last < before
        yield from lines if inside else (event for event in lines if after < (event.at_ms, event.seq) < before)
        if terms and after < pack.last < before:
            yield LogEvent(pack.last[1], pack.stream_id, pack.last[0], 0, None)

    def _loose(self, stream_id: int, after: Place, before: Place, newest_first: bool, size: int, known: int) -> Iterator[LogEvent]:
        way = "DESC" if newest_first else "ASC"
        while True:
            rows = self._db.read(
                f"{_EVENT} AND (at_ms, seq) > (?, ?) AND (at_ms, seq) < (?, ?) ORDER BY at_ms {way}, seq {way} LIMIT ?",
                (stream_id, *after, *before, size),
            )
            self._still(stream_id, known)
            yield from map(LogEvent._make, rows)
            if len(rows) < size:
                return
            last = (rows[-1][2], rows[-1][0])
            after, before = (after, last) if newest_first else (last, before)
            size = MANY_ROWS

    def _searched(self, stream_id: int, after: Place, before: Place, terms: Sequence[str], size: int, known: int) -> Iterator[LogEvent]:
        """Bounds a part of the stream by its index, then lets the database look into its messages."""
        has = "instr" if self._db.dialect == "sqlite" else "strpos"
        while True:
            last = self._db.read(
                "SELECT at_ms, seq FROM log_events WHERE stream_id = ? AND (at_ms, seq) > (?, ?) AND (at_ms, seq) < (?, ?) "
                "ORDER BY at_ms, seq LIMIT 1 OFFSET ?",
                (stream_id, *after, *before, size - 1),
            )
            until = last[0] if last else before
            rows = self._db.read(
                f"{_EVENT} AND (at_ms, seq) > (?, ?) AND (at_ms, seq) {'<=' if last else '<'} (?, ?){f' AND {has}(message, ?) > 0' * len(terms)} "
                "ORDER BY at_ms, seq",
                (stream_id, *after, *until, *terms),
            )
            self._still(stream_id, known)
            yield from map(LogEvent._make, rows)
            if not last:
                return
            after = tuple(until)
            yield LogEvent(after[1], stream_id, after[0], 0, None)

    def _still(self, stream_id: int, known: int) -> None:
        if self._packs.newest(stream_id) != known:
            raise Moved


def _merged(runs: Iterable[Run], sign: int) -> Iterator[LogEvent]:
    """The lines of runs (by their first) in order. A run is opened when the others have come to its first line."""
    coming = iter(runs)
    ahead = next(coming, None)
    heap: list[tuple[Place, int, LogEvent, Iterator[LogEvent]]] = []
    number = 0
    while heap or ahead is not None:
        if ahead is not None and (not heap or ahead.first <= heap[0][0]):
            run, ahead = ahead, next(coming, None)
            lines = run.open()
            if not heap and (ahead is None or ahead.first > run.last):
                yield from lines
                continue
            if (event := next(lines, None)) is not None:
                number += 1
                heapq.heappush(heap, (_turned(place_of(event), sign), number, event, lines))
            continue
        _, which, event, lines = heap[0]
        yield event
        if (event := next(lines, None)) is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, (_turned(place_of(event), sign), which, event, lines))


def _first(run: Run) -> Place:
    return run.first


def _turned(place: Place, sign: int) -> Place:
    return place if sign > 0 else (-place[0], -place[1])
