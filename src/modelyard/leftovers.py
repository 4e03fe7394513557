"""What may still live of a platform, and how it ends: gateways, engines, and the shims of its runs.

Read from the data folder and /proc alone, so that `down` works whatever was killed before.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from pathlib import Path

from modelyard import datafolder, processes
from modelyard.runtime.process import rundir

KILL_SECONDS = 5.0


def end_children(folder: Path, grace_s: float) -> int:
    """Ends what a killed supervisor left of gateways and engines; answers how many there were."""
    listed = [p for p in datafolder.load_state(folder).get("processes", []) if p["role"] in ("gateway", "engine")]
    left = [(p["pid"], p["start"]) for p in listed if processes.alive(p["pid"], p["start"])]
    processes.end(left, grace_s)
    return len(left)


def living_runs(folder: Path) -> list[tuple[str, int]]:
    """(run id, pid of its shim) of the jobs and model servers that are alive."""
    found = []
    for state in sorted((folder / "runs").glob("*/state.json")):
        with contextlib.suppress(OSError, ValueError, KeyError):
            known = json.loads(state.read_bytes())
            if known["state"] != "exited" and processes.alive(known["pid"], known["start_ticks"]):
                found.append((state.parent.name, known["pid"]))
    return found


def end_runs(folder: Path) -> int:
    """Kills the shims and what they watch, leaving no verdict: the next start finds those runs lost and the
    reconcilers begin the jobs again. Call it when no engine is left. Answers how many there were."""
    ended: set[str] = set()
    deadline = time.monotonic() + KILL_SECONDS
    while True:
        living = living_runs(folder)
        trees = [(pid, _descendants(pid)) for _, pid in living]
        for pid, below in trees:
            for victim in (pid, *below):  # the shim first: it must not see its payload die
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim, signal.SIGKILL)
        ended.update(run for run, _ in living)
        # A shim that was just being started holds its lock before it has a state.
        busy = [lock for lock in (folder / "runs").glob("*/lock") if rundir.is_locked(str(lock.parent))]
        if not (living or busy) or time.monotonic() > deadline:
            return len(ended)
        time.sleep(0.02)


def _descendants(pid: int) -> list[int]:
    below = []
    for child in rundir.children(pid):
        below += [child, *_descendants(child)]
    return below
