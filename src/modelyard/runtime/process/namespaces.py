"""A box from the kernel's own means, where bubblewrap is not installed: namespaces, mounts and a small process 1,
through ctypes (Python's `os.unshare` is 3.12+). Works as root and, where user namespaces are allowed, as anybody.

Three processes: the watcher (child of the shim; makes the namespaces), process 1 of the box (mounts, then reaps),
and the payload. Each dies with its parent.
"""

from __future__ import annotations

import ctypes
import os

from modelyard.runtime.process import network, rundir
from modelyard.runtime.process.cheap import signal, suppress
from modelyard.runtime.process.launch import Box, on_path

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = (
    0x20000,
    0x4000000,
    0x8000000,
    0x10000000,
    0x20000000,
    0x40000000,
)
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS, PR_CAPBSET_DROP = 1, 38, 24
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")

libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments, told: str = "") -> None:
    if getattr(libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name} {told}: {os.strerror(code)}")


def start(plan: dict, output: int, before_exec) -> Box:
    """See `launch.bubblewrap`: the box waits at a gate before its payload."""
    ready_read, ready_write = os.pipe()
    gate_read, gate_write = os.pipe()
    report_read, report_write = os.pipe()
    os.makedirs(plan["root"], exist_ok=True)
    child = os.fork()
    if child == 0:
        try:
            os.close(ready_read)
            os.close(gate_write)
            _watcher(plan, output, before_exec, (ready_write, gate_read, report_write))
        except BaseException as error:
            os.write(report_write, f"the sandbox could not be set up: {error}".encode())
        finally:
            os._exit(126)
    for fd in (ready_write, gate_read, report_write):
        os.close(fd)
    told = os.read(ready_read, 1)  # nothing: it failed, and reported why
    os.close(ready_read)
    init = next(iter(rundir.children(child)), None) if told else None
    return Box(child, init, gate_write, report_read)


def _watcher(plan: dict, output: int, before_exec, pipes: tuple[int, int, int]) -> None:
    _die_with_parent()
    before_exec()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    signal.set_wakeup_fd(-1)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    joined = plan.get("joined")
    if joined:
        network.enter(joined)
    _close_all_but(*pipes)
    uid, gid = os.geteuid(), os.getegid()
    own_network = 0 if joined else CLONE_NEWNET
    _call("unshare", CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | own_network | CLONE_NEWIPC | CLONE_NEWUTS)
    _put("/proc/self/setgroups", "deny")
    _put("/proc/self/uid_map", f"0 {uid} 1")
    _put("/proc/self/gid_map", f"0 {gid} 1")
    init = os.fork()
    if init == 0:
        try:
            _process_one(plan, *pipes)
        except BaseException as error:
            os.write(pipes[2], f"the sandbox could not be set up: {error}".encode())
        finally:
            os._exit(126)
    for fd in pipes:
        os.close(fd)
    _, status = os.waitpid(init, 0)
    os._exit(_shell_code(status))


def _process_one(plan: dict, ready: int, gate: int, report: int) -> None:
    _die_with_parent()
    os.setsid()
    _call("sethostname", plan["hostname"].encode(), len(plan["hostname"]))
    if not plan.get("joined"):
        _loopback_up()
    with suppress(OSError):  # no user namespace inside, where the payload would have every capability again
        _put("/proc/sys/user/max_user_namespaces", "0")
    build_root(plan["root"], plan["mounts"])
    os.write(ready, b"r")
    os.close(ready)
    if not os.read(gate, 1):
        os._exit(126)
    os.close(gate)
    payload = os.fork()
    if payload == 0:
        _payload(plan, report)
    os.close(report)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    while True:
        pid, status = os.wait()
        if pid == payload:
            os._exit(_shell_code(status))


