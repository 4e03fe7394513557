"""A whole platform in this process (real wire, S3, IAM, engine, splitter) whose jobs and model servers are real sandboxed processes.

Its one image is a bare Python made in milliseconds: a job runs the ContainerEntrypoint it names, a model server the `serve.py`
of its model archive.
"""

from __future__ import annotations

import functools
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import uv

from modelyard import app
from modelyard.kernel.reconcile import Engine
from modelyard.kernel.tasks import Tasks
from modelyard.runtime.images.recipes import Image
from modelyard.runtime.images.store import ImageState
from modelyard.runtime.process import ProcessRuntime
from modelyard.services.logs.follow import LogFollower
from modelyard.services.sagemaker.endpoint.health import probes
from modelyard.wayout import WayOut
from tests.support import inproc, patience
from tests.support.needs import require
from tests.support.platform import ACCOUNT, InProcess

REGION = "us-east-1"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/bare:1"
BUCKET = "data"
RUN_CODE = "import json; exec(json.loads(json.load(open('/opt/ml/input/config/hyperparameters.json'))['code']))"
FINAL = ("Completed", "Failed", "Stopped")


@functools.cache
def bare_environment() -> str:
    """An environment as an image build leaves it, with nothing installed."""
    folder = Path(tempfile.gettempdir()) / f"modelyard-bare-{os.getuid()}-{sys.version_info.major}{sys.version_info.minor}"
    if not (folder / "bin/python").exists():
        python = os.path.realpath(sys.executable)
        subprocess.run([uv.find_uv_bin(), "venv", "-q", "--no-project", "--clear", "--python", python, str(folder)], check=True)
    return str(folder)


class BareImages:
    def find(self, uri: str) -> Image | None:
        return (
            Image(uri, "bare", "bare", train=("python3", "-c", "print('trained')"), serve=("python3", "/opt/ml/model/serve.py"))
            if uri == IMAGE
            else None
        )

    def digest(self, image: Image) -> str:
        return "sha256:" + "0" * 64

    def look(self, image: Image) -> ImageState:
        return ImageState("ready")

    def path(self, image: Image) -> Path:
        return Path(bare_environment())


