"""Ciphertext of symmetric keys: a blob that names its key and the material, bound to the encryption context.

    4 bytes what and version (of a multi-Region key or not) | 16 key id | 6 account | 8 of the material's id | 16 salt | 12 nonce | ciphertext and tag

Each message has a key of its own, derived from the material and the salt (HKDF-SHA-256), so that one material may encrypt any
number of messages; AES-256-GCM authenticates everything before the nonce and the encryption context with it.
"""

from __future__ import annotations

import secrets
import struct
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAGIC, MAGIC_MULTI_REGION, PREFIX = b"\x01MK\x01", b"\x01MK\x02", "mrk-"
_HEAD = struct.Struct(">4s16s6s8s16s")
NONCE_BYTES, TAG_BYTES = 12, 16
SMALLEST = _HEAD.size + NONCE_BYTES + TAG_BYTES


class Unreadable(Exception):
    """No ciphertext of this platform, a changed one, or another encryption context."""


@dataclass(frozen=True)
class Named:
    """What a blob says of itself: whose key, and the first 16 hexadecimal characters of the material's id."""

    key_id: str
    account: str
    material: str


def seal(material: bytes, key_id: str, account: str, material_id: str, plaintext: bytes, context: Mapping[str, str]) -> bytes:
    salt, nonce = secrets.token_bytes(16), secrets.token_bytes(NONCE_BYTES)
    magic = MAGIC_MULTI_REGION if key_id.startswith(PREFIX) else MAGIC
    head = _HEAD.pack(
        magic, uuid.UUID(key_id.removeprefix(PREFIX)).bytes, int(account).to_bytes(6, "big"), bytes.fromhex(material_id[:16]), salt
    )
    return head + nonce + _cipher(material, salt).encrypt(nonce, plaintext, head + canonical(context))


def read(blob: bytes) -> Named:
    """Raises Unreadable."""
    if len(blob) < SMALLEST or blob[:4] not in (MAGIC, MAGIC_MULTI_REGION):
        raise Unreadable
    magic, number, account, material, _ = _HEAD.unpack_from(blob)
    key_id = str(uuid.UUID(bytes=number)) if magic == MAGIC else PREFIX + number.hex()
    return Named(key_id, f"{int.from_bytes(account, 'big'):012d}", material.hex())


def unseal(material: bytes, blob: bytes, context: Mapping[str, str]) -> bytes:
    """Raises Unreadable."""
    head, nonce, rest = blob[: _HEAD.size], blob[_HEAD.size : _HEAD.size + NONCE_BYTES], blob[_HEAD.size + NONCE_BYTES :]
    try:
        return _cipher(material, head[-16:]).decrypt(nonce, rest, head + canonical(context))
    except InvalidTag:
        raise Unreadable from None


def canonical(context: Mapping[str, str]) -> bytes:
    """The same bytes for the same pairs in any order, and different ones for different pairs: each text with its length before it."""
    texts = [text.encode() for pair in sorted(context.items()) for text in pair]
    return b"".join(struct.pack(">I", len(text)) + text for text in texts)


def _cipher(material: bytes, salt: bytes) -> AESGCM:
    return AESGCM(HKDF(hashes.SHA256(), 32, salt, b"modelyard kms message").derive(material))
