"""Event notifications on their way: written with the change they tell of, delivered at least once.

Source: "Event message structure" and "EventBridge event message structure" of the S3 user guide. A row of `s3_notices` is written in the
transaction that changes an object, only where the bucket's configuration asks for that event; the row leaves once every destination
has it. What a destination refuses is tried again, longer and longer, for a day of platform time.
"""

from __future__ import annotations

import hashlib
import logging
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote_plus

import orjson

from modelyard.kernel import targets
from modelyard.kernel.clock import real_now
from modelyard.kernel.database import Database, Tx
from modelyard.kernel.errors import ApiError
from modelyard.services.s3 import api
from modelyard.services.s3.index import NULL_VERSION, Bucket, Version, dump

log = logging.getLogger("modelyard.s3")

PAGE, LEASE_S = 100, 60.0
LONGEST_WAIT_S, GIVE_UP_S = 300.0, 86_400.0
SUBJECT, SOURCE = "Amazon S3 Notification", "s3.amazonaws.com"
LISTS = {
    "TopicConfigurations": "TopicArn",
    "QueueConfigurations": "QueueArn",
    "LambdaFunctionConfigurations": "LambdaFunctionArn",
}
"""The lists of a configuration, and the member of each that names the destination."""
EVENT_BUS = "events"
_NOTHING = "d41d8cd98f00b204e9800998ecf8427e"
"""The ETag told of a delete marker: that of no bytes."""
_OF_SETTINGS = ("ObjectTagging:", "ObjectAcl:")

_MIGRATIONS = [
    """
    CREATE TABLE s3_notices (
        id @SERIAL@, due_at DOUBLE PRECISION NOT NULL, lease_until DOUBLE PRECISION NOT NULL DEFAULT 0,
        attempts INTEGER NOT NULL DEFAULT 0, body TEXT NOT NULL);
    CREATE INDEX s3_notices_due ON s3_notices (due_at);
    CREATE TABLE s3_lifecycle (bucket TEXT PRIMARY KEY, day BIGINT NOT NULL)
    """
]
_SERIAL = {"sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT", "postgres": "BIGSERIAL PRIMARY KEY"}
_BRIDGE = {
    "ObjectCreated": "Object Created",
    "ObjectRemoved": "Object Deleted",
    "LifecycleExpiration": "Object Deleted",
    "LifecycleTransition": "Object Storage Class Changed",
    "ObjectTagging:Put": "Object Tags Added",
    "ObjectTagging:Delete": "Object Tags Deleted",
    "ObjectAcl": "Object ACL Updated",
}
_REASONS = {
    "ObjectCreated:Put": "PutObject",
    "ObjectCreated:Post": "POST Object",
    "ObjectCreated:Copy": "CopyObject",
    "ObjectCreated:CompleteMultipartUpload": "CompleteMultipartUpload",
    "ObjectRemoved:Delete": "DeleteObject",
    "ObjectRemoved:DeleteMarkerCreated": "DeleteObject",
    "LifecycleExpiration:Delete": "Lifecycle Expiration",
    "LifecycleExpiration:DeleteMarkerCreated": "Lifecycle Expiration",
}


@dataclass(frozen=True, slots=True)
class Cause:
    """Why an object changes: the event (`ObjectCreated:Put`), and the call that does it (None: the platform itself)."""

    event: str
    call: Any = None

    def who(self) -> dict[str, str]:
        if self.call is None:
            return {"principal": SOURCE, "requester": SOURCE, "ip": "127.0.0.1", "request": uuid.uuid4().hex[:16].upper()}
        by = self.call.principal
        name = "Anonymous" if by.kind == "anonymous" else f"AWS:{by.user_id}"
        return {"principal": name, "requester": by.account or "anonymous", "ip": self.call.source_ip, "request": self.call.request_id}


def prepare(db: Database) -> None:
    db.migrate("s3_notices", [step.replace("@SERIAL@", _SERIAL[db.dialect]) for step in _MIGRATIONS])


