"""Messages: tables of their own, written in groups. What `send` answered survives power loss.

A message is *visible* from `visible_at` on (platform time): after its delay, and again after each visibility timeout. It is
*in flight* while a receipt (`nonce`) is out and `visible_at` is ahead. `receives` counts in this queue, for the redrive policy;
`received` over all queues, as ApproximateReceiveCount does (API reference of ReceiveMessage).

Of a FIFO queue a group is blocked while one of its messages is in flight, and messages come in the order of `seq`.
"""

from __future__ import annotations

import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from modelyard.kernel.clock import Clock
from modelyard.kernel.database import Database, Tx

MIGRATIONS = [
    """
    CREATE TABLE sqs_messages (
        seq @SERIAL@, queue TEXT NOT NULL, message_id TEXT NOT NULL, body TEXT NOT NULL, attributes TEXT NOT NULL, system TEXT NOT NULL,
        group_id TEXT, sent_at DOUBLE PRECISION NOT NULL, visible_at DOUBLE PRECISION NOT NULL, expires_at DOUBLE PRECISION NOT NULL,
        receives INTEGER NOT NULL DEFAULT 0, received INTEGER NOT NULL DEFAULT 0, first_at DOUBLE PRECISION, nonce TEXT, source TEXT);
    CREATE INDEX sqs_messages_visible ON sqs_messages (queue, visible_at, seq);
    CREATE INDEX sqs_messages_group ON sqs_messages (queue, group_id, visible_at);
    CREATE INDEX sqs_messages_expiry ON sqs_messages (expires_at);
    CREATE TABLE sqs_sent (
        queue TEXT NOT NULL, scope TEXT NOT NULL, token TEXT NOT NULL, expires_at DOUBLE PRECISION NOT NULL,
        message_id TEXT NOT NULL, seq BIGINT NOT NULL, PRIMARY KEY (queue, scope, token));
    CREATE INDEX sqs_sent_expiry ON sqs_sent (expires_at);
    CREATE TABLE sqs_attempts (
        queue TEXT NOT NULL, attempt TEXT NOT NULL, expires_at DOUBLE PRECISION NOT NULL, receipts TEXT NOT NULL, PRIMARY KEY (queue, attempt))
    """,
]
_COLUMNS = "seq, message_id, body, attributes, system, group_id, sent_at, visible_at, receives, received, first_at, nonce, source"
_FREE_GROUP = " AND NOT EXISTS (SELECT 1 FROM sqs_messages b WHERE b.queue = m.queue AND b.group_id = m.group_id AND b.visible_at > ? AND b.nonce IS NOT NULL)"
DEDUPLICATION_S = 300.0


@dataclass(frozen=True)
class Outgoing:
    """A message to be sent. `token` is its deduplication id in `scope` (None: none), remembered for `remembered_s`."""

    message_id: str
    body: str
    attributes: dict[str, Any]
    system: dict[str, Any]
    group_id: str | None
    delay_s: float
    retention_s: float
    token: str | None = None
    scope: str = ""
    remembered_s: float = DEDUPLICATION_S


@dataclass(frozen=True)
class Message:
    seq: int
    message_id: str
    body: str
    attributes: dict[str, Any]
    system: dict[str, Any]
    group_id: str | None
    sent_at: float
    visible_at: float
    receives: int
    received: int
    first_at: float | None
    nonce: str | None
    source: str | None


@dataclass(frozen=True)
class DeadLetters:
    """Where messages go that were received `most` times: the queue's uid and retention; `source` is the ARN they come from."""

    queue: str
    retention_s: float
    most: int
    source: str


