"""Whether anything was committed to a SQLite file since one last looked, without a query.

The header of SQLite's WAL index is rewritten by every commit of every process before that commit returns. It is the first
48 bytes of the `-shm` file, which all connections map: a counter of transactions, the number of frames and a checksum over
them; a copy follows, which differs while a commit writes the two. Source: "WAL-mode File Format", section 2.1.
"""

from __future__ import annotations

import mmap
import os
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

HEADER_BYTES = 48
INITIALISED_AT = 12
_COUNT_AT = slice(8, 12)


def is_next(stamp: bytes | None, later: bytes | None) -> bool:
    """Whether exactly one transaction was committed between two stamps."""
    if stamp is None or later is None:
        return False
    counts = (int.from_bytes(one[_COUNT_AT], sys.byteorder) for one in (stamp, later))
    return (next(counts) + 1) & 0xFFFFFFFF == next(counts)


@dataclass
class _Shared:
    fd: int
    map: mmap.mmap
    users: int = 0


_lock = threading.Lock()
_open: dict[tuple[int, int], _Shared] = {}
"""By (device, inode), one per process: closing any descriptor of a file drops all POSIX locks this process has on it, those of
SQLite too. So a descriptor is closed only with the last database of this process that uses the file."""


class CommitStamp:
    """Of the SQLite database at `path`; ask only while a connection of this process is open."""

    def __init__(self, path: Path) -> None:
        self._path = f"{path}-shm"
        self._key: tuple[int, int] | None = None
        self._map: mmap.mmap | None = None
        self._closed = False
        self._whole = b""

    def read(self) -> bytes | None:
        """Equal stamps: nothing was committed in between. None: not known, a commit is being made just now."""
        if self._map is None and not self._attach():
            return None
        seen = self._map[: 2 * HEADER_BYTES]
        if seen != self._whole:
            if seen[:HEADER_BYTES] != seen[HEADER_BYTES:] or not seen[INITIALISED_AT]:
                return None
            self._whole = seen
        return seen

    def close(self) -> None:
        """After the database's connections were closed."""
        with _lock:
            self._closed, self._map = True, None
            if self._key is None:
                return
            shared = _open[self._key]
            shared.users -= 1
            if not shared.users:
                del _open[self._key]
                shared.map.close()
                os.close(shared.fd)
            self._key = None

    def _attach(self) -> bool:
        with _lock:
            if self._map is None and not self._closed:
                try:
                    found = os.stat(self._path)
                    if found.st_size < 2 * HEADER_BYTES:
                        return False
                    self._key = (found.st_dev, found.st_ino)
                    shared = _open.get(self._key) or _map(self._path)
                except OSError:
                    self._key = None
                    return False
                _open[self._key] = shared
                shared.users += 1
                self._map = shared.map
            return self._map is not None


def _map(path: str) -> _Shared:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    return _Shared(fd, mmap.mmap(fd, 2 * HEADER_BYTES, mmap.MAP_SHARED, mmap.PROT_READ))
