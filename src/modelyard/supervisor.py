"""The small process behind `modelyard up`: starts gateways and engines, restarts what dies, ends all together.

It owns the listening sockets and hands them to the gateways, so that a connection made while a gateway is being
restarted waits in the kernel instead of being refused. Every child holds the read end of a pipe (its leash)
whose other end only the supervisor has: when the supervisor is killed, the children keep serving for
`app.LEASH_SECONDS`, in which a new `up` takes over or `down` ends them, and then end by themselves.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from modelyard import __version__, datafolder, leftovers, processes, timekeeping
from modelyard.config import Settings
from modelyard.kernel.clock import real_now

GRACE_SECONDS = 10.0
STEADY_SECONDS = 10.0
"""A child that lived this long is no longer counted as failing."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.25, 10.0
READY_SECONDS, HOPELESS_FAILURES = 30.0, 4
"""How long a start may take, and how often a child may fail in it."""
LOG_BYTES = 8 << 20


class PortTaken(Exception):
    """Another process listens on the port; `owner` is (pid, command) where it can be known."""

    def __init__(self, host: str, port: int, owner: tuple[int, str] | None) -> None:
        super().__init__(f"{host}:{port} is in use")
        self.host, self.port, self.owner = host, port, owner


@dataclass
class Child:
    role: str
    index: int
    process: subprocess.Popen[bytes] | None = None
    started: int | None = None
    born: float = 0.0
    failures: int = 0
    restarts: int = -1
    due: float = 0.0
    """When to start it (monotonic); only looked at while there is no process."""


@dataclass
class Supervisor:
    """One run of a platform. `announce(state)` is called once, when the platform answers."""

    settings: Settings
    announce: Callable[[dict[str, Any]], None] = lambda state: None
    say: Callable[[str], None] = lambda text: None
    command: Callable[[str, int, Settings], list[str]] = lambda role, index, settings: child_command(role, index, settings)
    children: list[Child] = field(default_factory=list)
    _stopping: bool = False
    _ready: bool = False

    def run(self) -> int:
        """Serves until SIGTERM or SIGINT; answers the exit code. Raises Held, PortTaken, NewerFormat."""
        folder = self.settings.data
        datafolder.prepare(folder)
        lock = datafolder.Lock(folder)
        before = datafolder.load_state(folder)
        try:
            leftovers.end_children(folder, GRACE_SECONDS)
            self._listener = listen(self.settings.host, self.settings.port)
        except BaseException:
            lock.free()
            raise
        self.settings = replace(self.settings, port=self._listener.getsockname()[1])
        self._egress = _listen_again(before.get("egress_port") or 0)
        self._egress_port = self._egress.getsockname()[1]
        self._endpoint = f"http://{self.settings.host}:{self.settings.port}"
        lock.tell({"pid": os.getpid(), "endpoint": self._endpoint})
        datafolder.save_settings(self.settings)
        timekeeping.start_clock(folder, self.settings.clock_speed)
        self._leash_read, self._leash_write = os.pipe()
        self._save()  # children read the way out from it
        self.children = [Child("gateway", i) for i in range(self.settings.gateways)] + [
            Child("engine", i) for i in range(self.settings.engines)
        ]
        try:
            with _signals() as wakeup:
                return self._watch(wakeup)
        finally:
            self._end()
            lock.free()

    # --- the loop --------------------------------------------------------------------------------

    def _watch(self, wakeup: socket.socket) -> int:
        patience = time.monotonic() + READY_SECONDS
        while True:
            for child in self.children:
                self._tend(child)
            if not self._ready:
                self._ready = self._look_ready()
                if not self._ready and (why := self._hopeless(patience)):
                    self.say(why)
                    return 1
            if select.select([wakeup], [], [], self._nap())[0] and _stop_asked(wakeup):
                return 0

    def _hopeless(self, patience: float) -> str | None:
        """Why the start is given up: a child that cannot even start, or no answer in time."""
        for child in self.children:
            if child.failures >= HOPELESS_FAILURES:
                path = self.settings.data / "logs" / f"{child.role}-{child.index}.log"
                lines = [line for line, _ in groupby(path.read_text(errors="replace").splitlines())]  # each try said the same
                return f"the {child.role} does not start; {path} ends with:\n" + "\n".join(lines[-8:])
        if time.monotonic() > patience:
            return f"the platform did not answer within {READY_SECONDS:.0f} s; see {self.settings.data}/logs"
        return None

    def _nap(self) -> float | None:
        """Until the next thing to do; None: until a signal comes."""
        now = time.monotonic()
        waits = [max(0.0, c.due - now) for c in self.children if c.process is None]
        return min([*waits, *([] if self._ready else [0.01])], default=None)

    def _tend(self, child: Child) -> None:
        now = time.monotonic()
        if child.process is not None and (code := child.process.poll()) is not None:
            child.failures = 0 if now - child.born > STEADY_SECONDS else child.failures + 1
            pause = 0.0 if child.failures <= 1 else min(FIRST_PAUSE_SECONDS * 2 ** (child.failures - 2), LONGEST_PAUSE_SECONDS)
            up_mark(self.settings.data, child.process.pid).unlink(missing_ok=True)
            child.process, child.due = None, now + pause
            self.say(f"{child.role} {child.index} ended ({_ending(code)}); starting it again{f' in {pause:g} s' if pause else ''}")
        if child.process is None and now >= child.due:
            self._start(child)

    def _start(self, child: Child) -> None:
        fds = [self._leash_read]
        argv = [*self.command(child.role, child.index, self.settings), "--leash", str(self._leash_read)]
        if child.role == "gateway":
            fds += [self._listener.fileno(), self._egress.fileno()]
            argv += ["--listener", str(self._listener.fileno()), "--egress", str(self._egress.fileno())]
        with open_log(self.settings.data, f"{child.role}-{child.index}") as log:
            child.process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=fds,
                start_new_session=True,
                cwd=self.settings.data,
                env=child_environment(),
            )
        child.born, child.restarts = time.monotonic(), child.restarts + 1
        child.started = processes.started(child.process.pid)
        self._save()

    def _look_ready(self) -> bool:
        engines = [c.process for c in self.children if c.role == "engine"]
        if not all(process is not None and up_mark(self.settings.data, process.pid).exists() for process in engines):
            return False
        if not answers(self.settings.host, self.settings.port):
            return False
        self._ready = True
        self._save()
        self.announce(datafolder.load_state(self.settings.data))
        return True

    def _save(self) -> None:
        own = {"role": "supervisor", "index": 0, "pid": os.getpid(), "start": processes.started(os.getpid()), "restarts": 0}
        listed = [
            {"role": c.role, "index": c.index, "pid": c.process.pid, "start": c.started, "restarts": c.restarts}
            for c in self.children
            if c.process is not None
        ]
        state = {
            "version": __version__,
            "endpoint": self._endpoint,
            "egress_port": self._egress_port,
            "ready": self._ready,
            "auth": self.settings.auth,
            "account": self.settings.account,
            "region": self.settings.region,
            "clock_speed": self.settings.clock_speed,
            "store": "postgres" if self.settings.store else "sqlite",
            "started_at": real_now(),
            "processes": [own, *listed],
        }
        datafolder.save_state(self.settings.data, state)

    def _end(self) -> None:
        self._listener.close()
        self._egress.close()
        processes.end([(c.process.pid, c.started) for c in self.children if c.process is not None], GRACE_SECONDS)
        for child in self.children:
            if child.process is not None:
                child.process.wait()
                up_mark(self.settings.data, child.process.pid).unlink(missing_ok=True)
        leftovers.end_runs(self.settings.data)
        timekeeping.stop_clock(self.settings.data)
        datafolder.save_state(self.settings.data, {"egress_port": self._egress_port})


