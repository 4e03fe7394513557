"""The queue: one row per accepted request, on disk before the client hears of it.

    waiting → running → done → gone            running → waiting (its engine died, or the model could not be reached)

`running` names its owner, an engine that holds a lock file for as long as it lives; rows of a dead owner wait again.
`done` is kept until metrics and logs have it (report.py). Whoever accepts opens the database durable: an
accept survives loss of power. The engine need not: a claim or an end that is lost is done again, and finds the object written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from modelyard.kernel.database import Database, Tx

MIGRATIONS = [
    """
    CREATE TABLE async_requests (
        seq @SERIAL@, id TEXT NOT NULL, endpoint TEXT NOT NULL, incarnation TEXT NOT NULL, account TEXT NOT NULL, region TEXT NOT NULL,
        received_at DOUBLE PRECISION NOT NULL, expires_at DOUBLE PRECISION NOT NULL, state TEXT NOT NULL, deliveries INTEGER NOT NULL,
        claims INTEGER NOT NULL, owner TEXT, replica TEXT, variant TEXT, batch BIGINT, request TEXT NOT NULL, result TEXT);
    CREATE INDEX async_requests_place ON async_requests (state, endpoint, seq);
    CREATE INDEX async_requests_batch ON async_requests (batch);
    CREATE TABLE async_batches (number BIGINT NOT NULL);
    INSERT INTO async_batches VALUES (0)
    """,
]
_COLUMNS = "seq, id, endpoint, incarnation, account, region, received_at, expires_at, deliveries, claims, replica, variant, request"


@dataclass(frozen=True, slots=True)
class Item:
    """An accepted request. `request` is what invoke_async.py wrote: input, headers, places of output and failure, topics.
    `deliveries` counts how often it was given to a model that then could not be heard to the end, `claims` how often anybody
    had taken it up before. Times are platform time."""

    seq: int
    id: str
    endpoint: str
    incarnation: str
    account: str
    region: str
    received_at: float
    expires_at: float
    deliveries: int
    claims: int
    replica: str | None
    variant: str | None
    request: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Done:
    """An ended request whose figures nobody has yet."""

    seq: int
    endpoint: str
    account: str
    region: str
    result: Mapping[str, Any]


Place = tuple[str, str]
"""(variant name, replica id)"""


class Queue:
    def __init__(self, db: Database) -> None:
        self.db = db
        serial = "INTEGER PRIMARY KEY AUTOINCREMENT" if db.dialect == "sqlite" else "BIGSERIAL PRIMARY KEY"
        db.migrate("async", [step.replace("@SERIAL@", serial) for step in MIGRATIONS])

    # --- gateways ------------------------------------------------------------------------------------

    def accept(
        self,
        uid: str,
        endpoint: str,
        incarnation: str,
        account: str,
        region: str,
        now: float,
        expires_at: float,
        request: Mapping[str, Any],
    ) -> None:
        """On disk when this returns; accepts of the same moment share one commit."""
        row = (uid, endpoint, incarnation, account, region, now, expires_at, orjson.dumps(request).decode())

        def work(tx: Tx) -> None:
            tx.execute(
                "INSERT INTO async_requests (id, endpoint, incarnation, account, region, received_at, expires_at, request, state, deliveries, claims) "
                "VALUES (?,?,?,?,?,?,?,?,'waiting',0,0)",
                row,
            )

        self.db.grouped(work)

    # --- the driver ----------------------------------------------------------------------------------

    def waiting(self) -> list[str]:
        """ARNs of the endpoints that somebody waits for."""
        return [row[0] for row in self.db.read("SELECT DISTINCT endpoint FROM async_requests WHERE state = 'waiting'")]

    def claim(self, endpoint: str, most: int, owner: str, assign: Callable[[Mapping[str, int], int], Sequence[Place]]) -> list[Item]:
        """The oldest waiting requests, each with a place. `assign(running by replica, how many could be used)` says which
        places are free; it is asked inside the transaction, so engines together never exceed a replica's limit."""

        def work(tx: Tx) -> list[Item]:
            running = dict(
                tx.execute(
                    "SELECT replica, count(*) FROM async_requests WHERE state = 'running' AND endpoint = ? AND replica IS NOT NULL GROUP BY replica",
                    (endpoint,),
                )
            )
            places = assign(running, most)
            if not places:
                return []
            rows = tx.execute(
                f"SELECT {_COLUMNS} FROM async_requests WHERE state = 'waiting' AND endpoint = ? ORDER BY seq LIMIT ?",
                (endpoint, len(places)),
            )
            given = list(zip(rows, places, strict=False))
            tx.executemany(
                "UPDATE async_requests SET state = 'running', claims = claims + 1, owner = ?, variant = ?, replica = ? WHERE seq = ?",
                [(owner, variant, replica, row[0]) for row, (variant, replica) in given],
            )
            return [_item(row, replica, variant) for row, (variant, replica) in given]

        return self.db.grouped(work)

    def claim_lost(self, endpoint: str, incarnation: str | None, now: float, owner: str, most: int = 256) -> list[Item]:
        """Requests that no model shall see any more: expired, or of an endpoint that is gone (`incarnation` is the one that
        serves now; None: there is none; "": any will do)."""
        gone = "" if incarnation == "" else " OR incarnation <> ?"
        values = [] if incarnation == "" else [incarnation or ""]

        def work(tx: Tx) -> list[Item]:
            rows = tx.execute(
                f"SELECT {_COLUMNS} FROM async_requests WHERE state = 'waiting' AND endpoint = ? AND (expires_at <= ?{gone}) ORDER BY seq LIMIT ?",
                (endpoint, now, *values, most),
            )
            tx.executemany(
                "UPDATE async_requests SET state = 'running', claims = claims + 1, owner = ?, variant = NULL, replica = NULL WHERE seq = ?",
                [(owner, row[0]) for row in rows],
            )
            return [_item(row, None, None) for row in rows]

        return self.db.grouped(work)

    def release(self, item: Item, *, delivered: bool) -> None:
        """Back into the queue, at its old place; `delivered`: a model may have seen it."""

        def work(tx: Tx) -> None:
            tx.execute(
                "UPDATE async_requests SET state = 'waiting', owner = NULL, replica = NULL, variant = NULL, deliveries = deliveries + ? "
                "WHERE seq = ? AND state = 'running'",
                (int(delivered), item.seq),
            )

        self.db.grouped(work)

    def finish(self, item: Item, result: Mapping[str, Any]) -> None:
        text = orjson.dumps(result).decode()

        def work(tx: Tx) -> None:
            tx.execute(
                "UPDATE async_requests SET state = 'done', owner = NULL, replica = NULL, request = '{}', result = ? WHERE seq = ? AND state = 'running'",
                (text, item.seq),
            )

        self.db.grouped(work)

    def owners(self) -> list[str]:
        return [row[0] for row in self.db.read("SELECT DISTINCT owner FROM async_requests WHERE state = 'running'")]

    def free(self, owner: str) -> int:
        """What a dead owner had waits again; answers how many."""

        def work(tx: Tx) -> int:
            return len(
                tx.execute(
                    "UPDATE async_requests SET state = 'waiting', owner = NULL, replica = NULL, variant = NULL WHERE state = 'running' AND owner = ? "
                    "RETURNING seq",
                    (owner,),
                )
            )

        return self.db.grouped(work)

    # --- reports -------------------------------------------------------------------------------------

    def backlog(self) -> dict[str, tuple[int, float]]:
        """Of every endpoint with requests that have not ended: (how many, when the oldest came)."""
        rows = self.db.read(
            "SELECT endpoint, count(*), min(received_at) FROM async_requests WHERE state IN ('waiting', 'running') GROUP BY endpoint"
        )
        return {endpoint: (count, oldest) for endpoint, count, oldest in rows}

    def batch(self, most: int = 2000) -> tuple[int, list[Done]] | None:
        """A numbered batch of ended requests: the same one again until it is `dropped`, so that who reports it can tell a repetition."""

        def work(tx: Tx) -> tuple[int, list[Done]] | None:
            rows = tx.execute(
                "SELECT seq, endpoint, account, region, result, batch FROM async_requests WHERE batch IS NOT NULL ORDER BY seq"
            )
            if rows:
                return rows[0][5], [_done(row) for row in rows]
            rows = tx.execute(
                "SELECT seq, endpoint, account, region, result FROM async_requests WHERE state = 'done' ORDER BY seq LIMIT ?", (most,)
            )
            if not rows:
                return None
            ((number,),) = tx.execute("UPDATE async_batches SET number = number + 1 RETURNING number")
            tx.executemany("UPDATE async_requests SET batch = ? WHERE seq = ?", [(number, row[0]) for row in rows])
            return number, [_done(row) for row in rows]

        return self.db.grouped(work)

    def drop(self, number: int) -> None:
        self.db.grouped(lambda tx: tx.execute("DELETE FROM async_requests WHERE batch = ?", (number,)))

    def close(self) -> None:
        self.db.close()


def _item(row: Sequence[Any], replica: str | None, variant: str | None) -> Item:
    return Item(*row[:10], replica, variant, orjson.loads(row[12]))


def _done(row: Sequence[Any]) -> Done:
    return Done(row[0], row[1], row[2], row[3], orjson.loads(row[4]))
