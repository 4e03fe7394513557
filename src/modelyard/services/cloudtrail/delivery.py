"""Files of events in buckets: what each trail has logged since its last file, as CloudTrail lays them out.

A file covers (from, to] of platform time and is named by both; then `from` moves on in the trail's record. Who is killed between the two, or does it
at the same time as another engine, delivers some events twice, as CloudTrail says of itself, and none never.
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
from modelyard.services.cloudtrail import api, files

log = logging.getLogger("modelyard.trail")
SERVICE = "cloudtrail.amazonaws.com"
EVERY_S = 60.0
LAG_S = 2.0
"""Real seconds in which a line that another process has dated is surely in its file."""
LONGEST_S = 3600.0
"""Of one file."""
_GLOBAL = ("iam.amazonaws.com", "sts.amazonaws.com")


@api.worker
def drain(platform: Any) -> float | None:
    """Delivers what has waited long enough; answers when the next has."""
    if platform.parts.get("trail") is None or platform.parts.get("objects") is None:
        return None
    due: list[float] = []
    for trail in platform.store.list("trail"):
        next_at = _deliver(platform, trail)
        due += [next_at] if next_at is not None else []
    return min(due, default=None)


def _deliver(platform: Any, trail: Record) -> float | None:
    """When to look again; None: the trail logs nothing."""
    spec, now = trail.spec, platform.clock.now()
    start, stopped = spec.get("From"), None if spec["Logging"] else spec.get("Stopped")
    if start is None or (stopped is not None and start >= stopped):
        return None
    end = min(now - LAG_S * max(platform.clock.speed, 1.0), start + LONGEST_S, *([stopped] if stopped is not None else []))
    if end <= start or (now < start + EVERY_S and stopped is None):
        return start + EVERY_S
    found: dict[str, list[dict[str, Any]]] = {}
    for event in _events(platform, trail, start, end):
        found.setdefault(event["awsRegion"], []).append(event)
    changes: dict[str, Any] = {"From": end}
    try:
        for region, events in found.items():
            _put(platform, trail, region, events, start, end)
        changes |= {"Delivered": now, "Error": None} if found else {}
    except ApiError as problem:
        log.warning("the trail %s could not deliver to %s: %s", trail.arn, spec["S3BucketName"], problem.message)
        changes = {"Error": problem.code}
        if spec.get("Error") == problem.code:
            return now + EVERY_S
    try:
        platform.store.request(trail, changes, due=False)
    except Moved:  # another engine was here, or the trail is another one now
        return now
    return now + EVERY_S if "From" not in changes else end + EVERY_S


def _events(platform: Any, trail: Record, start: float, end: float) -> Iterator[dict[str, Any]]:
    lines = [line for at, line in files.lines(platform.trail.folder, start, end) if at > start and b'"managementEvent":true' in line]
    for line in reversed(lines):
        stored = files.parse(line)
        if stored is not None and "e" in stored and _wanted(trail, stored["e"]):
            yield stored["e"]


def _wanted(trail: Record, event: Mapping[str, Any]) -> bool:
    spec = trail.spec
    if event["recipientAccountId"] != trail.account or not (spec["IsMultiRegionTrail"] or event["awsRegion"] == trail.region):
        return False
    if event["eventSource"] in _GLOBAL and not spec["IncludeGlobalServiceEvents"]:
        return False
    kind = "ReadOnly" if event["readOnly"] else "WriteOnly"
    return any(
        selector["IncludeManagementEvents"]
        and selector["ReadWriteType"] in ("All", kind)
        and event["eventSource"] not in selector["ExcludeManagementEventSources"]
        for selector in spec["Selectors"]
    )


def _put(platform: Any, trail: Record, region: str, events: list[dict[str, Any]], start: float, end: float) -> None:
    spec = trail.spec
    if not may_write(platform, trail.account, trail.region, trail.arn, spec):
        raise ApiError("AccessDenied", "The bucket's policy does not let CloudTrail write.", 403)
    at = datetime.fromtimestamp(end, UTC)
    unique = hashlib.sha256(f"{trail.uid} {region} {start!r} {end!r}".encode()).hexdigest()[:16]
    name = f"{trail.account}_CloudTrail_{region}_{at:%Y%m%dT%H%MZ}_{unique}.json.gz"
    key = f"{_folder(trail.account, spec)}CloudTrail/{region}/{at:%Y/%m/%d}/{name}"
    body = gzip.compress(orjson.dumps({"Records": events}), mtime=0)
    platform.objects.put_bytes(trail.account, spec["S3BucketName"], key, body, "application/json")


def _folder(account: str, spec: Mapping[str, Any]) -> str:
    prefix = spec.get("S3KeyPrefix", "").strip("/")
    return f"{prefix}/AWSLogs/{account}/" if prefix else f"AWSLogs/{account}/"


def may_write(platform: Any, account: str, region: str, arn: str, spec: Mapping[str, Any]) -> bool:
    """Whether the bucket's policy lets CloudTrail look at its ACL and put files there, as it asks before it makes a trail."""
    bucket, more = f"arn:aws:s3:::{spec['S3BucketName']}", {"s3:x-amz-acl": "bucket-owner-full-control"}
    for action, resource in (("s3:GetBucketAcl", bucket), ("s3:PutObject", f"{bucket}/{_folder(account, spec)}CloudTrail/x")):
        asked = Delivery(resource, "", SERVICE, arn, account, region, "")
        if not platform.objects.admits(platform, asked, action, more if action == "s3:PutObject" else {}):
            return False
    return True