def _payload(plan: dict, report: int) -> None:
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        _drop_privileges()
        os.chdir(plan["cwd"])
        os.execve(on_path(plan["argv"][0], plan["env"]), plan["argv"], plan["env"] | {"PWD": plan["cwd"]})
    except BaseException as error:
        os.write(report, f"cannot start {plan['argv'][0]!r}: {error}".encode())
    finally:
        os._exit(127)


def build_root(root: str, steps: list[tuple]) -> None:
    """Mount `steps` (see `root.py`) below `root` in this mount namespace and make it the root."""
    _call("mount", None, b"/", None, MS_REC | MS_PRIVATE, None, told="/")
    _mount("tmpfs", root, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    for kind, *words in steps:
        target = root + words[-1]
        if kind in ("ro", "rw"):
            _make_point(target, os.path.isdir(words[0]))
            _mount(words[0], target, None, MS_BIND | MS_REC, None)
            if kind == "ro":
                _read_only(target)
        elif kind == "link":
            os.makedirs(os.path.dirname(target), exist_ok=True)
            os.symlink(words[0], target)
        else:
            os.makedirs(target, exist_ok=True)
            if kind == "proc":
                _mount("proc", target, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, None)
            elif kind == "tmpfs":
                _mount("tmpfs", target, "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
            else:
                _devices(target)
    old = root + "/.old"
    os.mkdir(old)
    os.chdir(root)
    _call("pivot_root", b".", b".old", told=root)
    os.chdir("/")
    _call("umount2", b"/.old", MNT_DETACH, told="/.old")
    os.rmdir("/.old")
    _call("mount", None, b"/", None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, None, told="/")


def _devices(target: str) -> None:
    _mount("tmpfs", target, "tmpfs", MS_NOSUID, "mode=755")
    for name in DEVICES:
        _make_point(f"{target}/{name}", False)
        _mount(f"/dev/{name}", f"{target}/{name}", None, MS_BIND, None)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        os.symlink(f"/proc/self/fd/{number}", f"{target}/{name}")
    os.symlink("/proc/self/fd", f"{target}/fd")
    os.mkdir(f"{target}/shm", 0o1777)
    _mount("tmpfs", f"{target}/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777")


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None) -> None:
    _call("mount", source.encode(), target.encode(), kind and kind.encode(), flags, data and data.encode(), told=f"{source} at {target}")


def _read_only(target: str) -> None:
    """A bind mount becomes read-only by a second call, which must keep the flags the mount has got from its source
    (in a user namespace they are locked)."""
    kept = os.statvfs(target).f_flag & (os.ST_NOSUID | os.ST_NODEV | os.ST_NOEXEC | os.ST_NOATIME | os.ST_NODIRATIME | os.ST_RELATIME)
    flags = 0
    for have, flag in ((os.ST_NOSUID, MS_NOSUID), (os.ST_NODEV, MS_NODEV), (os.ST_NOEXEC, MS_NOEXEC), (os.ST_NOATIME, 1024), (os.ST_NODIRATIME, 2048), (os.ST_RELATIME, 1 << 21)):  # fmt: skip
        flags |= flag if kept & have else 0
    _call("mount", None, target.encode(), None, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, None, told=f"{target} read-only")


def _make_point(target: str, folder: bool) -> None:
    if folder:
        os.makedirs(target, exist_ok=True)
    elif not os.path.lexists(target):
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o644))


def _loopback_up() -> None:
    import fcntl
    import socket
    import struct

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH22x", b"lo", 1))  # SIOCSIFFLAGS, IFF_UP


def _drop_privileges() -> None:
    """No capability, and no way to get one: the box is root in name only."""
    for number in range(64):
        libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    _call("capset", header, (ctypes.c_uint32 * 6)(), told="")
    _call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, told="")


def _die_with_parent() -> None:
    parent = os.getppid()
    _call("prctl", PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0, told="")
    if parent != os.getppid():
        os._exit(126)


def _close_all_but(*kept: int) -> None:
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in kept:
            with suppress(OSError):
                os.close(int(name))


def _put(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)


def _shell_code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code
