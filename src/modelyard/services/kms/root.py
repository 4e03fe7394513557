"""The root key, and key material at rest under it.

`secrets/root.key` (0600, 32 random bytes) is made at the first start. Whatever the store keeps of a key is sealed with it
(AES-256-GCM), bound to what it is for: sealed material of one key does not open as that of another.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from modelyard.kernel.store import Store
from modelyard.services.iam.vault import write_once

NONCE_BYTES, KEY_BYTES = 12, 32
FACT = "kms root key"
"""The store remembers which root key it is sealed with: a mark that tells nothing about the key."""


_ADVICE = (
    "KMS keys, SecureString parameters, secrets and encrypted objects can be read with that key only. Put the file back from a backup; "
    "nothing was changed."
)


class WrongRoot(Exception):
    """The store was sealed with another root key than the one in `secrets/root.key`."""


class Root:
    """`folder` is `data/secrets`. Several processes, and several machines over one store, share its `root.key`. Raises WrongRoot where
    that file is not, or no longer, the one that `store` was sealed with: nothing is made or changed then."""

    def __init__(self, folder: Path, store: Store) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path, known = folder / "root.key", store.fact(FACT)
        if known is not None and not path.exists():
            raise WrongRoot(f"{path} is missing. {_ADVICE}")
        key = write_once(path, secrets.token_bytes(KEY_BYTES))
        if len(key) != KEY_BYTES:
            raise WrongRoot(f"{path} is damaged: it has {len(key)} bytes instead of {KEY_BYTES}. {_ADVICE}")
        mark = hmac.new(key, FACT.encode(), hashlib.sha256).hexdigest()
        if known is None:
            store.set_fact(FACT, mark)
        elif known != mark:
            raise WrongRoot(f"{path} is not the key that this store was sealed with. {_ADVICE}")
        with suppress(PermissionError):
            path.chmod(0o600)  # put back by hand, it may be anybody's to read
        self._cipher = AESGCM(key)

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
