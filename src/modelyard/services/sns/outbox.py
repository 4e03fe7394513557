"""The outbox: what Publish has promised. A message and its deliveries are written in one transaction; a delivery leaves only when
it was made, or given up (to the subscription's dead letters).

Deliveries of a subscription lie in one *lane*, which one worker at a time works off (`lease_until`, real time): so a dead endpoint
holds up its own lane only, and the order of FIFO groups is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from modelyard.kernel.clock import Clock, real_now
from modelyard.kernel.database import Database, Tx

MIGRATIONS = [
    """
    CREATE TABLE sns_messages (id TEXT PRIMARY KEY, body TEXT NOT NULL);
    CREATE TABLE sns_deliveries (
        seq @SERIAL@, subscription TEXT NOT NULL, message TEXT NOT NULL, group_id TEXT, due_at DOUBLE PRECISION NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0);
    CREATE INDEX sns_deliveries_lane ON sns_deliveries (subscription, due_at, seq);
    CREATE INDEX sns_deliveries_message ON sns_deliveries (message);
    CREATE TABLE sns_lanes (
        subscription TEXT PRIMARY KEY, due_at DOUBLE PRECISION NOT NULL, lease_until DOUBLE PRECISION NOT NULL DEFAULT 0);
    CREATE INDEX sns_lanes_due ON sns_lanes (due_at);
    CREATE TABLE sns_published (
        topic TEXT NOT NULL, token TEXT NOT NULL, expires_at DOUBLE PRECISION NOT NULL, message_id TEXT NOT NULL, seq BIGINT NOT NULL,
        PRIMARY KEY (topic, token));
    CREATE INDEX sns_published_expiry ON sns_published (expires_at);
    CREATE TABLE sns_sequence (seq @SERIAL@)
    """,
]
DEDUPLICATION_S = 300.0
_FIRST = (
    "(d.group_id IS NULL OR NOT EXISTS (SELECT 1 FROM sns_deliveries e WHERE e.subscription = d.subscription "
    "AND e.group_id = d.group_id AND e.seq < d.seq AND e.due_at > ?))"
)
"""Not behind a delivery of its group that waits for its next attempt."""


@dataclass(frozen=True)
class Publication:
    """A message for some subscriptions (uids). `token`: its deduplication id on a FIFO topic."""

    id: str
    topic: str
    body: dict[str, Any]
    subscriptions: tuple[str, ...]
    group_id: str | None = None
    token: str | None = None


@dataclass(frozen=True)
class Due:
    seq: int
    subscription: str
    message: str
    group_id: str | None
    attempts: int
    body: dict[str, Any]


class Outbox:
    def __init__(self, db: Database, clock: Clock) -> None:
        self.db, self.clock = db, clock
        serial = "INTEGER PRIMARY KEY AUTOINCREMENT" if db.dialect == "sqlite" else "BIGSERIAL PRIMARY KEY"
        db.migrate("sns", [step.replace("@SERIAL@", serial) for step in MIGRATIONS])

    # --- publishing ------------------------------------------------------------------------------

    def publish(self, publications: Sequence[Publication]) -> list[tuple[str, int]]:
        """(message id, sequence number) of each, durable; those of the first one where a FIFO topic had it before."""
        now = self.clock.now()
        return self.db.grouped(lambda tx: [_publish(tx, publication, now) for publication in publications])

    # --- working it off --------------------------------------------------------------------------

    def claim(self, lease_s: float, limit: int) -> list[tuple[str, float]]:
        """(subscription, lease) of lanes that have something due and that nobody works on: the caller's for `lease_s` real seconds."""
        now, real = self.clock.now(), real_now()
        if not self.db.read("SELECT 1 FROM sns_lanes WHERE due_at <= ? AND lease_until <= ? LIMIT 1", (now, real)):
            return []
        with self.db.write() as tx:
            rows = tx.execute(
                "UPDATE sns_lanes SET lease_until = ? WHERE subscription IN "
                "(SELECT subscription FROM sns_lanes WHERE due_at <= ? AND lease_until <= ? ORDER BY due_at LIMIT ?) "
                "RETURNING subscription, lease_until",
                (real + lease_s, now, real, limit),
            )
        return [(row[0], row[1]) for row in rows]

    def renew(self, subscription: str, lease: float, lease_s: float) -> float | None:
        """The lease anew; None: it had ended, and the lane is somebody else's."""
        with self.db.write() as tx:
            rows = tx.execute(
                "UPDATE sns_lanes SET lease_until = ? WHERE subscription = ? AND lease_until = ? RETURNING lease_until",
                (real_now() + lease_s, subscription, lease),
            )
        return rows[0][0] if rows else None

    def due(self, subscription: str, limit: int) -> list[Due]:
        """What is due in a lane, in order. Behind a delivery that waits for its next attempt its whole group waits."""
        now = self.clock.now()
        rows = self.db.read(
            "SELECT d.seq, d.subscription, d.message, d.group_id, d.attempts, m.body FROM sns_deliveries d JOIN sns_messages m ON m.id = d.message "
            f"WHERE d.subscription = ? AND d.due_at <= ? AND {_FIRST} ORDER BY d.seq LIMIT ?",
            (subscription, now, now, limit),
        )
        return [Due(*row[:5], orjson.loads(row[5])) for row in rows]

    def settle(self, subscription: str, done: Sequence[int], again: Sequence[tuple[int, int, float]]) -> None:
        """Takes away what is done; `again` are (seq, attempts, when due)."""

        def work(tx: Tx) -> None:
            for seq in done:
                for (message,) in tx.execute("DELETE FROM sns_deliveries WHERE seq = ? RETURNING message", (seq,)):
                    tx.execute(
                        "DELETE FROM sns_messages WHERE id = ? AND NOT EXISTS (SELECT 1 FROM sns_deliveries WHERE message = ?)",
                        (message, message),
                    )
            for seq, attempts, due_at in again:
                tx.execute("UPDATE sns_deliveries SET attempts = ?, due_at = ? WHERE seq = ?", (attempts, due_at, seq))

        self.db.grouped(work)

    def release(self, subscription: str) -> bool:
        """Gives a lane back: due when its next delivery is, gone when it has none. False: it has something due now, and is kept."""
        now = self.clock.now()

        def work(tx: Tx) -> bool:
            ((due,),) = tx.execute(f"SELECT min(d.due_at) FROM sns_deliveries d WHERE d.subscription = ? AND {_FIRST}", (subscription, now))
            if due is None:
                tx.execute("DELETE FROM sns_lanes WHERE subscription = ?", (subscription,))
            elif due > now:
                tx.execute("UPDATE sns_lanes SET due_at = ?, lease_until = 0 WHERE subscription = ?", (due, subscription))
            return due is None or due > now

        return self.db.grouped(work)

    def next_due(self) -> float | None:
        """When a lane that nobody works on has something due."""
        rows = self.db.read("SELECT min(due_at) FROM sns_lanes WHERE lease_until <= ?", (real_now(),))
        return rows[0][0]

    def drop(self, subscription: str) -> None:
        """The subscription is gone, and what was on its way to it."""
        self.settle(
            subscription, [row[0] for row in self.db.read("SELECT seq FROM sns_deliveries WHERE subscription = ?", (subscription,))], []
        )
        self.release(subscription)

    def waiting(self, subscription: str) -> int:
        return self.db.read("SELECT count(*) FROM sns_deliveries WHERE subscription = ?", (subscription,))[0][0]

    def sweep(self) -> None:
        now = self.clock.now()
        if self.db.read("SELECT 1 FROM sns_published WHERE expires_at <= ? LIMIT 1", (now,)):
            with self.db.write() as tx:
                tx.execute("DELETE FROM sns_published WHERE expires_at <= ?", (now,))


