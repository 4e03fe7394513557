"""How every process learns at its next call that IAM changed.

A trigger on the outbox raises a one-row counter in the very transaction that writes an event of an `iam-…` record: no
writer can forget it, a crash cannot come between. It is read again only after some process has committed something.
"""

from __future__ import annotations

from modelyard.kernel.database import Database

_TABLE = [
    "CREATE TABLE IF NOT EXISTS iam_changes (id INTEGER PRIMARY KEY, version BIGINT NOT NULL)",
    "INSERT INTO iam_changes (id, version) VALUES (1, 1) ON CONFLICT (id) DO NOTHING",
]
_SQLITE = [
    "CREATE TRIGGER IF NOT EXISTS iam_changed AFTER INSERT ON events WHEN substr(NEW.kind, 1, 4) = 'iam-' "
    "BEGIN UPDATE iam_changes SET version = version + 1; END",
]
_POSTGRES = [
    "CREATE OR REPLACE FUNCTION iam_changed() RETURNS trigger AS $$ "
    "BEGIN UPDATE iam_changes SET version = version + 1; RETURN NULL; END $$ LANGUAGE plpgsql",
    "CREATE OR REPLACE TRIGGER iam_changed AFTER INSERT ON events FOR EACH ROW "
    "WHEN (substr(NEW.kind, 1, 4) = 'iam-') EXECUTE FUNCTION iam_changed()",
]
_SEEN_SQLITE = "SELECT 1 FROM sqlite_master WHERE type = 'trigger' AND name = 'iam_changed'"
_SEEN_POSTGRES = "SELECT 1 FROM pg_trigger WHERE tgname = 'iam_changed' AND tgrelid = to_regclass('events')"


class Changes:
    def __init__(self, db: Database) -> None:
        self._db = db
        self._seen: tuple[bytes | None, int] = (None, 0)
        sqlite = db.dialect == "sqlite"
        if db.read(_SEEN_SQLITE if sqlite else _SEEN_POSTGRES):
            return
        with db.write() as tx:  # not db.migrate: that splits at `;`, which the bodies of triggers contain
            for statement in _TABLE + (_SQLITE if sqlite else _POSTGRES):
                tx.execute(statement)

    def version(self) -> int:
        """Grows with every committed change of an IAM record."""
        stamp = self._db.stamp()
        seen, version = self._seen
        if stamp is None or stamp != seen:
            version = self._db.read("SELECT version FROM iam_changes")[0][0]
            self._seen = stamp, version  # the stamp was taken first: what was committed since then shows at the next look
        return version

    def touch(self) -> None:
        """As if an IAM record had changed."""
        with self._db.write() as tx:
            tx.execute("UPDATE iam_changes SET version = version + 1")
