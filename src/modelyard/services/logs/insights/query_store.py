"""Queries as rows: what was asked, how far it is, what came out. A query is scheduled by a gateway and run by an engine.

Who runs one holds a lease in real time, so that a query whose engine was killed is begun again by the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from modelyard.kernel.clock import real_now
from modelyard.kernel.database import Database

LEASE_S = 30.0
KEPT_MS = 7 * 86_400_000
_COLUMNS = "id, account, region, created_ms, spec, status, statistics, ended_ms"


@dataclass(frozen=True)
class Query:
    """`spec`: query, groups, start_ms, end_ms (both inclusive), limit, by."""

    id: str
    account: str
    region: str
    created_ms: int
    spec: dict[str, Any]
    status: str
    statistics: dict[str, float]
    ended_ms: int | None


class QueryStore:
    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, id: str, account: str, region: str, created_ms: int, spec: Mapping[str, Any]) -> None:
        with self._db.write() as tx:
            tx.execute("DELETE FROM log_queries WHERE created_ms < ?", (created_ms - KEPT_MS,))
            tx.execute(
                "INSERT INTO log_queries (id, account, region, created_ms, spec, status, statistics, results) VALUES (?,?,?,?,?,'Scheduled','{}','[]')",
                (id, account, region, created_ms, orjson.dumps(spec).decode()),
            )

    def find(self, account: str, region: str, id: str) -> Query | None:
        rows = self._db.read(f"SELECT {_COLUMNS} FROM log_queries WHERE id = ? AND account = ? AND region = ?", (id, account, region))
        return _query(rows[0]) if rows else None

    def results(self, id: str) -> list[list[list[str]]]:
        rows = self._db.read("SELECT results FROM log_queries WHERE id = ?", (id,))
        return orjson.loads(rows[0][0]) if rows else []

    def newest(self, account: str, region: str) -> list[Query]:
        rows = self._db.read(
            f"SELECT {_COLUMNS} FROM log_queries WHERE account = ? AND region = ? ORDER BY created_ms DESC, id LIMIT 10000",
            (account, region),
        )
        return [_query(row) for row in rows]

    def running(self, account: str, region: str) -> int:
        rows = self._db.read(
            "SELECT count(*) FROM log_queries WHERE account = ? AND region = ? AND status IN ('Scheduled','Running')", (account, region)
        )
        return rows[0][0]

    def claim(self) -> Query | None:
        """The next one to run: scheduled, or left by an engine that is gone."""
        now, waiting = real_now(), "status = 'Scheduled' OR (status = 'Running' AND lease < ?)"
        if not self._db.read(f"SELECT 1 FROM log_queries WHERE {waiting} LIMIT 1", (now,)):
            return None
        with self._db.write() as tx:
            rows = tx.execute(
                f"UPDATE log_queries SET status = 'Running', lease = ? WHERE ({waiting}) AND id = "
                f"(SELECT id FROM log_queries WHERE {waiting} ORDER BY created_ms, id LIMIT 1) RETURNING {_COLUMNS}",
                (now + LEASE_S, now, now),
            )
        return _query(rows[0]) if rows else None

    def progress(self, id: str, statistics: Mapping[str, float]) -> bool:
        """False: it was stopped."""
        with self._db.write() as tx:
            return bool(
                tx.execute(
                    "UPDATE log_queries SET statistics = ?, lease = ? WHERE id = ? AND status = 'Running' RETURNING id",
                    (orjson.dumps(statistics).decode(), real_now() + LEASE_S, id),
                )
            )

    def end(self, id: str, status: str, ended_ms: int, statistics: Mapping[str, float], results: list[list[list[str]]]) -> bool:
        """False: it had ended before."""
        with self._db.write() as tx:
            return bool(
                tx.execute(
                    "UPDATE log_queries SET status = ?, ended_ms = ?, statistics = ?, results = ? "
                    "WHERE id = ? AND status IN ('Scheduled','Running') RETURNING id",
                    (status, ended_ms, orjson.dumps(statistics).decode(), orjson.dumps(results).decode(), id),
                )
            )


def _query(row: tuple) -> Query:
    return Query(*row[:4], orjson.loads(row[4]), row[5], orjson.loads(row[6]), row[7])
