"""What a lifecycle configuration makes of the versions of a key: pure.

A day is counted from midnight to midnight UTC: what shall go after n days goes at the first midnight that is n days or more after it
was made (became noncurrent, was begun). Of several rules that want the same, the first to be due wins, and going wins over moving.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from modelyard.services.s3.index import Upload, Version

DAY_S = 86_400.0
_SMALL = 128 << 10
_ARCHIVES = ("GLACIER", "DEEP_ARCHIVE")
COLDER = ("STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "INTELLIGENT_TIERING", "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE")
"""Objects move to the right only."""


@dataclass(frozen=True, slots=True)
class Action:
    """`what`: expire (the current version, as a delete does), remove (this version for good) or move (to `storage`)."""

    what: str
    version: Version
    storage: str = ""


def due(document: Mapping[str, Any], versions: Sequence[Version], now: float) -> list[Action]:
    """What is to be done now with the versions of one key (newest first)."""
    rules = [rule for rule in document["Rules"] if rule["Status"] == "Enabled" and versions[0].key.startswith(prefix_of(rule))]
    actions: list[Action] = []
    newest, older = versions[0], versions[1:]
    for place, version in enumerate(older):
        act = _noncurrent(document, rules, version, since=versions[place].modified, newer=place, now=now)
        if act is not None:
            actions.append(act)
    if newest.marker:
        removed = sum(act.what == "remove" for act in actions)
        if removed == len(older) and _marker_goes(rules, newest, now):
            actions.append(Action("remove", newest))
        return actions
    at = expiry(rules, newest)
    if at is not None and at[0] <= now:
        return [*actions, Action("expire", newest)]
    storage = _moved(document, rules, newest, "Transitions", "Days", newest.modified, 0, now)
    return [*actions, Action("move", newest, storage)] if storage else actions


def _noncurrent(
    document: Mapping[str, Any], rules: Iterable[Mapping[str, Any]], version: Version, since: float, newer: int, now: float
) -> Action | None:
    rules = [rule for rule in rules if matches(rule, version)]
    for rule in rules:
        said = rule.get("NoncurrentVersionExpiration")
        if said and newer >= said.get("NewerNoncurrentVersions", 0) and midnight_after(since, said["NoncurrentDays"]) <= now:
            return Action("remove", version)
    if version.marker:
        return None
    storage = _moved(document, rules, version, "NoncurrentVersionTransitions", "NoncurrentDays", since, newer, now)
    return Action("move", version, storage) if storage else None


def _marker_goes(rules: Iterable[Mapping[str, Any]], marker: Version, now: float) -> bool:
    """A delete marker with nothing under it goes where a rule says so, or where its age is that of an expiration by days."""
    for rule in rules:
        said = rule.get("Expiration") or {}
        if said.get("ExpiredObjectDeleteMarker"):
            return True
        if "Days" in said and matches(rule, marker) and midnight_after(marker.modified, said["Days"]) <= now:
            return True
    return False


def expiry(rules: Iterable[Mapping[str, Any]], version: Version) -> tuple[float, str] | None:
    """(when, by which rule) a current version expires; None: no rule wants that."""
    found = []
    for rule in rules:
        said = rule.get("Expiration") or {}
        if matches(rule, version):
            if "Days" in said:
                found.append((midnight_after(version.modified, said["Days"]), rule["ID"]))
            elif "Date" in said:
                found.append((said["Date"], rule["ID"]))
    return min(found, key=lambda one: one[0]) if found else None


def _moved(
    document: Mapping[str, Any],
    rules: Iterable[Mapping[str, Any]],
    version: Version,
    member: str,
    days: str,
    since: float,
    newer: int,
    now: float,
) -> str:
    """The coldest class that it is to have by now; "" where it has that."""
    have, best = version.meta.get("storage", "STANDARD"), ""
    for rule in rules:
        if not matches(rule, version):
            continue
        for one in rule.get(member) or ():
            at = one["Date"] if "Date" in one else midnight_after(since, one[days])
            if at <= now and newer >= one.get("NewerNoncurrentVersions", 0) and _large_enough(document, rule, version, one["StorageClass"]):
                best = max(best or have, one["StorageClass"], key=COLDER.index) if have in COLDER else ""
    return best if best != have else ""


def _large_enough(document: Mapping[str, Any], rule: Mapping[str, Any], version: Version, storage: str) -> bool:
    """Objects under 128 KiB do not move, unless the rule has a size of its own (or, of the older default, to an archive)."""
    asked = {**(rule.get("Filter") or {}), **((rule.get("Filter") or {}).get("And") or {})}
    if version.size >= _SMALL or "ObjectSizeGreaterThan" in asked or "ObjectSizeLessThan" in asked:
        return True
    return document.get("TransitionDefaultMinimumObjectSize") == "varies_by_storage_class" and storage in _ARCHIVES


def upload_goes(document: Mapping[str, Any], upload: Upload, now: float) -> bool:
    for rule in document["Rules"]:
        said = rule.get("AbortIncompleteMultipartUpload")
        wanted = said and rule["Status"] == "Enabled" and upload.key.startswith(prefix_of(rule))
        if wanted and midnight_after(upload.initiated, said["DaysAfterInitiation"]) <= now:
            return True
    return False


def prefix_of(rule: Mapping[str, Any]) -> str:
    said = rule.get("Filter") or {}
    return rule.get("Prefix") or said.get("Prefix") or (said.get("And") or {}).get("Prefix") or ""


def matches(rule: Mapping[str, Any], version: Version) -> bool:
    """Whether an enabled rule's whole filter is met."""
    if rule["Status"] != "Enabled" or not version.key.startswith(prefix_of(rule)):
        return False
    said = rule.get("Filter")
    if not said:
        return True
    both = said.get("And") or {}
    wanted = [*(both.get("Tags") or ()), *([said["Tag"]] if "Tag" in said else ())]
    tags = version.meta.get("tags") or {}
    if any(tags.get(tag["Key"]) != tag["Value"] for tag in wanted):
        return False
    sizes = {**said, **both}
    more, less = sizes.get("ObjectSizeGreaterThan"), sizes.get("ObjectSizeLessThan")
    return (more is None or version.size > more) and (less is None or version.size < less)


def midnight_after(since: float, days: int) -> float:
    """The first midnight UTC that is `days` days or more after."""
    return math.ceil(since / DAY_S + days) * DAY_S


def expiration_member(settings: Mapping[str, Any], version: Version) -> dict[str, str]:
    """`Expiration` (x-amz-expiration) of answers about a current version, where a rule will expire it."""
    at = expiry(settings["Lifecycle"]["Rules"], version)
    if at is None or not version.latest:
        return {}
    date = datetime.fromtimestamp(at[0], UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
    return {"Expiration": f'expiry-date="{date}", rule-id="{quote(at[1], safe="")}"'}
