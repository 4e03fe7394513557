"""A runtime on a fresh folder, once per sandbox tier that this machine offers."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import uv

from modelyard.config import Settings
from modelyard.runtime.base import RunSpec, RunState
from modelyard.runtime.process import ProcessRuntime, probe
from tests.support import patience
from tests.support.needs import require

TIERS = ("full", "no-proc", "ctypes", "degraded")


@functools.cache
def offered() -> list[str]:
    return probe.offered()


@pytest.fixture(params=TIERS)
def tier(request, monkeypatch) -> str:
    if request.param not in offered():
        pytest.skip(f"this machine does not offer the tier {request.param}")
    monkeypatch.setenv("MODELYARD_TIER", request.param)
    return request.param


@pytest.fixture
def best_tier(monkeypatch) -> str:
    monkeypatch.delenv("MODELYARD_TIER", raising=False)
    return offered()[0]


class Bench:
    """A runtime and the few things every test wants of it."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(data=folder, cache=folder / "cache")
        self.runtime = ProcessRuntime(self.settings)
        self.folder_of_ml = folder / "ml"

    def spec(self, run_id: str, argv: list[str], env: dict[str, str] | None = None, **more) -> RunSpec:
        return RunSpec(run_id, argv, env or {}, str(self.folder_of_ml / run_id), **more)

    def start(self, run_id: str, argv: list[str], env: dict[str, str] | None = None, **more) -> RunState:
        return self.runtime.ensure(self.spec(run_id, argv, env, **more))

    def wait(self, run_id: str, state: str = "exited", seconds: float = 20) -> RunState:
        return until(lambda: self.runtime.look(run_id), lambda run: run.state == state, seconds)

    def run(self, run_id: str, argv: list[str], env: dict[str, str] | None = None, **more) -> tuple[RunState, str]:
        """Start, wait for the end, answer the verdict and the output without its stamps and our own lines."""
        self.start(run_id, argv, env, **more)
        return self.wait(run_id), self.output(run_id)

    def output(self, run_id: str) -> str:
        lines = (self.runtime.folder(run_id) / "log").read_bytes().decode().split("\n")[:-1]
        texts = [line.partition(" ")[2] for line in lines]
        return "".join(text + "\n" for text in texts if not text.startswith("[modelyard]"))

    def ml(self, run_id: str) -> Path:
        return self.folder_of_ml / run_id


def until(look, good, seconds: float = 20):
    """Poll `look()` until it is `good`, with a bound; answers the last look."""
    deadline = patience.deadline(seconds)
    while not good(seen := look()):
        assert time.monotonic() < deadline, f"still {seen} after {seconds} s"
        time.sleep(0.01)
    return seen


@pytest.fixture
def bench(tier):
    with _bench() as made:
        yield made


@pytest.fixture
def best(best_tier):
    """A bench of the machine's best tier, for what does not depend on the tier (but on there being a box)."""
    require("sandbox")
    with _bench() as made:
        yield made


@contextlib.contextmanager
def _bench():
    with tempfile.TemporaryDirectory(prefix="my-rt-", ignore_cleanup_errors=True) as folder:  # short: unix sockets are made in it
        made = Bench(Path(folder))
        yield made
        for run_id in made.runtime.ids():
            made.runtime.remove(run_id)


@pytest.fixture(scope="session")
def tiny_image(tmp_path_factory) -> str:
    """An environment as an image build leaves it, with one module and pip's absence: made in milliseconds."""
    folder = tmp_path_factory.mktemp("image") / "tiny"
    subprocess.run([uv.find_uv_bin(), "venv", "-q", "--no-project", "--python", os.path.realpath(sys.executable), str(folder)], check=True)
    packages = next(folder.glob("lib/python3.*/site-packages"))
    (packages / "tinylib.py").write_text("WHO = 'the image'\n")
    script = folder / "bin" / "tinytool"
    script.write_text("#!/usr/bin/env python3\nimport sys, tinylib; print(tinylib.WHO, sys.prefix)\n")
    script.chmod(0o755)
    return str(folder)