class Boxes:
    """`job(...)` creates one, `end(...)` waits for it; `serve(...)` deploys one. Close it."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        require("sandbox")
        self.yard = InProcess(folder, **{"port": 9, **settings})
        platform = self.platform = self.yard.platform
        platform.settings.socket_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.runtime = ProcessRuntime(platform.settings)
        platform.parts.update(
            runtime=self.runtime,
            images=BareImages(),
            tasks=Tasks(),
            follower=LogFollower(platform.logs, platform.clock),
            wayout=WayOut(platform.settings),
        )
        self.reserve = app.keep_reserve(platform)
        self._loop = inproc.loop()
        self._on_loop(platform.invoker.start)
        self.sm, self.rt, self.s3, self.iam, self.logs = (
            self.yard.client(name) for name in ("sagemaker", "sagemaker-runtime", "s3", "iam", "logs")
        )
        self.s3.create_bucket(Bucket=BUCKET)
        self.role = f"arn:aws:iam::{ACCOUNT}:role/" + self.yard.client("sts").get_caller_identity()["Arn"].split("/")[1]
        self.start_engine()

    def start_engine(self) -> None:
        self.engine = Engine(self.platform, self.platform.services["sagemaker"].reconcilers)
        self.platform.ring = lambda topic: (self.engine.ring(), self.platform.invoker.ring())
        self._thread = threading.Thread(target=self.engine.run, daemon=True)
        self._thread.start()

    def stop_engine(self) -> None:
        self.engine.stop()
        self._thread.join(20)

    def _on_loop(self, function: Any) -> Any:
        async def run() -> Any:
            return function()

        return self._loop.run(run())

    def close(self) -> None:
        self.stop_engine()
        self._on_loop(self.platform.invoker.stop)
        self.platform.follower.stop()
        probes(self.platform).close()
        for run_id in self.runtime.ids():
            self.runtime.remove(run_id)
        self.yard.close()

    # --- jobs --------------------------------------------------------------------------------------

    def request(self, name: str, code: str = "print('hello')", **more: Any) -> dict[str, Any]:
        """A CreateTrainingJob request whose payload is Python `code` (of up to 2,500 characters: it is a hyperparameter);
        `argv` replaces that; members may be given or, with None, taken away."""
        argv = more.pop("argv", ["python3", "-c", RUN_CODE])
        asked = {
            "TrainingJobName": name,
            "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File", "ContainerEntrypoint": argv},
            "HyperParameters": {"code": json.dumps(code)},
            "RoleArn": self.role,
            "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/out"},
            "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
            "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        } | more
        return {member: value for member, value in asked.items() if value is not None}

    def job(self, name: str, code: str = "print('hello')", **more: Any) -> str:
        self.sm.create_training_job(**self.request(name, code, **more))
        return name

    def end(self, name: str, seconds: float = 30.0) -> dict[str, Any]:
        return self.until(name, lambda job: job["TrainingJobStatus"] in FINAL, seconds)

    def until(self, name: str, good: Callable[[dict[str, Any]], bool], seconds: float = 30.0) -> dict[str, Any]:
        deadline = patience.deadline(seconds)
        while not good(job := self.sm.describe_training_job(TrainingJobName=name)):
            assert time.monotonic() < deadline, f"after {seconds} s: {job}\n{self.log(name)[-20:]}"
            time.sleep(0.02)
        return job

    def run(self, name: str, code: str = "print('hello')", **more: Any) -> dict[str, Any]:
        return self.end(self.job(name, code, **more))

    def log(self, name: str, group: str = "/aws/sagemaker/TrainingJobs") -> list[str]:
        from botocore.exceptions import ClientError

        try:
            events = self.logs.get_paginator("filter_log_events").paginate(logGroupName=group, logStreamNamePrefix=f"{name}/")
            return [event["message"] for page in events for event in page["events"]]
        except ClientError:
            return []

    def put(self, key: str, data: bytes = b"1,2\n") -> str:
        self.s3.put_object(Bucket=BUCKET, Key=key, Body=data)
        return f"s3://{BUCKET}/{key}"

    def keys(self, prefix: str) -> list[str]:
        return [row["Key"] for row in self.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix).get("Contents", [])]

    # --- endpoints ---------------------------------------------------------------------------------

    def model(self, name: str, serve: str | bytes, **more: Any) -> None:
        """A model whose archive has `serve.py`; bytes are the archive itself."""
        data = serve if isinstance(serve, bytes) else tar([("serve.py", serve.encode())])
        container = {"Image": IMAGE, "ModelDataUrl": self.put(f"models/{name}.tar.gz", data), **more}
        self.sm.create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=self.role)

    def serve(self, name: str, serve: str | bytes, startup_s: int = 60, count: int = 1, **more: Any) -> None:
        """Creates model, configuration and endpoint of one name; does not wait."""
        self.model(name, serve, **more)
        self.config(name, name, startup_s, count)
        self.sm.create_endpoint(EndpointName=name, EndpointConfigName=name)

    def config(self, name: str, model: str, startup_s: int = 60, count: int = 1) -> None:
        variant = {
            "VariantName": "v", "ModelName": model, "InitialInstanceCount": count, "InstanceType": "ml.m5.large",
            "ContainerStartupHealthCheckTimeoutInSeconds": startup_s,
        }  # fmt: skip
        self.sm.create_endpoint_config(EndpointConfigName=name, ProductionVariants=[variant])

    def settled(self, name: str, seconds: float = 60.0) -> dict[str, Any]:
        deadline = patience.deadline(seconds)
        while (there := self.sm.describe_endpoint(EndpointName=name))["EndpointStatus"] in ("Creating", "Updating"):
            assert time.monotonic() < deadline, f"after {seconds} s: {there}\n{self.endpoint_log(name)[-20:]}"
            time.sleep(0.02)
        return there

    def endpoint_log(self, name: str) -> list[str]:
        return self.log("v", f"/aws/sagemaker/Endpoints/{name}")


def tar(members: Iterable[tuple[str | tarfile.TarInfo, bytes]]) -> bytes:
    """model.tar.gz with these members; a TarInfo stands for itself."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.GNU_FORMAT) as archive:
        for what, data in members:
            info = what if isinstance(what, tarfile.TarInfo) else tarfile.TarInfo(what)
            if info.isreg():
                info.size = info.size or len(data)
            archive.addfile(info, io.BytesIO(data) if info.isreg() else None)
    return buffer.getvalue()
