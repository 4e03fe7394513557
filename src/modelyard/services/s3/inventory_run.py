"""The engine's part of inventories: a report each midnight UTC of the platform's clock, or each Sunday's, delivered to the destination.

A report is gzipped CSV files, then `manifest.json`, then `manifest.checksum`, then the row that says the day is done. Names are made of the
bucket, the configuration and the day, so a report that a crash cuts off is written again under the same names. After several
midnights at once there is one report: what the bucket held before is not known any more. A destination whose policy does not let
`s3.amazonaws.com` write gets nothing, as on AWS; the log of the platform says so.
"""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import io
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import orjson

from modelyard.kernel.targets import Delivery
from modelyard.services.iam.resource_documents import admits
from modelyard.services.s3 import acl, api
from modelyard.services.s3.depot import Depot
from modelyard.services.s3.index import Bucket, Version, successor
from modelyard.services.s3.inventory import BUCKET_ARN
from modelyard.services.s3.lifecycle_rules import DAY_S, expiry

log = logging.getLogger("modelyard.s3")
WRITER, PAGE, MOST_ROWS = "s3.amazonaws.com", 1000, 1_000_000
_MIGRATIONS = ["CREATE TABLE s3_inventory (bucket TEXT NOT NULL, id TEXT NOT NULL, day BIGINT NOT NULL, PRIMARY KEY (bucket, id))"]


