"""What a process has of Secrets Manager: the encrypted values, and the say of secrets' policies in authorisation.

A value is encrypted with a data key of its own, which is encrypted under the secret's KMS key: the table holds both, and neither in
the clear. A row is written before the record names it, and belongs to nobody until then; what a crash leaves is swept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from modelyard.kernel.clock import Clock
from modelyard.kernel.database import Database
from modelyard.kernel.ids import new_uuid
from modelyard.services.iam.resource_documents import PoliciesOf

MIGRATIONS = [
    "CREATE TABLE secret_values (id TEXT PRIMARY KEY, secret TEXT NOT NULL, sealed TEXT NOT NULL, at DOUBLE PRECISION NOT NULL);CREATE INDEX secret_values_of ON secret_values (secret)"
]

UNNAMED_S = 3600.0
_READING = ("GetSecretValue", "BatchGetSecretValue")


class Values:
    """`platform.secrets`."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db, self._clock = db, clock
        db.migrate("secretsmanager", MIGRATIONS)

    def add(self, secret: str, sealed: str) -> str:
        """Answers the row's id."""
        row = new_uuid()
        with self._db.write() as tx:
            tx.execute("INSERT INTO secret_values VALUES (?,?,?,?)", (row, secret, sealed, self._clock.now()))
        return row

    def get(self, row: str) -> str | None:
        found = self._db.read("SELECT sealed FROM secret_values WHERE id = ?", (row,))
        return found[0][0] if found else None

    def drop(self, rows: Iterable[str]) -> None:
        with self._db.write() as tx:
            for row in rows:
                tx.execute("DELETE FROM secret_values WHERE id = ?", (row,))

    def forget(self, secret: str) -> None:
        with self._db.write() as tx:
            tx.execute("DELETE FROM secret_values WHERE secret = ?", (secret,))

    def sweep(self, store: Any) -> None:
        """Rows that no version names, an hour after they were written: a crash left them."""
        rows = self._db.read("SELECT id, secret FROM secret_values WHERE at < ?", (self._clock.now() - UNNAMED_S,))
        named: dict[str, set[str | None]] = {}
        for secret in {row[1] for row in rows}:
            record = store.by_uid(secret)
            named[secret] = {version["Value"] for version in record.spec["Versions"].values()} if record is not None else set()
        self.drop(row for row, secret in rows if row not in named[secret])


def further_keys(call: Any, arn: str, request: Mapping[str, Any]) -> Callable[[str], Any]:
    """Condition keys that are facts of the secret, and the stage that is meant where none is said."""

    def value(key: str) -> Any:
        if key == "secretsmanager:versionstage":
            return "AWSCURRENT" if call.operation in _READING and not request.get("VersionId") else None
        if key not in ("secretsmanager:secretprimaryregion", "secretsmanager:resource/allowrotationlambdaarn"):
            return None
        record = call.store.by_arn(arn)
        if record is None or record.kind != "secret":
            return None
        if key.endswith("region"):
            return record.spec.get("PrimaryRegion") or (record.region if record.spec.get("Replicas") else None)
        return (record.spec.get("Rotation") or {}).get("Lambda")

    return value


def install(platform: Any) -> Values:
    def find(arn: str) -> tuple[Mapping[str, Any] | None, str | None]:
        record = platform.store.by_arn(arn)
        if record is None or record.kind != "secret":
            return None, arn.split(":")[4] or None
        return (json.loads(record.spec["Policy"]) if record.spec.get("Policy") else None), record.account

    platform.parts.setdefault("resource_policies", {})["secretsmanager"] = PoliciesOf((":secret:",), find)
    platform.parts.setdefault("condition_keys", {})["secretsmanager"] = further_keys
    return Values(platform.store.db, platform.clock)
