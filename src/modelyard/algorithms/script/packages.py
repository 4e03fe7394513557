"""`requirements.txt`: packages the user wants on top of the image's.

The image's environment is read-only and shared, so packages go into a folder of the job that comes first on
the path; pip still sees the image's own packages and installs only what they do not satisfy.
"""

from __future__ import annotations

import os
import subprocess
import sys

FOLDER = "/tmp/modelyard-packages"


class InstallError(Exception):
    """pip failed; `command` and `code` say how, `output` is the end of what it said."""

    def __init__(self, command: str, code: int, output: str):
        super().__init__(output)
        self.command, self.code, self.output = command, code, output


def install(folder: str) -> list[str]:
    """Install `folder/requirements.txt`, if there is one. Answers the folders to put on the user program's PYTHONPATH."""
    if not os.path.exists(os.path.join(folder, "requirements.txt")):
        return []
    target = os.environ.get("MODELYARD_PACKAGES", FOLDER)
    command = [sys.executable, "-m", "pip", "install", "--no-warn-script-location", "--disable-pip-version-check"]
    command += ["--prefix", target, "-r", "requirements.txt"]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    last: list[str] = []
    for line in process.stdout:
        sys.stdout.write(line)
        sys.stdout.flush()
        last = [*last[-20:], line]
    if code := process.wait():
        raise InstallError(" ".join(command), code, "".join(line for line in last if "ERROR" in line).strip() or "".join(last).strip())
    return [os.path.join(target, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}", "site-packages")]
