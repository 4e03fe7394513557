"""How far each gateway of a machine has got with route tables, so that one can wait for the others.

Each keeps the number of the newest table it serves by in eight bytes of a file of its own, whose lock says that it lives. Who is told by one
gateway that an endpoint's change is over may call by another one next.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import threading
from pathlib import Path
from time import monotonic
from uuid import uuid4

LONGEST_SECONDS = 0.5
"""Real time. A gateway that needs longer to read its tables is not waited for."""
PAUSE_SECONDS = 0.002
_NUMBER = struct.Struct("<q")


class Abreast:
    """`at` on the gateway's loop, `wait` on any other thread. Without a folder a gateway is alone."""

    def __init__(self, folder: Path | None) -> None:
        self._folder, self._waited, self._pause = folder, 0, threading.Event()
        self._path = self._lock = self._memory = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._path = folder / f"{uuid4()}.seq"
            hidden = self._path.with_suffix(".new")  # one without its lock would be taken for a dead gateway's
            self._lock = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            os.write(self._lock, bytes(_NUMBER.size))
            hidden.rename(self._path)
            self._memory = mmap.mmap(self._lock, _NUMBER.size)

    def at(self, number: int) -> None:
        """This gateway serves by the tables up to this number."""
        if self._memory is not None and number > _NUMBER.unpack_from(self._memory)[0]:  # batches may be swapped in any order
            _NUMBER.pack_into(self._memory, 0, number)

    def wait(self, number: int) -> None:
        """Until every gateway serves by the tables up to this number, once for each number."""
        if self._folder is None or number == self._waited:
            return
        until = monotonic() + LONGEST_SECONDS
        for path in self._folder.glob("*.seq"):
            while path != self._path and self._behind(path, number) and monotonic() < until:
                self._pause.wait(PAUSE_SECONDS)
        self._waited = number

    @staticmethod
    def _behind(path: Path, number: int) -> bool:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return False
        try:
            said = os.read(fd, _NUMBER.size)
            if len(said) == _NUMBER.size and _NUMBER.unpack(said)[0] >= number:
                return False
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        path.unlink(missing_ok=True)  # its gateway is gone
        return False

    def close(self) -> None:
        if self._memory is not None:
            self._path.unlink(missing_ok=True)
            self._memory.close()
            os.close(self._lock)
            self._memory = None
