"""Policies as they were when calls were decided: each text once, in a file named by its fingerprint, shared by all processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson

MOST_KNOWN = 10_000
KEPT_S = 90 * 86400.0


class Snapshots:
    """A file's time is the platform's when it was last taken into use."""

    def __init__(self, folder: Path, now: Callable[[], float]) -> None:
        self._folder, self._now = folder, now
        self._known: set[str] = set()

    def keep(self, fingerprint: str, text: bytes) -> None:
        if fingerprint in self._known:
            return
        path = self._folder / f"{fingerprint}.json"
        if not path.exists():
            self._folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            part = self._folder / f".{fingerprint}.{os.getpid()}-{os.urandom(3).hex()}"
            part.touch(0o600)
            part.write_bytes(text)
            part.replace(path)
        now = self._now()
        with suppress(FileNotFoundError):
            os.utime(path, (now, now))  # a fingerprint in use is kept as long as the events that name it
        if len(self._known) >= MOST_KNOWN:
            self._known.clear()
        self._known.add(fingerprint)

    def read(self, fingerprint: str) -> Any:
        with suppress(FileNotFoundError, ValueError):
            return orjson.loads((self._folder / f"{fingerprint}.json").read_bytes())
        return None

    def sweep(self) -> None:
        """Removes what no process has used for as long as events are kept."""
        self._known.clear()
        for path in self._folder.glob("*.json"):
            with suppress(FileNotFoundError):
                if self._now() - path.stat().st_mtime > KEPT_S:
                    path.unlink()