def note(tx: Tx, home: Bucket, version: Version, cause: Cause, now: float) -> bool:
    """Writes that a version changed, if the bucket's configuration has somebody to tell; answers whether."""
    wanted = list(destinations(home.settings["Notification"], cause.event, version.key))
    if not wanted:
        return False
    told: dict[str, Any] = {
        "event": cause.event,
        "at": now,
        "bucket": [home.name, home.account, home.region],
        "key": version.key,
        "targets": wanted,
        **cause.who(),
    }
    if home.versioning and version.version != NULL_VERSION:
        told["version"] = version.version
    if version.meta.get("storage"):
        told["storage"] = version.meta["storage"]
    if cause.event.endswith("DeleteMarkerCreated"):
        told["etag"] = _NOTHING
    elif cause.event.startswith(_OF_SETTINGS):
        told |= {"etag": version.etag, "unordered": True}
    elif not cause.event.endswith(":Delete"):
        told |= {"size": version.size, "etag": version.etag}
    tx.execute("INSERT INTO s3_notices (due_at, body) VALUES (?, ?)", (now, dump(told)))
    return True


def destinations(document: Mapping[str, Any], event: str, key: str) -> Iterator[tuple[str, str]]:
    """(id of the configuration, ARN) of everyone who wants to hear of an event of a key; `events` is the event bus."""
    if "EventBridgeConfiguration" in document:
        yield "", EVENT_BUS
    for member, arn in LISTS.items():
        for one in document.get(member, ()):
            if any(covers(wanted, event) for wanted in one["Events"]):
                prefix, suffix = affixes(one)
                if key.startswith(prefix) and key.endswith(suffix):
                    yield one["Id"], one[arn]


def covers(wanted: str, event: str) -> bool:
    """Whether `s3:ObjectCreated:*` (or one kind alone) means this event."""
    name = wanted.removeprefix("s3:")
    return name == event or (name.endswith(":*") and event.startswith(name[:-1]))


def affixes(one: Mapping[str, Any]) -> tuple[str, str]:
    rules = ((one.get("Filter") or {}).get("Key") or {}).get("FilterRules") or ()
    found = {rule["Name"].lower(): rule.get("Value", "") for rule in rules}
    return found.get("prefix", ""), found.get("suffix", "")


# --- delivery ------------------------------------------------------------------------------------------


@api.worker
def drain(platform: Any) -> float | None:
    """Delivers what is due; answers when more will be."""
    depot = platform.parts.get("s3")
    if depot is None:
        return None
    db = depot.index.db
    while rows := _claim(db, platform.clock.now()):
        done = [number for number, attempts, body in rows if _handled(platform, db, number, attempts, orjson.loads(body))]
        if done:
            marks = ",".join("?" * len(done))
            db.grouped(lambda tx, done=done, marks=marks: tx.execute(f"DELETE FROM s3_notices WHERE id IN ({marks})", done))
    return db.read("SELECT min(due_at) FROM s3_notices")[0][0]


def _claim(db: Database, now: float) -> list[tuple[int, int, str]]:
    """The next rows that are due, leased in real time: of several engines one delivers."""
    ready, real = "due_at <= ? AND lease_until <= ?", real_now()
    if not db.read(f"SELECT 1 FROM s3_notices WHERE {ready} LIMIT 1", (now, real)):
        return []
    sql = (
        f"UPDATE s3_notices SET lease_until = ? WHERE id IN (SELECT id FROM s3_notices WHERE {ready} ORDER BY id LIMIT {PAGE}) "
        f"AND lease_until <= ? RETURNING id, attempts, body"
    )
    return sorted(db.grouped(lambda tx: tx.execute(sql, (real + LEASE_S, now, real, real))))


def _handled(platform: Any, db: Database, number: int, attempts: int, told: dict[str, Any]) -> bool:
    """Tells every destination that has not heard yet; False: some refused, and are tried again later."""
    left, now = [], platform.clock.now()
    for place, (name, arn) in enumerate(told["targets"]):
        try:
            if arn == EVENT_BUS:
                _publish(platform, number, told)
            else:
                _deliver(platform, number, told, name, arn, place)
        except ApiError as problem:
            log.warning("s3 event %s of %s was refused by %s: %s", told["event"], told["bucket"][0], arn, problem)
            left.append((name, arn))
        except Exception:
            log.exception("s3 event %s of %s did not reach %s", told["event"], told["bucket"][0], arn)
            left.append((name, arn))
    if not left or now - told["at"] >= GIVE_UP_S:
        return True
    wait = min(2.0**attempts, LONGEST_WAIT_S)
    values = (now + wait, dump({**told, "targets": left}), number)
    db.grouped(
        lambda tx: tx.execute("UPDATE s3_notices SET due_at = ?, lease_until = 0, attempts = attempts + 1, body = ? WHERE id = ?", values)
    )
    return False


