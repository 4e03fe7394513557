"""A private network for the runs of one job: each has a network namespace of its own with `eth0`, and cables to one bridge.

The first shim that comes starts a small holder process; it makes namespaces when they are asked for and hands their
descriptors out over a unix socket. A user namespace owns them all, so nothing here needs privileges. Each shim holds
descriptors of its own and of the bridge's namespace: the network lives exactly as long as the shims, whoever is killed. The
holder ends soon after the last connection to it.
"""

from __future__ import annotations

import _socket as socket
import array
import fcntl
import os
import select
import time

from modelyard.runtime.process.cheap import signal, suppress
from modelyard.runtime.process.netns import CLONE_NEWNET, CLONE_NEWUSER

INTERFACE, BRIDGE, MOST_HOSTS = "eth0", "hosts", 100
FIRST_WAIT_MS, LINGER_MS = 20_000, 1_000
JOIN_SECONDS = 10


def address(host: int) -> str:
    """Of the `host`th (from 1) of a network."""
    return f"10.77.0.{host}"


def join(path: str, host: int) -> list[int]:
    """Become the `host`th of the network at `path` (a unix socket's place), which is made if it is not there. Answers
    descriptors: user namespace, network namespace, the bridge's, and the connection; whoever holds them keeps the network."""
    deadline = time.monotonic() + JOIN_SECONDS
    while True:
        try:
            return _ask(path, host)
        except (FileNotFoundError, ConnectionError, InterruptedError):  # none yet, or it is just ending
            if time.monotonic() > deadline:
                raise
        _start(path)


def enter(fds: list[int]) -> None:
    """Move this single-threaded process into the joined network."""
    libc = _libc()
    _check(libc.setns(fds[0], CLONE_NEWUSER), "user namespace of the network")
    _check(libc.setns(fds[1], CLONE_NEWNET), "network namespace")


def try_out(path: str) -> None:
    """Two hosts of a network at `path`, made in this process; raises OSError where the kernel refuses."""
    with _unix() as listener:
        listener.bind(path)
        holder = Holder(listener)
        holder._host(-1, 1)
        holder._host(-2, 2)


def is_dead(path: str) -> bool:
    """Whether a network's socket was left by a holder that was killed."""
    with _unix() as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False


def sweep(folder: str) -> None:
    """Removes the sockets of networks whose holder was killed."""
    guard = _guard(folder)
    try:
        for name in os.listdir(folder):
            path = os.path.join(folder, name)
            if name.endswith(".net") and is_dead(path):
                with suppress(FileNotFoundError):
                    os.unlink(path)
    finally:
        os.close(guard)


