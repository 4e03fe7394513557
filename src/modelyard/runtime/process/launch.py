"""Starting the box of a run, in each tier. Every launcher answers a `Box`: what the shim steers.

child   our child process: its end is the run's end, its exit status the payload's
init    process 1 of the box, whose end takes the whole box with it (None: there is no such process)
release lets the payload start (the box waits, so that sockets can be put into it first)
"""

from __future__ import annotations

import os
import time

from modelyard.runtime.process import rundir
from modelyard.runtime.process.cheap import signal, suppress


class Box:
    def __init__(self, child: int, init: int | None, gate: int | None, report: int) -> None:
        self.child, self.init, self._gate, self._report = child, init, gate, report
        self.payload: int | None = None if init else child
        os.set_blocking(report, False)

    def complaint(self) -> str | None:
        """After the end: why the payload never ran; None when it did."""
        with suppress(BlockingIOError):
            return os.read(self._report, 4096).decode("utf-8", "replace") or None
        return None

    def release(self) -> None:
        if self._gate is not None:
            with suppress(OSError):
                os.write(self._gate, b"go")
            os.close(self._gate)
            self._gate = None

    def terminate(self) -> bool:
        """SIGTERM to the payload itself (as to the main process of a container); False: it is not there yet."""
        if self.payload is None and self.init is not None:
            self.payload = next(iter(rundir.children(self.init)), None)
        if self.payload is None:
            return False
        with suppress(ProcessLookupError):
            os.kill(self.payload, signal.SIGTERM)
        return True

    def kill(self) -> None:
        """SIGKILL of the whole tree."""
        with suppress(ProcessLookupError):
            os.kill(self.init or self.child, signal.SIGKILL)


def fork_exec(argv: list[str], env: dict[str, str], output: int, keep: list[int], before_exec, report: int = 2) -> int:
    """Start a process with `output` as stdout and stderr and nothing as stdin; `keep` stay open in it. What keeps it from
    starting is written to `report`."""
    child = os.fork()
    if child:
        return child
    try:
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        for fd in keep:
            os.set_inheritable(fd, True)
        before_exec()
        for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        os.execve(argv[0], argv, env)
    except BaseException as error:
        os.write(report, f"cannot start {argv[0]!r}: {error}".encode())
    finally:
        os._exit(127)


class Bubblewrap(Box):
    def complaint(self) -> str | None:
        """bubblewrap reports an exit code only of a payload that it could start; else it has said why in the log."""
        said = b""
        with suppress(BlockingIOError):
            said = os.read(self._report, 4096)
        return None if b'"exit-code"' in said else "the payload could not be started; the last line of the log says why"


def bubblewrap(plan: dict, output: int, before_exec) -> Box:
    """`plan["argv"]` is bubblewrap's command line; it tells process 1 of the box and waits at the gate."""
    status_read, status_write = os.pipe()
    gate_read, gate_write = os.pipe()
    head, *rest = plan["argv"]
    argv = [head, "--json-status-fd", str(status_write), "--block-fd", str(gate_read), *rest]
    child = fork_exec(argv, plan["env"], output, [status_write, gate_read], lambda: _prepare(plan, before_exec))
    os.close(status_write)
    os.close(gate_read)
    if plan["ports"] or plan["serve"]:
        import ctypes  # noqa: F401 (needed in a moment, to enter the box's network; bubblewrap works meanwhile)
    said = b""
    while b"}" not in said:
        piece = os.read(status_read, 4096)
        if not piece:
            break  # it failed before it had a child: what it said is in the log, its exit status comes
        said += piece
    init = None
    if b'"child-pid":' in said:
        init = int(said.split(b'"child-pid":', 1)[1].lstrip().split(b",")[0].split(b"\n")[0].strip(b" }"))
    return Bubblewrap(child, init, gate_write, status_read)


def _prepare(plan: dict, before_exec) -> None:
    before_exec()
    if plan.get("joined"):
        from modelyard.runtime.process import network

        network.enter(plan["joined"])


class PlainBox(Box):
    """No namespaces: a session of its own, whose members and descendants are looked for when it must end."""

    def kill(self) -> None:
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            left = [pid for pid in descendants(os.getpid()) if pid not in self.spared]
            with suppress(ProcessLookupError):
                os.killpg(self.child, signal.SIGKILL)
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if not [pid for pid in left if not _is_zombie(pid)]:
                return
            time.sleep(0.005)

    spared: tuple[int, ...] = ()


def plain(plan: dict, output: int, before_exec) -> Box:
    def prepare() -> None:
        os.setsid()
        before_exec()
        os.chdir(plan["cwd"])

    argv = plan["argv"]
    report_read, report_write = os.pipe()
    adopt_orphans()
    child = fork_exec([on_path(argv[0], plan["env"]), *argv[1:]], plan["env"], output, [], prepare, report_write)
    os.close(report_write)
    return PlainBox(child, None, None, report_read)


def adopt_orphans() -> None:
    """Descendants whose parent ends become our children (prctl(2), Linux): a daemon of the payload cannot slip away."""
    import ctypes

    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER


def on_path(program: str, env: dict[str, str]) -> str:
    """Where `program` is by the payload's own PATH (`os.execvpe` would import modules that a box may not have)."""
    if "/" in program:
        return program
    folders = env.get("PATH", os.defpath).split(":")
    found = (os.path.join(folder, program) for folder in folders)
    return next((path for path in found if os.access(path, os.X_OK)), program)


def descendants(pid: int) -> list[int]:
    """All descendants, parents before children."""
    found, queue = [], [pid]
    while queue:
        for child in rundir.children(queue.pop(0)):
            found.append(child)
            queue.append(child)
    return found


def _is_zombie(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] == b"Z"
    except OSError:
        return True


def start_guardian(box: Box) -> int:
    """Without namespaces nothing dies with the shim by itself: a small process waits for the shim's end (also by SIGKILL,
    seen as end of file) and then kills the payload's session and every descendant it had seen. Answers its process id."""
    read_end, write_end = os.pipe()
    shim = os.getpid()
    guardian = os.fork()
    if guardian:
        os.close(read_end)
        return guardian
    try:
        _guard(read_end, write_end, shim, box.child)
    finally:
        os._exit(0)


def _guard(read_end: int, write_end: int, shim: int, child: int) -> None:
    import select

    os.close(write_end)
    os.setsid()
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    for fd in range(3, 256):
        if fd != read_end:
            with suppress(OSError):
                os.close(fd)
    poll = select.poll()
    poll.register(read_end, select.POLLIN)
    known: dict[int, int | None] = {}
    while not poll.poll(500):
        known = {pid: rundir.start_ticks(pid) for pid in descendants(shim) if pid != os.getpid()}
    with suppress(OSError):
        os.killpg(child, signal.SIGKILL)
    for pid, ticks in known.items():
        if ticks is not None and rundir.start_ticks(pid) == ticks:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
