"""What the last look at a metric alarm saw, so that a quiet look writes no event.

A row in the metrics' own database (not fsynced at each commit). To lose one costs nothing but a second look at the last periods.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import orjson

from modelyard.kernel.database import Database, Tx


@dataclass(frozen=True)
class Look:
    """`last` is the evaluation time up to which everything is judged, `verdicts` those of the last few evaluation times, as of the
    alarm's configuration and change of state in `of`."""

    of: tuple[float, int]
    last: float
    verdicts: dict[float, str] = field(default_factory=dict)


class Looks:
    def __init__(self, db: Database) -> None:
        self._db = db
        db.migrate("alarm-looks", ["CREATE TABLE alarm_looks (uid TEXT PRIMARY KEY, last DOUBLE PRECISION NOT NULL, body TEXT NOT NULL)"])

    def read(self, uid: str) -> Look | None:
        rows = self._db.read("SELECT last, body FROM alarm_looks WHERE uid = ?", (uid,))
        if not rows:
            return None
        body = orjson.loads(rows[0][1])
        return Look(tuple(body["of"]), rows[0][0], {at: state for at, state in body["verdicts"]})

    def write(self, uid: str, look: Look) -> None:
        body = orjson.dumps({"of": look.of, "verdicts": list(look.verdicts.items())}).decode()

        def work(tx: Tx) -> None:
            tx.execute(
                "INSERT INTO alarm_looks VALUES (?,?,?) ON CONFLICT (uid) DO UPDATE SET last = excluded.last, body = excluded.body",
                (uid, look.last, body),
            )

        self._db.grouped(work)

    def forget(self, uid: str) -> None:
        self._db.grouped(lambda tx: tx.execute("DELETE FROM alarm_looks WHERE uid = ?", (uid,)))
