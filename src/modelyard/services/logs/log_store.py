"""Where log groups, streams and events live: tables of their own, written in groups.

An event's place in its stream is (timestamp, seq): AWS answers events by time, and by arrival within one
millisecond. Followers of files store how far they read in the same transaction as the events
(`source`), so a crash neither loses nor repeats a line.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from modelyard.kernel.clock import Clock
from modelyard.kernel.database import Database, Tx

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
]

Place = tuple[int, int]
"""(timestamp ms, seq): where in a stream."""
START: Place = (-1, -1)
END: Place = (1 << 62, 1 << 62)


@dataclass(frozen=True)
class Group:
    id: int
    name: str
    created_ms: int
    retention_days: int | None
    kms_key: str | None
    log_class: str
    bytes: int


@dataclass(frozen=True)
class Stream:
    id: int
    name: str
    created_ms: int
    first_ms: int | None
    last_ms: int | None
    ingested_ms: int | None
    bytes: int


@dataclass(frozen=True)
class LogEvent:
    seq: int
    stream_id: int
    at_ms: int
    ingested_ms: int
    message: str


class LogStore:
    """`platform.logs`."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db, self._clock = db, clock
        serial = "INTEGER PRIMARY KEY AUTOINCREMENT" if db.dialect == "sqlite" else "BIGSERIAL PRIMARY KEY"
        db.migrate("logs", [step.replace("@SERIAL@", serial) for step in MIGRATIONS])

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
            tx.execute("DELETE FROM log_events WHERE stream_id IN (SELECT id FROM log_streams WHERE group_id = ?)", (group.id,))
            tx.execute("DELETE FROM log_streams WHERE group_id = ?", (group.id,))
            tx.execute("DELETE FROM log_groups WHERE id = ?", (group.id,))

    def delete_stream(self, stream: Stream) -> None:
        with self._db.write() as tx:
            tx.execute("DELETE FROM log_events WHERE stream_id = ?", (stream.id,))
            tx.execute("DELETE FROM log_streams WHERE id = ?", (stream.id,))

    def set_retention(self, group: Group, days: int | None) -> None:
        with self._db.write() as tx:
            tx.execute("UPDATE log_groups SET retention_days = ? WHERE id = ?", (days, group.id))

    def sweep(self) -> None:
        """Drops events that are older than their group's retention (platform time)."""
        for group_id, days in self._db.read("SELECT id, retention_days FROM log_groups WHERE retention_days IS NOT NULL"):
            with self._db.write() as tx:
                tx.execute(
                    "DELETE FROM log_events WHERE stream_id IN (SELECT id FROM log_streams WHERE group_id = ?) AND at_ms < ?",
                    (group_id, self._now_ms() - days * 86_400_000),
                )

    # --- reading ---------------------------------------------------------------------------------

    def group(self, account: str, region: str, name: str) -> Group | None:
        found = self.groups(account, region, name=name)
        return found[0] if found else None

    def groups(
        self, account: str, region: str, *, name: str | None = None, prefix: str = "", part: str = "", after: str = "", limit: int = 1
    ) -> list[Group]:
        """Groups by name, after a name; `part` is a case-insensitive part of the name."""
        where, values = ["account = ?", "region = ?", "name > ?"], [account, region, after]
        if name is not None:
            where.append("name = ?")
            values.append(name)
        if prefix:
            where.append("substr(name, 1, ?) = ?")
            values += [len(prefix), prefix]
        if part:
            where.append("lower(name) LIKE ? ESCAPE '\\'")
            values.append("%" + part.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%")
        rows = self._db.read(
            "SELECT id, name, created_ms, retention_days, kms_key, class, "
            "(SELECT coalesce(sum(bytes), 0) FROM log_streams WHERE group_id = log_groups.id) "
            f"FROM log_groups WHERE {' AND '.join(where)} ORDER BY name LIMIT ?",
            (*values, limit),
        )
        return [Group(*row[:6], int(row[6])) for row in rows]

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
        if not stream_ids:
            return []
        where = [f"stream_id IN ({','.join('?' * len(stream_ids))})", "(at_ms, seq) > (?, ?)", "(at_ms, seq) < (?, ?)"]
        values: list[Any] = [*stream_ids, *after, *before]
        if start_ms is not None:
            where.append("at_ms >= ?")
            values.append(start_ms)
        if end_ms is not None:
            where.append("at_ms < ?")
            values.append(end_ms)
        way = "DESC" if newest_first else "ASC"
        rows = self._db.read(
            f"SELECT seq, stream_id, at_ms, ingested_ms, message FROM log_events WHERE {' AND '.join(where)} "
            f"ORDER BY at_ms {way}, seq {way} LIMIT ?",
            (*values, limit),
        )
        return [LogEvent(*row) for row in rows]

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


_STREAM = "id, name, created_ms, first_ms, last_ms, ingested_ms, bytes"
