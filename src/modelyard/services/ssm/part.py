"""What a process has of Parameter Store: the versions of parameters that are no longer the newest one."""

from __future__ import annotations

from typing import Any

import orjson

from modelyard.kernel.database import Database

MIGRATIONS = [
    "CREATE TABLE parameter_history (parameter TEXT NOT NULL, version INTEGER NOT NULL, body TEXT NOT NULL, PRIMARY KEY (parameter, version))"
]


class History:
    """`platform.parameters`. `parameter` is the uid of the record, so what a deleted parameter leaves is nobody's."""

    def __init__(self, db: Database) -> None:
        self._db = db
        db.migrate("ssm", MIGRATIONS)

    def keep(self, parameter: str, version: dict[str, Any]) -> None:
        """Keeps a version that is about to be no longer the newest; the same one again changes nothing."""
        row = (parameter, version["Version"], orjson.dumps(version).decode())
        with self._db.write() as tx:
            tx.execute("INSERT INTO parameter_history VALUES (?,?,?) ON CONFLICT (parameter, version) DO NOTHING", row)

    def get(self, parameter: str, version: int) -> dict[str, Any] | None:
        rows = self._db.read("SELECT body FROM parameter_history WHERE parameter = ? AND version = ?", (parameter, version))
        return orjson.loads(rows[0][0]) if rows else None

    def list(self, parameter: str) -> list[dict[str, Any]]:
        """Oldest first."""
        rows = self._db.read("SELECT body FROM parameter_history WHERE parameter = ? ORDER BY version", (parameter,))
        return [orjson.loads(row[0]) for row in rows]

    def forget(self, parameter: str, before: int | None = None) -> None:
        """Removes the versions before `before`, or all."""
        with self._db.write() as tx:
            if before is None:
                tx.execute("DELETE FROM parameter_history WHERE parameter = ?", (parameter,))
            else:
                tx.execute("DELETE FROM parameter_history WHERE parameter = ? AND version < ?", (parameter, before))


def install(platform: Any) -> History:
    return History(platform.store.db)
