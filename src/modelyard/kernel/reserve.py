"""A full disk: how it is recognised, and a few MiB put by so that the engine can still write down what became of things.

User data meets a full disk first and is refused; the reserve is given up only by the engine, whose verdicts and
clean-up are what makes room again. It is taken back when there is plenty.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from pathlib import Path

BYTES, STEP, PLENTY = 4 << 20, 1 << 20, 16 << 20
_SQLITE = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE}
_POSTGRES = "53100"


def is_full(problem: BaseException) -> bool:
    """Whether an exception says that the disk (or the quota) is full."""
    if isinstance(problem, OSError):
        return problem.errno in (errno.ENOSPC, errno.EDQUOT)
    return getattr(problem, "sqlite_errorcode", None) in _SQLITE or getattr(problem, "sqlstate", None) == _POSTGRES


def spare(folder: Path) -> None:
    """Raises ENOSPC where writing volume data (logs) would eat into what the reserve is for."""
    room = os.statvfs(folder)
    if room.f_bavail * room.f_frsize < 2 * BYTES:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class Reserve:
    """The file `path`: there while space is put by, absent once it was given up."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def hold(self) -> None:
        """Puts space by where there is plenty; harmless to repeat."""
        if self._path.exists() and self._path.stat().st_size == BYTES:
            return
        room = os.statvfs(self._path.parent)
        if room.f_bavail * room.f_frsize < PLENTY + BYTES:
            return
        with contextlib.suppress(OSError), self._path.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, BYTES)

    def give_up(self) -> None:
        """A step of it: a payload that is still filling the disk may take the first."""
        with contextlib.suppress(OSError):
            left = self._path.stat().st_size - STEP
            if left > 0:
                os.truncate(self._path, left)
            else:
                self._path.unlink()
