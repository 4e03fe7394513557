"""Work beside an engine, in a process of its own: it has the machine's other cores, its own memory, and ends with the engine.

`platform.apart(words)` (engine only) starts `modelyard _work WORDS`, waits for its end on the calling thread, and raises where it did not
end well. The process holds the read end of a pipe; however the engine dies, the pipe ends, and with it the work: the next engine starts
what is not done again. What the work has finished it leaves in the store or in files.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import BinaryIO

from modelyard.config import Settings
from modelyard.supervisor import child_environment


class Died(RuntimeError):
    """The process did not end well; what it said is in the engine's log."""


class Apart:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def __call__(self, words: list[str]) -> None:
        command = [sys.executable, "-m", "modelyard", "_work", "--data", str(self._settings.data), *words]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=sys.stderr, cwd="/", env=child_environment()) as process:
            code = process.wait()
        if code != 0:
            raise Died(f"{words[0]} ended with {code}")


def end_with(leash: BinaryIO) -> None:
    """This process ends at once when the other end of `leash` is closed."""

    def hold() -> None:
        while os.read(leash.fileno(), 1):
            pass
        os._exit(1)

    threading.Thread(target=hold, name="leash", daemon=True).start()
