"""Work beside an engine: it ends with the engine, and tells how it ended."""

from __future__ import annotations

import subprocess
import sys

import pytest

from modelyard import app, datafolder
from modelyard.apart import Apart, Died
from modelyard.config import Settings
from modelyard.supervisor import child_environment

LEASHED = "import sys, time; from modelyard.apart import end_with; end_with(sys.stdin.buffer); print('up', flush=True); time.sleep(60)"


def test_work_ends_when_its_pipe_does():
    command = [sys.executable, "-c", LEASHED]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=child_environment()) as process:
        assert process.stdout.readline() == b"up\n"
        process.stdin.close()
        assert process.wait(20) == 1


def test_how_it_ended_is_told(tmp_path):
    settings = Settings(data=tmp_path / "data")
    datafolder.prepare(settings.data)
    datafolder.save_settings(settings)
    app.build_platform(settings, "engine").store.db.close()
    Apart(settings)(["transform", "nobody", "1"])  # a job that is gone is nothing to do
    with pytest.raises(Died, match="transform ended with 2"):
        Apart(settings)(["transform", "nobody", "no number"])
