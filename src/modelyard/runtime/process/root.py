"""What a box sees of this machine: an explicit, minimal root, as data.

Each step is a tuple: ("ro", source, target) · ("rw", source, target) · ("link", text, target) ·
("tmpfs", target) · ("proc", target) · ("dev", target). Nothing else of the host is visible.
"""

from __future__ import annotations

import os
from pathlib import Path

VENV, IMAGE, SOCKETS, ALGORITHMS = "/opt/venv", "/opt/image", "/run/modelyard", "/opt/modelyard"

ETC = (
    "ssl", "ca-certificates", "pki", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "timezone", "alternatives", "mime.types",
    "protocols", "services", "locale.alias", "fonts", "magic", "bash.bashrc", "profile", "inputrc", "java-17-openjdk", "login.defs", "debian_version", "os-release",
)  # fmt: skip
PROC_FILES = ("cpuinfo", "meminfo", "stat", "version", "filesystems", "uptime", "loadavg")

PASSWD = "root:x:0:0:root:/root:/bin/bash\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
GROUP = "root:x:0:\nnogroup:x:65534:\n"
NSSWITCH = "passwd: files\ngroup: files\nhosts: files\n"


def system() -> list[tuple]:
    """/usr and what belongs to it, read-only; merged-/usr systems have links in the place of /bin, /lib …"""
    steps: list[tuple] = [("ro", "/usr", "/usr")]
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/") / name
        if path.is_symlink():
            steps.append(("link", os.readlink(path), str(path)))
        elif path.is_dir():
            steps.append(("ro", str(path), str(path)))
    steps += [("ro", f"/etc/{name}", f"/etc/{name}") for name in ETC if os.path.exists(f"/etc/{name}")]
    steps += [("ro", str(path), str(path)) for path in (Path("/sys/devices/system"),) if path.exists()]
    return steps


def own_etc(folder: Path, hostname: str, hosts: list[str]) -> list[tuple]:
    """Files of /etc that are the box's own; written into `folder` (the run's) and mounted read-only."""
    names = list(dict.fromkeys(["localhost", hostname, *hosts]))
    texts = {
        "hosts": f"127.0.0.1 {' '.join(names)}\n::1 localhost\n",
        "hostname": hostname + "\n",
        "passwd": PASSWD,
        "group": GROUP,
        "nsswitch.conf": NSSWITCH,
        "resolv.conf": "",
    }
    folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text)
    return [("ro", str(folder / name), f"/etc/{name}") for name in texts]


def kernel_files(new_proc: bool) -> list[tuple]:
    """/dev, and /proc: the box's own, or (where a new one cannot be mounted) a few harmless files of the host's.
    The host's whole /proc is never shown: it has the environments of the platform's processes."""
    if new_proc:
        return [("proc", "/proc"), ("dev", "/dev")]
    return [("tmpfs", "/proc"), *(("ro", f"/proc/{name}", f"/proc/{name}") for name in PROC_FILES), ("dev", "/dev")]


def python_home(env_path: str) -> str | None:
    """The base installation of an environment's Python: its interpreter is a link into it, so the box needs it at
    the same path. None when it is under /usr anyway."""
    for line in (Path(env_path) / "pyvenv.cfg").read_text().splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "home":
            prefix = os.path.realpath(os.path.join(value.strip(), ".."))
            return None if prefix == "/usr" or prefix.startswith("/usr/") else prefix
    raise ValueError(f"{env_path} is not a Python environment: its pyvenv.cfg names no home")


def bwrap_arguments(steps: list[tuple]) -> list[str]:
    """The same steps in bubblewrap's words."""
    words = {"ro": "--ro-bind", "rw": "--bind", "link": "--symlink", "tmpfs": "--tmpfs", "proc": "--proc", "dev": "--dev"}
    return [text for step in steps for text in (words[step[0]], *step[1:])]
