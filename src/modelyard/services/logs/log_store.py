"""Where log groups, streams and events live: tables of their own, written in groups.

An event's place in its stream is (timestamp, seq): AWS answers events by time, and by arrival within one
millisecond. Followers of files store how far they read in the same transaction as the events
(`source`), so a crash neither loses nor repeats a line.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import orjson

from modelyard.kernel.clock import Clock
from modelyard.kernel.database import Database, Tx
from modelyard.services.logs.lines import END, START, LogEvent, Place, place_of
from modelyard.services.logs.packs import Packs
from modelyard.services.logs.scan import MANY_ROWS, Reader

MIGRATIONS = [
    """
    CREATE TABLE log_groups (
        id @SERIAL@, account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL, created_ms BIGINT NOT NULL,
        retention_days INTEGER, kms_key TEXT, class TEXT NOT NULL, UNIQUE (account, region, name));
    CREATE TABLE log_streams (
        id @SERIAL@, group_id BIGINT NOT NULL, name TEXT NOT NULL, created_ms BIGINT NOT NULL,
        first_ms BIGINT, last_ms BIGINT, ingested_ms BIGINT, bytes BIGINT NOT NULL DEFAULT 0, UNIQUE (group_id, name));
    CREATE TABLE log_events (
        seq @SERIAL@, stream_id BIGINT NOT NULL, at_ms BIGINT NOT NULL, ingested_ms BIGINT NOT NULL, message TEXT NOT NULL);
    CREATE INDEX log_events_place ON log_events (stream_id, at_ms, seq);
    CREATE TABLE log_sources (source TEXT PRIMARY KEY, place BIGINT NOT NULL)
    """,
    """
    ALTER TABLE log_groups ADD COLUMN guarded INTEGER NOT NULL DEFAULT 0;
    CREATE TABLE log_filters (
        id @SERIAL@, group_id BIGINT NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, pattern TEXT NOT NULL, spec TEXT NOT NULL,
        created_ms BIGINT NOT NULL, UNIQUE (group_id, kind, name));
    CREATE TABLE log_outbox (
        id @SERIAL@, group_id BIGINT NOT NULL, stream TEXT NOT NULL, at_ms BIGINT NOT NULL, events TEXT NOT NULL,
        metered INTEGER NOT NULL DEFAULT 0, delivered TEXT NOT NULL DEFAULT '[]', tries INTEGER NOT NULL DEFAULT 0, due_ms BIGINT NOT NULL DEFAULT 0);
    CREATE TABLE log_queries (
        id TEXT PRIMARY KEY, account TEXT NOT NULL, region TEXT NOT NULL, created_ms BIGINT NOT NULL, spec TEXT NOT NULL, status TEXT NOT NULL,
        statistics TEXT NOT NULL, results TEXT NOT NULL, ended_ms BIGINT, lease DOUBLE PRECISION NOT NULL DEFAULT 0);
    CREATE INDEX log_queries_age ON log_queries (account, region, created_ms);
    CREATE TABLE log_query_definitions (
        id TEXT PRIMARY KEY, account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL, spec TEXT NOT NULL)
    """,
    """
    CREATE TABLE log_packs (
        id @SERIAL@, stream_id BIGINT NOT NULL, first_at BIGINT NOT NULL, first_seq BIGINT NOT NULL, last_at BIGINT NOT NULL, last_seq BIGINT NOT NULL,
        lines INTEGER NOT NULL, bytes BIGINT NOT NULL, places @BLOB@ NOT NULL, body @BLOB@ NOT NULL);
    CREATE INDEX log_packs_place ON log_packs (stream_id, last_at, last_seq, first_at, first_seq, id);
    CREATE INDEX log_packs_first ON log_packs (stream_id, first_at, first_seq, last_at, last_seq, id);
    CREATE TABLE log_pack_bits (pack_id BIGINT PRIMARY KEY, bits @BLOB@ NOT NULL)
    """,
    "CREATE TABLE log_indexes (group_id BIGINT PRIMARY KEY, document TEXT NOT NULL, changed_ms BIGINT NOT NULL)",
]
MANY_STREAMS = 8
FEW_ROWS = 64
"""How much of each of many streams is read at first."""
LOOK_ROWS = 50_000
"""How many rows of all streams together are looked into before a mark."""
SWEEP_ROWS = 20_000
PAGES_AT_ONCE, PAGES_KEPT = 1024, 4096
"""What is free in the file is given back to the disk so many pages at a time; some stay for the next lines."""
DAY_MS = 86_400_000


@dataclass(frozen=True)
class Group:
    id: int
    name: str
    created_ms: int
    retention_days: int | None
    kms_key: str | None
    log_class: str
    bytes: int
    guarded: bool = False

    def oldest_ms(self, now_ms: int) -> int:
        """Events before this are past the group's retention."""
        return 0 if self.retention_days is None else now_ms - self.retention_days * DAY_MS