def _publish(tx: Tx, publication: Publication, now: float) -> tuple[str, int]:
    seq = 0
    if publication.token is not None:
        key = (publication.topic, publication.token)
        have = tx.execute("SELECT message_id, seq FROM sns_published WHERE topic = ? AND token = ? AND expires_at > ?", (*key, now))
        if have:
            return have[0][0], have[0][1]
        ((seq,),) = tx.execute("INSERT INTO sns_sequence DEFAULT VALUES RETURNING seq")
        tx.execute("DELETE FROM sns_sequence WHERE seq < ?", (seq,))
        tx.execute(
            "INSERT INTO sns_published VALUES (?,?,?,?,?) ON CONFLICT (topic, token) DO UPDATE SET "
            "expires_at = excluded.expires_at, message_id = excluded.message_id, seq = excluded.seq",
            (*key, now + DEDUPLICATION_S, publication.id, seq),
        )
    if publication.subscriptions:
        body = {**publication.body, "SequenceNumber": seq} if seq else publication.body
        tx.execute("INSERT INTO sns_messages VALUES (?,?)", (publication.id, orjson.dumps(body).decode()))
    for subscription in publication.subscriptions:
        tx.execute(
            "INSERT INTO sns_deliveries (subscription, message, group_id, due_at) VALUES (?,?,?,?)",
            (subscription, publication.id, publication.group_id, now),
        )
        tx.execute(
            "INSERT INTO sns_lanes (subscription, due_at) VALUES (?,?) ON CONFLICT (subscription) DO UPDATE SET due_at = excluded.due_at "
            "WHERE sns_lanes.due_at > excluded.due_at",
            (subscription, now),
        )
    return publication.id, seq
