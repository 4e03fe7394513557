"""Passwords: kept as salted scrypt hashes, checked against an account's password policy."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

_COST = {"n": 1 << 14, "r": 8, "p": 1}
SYMBOLS = "!@#$%^&*()_+-=[]{}|'"
LEAST = 8


def hashed(password: str) -> str:
    salt = secrets.token_bytes(16)
    return base64.b64encode(salt + hashlib.scrypt(password.encode(), salt=salt, **_COST)).decode()


def same(password: str, kept: str) -> bool:
    raw = base64.b64decode(kept)
    return hmac.compare_digest(raw[16:], hashlib.scrypt(password.encode(), salt=raw[:16], **_COST))


def generated() -> str:
    """A password that a service makes: 32 random bytes."""
    return base64.b64encode(secrets.token_bytes(32)).decode()


def lacking(password: str, policy: Mapping[str, Any] | None, user_name: str, former: Sequence[str] = ()) -> str | None:
    """What the password lacks; None: it will do. Without a policy of the account AWS's default one holds."""
    if policy is None:
        kinds = (str.isupper, str.islower, str.isdigit, SYMBOLS.__contains__)
        if len(password) < LEAST:
            return f"Password should have a minimum length of {LEAST}"
        if sum(any(map(kind, password)) for kind in kinds) < 3:
            return "Password should have at least three of: uppercase letters, lowercase letters, numbers, symbols"
        return "Password should not be the same as the user name" if password.lower() == user_name.lower() else None
    if len(password) < policy["MinimumPasswordLength"]:
        return f"Password should have a minimum length of {policy['MinimumPasswordLength']}"
    for member, kind, words in (
        ("RequireUppercaseCharacters", str.isupper, "uppercase letter"),
        ("RequireLowercaseCharacters", str.islower, "lowercase letter"),
        ("RequireNumbers", str.isdigit, "number"),
        ("RequireSymbols", SYMBOLS.__contains__, "symbol"),
    ):
        if policy.get(member) and not any(map(kind, password)):
            return f"Password should have at least one {words}"
    again = former[-policy["PasswordReusePrevention"] :] if policy.get("PasswordReusePrevention") else ()
    if any(same(password, kept) for kept in again):
        return "Password has been used before"
    return None
