"""Meters: one row per thing that is billed by time, with when it began and ended (platform time) and what its price goes by.

Every write says the same again when it is repeated: a time that is known is not changed by a later event, so the reader that
feeds the table may see an event twice, or after its record is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from modelyard.kernel.database import Database

MIGRATIONS = [
    """
    CREATE TABLE meters (
        uid TEXT PRIMARY KEY, kind TEXT NOT NULL, account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,
        facts TEXT NOT NULL, began DOUBLE PRECISION, ended DOUBLE PRECISION);
    CREATE INDEX meters_account ON meters (account, began)
    """
]
_COLUMNS = "uid, kind, account, region, name, facts, began, ended"


@dataclass(frozen=True)
class Meter:
    """`kind` is training-job, processing-job, transform-job or endpoint; `name` the resource's. `facts`: see reader.py."""

    uid: str
    kind: str
    account: str
    region: str
    name: str
    facts: Mapping[str, Any]
    began: float | None
    ended: float | None


class Meters:
    def __init__(self, db: Database) -> None:
        self._db = db
        db.migrate("cost", MIGRATIONS)

    def note(
        self,
        uid: str,
        *,
        kind: str,
        account: str,
        region: str,
        name: str,
        facts: Mapping[str, Any],
        began: float | None,
        ended: float | None,
    ) -> None:
        """What is known now: facts are replaced, times are added to those not known before."""
        with self._db.write() as tx:
            tx.execute(
                f"INSERT INTO meters ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?) ON CONFLICT (uid) DO UPDATE SET facts = excluded.facts, "
                "began = coalesce(meters.began, excluded.began), ended = coalesce(meters.ended, excluded.ended)",
                (uid, kind, account, region, name, orjson.dumps(dict(facts)).decode(), began, ended),
            )

    def times(self, uid: str, *, began: float | None = None, ended: float | None = None) -> bool:
        """Times alone; an end counts only for what began. False: there is no such meter."""
        with self._db.write() as tx:
            rows = tx.execute(
                "UPDATE meters SET began = coalesce(began, ?), ended = CASE WHEN began IS NULL THEN ended ELSE coalesce(ended, ?) END "
                "WHERE uid = ? RETURNING uid",
                (began, ended, uid),
            )
        return bool(rows)

    def stand(self, owner: str, wanted: Mapping[str, Mapping[str, Any]], *, seq: int, at: float, **about: str) -> None:
        """What an owner has from `at` on, facts by name: a meter for each, and a new one where its facts change. Event `seq` says so; what a later
        one said is not touched."""
        with self._db.write() as tx:
            rows = tx.execute("SELECT uid, facts, ended FROM meters WHERE uid LIKE ?", (f"{owner}/%",))
            known = [(uid, orjson.loads(facts), ended) for uid, facts, ended in rows]
            if any(max(int(uid.rpartition("/")[2]), facts.get("closed", 0)) >= seq for uid, facts, _ in known):
                return
            open_ = {uid: facts for uid, facts, ended in known if ended is None}
            for uid, facts in open_.items():
                if wanted.get(uid.split("/")[1]) != facts:
                    closed = orjson.dumps({**facts, "closed": seq}).decode()
                    tx.execute("UPDATE meters SET ended = ?, facts = ? WHERE uid = ?", (at, closed, uid))
            for name, facts in wanted.items():
                if dict(facts) not in [f for uid, f in open_.items() if uid.split("/")[1] == name]:
                    row = (f"{owner}/{name}/{seq}", *(about[key] for key in ("kind", "account", "region", "name")))
                    tx.execute(
                        f"INSERT INTO meters ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?)", (*row, orjson.dumps(dict(facts)).decode(), at, None)
                    )

    def of(self, account: str, start: float, end: float) -> list[Meter]:
        """Those that ran at some time in [start, end), by when they began."""
        rows = self._db.read(
            f"SELECT {_COLUMNS} FROM meters WHERE account = ? AND began < ? AND (ended IS NULL OR ended > ?) ORDER BY began, uid",
            (account, end, start),
        )
        return [Meter(*row[:5], orjson.loads(row[5]), *row[6:]) for row in rows]


def install(platform: Any) -> Meters:
    return Meters(platform.store.db)
