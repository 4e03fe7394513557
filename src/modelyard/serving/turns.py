"""Places that all gateways of a machine share: each is one gateway's at a time, and free again when that gateway is killed.

A place is a byte of a file, taken by a lock of the open file (`F_OFD_SETLK`): the kernel lets it go with the process. Serverless variants
use it for their MaxConcurrency and for their instances, which take one call at a time.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterable
from pathlib import Path

_SHARED = hasattr(fcntl, "F_OFD_SETLK")
"""Where a system lacks these locks each gateway is alone, as it would be without a folder."""


class Turns:
    """`path` is made when it is missing. Lives on one thread."""

    def __init__(self, path: Path | None) -> None:
        self._mine: set[int] = set()
        self._fd = None
        if path is not None and _SHARED:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def take(self, places: Iterable[int]) -> int | None:
        """The first of these places that nobody has, now this gateway's; None where all are taken."""
        for place in places:
            if place not in self._mine and self._lock(place, fcntl.F_WRLCK):
                self._mine.add(place)
                return place
        return None

    def give(self, place: int) -> None:
        self._mine.discard(place)
        self._lock(place, fcntl.F_UNLCK)

    def close(self) -> None:
        """Everything that was taken is free."""
        self._mine.clear()
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def _lock(self, place: int, kind: int) -> bool:
        if self._fd is None:
            return True
        try:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, struct.pack("hhqqi4x", kind, os.SEEK_SET, place, 1, 0))
        except BlockingIOError:
            return False
        return True
