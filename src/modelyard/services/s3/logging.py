"""Server access logging of a bucket: where its log objects go. The lines and their delivery are access_lines.py.

Source: PutBucketLogging and "Logging requests with server access logging" of the user guide. The target must be of the same account and
region. Whether it lets S3 write (its policy lets `logging.s3.amazonaws.com` put objects, or its ACL lets the log-delivery group) is asked
at each delivery: AWS takes the configuration before the policy is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.kernel.targets import Delivery
from modelyard.services.iam.resource_documents import admits
from modelyard.services.s3 import acl, api
from modelyard.services.s3.depot import depot_of, owned_bucket
from modelyard.services.s3.errors import s3_error
from modelyard.services.s3.index import Bucket

WRITER = "logging.s3.amazonaws.com"


@api.operation
def put_bucket_logging(call, request):
    home, asked = owned_bucket(call, request), request["BucketLoggingStatus"].get("LoggingEnabled")
    if asked is None:
        depot_of(call).index.change_settings(home.name, "Logging", None)
        return {}
    target = depot_of(call).index.bucket(asked["TargetBucket"])
    if target is None:
        raise _invalid("The target bucket for logging does not exist", asked)
    if target.account != home.account:
        raise _invalid("The owner for the bucket to be logged and the target bucket must be the same.", asked)
    if target.region != home.region:
        where = {"TargetBucketLocation": target.region}
        if home.region != "us-east-1":
            where = {"SourceBucketLocation": home.region, **where}
        raise ApiError("CrossLocationLoggingProhibitted", "Cross S3 location logging not allowed. ", 403, fields=where)
    if asked.get("TargetGrants"):
        if acl.enforced(target):
            raise _invalid("Target grants are not allowed where the target bucket's owner owns every object (BucketOwnerEnforced)", asked)
        raise ApiError("NotImplemented", "TargetGrants of access logs are not built on this platform: use the target bucket's policy.", 501)
    if set(asked.get("TargetObjectKeyFormat") or {}) == {"SimplePrefix", "PartitionedPrefix"}:
        raise s3_error("MalformedXML")
    depot_of(call).index.change_settings(home.name, "Logging", asked)
    return {}


@api.operation
def get_bucket_logging(call, request):
    found = owned_bucket(call, request).settings.get("Logging")
    return {"LoggingEnabled": found} if found else {}


def may_write(platform: Any, home: Bucket, target: Bucket, prefix: str) -> bool:
    """Whether the target lets S3's log delivery put objects for this source."""
    grants = () if acl.enforced(target) else target.settings.get("Acl") or ()
    if any(grant.get("URI") == acl.LOG_DELIVERY and grant.get("Permission") in ("WRITE", "FULL_CONTROL") for grant in grants):
        return True
    policy = orjson.loads(target.policy) if target.policy else None
    asked = Delivery(f"arn:aws:s3:::{target.name}/{prefix}x", "", WRITER, f"arn:aws:s3:::{home.name}", home.account, home.region, "")
    return admits(platform, asked, "s3:PutObject", target.account, policy).allowed


def _invalid(text: str, asked: Mapping[str, Any]) -> ApiError:
    return ApiError("InvalidTargetBucketForLogging", text, 400, fields={"TargetBucket": asked["TargetBucket"]})
