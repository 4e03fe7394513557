"""How each family of services says that a request was not authenticated: codes, statuses and texts of AWS.

Sources: "Common Errors" of the services' API references, "Error responses" of S3, and botocore's retry tables.
"""

from __future__ import annotations

import re

from modelyard.kernel.errors import ApiError

_INVALID = "The security token included in the request is invalid."
_EXPIRED = "The security token included in the request is expired"
_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing "
    "method. Consult the service documentation for details."
)

_QUERY = {
    "missing": ("MissingAuthenticationToken", 403, "Request is missing Authentication Token"),
    "incomplete": ("IncompleteSignature", 403, "Authorization header requires 'Credential', 'Signature', 'SignedHeaders' and a date."),
    "key": ("InvalidClientTokenId", 403, _INVALID),
    "token": ("InvalidClientTokenId", 403, _INVALID),
    "expired": ("ExpiredToken", 403, _EXPIRED),
    "mismatch": ("SignatureDoesNotMatch", 403, _MISMATCH),
    "skewed": ("SignatureDoesNotMatch", 403, "Signature expired"),
    "scope": ("SignatureDoesNotMatch", 403, "Credential should be scoped to a valid region and service."),
}
_JSON = {
    "missing": ("MissingAuthenticationTokenException", 400, "Missing Authentication Token"),
    "incomplete": ("IncompleteSignatureException", 400, _QUERY["incomplete"][2]),
    "key": ("UnrecognizedClientException", 400, _INVALID),
    "token": ("UnrecognizedClientException", 400, _INVALID),
    "expired": ("ExpiredTokenException", 400, _EXPIRED),
    "mismatch": ("InvalidSignatureException", 400, _MISMATCH),
    "skewed": ("InvalidSignatureException", 400, "Signature expired"),
    "scope": ("InvalidSignatureException", 400, _QUERY["scope"][2]),
}
_REST_JSON = {kind: (code, 403, text) for kind, (code, _, text) in _JSON.items()}
_EC2 = {
    kind: ("AuthFailure", 401, "AWS was not able to validate the provided access credentials")
    for kind in ("key", "token", "mismatch", "skewed", "scope", "incomplete")
} | {"missing": _QUERY["missing"], "expired": ("RequestExpired", 400, "Request has expired.")}
_S3 = {
    "missing": ("AccessDenied", 403, "Access Denied"),
    "incomplete": ("AuthorizationHeaderMalformed", 400, "The authorization header is malformed."),
    "key": ("InvalidAccessKeyId", 403, "The AWS Access Key Id you provided does not exist in our records."),
    "token": ("InvalidToken", 400, "The provided token is malformed or otherwise invalid."),
    "expired": ("ExpiredToken", 400, "The provided token has expired."),
    "mismatch": (
        "SignatureDoesNotMatch",
        403,
        "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
    ),
    "skewed": ("RequestTimeTooSkewed", 403, "The difference between the request time and the current time is too large."),
    "scope": ("AuthorizationHeaderMalformed", 400, "The authorization header is malformed; the credential scope is not valid."),
}
_FAMILIES = {"s3": _S3, "query": _QUERY, "rest-xml": _QUERY, "json": _JSON, "rest-json": _REST_JSON, "ec2": _EC2}


def family(service: str, protocol: str) -> str:
    """The dialect of a service: `s3`, or by its protocol (rpc-v2-cbor answers as json)."""
    if service in ("s3", "s3control"):
        return "s3"
    return protocol if protocol in _FAMILIES else "json"


def auth_error(family_name: str, kind: str, message: str | None = None, **fields: str) -> ApiError:
    """`kind`: missing, incomplete, key, token, expired, mismatch, skewed or scope."""
    code, status, text = _FAMILIES[family_name][kind]
    if family_name in ("s3", "ec2") and kind == "skewed":
        message = None
    return ApiError(code, message or text, status, fields=fields)


_SECRET_LINES = re.compile(r"(?im)^((?:x-amz-security-token|x-amz-[a-z-]*customer-key):)[^\n]*|(x-amz-security-token=)[^&\n]*")
_MOST_TOLD = 8 << 10


def s3_mismatch(access_key: str, signature: str, to_sign: str, canonical: str | None = None) -> ApiError:
    """SignatureDoesNotMatch with what was signed as S3 reads it, so that both sides can be compared. Tokens and customer keys are not told."""
    fields = {"AWSAccessKeyId": access_key, **_told("StringToSign", to_sign, SignatureProvided=signature[:1024])}
    if canonical is not None:
        fields |= _told("CanonicalRequest", canonical)
    return auth_error("s3", "mismatch", **fields)


def _told(name: str, text: str, **between: str) -> dict[str, str]:
    if len(text) > _MOST_TOLD:
        return between
    text = _SECRET_LINES.sub(r"\1\2[redacted]", text)
    return {name: text, **between, f"{name}Bytes": text.encode("utf-8", "surrogateescape").hex(" ")}
