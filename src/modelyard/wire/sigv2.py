"""Signature Version 2 for S3, presigned only: boto3 makes such URLs by default in us-east-1.

Source: "Signing and authenticating REST requests (AWS signature version 2)", S3 developer guide. The header form
(`Authorization: AWS key:signature`) is refused, as in every region opened since 2014.
"""

from __future__ import annotations

import base64
import hmac
from urllib.parse import unquote

from modelyard.kernel.clock import Clock, real_now
from modelyard.kernel.errors import ApiError
from modelyard.kernel.identity import Identity
from modelyard.wire import signing
from modelyard.wire.autherrors import auth_error
from modelyard.wire.http import HttpRequest
from modelyard.wire.sigv4 import Authenticated, is_decimal

# Sub-resources and response overrides that are part of the signed resource.
_SIGNED_PARAMETERS = frozenset(
    [
        "accelerate",
        "acl",
        "analytics",
        "cors",
        "defaultObjectAcl",
        "delete",
        "encryption",
        "inventory",
        "lifecycle",
        "location",
        "logging",
        "metrics",
        "notification",
        "object-lock",
        "partNumber",
        "policy",
        "policyStatus",
        "publicAccessBlock",
        "requestPayment",
        "replication",
        "restore",
        "retention",
        "select",
        "legal-hold",
        "select-type",
        "storageClass",
        "tagging",
        "torrent",
        "uploadId",
        "uploads",
        "versionId",
        "versioning",
        "versions",
        "website",
        "response-cache-control",
        "response-content-disposition",
        "response-content-encoding",
        "response-content-language",
        "response-content-type",
        "response-expires",
    ]
)


def access_key(request: HttpRequest) -> str | None:
    """The access key a request names in the old ways, verified or not."""
    authorization = request.header("authorization")
    if authorization.startswith("AWS "):
        return authorization[4:].partition(":")[0]
    if "AWSAccessKeyId=" in request.query:
        return _parameters(request).get("AWSAccessKeyId")
    return None


def authenticate(request: HttpRequest, identity: Identity, clock: Clock) -> Authenticated | None:
    """None: not signed in this way either. Raises S3's errors."""
    if request.header("authorization"):
        if request.header("authorization").startswith("AWS "):
            raise ApiError(
                "InvalidRequest", "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.", 400
            )
        raise ApiError("InvalidArgument", "Unsupported Authorization Type", 400)
    if "AWSAccessKeyId=" not in request.query:
        return None
    said = _parameters(request)
    if not said.get("AWSAccessKeyId") or not said.get("Signature") or not said.get("Expires"):
        raise ApiError("AccessDenied", "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters", 403)
    if not is_decimal(said["Expires"]):
        raise ApiError("AccessDenied", "Invalid date (should be seconds since epoch): " + said["Expires"], 403)
    credential = identity.credential(said["AWSAccessKeyId"])
    token = said.get("x-amz-security-token") or request.header("x-amz-security-token")
    if credential is None or (credential.token is not None and not token):
        raise auth_error("s3", "key", AWSAccessKeyId=said["AWSAccessKeyId"])
    if token and (credential.token is None or not hmac.compare_digest(token.encode(), credential.token.encode())):
        raise auth_error("s3", "token")
    if credential.expires_at is not None and clock.now() >= credential.expires_at:
        raise auth_error("s3", "expired")
    if real_now() > int(said["Expires"]):
        raise ApiError("AccessDenied", "Request has expired", 403, fields={"Expires": said["Expires"]})
    for resource in _resources(request, said):
        text = string_to_sign(request, said["Expires"], resource, said)
        signature = base64.b64encode(hmac.digest(credential.secret_key.encode(), text.encode("latin-1", "replace"), "sha1")).decode()
        if hmac.compare_digest(signature.encode(), said["Signature"].encode("latin-1", "replace")):
            return Authenticated(credential.principal, "us-east-1", "s3")
    raise auth_error("s3", "mismatch", AWSAccessKeyId=said["AWSAccessKeyId"])


def string_to_sign(request: HttpRequest, expires: str, resource: str, said: dict[str, str]) -> str:
    """Method, MD5, type and expiry, the x-amz-* headers (those in the query count as headers) and the resource."""
    amz = {name: signing.fold(value) for name, value in request.headers if name.startswith("x-amz-")}
    amz |= {name.lower(): value for name, value in said.items() if name.lower().startswith("x-amz-")}
    lines = [request.method, request.header("content-md5") or said.get("Content-MD5", ""), request.header("content-type"), expires]
    return "\n".join(lines + [f"{name}:{amz[name]}" for name in sorted(amz)] + [resource])


def _resources(request: HttpRequest, said: dict[str, str]):
    """The canonical resource: the path, with the bucket in front where it is in the Host."""
    pairs = sorted((n, unquote(v)) for n, v in signing.query_pairs(request.query) if n in _SIGNED_PARAMETERS)
    query = "&".join(f"{name}={value}" if value else name for name, value in pairs)
    tail = f"?{query}" if query else ""
    yield request.path + tail
    host = request.header("host").partition(":")[0]
    bucket, dot, _ = host.partition(".s3")
    if dot:
        yield f"/{bucket}{request.path}{tail}"
    bucket = host.partition(".")[0]
    if bucket != host:
        yield f"/{bucket}{request.path}{tail}"


def _parameters(request: HttpRequest) -> dict[str, str]:
    return {unquote(name): unquote(value) for name, value in signing.query_pairs(request.query)}
