"""The shim: one small process per run. It sets up the box, starts the payload, writes its log, keeps its limits,
and writes the verdict. It has its own session and no parent, so it outlives engine, gateway and supervisor; the
box dies with it. What it needs to know comes on stdin (`marshal`, see `plan.py`), so that credentials touch no disk.

Started as `python -I -S -c 'import …; main(folder, lock_fd)'`; every import here costs every run's start.
"""

from __future__ import annotations

import marshal
import os
import sys
import time

from modelyard.runtime.process import launch, rundir
from modelyard.runtime.process.cgroup import ForkStorm, Group
from modelyard.runtime.process.cheap import signal, suppress
from modelyard.runtime.process.logfile import LogFile
from modelyard.runtime.process.loop import READ, Loop

WATCHDOG_SECONDS = 0.5
DISK_SECONDS, DISK_WALKS = 1.0, 15
NO_CHILD_YET_SECONDS = 0.02
RESERVE_BYTES = 16384
FORKS_SECONDS, STORM_SECONDS = 1.0, 0.25
"""How often forks are looked at, and how often while some are refused: every fork of the machine waits for those of a bomb."""


def main(folder: str, lock_fd: int) -> None:
    """Detach; the starting process ends when the run's first state is on disk (0), or it could not be written."""
    os.set_inheritable(lock_fd, False)
    plan = marshal.loads(sys.stdin.buffer.read())
    ready_read, ready_write = os.pipe()
    if os.fork():
        os.close(ready_write)
        os._exit(0 if os.read(ready_read, 1) else 1)
    os.close(ready_read)
    os.setsid()
    os.umask(0o022)
    null = os.open("/dev/null", os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(null, 1)
    Shim(folder, lock_fd, plan).run(ready_write)
    os._exit(0)


class Shim:
    def __init__(self, folder: str, lock_fd: int, plan: dict) -> None:
        self.folder, self.lock_fd, self.plan = folder, lock_fd, plan
        self.loop = Loop()
        self.log = LogFile(os.path.join(folder, rundir.LOG))
        self.group = Group(plan["cgroups"], plan["group"])
        self.state: dict = {"state": "starting", "pid": os.getpid(), "start_ticks": rundir.start_ticks(os.getpid())}
        self.box: launch.Box | None = None
        self.ended_by: str | None = None
        self.kill_at: float | None = None
        self.exit_status: int | None = None
        self.helpers: list[int] = []
        self.held: list[int] = []
        self.disk_looks, self.disk_used, self.measuring = 0, 0, False
        self.storm = ForkStorm()

    def run(self, ready: int) -> None:
        wake_read, wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        self._write_state()
        self._put_by()
        os.write(ready, b"r")
        os.close(ready)
        for line in self.plan["first_lines"]:
            self.log.say(line)
        if rundir.read_stop(self.folder) is not None:  # asked for before our handlers were there
            self._finish(ended_by="stop", detail="stopped before it started")
            return
        try:
            output = self._start()
        except OSError as error:
            self.log.say(f"[modelyard] the sandbox could not be set up: {error}")
            self._kill_quietly()
            self._finish(detail=f"the sandbox could not be set up: {error}")
            return
        self.loop.watch(wake_read, READ, lambda events: self._woken(wake_read))
        while self.exit_status is None:
            self.loop.turn()
        self._after(output)

    def _start(self) -> int:
        """Limits, box, sockets in the box, then the payload. Answers the reading end of its output."""
        plan = self.plan
        if plan["cgroups"]:
            self.group.make(plan["memory"], plan["cpus"], plan["pids"])
        if plan["network"]:
            from modelyard.runtime.process import network

            plan["joined"] = network.join(plan["network"]["socket"], plan["network"]["host"])
        output_read, output_write = os.pipe2(os.O_CLOEXEC)
        self.box = LAUNCHERS[plan["launcher"]](plan, output_write, self._in_child)
        os.close(output_write)
        os.set_blocking(output_read, False)
        listeners: list = []
        if self.box.init is not None or plan["launcher"] == "plain":
            listeners = self._connect()
        if plan["launcher"] == "plain":
            guardian = launch.start_guardian(self.box)
            self.helpers.append(guardian)
            self.box.spared = (*self.helpers,)
        self.loop.watch(output_read, READ, lambda events: self._output(output_read))
        self.box.release()
        now = time.time()
        self.state.update(state="running", started_at=now)
        self._write_state(durable=False)  # after a loss of power it is lost, whether it was starting or running
        self._relay(listeners)
        if plan["max_runtime"] is not None:
            self.loop.at(time.monotonic() + plan["max_runtime"], lambda: self._end("max-runtime", plan["grace"]))
        if plan["memory"] and not self.group.limits_memory():
            from modelyard.runtime.process.watchdog import tree_bytes

            self._tree_bytes = tree_bytes
            self.loop.at(time.monotonic() + WATCHDOG_SECONDS, self._watch_memory)
        if plan["disk"]:
            self.loop.at(time.monotonic() + DISK_SECONDS, self._watch_disk)
        if plan["cgroups"]:
            self.loop.at(time.monotonic() + FORKS_SECONDS, self._watch_forks)
        return output_read

    def _in_child(self) -> None:
        if self.plan["cgroups"]:
            self.group.join()
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if self.plan["nice"]:
            os.nice(self.plan["nice"])

    def _connect(self) -> list[tuple[int, int]]:
        """Ways in and out of the box, before its payload. Answers (port, listening descriptor in the box) pairs."""
        plan = self.plan
        listeners: list = []
        if plan["ports"]:
            from modelyard.runtime.process import netns

            listeners = list(zip(plan["ports"], netns.listen_inside(self.box.init, plan["ports"]), strict=True))
        if plan["serve"]:
            self._start_serve_relay(plan["serve"])
        return listeners

    def _relay(self, listeners: list[tuple[int, int]]) -> None:
        """From now on accept in the box. (`socket` is a slow import: only now, while the payload starts.)"""
        if listeners:
            import socket

            from modelyard.runtime.process import relay

            for port, fd in listeners:
                relay.Acceptor(self.loop, socket.socket(fileno=fd), lambda port=port: relay.dial_tcp(port))

    def _start_serve_relay(self, serve: dict) -> None:
        from modelyard.runtime.process import relay

        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        child = os.fork()
        if child:
            os.close(read_end)
            self.held.append(write_end)
            self.helpers.append(child)
            return
        try:
            os.close(self.lock_fd)
            os.close(write_end)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            if self.box.init is not None:
                from modelyard.runtime.process import netns

                netns.enter(self.box.init)
            relay.serve_forever(serve["public"], serve["direct"], serve["port"], read_end)
        except BaseException as error:
            os.write(2, f"serve relay: {error!r}\n".encode())
        finally:
            os._exit(0)

    def _woken(self, wake: int) -> None:
        with suppress(BlockingIOError):
            while os.read(wake, 512):
                pass
        grace = rundir.read_stop(self.folder)
        if grace is not None:
            self._end("stop", grace)
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.box.child:
                self.exit_status = status

    def _end(self, why: str, grace: float) -> None:
        """SIGTERM once; SIGKILL when the grace is over. A later wish may shorten the grace, never lengthen it."""
        when = time.monotonic() + max(0.0, grace)
        if self.kill_at is None:
            self.ended_by = self.ended_by or why
            self._terminate()
        if self.kill_at is None or when < self.kill_at:
            self.kill_at = when
            self.loop.at(when, self.box.kill)

    def _terminate(self) -> None:
        if self.exit_status is None and not self.box.terminate():
            self.loop.at(time.monotonic() + NO_CHILD_YET_SECONDS, self._terminate)

    def _watch_memory(self) -> None:
        if self._tree_bytes(self.box.child) > self.plan["memory"]:
            self.ended_by = self.ended_by or "oom"
            self.box.kill()
        else:
            self.loop.at(time.monotonic() + WATCHDOG_SECONDS, self._watch_memory)

    def _watch_forks(self) -> None:
        refused = self.group.refused_forks()
        if refused is None:
            return
        now = time.monotonic()
        if self.storm.look(refused, now) and self.exit_status is None:
            self.log.say(
                f"[modelyard] the run was ended: it has {self.plan['pids']} processes and threads, all it may have, and goes on forking"
            )
            self.box.kill()
            return
        self.loop.at(now + (STORM_SECONDS if self.storm.blows else FORKS_SECONDS), self._watch_forks)

    def _watch_disk(self) -> None:
        """The folders are walked (by a child: they may be large) when the disk has filled by a part of what the run may write, and
        now and then."""
        limit, folders = self.plan["disk"]["bytes"], self.plan["disk"]["folders"]
        self.loop.at(time.monotonic() + DISK_SECONDS, self._watch_disk)
        self.disk_looks += 1
        disk = os.statvfs(folders[0])
        used = (disk.f_blocks - disk.f_bfree) * disk.f_frsize
        if self.measuring or (used - self.disk_used < limit // 16 and self.disk_looks % DISK_WALKS):
            return
        self.disk_used, self.measuring = used, True
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        if os.fork():
            os.close(write_end)
            self.loop.watch(read_end, READ, lambda events: self._measured(read_end))
            return
        try:
            from modelyard.runtime.process.watchdog import folder_bytes

            os.close(self.lock_fd)
            os.nice(5)
            os.write(write_end, b"%d" % folder_bytes(folders))
        finally:
            os._exit(0)

    def _measured(self, fd: int) -> None:
        told = os.read(fd, 64)
        self.loop.forget(fd)
        os.close(fd)
        self.measuring = False
        if told and int(told) > self.plan["disk"]["bytes"] and self.exit_status is None:
            self.log.say(
                f"[modelyard] the run has written {int(told) >> 20} MiB, more than its volume holds ({self.plan['disk']['bytes'] >> 20} MiB)"
            )
            self.ended_by = self.ended_by or "disk"
            self.box.kill()

    def _output(self, fd: int) -> None:
        try:
            chunk = os.read(fd, 256 * 1024)
        except BlockingIOError:
            return
        if chunk:
            self.log.feed(chunk)
        else:
            self.loop.forget(fd)

    def _after(self, output: int) -> None:
        """The payload has ended: nothing of it may live on, and nothing it said may be lost."""
        self.box.kill()
        with suppress(BlockingIOError):
            while chunk := os.read(output, 256 * 1024):
                self.log.feed(chunk)
        code = os.waitstatus_to_exitcode(self.exit_status)
        number = -code if code < 0 else code - 128 if 128 < code < 160 else None
        code = 128 - code if code < 0 else code
        complaint = self.box.complaint() if self.ended_by is None and code in (1, 126, 127) else None
        if complaint is not None:
            self.log.say(f"[modelyard] {complaint}")
            code, number = 127, None
        elif self.ended_by is None and code != 0 and self.group.oom_kills():
            self.ended_by = "oom"
        self._finish(exit_code=code, signal=number, ended_by=self.ended_by, detail=complaint or "")

    def _kill_quietly(self) -> None:
        if self.box is not None:
            self.box.kill()
            with suppress(OSError):
                os.kill(self.box.child, signal.SIGKILL)

    def _finish(self, **verdict) -> None:
        if self.log.lost:
            self._make_room()
        self.log.close()
        for fd in self.held:
            os.close(fd)
        for pid in self.helpers:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        if self.plan["serve"]:
            with suppress(OSError):
                os.unlink(self.plan["serve"]["public"])
        self.group.remove()
        self.state.update(state="exited", finished_at=time.time(), **verdict)
        while True:
            try:
                self._write_state()
                return
            except FileNotFoundError:
                return  # the run was removed
            except OSError as error:  # a full disk: the verdict must not be lost, so make room, then wait for it
                if self._make_room():
                    continue
                with suppress(OSError):
                    sys.stderr.write(f"state: {error}\n")
                time.sleep(1)

    def _put_by(self) -> None:
        """A little space for the verdict, for when the payload has filled the disk."""
        with suppress(OSError):
            fd = os.open(os.path.join(self.folder, rundir.RESERVE), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.write(fd, bytes(RESERVE_BYTES))
            os.close(fd)

    def _make_room(self) -> bool:
        """Gives up what was put by, then the box's own /tmp and home, which nobody reads any more; False: nothing left."""
        reserve = os.path.join(self.folder, rundir.RESERVE)
        if os.path.exists(reserve):
            os.unlink(reserve)
            return True
        import shutil

        scratch = [path for path in (os.path.join(self.folder, name) for name in ("tmp", "home")) if os.path.isdir(path)]
        for path in scratch:
            shutil.rmtree(path, ignore_errors=True)
        return any(not os.path.isdir(path) for path in scratch)

    def _write_state(self, durable: bool = True) -> None:
        rundir.write_atomic(os.path.join(self.folder, rundir.STATE), rundir.encode_state(self.state), durable)


def _own_namespaces(plan: dict, output: int, before_exec) -> launch.Box:
    from modelyard.runtime.process import namespaces

    return namespaces.start(plan, output, before_exec)


LAUNCHERS = {"bwrap": launch.bubblewrap, "ctypes": _own_namespaces, "plain": launch.plain}
