"""Processing jobs on `Boxes`: a script from S3 on the bare image, as ScriptProcessor asks for it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.support import patience
from tests.support.boxes import BUCKET, FINAL, IMAGE, Boxes

GROUP = "/aws/sagemaker/ProcessingJobs"
OUT = "/opt/ml/processing/output"
WAIT = "import os, time\nwhile not os.path.exists('/opt/ml/go'): time.sleep(.05)"


def s3_input(name: str, uri: str, path: str, **more: Any) -> dict[str, Any]:
    return {"InputName": name, "S3Input": {"S3Uri": uri, "LocalPath": path, "S3DataType": "S3Prefix", "S3InputMode": "File", **more}}


def s3_output(name: str, uri: str, path: str = OUT, mode: str = "EndOfJob") -> dict[str, Any]:
    return {"OutputName": name, "S3Output": {"S3Uri": uri, "LocalPath": path, "S3UploadMode": mode}}


class Processing:
    def __init__(self, boxes: Boxes) -> None:
        self.boxes, self.sm = boxes, boxes.sm

    def request(self, name: str, code: str = "print('hello')", **more: Any) -> dict[str, Any]:
        """CreateProcessingJob's request for Python `code`, with one output folder; `inputs`, `outputs`, `arguments`, `count` are
        short for members; members may be given or, with None, taken away."""
        inputs, outputs = more.pop("inputs", []), more.pop("outputs", [s3_output("out", f"s3://{BUCKET}/{name}/out")])
        uri = self.boxes.put(f"{name}/code/run.py", code.encode())
        app = {"ImageUri": IMAGE, "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/run.py"]}
        if arguments := more.pop("arguments", None):
            app["ContainerArguments"] = arguments
        cluster = {"InstanceType": "ml.m5.large", "InstanceCount": more.pop("count", 1), "VolumeSizeInGB": 1}
        asked = {
            "ProcessingJobName": name,
            "AppSpecification": app,
            "RoleArn": self.boxes.role,
            "ProcessingInputs": [s3_input("code", uri, "/opt/ml/processing/input/code"), *inputs],
            "ProcessingOutputConfig": {"Outputs": outputs},
            "ProcessingResources": {"ClusterConfig": cluster},
            "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        } | more
        return {member: value for member, value in asked.items() if value is not None}

    def go(self) -> None:
        """Lets all payloads go on that WAIT."""
        jobs = self.boxes.platform.settings.data / "jobs"
        for ml in (*jobs.glob("*/*/ml"), *jobs.glob("*/*/*/ml")):  # of training and of processing jobs
            (ml / "go").touch()

    def job(self, name: str, code: str = "print('hello')", **more: Any) -> str:
        self.sm.create_processing_job(**self.request(name, code, **more))
        return name

    def end(self, name: str, seconds: float = 30.0) -> dict[str, Any]:
        return self.until(name, lambda job: job["ProcessingJobStatus"] in FINAL, seconds)

    def until(self, name: str, good: Callable[[dict[str, Any]], bool], seconds: float = 30.0) -> dict[str, Any]:
        deadline = patience.deadline(seconds)
        while not good(job := self.sm.describe_processing_job(ProcessingJobName=name)):
            assert time.monotonic() < deadline, f"after {seconds} s: {job}\n{self.log(name)[-20:]}"
            time.sleep(0.02)
        return job

    def run(self, name: str, code: str = "print('hello')", **more: Any) -> dict[str, Any]:
        return self.end(self.job(name, code, **more))

    def log(self, name: str) -> list[str]:
        return self.boxes.log(name, GROUP)

    def files(self, prefix: str) -> dict[str, bytes]:
        """Objects below `prefix`: relative key → bytes."""
        s3 = self.boxes.s3
        return {key[len(prefix) :]: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in self.boxes.keys(prefix)}
