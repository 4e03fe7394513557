"""Building one environment with uv: a relocatable, compiled, read-only tree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import uv

from modelyard.runtime import index_config

FORMAT = "2"
"""Part of every key: raise it when environments built by older code must not be used any more."""

SHEBANG = b"#!/usr/bin/env python3\n"
_WRAPPED = re.compile(rb"\A#!/bin/sh\n'''exec' [^\n]*\n' '''\n")
_PLAIN = re.compile(rb"\A#![^\n]*python[^\n]*\n")


class Failed(Exception):
    """What uv said last."""


def build(target: Path, requirements: Path, hashed: bool, lock: int, log: Callable[[str], None]) -> None:
    """Make the environment of `requirements` at `target` (which must not exist).

    `lock` is inherited by uv, so that another builder waits also for an uv whose parent was killed.
    """
    tool = uv.find_uv_bin()
    base = os.path.realpath(sys.executable)
    _run([tool, "venv", "--no-project", "--no-config", "--quiet", "--python", base, str(target)], lock, log)
    install = [tool, "pip", "install", "--no-config", "--python", str(target / "bin/python"), "-r", str(requirements)]
    _run([*install, *(["--require-hashes"] if hashed else [])], lock, log)
    # Boxes see it read-only and could not keep what they compile. Packages' own tests are never imported: half the work.
    log("Compiling")
    _run(
        [str(target / "bin/python"), "-m", "compileall", "-q", "-j", "0", "-x", "/tests?/", str(target / "lib")],
        lock,
        lambda line: None,
        check=False,
    )
    _relocate_scripts(target / "bin")
    for folder, _, _ in os.walk(target, topdown=False):
        os.chmod(folder, 0o555)  # files are hard links into uv's cache: their modes are not ours to change


def _run(argv: list[str], lock: int, log: Callable[[str], None], check: bool = True) -> None:
    env = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")}
    env = index_config.uv_env() | env | {"NO_COLOR": "1", "UV_PYTHON_DOWNLOADS": "never"}
    said: list[str] = []
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=env,
        pass_fds=[lock],
    ) as process:
        for line in process.stdout:
            line = line.rstrip()
            if line.strip():
                said.append(line)
                log(line)
    if check and process.returncode != 0:
        raise Failed(" ".join(" ".join(said[-8:]).split())[:1000] or f"uv ended with exit code {process.returncode}")


def _relocate_scripts(folder: Path) -> None:
    """Scripts run with the `python3` that is first on PATH: the run's own environment (see `process/layer.py`)."""
    for path in folder.iterdir():
        if path.is_symlink() or not path.is_file() or path.name.startswith("activate"):
            continue
        text = path.read_bytes()
        changed, count = _WRAPPED.subn(SHEBANG, text, count=1)
        if not count:
            changed, count = _PLAIN.subn(SHEBANG, text, count=1)
        if count:
            mode = path.stat().st_mode
            path.unlink()  # never write through a hard link into the cache
            path.write_bytes(changed)
            path.chmod(mode)
