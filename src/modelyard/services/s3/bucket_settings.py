"""The small sub-resources of a bucket that clients read before and after they use it.

Public access block is kept and enforced (policy.py); ownership controls and default encryption are kept and answered.
What a bucket has none of gets AWS's own "there is none". What would have to *do* something that is not built
(replication, website) has no put here, so it is refused by name.
"""

from __future__ import annotations

from typing import Any

from modelyard.services.s3 import api
from modelyard.services.s3.depot import depot_of, owned_bucket
from modelyard.services.s3.encryption import KMS
from modelyard.services.s3.errors import not_found, s3_error

_BLOCKS = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")


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


# --- encryption ----------------------------------------------------------------------------------------


@api.operation
def put_bucket_encryption(call, request):
    asked = request["ServerSideEncryptionConfiguration"]
    if len(asked.get("Rules") or ()) != 1:
        raise s3_error("MalformedXML")
    default = asked["Rules"][0].get("ApplyServerSideEncryptionByDefault") or {}
    if default and default.get("SSEAlgorithm") not in ("AES256", *KMS):
        raise s3_error("MalformedXML")
    if default.get("SSEAlgorithm") == "AES256" and default.get("KMSMasterKeyID"):
        text = "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse"
        raise s3_error("InvalidArgument", text, ArgumentName="ApplyServerSideEncryptionByDefault")
    return _set(call, request, "Encryption", asked)


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
def get_bucket_accelerate_configuration(call, request):
    owned_bucket(call, request)
    return {}


@api.operation
def put_bucket_request_payment(call, request):
    payer = request["RequestPaymentConfiguration"].get("Payer")
    if payer not in ("Requester", "BucketOwner"):
        raise s3_error("MalformedXML")
    return _set(call, request, "Payer", payer if payer == "Requester" else None)


@api.operation
def get_bucket_request_payment(call, request):
    return {"Payer": owned_bucket(call, request).settings.get("Payer", "BucketOwner")}
