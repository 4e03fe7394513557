"""The tables of S3: buckets, one row per object version, uploads and their parts, and small bytes.

All writes of one request are one transaction in a group commit (`Database.grouped`), so what is acknowledged is
durable; writing transactions run one after the other, so what one reads holds until it commits. Keys sort by their UTF-8 bytes, as S3 lists them (SQLite's BINARY, PostgreSQL's collation "C").

`blob` says where bytes are: "" for none (empty object, delete marker), `i<number>` for a row of s3_small, else the
id of a file in the blob store.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from modelyard.kernel.commitstamp import is_next
from modelyard.kernel.database import Database, Tx

_MIGRATIONS = [
    """
    CREATE TABLE s3_buckets (
        name TEXT PRIMARY KEY, account TEXT NOT NULL, region TEXT NOT NULL, created_at DOUBLE PRECISION NOT NULL,
        versioning TEXT NOT NULL, policy TEXT, settings TEXT NOT NULL);
    CREATE INDEX s3_buckets_account ON s3_buckets (account, name);
    CREATE TABLE s3_objects (
        id @SERIAL@, bucket TEXT NOT NULL, key @KEY@ NOT NULL, version TEXT NOT NULL,
        latest INTEGER NOT NULL, marker INTEGER NOT NULL, size BIGINT NOT NULL, etag TEXT NOT NULL,
        modified DOUBLE PRECISION NOT NULL, blob TEXT NOT NULL, meta TEXT NOT NULL);
    CREATE UNIQUE INDEX s3_objects_version ON s3_objects (bucket, key, version);
    CREATE UNIQUE INDEX s3_objects_latest ON s3_objects (bucket, key) WHERE latest = 1;
    CREATE INDEX s3_objects_history ON s3_objects (bucket, key, id DESC);
    CREATE INDEX s3_objects_blob ON s3_objects (blob);
    CREATE TABLE s3_uploads (
        id TEXT PRIMARY KEY, bucket TEXT NOT NULL, key @KEY@ NOT NULL, initiated DOUBLE PRECISION NOT NULL,
        initiator TEXT NOT NULL, meta TEXT NOT NULL);
    CREATE INDEX s3_uploads_key ON s3_uploads (bucket, key, initiated);
    CREATE TABLE s3_parts (
        upload TEXT NOT NULL, number INTEGER NOT NULL, size BIGINT NOT NULL, etag TEXT NOT NULL,
        modified DOUBLE PRECISION NOT NULL, blob TEXT NOT NULL, checksums TEXT NOT NULL, PRIMARY KEY (upload, number));
    CREATE INDEX s3_parts_blob ON s3_parts (blob);
    CREATE TABLE s3_small (id @SERIAL@, bytes @BLOB@ NOT NULL)
    """,
    "ALTER TABLE s3_parts ADD COLUMN salt TEXT NOT NULL DEFAULT ''",
    # Only files are looked up by their id: small objects need no entry, and one page less is written with each.
    "DROP INDEX s3_objects_blob; CREATE INDEX s3_objects_file ON s3_objects (blob) WHERE blob > '' AND blob < 'g'",
]

_TYPES = {
    "sqlite": {"@SERIAL@": "INTEGER PRIMARY KEY AUTOINCREMENT", "@KEY@": "TEXT", "@BLOB@": "BLOB"},
    "postgres": {"@SERIAL@": "BIGSERIAL PRIMARY KEY", "@KEY@": 'TEXT COLLATE "C"', "@BLOB@": "BYTEA"},
}

NULL_VERSION = "null"
_BUCKET = "SELECT name, account, region, created_at, versioning, policy, settings FROM s3_buckets WHERE name = ?"
_BUCKETS_KEPT = 1024
_COLUMNS = "id, bucket, key, version, latest, marker, size, etag, modified, blob, meta"
_HOME_AND_LATEST = (
    "SELECT b.name, b.account, b.region, b.created_at, b.versioning, b.policy, b.settings, o.id, o.bucket, o.key, o.version, o.latest, o.marker, "
    "o.size, o.etag, o.modified, o.blob, o.meta FROM s3_buckets b LEFT JOIN s3_objects o ON o.bucket = b.name AND o.key = ? AND o.latest = 1 "
    "WHERE b.name = ?"
)
_LATEST_AND_BYTES = (
    "SELECT o.id, o.bucket, o.key, o.version, o.latest, o.marker, o.size, o.etag, o.modified, o.blob, o.meta, s.bytes FROM s3_objects o "
    "LEFT JOIN s3_small s ON o.blob >= 'i' AND s.id = CAST(substr(o.blob, 2) AS INTEGER) WHERE o.bucket = ? AND o.key = ? AND o.latest = 1"
)


@dataclass(frozen=True, slots=True)
class Bucket:
    """`versioning` is "" (never set), "Enabled" or "Suspended"; `policy` is the text as it was put; `settings` holds
    the documents of the small sub-resources (tagging, encryption, …) under their member names."""

    name: str
    account: str
    region: str
    created_at: float
    versioning: str
    policy: str | None
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an object, or a delete marker. `version` is "null" where the bucket was not versioned.

    `etag` has no quotes. `meta` (see depot.Draft): headers, user, checksums, checksum_type, parts, tags, storage.
    """

    id: int
    bucket: str
    key: str
    version: str
    latest: bool
    marker: bool
    size: int
    etag: str
    modified: float
    blob: str
    meta: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Upload:
    id: str
    bucket: str
    key: str
    initiated: float
    initiator: str
    meta: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    number: int
    size: int
    etag: str
    modified: float
    blob: str
    checksums: dict[str, str]
    salt: str = ""
    """Of encrypted bytes (sealing.py)."""