class MessageStore:
    def __init__(self, db: Database, clock: Clock) -> None:
        self.db, self.clock = db, clock
        serial = "INTEGER PRIMARY KEY AUTOINCREMENT" if db.dialect == "sqlite" else "BIGSERIAL PRIMARY KEY"
        db.migrate("sqs", [step.replace("@SERIAL@", serial) for step in MIGRATIONS])

    # --- sending ---------------------------------------------------------------------------------

    def send(self, queue: str, messages: Sequence[Outgoing]) -> list[tuple[str, int]]:
        """(message id, seq) of each, durable. One that was sent before under the same token is not sent again: the first one's are answered."""
        now = self.clock.now()
        return self.db.grouped(lambda tx: [_send(tx, queue, message, now) for message in messages])

    # --- receiving -------------------------------------------------------------------------------

    def anything(self, queue: str, fifo: bool) -> bool:
        """Whether a look may find a message now: a read, so that looking in vain costs no commit."""
        now = self.clock.now()
        free, more = (_FREE_GROUP, (now,)) if fifo else ("", ())
        sql = f"SELECT 1 FROM sqs_messages m WHERE m.queue = ? AND m.visible_at <= ? AND m.expires_at > ?{free} LIMIT 1"
        return bool(self.db.read(sql, (queue, now, now, *more)))

    def receive(
        self, queue: str, fifo: bool, most: int, visibility_s: float, dead: DeadLetters | None = None, attempt: str | None = None
    ) -> list[Message]:
        """Up to `most` messages, hidden for `visibility_s`. Those received too often go to the dead letters instead."""
        now = self.clock.now()

        def work(tx: Tx) -> list[Message]:
            if attempt is not None and (again := _same_attempt(tx, queue, attempt, now, visibility_s)):
                return again
            found: list[Message] = []
            while len(found) < most:
                seen = _visible(tx, queue, fifo, most - len(found), now, found)
                if not seen:
                    break
                for message in seen:
                    if dead is not None and message.receives >= dead.most:
                        _bury(tx, message, dead, now, fifo)
                    else:
                        found.append(_hide(tx, message, now, visibility_s))
            if attempt is not None and found:
                receipts = orjson.dumps([[message.seq, message.nonce] for message in found]).decode()
                tx.execute(
                    "INSERT INTO sqs_attempts VALUES (?,?,?,?) ON CONFLICT (queue, attempt) DO UPDATE SET "
                    "expires_at = excluded.expires_at, receipts = excluded.receipts",
                    (queue, attempt, now + DEDUPLICATION_S, receipts),
                )
            return found

        return self.db.grouped(work)

    def visible_in(self, queues: Collection[str]) -> tuple[set[str], float | None]:
        """Which of these queues have something visible now, and when the next message of any becomes visible."""
        now, marks = self.clock.now(), ",".join("?" * len(queues))
        rows = self.db.read(
            f"SELECT queue, min(visible_at) FROM sqs_messages WHERE queue IN ({marks}) AND visible_at <= ? AND expires_at > ? GROUP BY queue",
            (*queues, now, now),
        )
        ahead = self.db.read(f"SELECT min(visible_at) FROM sqs_messages WHERE queue IN ({marks}) AND visible_at > ?", (*queues, now))
        return {row[0] for row in rows}, ahead[0][0]

    # --- receipts --------------------------------------------------------------------------------

    def find(self, queue: str, seq: int) -> Message | None:
        rows = self.db.read(f"SELECT {_COLUMNS} FROM sqs_messages WHERE queue = ? AND seq = ?", (queue, seq))
        return _message(rows[0]) if rows else None

    def delete(self, queue: str, receipts: Sequence[tuple[int, str]]) -> None:
        """By (seq, nonce). Of a message that was received again only the latest receipt deletes."""
        self.db.grouped(
            lambda tx: [
                tx.execute("DELETE FROM sqs_messages WHERE queue = ? AND seq = ? AND nonce = ?", (queue, seq, nonce))
                for seq, nonce in receipts
            ]
        )

    def change_visibility(self, queue: str, seq: int, nonce: str, visibility_s: float) -> bool:
        """False: no such message is in flight by this receipt."""
        now = self.clock.now()
        return bool(
            self.db.grouped(
                lambda tx: tx.execute(
                    "UPDATE sqs_messages SET visible_at = ? WHERE queue = ? AND seq = ? AND nonce = ? AND visible_at > ? RETURNING seq",
                    (now + visibility_s, queue, seq, nonce, now),
                )
            )
        )

    # --- whole queues ----------------------------------------------------------------------------

    def counts(self, queue: str) -> tuple[int, int, int]:
        """(visible, in flight, delayed)."""
        now = self.clock.now()
        rows = self.db.read(
            "SELECT coalesce(sum(CASE WHEN visible_at <= ? THEN 1 ELSE 0 END), 0), "
            "coalesce(sum(CASE WHEN visible_at > ? AND nonce IS NOT NULL THEN 1 ELSE 0 END), 0), "
            "coalesce(sum(CASE WHEN visible_at > ? AND nonce IS NULL THEN 1 ELSE 0 END), 0) "
            "FROM sqs_messages WHERE queue = ? AND expires_at > ?",
            (now, now, now, queue, now),
        )
        return tuple(int(value) for value in rows[0])  # type: ignore[return-value]

    def in_flight_at_least(self, queue: str, number: int) -> bool:
        """Whether so many are in flight; stops counting there."""
        rows = self.db.read(
            "SELECT 1 FROM sqs_messages WHERE queue = ? AND visible_at > ? AND nonce IS NOT NULL LIMIT 1 OFFSET ?",
            (queue, self.clock.now(), number - 1),
        )
        return bool(rows)

    def oldest_sent_at(self, queue: str) -> float | None:
        rows = self.db.read("SELECT min(sent_at) FROM sqs_messages WHERE queue = ? AND expires_at > ?", (queue, self.clock.now()))
        return rows[0][0]

    def purge(self, queue: str, forget: bool = False) -> None:
        """Removes every message; `forget`: also what was remembered of sent ones (the queue goes away)."""
        with self.db.write() as tx:
            tx.execute("DELETE FROM sqs_messages WHERE queue = ?", (queue,))
            tx.execute("DELETE FROM sqs_attempts WHERE queue = ?", (queue,))
            if forget:
                tx.execute("DELETE FROM sqs_sent WHERE queue = ?", (queue,))

    def set_retention(self, queue: str, retention_s: float) -> None:
        """A changed retention is that of the messages that are there, too."""
        with self.db.write() as tx:
            tx.execute("UPDATE sqs_messages SET expires_at = sent_at + ? WHERE queue = ?", (retention_s, queue))

    def sources(self, queue: str, most: int) -> list[tuple[int, str | None]]:
        """(seq, ARN of the queue it came from) of the oldest visible messages: what a move task moves next."""
        return self.db.read(
            "SELECT seq, source FROM sqs_messages WHERE queue = ? AND visible_at <= ? ORDER BY seq LIMIT ?", (queue, self.clock.now(), most)
        )

    def move(self, queue: str, moves: Sequence[tuple[int, str, float]]) -> int:
        """Moves messages by (seq, uid of the target queue, its retention), as if they were sent there now; answers how many."""
        now = self.clock.now()
        return self.db.grouped(
            lambda tx: sum(
                len(
                    tx.execute(
                        "UPDATE sqs_messages SET queue = ?, sent_at = ?, expires_at = ?, receives = 0, received = 0, first_at = NULL, "
                        "nonce = NULL, source = NULL WHERE queue = ? AND seq = ? AND visible_at <= ? RETURNING seq",
                        (target, now, now + retention_s, queue, seq, now),
                    )
                )
                for seq, target, retention_s in moves
            )
        )

    def queues(self) -> list[str]:
        """Uids of queues that have messages."""
        return [row[0] for row in self.db.read("SELECT DISTINCT queue FROM sqs_messages")]

    def sweep(self, batch: int = 5000) -> None:
        """Drops what has expired (platform time)."""
        now = self.clock.now()
        for table, key in (("sqs_messages", "seq"), ("sqs_sent", "token"), ("sqs_attempts", "attempt")):
            if self.db.read(f"SELECT 1 FROM {table} WHERE expires_at <= ? LIMIT 1", (now,)):
                with self.db.write() as tx:
                    tx.execute(
                        f"DELETE FROM {table} WHERE expires_at <= ? AND {key} IN (SELECT {key} FROM {table} WHERE expires_at <= ? LIMIT ?)",
                        (now, now, batch),
                    )


