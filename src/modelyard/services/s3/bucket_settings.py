"""The small sub-resources of a bucket that clients read before and after they use it.

Public access block is kept and enforced (policy.py); ownership controls and default encryption are kept and answered.
What a bucket has none of gets AWS's own "there is none". What would have to *do* something that is not built
(lifecycle, replication, notifications, website, CORS) has no put here, so it is refused by name.
"""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.services.s3 import api
from modelyard.services.s3.buckets import owner_of
from modelyard.services.s3.depot import depot_of, owned_bucket
from modelyard.services.s3.errors import not_found, s3_error

_BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
_OWNERSHIP = ("BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter")


def _set(call: Any, request: dict[str, Any], member: str, document: Any | None) -> dict[str, Any]:
    depot_of(call).index.change_settings(owned_bucket(call, request).name, member, document)
    return {}


# --- public access block ---------------------------------------------------------------------------


@api.operation
def put_public_access_block(call, request):
    asked = request["PublicAccessBlockConfiguration"]
    return _set(call, request, "PublicAccessBlock", {name: bool(asked.get(name)) for name in _BLOCKS})


@api.operation
def get_public_access_block(call, request):
    home = owned_bucket(call, request)
    if "PublicAccessBlock" not in home.settings:
        raise not_found("NoSuchPublicAccessBlockConfiguration", "The public access block configuration was not found", home.name)
    return {"PublicAccessBlockConfiguration": home.settings["PublicAccessBlock"]}


@api.operation
def delete_public_access_block(call, request):
    return _set(call, request, "PublicAccessBlock", None)


# --- ownership and ACLs ------------------------------------------------------------------------------


@api.operation
def put_bucket_ownership_controls(call, request):
    rules = request["OwnershipControls"]["Rules"]
    if len(rules) != 1 or rules[0]["ObjectOwnership"] not in _OWNERSHIP:
        raise s3_error("MalformedXML")
    return _set(call, request, "Ownership", rules[0]["ObjectOwnership"])


@api.operation
def get_bucket_ownership_controls(call, request):
    home = owned_bucket(call, request)
    if home.settings.get("Ownership") == "none":
        raise not_found("OwnershipControlsNotFoundError", "The bucket ownership controls were not found", home.name)
    return {"OwnershipControls": {"Rules": [{"ObjectOwnership": home.settings.get("Ownership", "BucketOwnerEnforced")}]}}


@api.operation
def delete_bucket_ownership_controls(call, request):
    return _set(call, request, "Ownership", "none")


@api.operation
def get_bucket_acl(call, request):
    return _private(owned_bucket(call, request).account)


@api.operation
def get_object_acl(call, request):
    home = owned_bucket(call, request)
    depot_of(call).find(home.name, request["Key"], request.get("VersionId"))
    return _private(home.account)


@api.operation
def put_bucket_acl(call, request):
    owned_bucket(call, request)
    return _only_private(request)


@api.operation
def put_object_acl(call, request):
    home = owned_bucket(call, request)
    depot_of(call).find(home.name, request["Key"], request.get("VersionId"))
    return _only_private(request)


def _private(account: str) -> dict[str, Any]:
    owner = owner_of(account)
    return {"Owner": owner, "Grants": [{"Grantee": {**owner, "Type": "CanonicalUser"}, "Permission": "FULL_CONTROL"}]}


def _only_private(request: dict[str, Any]) -> dict[str, Any]:
    """ACLs are off (BucketOwnerEnforced, the default of S3 since 2023): only the one that changes nothing is taken."""
    if request.get("ACL") in ("private", "bucket-owner-full-control"):
        return {}
    raise ApiError("AccessControlListNotSupported", "The bucket does not allow ACLs", 400)


# --- encryption ----------------------------------------------------------------------------------------


@api.operation
def put_bucket_encryption(call, request):
    return _set(call, request, "Encryption", request["ServerSideEncryptionConfiguration"])


@api.operation
def get_bucket_encryption(call, request):
    home = owned_bucket(call, request)
    if "Encryption" not in home.settings:
        raise not_found(
            "ServerSideEncryptionConfigurationNotFoundError", "The server side encryption configuration was not found", home.name
        )
    return {"ServerSideEncryptionConfiguration": home.settings["Encryption"]}


@api.operation
def delete_bucket_encryption(call, request):
    return _set(call, request, "Encryption", None)


# --- what no bucket here has ---------------------------------------------------------------------------


@api.operation
def get_bucket_cors(call, request):
    raise not_found("NoSuchCORSConfiguration", "The CORS configuration does not exist", owned_bucket(call, request).name)


@api.operation
def get_bucket_lifecycle_configuration(call, request):
    raise not_found("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist", owned_bucket(call, request).name)


@api.operation
def get_bucket_website(call, request):
    raise not_found(
        "NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration", owned_bucket(call, request).name
    )


@api.operation
def get_bucket_replication(call, request):
    raise not_found(
        "ReplicationConfigurationNotFoundError", "The replication configuration was not found", owned_bucket(call, request).name
    )


@api.operation
def get_object_lock_configuration(call, request):
    raise not_found(
        "ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket", owned_bucket(call, request).name
    )


@api.operation
def get_bucket_logging(call, request):
    owned_bucket(call, request)
    return {}


@api.operation
def get_bucket_notification_configuration(call, request):
    owned_bucket(call, request)
    return {}


@api.operation
def get_bucket_accelerate_configuration(call, request):
    owned_bucket(call, request)
    return {}


@api.operation
def get_bucket_request_payment(call, request):
    owned_bucket(call, request)
    return {"Payer": "BucketOwner"}
