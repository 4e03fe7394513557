"""The engine's part of lifecycles: once a day at midnight UTC (platform time), and when a configuration was put.

A pass walks over a bucket's keys in pages and commits what is due in batches, so any number of objects costs bounded memory and short
transactions. Each version is looked at again in its transaction; a pass that a crash cuts off is begun anew and finds less to do.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from modelyard.kernel.database import Tx
from modelyard.services.s3 import api
from modelyard.services.s3.depot import Depot
from modelyard.services.s3.index import Bucket, Upload, Version
from modelyard.services.s3.lifecycle_rules import DAY_S, Action, due, upload_goes
from modelyard.services.s3.notices import Cause

log = logging.getLogger("modelyard.s3")
PAGE, BATCH = 1000, 250
_DELETE, _MOVE = Cause("LifecycleExpiration"), Cause("LifecycleTransition")


@api.worker
def drain(platform: Any) -> float | None:
    """Runs what is due; answers the next midnight where any bucket has a lifecycle."""
    depot: Depot | None = platform.parts.get("s3")
    if depot is None:
        return None
    now = platform.clock.now()
    day, db = int(now // DAY_S), depot.index.db
    names = [row[0] for row in db.read("""SELECT name FROM s3_buckets WHERE settings LIKE '%"Lifecycle":%' ORDER BY name""")]
    for name in names:
        home = depot.index.bucket(name)
        if home is None or "Lifecycle" not in home.settings:
            continue
        if db.read("SELECT 1 FROM s3_lifecycle WHERE bucket = ? AND day >= ?", (name, day)):
            continue
        run(depot, home, now)
        db.grouped(lambda tx, home=home: _done(depot, tx, home, day))
    return (day + 1) * DAY_S if names else None


def _done(depot: Depot, tx: Tx, home: Bucket, day: int) -> None:
    """The pass counts only for the configuration it ran with: one that was put meanwhile is run too."""
    now = depot.index.bucket(home.name, tx)
    if now is not None and now.settings.get("Lifecycle") == home.settings["Lifecycle"]:
        tx.execute("INSERT INTO s3_lifecycle VALUES (?, ?) ON CONFLICT (bucket) DO UPDATE SET day = excluded.day", (home.name, day))


def run(depot: Depot, home: Bucket, now: float) -> int:
    """One pass over a bucket; answers how many versions and uploads it changed."""
    document, batch, count = home.settings["Lifecycle"], [], 0
    for versions in keys_of(depot, home.name):
        batch += due(document, versions, now)
        if len(batch) >= BATCH:
            count += _commit(depot, home.name, batch, now)
            batch = []
    count += _commit(depot, home.name, batch, now)
    return count + _abort_uploads(depot, home, now)


def keys_of(depot: Depot, bucket: str) -> Iterator[list[Version]]:
    """The versions of each key, newest first, key by key."""
    after, gathered = "", []
    inclusive = True
    while page := depot.index.history(bucket, after, inclusive, None, PAGE):
        for version in page:
            if gathered and gathered[0].key != version.key:
                yield gathered
                gathered = []
            gathered.append(version)
        last, inclusive = page[-1], False
        while more := depot.index.older(bucket, last.key, last.id, PAGE):
            gathered += more
            last = more[-1]
        after = last.key
    if gathered:
        yield gathered


def _commit(depot: Depot, bucket: str, actions: list[Action], now: float) -> int:
    if not actions:
        return 0
    free: list[str] = []
    noted: list[bool] = []

    def work(tx: Tx) -> int:
        home = depot.index.bucket(bucket, tx)
        return 0 if home is None else sum(_act(depot, tx, home, action, now, free, noted) for action in actions)

    count = depot.index.db.grouped(work)
    depot.drop(free)
    depot.tell(noted)
    return count


def _act(depot: Depot, tx: Tx, home: Bucket, action: Action, now: float, free: list[str], noted: list[bool]) -> bool:
    """One action, if its version is still as it was seen."""
    seen = action.version
    have = depot.index.version(seen.bucket, seen.key, seen.version, tx)
    if have is None or have.id != seen.id or have.latest != seen.latest or have.meta.get("tags") != seen.meta.get("tags"):
        return False
    if action.what == "move":
        meta = {**have.meta, "storage": action.storage}
        depot.index.set_meta(tx, have, meta)
        moved = Version(*[meta if name == "meta" else getattr(have, name) for name in Version.__slots__])
        noted.append(depot.changed(tx, home, moved, _MOVE))
        return True
    if (action.what == "remove" or not home.versioning) and _locked(have, now):
        return False
    version = have.version if action.what == "remove" else None
    depot.delete_in(tx, seen.bucket, seen.key, version, lambda _: None, _DELETE, free, noted)
    return True


def _locked(version: Version, now: float) -> bool:
    lock = version.meta.get("lock")
    return bool(version.meta.get("hold")) or (lock is not None and lock["until"] > now)


def _abort_uploads(depot: Depot, home: Bucket, now: float) -> int:
    document, count, after = home.settings["Lifecycle"], 0, ""
    if not any("AbortIncompleteMultipartUpload" in rule for rule in document["Rules"]):
        return 0
    while True:
        rows = depot.index.db.read(
            "SELECT id, bucket, key, initiated, initiator FROM s3_uploads WHERE bucket = ? AND id > ? ORDER BY id LIMIT ?",
            (home.name, after, PAGE),
        )
        if not rows:
            return count
        after = rows[-1][0]
        gone = [row[0] for row in rows if upload_goes(document, Upload(*row, {}), now)]
        for start in range(0, len(gone), BATCH):
            some = gone[start : start + BATCH]
            parts = depot.index.db.grouped(lambda tx, some=some: [part for one in some for part in depot.index.drop_upload(tx, one)])
            depot.drop(part.blob for part in parts)
        count += len(gone)
