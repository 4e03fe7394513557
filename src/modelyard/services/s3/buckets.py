"""Buckets: create, head, delete, list, location. Names are global over all accounts.

Source: "Bucket naming rules" of the S3 user guide; CreateBucket and ListBuckets in the API reference.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from functools import cache
from typing import Any

from modelyard.kernel import models
from modelyard.kernel.database import Tx
from modelyard.kernel.errors import ApiError
from modelyard.services.s3 import acl, api
from modelyard.services.s3.acl import with_acl
from modelyard.services.s3.depot import depot_of, owned_bucket, wrong_region
from modelyard.services.s3.errors import invalid_argument, no_such_bucket, s3_error
from modelyard.services.s3.index import Bucket, dump
from modelyard.services.s3.keys import checked_tags

_NAME = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_BAD_PREFIXES = ("xn--", "sthree-", "amzn-s3-demo-")
_BAD_SUFFIXES = ("-s3alias", "--ol-s3", ".mrap", "--x-s3", "--table-s3")
_MOST_PER_PAGE = 10_000


def check_name(name: str) -> None:
    """Raises InvalidBucketName where AWS would."""
    good = bool(_NAME.fullmatch(name)) and ".." not in name and ".-" not in name and "-." not in name
    if not good or name.startswith(_BAD_PREFIXES) or name.endswith(_BAD_SUFFIXES) or _is_address(name):
        raise s3_error("InvalidBucketName", BucketName=name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.IPv4Address(name)
    except ValueError:
        return False
    return True


def _region(call: Any, request: dict[str, Any]) -> str:
    """The region a bucket is made in; IllegalLocationConstraintException where request and endpoint disagree."""
    if not re.fullmatch(r"[a-z]{2,4}(-[a-z]+)+-\d+", call.region):  # what s3cmd signs for at first is "US"; told so, it asks again
        raise wrong_region(call.region, "us-east-1")
    wanted = (request.get("CreateBucketConfiguration") or {}).get("LocationConstraint")
    if call.region == "us-east-1" and wanted is not None and (wanted == "us-east-1" or wanted not in _locations()):
        raise ApiError(
            "InvalidLocationConstraint", "The specified location-constraint is not valid", 400, fields={"LocationConstraint": wanted}
        )
    if wanted is None and call.region != "us-east-1":
        raise ApiError(
            "IllegalLocationConstraintException",
            "The unspecified location constraint is incompatible for the region specific endpoint this request was sent to.",
            400,
        )
    if wanted == "EU" and call.region in ("us-east-1", "eu-west-1"):
        return "eu-west-1"
    if wanted is not None and call.region not in ("us-east-1", wanted):
        raise ApiError(
            "IllegalLocationConstraintException",
            f"The {wanted} location constraint is incompatible for the region specific endpoint this request was sent to.",
            400,
        )
    return wanted or "us-east-1"


@cache
def _locations() -> frozenset[str]:
    return frozenset(models.service_model("s3")["shapes"]["BucketLocationConstraint"]["enum"]) | {"us-east-1"}


@api.operation
def create_bucket(call, request):
    name = request["Bucket"]
    check_name(name)
    region = _region(call, request)
    settings, versioning = _settings(call, request), "Enabled" if request.get("ObjectLockEnabledForBucket") else ""
    tags = (request.get("CreateBucketConfiguration") or {}).get("Tags")
    if tags:
        settings["Tagging"] = _first_tags(tags)
    depot = depot_of(call)

    def work(tx: Tx) -> Bucket | None:
        depot.index.bucket_changes += 1
        made = tx.execute(
            "INSERT INTO s3_buckets (name, account, region, created_at, versioning, policy, settings) VALUES (?,?,?,?,?,?,?) "
            "ON CONFLICT (name) DO NOTHING RETURNING name",
            (name, call.account, region, call.now(), versioning, None, dump(settings)),
        )
        have = None if made else depot.index.bucket(name, tx)
        if have is not None and have.account == call.account and have.region == "us-east-1" == region and not acl.enforced(have):
            kept = {member: value for member, value in have.settings.items() if member != "Acl"}  # asked for again, its ACL is made new
            again = {**kept, **({"Acl": settings["Acl"]} if "Acl" in settings else {})}
            tx.execute("UPDATE s3_buckets SET settings = ? WHERE name = ?", (dump(again), name))
        return have

    have = depot.index.db.grouped(work)
    if have is not None and have.account != call.account:
        raise s3_error("BucketAlreadyExists", BucketName=name)
    if have is not None and (tags or not (have.region == "us-east-1" == region)):
        raise s3_error("BucketAlreadyOwnedByYou", BucketName=name)
    return {"Location": f"/{name}" if region == "us-east-1" else f"http://{name}.s3.amazonaws.com/", "BucketArn": f"arn:aws:s3:::{name}"}


def _first_tags(tags: list[dict[str, str]]) -> dict[str, str]:
    if any(tag["Key"].startswith("aws:") for tag in tags):
        text = 'User-defined tag keys can\'t start with "aws:". This prefix is reserved for system tags. Remove "aws:" from your tag keys and try again.'
        raise s3_error("InvalidTag", text)
    return checked_tags(tags, limit=50)


def _settings(call: Any, request: dict[str, Any]) -> dict[str, Any]:
    """Ownership, ACL and object lock of a new bucket."""
    _authorize_settings(call, request)
    settings: dict[str, Any] = {"Ownership": request["ObjectOwnership"]} if request.get("ObjectOwnership") else {}
    grants = acl.of_request(call, request, call.account, call.account)
    if grants is not None:
        if request.get("ObjectOwnership", "BucketOwnerEnforced") == "BucketOwnerEnforced":
            raise with_acl()
        settings["Acl"] = grants
    if request.get("ObjectLockEnabledForBucket"):
        settings["ObjectLock"] = {"Enabled": True}
    return settings


def _authorize_settings(call: Any, request: dict[str, Any]) -> None:
    """What a new bucket is made with needs the permission to set it, beside s3:CreateBucket."""
    needed = []
    if request.get("ObjectOwnership"):
        needed.append("s3:PutBucketOwnershipControls")
    if acl.said(request):
        needed.append("s3:PutBucketAcl")
    if request.get("ObjectLockEnabledForBucket"):
        needed += ["s3:PutBucketObjectLockConfiguration", "s3:PutBucketVersioning"]
    for action in needed:
        call.authorize(action, f"arn:aws:s3:::{request['Bucket']}")


@api.operation
def head_bucket(call, request):
    found = owned_bucket(call, request)
    return {"BucketRegion": found.region, "AccessPointAlias": False, "BucketArn": f"arn:aws:s3:::{found.name}"}


@api.operation
def get_bucket_location(call, request):
    region = owned_bucket(call, request).region
    return {} if region == "us-east-1" else {"LocationConstraint": region}


@api.operation
def delete_bucket(call, request):
    depot, name = depot_of(call), request["Bucket"]
    owned_bucket(call, request)

    def work(tx: Tx) -> None:
        if depot.index.bucket(name, tx) is None:
            raise no_such_bucket(name)
        if tx.execute("SELECT 1 FROM s3_objects WHERE bucket = ? LIMIT 1", (name,)):
            more = " You must delete all versions in the bucket." if depot.bucket(name, tx).versioning else ""
            raise s3_error("BucketNotEmpty", f"The bucket you tried to delete is not empty{'.' if more else ''}{more}", BucketName=name)
        for row in tx.execute("SELECT id FROM s3_uploads WHERE bucket = ?", (name,)):
            free.extend(part.blob for part in depot.index.drop_upload(tx, row[0]))
        depot.index.bucket_changes += 1
        tx.execute("DELETE FROM s3_buckets WHERE name = ?", (name,))

    free: list[str] = []
    depot.index.db.grouped(work)
    depot.drop(free)
    return {}


@api.operation
def list_buckets(call, request):
    limit = request.get("MaxBuckets", _MOST_PER_PAGE)
    if not 1 <= limit <= _MOST_PER_PAGE:
        raise invalid_argument(f"Argument max-buckets must be an integer between 1 and {_MOST_PER_PAGE}", "max-buckets", limit)
    prefix, after = request.get("Prefix", ""), _read_token(request.get("ContinuationToken"))
    found = depot_of(call).index.buckets(call.account, prefix, after, limit + 1 if not request.get("BucketRegion") else 1 << 30)
    if request.get("BucketRegion"):
        if request["BucketRegion"] not in _locations():
            text = f"Argument value {request['BucketRegion']} is not a valid AWS Region"
            raise s3_error("InvalidArgument", text, ArgumentName="bucket-region")
        found = [bucket for bucket in found if bucket.region == request["BucketRegion"]]
    answer = {
        "Owner": acl.user(call.account),
        "Buckets": [
            {"Name": b.name, "CreationDate": b.created_at, "BucketRegion": b.region, "BucketArn": f"arn:aws:s3:::{b.name}"}
            for b in found[:limit]
        ],
    }
    if "Prefix" in request:
        answer["Prefix"] = prefix
    if len(found) > limit:
        answer["ContinuationToken"] = base64.urlsafe_b64encode(found[limit - 1].name.encode()).decode()
    return answer


def _read_token(token: str | None) -> str:
    if token is None:
        return ""
    try:
        return base64.urlsafe_b64decode(token.encode()).decode()
    except ValueError:
        raise invalid_argument("The continuation token provided is incorrect", "continuation-token", token) from None
