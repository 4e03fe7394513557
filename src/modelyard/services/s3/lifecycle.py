"""The lifecycle configuration of a bucket: put, get, delete, and the `Expiration` that answers about objects tell.

Source: PutBucketLifecycleConfiguration and "Managing your storage lifecycle" of the user guide. The engine's part is lifecycle_run.py,
what is due is decided in lifecycle_rules.py. The older form of the API (a prefix instead of a filter) is the same document.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from modelyard.services.s3 import api
from modelyard.services.s3.conditions import seconds
from modelyard.services.s3.depot import depot_of, owned_bucket
from modelyard.services.s3.errors import invalid_argument, not_found, s3_error
from modelyard.services.s3.keys import checked_tags
from modelyard.services.s3.lifecycle_rules import DAY_S, prefix_of

MOST_RULES, MOST_NEWER = 1000, 100
_AFTER_30_DAYS = ("STANDARD_IA", "ONEZONE_IA")
_ORDER = ("STANDARD", "STANDARD_IA", "INTELLIGENT_TIERING", "ONEZONE_IA", "GLACIER_IR", "GLACIER", "DEEP_ARCHIVE")
_MINIMUM = "all_storage_classes_128K"
_ACTIONS = (
    "Expiration",
    "Transitions",
    "NoncurrentVersionExpiration",
    "NoncurrentVersionTransitions",
    "AbortIncompleteMultipartUpload",
)


@api.operation
def put_bucket_lifecycle_configuration(call, request):
    home = owned_bucket(call, request)
    rules = (request.get("LifecycleConfiguration") or {}).get("Rules")
    if not rules or len(rules) > MOST_RULES:
        raise s3_error("MalformedXML")
    kept = [_checked(rule) for rule in rules]
    names = [rule["ID"] for rule in kept]
    if len(set(names)) != len(names):
        raise s3_error("InvalidArgument", "Rule ID must be unique. Found same ID for more than one rule")
    least = request.get("TransitionDefaultMinimumObjectSize", _MINIMUM)
    if least not in (_MINIMUM, "varies_by_storage_class"):
        raise s3_error("InvalidRequest", f"Invalid TransitionDefaultMinimumObjectSize found: {least}")
    depot = depot_of(call)
    depot.index.change_settings(home.name, "Lifecycle", {"Rules": kept, "TransitionDefaultMinimumObjectSize": least})
    depot.index.db.grouped(lambda tx: tx.execute("DELETE FROM s3_lifecycle WHERE bucket = ?", (home.name,)))
    call.platform.ring("s3")
    return {"TransitionDefaultMinimumObjectSize": least}


@api.operation
def get_bucket_lifecycle_configuration(call, request):
    home = owned_bucket(call, request)
    if "Lifecycle" not in home.settings:
        raise not_found("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist", home.name)
    return home.settings["Lifecycle"]


@api.operation
def delete_bucket_lifecycle(call, request):
    depot_of(call).index.change_settings(owned_bucket(call, request).name, "Lifecycle", None)
    return {}


# --- checks ------------------------------------------------------------------------------------------


def _checked(rule: Mapping[str, Any]) -> dict[str, Any]:
    """A rule as it is kept: with an ID, dates in seconds. Raises what S3 says of a wrong one."""
    if rule.get("Status") not in ("Enabled", "Disabled") or ("Filter" in rule) == ("Prefix" in rule):
        raise s3_error("MalformedXML")
    kept = {**rule, "ID": rule.get("ID") or secrets.token_urlsafe(36)}
    if len(kept["ID"]) > 255:
        raise invalid_argument("ID length should not exceed allowed limit of 255", "ID", kept["ID"])
    if not any(rule.get(name) for name in _ACTIONS):
        raise s3_error("InvalidRequest", "At least one action needs to be specified in a rule.")
    tagged = _check_filter(rule.get("Filter") or {})
    prefix = prefix_of(rule)
    if len(prefix.encode()) > 1024:
        raise s3_error("InvalidRequest", "The maximum size of a prefix is 1024.")
    if "Expiration" in rule:
        kept["Expiration"] = _expiration(rule["Expiration"], tagged)
    if rule.get("Transitions"):
        kept["Transitions"] = _transitions(rule["Transitions"], kept.get("Expiration") or {}, prefix)
    if "NoncurrentVersionExpiration" in rule:
        _check_noncurrent(rule["NoncurrentVersionExpiration"], "NoncurrentVersionExpiration", 1)
    for one in rule.get("NoncurrentVersionTransitions") or ():
        _check_noncurrent(one, "NoncurrentVersionTransition", 30 if one.get("StorageClass") in _AFTER_30_DAYS else 0)
        until = (rule.get("NoncurrentVersionExpiration") or {}).get("NoncurrentDays")
        if until is not None and until <= one["NoncurrentDays"]:
            raise s3_error(
                "InvalidArgument",
                "'NoncurrentDays' in the NoncurrentVersionExpiration action for prefix "
                f"'{prefix}' must be greater than 'NoncurrentDays' in the NoncurrentVersionTransition action",
            )
    if "AbortIncompleteMultipartUpload" in rule:
        if tagged:
            raise s3_error("InvalidRequest", "AbortIncompleteMultipartUpload cannot be specified with Tags.")
        _check_days(
            rule["AbortIncompleteMultipartUpload"].get("DaysAfterInitiation"), "DaysAfterInitiation", "AbortIncompleteMultipartUpload"
        )
    return kept


def _check_filter(said: Mapping[str, Any]) -> bool:
    """Whether it asks for tags."""
    if len(said) > 1:
        raise s3_error("MalformedXML")
    both = said.get("And") or {}
    tags = [*(both.get("Tags") or ()), *([said["Tag"]] if "Tag" in said else ())]
    if "And" in said and len(both) - ("Tags" in both) + len(both.get("Tags") or ()) < 2:
        raise s3_error("MalformedXML")
    if len({tag["Key"] for tag in tags}) != len(tags):
        raise s3_error("InvalidRequest", "Duplicate Tag Keys are not allowed.")
    checked_tags(tags, limit=50)
    more, less = ({**said, **both}.get(f"ObjectSize{name}") for name in ("GreaterThan", "LessThan"))
    if (more is not None and more < 0) or (less is not None and less < 1):
        raise s3_error("InvalidRequest", "'ObjectSizeGreaterThan' should not be negative and 'ObjectSizeLessThan' should be positive.")
    if more is not None and less is not None and less <= more + 1:
        raise s3_error("InvalidRequest", "'ObjectSizeLessThan' has to be a value greater than 'ObjectSizeGreaterThan'.")
    return bool(tags)


def _expiration(said: Mapping[str, Any], tagged: bool) -> dict[str, Any]:
    if len(said) != 1:
        raise s3_error("MalformedXML")
    if "Days" in said:
        _check_days(said["Days"], "Days", "Expiration")
    if "ExpiredObjectDeleteMarker" in said and tagged:
        raise s3_error("InvalidRequest", "ExpiredObjectDeleteMarker cannot be specified with Tags.")
    return {**said, **({"Date": _midnight(said["Date"])} if "Date" in said else {})}


def _transitions(said: list[Mapping[str, Any]], expiration: Mapping[str, Any], prefix: str) -> list[dict[str, Any]]:
    kept: list[dict[str, Any]] = []
    for one in said:
        if ("Days" in one) == ("Date" in one) or one.get("StorageClass") not in _ORDER:
            raise s3_error("MalformedXML")
        if any(one["StorageClass"] == other["StorageClass"] for other in kept):
            raise s3_error(
                "InvalidRequest", f"'StorageClass' must be different for 'Transition' actions in same 'Rule' with prefix '{prefix}'"
            )
        unit = "Days" if "Days" in one else "Date"
        if any(unit not in other for other in kept) or (
            expiration and unit not in expiration and "ExpiredObjectDeleteMarker" not in expiration
        ):
            raise s3_error(
                "InvalidRequest",
                f"Found mixed 'Date' and 'Days' based Expiration and Transition actions in lifecycle rule for prefix '{prefix}'",
            )
        value = _midnight(one["Date"]) if unit == "Date" else one["Days"]
        if unit == "Days":
            if value < 0:
                raise invalid_argument("'Days' in Transition action must be nonnegative", "Days", value)
            if one["StorageClass"] in _AFTER_30_DAYS and value < 30:
                text = f"'Days' in Transition action must be greater than or equal to 30 for storageClass '{one['StorageClass']}'"
                raise invalid_argument(text, "Days", value)
        if unit in expiration and expiration[unit] <= value:
            raise s3_error(
                "InvalidArgument",
                f"'{unit}' in the Expiration action for prefix '{prefix}' must be {'greater' if unit == 'Days' else 'later'} than "
                f"'{unit}' in the Transition action",
            )
        kept.append({**one, unit: value})
    return kept


def _check_noncurrent(said: Mapping[str, Any], action: str, least: int) -> None:
    days, newer = said.get("NoncurrentDays"), said.get("NewerNoncurrentVersions")
    if days is None:
        raise s3_error("MalformedXML")
    if days < least:
        what = "a positive integer" if least == 1 else f"greater than or equal to {least}"
        raise invalid_argument(f"'NoncurrentDays' for {action} action must be {what}", "NoncurrentDays", days)
    if newer is not None and not 1 <= newer <= MOST_NEWER:
        raise invalid_argument(
            f"'NewerNoncurrentVersions' for {action} action must be between 1 and {MOST_NEWER}", "NewerNoncurrentVersions", newer
        )


def _check_days(days: Any, name: str, action: str) -> None:
    if days is None or days <= 0:
        raise invalid_argument(f"'{name}' for {action} action must be a positive integer", name, days)


def _midnight(date: Any) -> float:
    at = seconds(date)
    if at % DAY_S:
        told = datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        raise invalid_argument("'Date' must be at midnight GMT", "Date", told)
    return at
