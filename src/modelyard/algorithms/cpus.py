"""How many cores this container may use."""

from __future__ import annotations

import os


def cpus() -> int:
    """`MODELYARD_CPUS` (the runtime's limit, may be a fraction), else the cores this process may run on; at least 1."""
    limit = os.environ.get("MODELYARD_CPUS")
    if limit:
        try:
            return max(1, int(float(limit)))
        except ValueError:
            pass
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
