"""Packs of old lines: where they lie, and how loose lines go into them (pack.py has their inside).

`log_packs` has a covering index, so that to know which packs a look is about reads no pack.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from modelyard.kernel.database import Database, Tx
from modelyard.services.logs.lines import END, START, LogEvent, Place
from modelyard.services.logs.pack import close_pack, has_all, open_pack, text_of

PACK_LINES, PACK_BYTES, PACKS_AT_ONCE = 2048, 1 << 20, 64


class Pack(NamedTuple):
    id: int
    stream_id: int
    first: Place
    last: Place


class Moved(Exception):
    """Lines went from loose ones into a pack while they were read: the reader looks again from where it is."""


class Packs:
    def __init__(self, db: Database) -> None:
        self._db = db

    def newest(self, stream_id: int) -> int:
        return self._db.read("SELECT coalesce(max(id), 0) FROM log_packs WHERE stream_id = ?", (stream_id,))[0][0]

    def between(self, stream_id: int, after: Place, before: Place, known: int, newest_first: bool = False) -> Iterator[list[Pack]]:
        """Packs up to the id `known` that may have lines strictly between two places, some at a time, in the order in which a reader comes to them."""
        side, sign, way = ("last", "<", "DESC") if newest_first else ("first", ">", "ASC")
        come = END if newest_first else START
        while True:
            rows = self._db.read(
                "SELECT id, first_at, first_seq, last_at, last_seq FROM log_packs WHERE stream_id = ? AND id <= ? AND (last_at, last_seq) > (?, ?) "
                f"AND (first_at, first_seq) < (?, ?) AND ({side}_at, {side}_seq) {sign} (?, ?) ORDER BY {side}_at {way}, {side}_seq {way} LIMIT ?",
                (stream_id, known, *after, *before, *come, PACKS_AT_ONCE),
            )
            packs = [Pack(row[0], stream_id, (row[1], row[2]), (row[3], row[4])) for row in rows]
            yield packs
            if len(packs) < PACKS_AT_ONCE:
                return
            come = packs[-1].last if newest_first else packs[-1].first

    def lines(self, pack: Pack, terms: Sequence[str] = ()) -> Iterator[LogEvent]:
        """Those of its lines that have all terms; of one that is gone by now, none."""
        rows = self._db.read("SELECT places, body FROM log_packs WHERE id = ?", (pack.id,))
        if not rows:
            return iter(())
        text = text_of(bytes(rows[0][1]))
        return open_pack(pack.stream_id, bytes(rows[0][0]), text, terms) if has_all(text, terms) else iter(())

    def that_may_have(self, packs: Sequence[Pack], wanted: Sequence[tuple[int, int]]) -> set[int]:
        """Ids of the packs that may have a text with these `probes`."""
        ids = [pack.id for pack in packs]
        rows = self._db.read(f"SELECT pack_id, bits FROM log_pack_bits WHERE pack_id IN ({','.join('?' * len(ids))})", ids)
        return {id for id, bits in rows if all(bits[at] & mask for at, mask in wanted)}

    # --- packing ---------------------------------------------------------------------------------------

    def pack(self, stream_id: int, up_to: int, least: int | None = None) -> bool:
        """Packs the oldest loose lines of a stream, of those that had come by `up_to` (a seq). False: they are fewer than `least` (a full pack), and small."""
        sizes = self._db.read(
            "SELECT length(message) FROM log_events WHERE stream_id = ? AND seq <= ? ORDER BY at_ms, seq LIMIT ?",
            (stream_id, up_to, PACK_LINES),
        )
        count = sum(total < PACK_BYTES for total in accumulate(size for (size,) in sizes)) or 1
        if not sizes or (count == len(sizes) < (least or PACK_LINES)):
            return False
        rows = self._db.read(
            "SELECT seq, stream_id, at_ms, ingested_ms, message FROM log_events WHERE stream_id = ? AND seq <= ? ORDER BY at_ms, seq LIMIT ?",
            (stream_id, up_to, count),
        )
        events = list(map(LogEvent._make, rows))
        places, text, bits = close_pack(events)
        raw = sum(len(event.message.encode()) + 26 for event in events)
        first, last = events[0], events[-1]
        with self._db.write() as tx:
            gone = tx.execute(
                "DELETE FROM log_events WHERE stream_id = ? AND (at_ms, seq) >= (?, ?) AND (at_ms, seq) <= (?, ?) AND seq <= ? RETURNING seq",
                (stream_id, first.at_ms, first.seq, last.at_ms, last.seq, up_to),
            )
            if len(gone) != count:
                raise Moved  # another engine packs too, or retention was quicker: nothing is written
            ((id,),) = tx.execute(
                "INSERT INTO log_packs (stream_id, first_at, first_seq, last_at, last_seq, lines, bytes, places, body) VALUES (?,?,?,?,?,?,?,?,?) "
                "RETURNING id",
                (stream_id, first.at_ms, first.seq, last.at_ms, last.seq, len(events), raw, places, text),
            )
            tx.execute("INSERT INTO log_pack_bits VALUES (?,?)", (id, bits))
        return True

    # --- going -----------------------------------------------------------------------------------------

    @staticmethod
    def drop_of(tx: Tx, streams: str, value: int) -> None:
        """Drops the packs of some streams; `streams` is a condition on `stream_id` with one value."""
        tx.execute(f"DELETE FROM log_pack_bits WHERE pack_id IN (SELECT id FROM log_packs WHERE {streams})", (value,))
        tx.execute(f"DELETE FROM log_packs WHERE {streams}", (value,))

    @staticmethod
    def drop_before(tx: Tx, stream_id: int, oldest_ms: int) -> int:
        """Drops packs of which every line is older; answers their bytes."""
        rows = tx.execute("DELETE FROM log_packs WHERE stream_id = ? AND last_at < ? RETURNING id, bytes", (stream_id, oldest_ms))
        for id, _ in rows:
            tx.execute("DELETE FROM log_pack_bits WHERE pack_id = ?", (id,))
        return sum(size for _, size in rows)
