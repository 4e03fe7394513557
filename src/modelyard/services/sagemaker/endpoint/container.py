"""A replica as a run: its folders, image, model, environment, log."""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.runtime.archives import BadArchive, extract
from modelyard.runtime.base import RunSpec
from modelyard.services.sagemaker.common import parse_s3_uri
from modelyard.services.sagemaker.images import build_image
from modelyard.services.sagemaker.instances import instance
from modelyard.services.sagemaker.role_session import RoleSession

LOG_GROUP = "/aws/sagemaker/Endpoints/"
CONTAINER = "container_1"
SERVER_SECONDS = 365 * 86_400.0


def run_id(replica: Record, attempt: int) -> str:
    return f"{replica.uid}-{attempt}"


def files_key(replica: Record) -> str:
    return f"{replica.uid}-files"


def folder(replica: Record, world: Any) -> Path:
    return Path(world.settings.data) / "endpoints" / replica.uid


def ml_folder(replica: Record, world: Any) -> Path:
    return folder(replica, world) / "ml"


def socket(replica: Record, attempt: int, world: Any) -> str:
    return str(world.settings.socket_dir / f"{run_id(replica, attempt)}.sock")


# --- use by gateways: see serving/routes.py --------------------------------------------------------


def make_usable(path: str) -> None:
    """From now on gateways may use the server on this socket."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path + ".use", "a"):
        pass


def retire(replica: Record, attempt: int, world: Any) -> bool:
    """True once no gateway uses the attempt; from then on none can begin to."""
    path = socket(replica, attempt, world) + ".use"
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        Path(path).unlink(missing_ok=True)
        return True
    except OSError:
        return False
    finally:
        os.close(fd)


# --- image ---------------------------------------------------------------------------------------


def build(replica: Record, world: Any) -> None:
    """Its progress goes to the endpoint's log."""

    def say(line: str) -> None:
        at = int(world.clock.now() * 1000)
        world.logs.append(replica.account, replica.region, log_group(replica), log_stream(replica), [(at, line)])

    build_image(world, replica.spec["image"], say, replica.uid)


# --- model ---------------------------------------------------------------------------------------


class NoModel(Exception):
    """The text is AWS's FailureReason."""


def files_ready(replica: Record, world: Any) -> bool:
    return ml_folder(replica, world).exists()


def fetch_model(replica: Record, world: Any) -> None:
    """Makes /opt/ml with the model in it: beside its place first, then renamed, so that it is whole or absent."""
    half = folder(replica, world) / "half"
    shutil.rmtree(half, ignore_errors=True)
    for name in ("model", "input/config", "input/data", "output", "code"):
        (half / name).mkdir(parents=True)
    source = replica.spec.get("data")
    if source:
        try:
            _fetch(replica, world, source, half)
        except NoModel:
            shutil.rmtree(half, ignore_errors=True)
            raise
        except OSError as problem:  # a full disk, or names that cannot be side by side; this machine's paths are not told
            shutil.rmtree(half, ignore_errors=True)
            raise NoModel(
                f'Failed to download model data for container "{CONTAINER}" from URL: "{source["S3Uri"]}". ({problem.strerror or "I/O error"})'
            ) from problem
    os.rename(half, ml_folder(replica, world))


