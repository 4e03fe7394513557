"""Packages the user wants on top of the image's: from `requirements.txt`, or by `pip install` in the script itself.

The image's environment is read-only and shared. The platform's runtime lays an environment of the run's own over it
(`runtime/process/layer.py`; `_image.pth` tells), and then pip just works. Run without that, the same is made here:
an empty environment whose interpreter sees the image's packages through a path file; what pip installs goes there
and comes first. pip finds it by PIP_PYTHON, also in a user's script.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig

FOLDER = "/tmp/modelyard-packages"
UNREACHED = "The package index could not be reached from this container: it is isolated from the network (EnableNetworkIsolation), or this machine is offline."
"""Added to what pip says: without a way to the index it only says that there is no such version."""


class InstallError(Exception):
    """pip failed; `command` and `code` say how, `output` is the end of what it said."""

    def __init__(self, command: str, code: int, output: str):
        super().__init__(output)
        self.command, self.code, self.output = command, code, output


def overlay() -> dict[str, str]:
    """Make the job's own environment over the image's, unless it has one; answers variables for programs and for pip."""
    image = sysconfig.get_paths()["purelib"]
    quiet = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    if os.path.exists(os.path.join(image, "_image.pth")):
        return quiet | {"PYTHONPATH": os.pathsep.join(_inherited(""))}
    root = os.environ.get("MODELYARD_PACKAGES", FOLDER)
    site = os.path.join(root, "lib", f"python{sys.version_info[0]}.{sys.version_info[1]}", "site-packages")
    python = os.path.join(root, "bin", "python")
    if not os.path.lexists(python):
        os.makedirs(site, exist_ok=True)
        os.makedirs(os.path.dirname(python), exist_ok=True)
        base = os.path.realpath(sys.executable)
        with open(os.path.join(root, "pyvenv.cfg"), "w") as file:
            file.write(f"home = {os.path.dirname(base)}\ninclude-system-site-packages = false\n")
        with open(os.path.join(site, "image.pth"), "w") as file:
            file.write(f"import site; site.addsitedir({image!r})\n")
        os.symlink(base, python)
    return quiet | {
        "PIP_PYTHON": python,
        "PYTHONPATH": os.pathsep.join([site, *_inherited(site)]),
        "PATH": os.pathsep.join([os.environ.get("PATH", os.defpath), os.path.dirname(python)]),
    }


def _inherited(site: str) -> list[str]:
    """PYTHONPATH as it is, without this package's own entry: user programs do not see it."""
    ours = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return [path for path in given if path and path != site and os.path.abspath(path) != ours]


def install(folder: str, variables: dict[str, str]) -> bool:
    """Install `folder/requirements.txt`, if there is one, with its output in the log; answers whether anything is new. Raises InstallError."""
    if not os.path.exists(os.path.join(folder, "requirements.txt")) or os.environ.get("MODELYARD_INSTALLED") == folder:
        return False
    command = [sys.executable, "-m", "pip", "install", "-r", "requirements.txt"]
    process = subprocess.Popen(
        command, cwd=folder, env=os.environ | variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    last: list[str] = []
    unreached = fresh = False
    for line in process.stdout:
        sys.stdout.write(line)
        sys.stdout.flush()
        last = [*last[-20:], line]
        fresh = fresh or line.startswith("Successfully installed")
        unreached = unreached or "connection broken by" in line
    if code := process.wait():
        said = "".join(line for line in last if "ERROR" in line).strip() or "".join(last).strip()
        raise InstallError(" ".join(command), code, f"{said}\n{UNREACHED}" if unreached else said)
    return fresh
