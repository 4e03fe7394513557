"""One tier tried for real: a box with everything a run needs, `true` in it, and a listening socket put into its network.

Run as a process of its own (`probe.py`), because entering namespaces wants a single-threaded process. Exit code 0: it works.
"""

from __future__ import annotations

import os
import sys

from modelyard.runtime.process import launch, netns, root
from modelyard.runtime.process.cheap import suppress


def main(tier: str, bwrap: str | None, folder: str) -> None:
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    try:
        code, why = _try(tier, bwrap, folder, write_end)
    except OSError as error:
        code, why = 1, str(error)
    if code != 0:
        with suppress(BlockingIOError):
            why = f"{why} {os.read(read_end, 4096).decode('utf-8', 'replace')}".strip()
        sys.stderr.write(why)
    sys.exit(min(code, 255))


def _try(tier: str, bwrap: str | None, folder: str, output: int) -> tuple[int, str]:
    steps = [*root.system(), *root.kernel_files(tier != "no-proc"), ("tmpfs", "/tmp")]
    plan = {"root": folder, "mounts": steps, "hostname": "probe", "argv": ["true"], "env": {"PATH": "/usr/bin:/bin"}, "cwd": "/"}
    plan |= {"ports": [8080], "serve": None}
    if tier == "ctypes":
        from modelyard.runtime.process import namespaces

        start = namespaces.start
    else:
        plan["argv"] = root.bwrap_argv(bwrap, steps, "probe", "/", ["true"])
        start = launch.bubblewrap
    box = start(plan, output, lambda: None)
    why = ""
    try:
        if box.init is not None:
            for fd in netns.listen_inside(box.init, [8080]):
                os.close(fd)
    except OSError as error:
        why = f"its network cannot be entered: {error}"
        box.kill()
    box.release()
    _, status = os.waitpid(box.child, 0)
    code = abs(os.waitstatus_to_exitcode(status))
    return (code or 1, why) if why else (code, box.complaint() or "")
