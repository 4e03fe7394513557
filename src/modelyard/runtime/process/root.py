"""What a box sees of this machine: an explicit, minimal root, as data.

Each step is a tuple: ("ro", source, target) · ("rw", source, target) · ("link", text, target) ·
("tmpfs", target) · ("proc", target) · ("dev", target). Nothing else of the host is visible.
"""

from __future__ import annotations

import functools
import os
import subprocess

VENV, IMAGE, SOCKETS, ALGORITHMS = "/opt/venv", "/opt/image", "/run/modelyard", "/opt/modelyard"

ETC = (
    "ssl", "ca-certificates", "pki", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "timezone", "alternatives", "mime.types",
    "protocols", "services", "locale.alias", "fonts", "magic", "bash.bashrc", "profile", "inputrc", "java-17-openjdk", "login.defs", "debian_version", "os-release",
)  # fmt: skip
PROC_COVERED = ("sys", "sysrq-trigger", "irq", "bus", "fs", "acpi", "scsi", "tty/driver", "mtrr", "driver")
"""Parts of a new /proc that steer this machine. The files there belong to root, and where root runs the platform the box is
that user: without a capability, but their owner. `/proc/sys/kernel/core_pattern` alone would be a way out."""
PROC_EMPTY = ("kcore", "keys", "timer_list", "sched_debug", "latency_stats", "kmsg", "kpagecount", "kpageflags", "kpagecgroup")
PROC_FILES = ("cpuinfo", "meminfo", "stat", "version", "filesystems", "uptime", "loadavg")

PASSWD = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
GROUP = "root:x:0:\nnogroup:x:65534:\n"
NSSWITCH = "passwd: files\ngroup: files\nhosts: files\n"


def system() -> list[tuple]:
    """/usr and what belongs to it, read-only; merged-/usr systems have links in the place of /bin, /lib …"""
    steps: list[tuple] = [("ro", "/usr", "/usr")]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = "/" + name
        if os.path.islink(path):
            steps.append(("link", os.readlink(path), path))
        elif os.path.isdir(path):
            steps.append(("ro", path, path))
    steps += [("ro", f"/etc/{name}", f"/etc/{name}") for name in ETC if os.path.exists(f"/etc/{name}")]
    if os.path.isdir("/sys/devices/system"):
        steps.append(("ro", "/sys/devices/system", "/sys/devices/system"))
    return steps


def own_etc(folder: str, hostname: str, hosts: list[str], addresses: list[str] | None = None) -> list[tuple]:
    """Files of /etc that are the box's own; written into `folder` (the run's) and mounted read-only. `hosts` have these
    `addresses`, or are the box itself."""
    names = list(dict.fromkeys(["localhost", *([] if addresses else [hostname, *hosts])]))
    others = "".join(f"{address} {name}\n" for address, name in zip(addresses or [], hosts, strict=False))
    texts = {
        "hosts": f"127.0.0.1 {' '.join(names)}\n::1 localhost\n{others}",
        "hostname": hostname + "\n",
        "passwd": PASSWD,
        "group": GROUP,
        "nsswitch.conf": NSSWITCH,
        "resolv.conf": "",
    }
    os.makedirs(folder, exist_ok=True)
    for name, text in texts.items():
        with open(os.path.join(folder, name), "w") as file:
            file.write(text)
    return [("ro", os.path.join(folder, name), f"/etc/{name}") for name in texts]


def kernel_files(new_proc: bool) -> list[tuple]:
    """/dev, and /proc: the box's own, or (where a new one cannot be mounted) a few harmless files of the host's.
    The host's whole /proc is never shown: it has the environments of the platform's processes."""
    if new_proc:
        covered = [("ro", path, path) for path in map("/proc/{}".format, PROC_COVERED) if os.path.exists(path)]
        empty = [("ro", "/dev/null", path) for path in map("/proc/{}".format, PROC_EMPTY) if os.path.exists(path)]
        return [("proc", "/proc"), *covered, *empty, ("dev", "/dev")]
    return [("tmpfs", "/proc"), *(("ro", f"/proc/{name}", f"/proc/{name}") for name in PROC_FILES), ("dev", "/dev")]


def python_home(env_path: str) -> str | None:
    """The base installation of an environment's Python: its interpreter is a link into it, so the box needs it at
    the same path. None when it is under /usr anyway."""
    python = os.path.realpath(os.path.join(env_path, "bin", "python"))
    if not os.path.exists(python):
        raise FileNotFoundError(f"{env_path} is not a Python environment: it has no bin/python")
    prefix = os.path.dirname(os.path.dirname(python))
    return None if prefix == "/usr" or prefix.startswith("/usr/") else prefix


def bwrap_arguments(steps: list[tuple]) -> list[str]:
    """The same steps in bubblewrap's words."""
    words = {"ro": "--ro-bind", "rw": "--bind", "link": "--symlink", "tmpfs": "--tmpfs", "proc": "--proc", "dev": "--dev"}
    return [text for step in steps for text in (words[step[0]], *step[1:])]


@functools.cache
def no_inner_namespaces(bwrap: str) -> tuple[str, ...]:
    """`--disable-userns` where it works: from version 0.8 on, and where /proc/sys may be written. In a user namespace of its own
    the payload would have every capability again, and with it most of the kernel to try."""
    argv = [bwrap, "--unshare-user", "--disable-userns", "--ro-bind", "/", "/", "true"]
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    return ("--disable-userns",) if done.returncode == 0 else ()


def bwrap_argv(bwrap: str, steps: list[tuple], hostname: str, cwd: str, argv: list[str], own_network: bool = True) -> list[str]:
    """bubblewrap's command line. The payload's environment is bubblewrap's own: no secret is on a command line. Without
    `own_network` the box stays in the network that bubblewrap is started in."""
    return [
        bwrap, "--unshare-all", *([] if own_network else ["--share-net"]), "--unshare-user", *no_inner_namespaces(bwrap), "--uid", "0", "--gid", "0", "--die-with-parent", "--new-session", "--cap-drop", "ALL",
        "--hostname", hostname, *bwrap_arguments(steps), "--remount-ro", "/", "--chdir", cwd, "--", *argv,
    ]  # fmt: skip
