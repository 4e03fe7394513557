"""Memory, CPU and process limits of a run by control groups: version 2 where it can be written, else version 1.

`bases()` finds, once per platform start, the folders under which groups can be made; a `Group` is one run's.
A base is `{"version": 1 | 2, "memory": folder, "cpu": folder, "pids": folder}`; what is missing has no limit here.
"""

from __future__ import annotations

import os
import time

from modelyard.runtime.process.cheap import signal, suppress

CONTROLLERS = ("memory", "cpu", "pids")
CPU_PERIOD_US = 100_000
MOST_REFUSED, MOST_SECONDS = 500, 5.0
"""Forks refused without a pause, and for how long. What has no room for a thread says so and ends; what goes on like this is a bomb.
The time counts because thousands of forks hold each other up: the more processes there are, the fewer are refused in a second."""


def bases(root: str = "/sys/fs/cgroup", self_path: str = "/proc/self/cgroup") -> dict:
    """Where groups can be made on this machine; `{}` if nowhere."""
    try:
        with open(self_path) as file:
            lines = [line.rstrip("\n").split(":", 2) for line in file]
    except OSError:
        return {}
    if os.path.exists(os.path.join(root, "cgroup.controllers")):
        own = next((path for number, names, path in lines if number == "0" and not names), "/")
        return _unified(root, own)
    found: dict = {}
    for _, names, path in lines:
        for name in names.split(","):
            if name in CONTROLLERS:
                base = os.path.join(root, name) + (path if path != "/" else "")
                if _can_make_group(base):
                    found[name] = base
    return {"version": 1, **found} if found else {}


def _unified(root: str, own: str) -> dict:
    """Version 2: a folder of ours beside or above us whose children may have the controllers.

    A group that has processes cannot give controllers to children (cgroups(7), "no internal processes"), so our own
    group never serves, except the real root group; its parent serves where it was delegated to this user.
    """
    for folder in (root, os.path.dirname(root + own.rstrip("/"))):
        if not folder.startswith(root):
            continue
        base = os.path.join(folder, "modelyard")
        try:
            os.makedirs(base, exist_ok=True)
            for place in (folder, base):
                have, offered = (_words(place, name) for name in ("cgroup.subtree_control", "cgroup.controllers"))
                for name in (set(CONTROLLERS) & offered) - have:
                    _write(os.path.join(place, "cgroup.subtree_control"), f"+{name}")
            usable = _words(base, "cgroup.subtree_control")
        except OSError:
            continue
        found = {name: base for name in CONTROLLERS if name in usable}
        if found and _can_make_group(base):
            return {"version": 2, **found}
    return {}


def _words(folder: str, name: str) -> set[str]:
    with open(os.path.join(folder, name)) as file:
        return set(file.read().split())


def _can_make_group(base: str) -> bool:
    probe = os.path.join(base, f"modelyard-probe-{os.getpid()}-{time.monotonic_ns()}")
    try:
        os.mkdir(probe)
        os.rmdir(probe)
    except OSError:
        return False
    return True


class ForkStorm:
    """Tells a fork bomb by how many forks were refused at each look."""

    def __init__(self) -> None:
        self._seen, self._refused, self._since = 0, 0, 0.0

    @property
    def blows(self) -> bool:
        """Whether forks were refused between the last two looks."""
        return self._refused > 0

    def look(self, refused: int, now: float) -> bool:
        """`refused` is the count since the run began, `now` monotonic seconds. True: it is a bomb. A look without a refusal is a pause."""
        more, self._seen = refused - self._seen, refused
        if not more:
            self._refused = 0
            return False
        if not self._refused:
            self._since = now
        self._refused += more
        return self._refused > MOST_REFUSED or now - self._since >= MOST_SECONDS


class Group:
    """The control group(s) of one run. Made before the payload; the child joins before exec; removed at the end."""

    def __init__(self, where: dict, name: str) -> None:
        self._version = where.get("version")
        self._folders = {key: os.path.join(base, "modelyard-" + name) for key, base in where.items() if key != "version"}

    def limits_memory(self) -> bool:
        return "memory" in self._folders

    def make(self, memory_bytes: int | None, cpus: float | None, pids: int | None) -> None:
        for folder in set(self._folders.values()):
            os.makedirs(folder, exist_ok=True)
        if memory_bytes and "memory" in self._folders:
            self._limit_memory(self._folders["memory"], memory_bytes)
        if cpus and "cpu" in self._folders:
            quota = max(1000, int(cpus * CPU_PERIOD_US))
            if self._version == 2:
                _write(self._folders["cpu"] + "/cpu.max", f"{quota} {CPU_PERIOD_US}")
            else:
                _write(self._folders["cpu"] + "/cpu.cfs_period_us", str(CPU_PERIOD_US))
                _write(self._folders["cpu"] + "/cpu.cfs_quota_us", str(quota))
        if pids and "pids" in self._folders:
            _write(self._folders["pids"] + "/pids.max", str(pids))

    def _limit_memory(self, folder: str, memory_bytes: int) -> None:
        if self._version == 2:
            _write(folder + "/memory.max", str(memory_bytes))
            with suppress(OSError):  # absent without swap accounting
                _write(folder + "/memory.swap.max", "0")
        else:
            _write(folder + "/memory.limit_in_bytes", str(memory_bytes))
            with suppress(OSError):
                _write(folder + "/memory.memsw.limit_in_bytes", str(memory_bytes))

    def join(self) -> None:
        """Put the calling process into the group."""
        for folder in set(self._folders.values()):
            _write(folder + "/cgroup.procs", "0")

    def oom_kills(self) -> int:
        """How many processes of the group the kernel killed for want of memory."""
        folder = self._folders.get("memory")
        if folder is None:
            return 0
        name = "memory.events" if self._version == 2 else "memory.oom_control"
        try:
            with open(os.path.join(folder, name)) as file:
                return next((int(line.split()[1]) for line in file if line.startswith("oom_kill ")), 0)
        except (OSError, ValueError):
            return 0

    def refused_forks(self) -> int | None:
        """How many forks of the group were refused for want of room under its limit; None: nothing counts them."""
        try:
            with open(self._folders["pids"] + "/pids.events") as file:
                return next((int(line.split()[1]) for line in file if line.startswith("max ")), 0)
        except (KeyError, OSError):
            return None

    def remove(self) -> None:
        """Kill what is left in it and take it away; a group that will not go is left to the next sweep."""
        for folder in set(self._folders.values()):
            for _ in range(50):
                try:
                    os.rmdir(folder)
                    break
                except FileNotFoundError:
                    break
                except OSError:
                    self._kill(folder)
                    time.sleep(0.01)

    def _kill(self, folder: str) -> None:
        with suppress(OSError, ValueError), open(folder + "/cgroup.procs") as file:
            for pid in file.read().split():
                with suppress(OSError):
                    os.kill(int(pid), signal.SIGKILL)


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
