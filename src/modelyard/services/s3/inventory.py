"""Inventory configurations of a bucket: put, get, list, delete. The reports are made and delivered by inventory_run.py.

Source: PutBucketInventoryConfiguration and "Cataloging and analyzing your data with S3 Inventory" of the user guide.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.services.s3 import api
from modelyard.services.s3.depot import depot_of, owned_bucket
from modelyard.services.s3.errors import invalid_argument, s3_error
from modelyard.services.s3.lifecycle_rules import DAY_S

MOST, PAGE = 1000, 100
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}").fullmatch
BUCKET_ARN = "arn:aws:s3:::"


@api.operation
def put_bucket_inventory_configuration(call, request):
    home, asked = owned_bucket(call, request), request["InventoryConfiguration"]
    _check(call, home, request["Id"], asked)
    have = home.settings.get("Inventory") or {}
    if asked["Id"] not in have and len(have) >= MOST:
        raise ApiError("TooManyConfigurations", "You are attempting to create a new configuration but have already reached the 1,000-configuration limit.", 400)  # fmt: skip
    day = int(call.now() // DAY_S)

    def change(kept: Any) -> dict[str, Any]:
        since = (kept or {}).get(asked["Id"], {}).get("since", day)
        return {**(kept or {}), asked["Id"]: {"asked": asked, "since": since}}

    depot_of(call).index.revise_settings(home.name, "Inventory", change)
    call.platform.ring("s3")
    return {}


@api.operation
def get_bucket_inventory_configuration(call, request):
    return {"InventoryConfiguration": _found(owned_bucket(call, request), request["Id"])["asked"]}


@api.operation
def list_bucket_inventory_configurations(call, request):
    home, said = owned_bucket(call, request), request.get("ContinuationToken")
    kept, after = home.settings.get("Inventory") or {}, ""
    if said is not None:
        try:
            after = base64.urlsafe_b64decode(said).decode()
        except (binascii.Error, ValueError):
            raise invalid_argument("The continuation token provided is incorrect", "continuation-token", said) from None
    names = sorted(name for name in kept if name > after)
    page, more = names[:PAGE], len(names) > PAGE
    told = {"ContinuationToken": said} if said is not None else {}
    if more:
        told["NextContinuationToken"] = base64.urlsafe_b64encode(page[-1].encode()).decode()
    return {"IsTruncated": more, **told, **({"InventoryConfigurationList": [kept[name]["asked"] for name in page]} if page else {})}


@api.operation
def delete_bucket_inventory_configuration(call, request):
    home, name = owned_bucket(call, request), request["Id"]
    _found(home, name)

    def change(kept: Any) -> dict[str, Any] | None:
        return {key: one for key, one in (kept or {}).items() if key != name} or None

    depot_of(call).index.revise_settings(home.name, "Inventory", change)
    return {}


def _found(home: Any, name: str) -> dict[str, Any]:
    found = (home.settings.get("Inventory") or {}).get(name)
    if found is None:
        raise ApiError("NoSuchConfiguration", "The specified configuration does not exist.", 404)
    return found


def _check(call: Any, home: Any, name: str, asked: dict[str, Any]) -> None:
    """Raises what S3 says of a wrong configuration; formats that are not built are refused by name."""
    if not _NAME(asked["Id"]) or name != asked["Id"]:
        raise ApiError("InvalidConfigurationId", "The specified configuration id is invalid.", 400)
    to = asked["Destination"]["S3BucketDestination"]
    if asked["IncludedObjectVersions"] not in ("All", "Current") or asked["Schedule"]["Frequency"] not in ("Daily", "Weekly"):
        raise s3_error("MalformedXML")
    if to["Format"] not in ("CSV", "ORC", "Parquet") or len(set(asked.get("OptionalFields") or ())) != len(
        asked.get("OptionalFields") or ()
    ):
        raise s3_error("MalformedXML")
    if to["Format"] != "CSV":
        raise ApiError("NotImplemented", f"Inventory reports in {to['Format']} are not built on this platform: use CSV.", 501)
    if len(to.get("Encryption") or {}) > 1:
        raise s3_error("MalformedXML")
    target = depot_of(call).index.bucket(to["Bucket"].removeprefix(BUCKET_ARN)) if to["Bucket"].startswith(BUCKET_ARN) else None
    if target is None or target.region != home.region or to.get("AccountId", target.account) != target.account:
        raise ApiError(
            "InvalidS3DestinationBucket",
            "The destination bucket does not exist, is of another account than it says, or is in another region than the source.",
            400,
            fields={"DestinationBucket": to["Bucket"]},
        )
