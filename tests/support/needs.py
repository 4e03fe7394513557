"""What a test needs of the machine. A missing need skips with its reason, or fails where MODELYARD_REQUIRE=all."""

from __future__ import annotations

import glob
import os
import shutil

import pytest

_PROGRAMS = {"bubblewrap": "bwrap", "nginx": "nginx", "browser": "chromium", "wrk": "wrk", "git": "git"}


def postgresql_programs() -> str | None:
    """The folder of initdb and pg_ctl (Debian keeps them off PATH)."""
    if shutil.which("initdb"):
        return os.path.dirname(shutil.which("initdb"))
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    return found[-1] if found else None


def has(need: str) -> bool:
    if need == "postgresql":
        return postgresql_programs() is not None
    return shutil.which(_PROGRAMS[need]) is not None


def needs(need: str) -> pytest.MarkDecorator:
    """`@needs("bubblewrap")`: skip (or fail, where everything is required) without it."""
    if os.environ.get("MODELYARD_REQUIRE") == "all":
        return pytest.mark.usefixtures()
    return pytest.mark.skipif(not has(need), reason=f"this machine has no {need}")
