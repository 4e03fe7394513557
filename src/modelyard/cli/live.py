"""What a running platform says of itself: state file and health endpoint."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

from modelyard import datafolder, leftovers, processes, timekeeping
from modelyard.cli import exits, output


def state(folder: Path) -> dict[str, Any] | None:
    """The state of the running platform; None when none runs."""
    if datafolder.holder(folder) is None:
        return None
    found = datafolder.load_state(folder)
    return found if found.get("endpoint") else None


def health(endpoint: str) -> dict[str, Any]:
    """`GET /_modelyard/health`; {} when it does not answer."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{endpoint}/_modelyard/health", timeout=5) as answer:
            return json.load(answer)
    except (OSError, ValueError):
        return {}


def status(folder: Path) -> dict[str, Any] | None:
    """What `status --json` prints."""
    found = state(folder)
    if found is None:
        return None
    said = health(found["endpoint"])
    clock = timekeeping.read_clock(folder)
    listed = [{**p, "alive": processes.alive(p["pid"], p["start"])} for p in found["processes"]]
    shims = [{"role": "shim", "pid": pid, "run": run, "alive": True} for run, pid in leftovers.living_runs(folder)]
    return {
        "running": True,
        "ready": bool(said),
        "version": found["version"],
        "endpoint": found["endpoint"],
        "auth": found["auth"],
        "tier": said.get("tier"),
        "account": found["account"],
        "region": found["region"],
        "store": found["store"],
        "data": str(folder),
        "clock": {"speed": clock.speed, "now": clock.now()},
        "services": said.get("services", {}),
        "processes": [*listed, *shims],
    }


def not_running(folder: Path) -> int:
    """Tells so and answers the exit code."""
    output.problem(f"no platform runs on {folder}", "Start it with  modelyard up --detach")
    return exits.NOT_RUNNING
