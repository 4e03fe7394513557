"""Time-based one-time passwords (RFC 6238 as authenticator apps do it): six digits, SHA-1, 30 seconds."""

from __future__ import annotations

import base64
import hmac
import secrets
import struct
import urllib.parse

STEP_S = 30
SEED_BYTES = 40


def new_seed() -> str:
    """64 characters of base32, as long as AWS's."""
    return base64.b32encode(secrets.token_bytes(SEED_BYTES)).decode()


def code(seed: str, step: int) -> str:
    digest = hmac.digest(base64.b32decode(seed), struct.pack(">Q", step), "sha1")
    place = digest[-1] & 15
    return f"{(int.from_bytes(digest[place : place + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06d}"


def step_at(now: float) -> int:
    return int(now // STEP_S)


def find(seed: str, given: str, now: float, slack: int, after: int = -1) -> int | None:
    """The step, within `slack` of now and after `after`, whose code this is; None: there is none."""
    middle, found = step_at(now), None
    for step in range(middle - slack, middle + slack + 1):
        if hmac.compare_digest(code(seed, step), given) and step > after and found is None:
            found = step
    return found


def uri(seed: str, label: str) -> str:
    """What an authenticator app reads from the QR code."""
    issuer = urllib.parse.quote("Amazon Web Services")
    return f"otpauth://totp/{issuer}:{urllib.parse.quote(label)}?secret={seed}&issuer={issuer}"