# --- inside a transaction ------------------------------------------------------------------------


def _send(tx: Tx, queue: str, message: Outgoing, now: float) -> tuple[str, int]:
    if message.token is not None:
        key = (queue, message.scope, message.token)
        have = tx.execute(
            "SELECT message_id, seq FROM sqs_sent WHERE queue = ? AND scope = ? AND token = ? AND expires_at > ?", (*key, now)
        )
        if have:
            return have[0][0], have[0][1]
    ((seq,),) = tx.execute(
        "INSERT INTO sqs_messages (queue, message_id, body, attributes, system, group_id, sent_at, visible_at, expires_at) "
        "VALUES (?,?,?,?,?,?,?,?,?) RETURNING seq",
        (
            queue,
            message.message_id,
            message.body,
            orjson.dumps(message.attributes).decode(),
            orjson.dumps(message.system).decode(),
            message.group_id,
            now,
            now + message.delay_s,
            now + message.retention_s,
        ),
    )
    if message.token is not None:
        tx.execute(
            "INSERT INTO sqs_sent VALUES (?,?,?,?,?,?) ON CONFLICT (queue, scope, token) DO UPDATE SET "
            "expires_at = excluded.expires_at, message_id = excluded.message_id, seq = excluded.seq",
            (*key, now + message.remembered_s, message.message_id, seq),
        )
    return message.message_id, seq


