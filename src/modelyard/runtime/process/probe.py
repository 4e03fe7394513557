"""What sandbox this machine can give: each tier is tried, best first, by running `true` in it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass

from modelyard.runtime.process import root

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
    if tier == "ctypes":
        return _run([sys.executable, "-I", "-S", "-c", _NAMESPACES, _source_folder()])
    if bwrap is None:
        return "bubblewrap is not installed (package bubblewrap)"
    steps = [*root.system(), *root.kernel_files(tier == "full"), ("tmpfs", "/tmp")]
    return _run([bwrap, "--unshare-all", "--unshare-user", "--uid", "0", "--gid", "0", "--die-with-parent", "--cap-drop", "ALL",
                 *root.bwrap_arguments(steps), "--remount-ro", "/", "true"])  # fmt: skip


def _run(argv: list[str]) -> str | None:
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=TRIES_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    return done.stderr.decode("utf-8", "replace").strip()[-300:] or f"exit code {done.returncode}"


def _source_folder() -> str:
    return os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))


_NAMESPACES = "import sys; sys.path.insert(0, sys.argv[1]); from modelyard.runtime.process.namespaces import main_probe; main_probe()"
