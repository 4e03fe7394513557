"""How much memory a process tree uses, where no control group counts it, and how much disk folders take."""

from __future__ import annotations

import os

from modelyard.runtime.process.launch import descendants

PAGE = os.sysconf("SC_PAGE_SIZE")


def tree_bytes(root: int) -> int:
    """Memory of `root` and its descendants. Resident pages first, which count shared pages once per process; only
    when that is large is the exact, slower proportional share (smaps_rollup) read where the kernel gives it."""
    pids = [root, *descendants(root)]
    resident = {pid: _resident(pid) for pid in pids}
    if sum(resident.values()) < 64 << 20 or len(pids) == 1:
        return sum(resident.values())
    return sum(_proportional(pid, resident[pid]) for pid in pids)


def folder_bytes(folders: list[str]) -> int:
    """What all files below take on the disk; one with several names counts once, what goes away meanwhile does not."""
    total, seen, queue = 0, set(), list(folders)
    while queue:
        try:
            with os.scandir(queue.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        queue.append(entry.path)
                        continue
                    found = entry.stat(follow_symlinks=False)
                    if found.st_nlink == 1 or found.st_ino not in seen:
                        total += found.st_blocks * 512
                    if found.st_nlink > 1:
                        seen.add(found.st_ino)
        except OSError:
            continue
    return total


def _resident(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * PAGE
    except (OSError, IndexError, ValueError):
        return 0


def _proportional(pid: int, otherwise: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:
            return next((int(line.split()[1]) * 1024 for line in file if line.startswith(b"Pss:")), otherwise)
    except (OSError, ValueError):
        return otherwise
