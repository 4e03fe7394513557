"""Files of events in buckets: what each trail has logged since its last file, as CloudTrail lays them out.

A file covers (from, to] of platform time and is named by both. `to` is written down in the trail's record before the files are put (Upto), and `from`
moves there after: who is killed between, or does it at the same time as another engine, puts the same files again.
"""

from __future__ import annotations

import gzip
import hashlib
import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved
from modelyard.kernel.targets import Delivery
from modelyard.services.cloudtrail import api, digests, files, outlets, selectors

log = logging.getLogger("modelyard.trail")
SERVICE = "cloudtrail.amazonaws.com"
EVERY_S = 60.0
LAG_S = 2.0
"""Real seconds in which a line that another process has dated is surely in its file."""
LONGEST_S = 3600.0
"""Of one file."""
MOST_EVENTS = 20_000
"""In one file."""
MOST_DIGESTS = 24
"""Of one trail at one go."""
_GLOBAL = ("iam.amazonaws.com", "sts.amazonaws.com")


@api.worker
def drain(platform: Any) -> float | None:
    """Delivers what has waited long enough; answers when the next has."""
    if platform.parts.get("trail") is None or platform.parts.get("objects") is None:
        return None
    due: list[float] = []
    for trail in platform.store.list("trail"):
        try:
            due += [at for at in (_deliver(platform, trail), _digest(platform, platform.store.by_uid(trail.uid))) if at is not None]
        except Moved:  # another engine was here, or the trail is another one now
            due.append(platform.clock.now())
    return min(due, default=None)


def finish(platform: Any, trail: Record) -> None:
    """Before a trail is deleted: what it has logged until now, and the last digest."""
    try:
        if trail.spec["Logging"]:
            trail = platform.store.request(trail, {"Logging": False, "Stopped": platform.clock.now()}, due=False)
        for _ in range(100):
            if trail is None or _deliver(platform, trail, at_once=True) is None:
                break
            trail = platform.store.by_uid(trail.uid)
        _digest(platform, platform.store.by_uid(trail.uid))
    except (Moved, ApiError):
        log.warning("the trail %s was deleted before all of its events were delivered", trail.arn)


def _deliver(platform: Any, trail: Record, at_once: bool = False) -> float | None:
    """When to look again; None: the trail logs nothing more. `at_once`: what others may still be writing is not waited for."""
    spec, now = trail.spec, platform.clock.now()
    start, stopped = spec.get("From"), None if spec["Logging"] else spec.get("Stopped")
    if start is None or (stopped is not None and start >= stopped):
        return None
    end = spec.get("Upto")
    if end is None:
        until = now if at_once else now - LAG_S * max(platform.clock.speed, 1.0)
        end = min(until, start + LONGEST_S, *([stopped] if stopped is not None else []))
        if end <= start or (now < start + EVERY_S and stopped is None):
            return start + EVERY_S
    found: dict[str, list[dict[str, Any]]] = {}
    for event in _events(platform, trail, start, end):
        found.setdefault(event["awsRegion"], []).append(event)
    if found and spec.get("Upto") is None:
        trail = platform.store.request(trail, {"Upto": end}, due=False)
    changes: dict[str, Any] = {"From": end, "Upto": None}
    try:
        put = [entry for region, events in found.items() for entry in _put(platform, trail, region, events, start, end)]
    except ApiError as problem:
        log.warning("the trail %s could not deliver to %s: %s", trail.arn, spec["S3BucketName"], problem.message)
        if spec.get("Error") != problem.code:
            platform.store.request(trail, {"Error": problem.code}, due=False)
        return now + EVERY_S
    if put:
        changes |= {"Delivered": now, "Error": None, **outlets.tell(platform, trail, found, [entry["s3Object"] for _, entry in put])}
        if "Digest" in spec:
            changes["Digest"] = {**spec["Digest"], "Files": [*spec["Digest"]["Files"], *([now, *one] for one in put)]}
    platform.store.request(trail, changes, due=False)
    return end + EVERY_S


def _events(platform: Any, trail: Record, start: float, end: float) -> Iterator[dict[str, Any]]:
    """Oldest first."""
    for line in reversed([line for at, line in platform.trail.lines(start, end) if at > start and b'"managementEvent":' in line]):
        stored = files.parse(line)
        if stored is not None and "e" in stored and takes(trail, stored["e"]):
            yield stored["e"]