@dataclass(frozen=True)
class Stream:
    id: int
    name: str
    created_ms: int
    first_ms: int | None
    last_ms: int | None
    ingested_ms: int | None
    bytes: int


class LogStore:
    """`platform.logs`."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = self.db = db
        self._clock = clock
        serial, blob = ("INTEGER PRIMARY KEY AUTOINCREMENT", "BLOB") if db.dialect == "sqlite" else ("BIGSERIAL PRIMARY KEY", "BYTEA")
        db.migrate("logs", [step.replace("@SERIAL@", serial).replace("@BLOB@", blob) for step in MIGRATIONS])
        self._reader, self.packs = Reader(db), Packs(db)

    # --- writing ---------------------------------------------------------------------------------

    def append(
        self,
        account: str,
        region: str,
        group: str,
        stream: str,
        events: Sequence[tuple[int, str]],
        source: tuple[str, int, int] | None = None,
    ) -> bool:
        """Adds (timestamp in ms, message) events; group and stream come into being as needed. `source` is (name, from,
        to): the part of a followed file that these events are, committed with them. False, and nothing was added: the file
        was not read just up to `from` (another engine follows it too)."""
        now = self._now_ms()

        def work(tx: Tx) -> bool:
            if source is not None:
                name, begin, end = source
                # Writes the row in any case: where two may write at once (PostgreSQL), the other one waits here.
                ((have,),) = tx.execute(
                    "INSERT INTO log_sources VALUES (?,0) ON CONFLICT (source) DO UPDATE SET place = log_sources.place RETURNING place",
                    (name,),
                )
                if have != begin:
                    return False
                tx.execute("UPDATE log_sources SET place = ? WHERE source = ?", (end, name))
            group_id = self._ensure_group(tx, account, region, group, now)
            stream_id = self._ensure_stream(tx, group_id, stream, now)
            self._insert(tx, stream_id, events, now)
            return True

        return self._db.grouped(work)

    def put(self, stream: Stream, events: Sequence[tuple[int, str]]) -> None:
        """Adds events to a stream that is there."""
        now = self._now_ms()
        self._db.grouped(lambda tx: self._insert(tx, stream.id, events, now))

    def source_place(self, source: str) -> int:
        """How far a followed file was read; 0 for a new one."""
        rows = self._db.read("SELECT place FROM log_sources WHERE source = ?", (source,))
        return rows[0][0] if rows else 0

    def create_group(self, account: str, region: str, name: str, kms_key: str | None, log_class: str) -> bool:
        """False where a group of this name is there."""
        with self._db.write() as tx:
            return bool(
                tx.execute(
                    "INSERT INTO log_groups (account, region, name, created_ms, kms_key, class) VALUES (?,?,?,?,?,?) "
                    "ON CONFLICT (account, region, name) DO NOTHING RETURNING id",
                    (account, region, name, self._now_ms(), kms_key, log_class),
                )
            )

    def create_stream(self, group: Group, name: str) -> bool:
        with self._db.write() as tx:
            return bool(
                tx.execute(
                    "INSERT INTO log_streams (group_id, name, created_ms) VALUES (?,?,?) ON CONFLICT (group_id, name) DO NOTHING RETURNING id",
                    (group.id, name, self._now_ms()),
                )
            )

    def delete_group(self, group: Group) -> None:
        with self._db.write() as tx:
            of_group = "stream_id IN (SELECT id FROM log_streams WHERE group_id = ?)"
            tx.execute(f"DELETE FROM log_events WHERE {of_group}", (group.id,))
            Packs.drop_of(tx, of_group, group.id)
            for table in ("log_streams", "log_filters", "log_outbox", "log_indexes"):
                tx.execute(f"DELETE FROM {table} WHERE group_id = ?", (group.id,))
            tx.execute("DELETE FROM log_groups WHERE id = ?", (group.id,))

    def delete_stream(self, stream: Stream) -> None:
        with self._db.write() as tx:
            tx.execute("DELETE FROM log_events WHERE stream_id = ?", (stream.id,))
            Packs.drop_of(tx, "stream_id = ?", stream.id)
            tx.execute("DELETE FROM log_streams WHERE id = ?", (stream.id,))

    def set_retention(self, group: Group, days: int | None) -> None:
        with self._db.write() as tx:
            tx.execute("UPDATE log_groups SET retention_days = ? WHERE id = ?", (days, group.id))

    def set_key(self, group: Group, key: str | None) -> None:
        with self._db.write() as tx:
            tx.execute("UPDATE log_groups SET kms_key = ? WHERE id = ?", (key, group.id))

    def set_guarded(self, group: Group, guarded: bool) -> None:
        with self._db.write() as tx:
            tx.execute("UPDATE log_groups SET guarded = ? WHERE id = ?", (int(guarded), group.id))

    def sweep(self) -> None:
        """Drops events that are older than their group's retention (platform time), a few at a time: writers go on in between. Then the file shrinks."""
        for group_id, days in self._db.read("SELECT id, retention_days FROM log_groups WHERE retention_days IS NOT NULL"):
            oldest = self._now_ms() - days * DAY_MS
            for (stream_id,) in self._db.read("SELECT id FROM log_streams WHERE group_id = ? AND first_ms < ?", (group_id, oldest)):
                while self._drop(stream_id, oldest):
                    pass
        while self._db.give_back(PAGES_AT_ONCE) > PAGES_KEPT:
            pass

    def _drop(self, stream_id: int, oldest: int) -> bool:
        """Drops some of a stream's old events; True: there may be more."""
        with self._db.write() as tx:
            rows = tx.execute(
                "DELETE FROM log_events WHERE seq IN (SELECT seq FROM log_events WHERE stream_id = ? AND at_ms < ? ORDER BY at_ms, seq LIMIT ?) "
                "RETURNING message",
                (stream_id, oldest, SWEEP_ROWS),
            )
            size = sum(len(message.encode()) + 26 for (message,) in rows) + Packs.drop_before(tx, stream_id, oldest)
            firsts = [tx.execute(f"SELECT min({column}) FROM {table} WHERE stream_id = ?", (stream_id,))[0][0] for table, column in _FIRSTS]
            first = min((at for at in firsts if at is not None), default=None)
            tx.execute("UPDATE log_streams SET bytes = bytes - ?, first_ms = ? WHERE id = ?", (size, first, stream_id))
        return len(rows) == SWEEP_ROWS

    # --- reading ---------------------------------------------------------------------------------

    def group(self, account: str, region: str, name: str) -> Group | None:
        found = self.groups(account, region, name=name)
        return found[0] if found else None

    def groups(
        self,
        account: str,
        region: str,
        *,
        name: str | None = None,
        prefix: str = "",
        part: str = "",
        log_class: str = "",
        after: str = "",
        limit: int = 1,
    ) -> list[Group]:
        """Groups by name, after a name; `part` is a case-insensitive part of the name."""
        where, values = ["account = ?", "region = ?", "name > ?"], [account, region, after]
        if name is not None:
            where.append("name = ?")
            values.append(name)
        if prefix:
            where.append("substr(name, 1, ?) = ?")
            values += [len(prefix), prefix]
        if log_class:
            where.append("class = ?")
            values.append(log_class)
        if part:
            where.append("lower(name) LIKE ? ESCAPE '\\'")
            values.append("%" + part.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%")
        rows = self._db.read(
            "SELECT id, name, created_ms, retention_days, kms_key, class, "
            "(SELECT coalesce(sum(bytes), 0) FROM log_streams WHERE group_id = log_groups.id), guarded "
            f"FROM log_groups WHERE {' AND '.join(where)} ORDER BY name LIMIT ?",
            (*values, limit),
        )
        return [Group(*row[:6], int(row[6]), bool(row[7])) for row in rows]

    def stream(self, group: Group, name: str) -> Stream | None:
        rows = self._db.read(f"SELECT {_STREAM} FROM log_streams WHERE group_id = ? AND name = ?", (group.id, name))
        return Stream(*rows[0]) if rows else None

    def streams(
        self, group: Group, *, prefix: str = "", by_time: bool = False, descending: bool = False, after: Any = None, limit: int = 50
    ) -> list[Stream]:
        """Streams by name, or by last event time; `after` is the sort key (name, or (time, name)) of the last one seen."""
        where, values = ["group_id = ?"], [group.id]
        if prefix:
            where.append("substr(name, 1, ?) = ?")
            values += [len(prefix), prefix]
        sign, direction = ("<", "DESC") if descending else (">", "ASC")
        if after is not None and by_time:
            where.append(f"(coalesce(last_ms, 0), name) {sign} (?, ?)")
            values += list(after)
        elif after is not None:
            where.append(f"name {sign} ?")
            values.append(after)
        order = f"coalesce(last_ms, 0) {direction}, name {direction}" if by_time else f"name {direction}"
        rows = self._db.read(f"SELECT {_STREAM} FROM log_streams WHERE {' AND '.join(where)} ORDER BY {order} LIMIT ?", (*values, limit))
        return [Stream(*row) for row in rows]

    def events(
        self,
        stream_ids: Sequence[int],
        *,
        after: Place = START,
        before: Place = END,
        start_ms: int | None = None,
        end_ms: int | None = None,
        newest_first: bool = False,
        limit: int = 10_000,
    ) -> list[LogEvent]:
        """Events of some streams strictly between two places, start inclusive, end exclusive as AWS has them."""
        # One lower and one upper bound: of several, SQLite may walk the index by the wider one.
        after, before = _bounds(after, before, start_ms, end_ms)
        size = min(limit, MANY_ROWS * 4)
        parts = [self._reader.stream(id, after, before, newest_first=newest_first, size=size) for id in stream_ids]
        return list(islice(_together(parts, newest_first), limit))

    def scan(
        self,
        streams: Sequence[Stream],
        *,
        after: Place = START,
        start_ms: int | None = None,
        end_ms: int | None = None,
        newest_first: bool = False,
        contains: Sequence[str] = (),
    ) -> Iterator[LogEvent]:
        """Events of streams in the order of time beyond a place, or all of them `newest_first`, read as they are asked for.

        With `contains` only events that have each of these texts come, found by the database; then there are marks among them,
        without a message: everything up to their place was looked at."""
        inside = [s for s in streams if _may_have(s, start_ms, end_ms)]
        size = MANY_ROWS // 4 if len(inside) < MANY_STREAMS else FEW_ROWS
        if contains and inside:
            size = max(LOOK_ROWS // len(inside), FEW_ROWS)
        after, before = _bounds(START if newest_first else after, END, start_ms, end_ms)
        parts = [self._reader.stream(s.id, after, before, newest_first=newest_first, size=size, terms=contains) for s in inside]
        return _together(parts, newest_first)

    def event(self, stream_id: int, at_ms: int, seq: int) -> LogEvent | None:
        found = self.events([stream_id], after=(at_ms, seq - 1), before=(at_ms, seq + 1), limit=1)
        return found[0] if found else None

    def last_seq(self) -> int:
        return self._db.read("SELECT coalesce(max(seq), 0) FROM log_events")[0][0]

    def ingested(self) -> list[tuple[int, int]]:
        """(id, time of the newest ingestion) of every stream that has lines."""
        return self._db.read("SELECT id, ingested_ms FROM log_streams WHERE ingested_ms IS NOT NULL ORDER BY id")

    def arrived(self, seq: int) -> list[LogEvent]:
        """Events of all groups in the order of their arrival, after one of them."""
        rows = self._db.read(
            "SELECT seq, stream_id, at_ms, ingested_ms, message FROM log_events WHERE seq > ? ORDER BY seq LIMIT ?", (seq, LOOK_ROWS)
        )
        return list(map(LogEvent._make, rows))

    def origin(self, stream_id: int) -> tuple[str, str, str, str] | None:
        """(account, region, group, stream) of a stream."""
        rows = self._db.read(
            "SELECT g.account, g.region, g.name, s.name FROM log_streams s JOIN log_groups g ON g.id = s.group_id WHERE s.id = ?",
            (stream_id,),
        )
        return rows[0] if rows else None

    def now_ms(self) -> int:
        return self._now_ms()

    # --- helpers ---------------------------------------------------------------------------------

    def _now_ms(self) -> int:
        return int(self._clock.now() * 1000)

    def _ensure_group(self, tx: Tx, account: str, region: str, name: str, now: int) -> int:
        rows = tx.execute("SELECT id FROM log_groups WHERE account = ? AND region = ? AND name = ?", (account, region, name))
        if not rows:
            rows = tx.execute(
                "INSERT INTO log_groups (account, region, name, created_ms, class) VALUES (?,?,?,?,'STANDARD') "
                "ON CONFLICT (account, region, name) DO UPDATE SET name = excluded.name RETURNING id",
                (account, region, name, now),
            )
        return rows[0][0]

    def _ensure_stream(self, tx: Tx, group_id: int, name: str, now: int) -> int:
        rows = tx.execute("SELECT id FROM log_streams WHERE group_id = ? AND name = ?", (group_id, name))
        if not rows:
            rows = tx.execute(
                "INSERT INTO log_streams (group_id, name, created_ms) VALUES (?,?,?) "
                "ON CONFLICT (group_id, name) DO UPDATE SET name = excluded.name RETURNING id",
                (group_id, name, now),
            )
        return rows[0][0]

    def _insert(self, tx: Tx, stream_id: int, events: Sequence[tuple[int, str]], now: int) -> None:
        if not events:
            return
        tx.executemany(
            "INSERT INTO log_events (stream_id, at_ms, ingested_ms, message) VALUES (?,?,?,?)",
            [(stream_id, at, now, message) for at, message in events],
        )
        first, last = min(at for at, _ in events), max(at for at, _ in events)
        size = sum(len(message.encode()) + 26 for _, message in events)
        tx.execute(
            "UPDATE log_streams SET first_ms = CASE WHEN first_ms IS NULL OR first_ms > ? THEN ? ELSE first_ms END, "
            "last_ms = CASE WHEN last_ms IS NULL OR last_ms < ? THEN ? ELSE last_ms END, ingested_ms = ?, bytes = bytes + ? WHERE id = ?",
            (first, first, last, last, now, size, stream_id),
        )
        self._tell_filters(tx, stream_id, events, now)

    def _tell_filters(self, tx: Tx, stream_id: int, events: Sequence[tuple[int, str]], now: int) -> None:
        """Where the group has filters, the events go into their outbox in the same transaction: each is seen by them once."""
        rows = tx.execute(
            "SELECT group_id, name FROM log_streams WHERE id = ? AND EXISTS (SELECT 1 FROM log_filters f WHERE f.group_id = log_streams.group_id)",
            (stream_id,),
        )
        if rows:
            ((group_id, name),) = rows
            # Writes the row: where two may write at once (PostgreSQL), a group's entries get their numbers in the order of their commits.
            tx.execute("UPDATE log_groups SET guarded = guarded WHERE id = ?", (group_id,))
            tx.execute(
                "INSERT INTO log_outbox (group_id, stream, at_ms, events) VALUES (?,?,?,?)",
                (group_id, name, now, orjson.dumps(events).decode()),
            )


def _bounds(after: Place, before: Place, start_ms: int | None, end_ms: int | None) -> tuple[Place, Place]:
    """Places that a time span narrows: start inclusive, end exclusive. No event has a seq below 1."""
    after = after if start_ms is None else max(tuple(after), (start_ms, 0))
    return after, before if end_ms is None else min(tuple(before), (end_ms, 0))


def _together(parts: Sequence[Iterator[LogEvent]], newest_first: bool) -> Iterator[LogEvent]:
    return parts[0] if len(parts) == 1 else heapq.merge(*parts, key=place_of, reverse=newest_first)


def _may_have(stream: Stream, start_ms: int | None, end_ms: int | None) -> bool:
    if stream.first_ms is None:
        return False
    return (start_ms is None or stream.last_ms >= start_ms) and (end_ms is None or stream.first_ms < end_ms)


_FIRSTS = (("log_events", "at_ms"), ("log_packs", "first_at"))
_STREAM = "id, name, created_ms, first_ms, last_ms, ingested_ms, bytes"
