"""The arithmetic of Signature Version 4: canonical request, string to sign, keys. Pure.

Source: "Create a signed AWS API request" (IAM User Guide) and the S3 variants ("Authenticating Requests: Using the
Authorization Header", "… Query Parameters"); botocore.auth is the oracle of the tests.
"""

from __future__ import annotations

import hmac
import re
from hashlib import sha256
from urllib.parse import quote, unquote_to_bytes

EMPTY_SHA256 = sha256(b"").hexdigest()
_PLAIN_PATH = re.compile(r"[A-Za-z0-9\-._~/]*").fullmatch
_PLAIN_PART = re.compile(r"[A-Za-z0-9\-._~]*").fullmatch
_KEYS_KEPT = 4096
_keys: dict[tuple[str, str, str, str], bytes] = {}


def _hmac(key: bytes, message: str) -> bytes:
    return hmac.digest(key, message.encode(), "sha256")


def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The derived key of one (secret, day, region, service), cached."""
    name = (secret, date, region, service)
    key = _keys.get(name)
    if key is None:
        key = _hmac(_hmac(_hmac(_hmac(b"AWS4" + secret.encode(), date), region), service), "aws4_request")
        if len(_keys) >= _KEYS_KEPT:
            _keys.clear()
        _keys[name] = key
    return key


def sign(key: bytes, text: str) -> str:
    return hmac.digest(key, text.encode("latin-1"), "sha256").hex()


def string_to_sign(moment: str, scope: str, canonical: str) -> str:
    return f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{sha256(canonical.encode('latin-1')).hexdigest()}"


def canonical_path(path: str, s3: bool) -> str:
    """The URI as it is signed: S3 signs it encoded once and as it is; all others normalise it and encode it again."""
    if not path:
        return "/"
    if _PLAIN_PATH(path) and (s3 or ("//" not in path and "/." not in path)):
        return path
    if s3:
        return quote(unquote_to_bytes(path), safe="/-._~")
    return quote(_normalise(path).encode("latin-1"), safe="/-._~")


def _normalise(path: str) -> str:
    kept: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if kept:
                kept.pop()
        elif part not in ("", "."):
            kept.append(part)
    end = "/" if path.endswith("/") and kept else ""
    return "/" + "/".join(kept) + end


def query_pairs(query: str) -> list[tuple[str, str]]:
    """(name, value) as received, still encoded."""
    pairs = []
    for part in query.split("&"):
        if part:
            name, _, value = part.partition("=")
            pairs.append((name, value))
    return pairs


def canonical_query(pairs: list[tuple[str, str]]) -> str:
    """Encoded once, sorted by name and then by value."""
    return "&".join(f"{name}={value}" for name, value in sorted((_recode(n), _recode(v)) for n, v in pairs))


def _recode(text: str) -> str:
    return text if _PLAIN_PART(text) else quote(unquote_to_bytes(text), safe="-._~")


def fold(value: str) -> str:
    """A header value trimmed, with runs of spaces folded into one."""
    return " ".join(value.split()) if "  " in value or "\t" in value else value