def _deliver(platform: Any, number: int, told: Mapping[str, Any], name: str, arn: str, place: int) -> None:
    bucket, account, region = told["bucket"]
    body = dump({"Records": [record(number, told, name)]})
    key = f"s3-{number}-{hashlib.sha256(f'{name} {arn}'.encode()).hexdigest()[:16]}"
    targets.deliver(platform, targets.Delivery(arn, body, SOURCE, f"arn:aws:s3:::{bucket}", account, region, key, SUBJECT))


def _publish(platform: Any, number: int, told: Mapping[str, Any]) -> None:
    bucket, account, region = told["bucket"]
    envelope = bridged(number, told)
    platform.store.tell("aws.s3", account, region, bucket, f"arn:aws:s3:::{bucket}", envelope["id"], envelope)


# --- what is told (pure) -----------------------------------------------------------------------------------


def record(number: int, told: Mapping[str, Any], name: str) -> dict[str, Any]:
    """One entry of `Records`, as queues, topics and functions get it. The number orders the events of a key."""
    bucket, account, region = told["bucket"]
    what = {"key": quote_plus(told["key"], safe="/*-._"), **_object(number, told, "eTag", "versionId")}
    return {
        "eventVersion": "2.1" if told["event"].startswith(("ObjectCreated", "ObjectRemoved")) else "2.3",
        "eventSource": "aws:s3",
        "awsRegion": region,
        "eventTime": _time(told["at"], "milliseconds"),
        "eventName": told["event"],
        "userIdentity": {"principalId": told["principal"]},
        "requestParameters": {"sourceIPAddress": told["ip"]},
        "responseElements": {"x-amz-request-id": told["request"], "x-amz-id-2": hashlib.sha256(told["request"].encode()).hexdigest()},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": name,
            "bucket": {"name": bucket, "ownerIdentity": {"principalId": account}, "arn": f"arn:aws:s3:::{bucket}"},
            "object": what,
        },
    }


def bridged(number: int, told: Mapping[str, Any]) -> dict[str, Any]:
    """The whole envelope of EventBridge. Its id is of the row, so telling it twice is telling it once."""
    bucket, account, region = told["bucket"]
    event = told["event"]
    what = {"key": told["key"], **_object(number, told, "etag", "version-id")}
    detail: dict[str, Any] = {"version": "0", "bucket": {"name": bucket}, "object": what, "request-id": told["request"]}
    detail |= {"requester": told["requester"]}
    if told["requester"] != SOURCE:
        detail["source-ip-address"] = told["ip"]
    if event in _REASONS:
        detail["reason"] = _REASONS[event]
    if event.startswith(("ObjectRemoved", "LifecycleExpiration")):
        detail["deletion-type"] = "Delete Marker Created" if event.endswith("DeleteMarkerCreated") else "Permanently Deleted"
    if event == "LifecycleTransition":
        detail["destination-storage-class"] = told.get("storage", "STANDARD")
    return {
        "version": "0",
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"s3:{bucket}:{told['request']}:{number}")),
        "detail-type": _BRIDGE.get(event) or _BRIDGE[event.partition(":")[0]],
        "source": "aws.s3",
        "account": account,
        "time": _time(told["at"], "seconds"),
        "region": region,
        "resources": [f"arn:aws:s3:::{bucket}"],
        "detail": detail,
    }


def _object(number: int, told: Mapping[str, Any], etag: str, version: str) -> dict[str, Any]:
    """What both forms tell of the object beside its key. Changes of its tags or ACL have neither size nor place in its order."""
    what: dict[str, Any] = {"size": told["size"]} if "size" in told else {}
    what |= {etag: told["etag"]} if "etag" in told else {}
    what |= {version: told["version"]} if "version" in told else {}
    return what if "unordered" in told else what | {"sequencer": sequencer(number)}


def sequencer(number: int) -> str:
    return f"00{number:016X}"


def _time(at: float, precision: str) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec=precision).replace("+00:00", "Z")
