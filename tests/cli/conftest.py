"""A supervisor on a thread-free footing: it runs in a process of its own with stand-in children."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelyard import datafolder
from tests.support import patience

RUNNER = """
import sys
from pathlib import Path
from modelyard.config import Settings
from modelyard.supervisor import Supervisor
fake, data, engines, *more = sys.argv[1:]
command = lambda role, index, settings: [sys.executable, fake, role, *more]
settings = Settings(data=Path(data), port=0, engines=int(engines))
sys.exit(Supervisor(settings, say=lambda text: print(text, flush=True), command=command).run())
"""
ROOT = Path(__file__).resolve().parents[2]


def wait(what, seconds=10.0):
    """Polls until `what()` is true and answers it."""
    deadline = patience.deadline(seconds)
    while time.monotonic() < deadline:
        if found := what():
            return found
        time.sleep(0.01)
    raise AssertionError(f"waited {seconds} s in vain")


class Platform:
    def __init__(self, data: Path) -> None:
        self.data = data
        self.process = None

    def start(self, engines=1, *more):
        words = [sys.executable, "-c", RUNNER, str(ROOT / "tests/cli/fake_child.py"), str(self.data), str(engines), *more]
        self.process = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, stdout=subprocess.PIPE, text=True)
        return self

    def ready(self):
        return wait(lambda: self.state() if self.state().get("ready") and self.pid("supervisor") == self.process.pid else None)

    def state(self):
        return datafolder.load_state(self.data)

    def pid(self, role):
        return next((p["pid"] for p in self.state().get("processes", []) if p["role"] == role), None)


@pytest.fixture
def platform(tmp_path):
    made = Platform(tmp_path / "data")
    yield made
    pids = [p["pid"] for p in made.state().get("processes", [])]
    if made.process and made.process.poll() is None:
        made.process.terminate()
        made.process.wait(20)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
