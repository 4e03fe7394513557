"""A replica as runs: one per container of its model. Folders, images, models, environments, logs.

A replica is one instance. Its containers are numbered by their place in the model, from 0; each start of one of them is a run of its
own, `<replica uid>-<number>`. `state["runs"]` has the number that each container is on, `state["attempt"]` the highest one used.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from modelyard.kernel.records import Record
from modelyard.runtime.base import Mount, RunSpec
from modelyard.services.sagemaker.endpoint.artifact import NoModel, make_ml
from modelyard.services.sagemaker.images import build_image, look_at_image
from modelyard.services.sagemaker.instances import instance
from modelyard.services.sagemaker.jobs.network import network_of
from modelyard.services.sagemaker.role_session import RoleSession
from modelyard.serving.routes import instance_id

__all__ = ["NoModel", "build", "fetch_model", "start"]

LOG_GROUP = "/aws/sagemaker/Endpoints/"
SERVER_SECONDS = 365 * 86_400.0
MULTI_MODEL = "MultiModel"


def containers(replica: Record) -> list[dict[str, Any]]:
    """What each container runs: `hostname` (empty where there is one only), `image`, `environment`, `data`, `mode`."""
    spec = replica.spec
    return spec.get("containers") or [{"hostname": "", "mode": "", **{k: spec.get(k) for k in ("image", "environment", "data")}}]


def numbers(replica: Record) -> list[int]:
    """The run that each container is on, or shall be on first."""
    state = replica.state
    if "runs" in state:
        return state["runs"]
    return [state["attempt"]] if "attempt" in state else list(range(1, len(containers(replica)) + 1))


def place_of(replica: Record, number: int) -> int:
    """Which container a run is of."""
    runs = numbers(replica)
    return runs.index(number) if number in runs else 0


def run_id(replica: Record, number: int) -> str:
    return f"{replica.uid}-{number}"


def files_key(replica: Record) -> str:
    return f"{replica.uid}-files"


def folder(replica: Record, world: Any) -> Path:
    return Path(world.settings.data) / "endpoints" / replica.uid


def ml_folder(replica: Record, world: Any, place: int = 0) -> Path:
    return ml_of(folder(replica, world), place)


def ml_of(replica_folder: Path, place: int) -> Path:
    return replica_folder / ("ml" if place == 0 else f"ml-{place + 1}")


def socket(replica: Record, number: int, world: Any) -> str:
    return str(world.settings.socket_dir / f"{run_id(replica, number)}.sock")


def route(replica: Record, world: Any) -> dict[str, Any]:
    """The replica as a row of the route table (serving/routes.py)."""
    runs, parts = numbers(replica), containers(replica)
    row: dict[str, Any] = {"id": run_id(replica, runs[0]), "socket": socket(replica, runs[0], world)}
    if len(parts) > 1 or parts[0].get("hostname"):
        row["hostname"] = parts[0]["hostname"]
    if len(parts) > 1:
        row["stages"] = [{"hostname": p["hostname"], "socket": socket(replica, n, world)} for p, n in zip(parts[1:], runs[1:], strict=True)]
    return row


# --- use by gateways: see serving/routes.py --------------------------------------------------------


def make_usable(path: str) -> None:
    """From now on gateways may use the server on this socket."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path + ".use", "a"):
        pass


def retire(replica: Record, world: Any) -> bool:
    """True once no gateway uses any container of the replica; from then on none can begin to."""
    held: list[tuple[int, str]] = []
    try:
        for number in numbers(replica):
            path = socket(replica, number, world) + ".use"
            with suppress(FileNotFoundError):
                fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                held.append((fd, path))
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for _, path in held:
            Path(path).unlink(missing_ok=True)
        return True
    except OSError:
        return False
    finally:
        for fd, _ in held:
            os.close(fd)


# --- images --------------------------------------------------------------------------------------


def look_at_images(replica: Record, world: Any) -> tuple[str, str]:
    """(state, reason) as of one image: the worst of all of them."""
    worst = ("ready", "")
    for uri in _images(replica):
        state, reason = look_at_image(world, uri, "serve")
        if state in ("unknown", "failed"):
            return state, reason
        if state != "ready":
            worst = (state, reason)
    return worst


def build(replica: Record, world: Any) -> None:
    """What is not there yet of its images; the progress goes to the endpoint's log."""

    def say(line: str) -> None:
        at = int(world.clock.now() * 1000)
        world.logs.append(replica.account, replica.region, log_group(replica), log_stream(replica), [(at, line)])

    for uri in _images(replica):
        if world.images.look(world.images.find(uri)).state != "ready":
            build_image(world, uri, say, replica.uid)


