"""The lines of server access logs: made when a request of a logged bucket ends, delivered as objects by the engine.

Source: "Amazon S3 server access log format" of the user guide. Lines wait in the index (one commit for all that end at about the same
time) and go out every five minutes of platform time. The name of a log object is made of its lines, so a delivery that a crash repeats
writes the same object. As on AWS delivery is best effort: what a killed gateway had not yet committed is lost.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from modelyard.kernel.database import Database, Tx
from modelyard.services.s3 import acl, api
from modelyard.services.s3.depot import Depot
from modelyard.services.s3.index import Bucket
from modelyard.services.s3.logging import may_write

log = logging.getLogger("modelyard.s3")
EVERY_S, MOST_LINES, MOST_WAITING = 300.0, 10_000, 100_000
_MIGRATIONS = [
    """
    CREATE TABLE s3_log_lines (id @SERIAL@, bucket TEXT NOT NULL, at DOUBLE PRECISION NOT NULL, line TEXT NOT NULL);
    CREATE INDEX s3_log_lines_bucket ON s3_log_lines (bucket, id)
    """
]
_SERIAL = {"sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT", "postgres": "BIGSERIAL PRIMARY KEY"}
_RESOURCES = {
    "ListObjects": "GET.BUCKET", "ListObjectsV2": "GET.BUCKET", "HeadBucket": "HEAD.BUCKET", "CreateBucket": "PUT.BUCKET",
    "DeleteBucket": "DELETE.BUCKET", "ListObjectVersions": "GET.BUCKETVERSIONS", "GetBucketLocation": "GET.LOCATION",
    "ListMultipartUploads": "GET.UPLOADS", "CreateMultipartUpload": "POST.UPLOADS", "CompleteMultipartUpload": "POST.UPLOAD",
    "AbortMultipartUpload": "DELETE.UPLOAD", "ListParts": "GET.UPLOAD", "UploadPart": "PUT.PART", "UploadPartCopy": "COPY.PART",
    "DeleteObjects": "POST.MULTI_OBJECT_DELETE", "CopyObject": "COPY.OBJECT", "GetBucketPolicy": "GET.BUCKETPOLICY",
    "PutBucketPolicy": "PUT.BUCKETPOLICY", "DeleteBucketPolicy": "DELETE.BUCKETPOLICY", "GetBucketLogging": "GET.LOGGING_STATUS",
    "PutBucketLogging": "PUT.LOGGING_STATUS", "GetObjectAcl": "GET.ACL", "PutObjectAcl": "PUT.ACL", "GetBucketAcl": "GET.ACL",
    "PutBucketAcl": "PUT.ACL", "GetObjectTagging": "GET.OBJECT_TAGGING", "PutObjectTagging": "PUT.OBJECT_TAGGING",
    "DeleteObjectTagging": "DELETE.OBJECT_TAGGING", "GetBucketVersioning": "GET.VERSIONING", "PutBucketVersioning": "PUT.VERSIONING",
    "GetBucketLifecycleConfiguration": "GET.LIFECYCLE", "PutBucketLifecycleConfiguration": "PUT.LIFECYCLE",
    "GetBucketNotificationConfiguration": "GET.NOTIFICATION", "PutBucketNotificationConfiguration": "PUT.NOTIFICATION",
}  # fmt: skip


class Lines:
    """`platform.parts["s3_access"]`: `note` is called by the gateway when a request of S3 has been answered; it never blocks."""

    def __init__(self, depot: Depot) -> None:
        self._depot, self._waiting, self._lock = depot, deque(), threading.Lock()
        self._busy = False
        prepare(depot.index.db)

    def note(self, request: Any, response: Any, call: Any, asked: Mapping[str, Any] | None, error: str, took_s: float, pool: Any) -> None:
        home = call.logged
        if home is None and error and asked and asked.get("Bucket"):  # refused before the bucket was looked at
            home = self._depot.index.bucket(asked["Bucket"])
        if home is None or "Logging" not in home.settings or len(self._waiting) >= MOST_WAITING:
            return
        now = call.now()
        self._waiting.append((home.name, now, line(home, request, response, call, asked or {}, error, took_s, now)))
        with self._lock:
            if self._busy:
                return
            self._busy = True
        try:
            pool.submit(self.flush)
        except RuntimeError:  # the gateway is closing: its last lines are written here
            self.flush()

    def flush(self) -> None:
        while True:
            rows = [self._waiting.popleft() for _ in range(len(self._waiting))]
            if rows:
                try:
                    self._depot.index.db.grouped(
                        lambda tx, rows=rows: tx.executemany("INSERT INTO s3_log_lines (bucket, at, line) VALUES (?,?,?)", rows)
                    )
                except Exception:
                    log.exception("%d lines of access logs were lost", len(rows))
            with self._lock:
                if not self._waiting:
                    self._busy = False
                    return


def prepare(db: Database) -> None:
    db.migrate("s3_access", [step.replace("@SERIAL@", _SERIAL[db.dialect]) for step in _MIGRATIONS])


def line(home: Bucket, request: Any, response: Any, call: Any, asked: Mapping[str, Any], error: str, took_s: float, now: float) -> str:
    """One line of the log, without its end."""
    by = call.principal
    who = "-" if by.kind == "anonymous" else acl.canonical_id(by.account) if by.kind == "root" else by.arn
    sent = next((value for name, value in response.headers if name.lower() == "content-length"), "-")
    size = "-"
    if call.operation in ("GetObject", "HeadObject") and not error:
        size = sent
    elif call.operation in ("PutObject", "UploadPart"):
        size = request.header("x-amz-decoded-content-length") or request.header("content-length") or "-"
    if call.operation in ("HeadObject", "HeadBucket"):
        sent = "-"
    signed = call.auth is not None
    took = str(max(1, round(took_s * 1000)))
    fields = [
        acl.canonical_id(home.account),
        home.name,
        datetime.fromtimestamp(now, UTC).strftime("[%d/%b/%Y:%H:%M:%S +0000]"),
        request.client,
        who,
        call.request_id,
        _operation(call.operation, request.method),
        quote(asked["Key"], safe="/-_.~") if asked.get("Key") else "-",
        f'"{request.method} {request.path}{"?" + _shown(request.query) if request.query else ""} HTTP/1.1"',
        str(response.status),
        error or "-",
        "-" if sent == "0" else sent,
        size,
        took,
        took,
        _quoted(request.header("referer")),
        _quoted(request.header("user-agent")),
        asked.get("VersionId") or "-",
        hashlib.sha256(call.request_id.encode()).hexdigest(),
        f"SigV{call.auth.version}" if signed else "-",
        "-",
        ("AuthHeader" if call.auth.expires_s is None else "QueryString") if signed else "-",
        request.header("host") or "-",
        f"TLSv{request.tls}" if request.tls else "-",
        "-",
        "-",
    ]
    return " ".join(fields)


def _operation(name: str, method: str) -> str:
    return f"REST.{_RESOURCES.get(name) or method + ('.OBJECT' if name.endswith('Object') else '.BUCKET')}"


def _shown(query: str) -> str:
    """The query without its signature and session token: a log is no place for what can be used again."""
    hidden = ("X-Amz-Signature=", "X-Amz-Security-Token=", "Signature=")
    return "&".join(one if not one.startswith(hidden) else one.partition("=")[0] + "=REDACTED" for one in query.split("&"))


def _quoted(text: str) -> str:
    return '"{}"'.format(text.replace('"', "%22").replace("\n", " ").replace("\r", " ")) if text else '"-"'


# --- delivery ------------------------------------------------------------------------------------------


@api.worker
def drain(platform: Any) -> float | None:
    """Delivers the lines that have waited long enough; answers when the next have."""
    depot: Depot | None = platform.parts.get("s3")
    if depot is None:
        return None
    db, now = depot.index.db, platform.clock.now()
    if "s3_access" not in platform.parts:
        prepare(db)
    waiting = db.read("SELECT bucket, min(at) FROM s3_log_lines GROUP BY bucket")
    for bucket, oldest in waiting:
        if oldest + EVERY_S <= now:
            while _deliver(platform, depot, bucket):
                pass
    left = db.read("SELECT min(at) FROM s3_log_lines")[0][0]
    return None if left is None else left + EVERY_S


def _deliver(platform: Any, depot: Depot, bucket: str) -> bool:
    """One log object of a bucket's oldest lines; False where none are left. Where they cannot go they are dropped, and the log says so."""
    db = depot.index.db
    rows = db.read("SELECT id, at, line FROM s3_log_lines WHERE bucket = ? ORDER BY id LIMIT ?", (bucket, MOST_LINES))
    if not rows:
        return False
    home = depot.index.bucket(bucket)
    asked = home.settings.get("Logging") if home is not None else None
    target = depot.index.bucket(asked["TargetBucket"]) if asked else None
    if home is not None and asked and target is not None and may_write(platform, home, target, asked["TargetPrefix"]):
        text = "".join(f"{row[2]}\n" for row in rows)
        key = _key(home, asked, rows[0][1], rows[-1][1], f"{bucket} {rows[0][0]} {rows[-1][0]}")
        platform.objects.put_bytes(target.account, target.name, key, text.encode(), "text/plain")
    elif asked:
        log.warning("%d lines of the access log of %s could not be delivered to %s", len(rows), bucket, asked["TargetBucket"])

    def gone(tx: Tx) -> None:
        tx.execute("DELETE FROM s3_log_lines WHERE bucket = ? AND id <= ?", (bucket, rows[-1][0]))

    db.grouped(gone)
    return len(rows) == MOST_LINES


def _key(home: Bucket, asked: Mapping[str, Any], first: float, last: float, unique: str) -> str:
    """`prefix` + `YYYY-mm-DD-HH-MM-SS-UNIQUE`, or partitioned by account, region, bucket and day."""
    form = asked.get("TargetObjectKeyFormat") or {}
    partitioned = form.get("PartitionedPrefix")
    when = datetime.fromtimestamp(first if (partitioned or {}).get("PartitionDateSource") == "EventTime" else last, UTC)
    name = f"{when:%Y-%m-%d-%H-%M-%S}-{hashlib.sha256(unique.encode()).hexdigest()[:16].upper()}"
    if partitioned is None:
        return f"{asked['TargetPrefix']}{name}"
    return f"{asked['TargetPrefix']}{home.account}/{home.region}/{home.name}/{when:%Y/%m/%d}/{name}"
