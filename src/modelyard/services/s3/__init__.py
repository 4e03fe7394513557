"""Amazon S3: buckets and objects. `install(platform)` opens the index and the bytes and offers the parts others use."""

from __future__ import annotations

from modelyard.kernel.service import Service

api = Service("s3")

from modelyard.services.s3 import (  # noqa: E402, F401  (each file registers its operations with `api`)
    access_lines,
    acl_operations,
    bucket_settings,
    buckets,
    copy,
    cors,
    delete,
    get,
    inventory,
    inventory_run,
    lifecycle,
    lifecycle_run,
    listing,
    logging,
    multipart,
    notices,
    notification,
    object_lock,
    policy,
    post,
    put,
    recorded,
    tagging,
    upload_listing,
    versioning,
)
from modelyard.services.s3.depot import install  # noqa: E402, F401
