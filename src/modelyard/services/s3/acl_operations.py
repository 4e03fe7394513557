"""ACLs of buckets and objects: get, put; object ownership; and the ACL that a new object gets.

Source: "Controlling ownership of objects and disabling ACLs for your bucket" of the S3 user guide. Where the bucket's owner owns
everything (BucketOwnerEnforced, the default since 2023) lists can be read, not set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.kernel.database import Tx
from modelyard.kernel.errors import ApiError
from modelyard.services.s3 import acl, api
from modelyard.services.s3.depot import depot_of, owned_bucket
from modelyard.services.s3.errors import no_such_key, not_found, s3_error
from modelyard.services.s3.index import Bucket
from modelyard.services.s3.keys import version_member
from modelyard.services.s3.notices import Cause

_OWNERSHIP = ("BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter")


def not_supported() -> ApiError:
    return ApiError("AccessControlListNotSupported", "The bucket does not allow ACLs", 400)


def refuse_public(home: Bucket, grants: list[acl.Grant] | None) -> None:
    """BlockPublicAcls of the public access block."""
    if acl.is_public(grants) and (home.settings.get("PublicAccessBlock") or {}).get("BlockPublicAcls"):
        raise s3_error("AccessDenied", "Access Denied: public ACLs are prevented by the BlockPublicAcls setting in S3 Block Public Access.")


def acl_of_new_object(call: Any, home: Bucket, request: Mapping[str, Any]) -> dict[str, Any]:
    """`owner` and `acl` of the meta of an object that this request makes; empty where it is the bucket owner's, and private."""
    if acl.enforced(home):
        if acl.said(request) and request.get("ACL") != "bucket-owner-full-control":
            raise not_supported()
        return {}
    if acl.said(request) and not request.get("ACL"):  # a canned ACL was looked at with the other permissions of the operation
        call.authorize("s3:PutObjectAcl", f"arn:aws:s3:::{home.name}/{request['Key']}")
    owner = call.principal.account
    preferred = acl.ownership(home) == "BucketOwnerPreferred" and request.get("ACL") == "bucket-owner-full-control"
    if preferred:
        owner = home.account
    grants = acl.of_request(call, request, owner, home.account)
    refuse_public(home, grants)
    made: dict[str, Any] = {} if owner == home.account else {"owner": owner}
    return {**made, "acl": grants} if grants is not None else made


@api.operation
def get_bucket_acl(call, request):
    home = owned_bucket(call, request)
    return acl.told(home.account, None if acl.enforced(home) else home.settings.get("Acl"))


@api.operation
def put_bucket_acl(call, request):
    home = owned_bucket(call, request)
    if acl.enforced(home):
        raise not_supported()
    if not acl.said(request):
        raise ApiError(
            "MissingSecurityHeader", "Your request was missing a required header", 400, fields={"MissingHeaderName": "x-amz-acl"}
        )
    grants = acl.of_request(call, request, home.account, home.account)
    refuse_public(home, grants)
    depot_of(call).index.change_settings(home.name, "Acl", grants)
    return {}


@api.operation
def get_object_acl(call, request):
    home = owned_bucket(call, request)
    found = depot_of(call).find(home.name, request["Key"], request.get("VersionId"))
    return {**acl.told(acl.owner_account(home, found), None if acl.enforced(home) else found.meta.get("acl"))}


@api.operation
def put_object_acl(call, request):
    depot, home = depot_of(call), owned_bucket(call, request)
    found = depot.find_whole(home.name, request, "PUT")
    if acl.enforced(home):
        raise not_supported()
    if not acl.said(request):
        raise ApiError(
            "MissingSecurityHeader", "Your request was missing a required header", 400, fields={"MissingHeaderName": "x-amz-acl"}
        )
    grants = acl.of_request(call, request, acl.owner_account(home, found), home.account)
    refuse_public(home, grants)
    noted: list[bool] = []

    def work(tx: Tx) -> None:
        now = depot.index.version(found.bucket, found.key, found.version, tx)
        if now is None:
            raise no_such_key(found.bucket, found.key)
        meta = {name: value for name, value in now.meta.items() if name != "acl"}
        depot.index.set_meta(tx, now, meta if grants is None else {**meta, "acl": grants})
        noted.append(depot.changed(tx, depot.bucket(home.name, tx), now, Cause("ObjectAcl:Put", call)))

    depot.index.db.grouped(work)
    depot.tell(noted)
    version_member(found, home.versioning)
    return {}


# --- ownership -------------------------------------------------------------------------------------


@api.operation
def put_bucket_ownership_controls(call, request):
    home, rules = owned_bucket(call, request), request["OwnershipControls"]["Rules"]
    if len(rules) != 1 or rules[0].get("ObjectOwnership") not in _OWNERSHIP:
        raise s3_error("MalformedXML")
    wanted = rules[0]["ObjectOwnership"]
    if wanted == "BucketOwnerEnforced" and home.settings.get("Acl") is not None:
        raise acl.with_acl()
    depot_of(call).index.change_settings(home.name, "Ownership", wanted)
    return {}


@api.operation
def get_bucket_ownership_controls(call, request):
    home = owned_bucket(call, request)
    if home.settings.get("Ownership") == "none":
        raise not_found("OwnershipControlsNotFoundError", "The bucket ownership controls were not found", home.name)
    return {"OwnershipControls": {"Rules": [{"ObjectOwnership": acl.ownership(home)}]}}


@api.operation
def delete_bucket_ownership_controls(call, request):
    depot_of(call).index.change_settings(owned_bucket(call, request).name, "Ownership", "none")
    return {}
