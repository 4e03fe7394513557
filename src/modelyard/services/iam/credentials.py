"""Credentials that can sign, in the store: sealed with the platform key, so that every gateway can verify and the
store alone reveals nothing. Keys of users have a record beside (`access_key.py`) that says whether they are active."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from modelyard.kernel.clock import Clock
from modelyard.kernel.database import Database
from modelyard.kernel.identity import Credential, Principal
from modelyard.services.iam import keys
from modelyard.services.iam.vault import Vault

MIGRATIONS = [
    """
    CREATE TABLE iam_credentials (
        access_key TEXT PRIMARY KEY, account TEXT NOT NULL, sealed TEXT NOT NULL, expires_at DOUBLE PRECISION);
    CREATE INDEX iam_credentials_expiry ON iam_credentials (expires_at)
    """,
]
KEPT_AFTER_EXPIRY_S = 86_400.0  # so that a late caller hears ExpiredToken, not InvalidClientTokenId


class Credentials:
    def __init__(self, db: Database, vault: Vault, clock: Clock) -> None:
        self._db, self._vault, self._clock = db, vault, clock
        db.migrate("iam-credentials", MIGRATIONS)

    def put(self, credential: Credential) -> Credential:
        value = {"secret": credential.secret_key, "token": credential.token, "principal": asdict(credential.principal)}
        sealed = base64.b64encode(self._vault.seal(value, credential.access_key)).decode()

        def write(tx: Any) -> None:
            tx.execute("DELETE FROM iam_credentials WHERE expires_at < ?", (self._clock.now() - KEPT_AFTER_EXPIRY_S,))
            tx.execute(
                "INSERT INTO iam_credentials (access_key, account, sealed, expires_at) VALUES (?,?,?,?) "
                "ON CONFLICT (access_key) DO UPDATE SET sealed = excluded.sealed, expires_at = excluded.expires_at",
                (credential.access_key, credential.principal.account, sealed, credential.expires_at),
            )

        self._db.grouped(write)
        return credential

    def get(self, access_key: str) -> Credential | None:
        rows = self._db.read("SELECT sealed, expires_at FROM iam_credentials WHERE access_key = ?", (access_key,))
        if not rows:
            return None
        value = self._vault.open(base64.b64decode(rows[0][0]), access_key)
        return Credential(access_key, value["secret"], _principal(value["principal"]), value["token"], rows[0][1])

    def remove(self, access_key: str) -> None:
        with self._db.write() as tx:
            tx.execute("DELETE FROM iam_credentials WHERE access_key = ?", (access_key,))

    def new_session(self, principal_fields: Mapping[str, Any], expires_at: float | None) -> Credential:
        """Temporary keys for the principal described (all its fields but the access key)."""
        access_key = keys.access_key(keys.TEMPORARY, principal_fields["account"])
        principal = Principal(**principal_fields, access_key=access_key)
        return self.put(Credential(access_key, keys.secret_key(), principal, keys.session_token(), expires_at))


def _principal(value: dict[str, Any]) -> Principal:
    return Principal(**{**value, "session_policies": tuple(value["session_policies"])})
