"""The arithmetic of Signature Version 4: canonical request, string to sign, keys. Pure.

Source: "Create a signed AWS API request" (IAM User Guide) and the S3 variants ("Authenticating Requests: Using the
Authorization Header", "… Query Parameters"); botocore.auth is the oracle of the tests.
"""

from __future__ import annotations

import hmac
import re
from functools import lru_cache
from hashlib import sha256
from typing import Any
from urllib.parse import quote, unquote_to_bytes

EMPTY_SHA256 = sha256(b"").hexdigest()
_PLAIN_PATH = re.compile(r"[A-Za-z0-9\-._~/]*").fullmatch
_PLAIN_PART = re.compile(r"[A-Za-z0-9\-._~]*").fullmatch
_KEYS_KEPT = 4096
_keys: dict[tuple[str, str, str, str], bytes] = {}
_started: dict[bytes, tuple[Any, Any]] = {}
"""By key: the inner and the outer hash of its HMAC (RFC 2104), the padded key in them already."""


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
    """HMAC-SHA256 of a text, in hex."""
    return sign_bytes(key, text.encode("latin-1"))


def sign_bytes(key: bytes, text: bytes) -> str:
    """One key signs all day, so its half of the work is kept: a third of `hmac.digest`."""
    started = _started.get(key)
    if started is None:
        if len(_started) >= _KEYS_KEPT:
            _started.clear()
        short = key if len(key) <= 64 else sha256(key).digest()
        padded = short.ljust(64, b"\0")
        started = _started[key] = sha256(bytes(b ^ 0x36 for b in padded)), sha256(bytes(b ^ 0x5C for b in padded))
    inner, outer = started[0].copy(), started[1].copy()
    inner.update(text)
    outer.update(inner.digest())
    return outer.hexdigest()


def string_to_sign(moment: str, scope: str, canonical: str) -> str:
    return f"AWS4-HMAC-SHA256\n{moment}\n{scope}\n{sha256(canonical.encode('latin-1')).hexdigest()}"


def canonical_path(path: str, s3: bool) -> str:
    """The URI as it is signed: S3 signs it encoded once and as it is; all others normalise it and encode it again."""
    if s3:
        return path if path and _PLAIN_PATH(path) else quote(unquote_to_bytes(path), safe="/-._~") or "/"
    return _doubly_encoded(path)


@lru_cache(4096)
def _doubly_encoded(path: str) -> str:
    if _PLAIN_PATH(path) and "//" not in path and "/." not in path:
        return path or "/"
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


@lru_cache(8)  # the steps of one request ask for those of its query one after the other
def query_pairs(query: str) -> list[tuple[str, str]]:
    """(name, value) as received, still encoded; not to be changed."""
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
