"""Building one environment with uv: a relocatable, compiled, read-only tree."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import tempfile
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


def build(target: Path, requirements: Path, hashed: bool, lock: int, log: Callable[[str], None], apart: Path | None = None) -> None:
    """Make the environment of `requirements` at `target` (which must not exist), with what `apart` lists on top.

    `lock` is inherited by uv, so that another builder waits also for an uv whose parent was killed.
    """
    tool = uv.find_uv_bin()
    base = os.path.realpath(sys.executable)
    _run([tool, "venv", "--no-project", "--no-config", "--quiet", "--python", base, str(target)], lock, log)
    python = ["--python", str(target / "bin/python")]
    install = [tool, "pip", "install", "--no-config", *index_config.no_index(), *python, "-r", str(requirements)]
    _run([*install, *(["--require-hashes"] if hashed else [])], lock, log)
    if apart is not None:
        _install_apart(target, apart.read_text().split(), lock, log)
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


def _install_apart(target: Path, lines: list[str], lock: int, log: Callable[[str], None]) -> None:
    """PyTorch, whose default build for Linux on Intel wants gigabytes of CUDA libraries and cannot be imported without them.

    A CPU build is taken where one is to be had: from this machine's own indexes, else from PyTorch's. Only then it is the
    CUDA build with all it needs, which runs on a machine without a GPU too. A line `?name==version` is left out where it has no build
    that fits the others'.
    """
    python = str(target / "bin/python")
    install = [uv.find_uv_bin(), "pip", "install", "--no-config", *index_config.no_index(), "--python", python]
    wanted, optional = [line for line in lines if line[0] != "?"], [line[1:] for line in lines if line[0] == "?"]
    if not _is_cuda(python, wanted, lock):
        _run([*install, "--no-deps", *wanted], lock, log)
        if optional and not _is_cuda(python, optional, lock):
            _run([*install, "--no-deps", *optional], lock, log)
        elif optional:
            log(f"Left out, as this machine's package index has no CPU build of it: {', '.join(optional)}")
    else:
        log("The package index has only the CUDA build of PyTorch: trying PyTorch's own index of CPU builds")
        try:
            if index_config.no_index():
                raise Failed("This machine is told to use no index")
            aside = {"UV_HTTP_TIMEOUT": "20", "UV_HTTP_RETRIES": "1"}
            _run([*install, "--no-deps", *wanted, *optional, "--torch-backend", "cpu"], lock, lambda line: None, more=aside)
        except Failed:
            log("That index is out of reach: installing the CUDA build with its libraries (3 GB or more, needed even without a GPU)")
            _run([*install, *wanted, *optional], lock, log)
    _run([python, "-c", "import torch"], lock, log)


def _is_cuda(python: str, wanted: list[str], lock: int) -> bool:
    """Whether the indexes of this machine would give CUDA builds: for Linux on Intel all but the versions that say `+cpu`."""
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "AMD64"):
        return False
    found: list[str] = []
    with tempfile.NamedTemporaryFile("w", suffix=".in") as file:
        file.write("\n".join(wanted))
        file.flush()
        aside = ["--no-config", *index_config.no_index(), "--no-deps", "--no-header"]
        command = [uv.find_uv_bin(), "pip", "compile", *aside, "--python", python, file.name]
        _run(command, lock, found.append)
    return any(line.startswith(("torch==", "torchvision==")) and "+cpu" not in line for line in found)


def _run(argv: list[str], lock: int, log: Callable[[str], None], check: bool = True, more: dict[str, str] | None = None) -> None:
    env = {key: value for key, value in os.environ.items() if key not in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME")}
    env = index_config.uv_env() | env | {"NO_COLOR": "1", "UV_PYTHON_DOWNLOADS": "never"} | (more or {})
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
