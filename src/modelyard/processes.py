"""Looking at and ending processes by /proc: a pid counts only together with its start time."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path


def started(pid: int) -> int | None:
    """The start time (clock ticks since boot) of a living process; None where there is none (or a zombie)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def alive(pid: int, start: int | None = None) -> bool:
    """Whether this very process lives; without `start` any process of that pid counts."""
    now = started(pid)
    return now is not None and start in (None, now)


def end(victims: Iterable[tuple[int, int | None]], grace_s: float) -> None:
    """SIGTERM to all, then SIGKILL to those that are still there after the grace; waits until all are gone."""
    left = [(pid, start if start is not None else started(pid)) for pid, start in victims]
    left = [v for v in left if v[1] is not None and alive(*v)]
    for number, patience in ((signal.SIGTERM, grace_s), (signal.SIGKILL, 5.0)):
        for pid, _ in left:
            _signal(pid, number)
        deadline = time.monotonic() + patience
        while left and time.monotonic() < deadline:
            left = [v for v in left if alive(*v)]
            if left:
                time.sleep(0.01)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def owner_of_port(port: int) -> tuple[int, str] | None:
    """(pid, name) of the process listening on a TCP port, where this user may know it."""
    inodes = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not inodes:
        return None
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if any(os.readlink(fd) in inodes for fd in (entry / "fd").iterdir()):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                return int(entry.name), b" ".join(words).decode(errors="replace").strip()[:120]
        except OSError:
            continue
    return None


def _listening_inodes(port: int) -> list[str]:
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            words = line.split()
            if words[3] == "0A" and int(words[1].rpartition(":")[2], 16) == port:
                found.append(words[9])
    return found