def takes(trail: Record, event: Mapping[str, Any]) -> bool:
    """Whether this is an event of the trail's account and regions that its selectors ask for."""
    spec = trail.spec
    if event["recipientAccountId"] != trail.account or not (spec["IsMultiRegionTrail"] or event["awsRegion"] == trail.region):
        return False
    if event["eventSource"] in _GLOBAL and not spec["IncludeGlobalServiceEvents"]:
        return False
    return selectors.wanted(spec, event)


def _put(platform: Any, trail: Record, region: str, events: list[dict[str, Any]], start: float, end: float) -> Iterator[tuple[str, Any]]:
    """(region, what a digest says of the file) of each file."""
    spec = trail.spec
    if not may_write(platform, trail.account, trail.region, trail.arn, spec):
        raise ApiError("AccessDenied", "The bucket's policy does not let CloudTrail write.", 403)
    at = datetime.fromtimestamp(end, UTC)
    for number in range(0, len(events), MOST_EVENTS):
        part = events[number : number + MOST_EVENTS]
        unique = hashlib.sha256(f"{trail.uid} {region} {start!r} {end!r} {number}".encode()).hexdigest()[:16]
        name = f"{trail.account}_CloudTrail_{region}_{at:%Y%m%dT%H%MZ}_{unique}.json.gz"
        key = f"{folder(trail.account, spec)}CloudTrail/{region}/{at:%Y/%m/%d}/{name}"
        text = orjson.dumps({"Records": part})
        body = gzip.compress(text, mtime=0)
        platform.objects.put_bytes(trail.account, spec["S3BucketName"], key, body, "application/json", kms=spec.get("KmsKeyId"))
        yield region, digests.entry(spec["S3BucketName"], key, text, part)


def folder(account: str, spec: Mapping[str, Any]) -> str:
    prefix = spec.get("S3KeyPrefix", "").strip("/")
    return f"{prefix}/AWSLogs/{account}/" if prefix else f"AWSLogs/{account}/"


def may_write(platform: Any, account: str, region: str, arn: str, spec: Mapping[str, Any]) -> bool:
    """Whether the bucket's policy lets CloudTrail look at its ACL and put files there, as it asks before it makes a trail."""
    bucket, more = f"arn:aws:s3:::{spec['S3BucketName']}", {"s3:x-amz-acl": "bucket-owner-full-control"}
    for action, resource in (("s3:GetBucketAcl", bucket), ("s3:PutObject", f"{bucket}/{folder(account, spec)}CloudTrail/x")):
        asked = Delivery(resource, "", SERVICE, arn, account, region, "")
        if not platform.objects.admits(platform, asked, action, more if action == "s3:PutObject" else {}):
            return False
    return True


# --- digests --------------------------------------------------------------------------------------------


def _digest(platform: Any, trail: Record | None) -> float | None:
    """Writes the digests of the hours that are over, and a last one when logging has stopped; answers when the next is due."""
    if trail is None or "Digest" not in trail.spec:
        return None
    spec, now = trail.spec, platform.clock.now()
    for _ in range(MOST_DIGESTS):
        state = spec["Digest"]
        stopped = None if spec["Logging"] else spec.get("Stopped")
        last = stopped is not None and spec["From"] >= stopped
        end = state["From"] + digests.EVERY_S
        if last and end > stopped:
            end = now
        elif now < end:
            return end
        spec = digest(platform, trail, end, last and end == now).spec
        trail = platform.store.by_uid(trail.uid)
        if "Digest" not in spec or trail is None:
            return None
    return now


def digest(platform: Any, trail: Record, end: float, last: bool) -> Record:
    """One digest for each region of the trail, of what was delivered until `end`; after the `last` one the chain begins anew."""
    state = trail.spec["Digest"]
    due = [one for one in state["Files"] if one[0] <= end]
    regions = dict.fromkeys([trail.region, *state["Last"], *(region for _, region, _ in due)])
    before: dict[str, Any] = {}
    try:
        for region in regions:
            files_of = [entry for _, where, entry in due if where == region]
            place, chain = folder(trail.account, trail.spec), state["Last"].get(region)
            before[region] = digests.put(platform, trail, place, region, (state["From"], end), files_of, chain)
    except ApiError as problem:
        log.warning("the trail %s could not deliver a digest to %s: %s", trail.arn, trail.spec["S3BucketName"], problem.message)
        before = state["Last"]  # a gap in the chain, as where the bucket was closed to CloudTrail
    left = [one for one in state["Files"] if one[0] > end]
    after = None if last else {"From": end, "Files": left, "Last": before}
    return platform.store.request(trail, {"Digest": after, "DigestDelivered": platform.clock.now()}, due=False)


def new_chain(now: float) -> dict[str, Any]:
    return {"From": now, "Files": [], "Last": {}}