@api.worker
def drain(platform: Any) -> float | None:
    """Makes the reports that are due; answers the next midnight where any bucket has an inventory."""
    depot: Depot | None = platform.parts.get("s3")
    if depot is None:
        return None
    db, day, any_on = depot.index.db, int(platform.clock.now() // DAY_S), False
    names = [row[0] for row in db.read("""SELECT name FROM s3_buckets WHERE settings LIKE '%"Inventory":%' ORDER BY name""")]
    if names:
        db.migrate("s3_inventory", _MIGRATIONS)
    for name in names:
        home = depot.index.bucket(name)
        for one in (home.settings.get("Inventory") or {}).values() if home is not None else ():
            asked = one["asked"]
            if not asked["IsEnabled"]:
                continue
            any_on, due = True, due_day(asked["Schedule"]["Frequency"], day)
            done = db.read("SELECT day FROM s3_inventory WHERE bucket = ? AND id = ?", (name, asked["Id"]))
            if due > max(one["since"], done[0][0] if done else 0):
                _report(platform, depot, home, asked, due)
                _note_done(db, name, asked["Id"], due)
    return (day + 1) * DAY_S if any_on else None


def due_day(frequency: str, day: int) -> int:
    """The last day, in days since 1970, at whose beginning there was to be a report. Day 3 was a Sunday."""
    return day if frequency == "Daily" else day - (day - 3) % 7


def _note_done(db: Any, bucket: str, name: str, day: int) -> None:
    db.grouped(
        lambda tx: tx.execute(
            "INSERT INTO s3_inventory VALUES (?, ?, ?) ON CONFLICT (bucket, id) DO UPDATE SET day = excluded.day", (bucket, name, day)
        )
    )


def _report(platform: Any, depot: Depot, home: Bucket, asked: Mapping[str, Any], day: int) -> None:
    to = asked["Destination"]["S3BucketDestination"]
    target = depot.index.bucket(to["Bucket"].removeprefix(BUCKET_ARN))
    root = f"{to['Prefix'].rstrip('/')}/" if to.get("Prefix") else ""
    root += f"{home.name}/{asked['Id']}"
    if target is None or not _may_write(platform, home, target, root):
        log.warning("the inventory %s of %s cannot be delivered to %s: its policy does not let %s put objects", asked["Id"], home.name, to["Bucket"], WRITER)  # fmt: skip
        return
    put = _putter(platform, target, to.get("Encryption") or {})
    when, files, columns = datetime.fromtimestamp(day * DAY_S, UTC), [], _columns(asked)
    with tempfile.TemporaryDirectory(prefix="modelyard-inventory-") as folder:
        for number, path in enumerate(_files(depot, home, asked, columns, Path(folder))):
            unique = hashlib.sha256(f"{home.name} {asked['Id']} {day} {number}".encode()).hexdigest()
            key = f"{root}/data/{unique[:8]}-{unique[8:12]}-{unique[12:16]}-{unique[16:20]}-{unique[20:32]}.csv.gz"
            data = path.read_bytes()
            put(key, data, "application/x-gzip")
            files.append({"key": key, "size": len(data), "MD5checksum": hashlib.md5(data, usedforsecurity=False).hexdigest()})
            path.unlink()
    manifest = orjson.dumps(
        {
            "sourceBucket": home.name,
            "destinationBucket": to["Bucket"],
            "version": "2016-11-30",
            "creationTimestamp": str(int(day * DAY_S * 1000)),
            "fileFormat": "CSV",
            "fileSchema": ", ".join(name for name, _ in columns),
            "files": files,
        },
        option=orjson.OPT_INDENT_2,
    )
    links = "".join(f"s3://{target.name}/{one['key']}\n" for one in files)
    put(f"{root}/hive/dt={when:%Y-%m-%d-%H-%M}/symlink.txt", links.encode(), "text/plain")
    put(f"{root}/{when:%Y-%m-%dT%H-%MZ}/manifest.json", manifest, "application/json")
    put(f"{root}/{when:%Y-%m-%dT%H-%MZ}/manifest.checksum", hashlib.md5(manifest, usedforsecurity=False).hexdigest().encode(), "text/plain")


def _may_write(platform: Any, home: Bucket, target: Bucket, root: str) -> bool:
    policy = orjson.loads(target.policy) if target.policy else None
    delivery = Delivery(f"arn:aws:s3:::{target.name}/{root}/x", "", WRITER, f"arn:aws:s3:::{home.name}", home.account, home.region, "")
    return admits(platform, delivery, "s3:PutObject", target.account, policy).allowed


def _putter(platform: Any, target: Bucket, sealed: Mapping[str, Any]) -> Callable[[str, bytes, str], Any]:
    asked = None
    if "SSEKMS" in sealed:
        asked = {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": sealed["SSEKMS"]["KeyId"]}
    elif "SSES3" in sealed:
        asked = {"ServerSideEncryption": "AES256"}
    return lambda key, data, kind: platform.objects.put_bytes(target.account, target.name, key, data, kind, sealed=asked)


# --- the rows ------------------------------------------------------------------------------------------


def _files(depot: Depot, home: Bucket, asked: Mapping[str, Any], columns: list[Any], folder: Path) -> Iterator[Path]:
    """The report in files of at most a million rows; one without rows for an empty bucket."""
    rows, number, more = _versions(depot, home, asked), 0, True
    while more:
        path, count = folder / f"{number}.csv.gz", 0
        with open(path, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb", mtime=0, filename="") as packed:
            text = io.TextIOWrapper(packed, "utf-8", newline="")
            writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
            for version in rows:
                writer.writerow([tell(home, version) for _, tell in columns])
                count += 1
                if count == MOST_ROWS:
                    break
            text.flush()
            text.detach()
        more, number = count == MOST_ROWS, number + 1
        yield path


def _versions(depot: Depot, home: Bucket, asked: Mapping[str, Any]) -> Iterator[Version]:
    prefix, index = (asked.get("Filter") or {}).get("Prefix", ""), depot.index
    low, inclusive, high = prefix, True, successor(prefix) or None
    fetch = index.current if asked["IncludedObjectVersions"] == "Current" else index.history
    while page := fetch(home.name, low, inclusive, high, PAGE):
        yield from page
        last, inclusive = page[-1], False
        if fetch == index.history:
            while older := index.older(home.name, last.key, last.id, PAGE):
                yield from older
                last = older[-1]
        low = last.key


def _columns(asked: Mapping[str, Any]) -> list[tuple[str, Callable[[Bucket, Version], Any]]]:
    all_versions = asked["IncludedObjectVersions"] == "All"
    names = ["Bucket", "Key", *(["VersionId", "IsLatest", "IsDeleteMarker"] if all_versions else []), *(asked.get("OptionalFields") or ())]
    return [(name, _COLUMNS[name]) for name in names]


def _encryption(_: Bucket, version: Version) -> str:
    by = (version.meta.get("sealed") or {}).get("by")
    return "" if version.marker else {"s3": "SSE-S3", "kms": "SSE-KMS", "customer": "SSE-C"}.get(by, "NOT-SSE")


def _bucket_key(_: Bucket, version: Version) -> str:
    if (version.meta.get("sealed") or {}).get("by") != "kms":
        return "" if version.marker else "DISABLED"
    return "ENABLED" if version.meta["encryption"].get("BucketKeyEnabled") else "DISABLED"


def _access_list(home: Bucket, version: Version) -> str:
    if version.marker:
        return ""
    owner = acl.owner_account(home, version)
    grants = acl.told(owner, version.meta.get("acl"))["Grants"]
    told = [
        {"canonicalId": one["Grantee"].get("ID", ""), "type": one["Grantee"]["Type"], "permission": one["Permission"]} for one in grants
    ]
    return base64.b64encode(orjson.dumps({"version": "2022-11-10", "status": "AVAILABLE", "grants": told})).decode()


def _expires(home: Bucket, version: Version) -> str:
    rules = (home.settings.get("Lifecycle") or {}).get("Rules")
    at = expiry(rules, version) if rules and version.latest and not version.marker else None
    return _moment(at[0]) if at else ""


def _moment(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _told(what: bool) -> str:
    return "true" if what else "false"


_COLUMNS: dict[str, Callable[[Bucket, Version], Any]] = {
    "Bucket": lambda home, _: home.name,
    "Key": lambda _, one: quote(one.key, safe="/-_.~"),
    "VersionId": lambda _, one: "" if one.version == "null" else one.version,
    "IsLatest": lambda _, one: _told(one.latest),
    "IsDeleteMarker": lambda _, one: _told(one.marker),
    "Size": lambda _, one: "" if one.marker else one.size,
    "LastModifiedDate": lambda _, one: _moment(one.modified),
    "ETag": lambda _, one: "" if one.marker else one.etag,
    "StorageClass": lambda _, one: "" if one.marker else one.meta.get("storage", "STANDARD"),
    "IsMultipartUploaded": lambda _, one: "" if one.marker else _told(bool(one.meta.get("parts"))),
    "ReplicationStatus": lambda *_: "",
    "EncryptionStatus": _encryption,
    "ObjectLockRetainUntilDate": lambda _, one: _moment(one.meta["lock"]["until"]) if one.meta.get("lock") else "",
    "ObjectLockMode": lambda _, one: one.meta["lock"]["mode"] if one.meta.get("lock") else "",
    "ObjectLockLegalHoldStatus": lambda _, one: "On" if one.meta.get("hold") else "Off" if not one.marker else "",
    "ObjectLockEventHoldStatus": lambda *_: "",
    "ObjectLockEventHoldDuration": lambda *_: "",
    "IntelligentTieringAccessTier": lambda _, one: "FREQUENT" if one.meta.get("storage") == "INTELLIGENT_TIERING" else "",
    "IntelligentTieringReferenceDate": lambda *_: "",
    "BucketKeyStatus": _bucket_key,
    "ChecksumAlgorithm": lambda _, one: ",".join(one.meta.get("checksums") or ()),
    "ObjectAccessControlList": _access_list,
    "ObjectOwner": lambda home, one: "" if one.marker else acl.canonical_id(acl.owner_account(home, one)),
    "LifecycleExpirationDate": _expires,
}
