"""Ending a platform from outside: its supervisor, or what a killed one left, and its runs."""

from __future__ import annotations

import time
from pathlib import Path

from modelyard import datafolder, leftovers, processes

SUPERVISOR_GRACE_SECONDS = 30.0
CHILD_GRACE_SECONDS = 10.0


def stop(folder: Path) -> dict[str, int]:
    """Ends everything of this data folder; answers how many processes and runs there were."""
    runs = len(leftovers.living_runs(folder))
    before = len([p for p in datafolder.load_state(folder).get("processes", []) if processes.alive(p["pid"], p["start"])])
    _end_supervisor(folder)
    leftovers.end_children(folder, CHILD_GRACE_SECONDS)
    if before and datafolder.holder(folder) is None:
        datafolder.save_state(folder, {})
    return {"processes": before, "runs": max(runs, leftovers.end_runs(folder))}


def _end_supervisor(folder: Path) -> None:
    holder = datafolder.holder(folder)
    if not holder or "pid" not in holder:
        return
    processes.end([(holder["pid"], None)], SUPERVISOR_GRACE_SECONDS)
    deadline = time.monotonic() + 5
    while datafolder.holder(folder) is not None and time.monotonic() < deadline:
        time.sleep(0.01)
