"""Metric and subscription filters of groups, and the outbox of events that they have not seen yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from modelyard.kernel.database import Database

METRIC, SUBSCRIPTION = "metric", "subscription"
MOST = {METRIC: 100, SUBSCRIPTION: 2}
_FILTER = "f.id, f.group_id, g.account, g.region, g.name, f.kind, f.name, f.pattern, f.spec, f.created_ms"
_FROM = "log_filters f JOIN log_groups g ON g.id = f.group_id"


@dataclass(frozen=True)
class Filter:
    id: int
    group_id: int
    account: str
    region: str
    group: str
    kind: str
    name: str
    pattern: str
    spec: dict[str, Any]
    created_ms: int


@dataclass(frozen=True)
class Entry:
    """Events of one write to one stream. `metered`: metric filters have seen it; `delivered`: ids of subscription filters that have."""

    id: int
    group_id: int
    stream: str
    at_ms: int
    events: list[tuple[int, str]]
    metered: bool
    delivered: list[int]
    tries: int
    due_ms: int


class TooMany(Exception):
    """A group has as many filters of a kind as it may have."""


class FilterStore:
    def __init__(self, db: Database) -> None:
        self._db = db

    def put(self, group_id: int, kind: str, name: str, pattern: str, spec: Mapping[str, Any], now_ms: int) -> None:
        """Makes a filter, or writes over the one of this name. Raises TooMany."""
        with self._db.write() as tx:
            tx.execute("UPDATE log_groups SET guarded = guarded WHERE id = ?", (group_id,))
            there = {row[0] for row in tx.execute("SELECT name FROM log_filters WHERE group_id = ? AND kind = ?", (group_id, kind))}
            if name not in there and len(there) >= MOST[kind]:
                raise TooMany
            tx.execute(
                "INSERT INTO log_filters (group_id, kind, name, pattern, spec, created_ms) VALUES (?,?,?,?,?,?) "
                "ON CONFLICT (group_id, kind, name) DO UPDATE SET pattern = excluded.pattern, spec = excluded.spec",
                (group_id, kind, name, pattern, orjson.dumps(spec).decode(), now_ms),
            )

    def delete(self, group_id: int, kind: str, name: str) -> bool:
        with self._db.write() as tx:
            gone = tx.execute("DELETE FROM log_filters WHERE group_id = ? AND kind = ? AND name = ? RETURNING id", (group_id, kind, name))
        return bool(gone)

    def list(self, account: str, region: str, kind: str, *, group_id: int | None = None, prefix: str = "") -> list[Filter]:
        """By group and name."""
        where, values = (
            "g.account = ? AND g.region = ? AND f.kind = ? AND substr(f.name, 1, ?) = ?",
            [account, region, kind, len(prefix), prefix],
        )
        if group_id is not None:
            where += " AND f.group_id = ?"
            values.append(group_id)
        return [_filter(row) for row in self._db.read(f"SELECT {_FILTER} FROM {_FROM} WHERE {where} ORDER BY g.name, f.name", values)]

    def of_group(self, group_id: int) -> list[Filter]:
        return [_filter(row) for row in self._db.read(f"SELECT {_FILTER} FROM {_FROM} WHERE f.group_id = ? ORDER BY f.id", (group_id,))]

    def count(self, group_id: int, kind: str) -> int:
        return self._db.read("SELECT count(*) FROM log_filters WHERE group_id = ? AND kind = ?", (group_id, kind))[0][0]

    # --- the outbox ----------------------------------------------------------------------------------

    def entries(self, after: int, limit: int) -> list[Entry]:
        rows = self._db.read(
            "SELECT id, group_id, stream, at_ms, events, metered, delivered, tries, due_ms FROM log_outbox WHERE id > ? ORDER BY id LIMIT ?",
            (after, limit),
        )
        return [Entry(*row[:4], orjson.loads(row[4]), bool(row[5]), orjson.loads(row[6]), row[7], row[8]) for row in rows]

    def metered(self, entry: Entry) -> None:
        self._db.grouped(lambda tx: tx.execute("UPDATE log_outbox SET metered = 1 WHERE id = ?", (entry.id,)))

    def later(self, entry: Entry, delivered: list[int], due_ms: int) -> None:
        with self._db.write() as tx:
            tx.execute(
                "UPDATE log_outbox SET delivered = ?, tries = tries + 1, due_ms = ? WHERE id = ?",
                (orjson.dumps(delivered).decode(), due_ms, entry.id),
            )

    def done(self, entry: Entry) -> None:
        self._db.grouped(lambda tx: tx.execute("DELETE FROM log_outbox WHERE id = ?", (entry.id,)))


def _filter(row: tuple) -> Filter:
    return Filter(*row[:8], orjson.loads(row[8]), row[9])
