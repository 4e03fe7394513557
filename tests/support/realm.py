"""A platform of real processes (supervisor, gateways, engines, shims) for tests that kill them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import psutil
from botocore.config import Config

from tests.support import patience

ROOT = Path(__file__).resolve().parents[2]
BASE = "081325390199.dkr.ecr.us-east-1.amazonaws.com/sagemaker-base-python:1.0"
SKLEARN = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
RUN_CODE = "import json; exec(json.loads(json.load(open('/opt/ml/input/config/hyperparameters.json'))['code']))"
FINAL = ("Completed", "Failed", "Stopped")


class Realm:
    """`up()`, `down()`, boto3 clients that retry, and `kill(role)`."""

    def __init__(self, data: Path, gateways: int = 2, engines: int = 2, env: dict[str, str] | None = None) -> None:
        self.data, self._more = data, ["--gateways", str(gateways), "--engines", str(engines), "--patience", "0"]
        self._env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")} | {"PYTHONPATH": str(ROOT / "src")} | (env or {})
        self._port = "0"
        self.bucket = "realm"

    def _cli(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "modelyard", *words, "--data", str(self.data)],
            env=self._env,
            capture_output=True,
            text=True,
            timeout=90 * patience.SLOWNESS,
        )
        assert not check or done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
        return done

    def up(self) -> Realm:
        self._cli("up", "--detach", "--port", self._port, *self._more)
        self._port = self.state()["endpoint"].rpartition(":")[2]
        self.sm, self.rt, self.s3, self.logs = (self.client(name) for name in ("sagemaker", "sagemaker-runtime", "s3", "logs"))
        with contextlib.suppress(self.s3.exceptions.BucketAlreadyOwnedByYou):
            self.s3.create_bucket(Bucket=self.bucket)
        self.role = "arn:aws:iam::123456789012:role/" + self.client("sts").get_caller_identity()["Arn"].split("/")[1]
        return self

    def down(self) -> None:
        self._cli("down", check=False)

    def state(self) -> dict[str, Any]:
        return json.loads((self.data / "run/state.json").read_text())

    def client(self, service: str) -> Any:
        keys = json.loads(self._cli("env", "--json").stdout)
        found = {k: v for k, v in keys.items() if k.startswith("AWS_")} or keys
        session = boto3.Session(found["AWS_ACCESS_KEY_ID"], found["AWS_SECRET_ACCESS_KEY"], found.get("AWS_SESSION_TOKEN"), "us-east-1")
        config = Config(retries={"max_attempts": 12, "mode": "standard"}, connect_timeout=10, read_timeout=30)
        return session.client(service, endpoint_url=self.state()["endpoint"], config=config)

    # --- processes ---------------------------------------------------------------------------------

    def pids(self, *roles: str) -> list[int]:
        return [p["pid"] for p in self.state().get("processes", []) if p["role"] in roles and psutil.pid_exists(p["pid"])]

    def shims(self) -> dict[str, int]:
        """Run id → pid of the shims that live."""
        found = {}
        for state in self.data.glob("runs/*/state.json"):
            with contextlib.suppress(OSError, ValueError):
                known = json.loads(state.read_text())
                if known["state"] != "exited" and psutil.pid_exists(known["pid"]):
                    found[state.parent.name] = known["pid"]
        return found

    def kill(self, pid: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def processes(self) -> list[psutil.Process]:
        """Whatever lives of this data folder: by command line, working folder or open files of its runs."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                if str(self.data) in " ".join(process.cmdline()) or process.cwd().startswith(str(self.data)):
                    found.append(process)
        return found

    # --- jobs --------------------------------------------------------------------------------------

    def job(self, name: str, code: str, **more: Any) -> str:
        self.sm.create_training_job(
            **{
                "TrainingJobName": name,
                "AlgorithmSpecification": {
                    "TrainingImage": BASE,
                    "TrainingInputMode": "File",
                    "ContainerEntrypoint": ["python3", "-c", RUN_CODE],
                },
                "HyperParameters": {"code": json.dumps(code)},
                "RoleArn": self.role,
                "OutputDataConfig": {"S3OutputPath": f"s3://{self.bucket}/out"},
                "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
                "StoppingCondition": {"MaxRuntimeInSeconds": 300},
            }
            | more
        )
        return name

    def describe(self, name: str) -> dict[str, Any]:
        return self.sm.describe_training_job(TrainingJobName=name)

    def end(self, name: str, seconds: float = 60.0) -> dict[str, Any]:
        eventually(lambda: self.describe(name)["TrainingJobStatus"] in FINAL, seconds, lambda: self.describe(name))
        return self.describe(name)

    def log(self, name: str) -> list[str]:
        try:
            rows = self.logs.filter_log_events(logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix=f"{name}/")["events"]
        except self.logs.exceptions.ResourceNotFoundException:
            return []
        return [row["message"] for row in rows]

    # --- the store, looked at from outside ---------------------------------------------------------

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self.data / "store.db", timeout=20)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()


def eventually(check: Callable[[], Any], seconds: float, told: Callable[[], Any] = lambda: "") -> Any:
    deadline = patience.deadline(seconds)
    while not (value := check()):
        assert time.monotonic() < deadline, f"not within {seconds} s: {told()}"
        time.sleep(0.1)
    return value
