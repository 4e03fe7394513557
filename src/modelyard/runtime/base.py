"""Runs: what AWS calls containers. One small contract for every way of running one.

A run is a process (tree) in a sandbox, watched by a shim that outlives the control plane. Its id is
used once: `ensure` of an id that ran is a look, `stop` of an id that never started leaves a tombstone
so that a late `ensure` does not start it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


@dataclass(frozen=True)
class Mount:
    """`source` (a host path) appears as `target` in the box."""

    source: str
    target: str
    writable: bool = False


@dataclass(frozen=True)
class RunSpec:
    """What to run. Everything is plain data: it is written as JSON beside the run.

    `argv` is resolved in the box. `env_path` is the environment (a venv, read-only) whose bin folder
    comes first on PATH, mounted at `/opt/venv`. `ml` is the host folder that becomes `/opt/ml`, writable.
    `hosts` are extra names that resolve to 127.0.0.1 in the box (`algo-1`). Runs with the same `network` (a name: the job's uid) are the
    hosts of one private network instead: `hosts` are all of them in order, each with an address of its own on `eth0`, and
    `host` is this run's place among them, from 1. They reach each other and nothing else. `platform_port` is the host
    port that the box reaches as 127.0.0.1:<platform_port> (None: network isolation, nothing is reachable).
    `egress` with `egress_port` (the host port of the platform's filtered HTTP(S) proxy) adds that proxy, and this
    machine's package-index configuration, for package installs and downloads.
    `serve_socket` makes the box a server: a host path (`Runtime.serve_socket(run_id)` gives a good one) of a unix
    socket that reaches it from the payload's start on. At first it is relayed to port 8080 in the box (a connection is
    reset while nobody listens there). A server that listens on the unix socket named by `MODELYARD_SERVE_SOCKET` (set by
    the runtime) takes over by itself: at the first connection after it listens there its socket is linked over this path.
    The runtime also sets PATH, HOME, LANG, PYTHONUNBUFFERED; `env` wins over all of them.
    `disk_bytes` is what /opt/ml, /tmp and the home folder may hold together; a run that writes more is killed.
    `max_runtime_s` (real seconds) ends it with SIGTERM, then SIGKILL after `grace_s`.
    """

    id: str
    argv: list[str]
    env: dict[str, str]
    ml: str
    env_path: str | None = None
    cwd: str = "/opt/ml"
    hostname: str = "algo-1"
    hosts: list[str] = field(default_factory=lambda: ["algo-1"])
    network: str | None = None
    host: int = 1
    mounts: list[Mount] = field(default_factory=list)
    memory_bytes: int | None = None
    cpus: float | None = None
    disk_bytes: int | None = None
    platform_port: int | None = None
    egress: bool = False
    egress_port: int | None = None
    serve_socket: str | None = None
    max_runtime_s: float | None = None
    grace_s: float = 120.0
    first_log_lines: list[str] = field(default_factory=list)
    """Lines the platform itself has to say first in the log (substituted versions, the sandbox tier)."""


@dataclass(frozen=True)
class RunState:
    """What is known of a run. `state`:

    absent   never started (and not stopped before it could)
    starting the shim is there, the payload not yet
    running  the payload runs
    exited   the payload ended by itself, or was ended; see the rest
    lost     it had started and its shim is gone without a verdict (machine restart, kill -9 of the shim)

    Times are real epoch seconds. `ended_by`: None, "stop", "max-runtime", "oom" or "disk".
    """

    state: str
    pid: int | None = None
    started_at: float | None = None
    finished_at: float | None = None
    exit_code: int | None = None
    signal: int | None = None
    ended_by: str | None = None
    detail: str = ""

    @property
    def ended(self) -> bool:
        return self.state in ("exited", "lost")


class Runtime(Protocol):
    """Start, look at, stop and forget runs. All calls are quick and idempotent."""

    tier: str
    """full, no-proc, ctypes or degraded: what the sandbox can do on this machine (by a probe)."""

    def ensure(self, spec: RunSpec) -> RunState:
        """Start it unless it was started or stopped before; answer what it is now."""

    def look(self, run_id: str) -> RunState: ...

    def usage(self, run_ids: Iterable[str]) -> dict[str, tuple[float, int]]:
        """(CPU seconds, resident bytes) of each of these runs that is running."""

    def stop(self, run_id: str, grace_s: float | None = None) -> None:
        """Ask it to end (SIGTERM, after the grace SIGKILL of the whole tree); returns at once."""

    def remove(self, run_id: str) -> None:
        """Kill it if need be and delete its folder (log included)."""

    def folder(self, run_id: str) -> Path:
        """The run's folder; `folder/log` is its output: one line per output line, each
        `<epoch milliseconds> <text>\\n`, UTF-8 with replacement, lines cut at 256 KiB."""

    def ids(self) -> list[str]:
        """Every run that has a folder: for the sweep of runs whose record is gone."""

    def sweep(self, is_live: Callable[[str], bool]) -> list[str]:
        """Remove every run that `is_live(run_id)` does not know; answers the removed ids. It is asked for each run after
        that was found, so a run that starts meanwhile is safe if its owner was there before it."""

    def no_network(self) -> str | None:
        """Why `RunSpec.network` cannot be had on this machine; None: it can."""

    def serve_socket(self, run_id: str) -> str:
        """A path for `RunSpec.serve_socket`, the same for the same run."""
