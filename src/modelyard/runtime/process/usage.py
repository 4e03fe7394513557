"""What process trees use: CPU seconds and resident memory, from one pass over /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress

_TICK, _PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")


def of_trees(roots: Iterable[int]) -> dict[int, tuple[float, int]]:
    """(CPU seconds, bytes) of each root and all that descends from it; a root that is gone is absent. CPU of children that ended and
    were waited for counts."""
    seen: dict[int, tuple[int, float, int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with suppress(OSError, ValueError, IndexError):
                with open(f"/proc/{entry.name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
                ticks = sum(int(fields[n]) for n in (11, 12, 13, 14))
                seen[int(entry.name)] = (int(fields[1]), ticks / _TICK, int(fields[21]) * _PAGE)
    children: dict[int, list[int]] = {}
    for pid, (parent, _, _) in seen.items():
        children.setdefault(parent, []).append(pid)
    found = {}
    for root in roots:
        if root in seen:
            tree, at = [root], 0
            while at < len(tree):
                tree += children.get(tree[at], ())
                at += 1
            found[root] = (sum(seen[pid][1] for pid in tree), sum(seen[pid][2] for pid in tree))
    return found