def _visible(tx: Tx, queue: str, fifo: bool, most: int, now: float, taken: Sequence[Message]) -> list[Message]:
    """What can be received now. Groups that this very receive began with may go on: their messages come in one batch."""
    free, order, values = "", "m.visible_at, m.seq", [queue, now, now]
    if fifo:
        free, order = _FREE_GROUP, "m.seq"
        values.append(now)
    if taken:
        free += f" AND m.seq NOT IN ({','.join('?' * len(taken))})"
        values += [message.seq for message in taken]
    columns = ", ".join(f"m.{name}" for name in _COLUMNS.split(", "))
    rows = tx.execute(
        f"SELECT {columns} FROM sqs_messages m WHERE m.queue = ? AND m.visible_at <= ? AND m.expires_at > ?{free} ORDER BY {order} LIMIT ?",
        (*values, most),
    )
    return [_message(row) for row in rows]


def _hide(tx: Tx, message: Message, now: float, visibility_s: float) -> Message:
    rows = tx.execute(
        "UPDATE sqs_messages SET visible_at = ?, receives = receives + 1, received = received + 1, first_at = coalesce(first_at, ?), nonce = ? "
        f"WHERE seq = ? RETURNING {_COLUMNS}",
        (now + visibility_s, now, secrets.token_hex(8), message.seq),
    )
    return _message(rows[0])


def _bury(tx: Tx, message: Message, dead: DeadLetters, now: float, fifo: bool) -> None:
    """The age of a message goes with it, but for FIFO queues, where it begins anew (developer guide, "Dead-letter queues")."""
    sent_at = now if fifo else message.sent_at
    tx.execute(
        "UPDATE sqs_messages SET queue = ?, source = ?, sent_at = ?, expires_at = ?, visible_at = ?, receives = 0, nonce = NULL WHERE seq = ?",
        (dead.queue, dead.source, sent_at, sent_at + dead.retention_s, now, message.seq),
    )


def _same_attempt(tx: Tx, queue: str, attempt: str, now: float, visibility_s: float) -> list[Message]:
    """The messages of an earlier receive of this id, hidden anew, unless any was deleted or received since."""
    rows = tx.execute("SELECT receipts FROM sqs_attempts WHERE queue = ? AND attempt = ? AND expires_at > ?", (queue, attempt, now))
    found = []
    for seq, nonce in orjson.loads(rows[0][0]) if rows else ():
        have = tx.execute(
            f"SELECT {_COLUMNS} FROM sqs_messages WHERE queue = ? AND seq = ? AND nonce = ? AND visible_at > ?", (queue, seq, nonce, now)
        )
        if not have:
            return []
        found.append(_message(have[0]))
    for message in found:
        tx.execute("UPDATE sqs_messages SET visible_at = ? WHERE seq = ?", (now + visibility_s, message.seq))
    return found


def _message(row: Sequence[Any]) -> Message:
    return Message(*row[:3], orjson.loads(row[3]), orjson.loads(row[4]), *row[5:])
