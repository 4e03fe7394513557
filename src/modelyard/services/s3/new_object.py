"""What every way of making an object (PUT, copy, multipart upload, POST form) decides in the same way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelyard.services.s3 import encryption
from modelyard.services.s3.acl_operations import acl_of_new_object
from modelyard.services.s3.depot import depot_of
from modelyard.services.s3.encryption import Plan
from modelyard.services.s3.index import Bucket
from modelyard.services.s3.ingest import Received
from modelyard.services.s3.keys import meta_of
from modelyard.services.s3.object_lock import lock_of_new_object


def properties(call: Any, home: Bucket, request: Mapping[str, Any]) -> tuple[dict[str, Any], Plan | None]:
    """(meta without checksums, how its bytes are encrypted). Raises what S3 answers to a request that asks for what cannot be."""
    meta = meta_of(request)
    if home.settings or any(request.get(name) for name in _WITH_SETTINGS):
        meta |= acl_of_new_object(call, home, request) | lock_of_new_object(call, home, request)
    if not home.settings and not is_to_be_sealed(request):
        return meta, None
    plan = encryption.plan_for(call, depot_of(call).ring, home, request["Key"], request)
    return (meta if plan is None else {**meta, **plan.meta}), plan


_WITH_SETTINGS = ("ACL", "GrantFullControl", "GrantRead", "GrantReadACP", "GrantWriteACP", "ObjectLockMode", "ObjectLockRetainUntilDate",
                  "ObjectLockLegalHoldStatus")  # fmt: skip
_ENCRYPTION = ("ServerSideEncryption", "SSEKMSKeyId", "SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5")


def is_to_be_sealed(request: Mapping[str, Any]) -> bool:
    """Whether the request itself asks for encryption."""
    return any(request.get(name) for name in _ENCRYPTION)


def finished(meta: dict[str, Any], plan: Plan | None, received: Received) -> dict[str, Any]:
    """The meta with what is known once the bytes are there."""
    meta = {**meta, "checksums": received.checksums}
    return meta if plan is None else {**meta, **plan.of_object([[received.size, received.salt]])}
