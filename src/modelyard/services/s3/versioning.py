"""Versioning of a bucket: never set, Enabled or Suspended. What it does to objects is in depot.py."""

from __future__ import annotations

from modelyard.kernel.errors import ApiError
from modelyard.services.s3 import api
from modelyard.services.s3.depot import depot_of, owned_bucket
from modelyard.services.s3.object_lock import enabled


@api.operation
def put_bucket_versioning(call, request):
    home, wanted = owned_bucket(call, request), request["VersioningConfiguration"]
    if wanted.get("MFADelete") == "Enabled":
        raise ApiError("InvalidRequest", "MFA delete is not built on this platform: it has no MFA devices.", 400)
    status = wanted.get("Status")
    if status not in ("Enabled", "Suspended"):
        raise ApiError("IllegalVersioningConfigurationException", "The Versioning element must be specified", 400)
    if status == "Suspended" and enabled(home):
        raise ApiError(
            "InvalidBucketState", "An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.", 409
        )
    depot_of(call).index.change_bucket(home.name, versioning=status)
    return {}


@api.operation
def get_bucket_versioning(call, request):
    status = owned_bucket(call, request).versioning
    return {"Status": status} if status else {}
