"""Identifiers and keys in AWS's shapes.

Unique ids: prefix and 16 or 17 characters (IAM User Guide, "IAM identifiers"). Access keys carry their account in the
first bits, as AWS's own do, so that GetAccessKeyInfo needs no look-up.
"""

from __future__ import annotations

import base64
import secrets

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
ROLE, USER, GROUP, POLICY, INSTANCE_PROFILE = "AROA", "AIDA", "AGPA", "ANPA", "AIPA"
LONG_TERM, TEMPORARY = "AKIA", "ASIA"


def unique_id(prefix: str) -> str:
    return prefix + "".join(secrets.choice(_ALPHABET) for _ in range(17))


def access_key(prefix: str, account: str) -> str:
    """20 characters: the prefix, then 80 bits of which bits 1 to 40 are the account."""
    bits = (1 << 79) | (int(account) << 39) | secrets.randbits(39)
    return prefix + base64.b32encode(bits.to_bytes(10, "big")).decode()


def account_of(access_key: str) -> str | None:
    """The account that an access key names; None where it is no key of this shape."""
    try:
        bits = int.from_bytes(base64.b32decode(access_key[4:].encode()), "big")
    except ValueError:
        return None
    if len(access_key) != 20:
        return None
    account = (bits >> 39) & ((1 << 40) - 1)
    return f"{account:012d}" if account < 10**12 else None


def secret_key() -> str:
    """40 characters of base64."""
    return base64.b64encode(secrets.token_bytes(30)).decode()


def session_token() -> str:
    return "IQoJb3JpZ2luX2Vj" + base64.b64encode(secrets.token_bytes(192)).decode()
