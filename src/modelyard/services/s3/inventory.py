"""Inventory configurations of a bucket: put, get, list, delete. The reports are made and delivered by inventory_run.py.

Source: PutBucketInventoryConfiguration and "Cataloging and analyzing your data with S3 Inventory" of the user guide.
"""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.services.s3 import api
from modelyard.services.s3.depot import depot_of, owned_bucket
from modelyard.services.s3.errors import s3_error
from modelyard.services.s3.lifecycle_rules import DAY_S
from modelyard.services.s3.recorded import check_id, check_room, forget, found, page

BUCKET_ARN = "arn:aws:s3:::"


@api.operation
def put_bucket_inventory_configuration(call, request):
    home, asked = owned_bucket(call, request), request["InventoryConfiguration"]
    _check(call, home, request["Id"], asked)
    check_room(home.settings.get("Inventory") or {}, asked["Id"])
    day = int(call.now() // DAY_S)

    def change(kept: Any) -> dict[str, Any]:
        since = (kept or {}).get(asked["Id"], {}).get("since", day)
        return {**(kept or {}), asked["Id"]: {"asked": asked, "since": since}}

    depot_of(call).index.revise_settings(home.name, "Inventory", change)
    call.platform.ring("s3")
    return {}


@api.operation
def get_bucket_inventory_configuration(call, request):
    return {"InventoryConfiguration": found(owned_bucket(call, request), "Inventory", request["Id"])["asked"]}


@api.operation
def list_bucket_inventory_configurations(call, request):
    rows, told = page(owned_bucket(call, request).settings.get("Inventory") or {}, request.get("ContinuationToken"))
    return {**told, **({"InventoryConfigurationList": [one["asked"] for one in rows]} if rows else {})}


@api.operation
def delete_bucket_inventory_configuration(call, request):
    return forget(call, owned_bucket(call, request), "Inventory", request["Id"])


def _check(call: Any, home: Any, name: str, asked: dict[str, Any]) -> None:
    """Raises what S3 says of a wrong configuration; formats that are not built are refused by name."""
    if name != asked["Id"]:
        raise ApiError("IdMismatch", "Document ID does not match the specified configuration ID.", 400)
    check_id(name, asked)
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
    if not to["Bucket"].startswith(BUCKET_ARN):
        raise ApiError("InvalidS3DestinationBucket", "Invalid bucket ARN.", 400)
    target = depot_of(call).index.bucket(to["Bucket"].removeprefix(BUCKET_ARN))
    if target is None or target.region != home.region or to.get("AccountId", target.account) != target.account:
        raise ApiError(
            "InvalidS3DestinationBucket",
            "The destination bucket does not exist, is of another account than it says, or is in another region than the source.",
            400,
            fields={"DestinationBucket": to["Bucket"]},
        )
