"""When access keys, users and roles were used last, by service: kept in memory, written once a minute per key and service.

Source: API reference of GetAccessKeyLastUsed, RoleLastUsed and GetServiceLastAccessedDetails, which lag behind on AWS too.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import Any

from modelyard.kernel.clock import real_now
from modelyard.kernel.database import Database
from modelyard.kernel.identity import Principal
from modelyard.kernel.service import Call
from modelyard.services.iam.actions import prefix
from modelyard.services.iam.keys import LONG_TERM

MIGRATIONS = [
    "CREATE TABLE iam_last_used (entity TEXT NOT NULL, service TEXT NOT NULL, region TEXT NOT NULL, arn TEXT NOT NULL, "
    "at DOUBLE PRECISION NOT NULL, PRIMARY KEY (entity, service))",
]
LAG_S = 60.0
KEPT = 20_000


@dataclass(frozen=True)
class Use:
    """`service` is the prefix of its actions, `at` platform time."""

    service: str
    region: str
    arn: str
    at: float


class LastUsed:
    """Entities are access keys, and the unique ids of users and roles."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._lock = threading.Lock()
        self._noted: dict[tuple[str, str], float] = {}
        self._due: dict[tuple[str, str], Use] = {}
        db.migrate("iam-last-used", MIGRATIONS)

    def note(self, call: Call) -> None:
        """On the path of every call: a look-up, but for once a minute."""
        key, now = (call.principal.access_key, call.service), real_now()
        if now - self._noted.get(key, 0.0) < LAG_S:
            return
        if len(self._noted) >= KEPT:
            self._noted.clear()
        self._noted[key] = now
        entities = entities_of(call.principal)
        if not entities:
            return
        use = Use(prefix(call.service), call.region, call.principal.role_arn or call.principal.arn, call.now())
        with self._lock:
            self._due.update({(entity, use.service): use for entity in entities})
        try:
            asyncio.get_running_loop().run_in_executor(None, self._write_if_open)  # a commit would hold up the loop
        except RuntimeError:
            self._write_if_open()  # nobody is refused because the disk is full of other things

    def _write_if_open(self) -> None:
        """At the end of a process the store may be closed before this thread comes to it: then nobody asks either."""
        try:
            self.write()
        except Exception:
            with self._lock:
                self._due.clear()

    def write(self) -> None:
        with self._lock:
            due, self._due = self._due, {}
        if not due:
            return

        def work(tx: Any) -> None:
            for (entity, service), use in due.items():
                tx.execute(
                    "INSERT INTO iam_last_used (entity, service, region, arn, at) VALUES (?,?,?,?,?) "
                    "ON CONFLICT (entity, service) DO UPDATE SET region = excluded.region, arn = excluded.arn, at = excluded.at",
                    (entity, service, use.region, use.arn, use.at),
                )

        self._db.grouped(work)

    def of(self, entity: str) -> list[Use]:
        """By service, the latest first."""
        self.write()
        rows = self._db.read("SELECT service, region, arn, at FROM iam_last_used WHERE entity = ? ORDER BY at DESC", (entity,))
        return [Use(*row) for row in rows]

    def last(self, entity: str) -> Use | None:
        return next(iter(self.of(entity)), None)


def entities_of(principal: Principal) -> list[str]:
    if principal.kind == "role":
        return [principal.user_id.split(":")[0]]
    if principal.kind in ("user", "root"):
        return [principal.user_id, *([principal.access_key] if principal.access_key.startswith(LONG_TERM) else [])]
    return []
