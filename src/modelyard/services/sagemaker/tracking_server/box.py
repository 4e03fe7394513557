"""A tracking server as a run: its folder, environment, socket and log.

The folder `data/mlflow/<uid>/ml` is `/opt/ml` of every run of the server: its database outlives stops and starts.
"""

from __future__ import annotations

import http.client
import os
import shutil
import socket as sockets
from contextlib import suppress
from pathlib import Path
from typing import Any

from modelyard.kernel.records import Record
from modelyard.runtime.base import RunSpec
from modelyard.services.sagemaker.jobs.network import network_of
from modelyard.services.sagemaker.role_session import RoleSession

ENVIRONMENT = "mlflow"
LOG_GROUP = "/aws/sagemaker/mlflow-tracking-servers/"
SERVER_SECONDS = 365 * 86_400.0
PROBE_SECONDS = 2.0
MEMORY_BYTES = {"Small": 4 << 30, "Medium": 8 << 30, "Large": 16 << 30}


def run_id(server: Record, attempt: int | None = None) -> str:
    return f"{server.uid}-{attempt or server.state.get('attempt', 1)}"


def folder(server: Record, world: Any) -> Path:
    return Path(world.settings.data) / "mlflow" / server.uid


def socket_path(settings: Any, run: str) -> str:
    """Gateways find it without asking anyone."""
    return str(settings.socket_dir / f"{run}.sock")


def image(world: Any) -> Any:
    return world.images.of_environment(ENVIRONMENT)


def start(server: Record, attempt: int, world: Any) -> None:
    run = run_id(server, attempt)
    if world.runtime.look(run).state != "absent":
        return
    ml = folder(server, world) / "ml"
    (ml / "store").mkdir(parents=True, exist_ok=True, mode=0o700)
    spec, found = server.spec, image(world)
    reached, network = network_of(world, run, isolated=False)
    role = RoleSession(world, server.account, server.region, spec["RoleArn"], at_least_s=SERVER_SECONDS)
    world.runtime.ensure(
        RunSpec(
            id=run,
            argv=list(found.serve),
            env={
                "AWS_REGION": server.region,
                "AWS_DEFAULT_REGION": server.region,
                **found.variables,
                **role.environment(),
                **reached,
                "MODELYARD_ARTIFACT_ROOT": spec["ArtifactStoreUri"],
                "MLFLOW_DISABLE_TELEMETRY": "true",
            },
            ml=str(ml),
            env_path=str(world.images.path(found)),
            hostname="mlflow",
            hosts=["mlflow"],
            memory_bytes=MEMORY_BYTES[spec["TrackingServerSize"]],
            **network,
            serve_socket=socket_path(world.settings, run),
            grace_s=20.0,
        )
    )


def answers(server: Record, world: Any) -> bool:
    """Whether the server says that it is well."""
    try:
        return ask(socket_path(world.settings, run_id(server)), "GET", "/health", {}, b"", PROBE_SECONDS)[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def ask(
    path: str, method: str, target: str, headers: dict[str, str], body: bytes, timeout_s: float
) -> tuple[int, list[tuple[str, str]], bytes]:
    """One request over the server's socket: (status, headers, body). Raises OSError or HTTPException."""
    connection = _UnixConnection(path, timeout_s)
    try:
        connection.request(method, target, body or None, headers)
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()
    finally:
        connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("127.0.0.1:8080", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def follow(server: Record, world: Any) -> None:
    """Keeps the log flowing; harmless to repeat."""
    run = run_id(server)
    world.follower.follow(run, server.account, server.region, LOG_GROUP + server.name, run, world.runtime.folder(run) / "log")


def end(server: Record, attempt: int, world: Any) -> None:
    """After a run has ended: the rest of its log, then nothing of it stays but the server's folder."""
    run = run_id(server, attempt)
    if world.runtime.look(run).started_at is not None:
        with suppress(Exception):
            world.follower.drain(run)
    world.runtime.remove(run)
    with suppress(FileNotFoundError):
        os.unlink(socket_path(world.settings, run))


def remove(server: Record, world: Any) -> None:
    shutil.rmtree(folder(server, world), ignore_errors=True)