def _fetch(replica: Record, world: Any, source: dict[str, Any], ml: Path) -> None:
    url = source["S3Uri"]
    bucket, key = parse_s3_uri(url, "modelDataUrl")
    packed = ml.parent / "model.tar.gz"
    try:
        role = RoleSession(world, replica.account, replica.region, replica.spec["role"])
        if source["S3DataType"] == "S3Prefix":
            for name, _ in role.list(bucket, key):
                if not name.endswith("/"):
                    role.download(bucket, name, _inside(ml / "model", name[len(key) :].lstrip("/") or name.rpartition("/")[2]))
            return
        if source["CompressionType"] == "None":
            role.download(bucket, key, ml / "model" / key.rpartition("/")[2])
            return
        role.download(bucket, key, packed)
    except ApiError as problem:
        raise NoModel(
            f'Failed to download model data for container "{CONTAINER}" from URL: "{url}". Please ensure that there is an object located at the '
            f"URL and that the role passed to CreateModel has permissions to download the object. ({problem.code})"
        ) from None
    try:
        extract(packed, ml / "model")
    except BadArchive as problem:
        raise NoModel(
            f'Failed to extract model data archive for container "{CONTAINER}" from URL "{url}". Please ensure that the object located at the '
            f"URL is a valid tar.gz archive. ({problem})"
        ) from None
    finally:
        packed.unlink(missing_ok=True)


def _inside(root: Path, name: str) -> Path:
    path = Path(os.path.normpath(root / name))
    if not path.is_relative_to(root):
        raise NoModel(f"The object key {name!r} leads out of the model folder.")
    return path


# --- run -----------------------------------------------------------------------------------------


def start(replica: Record, attempt: int, world: Any) -> None:
    path = socket(replica, attempt, world)
    if world.runtime.look(run_id(replica, attempt)).state == "absent":
        make_usable(path)
        world.runtime.ensure(run_spec(replica, attempt, world, path))


def run_spec(replica: Record, attempt: int, world: Any, path: str) -> RunSpec:
    spec, image = replica.spec, world.images.find(replica.spec["image"])
    kind, isolated = instance(spec["instance_type"]), spec["isolated"]
    network = {"env": {}} if isolated else _network(run_id(replica, attempt), world)
    environment = {
        "AWS_REGION": replica.region,
        "AWS_DEFAULT_REGION": replica.region,
        "SAGEMAKER_REGION": replica.region,
        **image.variables,
        **({} if isolated else _role_environment(replica, world)),
        **network.pop("env"),
        **spec["environment"],
    }
    return RunSpec(
        id=run_id(replica, attempt),
        argv=list(image.serve),
        env=environment,
        ml=str(ml_folder(replica, world)),
        env_path=str(world.images.path(image)),
        hostname="model",
        hosts=["model"],
        memory_bytes=kind.memory_here,
        cpus=kind.cpus_here,
        **network,
        serve_socket=path,
        grace_s=30.0,
        first_log_lines=[image.note] if image.note else [],
    )


def _network(run: str, world: Any) -> dict[str, Any]:
    """Fields of the RunSpec (and `env`) for a container that may use the network."""
    if "wayout" in world.parts:
        return world.wayout.of(run)
    port = world.settings.port
    return {"env": {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}, "platform_port": port}


def _role_environment(replica: Record, world: Any) -> dict[str, str]:
    """Keys that hold as long as a server may run: nothing renews them in its environment."""
    return RoleSession(world, replica.account, replica.region, replica.spec["role"], at_least_s=SERVER_SECONDS).environment()


def end(replica: Record, attempt: int, world: Any) -> None:
    """After an attempt has ended: the rest of its log, then nothing of it stays."""
    run = run_id(replica, attempt)
    if world.runtime.look(run).started_at is not None:
        follow(replica, attempt, world)
        world.follower.drain(run)
    world.runtime.remove(run)
    for path in (socket(replica, attempt, world), socket(replica, attempt, world) + ".use"):
        with suppress(FileNotFoundError):
            os.unlink(path)


# --- log -----------------------------------------------------------------------------------------


def log_group(replica: Record) -> str:
    return LOG_GROUP + replica.spec["endpoint"]


def log_stream(replica: Record) -> str:
    return f"{replica.spec['name']}/i-{replica.uid[:17]}"


def follow(replica: Record, attempt: int, world: Any) -> None:
    """Keeps the log of an attempt flowing; harmless to repeat."""
    run = run_id(replica, attempt)
    world.follower.follow(run, replica.account, replica.region, log_group(replica), log_stream(replica), world.runtime.folder(run) / "log")
