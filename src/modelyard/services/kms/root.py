"""The root key, and key material at rest under it.

`secrets/root.key` (0600, 32 random bytes) is made at the first start. Whatever the store keeps of a key is sealed with it
(AES-256-GCM), bound to what it is for: sealed material of one key does not open as that of another.
"""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from modelyard.services.iam.vault import write_once

NONCE_BYTES = 12


class WrongRoot(Exception):
    """The store was sealed with another root key than the one in `secrets/root.key`."""


class Root:
    """`folder` is `data/secrets`. Several processes, and several machines over one store, share its `root.key`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._cipher = AESGCM(write_once(folder / "root.key", secrets.token_bytes(32)))

    def seal(self, material: bytes, purpose: str) -> str:
        """Base64 of nonce, ciphertext and tag."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return base64.b64encode(nonce + self._cipher.encrypt(nonce, material, purpose.encode())).decode()

    def open(self, sealed: str, purpose: str) -> bytes:
        """Raises WrongRoot where the root key, the purpose or the bytes are others."""
        whole = base64.b64decode(sealed)
        try:
            return self._cipher.decrypt(whole[:NONCE_BYTES], whole[NONCE_BYTES:], purpose.encode())
        except InvalidTag:
            raise WrongRoot(f"{purpose} cannot be opened: secrets/root.key is not the one that this store was sealed with") from None
