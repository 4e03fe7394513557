"""Secrets at rest: private files, and the platform key that seals what the store must keep."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
from cryptography.hazmat.primitives.ciphers.aead import AESGCM


class Vault:
    """`folder` is `data/secrets` (0700). Several machines over one store share its `platform.key`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        self._cipher = AESGCM(write_once(folder / "platform.key", secrets.token_bytes(32)))

    def seal(self, value: Any, purpose: str) -> bytes:
        """JSON encrypted and authenticated (AES-256-GCM); opens for the same purpose only."""
        nonce = secrets.token_bytes(12)
        return nonce + self._cipher.encrypt(nonce, orjson.dumps(value), purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> Any:
        """Raises cryptography's InvalidTag where the key, the purpose or the bytes are others."""
        return orjson.loads(self._cipher.decrypt(sealed[:12], sealed[12:], purpose.encode()))


def write_once(path: Path, content: bytes) -> bytes:
    """Creates a private file, whole or not at all, and answers its content: that of whoever came first."""
    if not path.exists():
        draft = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                os.link(draft, path)
        finally:
            draft.unlink()
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    return path.read_bytes()
