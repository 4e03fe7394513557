"""`modelyard doctor --verify`: the index of S3 against the files and their checksums.

Reads every row and every byte, changes nothing, and may run beside a platform: what is written or deleted meanwhile is looked at again
before it is called damaged. Bytes under a customer's key cannot be read here; of those the size of the file is checked.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, BinaryIO

from modelyard.kernel.clock import real_now
from modelyard.kernel.errors import ApiError
from modelyard.services.s3 import checksums
from modelyard.services.s3.depot import SWEEP_GRACE_S, Depot
from modelyard.services.s3.index import is_small
from modelyard.services.s3.sealing import opened, sealed_size

DatabaseError = sqlite3.DatabaseError
PAGE, CHUNK, MOST_NAMED = 500, 1 << 20, 1000


@dataclass
class Found:
    """`missing` (no file), `short` (other size), `wrong` (other bytes, or not readable) name objects and parts: `s3://bucket/key` with
    version or part; `orphans` are files that no row names and that are old enough not to be on their way; `index` is what the index
    says against itself: damaged pages, rows that do not belong together."""

    objects: int = 0
    parts: int = 0
    bytes: int = 0
    unread: int = 0
    missing: list[str] = field(default_factory=list)
    short: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    index: list[str] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        return not (self.missing or self.short or self.wrong or self.orphans or self.index)


@dataclass(frozen=True)
class _Row:
    name: str
    table: str
    id: Any
    size: int
    etag: str
    blob: str
    meta: dict[str, Any]


def verify(depot: Depot, orphan_age_s: float = SWEEP_GRACE_S) -> Found:
    """Looks at everything; `orphan_age_s`: real seconds that a file without a row may be old (0: nothing is being written)."""
    found = Found()
    try:
        found.index += _index(depot)
        _look_at_all(depot, found, orphan_age_s)
    except DatabaseError as problem:
        found.index.append(f"cannot be read on: {problem}")
    return found


def _index(depot: Depot) -> Iterator[str]:
    """What is wrong in the index, seen without the files. Each statement sees one state of it."""
    db = depot.index.db
    if db.dialect == "sqlite":
        yield from (f"damaged: {row[0]}" for row in db.read(f"PRAGMA integrity_check({MOST_NAMED})") if row[0] != "ok")
    loose = db.read(_NAMELESS)[0][0]
    if loose:
        yield f"the bytes of {loose} small objects or parts have no name"
    for bucket, key in db.read(_NOT_CURRENT, (MOST_NAMED,)):
        yield f"no version of s3://{bucket}/{key} is the current one"
    for (bucket,) in db.read(
        "SELECT DISTINCT bucket FROM s3_objects WHERE bucket NOT IN (SELECT name FROM s3_buckets) LIMIT ?", (MOST_NAMED,)
    ):
        yield f"there are objects of the bucket {bucket}, but there is no such bucket"


_NAMELESS = (
    "SELECT count(*) FROM s3_small WHERE id NOT IN (SELECT CAST(substr(blob, 2) AS INTEGER) FROM s3_objects WHERE blob >= 'i' "
    "UNION ALL SELECT CAST(substr(blob, 2) AS INTEGER) FROM s3_parts WHERE blob >= 'i')"
)
_NOT_CURRENT = "SELECT bucket, key FROM s3_objects GROUP BY bucket, key HAVING max(latest) = 0 LIMIT ?"


def _look_at_all(depot: Depot, found: Found, orphan_age_s: float) -> None:
    for row in _objects(depot):
        found.objects += 1
        _look(depot, row, found)
    for row in _parts(depot):
        found.parts += 1
        _look(depot, row, found)
    files = _files(depot, real_now() - orphan_age_s)
    while some := list(islice(files, PAGE)):
        found.orphans += sorted(set(some) - depot.index.known(some))


def _files(depot: Depot, before: float) -> Iterator[str]:
    """`older_than` without its tidying: this reads only."""
    root = depot.blobs.root if hasattr(depot.blobs, "root") else None
    if root is None:
        return
    for file in root.glob("??/*"):
        try:
            if file.stat().st_mtime <= before:
                yield file.name
        except FileNotFoundError:
            continue


def _objects(depot: Depot) -> Iterator[_Row]:
    after = 0
    while page := depot.index.after_id(after, PAGE):
        for one in page:
            if not one.marker:
                name = f"s3://{one.bucket}/{one.key}" + ("" if one.version == "null" else f"?versionId={one.version}")
                yield _Row(name, "s3_objects", one.id, one.size, one.etag, one.blob, one.meta)
        after = page[-1].id


def _parts(depot: Depot) -> Iterator[_Row]:
    """Parts of uploads that are under way, each with the sealing of its upload."""
    uploads = depot.index.db.read("SELECT id, bucket, key FROM s3_uploads ORDER BY id")
    for upload_id, bucket, key in uploads:
        upload = depot.index.upload(upload_id)
        if upload is None:
            continue
        for part in depot.index.parts(upload_id):
            meta: dict[str, Any] = {"checksums": part.checksums}
            if "sealed" in upload.meta:
                meta["sealed"] = {**upload.meta["sealed"], "pieces": [[part.size, part.salt]]}
            name = f"s3://{bucket}/{key}?uploadId={upload_id}&partNumber={part.number}"
            yield _Row(name, "s3_parts", (upload_id, part.number), part.size, part.etag, part.blob, meta)


def _look(depot: Depot, row: _Row, found: Found) -> None:
    problem = _problem(depot, row, found)
    if problem and _still_there(depot, row):
        named: list[str] = getattr(found, problem)
        named.append(row.name)


def _still_there(depot: Depot, row: _Row) -> bool:
    if row.table == "s3_objects":
        return bool(depot.index.db.read("SELECT 1 FROM s3_objects WHERE id = ? AND blob = ?", (row.id, row.blob)))
    return bool(depot.index.db.read("SELECT 1 FROM s3_parts WHERE upload = ? AND number = ? AND blob = ?", (*row.id, row.blob)))


def _problem(depot: Depot, row: _Row, found: Found) -> str:
    """ "" where all is well, else the list it belongs to."""
    try:
        data = depot.index.small(row.blob) if not row.blob or is_small(row.blob) else depot.blobs.open(row.blob)
    except FileNotFoundError:
        data = None
    except OSError:
        return "wrong"
    if data is None:
        return "missing"
    sealed = row.meta.get("sealed")
    try:
        have = len(data) if isinstance(data, bytes) else data.seek(0, 2)
        if have != (sum(sealed_size(size) for size, _ in sealed["pieces"]) if sealed else row.size):
            return "short"
        if sealed:
            if sealed["by"] == "customer":
                found.unread += 1
                return ""
            data = opened(data if isinstance(data, bytes) else _rewound(data), sealed["pieces"], depot.ring.unlock_sealed(sealed))
        return _compare(row, data, found)
    except (OSError, ApiError):
        return "wrong"
    finally:
        if data is not None and not isinstance(data, bytes):
            data.close()


def _rewound(data: BinaryIO) -> BinaryIO:
    data.seek(0)
    return data


def _compare(row: _Row, data: Any, found: Found) -> str:
    """The checksums of the whole that are kept with it, and its MD5 where the ETag is that."""
    sums = {name: value for name, value in (row.meta.get("checksums") or {}).items() if "-" not in value}
    hashers = {name: checksums.hasher(name) for name in sums}
    is_md5 = len(row.etag) == 32 and "sealed" not in row.meta
    if is_md5:
        hashers["MD5 of the ETag"], sums["MD5 of the ETag"] = hashlib.md5(usedforsecurity=False), checksums.text(bytes.fromhex(row.etag))
    for piece in _pieces(data):
        found.bytes += len(piece)
        for hasher in hashers.values():
            hasher.update(piece)
    if all(checksums.text(hashers[name].digest()) == value for name, value in sums.items()) and _parts_fit(row, data):
        return ""
    return "wrong"


def _parts_fit(row: _Row, data: Any) -> bool:
    """Of an object in parts without a checksum of the whole: the checksums of its parts."""
    parts = row.meta.get("parts")
    if not parts or row.meta.get("checksum_type") == "FULL_OBJECT":
        return True
    at = 0
    for size, sums in parts:
        hashers = {name: checksums.hasher(name) for name in sums}
        for piece in _pieces(data, at, size):
            for hasher in hashers.values():
                hasher.update(piece)
        at += size
        if any(checksums.text(hashers[name].digest()) != value for name, value in sums.items()):
            return False
    return True


def _pieces(data: Any, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
    if isinstance(data, bytes):
        yield data[offset : None if length is None else offset + length]
        return
    data.seek(offset)
    while (length is None or length > 0) and (piece := data.read(CHUNK if length is None else min(CHUNK, length))):
        length = None if length is None else length - len(piece)
        yield piece
