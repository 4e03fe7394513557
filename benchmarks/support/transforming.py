"""Models and transform jobs for the benchmarks of batch transform."""

from __future__ import annotations

import contextlib
import io
import tarfile
import threading
import time
from typing import Any

import psutil

from support.platform import Platform, memory_mib

BUCKET = "bench"
SKLEARN = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
XGBOOST = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
ECHO = b"""def model_fn(folder): return 1
def input_fn(body, kind): return body
def predict_fn(data, model): return data
def output_fn(data, accept): return data, 'text/csv'
"""


def role(platform: Platform) -> str:
    arn = platform.client("sts").get_caller_identity()["Arn"]
    return f"arn:aws:iam::{arn.split(':')[4]}:role/{arn.split('/')[1]}"


def packed(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def model(platform: Platform, name: str, image: str, files: dict[str, bytes], **environment: str) -> None:
    platform.client("s3").put_object(Bucket=BUCKET, Key=f"models/{name}.tar.gz", Body=packed(files))
    container = {"Image": image, "ModelDataUrl": f"s3://{BUCKET}/models/{name}.tar.gz", "Environment": environment}
    platform.client("sagemaker").create_model(ModelName=name, PrimaryContainer=container, ExecutionRoleArn=role(platform))


def echo(platform: Platform) -> None:
    where = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
    model(platform, "echo", SKLEARN, {"code/inference.py": ECHO}, **where)


def transform(platform: Platform, name: str, model: str, key: str, timeout_s: float = 3600.0, **more: Any) -> dict[str, Any]:
    """Runs a job to its end; members may be replaced. Raises where it did not complete."""
    source = {"DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/{key}"}}}
    source |= {"ContentType": "text/csv", "SplitType": "Line"}
    sagemaker = platform.client("sagemaker")
    sagemaker.create_transform_job(
        **{
            "TransformJobName": name,
            "ModelName": model,
            "TransformInput": source,
            "TransformOutput": {"S3OutputPath": f"s3://{BUCKET}/out/{name}", "AssembleWith": "Line", "Accept": "text/csv"},
            "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        }
        | more
    )
    until = time.monotonic() + timeout_s
    while (job := sagemaker.describe_transform_job(TransformJobName=name))["TransformJobStatus"] in ("InProgress", "Stopping"):
        if time.monotonic() > until:
            raise SystemExit(f"{name} did not end in {timeout_s:.0f} s")
        time.sleep(0.1)
    if job["TransformJobStatus"] != "Completed":
        raise SystemExit(f"{name}: {job.get('FailureReason')}")
    return job


class Peaks:
    """The highest RSS (MiB) of processes by what they are, sampled while the block runs."""

    def __init__(self, platform: Platform) -> None:
        self._platform, self._done = platform, threading.Event()
        self.first: dict[str, float] = {}
        self.most: dict[str, float] = {}
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Peaks:
        self._sample(self.first)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self._sample(self.most)

    def _sample(self, into: dict[str, float]) -> None:
        found = dict(self._platform.pids)
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(found["engine"]).children():
                if "_work" in child.cmdline():
                    found["worker"] = child.pid
        for kind, pid in found.items():
            with contextlib.suppress(OSError, TypeError):  # it has ended meanwhile
                into[kind] = max(into.get(kind, 0.0), memory_mib(pid))