# --- leaves --------------------------------------------------------------------------------------


def up_mark(folder: Path, pid: int) -> Path:
    """The file with which an engine says that it works."""
    return folder / "run" / f"engine-{pid}.up"


def child_command(role: str, index: int, settings: Settings) -> list[str]:
    return [sys.executable, "-m", "modelyard", f"_{role}", "--data", str(settings.data), "--index", str(index)]


def child_environment() -> dict[str, str]:
    """This package first on the path, and everything absolute: children start in another folder. Compiled modules are
    kept, whatever the shell says: without them a start takes twice as long."""
    ours = str(Path(__file__).resolve().parents[1])
    theirs = [os.path.abspath(part) for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    path = os.pathsep.join([ours, *(part for part in theirs if part != ours)])
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": path}


def listen(host: str, port: int) -> socket.socket:
    """The platform's one listening socket. Raises PortTaken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as problem:
        listener.close()
        if problem.errno == 98:
            raise PortTaken(host, port, processes.owner_of_port(port)) from None
        raise
    return listener


def _listen_again(port: int) -> socket.socket:
    """The jobs' way out: on the port it had before if that is free, so that running jobs keep theirs."""
    try:
        return listen("127.0.0.1", port)
    except PortTaken:
        return listen("127.0.0.1", 0)


def answers(host: str, port: int) -> bool:
    """Whether the platform says it is well."""
    try:
        with socket.create_connection((host, port), timeout=1.0) as connection:
            connection.sendall(f"GET /_modelyard/health HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n".encode())
            return connection.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def open_log(folder: Path, name: str) -> Any:
    """Appends to logs/NAME.log; a long one is put aside first as NAME.log.1."""
    path = folder / "logs" / f"{name}.log"
    if path.exists() and path.stat().st_size > LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return open(path, "ab")


@contextlib.contextmanager
def _signals() -> Any:
    """A socket that becomes readable, with the signal's number as a byte, when a signal came."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    descriptor = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
    try:
        yield ours
    finally:
        signal.set_wakeup_fd(descriptor)
        for number, handler in before.items():
            signal.signal(number, handler)
        ours.close()
        theirs.close()


def _stop_asked(wakeup: socket.socket) -> bool:
    return any(number != signal.SIGCHLD for number in wakeup.recv(4096))


def _ending(code: int) -> str:
    return f"exit {code}" if code >= 0 else signal.Signals(-code).name
