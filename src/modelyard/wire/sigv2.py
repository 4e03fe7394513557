"""Signature Version 2 for S3: presigned (boto3 makes such URLs by default in us-east-1) and in the Authorization header (older tools).

Source: "Signing and authenticating REST requests (AWS signature version 2)", S3 developer guide. AWS takes it in regions opened before 2014.
It names no region and signs no payload. Policies can refuse it (`s3:signatureversion`).
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import ClassVar
from urllib.parse import unquote

from modelyard.kernel.clock import Clock, real_now
from modelyard.kernel.errors import ApiError
from modelyard.kernel.identity import Credential, Identity
from modelyard.wire import signing
from modelyard.wire.autherrors import auth_error, s3_mismatch
from modelyard.wire.http import HttpRequest
from modelyard.wire.sigv4 import SKEW_S, Authenticated, expired, is_decimal

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


@dataclass(slots=True)
class OldClaim:
    """What a request says about its signature of version 2, as `sigv4.Claim`. `time` (in the header) or `expires_s` (presigned) is set."""

    access_key: str
    time: float | None
    expires_s: int | None
    payload: str = ""
    version: ClassVar[int] = 2


def authenticate(request: HttpRequest, identity: Identity, clock: Clock) -> Authenticated | None:
    """None: not signed in this way either. Raises S3's errors."""
    authorization = request.header("authorization")
    if authorization.startswith("AWS "):
        return _by_header(request, authorization[4:], identity, clock)
    if authorization:
        raise ApiError("InvalidArgument", "Unsupported Authorization Type", 400)
    if "AWSAccessKeyId=" not in request.query:
        return None
    said = _parameters(request)
    if not said.get("AWSAccessKeyId") or not said.get("Signature") or not said.get("Expires"):
        raise ApiError("AccessDenied", "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters", 403)
    if not is_decimal(said["Expires"]):
        raise ApiError("AccessDenied", "Invalid date (should be seconds since epoch): " + said["Expires"], 403)
    token = said.get("x-amz-security-token") or request.header("x-amz-security-token")
    credential = _credential(said["AWSAccessKeyId"], token, identity, clock)
    if (now := real_now()) > int(said["Expires"]):
        raise expired(min(int(said["Expires"]), now), now)
    _compare(request, credential, said["Signature"], said["Expires"], said)
    return Authenticated(credential.principal, "us-east-1", "s3", OldClaim(credential.access_key, None, int(said["Expires"])))


def _by_header(request: HttpRequest, authorization: str, identity: Identity, clock: Clock) -> Authenticated:
    """`AWS access-key:signature`, over the Date (or x-amz-date) of the request, which may be a quarter of an hour off."""
    access_key, colon, signature = authorization.strip().partition(":")
    if not colon or not access_key or not signature:
        raise ApiError("InvalidArgument", "AWS authorization header is invalid.  Expected AwsAccessKeyId:signature", 400)
    own = "x-amz-date" in request.index
    time = _moment(request.header("x-amz-date") if own else request.header("date"))
    credential = _credential(access_key, request.header("x-amz-security-token"), identity, clock)
    if abs(real_now() - time) > SKEW_S:
        raise auth_error("s3", "skewed")
    _compare(request, credential, signature, "" if own else request.header("date"), {})
    return Authenticated(credential.principal, "us-east-1", "s3", OldClaim(credential.access_key, time, None))


def _moment(text: str) -> float:
    try:
        found = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        found = -1.0
    if found < 0:
        raise ApiError("AccessDenied", "AWS authentication requires a valid Date or x-amz-date header", 403)
    return found


def _credential(access_key: str, token: str | None, identity: Identity, clock: Clock) -> Credential:
    credential = identity.credential(access_key)
    if credential is None or (credential.token is not None and not token):
        raise auth_error("s3", "key", AWSAccessKeyId=access_key)
    if token and (credential.token is None or not hmac.compare_digest(token.encode(), credential.token.encode())):
        raise auth_error("s3", "token")
    if credential.expires_at is not None and clock.now() >= credential.expires_at:
        raise auth_error("s3", "expired")
    return credential


def _compare(request: HttpRequest, credential: Credential, signature: str, moment: str, said: dict[str, str]) -> None:
    texts = []
    for resource in _resources(request):
        text = string_to_sign(request, moment, resource, said)
        made = base64.b64encode(hmac.digest(credential.secret_key.encode(), text.encode("latin-1", "replace"), "sha1"))
        if hmac.compare_digest(made, signature.encode("latin-1", "replace")):
            return
        texts.append(text)
    raise s3_mismatch(credential.access_key, signature, texts[-1] if len(texts) > 1 and "." in request.header("host") else texts[0])


def string_to_sign(request: HttpRequest, moment: str, resource: str, said: dict[str, str]) -> str:
    """Method, MD5, type, expiry or date, the x-amz-* headers (those in the query count as headers) and the resource."""
    amz: dict[str, str] = {}
    for name, value in request.headers:
        if name.startswith("x-amz-"):
            amz[name] = f"{amz[name]},{signing.fold(value)}" if name in amz else signing.fold(value)
    amz |= {name.lower(): value for name, value in said.items() if name.lower().startswith("x-amz-")}
    lines = [request.method, request.header("content-md5") or said.get("Content-MD5", ""), request.header("content-type"), moment]
    return "\n".join(lines + [f"{name}:{amz[name]}" for name in sorted(amz)] + [resource])


def _resources(request: HttpRequest) -> Iterator[str]:
    """The canonical resource: the path (of a bucket, with or without its end), with the bucket in front where it is in the Host."""
    pairs = sorted((n, unquote(v)) for n, v in signing.query_pairs(request.query) if n in _SIGNED_PARAMETERS)
    query = "&".join(f"{name}={value}" if value else name for name, value in pairs)
    tail = f"?{query}" if query else ""
    yield request.path + tail
    if request.path.count("/") == 1 and request.path != "/":
        yield f"{request.path}/{tail}"
    host = request.header("host").partition(":")[0]
    bucket, dot, _ = host.partition(".s3")
    if dot:
        yield f"/{bucket}{request.path}{tail}"
    bucket = host.partition(".")[0]
    if bucket != host:
        yield f"/{bucket}{request.path}{tail}"


def _parameters(request: HttpRequest) -> dict[str, str]:
    return {unquote(name): unquote(value) for name, value in signing.query_pairs(request.query)}