def _images(replica: Record) -> list[str]:
    return list(dict.fromkeys(part["image"] for part in containers(replica)))


# --- models --------------------------------------------------------------------------------------


def files_ready(replica: Record, world: Any) -> bool:
    return ml_folder(replica, world).exists()


def fetch_model(replica: Record, world: Any) -> None:
    """Makes the /opt/ml of every container; that of the first one last, as the sign that all are there."""
    parts = containers(replica)
    with_data = any(part.get("data") for part in parts)
    role = RoleSession(world, replica.account, replica.region, replica.spec["role"]) if with_data else None
    for place in reversed(range(len(parts))):
        target, part = ml_folder(replica, world, place), parts[place]
        if not target.exists():
            many = part.get("mode") == MULTI_MODEL
            make_ml(role, None if many else part.get("data"), f"container_{place + 1}", target, ("models",) if many else ())


# --- runs ----------------------------------------------------------------------------------------


def start(replica: Record, number: int, world: Any) -> None:
    path = socket(replica, number, world)
    if world.runtime.look(run_id(replica, number)).state == "absent":
        make_usable(path)
        world.runtime.ensure(run_spec(replica, number, world, path))


def run_spec(replica: Record, number: int, world: Any, path: str) -> RunSpec:
    spec, place = replica.spec, place_of(replica, number)
    part = containers(replica)[place]
    image, many = world.images.find(part["image"]), part.get("mode") == MULTI_MODEL
    kind, isolated = instance(spec["instance_type"]), spec["isolated"]
    reached, network = network_of(world, run_id(replica, number), isolated)
    ml, hostname = ml_folder(replica, world, place), part["hostname"] or "model"
    environment = {
        "AWS_REGION": replica.region,
        "AWS_DEFAULT_REGION": replica.region,
        "SAGEMAKER_REGION": replica.region,
        **image.variables,
        **({} if isolated else _role_environment(replica, world)),
        **reached,
        **({"MODELYARD_LOG_REQUESTS": "1"} if len(containers(replica)) > 1 else {}),
        **(part["environment"] or {}),
        **({"SAGEMAKER_MULTI_MODEL": "true", "MODELYARD_MEMORY_BYTES": str(kind.memory_here)} if many else {}),
    }
    return RunSpec(
        id=run_id(replica, number),
        argv=list(image.serve),
        env=environment,
        ml=str(ml),
        env_path=str(world.images.path(image)),
        hostname=hostname,
        hosts=[hostname],
        # The platform writes models there while the container runs: it may read them only, and no link of its leads a writer astray.
        mounts=[*network.pop("mounts"), *([Mount(str(ml / "models"), "/opt/ml/models")] if many else [])],
        # A copy of an inference component has what it asked for, anything else its instance.
        memory_bytes=min(kind.memory_here, spec.get("memory_bytes") or kind.memory_here),
        cpus=min(kind.cpus_here, spec.get("cpus") or kind.cpus_here),
        **network,
        serve_socket=path,
        grace_s=30.0,
        first_log_lines=[image.note] if image.note else [],
    )


def _role_environment(replica: Record, world: Any) -> dict[str, str]:
    """Keys that hold as long as a server may run: nothing renews them in its environment."""
    return RoleSession(world, replica.account, replica.region, replica.spec["role"], at_least_s=SERVER_SECONDS).environment()


def end(replica: Record, number: int, world: Any) -> None:
    """After a run has ended: the rest of its log, then nothing of it stays."""
    run = run_id(replica, number)
    if world.runtime.look(run).started_at is not None:
        follow(replica, number, world)
        world.follower.drain(run)
    world.runtime.remove(run)
    for path in (socket(replica, number, world), socket(replica, number, world) + ".use"):
        with suppress(FileNotFoundError):
            os.unlink(path)


# --- log -----------------------------------------------------------------------------------------


def log_group(replica: Record) -> str:
    return replica.spec.get("log_group") or LOG_GROUP + replica.spec["endpoint"]


def log_stream(replica: Record, place: int = 0) -> str:
    """`<variant>/<instance>`, with the container's hostname where a model has several. Instances of jobs have a suffix."""
    hostname = containers(replica)[place].get("hostname")
    suffix = replica.spec.get("log_suffix", "")
    return f"{replica.spec['name']}/{instance_id(replica.uid)}{suffix}" + (f"/{hostname}" if hostname else "")


def follow(replica: Record, number: int, world: Any) -> None:
    """Keeps the log of a run flowing; harmless to repeat."""
    run, stream = run_id(replica, number), log_stream(replica, place_of(replica, number))
    world.follower.follow(run, replica.account, replica.region, log_group(replica), stream, world.runtime.folder(run) / "log")
