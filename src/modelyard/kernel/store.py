"""Records, their events, tags and route tables: create · get · list · request · delete · claim · apply.

Rules: every write is one transaction that also writes one event; `apply` and `request` are guarded by
the revision their caller saw; nothing here sleeps or asks the time by itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from modelyard.kernel.clock import Clock
from modelyard.kernel.database import Database, Tx
from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.records import Event, Record, new_uid

MIGRATIONS = [
    """
    CREATE TABLE records (
        uid TEXT PRIMARY KEY, kind TEXT NOT NULL, account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,
        arn TEXT NOT NULL, owner TEXT, status TEXT NOT NULL, spec TEXT NOT NULL, state TEXT NOT NULL,
        revision INTEGER NOT NULL, due_at DOUBLE PRECISION, wakes INTEGER NOT NULL DEFAULT 0, lease_until DOUBLE PRECISION NOT NULL DEFAULT 0,
        created_at DOUBLE PRECISION NOT NULL, updated_at DOUBLE PRECISION NOT NULL,
        UNIQUE (kind, account, region, name));
    CREATE INDEX records_arn ON records (arn);
    CREATE INDEX records_owner ON records (owner);
    CREATE INDEX records_due ON records (due_at);
    CREATE INDEX records_created ON records (kind, account, region, created_at, name);
    CREATE INDEX records_updated ON records (kind, account, region, updated_at, name);
    CREATE INDEX records_status ON records (kind, account, region, status, created_at);
    CREATE TABLE events (
        seq @SERIAL@, uid TEXT NOT NULL, kind TEXT NOT NULL, account TEXT NOT NULL, region TEXT NOT NULL,
        name TEXT NOT NULL, arn TEXT NOT NULL, owner TEXT, old TEXT, new TEXT, revision INTEGER NOT NULL,
        at DOUBLE PRECISION NOT NULL, detail TEXT NOT NULL);
    CREATE INDEX events_uid ON events (uid, revision);
    CREATE TABLE cursors (reader TEXT PRIMARY KEY, seq INTEGER NOT NULL);
    CREATE TABLE tags (arn TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (arn, key));
    CREATE TABLE routes (key TEXT PRIMARY KEY, seq INTEGER NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL);
    CREATE INDEX routes_seq ON routes (seq);
    CREATE TABLE facts (key TEXT PRIMARY KEY, value TEXT NOT NULL)
    """,
    # Lists of one status, in the order of creation or of names, and lists sorted by status: each a walk along one index.
    """
    DROP INDEX records_status;
    CREATE INDEX records_status_created ON records (kind, account, region, status, created_at, name);
    CREATE INDEX records_status_name ON records (kind, account, region, status, name)
    """,
]

_COLUMNS = "uid, kind, account, region, name, arn, owner, status, spec, state, revision, due_at, wakes, created_at, updated_at"
# A wake that came while the record was worked on must not be lost: then it is due at once.
_DUE = "CASE WHEN wakes = ? THEN ? ELSE CAST(? AS DOUBLE PRECISION) END"


class Taken(Exception):
    """A record of this kind and name is there already; `record` is it."""

    def __init__(self, record: Record) -> None:
        super().__init__(f"{record.kind} {record.name} exists")
        self.record = record


class Moved(Exception):
    """The record changed (or went away) since it was read: read it again and decide again."""


@dataclass(frozen=True)
class Step:
    """What a reconciler decided: the next status, patches, actions, and when to look again.

    `state` is merged into the record's state (a None value removes the key). `do` are actions with
    `perform(world)`, done before the write. `wake_at` is platform time (None: nothing until a wish or a
    child's event wakes it); `wake_in_real_s` looks again after so many real seconds whatever the clock's
    speed (for what real processes do). `detail` goes into the event. `delete` removes the record.
    """

    status: str
    state: Mapping[str, Any] | None = None
    do: Sequence[Any] = ()
    wake_at: float | None = None
    wake_in_real_s: float | None = None
    detail: Mapping[str, Any] | None = None
    delete: bool = False


class Store:
    def __init__(self, db: Database, clock: Clock) -> None:
        self.db, self.clock = db, clock
        serial = "INTEGER PRIMARY KEY AUTOINCREMENT" if db.dialect == "sqlite" else "BIGSERIAL PRIMARY KEY"
        db.migrate("kernel", [step.replace("@SERIAL@", serial) for step in MIGRATIONS])

    # --- operations write wishes -----------------------------------------------------------------

    def create(
        self,
        lifecycle: Lifecycle,
        *,
        account: str,
        region: str,
        name: str,
        arn: str,
        spec: Mapping[str, Any],
        state: Mapping[str, Any] | None = None,
        owner: str | None = None,
        tags: Mapping[str, str] | None = None,
        uid: str | None = None,
        due_at: float | None = None,
        detail: Mapping[str, Any] | None = None,
    ) -> Record:
        """A new record in the lifecycle's first status, with its first event and tags. Raises Taken."""
        now = self.clock.now()
        due = due_at if due_at is not None else (now if lifecycle.due else None)
        record = Record(
            uid or new_uid(),
            lifecycle.kind,
            account,
            region,
            name,
            arn,
            owner,
            lifecycle.first,
            dict(spec),
            dict(state or {}),
            1,
            due,
            0,
            now,
            now,
        )
        with self.db.write() as tx:
            have = tx.execute(
                f"SELECT {_COLUMNS} FROM records WHERE kind = ? AND account = ? AND region = ? AND name = ?",
                (record.kind, account, region, name),
            )
            if have:
                raise Taken(_record(have[0]))
            tx.execute(
                f"INSERT INTO records ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
                (*_key(record), record.status, _dump(record.spec), _dump(record.state), 1, due, 0, now, now),
            )
            _event(tx, record, None, record.status, 1, now, detail or {})
            for key, value in (tags or {}).items():
                tx.execute("INSERT INTO tags VALUES (?,?,?) ON CONFLICT (arn, key) DO UPDATE SET value = excluded.value", (arn, key, value))
        return record

    def request(
        self, record: Record, spec: Mapping[str, Any] | None = None, *, due: bool = True, detail: Mapping[str, Any] | None = None
    ) -> Record:
        """A wish: `spec` is merged into the record's spec (None removes a key); the reconciler is due now.
        Guarded by the revision of `record`; raises Moved."""
        now = self.clock.now()
        merged = _merge(record.spec, spec or {})
        with self.db.write() as tx:
            rows = tx.execute(
                f"UPDATE records SET spec = ?, revision = revision + 1, updated_at = ?, due_at = {'?' if due else 'due_at'}, lease_until = 0 "
                f"WHERE uid = ? AND revision = ? RETURNING {_COLUMNS}",
                (_dump(merged), now, *([now] if due else []), record.uid, record.revision),
            )
            if not rows:
                raise Moved(record.uid)
            new = _record(rows[0])
            _event(tx, new, record.status, new.status, new.revision, now, detail or {})
        return new

    def rename(self, record: Record, name: str, arn: str, spec: Mapping[str, Any]) -> Record:
        """Gives a record another name and ARN, and moves its tags along; `spec` is merged into its spec. Guarded by the revision of
        `record`; raises Moved, or Taken where the name is another's."""
        now = self.clock.now()
        with self.db.write() as tx:
            have = tx.execute(
                f"SELECT {_COLUMNS} FROM records WHERE kind = ? AND account = ? AND region = ? AND name = ? AND uid <> ?",
                (record.kind, record.account, record.region, name, record.uid),
            )
            if have:
                raise Taken(_record(have[0]))
            rows = tx.execute(
                "UPDATE records SET name = ?, arn = ?, spec = ?, revision = revision + 1, updated_at = ? "
                f"WHERE uid = ? AND revision = ? RETURNING {_COLUMNS}",
                (name, arn, _dump(_merge(record.spec, spec)), now, record.uid, record.revision),
            )
            if not rows:
                raise Moved(record.uid)
            tx.execute("UPDATE tags SET arn = ? WHERE arn = ?", (arn, record.arn))
            new = _record(rows[0])
            _event(tx, new, record.status, new.status, new.revision, now, {"renamed_from": record.name})
        return new

    def delete(self, record: Record, detail: Mapping[str, Any] | None = None) -> None:
        """Removes a record and its tags at once, with a last event. Guarded by the revision; raises Moved."""
        now = self.clock.now()
        with self.db.write() as tx:
            if not tx.execute("DELETE FROM records WHERE uid = ? AND revision = ? RETURNING uid", (record.uid, record.revision)):
                raise Moved(record.uid)
            tx.execute("DELETE FROM tags WHERE arn = ?", (record.arn,))
            _event(tx, record, record.status, None, record.revision + 1, now, detail or {})

    # --- reading ---------------------------------------------------------------------------------

    def get(self, kind: str, account: str, region: str, name: str) -> Record | None:
        rows = self.db.read(
            f"SELECT {_COLUMNS} FROM records WHERE kind = ? AND account = ? AND region = ? AND name = ?", (kind, account, region, name)
        )
        return _record(rows[0]) if rows else None

    def by_uid(self, uid: str) -> Record | None:
        rows = self.db.read(f"SELECT {_COLUMNS} FROM records WHERE uid = ?", (uid,))
        return _record(rows[0]) if rows else None

    def by_uids(self, uids: Sequence[str]) -> list[Record]:
        """Those that are there, in the order of `uids`."""
        found: dict[str, Record] = {}
        for start in range(0, len(uids), 500):
            some = uids[start : start + 500]
            rows = self.db.read(f"SELECT {_COLUMNS} FROM records WHERE uid IN ({','.join('?' * len(some))})", tuple(some))
            found.update((row[0], _record(row)) for row in rows)
        return [found[uid] for uid in uids if uid in found]

    def by_arn(self, arn: str) -> Record | None:
        rows = self.db.read(f"SELECT {_COLUMNS} FROM records WHERE arn = ?", (arn,))
        return _record(rows[0]) if rows else None

    def children(self, owner: str, kind: str | None = None) -> list[Record]:
        more, values = (" AND kind = ?", (owner, kind)) if kind else ("", (owner,))
        return [_record(r) for r in self.db.read(f"SELECT {_COLUMNS} FROM records WHERE owner = ?{more} ORDER BY name", values)]

    def list(
        self,
        kind: str,
        account: str | None = None,
        region: str | None = None,
        *,
        owner: str | None = None,
        contains: str | None = None,
        status: str | Sequence[str] | None = None,
        created_after: float | None = None,
        created_before: float | None = None,
        updated_after: float | None = None,
        updated_before: float | None = None,
        order_by: str = "created_at",
        descending: bool = False,
        limit: int | None = None,
        after: tuple[Any, str] | None = None,
        offset: int = 0,
    ) -> list[Record]:
        """Records of a kind, filtered and sorted on indexed columns (`name`, `created_at`, `updated_at`,
        `status`). `after` is the (sort value, name) of the last record of the page before. `contains` is a
        case-insensitive part of the name. Bounds are exclusive for `after` and `before` alike as AWS lists."""
        if order_by not in ("name", "created_at", "updated_at", "status"):
            raise ValueError(order_by)
        where, values = ["kind = ?"], [kind]
        for column, value in (("account", account), ("region", region), ("owner", owner)):
            if value is not None:
                where.append(f"{column} = ?")
                values.append(value)
        if contains is not None:
            where.append(f"name {'LIKE' if self.db.dialect == 'sqlite' else 'ILIKE'} ? ESCAPE '\\'")  # both without regard to case
            values.append("%" + contains.lower().replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%")
        if status is not None and not isinstance(status, str) and len(status) == 1:
            status = status[0]
        if isinstance(status, str):
            where.append("status = ?")
            values.append(status)
        elif status is not None:
            where.append(f"status IN ({','.join('?' * len(status))})")
            values.extend(status)
        for column, sign, bound in (
            ("created_at", ">", created_after),
            ("created_at", "<", created_before),
            ("updated_at", ">", updated_after),
            ("updated_at", "<", updated_before),
        ):
            if bound is not None:
                where.append(f"{column} {sign} ?")
                values.append(bound)
        sign, direction = ("<", "DESC") if descending else (">", "ASC")
        if after is not None:
            if order_by == "name":
                where.append(f"name {sign} ?")
                values.append(after[1])
            else:
                where.append(f"({order_by}, name) {sign} (?, ?)")
                values.extend(after)
        order = f"name {direction}" if order_by == "name" else f"{order_by} {direction}, name {direction}"
        bound = f" LIMIT {int(limit)} OFFSET {int(offset)}" if limit is not None else ""
        return [
            _record(r) for r in self.db.read(f"SELECT {_COLUMNS} FROM records WHERE {' AND '.join(where)} ORDER BY {order}{bound}", values)
        ]

    def count(self, kind: str, account: str, region: str) -> int:
        return self.db.read("SELECT count(*) FROM records WHERE kind = ? AND account = ? AND region = ?", (kind, account, region))[0][0]

    def uids(self, kind: str, account: str, region: str) -> list[str]:
        """Of all records of a kind, those changed last first."""
        where = "kind = ? AND account = ? AND region = ? ORDER BY updated_at DESC, name DESC"
        return [row[0] for row in self.db.read(f"SELECT uid FROM records WHERE {where}", (kind, account, region))]

    # --- the engine's side -----------------------------------------------------------------------

    def claim(self, kinds: Sequence[str], now: float, real_now: float, lease_s: float, limit: int) -> list[Record]:
        """Due records that nobody holds; they are leased until `real_now + lease_s` (real seconds)."""
        if not kinds:
            return []
        marks = ",".join("?" * len(kinds))
        due = f"due_at <= ? AND lease_until <= ? AND kind IN ({marks})"
        if not self.db.read(f"SELECT 1 FROM records WHERE {due} LIMIT 1", (now, real_now, *kinds)):
            return []
        lock = "" if self.db.dialect == "sqlite" else " FOR UPDATE SKIP LOCKED"
        with self.db.write() as tx:
            rows = tx.execute(
                f"UPDATE records SET lease_until = ? WHERE uid IN (SELECT uid FROM records WHERE {due} ORDER BY due_at LIMIT ?{lock}) "
                f"RETURNING {_COLUMNS}",
                (real_now + lease_s, now, real_now, *kinds, limit),
            )
        return [_record(r) for r in rows]

    def next_due(self, kinds: Sequence[str]) -> float | None:
        """The earliest platform time at which a record of these kinds is due."""
        if not kinds:
            return None
        rows = self.db.read(
            f"SELECT min(due_at) FROM records WHERE due_at IS NOT NULL AND kind IN ({','.join('?' * len(kinds))})", tuple(kinds)
        )
        return rows[0][0] if rows else None

    def apply(self, lifecycle: Lifecycle, record: Record, step: Step, wake_at: float | None) -> Record | None:
        """Writes a decision: one guarded update and, where anything but the due time changed, one event, in one
        transaction. None: the world moved meanwhile, the decision is dropped and the record is due again."""
        if not lifecycle.allows(record.status, step.status):
            raise ValueError(f"{record.kind} has no arrow {record.status} → {step.status}")
        now = self.clock.now()
        state = _merge(record.state, step.state or {})
        if step.status == record.status and state == record.state and not step.delete:
            # Many records may come due at once and change nothing (alarms at the full minute): their looks share a commit.
            rows = self.db.grouped(
                lambda tx: tx.execute(
                    f"UPDATE records SET due_at = {_DUE}, lease_until = 0 WHERE uid = ? AND revision = ? RETURNING {_COLUMNS}",
                    (record.wakes, wake_at, now, record.uid, record.revision),
                )
            )
            return _record(rows[0]) if rows else None
        with self.db.write() as tx:
            if step.delete:
                rows = tx.execute("DELETE FROM records WHERE uid = ? AND revision = ? RETURNING uid", (record.uid, record.revision))
                if not rows:
                    return None
                tx.execute("DELETE FROM tags WHERE arn = ?", (record.arn,))
                _event(tx, record, record.status, None, record.revision + 1, now, step.detail or {})
                return record
            rows = tx.execute(
                f"UPDATE records SET status = ?, state = ?, due_at = {_DUE}, lease_until = 0, updated_at = ?, revision = revision + 1 "
                f"WHERE uid = ? AND revision = ? RETURNING {_COLUMNS}",
                (step.status, _dump(state), record.wakes, wake_at, now, now, record.uid, record.revision),
            )
            if not rows:
                return None
            new = _record(rows[0])
            _event(tx, new, record.status, new.status, new.revision, now, step.detail or {})
            return new

    def release(self, record: Record, due_at: float | None) -> None:
        """Gives up a lease after a failed look; due again at `due_at` unless a wish came in between."""
        with self.db.write() as tx:
            tx.execute(
                "UPDATE records SET lease_until = 0, due_at = ? WHERE uid = ? AND revision = ?", (due_at, record.uid, record.revision)
            )

    def wake(self, uid: str) -> None:
        """Makes a record due now (a run ended, a task is done). No event, no revision; a record's owner is woken
        by every event of its children, in the same transaction."""
        with self.db.write() as tx:
            tx.execute("UPDATE records SET due_at = ?, wakes = wakes + 1 WHERE uid = ?", (self.clock.now(), uid))

    # --- the outbox ------------------------------------------------------------------------------

    def last_seq(self) -> int:
        return self.db.read("SELECT coalesce(max(seq), 0) FROM events")[0][0]

    def events(self, after: int = 0, limit: int = 1000) -> list[Event]:
        """Events in order. On PostgreSQL numbers can commit out of order: see docs/design/store.md."""
        rows = self.db.read(
            "SELECT seq, uid, kind, account, region, name, arn, owner, old, new, revision, at, detail FROM events WHERE seq > ? ORDER BY seq LIMIT ?",
            (after, limit),
        )
        return [Event(*row[:12], orjson.loads(row[12])) for row in rows]

    def events_of(self, uid: str) -> list[Event]:
        rows = self.db.read(
            "SELECT seq, uid, kind, account, region, name, arn, owner, old, new, revision, at, detail FROM events WHERE uid = ? ORDER BY revision",
            (uid,),
        )
        return [Event(*row[:12], orjson.loads(row[12])) for row in rows]

    def tell(self, kind: str, account: str, region: str, name: str, arn: str, uid: str, detail: Mapping[str, Any]) -> None:
        """Puts an event into the outbox that is of no record (`aws.s3`), once for each `uid`."""
        with self.db.write() as tx:
            if not tx.execute("SELECT 1 FROM events WHERE uid = ?", (uid,)):
                now = self.clock.now()
                _event(tx, Record(uid, kind, account, region, name, arn, None, "", {}, {}, 1, None, 0, now, now), None, None, 1, now, detail)

    def cursor(self, reader: str) -> int:
        rows = self.db.read("SELECT seq FROM cursors WHERE reader = ?", (reader,))
        return rows[0][0] if rows else 0

    def set_cursor(self, reader: str, seq: int) -> None:
        with self.db.write() as tx:
            tx.execute("INSERT INTO cursors VALUES (?,?) ON CONFLICT (reader) DO UPDATE SET seq = excluded.seq", (reader, seq))

    # --- tags ------------------------------------------------------------------------------------

    def tags(self, arn: str) -> dict[str, str]:
        return dict(self.db.read("SELECT key, value FROM tags WHERE arn = ? ORDER BY key", (arn,)))

    def tags_of(self, arns: Sequence[str]) -> dict[str, dict[str, str]]:
        """The tags of many resources, by ARN."""
        found: dict[str, dict[str, str]] = {}
        for start in range(0, len(arns), 500):
            some = arns[start : start + 500]
            marks = ",".join("?" * len(some))
            for arn, key, value in self.db.read(f"SELECT arn, key, value FROM tags WHERE arn IN ({marks}) ORDER BY arn, key", tuple(some)):
                found.setdefault(arn, {})[key] = value
        return found

    def set_tags(self, arn: str, tags: Mapping[str, str]) -> None:
        with self.db.write() as tx:
            for key, value in tags.items():
                tx.execute("INSERT INTO tags VALUES (?,?,?) ON CONFLICT (arn, key) DO UPDATE SET value = excluded.value", (arn, key, value))

    def remove_tags(self, arn: str, keys: Iterable[str]) -> None:
        with self.db.write() as tx:
            for key in keys:
                tx.execute("DELETE FROM tags WHERE arn = ? AND key = ?", (arn, key))

    # --- route tables ----------------------------------------------------------------------------

    def publish_routes(self, key: str, version: int, body: Mapping[str, Any] | None) -> None:
        """Writes (None: a tombstone) an endpoint's route table, unless a newer version is there."""
        with self.db.write() as tx:
            tx.execute(
                "INSERT INTO routes VALUES (?, (SELECT coalesce(max(seq), 0) + 1 FROM routes), ?, ?) ON CONFLICT (key) DO UPDATE SET "
                "seq = (SELECT coalesce(max(seq), 0) + 1 FROM routes), version = excluded.version, body = excluded.body "
                "WHERE routes.version < excluded.version",
                (key, version, _dump(body)),
            )

    def routes_since(self, seq: int) -> list[tuple[int, str, dict[str, Any] | None]]:
        """(seq, key, body or None) of every table that changed after `seq`, in order."""
        rows = self.db.read("SELECT seq, key, body FROM routes WHERE seq > ? ORDER BY seq", (seq,))
        return [(row[0], row[1], orjson.loads(row[2])) for row in rows]

    def routes(self, key: str) -> tuple[int, dict[str, Any] | None]:
        """(version, body) as published last; (0, None) for a key that never was."""
        rows = self.db.read("SELECT version, body FROM routes WHERE key = ?", (key,))
        return (rows[0][0], orjson.loads(rows[0][1])) if rows else (0, None)

    def routes_version(self, key: str) -> int:
        rows = self.db.read("SELECT version FROM routes WHERE key = ?", (key,))
        return rows[0][0] if rows else 0

    # --- single facts (format, anchors, counters) --------------------------------------------------

    def fact(self, key: str) -> Any:
        rows = self.db.read("SELECT value FROM facts WHERE key = ?", (key,))
        return orjson.loads(rows[0][0]) if rows else None

    def set_fact(self, key: str, value: Any) -> None:
        with self.db.write() as tx:
            tx.execute("INSERT INTO facts VALUES (?,?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", (key, _dump(value)))


# --- helpers -------------------------------------------------------------------------------------


def _dump(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS).decode()


def _merge(base: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    merged = {**base, **patch}
    return {key: value for key, value in merged.items() if value is not None}


def _key(record: Record) -> tuple[Any, ...]:
    return (record.uid, record.kind, record.account, record.region, record.name, record.arn, record.owner)


def _record(row: Sequence[Any]) -> Record:
    return Record(*row[:8], orjson.loads(row[8]), orjson.loads(row[9]), *row[10:15])


def _event(tx: Tx, record: Record, old: str | None, new: str | None, revision: int, at: float, detail: Mapping[str, Any]) -> None:
    tx.execute(
        "INSERT INTO events (uid, kind, account, region, name, arn, owner, old, new, revision, at, detail) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
        (*_key(record), old, new, revision, at, _dump(dict(detail))),
    )
    if record.owner:
        tx.execute("UPDATE records SET due_at = ?, wakes = wakes + 1 WHERE uid = ?", (at, record.owner))