class Index:
    """Reads, and the statements that writing transactions are made of (those take the `tx` they run in)."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self._buckets: tuple[bytes | None, dict[str, Bucket | None]] = (None, {})
        """Read since the last commit, by anybody: a request asks for its bucket more than once."""
        self.bucket_changes = 0
        """Within transactions of this process; see `still`."""
        types = _TYPES[db.dialect]
        steps = []
        for step in _MIGRATIONS:
            for token, real in types.items():
                step = step.replace(token, real)
            steps.append(step)
        db.migrate("s3", steps)

    @property
    def is_local(self) -> bool:
        """Reading a few rows takes microseconds: the index is a file of this machine."""
        return self.db.dialect == "sqlite"

    # --- buckets ---------------------------------------------------------------------------------

    def bucket(self, name: str, tx: Tx | None = None) -> Bucket | None:
        if tx is not None:
            rows = tx.execute(_BUCKET, (name,))
            return _bucket(rows[0]) if rows else None
        stamp = self.db.stamp()
        known_at, known = self._buckets
        if known_at != stamp or stamp is None or len(known) > _BUCKETS_KEPT:
            known_at, known = self._buckets = stamp, {}
        elif name in known:
            return known[name]
        rows = self.db.read(_BUCKET, (name,))
        found = known[name] = _bucket(rows[0]) if rows else None
        return found

    def mark(self) -> tuple[bytes | None, int]:
        """Within a transaction: what `still` asks for after its commit."""
        return self.db.stamp(), self.bucket_changes

    def still(self, home: Bucket, mark: tuple[bytes | None, int]) -> None:
        """After a commit: `home` was read in its transaction, and if nobody else has committed since, nor changed a bucket in the same
        commit, it is what `bucket` would read anew."""
        stamp = self.db.stamp()
        if mark[1] != self.bucket_changes or not is_next(mark[0], stamp):
            return
        known_at, known = self._buckets
        if known_at != stamp:
            known_at, known = self._buckets = stamp, {}
        known[home.name] = home

    def buckets(self, account: str, prefix: str, after: str, limit: int) -> list[Bucket]:
        end = successor(prefix)
        upper, bound = (" AND name < ?", (end,)) if end else ("", ())
        rows = self.db.read(
            "SELECT name, account, region, created_at, versioning, policy, settings FROM s3_buckets "
            f"WHERE account = ? AND name > ? AND name >= ?{upper} ORDER BY name LIMIT ?",
            (account, after, prefix, *bound, limit),
        )
        return [_bucket(row) for row in rows]

    def change_bucket(self, name: str, **columns: Any) -> bool:
        """Sets columns of a bucket; False where it is gone."""
        marks = ", ".join(f"{column} = ?" for column in columns)

        def work(tx: Tx) -> bool:
            self.bucket_changes += 1
            return bool(tx.execute(f"UPDATE s3_buckets SET {marks} WHERE name = ? RETURNING name", (*columns.values(), name)))

        return self.db.grouped(work)

    def change_settings(self, name: str, member: str, document: Any | None) -> bool:
        """Puts (None: removes) one sub-resource of a bucket; False where the bucket is gone."""
        return self.revise_settings(name, member, lambda _: document)

    def revise_settings(self, name: str, member: str, change: Callable[[Any], Any | None]) -> bool:
        """The same, with what it is made of what was there."""

        def work(tx: Tx) -> bool:
            have = self.bucket(name, tx)
            if have is None:
                return False
            settings = {k: v for k, v in {**have.settings, member: change(have.settings.get(member))}.items() if v is not None}
            self.bucket_changes += 1
            tx.execute("UPDATE s3_buckets SET settings = ? WHERE name = ?", (dump(settings), name))
            return True

        return self.db.grouped(work)

    # --- versions --------------------------------------------------------------------------------

    def latest(self, bucket: str, key: str, tx: Tx | None = None) -> Version | None:
        """The newest version of a key, a delete marker included."""
        run = tx.execute if tx is not None else self.db.read
        rows = run(f"SELECT {_COLUMNS} FROM s3_objects WHERE bucket = ? AND key = ? AND latest = 1", (bucket, key))
        return _version(rows[0]) if rows else None

    def latest_and_bytes(self, bucket: str, key: str) -> tuple[Version | None, bytes | None]:
        """`latest`, and its bytes where the index has them (b"": there are none), as they were at one moment."""
        if not self.is_local:
            found = self.latest(bucket, key)
            return found, self.small(found.blob) if found is not None and (is_small(found.blob) or not found.blob) else None
        rows = self.db.read(_LATEST_AND_BYTES, (bucket, key))
        if not rows:
            return None, None
        row = rows[0]
        return _version(row), row[11] if row[9] else b""

    def version(self, bucket: str, key: str, version: str, tx: Tx | None = None) -> Version | None:
        run = tx.execute if tx is not None else self.db.read
        rows = run(f"SELECT {_COLUMNS} FROM s3_objects WHERE bucket = ? AND key = ? AND version = ?", (bucket, key, version))
        return _version(rows[0]) if rows else None

    def home_and_latest(self, tx: Tx, bucket: str, key: str) -> tuple[Bucket | None, Version | None]:
        """`bucket` and `latest` in one step: what each write of an object begins with."""
        rows = tx.execute(_HOME_AND_LATEST, (key, bucket))
        if not rows:
            return None, None
        row = rows[0]
        return _bucket(row), _version(row[7:]) if row[7] is not None else None

    def insert(
        self,
        tx: Tx,
        bucket: str,
        key: str,
        version: str,
        marker: bool,
        size: int,
        etag: str,
        modified: float,
        blob: str,
        meta: Any,
        first: bool = False,
    ) -> Version:
        """`first`: there is no other that would be the latest."""
        if not first:
            tx.execute("UPDATE s3_objects SET latest = 0 WHERE bucket = ? AND key = ? AND latest = 1", (bucket, key))
        text = dump(meta)
        rows = tx.execute(
            "INSERT INTO s3_objects (bucket, key, version, latest, marker, size, etag, modified, blob, meta) VALUES (?,?,?,1,?,?,?,?,?,?) RETURNING id",
            (bucket, key, version, int(marker), size, etag, modified, blob, text),
        )
        return Version(rows[0][0], bucket, key, version, True, marker, size, etag, modified, blob, meta)

    def remove(self, tx: Tx, gone: Version, only: bool = False) -> None:
        """Takes a version out; the newest of the remaining becomes the latest (`only`: there are none). Small bytes go with it."""
        tx.execute("DELETE FROM s3_objects WHERE id = ?", (gone.id,))
        self.drop_small(tx, gone.blob)
        if gone.latest and not only:
            tx.execute(
                "UPDATE s3_objects SET latest = 1 WHERE id = (SELECT id FROM s3_objects WHERE bucket = ? AND key = ? ORDER BY id DESC LIMIT 1)",
                (gone.bucket, gone.key),
            )

    def set_meta(self, tx: Tx, version: Version, meta: dict[str, Any]) -> None:
        tx.execute("UPDATE s3_objects SET meta = ? WHERE id = ?", (dump(meta), version.id))

    def current(self, bucket: str, low: str, inclusive: bool, high: str | None, limit: int) -> list[Version]:
        """Live objects (no delete markers) with low <(=) key < high, in key order."""
        # SQLite would take the history index, and walk over every old version
        hint = "INDEXED BY s3_objects_latest" if self.db.dialect == "sqlite" else ""
        upper, bound = (" AND key < ?", (high,)) if high else ("", ())
        rows = self.db.read(
            f"SELECT {_COLUMNS} FROM s3_objects {hint} WHERE bucket = ? AND latest = 1 AND marker = 0 AND key {'>=' if inclusive else '>'} ?{upper} ORDER BY key LIMIT ?",
            (bucket, low, *bound, limit),
        )
        return [_version(row) for row in rows]

    def history(self, bucket: str, low: str, inclusive: bool, high: str | None, limit: int) -> list[Version]:
        """All versions and markers with low <(=) key < high, by key, newest first."""
        upper, bound = (" AND key < ?", (high,)) if high else ("", ())
        rows = self.db.read(
            f"SELECT {_COLUMNS} FROM s3_objects WHERE bucket = ? AND key {'>=' if inclusive else '>'} ?{upper} ORDER BY key, id DESC LIMIT ?",
            (bucket, low, *bound, limit),
        )
        return [_version(row) for row in rows]

    def older(self, bucket: str, key: str, below_id: int, limit: int) -> list[Version]:
        """The versions of one key that are older than a row, newest first."""
        rows = self.db.read(
            f"SELECT {_COLUMNS} FROM s3_objects WHERE bucket = ? AND key = ? AND id < ? ORDER BY id DESC LIMIT ?",
            (bucket, key, below_id, limit),
        )
        return [_version(row) for row in rows]

    def after_id(self, row: int, limit: int) -> list[Version]:
        """Rows of all buckets in the order they were made, from behind one of them."""
        rows = self.db.read(f"SELECT {_COLUMNS} FROM s3_objects WHERE id > ? ORDER BY id LIMIT ?", (row, limit))
        return [_version(one) for one in rows]

    # --- small bytes -----------------------------------------------------------------------------

    def keep_small(self, tx: Tx, data: bytes) -> str:
        """Keeps bytes in the index itself; answers the blob they are."""
        if not data:
            return ""
        return f"i{tx.execute('INSERT INTO s3_small (bytes) VALUES (?) RETURNING id', (data,))[0][0]}"

    def drop_small(self, tx: Tx, blob: str) -> None:
        if is_small(blob):
            tx.execute("DELETE FROM s3_small WHERE id = ?", (int(blob[1:]),))

    def small(self, blob: str) -> bytes | None:
        """The bytes of a small blob; None where it is gone by now."""
        if not blob:
            return b""
        rows = self.db.read("SELECT bytes FROM s3_small WHERE id = ?", (int(blob[1:]),))
        return bytes(rows[0][0]) if rows else None

    def known(self, blobs: Sequence[str]) -> set[str]:
        """Which of these files the index refers to (for the sweep)."""
        marks = ",".join("?" * len(blobs))
        rows = self.db.read(
            f"SELECT blob FROM s3_objects WHERE blob IN ({marks}) AND blob > '' AND blob < 'g' UNION SELECT blob FROM s3_parts WHERE blob IN ({marks})",
            (*blobs, *blobs),
        )
        return {row[0] for row in rows}

    # --- uploads ---------------------------------------------------------------------------------

    def upload(self, upload_id: str, tx: Tx | None = None) -> Upload | None:
        run = tx.execute if tx is not None else self.db.read
        rows = run("SELECT id, bucket, key, initiated, initiator, meta FROM s3_uploads WHERE id = ?", (upload_id,))
        return Upload(*rows[0][:5], orjson.loads(rows[0][5])) if rows else None

    def uploads(self, bucket: str, low: str, high: str | None, limit: int) -> list[Upload]:
        upper, bound = (" AND key < ?", (high,)) if high else ("", ())
        rows = self.db.read(
            f"SELECT id, bucket, key, initiated, initiator, meta FROM s3_uploads WHERE bucket = ? AND key >= ?{upper} ORDER BY key, initiated, id LIMIT ?",
            (bucket, low, *bound, limit),
        )
        return [Upload(*row[:5], orjson.loads(row[5])) for row in rows]

    def parts(self, upload_id: str, after: int = 0, limit: int = 10_000, tx: Tx | None = None) -> list[Part]:
        run = tx.execute if tx is not None else self.db.read
        rows = run(
            "SELECT number, size, etag, modified, blob, checksums, salt FROM s3_parts WHERE upload = ? AND number > ? ORDER BY number LIMIT ?",
            (upload_id, after, limit),
        )
        return [Part(*row[:5], orjson.loads(row[5]), row[6]) for row in rows]

    def note_deleted(self, tx: Tx, bucket: str, key: str) -> None:
        """Uploads to a key that is deleted meanwhile cannot be completed on condition any more."""
        for upload, meta in tx.execute("SELECT id, meta FROM s3_uploads WHERE bucket = ? AND key = ?", (bucket, key)):
            tx.execute("UPDATE s3_uploads SET meta = ? WHERE id = ?", (dump({**orjson.loads(meta), "deleted": True}), upload))

    def drop_upload(self, tx: Tx, upload_id: str) -> list[Part]:
        """Takes an upload and its parts out; small bytes go with them. Answers the parts that were there."""
        gone = self.parts(upload_id, tx=tx)
        for part in gone:
            self.drop_small(tx, part.blob)
        tx.execute("DELETE FROM s3_parts WHERE upload = ?", (upload_id,))
        tx.execute("DELETE FROM s3_uploads WHERE id = ?", (upload_id,))
        return gone


def is_small(blob: str) -> bool:
    return blob.startswith("i")


def successor(prefix: str) -> str:
    """The smallest string that is greater than every string with this prefix ("" where there is none)."""
    for at in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[at])
        if code < 0x10FFFF:
            return prefix[:at] + chr(0xE000 if code == 0xD7FF else code + 1)
    return ""


def dump(value: Any) -> str:
    return orjson.dumps(value).decode()


def _bucket(row: Sequence[Any]) -> Bucket:
    return Bucket(*row[:6], orjson.loads(row[6]))


def _version(row: Sequence[Any]) -> Version:
    return Version(*row[:4], bool(row[4]), bool(row[5]), *row[6:10], orjson.loads(row[10]))
