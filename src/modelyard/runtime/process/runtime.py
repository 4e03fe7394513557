"""ProcessRuntime: runs as sandboxed processes of this machine (see `runtime/base.py` for the contract)."""

from __future__ import annotations

import contextlib
import hashlib
import json
import marshal
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from modelyard.config import Settings
from modelyard.runtime.base import RunSpec, RunState
from modelyard.runtime.process import cgroup, network, plan, probe, rundir
from modelyard.runtime.process.usage import of_trees

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
LEAVING = ".leaving-"
SHIM = "import sys; sys.path.insert(0, {source!r}); from modelyard.runtime.process.shim import main; main({folder!r}, {lock})"
START_SECONDS = 30
BUSY_SECONDS = 0.5
KILL_SECONDS = 10


class ProcessRuntime:
    """Start, look at, stop and forget runs. Holds no state of its own: two of them on one folder are one."""

    def __init__(self, settings: Settings) -> None:
        self._root = Path(os.path.abspath(settings.runs))
        self._root.mkdir(parents=True, exist_ok=True)
        self._sockets = Path(os.path.abspath(settings.socket_dir))
        self.sandbox = probe.probe()
        self.tier = self.sandbox.tier
        self.cgroups = cgroup.bases()

    @property
    def isolates_network(self) -> bool:
        """Whether a run without `platform_port` and `egress` really reaches nothing."""
        return self.tier != "degraded"

    def folder(self, run_id: str) -> Path:
        if not RUN_ID.fullmatch(run_id):
            raise ValueError(f"not a run id: {run_id!r}")
        return self._root / run_id

    def ids(self) -> list[str]:
        return sorted(entry.name for entry in self._root.iterdir() if RUN_ID.fullmatch(entry.name))

    def ensure(self, spec: RunSpec) -> RunState:
        """Start it unless it was started or stopped before; answer what it is now.

        The run's lock goes from this process to the shim by inheritance, so at no moment is a started run
        unlocked: of two callers one starts, and a caller that is killed here leaves a run that can be started.
        Raises OSError or ValueError when the run cannot be started at all (a mount that does not exist).
        """
        folder = self.folder(spec.id)
        folder.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            state = self.look(spec.id)
            if state.state != "absent":
                return state
            lock = rundir.try_lock(str(folder))
            if lock is not None:
                break
            if time.monotonic() > deadline:  # somebody else is just starting it
                return RunState("starting")
            time.sleep(0.001)
        try:
            if not (folder / rundir.STATE).exists() and rundir.read_stop(str(folder)) is None:
                self._start(spec, folder, lock)
        finally:
            os.close(lock)
        return self.look(spec.id)

    def _start(self, spec: RunSpec, folder: Path, lock: int) -> None:
        if spec.network and (why := self.no_network()):
            raise ValueError(f"no private network for the hosts of a job: {why}")
        socket = self._network_socket(spec.network) if spec.network else None
        what = plan.make(spec, folder, self.tier, self.cgroups, self.sandbox.bwrap, socket)
        asked = asdict(spec) | {"env": sorted(spec.env), "tier": self.tier}
        rundir.write_atomic(str(folder / rundir.SPEC), json.dumps(asked, indent=1).encode(), durable=False)
        source = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
        code = SHIM.format(source=source, folder=str(folder), lock=lock)
        with open(folder / rundir.SHIM_ERRORS, "ab") as errors:
            shim = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", code],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=[lock],
                env={"MODELYARD_ROLE": "shim"},
                cwd="/",
                start_new_session=True,
            )
            with contextlib.suppress(subprocess.TimeoutExpired):
                shim.communicate(marshal.dumps(what), timeout=START_SECONDS)
        if shim.returncode != 0:
            said = (folder / rundir.SHIM_ERRORS).read_text(errors="replace")[-500:]
            raise OSError(f"the shim of run {spec.id} did not start: {said.strip() or shim.returncode}")

    def look(self, run_id: str) -> RunState:
        folder = self.folder(run_id)
        # The lock is asked first: a shim that ends between the two questions has written its verdict.
        locked = rundir.is_locked(str(folder))
        try:
            known = json.loads((folder / rundir.STATE).read_bytes())
        except FileNotFoundError:
            if rundir.read_stop(str(folder)) is not None:
                return RunState("exited", ended_by="stop", detail="stopped before it started")
            return RunState("absent")
        known.pop("start_ticks", None)
        state = RunState(**known)
        if state.state != "exited" and not locked:
            return RunState("lost", state.pid, state.started_at, detail="its shim is gone without a verdict")
        return state

    def usage(self, run_ids: Iterable[str]) -> dict[str, tuple[float, int]]:
        pids = {run: state.pid for run in run_ids if (state := self.look(run)).state == "running" and state.pid is not None}
        trees = of_trees(pids.values())
        return {run: trees[pid] for run, pid in pids.items() if pid in trees}

    def stop(self, run_id: str, grace_s: float | None = None) -> None:
        folder = self.folder(run_id)
        folder.mkdir(parents=True, exist_ok=True)
        if grace_s is None:
            grace_s = self._grace(folder)
        earlier = rundir.read_stop(str(folder))
        if earlier is None or grace_s < earlier:
            rundir.write_atomic(str(folder / rundir.STOP), str(grace_s).encode())
        self._signal_shim(folder, signal.SIGTERM)

    def _grace(self, folder: Path) -> float:
        try:
            return json.loads((folder / rundir.SPEC).read_bytes())["grace_s"]
        except FileNotFoundError:
            return 120.0

    def _signal_shim(self, folder: Path, number: int) -> bool:
        """Signal the shim if it lives; never a later process with its number."""
        try:
            known = json.loads((folder / rundir.STATE).read_bytes())
        except FileNotFoundError:
            return False
        if known["state"] == "exited" or not rundir.is_locked(str(folder)):
            return False
        if rundir.start_ticks(known["pid"]) != known["start_ticks"]:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(known["pid"], number)
        return True

    def remove(self, run_id: str) -> None:
        folder = self.folder(run_id)
        if not folder.exists():
            return
        self.stop(run_id, 0)
        deadline = time.monotonic() + KILL_SECONDS
        while rundir.is_locked(str(folder)) and time.monotonic() < deadline:
            time.sleep(0.005)
        if rundir.is_locked(str(folder)):
            self._signal_shim(folder, signal.SIGKILL)
        cgroup.Group(self.cgroups, plan.group_name(folder)).remove()
        self._remove_sockets(folder)
        leaving = self._root / f"{LEAVING}{run_id}-{os.getpid()}-{time.monotonic_ns()}"
        with contextlib.suppress(FileNotFoundError):
            os.rename(folder, leaving)
            _delete(leaving)

    def _remove_sockets(self, folder: Path) -> None:
        try:
            public = json.loads((folder / rundir.SPEC).read_bytes())["serve_socket"]
        except FileNotFoundError:
            return
        if public:
            direct = plan.direct_folder(public)
            shutil.rmtree(direct, ignore_errors=True)
            for path in (Path(public), direct.with_suffix(".r"), direct.with_suffix(".l")):
                path.unlink(missing_ok=True)

    def sweep(self, is_live: Callable[[str], bool]) -> list[str]:
        """Remove every run whose record is gone, and what a killed `remove` left; answers the removed ids."""
        gone = [run_id for run_id in self.ids() if not is_live(run_id)]
        for run_id in gone:
            self.remove(run_id)
        for entry in self._root.glob(LEAVING + "*"):
            _delete(entry)
        if self._sockets.is_dir():
            network.sweep(str(self._sockets))
        return gone

    def no_network(self) -> str | None:
        if self.tier == "degraded":
            return "there is no sandbox on this machine (see `modelyard doctor`)"
        return probe.no_network()

    def _network_socket(self, name: str) -> str:
        self._sockets.mkdir(parents=True, exist_ok=True, mode=0o700)
        return str(self._sockets / (hashlib.sha256(name.encode()).hexdigest()[:16] + ".net"))

    def serve_socket(self, run_id: str) -> str:
        """A path for `RunSpec.serve_socket`: short enough for a unix socket, the same for the same run."""
        self._sockets.mkdir(parents=True, exist_ok=True, mode=0o700)
        return str(self._sockets / (hashlib.sha256(self.folder(run_id).name.encode()).hexdigest()[:16] + ".http"))


def _delete(folder: Path) -> None:
    """Remove a tree even where its owner took away his own permission to write."""

    def allow_and_retry(function, path, _):
        with contextlib.suppress(OSError):
            os.chmod(os.path.dirname(path), 0o700)
            if not os.path.islink(path):
                os.chmod(path, 0o700)
        with contextlib.suppress(OSError):
            function(path)

    shutil.rmtree(folder, onerror=allow_and_retry)
