"""A run's folder: which file says what, who may write it, and what can be concluded from it.

    lock        held (flock) by the shim for as long as it lives: free + unfinished state = lost
    state.json  written by the shim only: starting → running → exited; fsynced and renamed
    stop        the wish to end: grace seconds as text; written by `stop`, also before any start (a tombstone)
    spec.json   what was asked for, without the environment's values
    log         the output
    reserve     space put by for the verdict on a full disk
    shim.err    what the shim itself had to say (empty when all is well)

Imported by the shim: only modules that cost nothing.
"""

from __future__ import annotations

import fcntl
import os

LOCK, STATE, STOP, SPEC, LOG, SHIM_ERRORS, RESERVE = "lock", "state.json", "stop", "spec.json", "log", "shim.err", "reserve"


def write_atomic(path: str, data: bytes, durable: bool = True) -> None:
    """Write a file so that every reader, also after a crash, sees the old or the new whole. `durable`: also after a
    loss of power (two flushes of the disk, which a start of a run waits for)."""
    temporary = f"{path}.{os.getpid()}.tmp"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(temporary, path)
    if not durable:
        return
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def try_lock(folder: str) -> int | None:
    """Take the run's lock: an open descriptor, or None when a shim (or somebody about to start one) holds it."""
    fd = os.open(os.path.join(folder, LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    return fd


def is_locked(folder: str) -> bool:
    """Whether a shim holds the run's lock. Never creates anything, so looking at a removed run leaves no trace."""
    try:
        fd = os.open(os.path.join(folder, LOCK), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(fd)


def read_stop(folder: str) -> float | None:
    """The grace of a wish to stop, in seconds; None when nobody wishes."""
    try:
        with open(os.path.join(folder, STOP), "rb") as file:
            return float(file.read() or b"0")
    except FileNotFoundError:
        return None
    except ValueError:
        return 0.0


def start_ticks(pid: int) -> int | None:
    """When process `pid` started, in clock ticks since boot: tells a process from a later one with its number."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None


def children(pid: int) -> list[int]:
    """Child processes, oldest first."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []


def encode_state(state: dict) -> bytes:
    """Flat dicts of None, bool, int, float and str as JSON, without importing `json` (10 ms in a shim)."""
    from _json import encode_basestring_ascii as quote

    def value(item):
        if item is None:
            return "null"
        if isinstance(item, bool):
            return "true" if item else "false"
        return quote(item) if isinstance(item, str) else repr(item)

    return ("{" + ", ".join(f"{quote(key)}: {value(item)}" for key, item in state.items()) + "}\n").encode()
