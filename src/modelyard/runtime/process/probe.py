"""What sandbox this machine can give: each tier is tried, best first, by running `true` in it (`trial.py`)."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass

TIERS = ("full", "no-proc", "ctypes", "degraded")
TRIES_SECONDS = 20


@dataclass(frozen=True)
class Sandbox:
    """`tier`, and why the better ones were not to be had (one sentence per tier, for `doctor`)."""

    tier: str
    bwrap: str | None
    refused: dict[str, str]


def probe(force: str | None = None) -> Sandbox:
    """The best tier that works here; `force` (MODELYARD_TIER) names one and is not checked."""
    force = force or os.environ.get("MODELYARD_TIER") or None
    bwrap = shutil.which("bwrap")
    if force:
        if force not in TIERS:
            raise ValueError(f"MODELYARD_TIER={force}: no such tier; there are {', '.join(TIERS)}")
        return Sandbox(force, bwrap, {})
    refused: dict[str, str] = {}
    for tier in TIERS:
        why = _try(tier, bwrap)
        if why is None:
            return Sandbox(tier, bwrap, refused)
        refused[tier] = why
    raise AssertionError("the degraded tier needs nothing")


def offered() -> list[str]:
    """Every tier that works on this machine."""
    bwrap = shutil.which("bwrap")
    return [tier for tier in TIERS if _try(tier, bwrap) is None]


def _try(tier: str, bwrap: str | None) -> str | None:
    """None: it works; else what was in the way."""
    if tier == "degraded":
        return None
    if tier != "ctypes" and bwrap is None:
        return "bubblewrap is not installed (package bubblewrap)"
    try:
        with tempfile.TemporaryDirectory(prefix="modelyard-probe-") as folder:
            argv = [sys.executable, "-I", "-S", "-c", TRIAL.format(source=SOURCE, arguments=(tier, bwrap, folder))]
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=TRIES_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    return done.stderr.decode("utf-8", "replace").strip()[-300:] or f"exit code {done.returncode}"


@functools.cache
def no_network() -> str | None:
    """Why boxes cannot be the hosts of a private network here; None: they can. Tried once, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="modelyard-probe-") as folder:
        argv = [sys.executable, "-I", "-S", "-c", NETWORK_TRIAL.format(source=SOURCE, path=os.path.join(folder, "n"))]
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=TRIES_SECONDS)
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
    return None if done.returncode == 0 else done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2][-300:]


SOURCE = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
TRIAL = "import sys; sys.path.insert(0, {source!r}); from modelyard.runtime.process.trial import main; main(*{arguments!r})"
NETWORK_TRIAL = "import sys; sys.path.insert(0, {source!r}); from modelyard.runtime.process.network import try_out; try_out({path!r})"
