"""A file that lines are appended to without a system call each, and that has them all after a `kill -9`.

The file is mapped: what was copied into the map is the kernel's to write, whatever becomes of this process. Room is made ahead, in
steps, so that a full disk is met there and not as a signal in the middle of a line. The line's end goes in after the rest
of the line: what a kill cuts in half has none, and after the last line end there are only zeros.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from pathlib import Path

STEP_BYTES = 256 << 10


class SpoolFile:
    """Held by an exclusive `flock` until `close`, which cuts off the room that was not used."""

    __slots__ = ("_fd", "_map", "_room", "size")

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        self._map: mmap.mmap | None = None
        self._room = self.size = 0
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def append(self, line: bytes) -> None:
        """`line` has no line end in it; it gets one. OSError: there is no room, and nothing was written."""
        at = self.size
        end = at + len(line)
        if end >= self._room:
            self._grow(end + 1)
        memory = self._map
        memory[at:end] = line
        memory[end] = 10
        self.size = end + 1

    def close(self) -> None:
        if self._map is not None:
            self._map.close()
        os.ftruncate(self._fd, self.size)
        os.close(self._fd)

    def _grow(self, least: int) -> None:
        room = -(-least // STEP_BYTES) * STEP_BYTES
        os.posix_fallocate(self._fd, self._room, room - self._room)
        if self._map is None:
            self._map = mmap.mmap(self._fd, room)
        else:
            self._map.resize(room)
        self._room = room
