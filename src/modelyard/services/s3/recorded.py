"""Configurations of a bucket that are kept and answered, and do nothing here: analytics, request metrics, intelligent tiering.

Source: PutBucketAnalyticsConfiguration, PutBucketMetricsConfiguration and PutBucketIntelligentTieringConfiguration. Tools that manage whole
buckets put and read them. What they ask for is of S3's own bill: objects cost the same in every tier of this platform, so nothing is
moved and no report is written. The pages of lists are those of inventory configurations too.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.services.s3 import api
from modelyard.services.s3.depot import depot_of, owned_bucket
from modelyard.services.s3.errors import invalid_argument, s3_error

MOST, PAGE = 1000, 100
KINDS = ("Analytics", "IntelligentTiering", "Metrics")
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}").fullmatch
_LEAST_DAYS = {"ARCHIVE_ACCESS": 90, "DEEP_ARCHIVE_ACCESS": 180}


def check_id(name: str, asked: Mapping[str, Any]) -> None:
    if name != asked["Id"]:
        raise s3_error("MalformedXML")
    if not _NAME(name):
        raise ApiError("InvalidConfigurationId", "The specified configuration id is invalid.", 400)


def check_room(kept: Mapping[str, Any], name: str) -> None:
    if name not in kept and len(kept) >= MOST:
        raise ApiError(
            "TooManyConfigurations",
            "You are attempting to create a new configuration but have already reached the 1,000-configuration limit.",
            400,
        )


def found(home: Any, kind: str, name: str) -> Any:
    """The configuration of that name; raises NoSuchConfiguration."""
    one = (home.settings.get(kind) or {}).get(name)
    if one is None:
        raise ApiError("NoSuchConfiguration", "The specified configuration does not exist.", 404)
    return one


def page(kept: Mapping[str, Any], said: str | None) -> tuple[list[Any], dict[str, Any]]:
    """The configurations of a page, by name, and the members of the answer that tell where it lies. `said`: ContinuationToken."""
    after = ""
    if said is not None:
        try:
            after = base64.b64decode(said, altchars=b"-_", validate=True).decode()
        except (binascii.Error, ValueError):
            raise invalid_argument("The continuation token provided is incorrect", "continuation-token", said) from None
    names = sorted(name for name in kept if name > after)
    told: dict[str, Any] = {"IsTruncated": len(names) > PAGE, **({"ContinuationToken": said} if said is not None else {})}
    if len(names) > PAGE:
        told["NextContinuationToken"] = base64.urlsafe_b64encode(names[PAGE - 1].encode()).decode()
    return [kept[name] for name in names[:PAGE]], told


def forget(call: Any, home: Any, kind: str, name: str) -> dict[str, Any]:
    found(home, kind, name)

    def change(kept: Any) -> dict[str, Any] | None:
        return {key: one for key, one in (kept or {}).items() if key != name} or None

    depot_of(call).index.revise_settings(home.name, kind, change)
    return {}


def _put(kind: str) -> Any:
    def put(call, request):
        home, name, asked = owned_bucket(call, request), request["Id"], request[f"{kind}Configuration"]
        check_id(name, asked)
        _check_filter(asked.get("Filter"))
        if kind == "IntelligentTiering":
            _check_tiers(asked)
        check_room(home.settings.get(kind) or {}, name)
        depot_of(call).index.revise_settings(home.name, kind, lambda kept: {**(kept or {}), name: asked})
        return {}

    return put


def _get(kind: str) -> Any:
    return lambda call, request: {f"{kind}Configuration": found(owned_bucket(call, request), kind, request["Id"])}


def _list(kind: str) -> Any:
    def listed(call, request):
        rows, told = page(owned_bucket(call, request).settings.get(kind) or {}, request.get("ContinuationToken"))
        return {**told, **({f"{kind}ConfigurationList": rows} if rows else {})}

    return listed


def _delete(kind: str) -> Any:
    return lambda call, request: forget(call, owned_bucket(call, request), kind, request["Id"])


def _check_filter(said: Mapping[str, Any] | None) -> None:
    """One condition, or two and more in `And`."""
    if said is None:
        return
    both = said.get("And")
    if len(said) != 1 or (both is not None and len(both) - ("Tags" in both) + len(both.get("Tags") or ()) < 2):
        raise s3_error("MalformedXML")


def _check_tiers(asked: Mapping[str, Any]) -> None:
    tiers = [one["AccessTier"] for one in asked["Tierings"]]
    if len(set(tiers)) != len(tiers) or not tiers:
        raise s3_error("MalformedXML")
    for one in asked["Tierings"]:
        least = _LEAST_DAYS[one["AccessTier"]]
        if not least <= one["Days"] <= 730:
            raise invalid_argument(f"'Days' for {one['AccessTier']} must be between {least} and 730", "Days", one["Days"])


def _register() -> None:
    for kind in KINDS:
        word = {"Analytics": "analytics", "IntelligentTiering": "intelligent_tiering", "Metrics": "metrics"}[kind]
        for verb, made in (("put", _put), ("get", _get), ("delete", _delete), ("list", _list)):
            function = made(kind)
            function.__name__ = f"{verb}_bucket_{word}_configuration{'s' if verb == 'list' else ''}"
            api.operation(function)


_register()