def _guard(folder: str) -> int:
    """The lock under which networks begin; held until the descriptor is closed."""
    guard = os.open(os.path.join(folder, "networks.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(guard, fcntl.LOCK_EX)
    return guard


class _unix(socket.socket):
    def __init__(self) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)

    def __enter__(self) -> _unix:
        return self

    def __exit__(self, *_) -> None:
        self.close()


def _ask(path: str, host: int) -> list[int]:
    with _unix() as line:
        line.settimeout(JOIN_SECONDS)
        line.connect(path)
        line.send(bytes([host]))
        said, extra, _, _ = line.recvmsg(600, socket.CMSG_LEN(3 * 4))
        fds = array.array("i")
        for _, _, data in extra:
            fds.frombytes(data)
        if not said:
            raise ConnectionResetError("the network is just ending")
        if len(fds) != 3:
            raise OSError(f"no private network: {said.decode('utf-8', 'replace')}")
        for fd in fds:
            os.set_inheritable(fd, False)
        return [*fds, line.detach()]


def _start(path: str) -> None:
    """Start the holder unless another did; one at a time in this folder of sockets."""
    guard = _guard(os.path.dirname(path))
    try:
        if os.path.exists(path):
            if not is_dead(path):
                return
            os.unlink(path)
        with _unix() as listener:
            listener.bind(path)
            os.chmod(path, 0o600)
            listener.listen(MOST_HOSTS)
            if os.fork():
                return
            _hold_and_end(listener, path)
    finally:
        os.close(guard)


def _hold_and_end(listener: socket.socket, path: str) -> None:
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        null = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(null, fd)
        for name in os.listdir("/proc/self/fd"):  # the run's lock above all: a holder must not keep a run alive
            if int(name) > 2 and int(name) != listener.fileno():
                with suppress(OSError):
                    os.close(int(name))
        Holder(listener).serve()
    finally:
        with suppress(OSError):
            os.unlink(path)
        os._exit(0)


class Holder:
    """The namespaces of one network, for as long as somebody is connected."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener, self.made = listener, 0
        self.user = self.hub = -1
        self.hosts: dict[int, tuple[int, str]] = {}
        """connection → its host's namespace, and the end of its cable on the bridge"""

    def serve(self) -> None:
        poll, lines = select.poll(), {}
        poll.register(self.listener.fileno(), select.POLLIN)
        wait: int | None = FIRST_WAIT_MS
        while found := poll.poll(wait):
            for fd, _ in found:
                if fd == self.listener.fileno():
                    line_fd, _ = self.listener._accept()
                    lines[line_fd] = socket.socket(fileno=line_fd)
                    lines[line_fd].settimeout(1)
                    poll.register(line_fd, select.POLLIN)
                elif not self._answer(lines[fd]):
                    poll.unregister(fd)
                    lines.pop(fd).close()
                    self._drop(fd)
            wait = None if lines else LINGER_MS

    def _answer(self, line: socket.socket) -> bool:
        """A wish to be a host; False: the line is closed."""
        try:
            wish = line.recv(1)
            if not wish:
                return False
            fds = array.array("i", self._host(line.fileno(), wish[0]))
            line.sendmsg([b"k"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)])
        except OSError as error:
            with suppress(OSError):
                line.send(str(error).encode()[:500])
            return False
        return True

    def _host(self, line: int, host: int) -> tuple[int, int, int]:
        from modelyard.runtime.process import netlink

        libc = _libc()
        if self.hub < 0:
            self._begin(libc)
        self.made += 1
        name = f"h{self.made}"
        _check(libc.unshare(CLONE_NEWNET), "a network namespace")
        own = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self.hosts[line] = (own, name)
        try:
            netlink.up("lo")
            _check(libc.setns(self.hub, CLONE_NEWNET), "the bridge")
            netlink.add_cable(name, BRIDGE, INTERFACE, own)
            _check(libc.setns(own, CLONE_NEWNET), "a network namespace")
            netlink.add_address(INTERFACE, address(host), 24)
            netlink.up(INTERFACE)
        finally:
            libc.setns(self.hub, CLONE_NEWNET)
        return self.user, own, self.hub

    def _begin(self, libc) -> None:
        from modelyard.runtime.process import netlink

        if self.user < 0:
            uid, gid = os.geteuid(), os.getegid()
            _check(libc.unshare(CLONE_NEWUSER), "a user namespace")
            for name, text in (("setgroups", "deny"), ("uid_map", f"0 {uid} 1"), ("gid_map", f"0 {gid} 1")):
                fd = os.open(f"/proc/self/{name}", os.O_WRONLY)
                os.write(fd, text.encode())
                os.close(fd)
            self.user = os.open("/proc/self/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        _check(libc.unshare(CLONE_NEWNET), "a network namespace")
        netlink.add_bridge(BRIDGE)
        netlink.up(BRIDGE)
        self.hub = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def _drop(self, line: int) -> None:
        from modelyard.runtime.process import netlink

        own, name = self.hosts.pop(line, (-1, ""))
        if own >= 0:
            os.close(own)
            with suppress(OSError):
                netlink.remove(name)


def _libc():
    import ctypes

    return ctypes.CDLL(None, use_errno=True)


def _check(answer: int, what: str) -> None:
    if answer != 0:
        import ctypes

        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
