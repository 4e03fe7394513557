"""Two hundred training jobs queued at once: how long until all have ended, in what order, at what memory of the platform.

    python benchmarks/job_queue.py [--jobs 200] [--json FILE]

No-op jobs in the scikit-learn image. Every job must complete, and they must start in the order they came. The floor is the bare
interpreter of the image started as often, two at a time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "src")]

from support.platform import Platform, load_average  # noqa: E402

IMAGE, ROLE = (
    "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3",
    "arn:aws:iam::123456789012:role/ModelyardExecutionRole",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=200)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-queue-") as folder:
        platform = Platform(Path(folder) / "data")
        try:
            platform.client("s3").create_bucket(Bucket="bench-queue")
            create(platform, "warm-up")  # builds the image where it is not built yet: not counted
            finish(platform, ["warm-up"])
            memory = Memory(Path(folder) / "data")
            began = time.monotonic()
            names = [f"job-{number:03d}" for number in range(options.jobs)]
            for name in names:
                create(platform, name)
            created = time.monotonic() - began
            told = finish(platform, names)
            took, worst = time.monotonic() - began, memory.end()
        finally:
            platform.stop()
    assert all(job["TrainingJobStatus"] == "Completed" for job in told), {job["TrainingJobStatus"] for job in told}
    starts = [job["TrainingStartTime"] for job in told]
    assert starts == sorted(starts), "jobs overtook each other"
    bare = floor(options.jobs)
    print(f"{options.jobs} jobs at once: created in {created:.1f} s, all ended after {took:.1f} s, in the order they came")
    print(f"platform's processes: at most {worst / 1e6:.0f} MB; floor: bare interpreters, two at a time, {bare:.1f} s; {load_average()}")
    if options.json:
        options.json.write_text(
            json.dumps({"jobs": options.jobs, "created_s": created, "took_s": took, "memory_bytes": worst, "floor_s": bare})
        )


def create(platform: Platform, name: str) -> None:
    platform.client("sagemaker").create_training_job(
        TrainingJobName=name,
        RoleArn=ROLE,
        AlgorithmSpecification={
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["python3", "-c", "print('done')"],
        },
        OutputDataConfig={"S3OutputPath": "s3://bench-queue/out"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 600},
    )


def finish(platform: Platform, names: list[str]) -> list[dict]:
    sagemaker, told = platform.client("sagemaker"), []
    for name in names:
        while (job := sagemaker.describe_training_job(TrainingJobName=name))["TrainingJobStatus"] in ("InProgress", "Stopping"):
            time.sleep(0.1)
        told.append(job)
    return told


class Memory:
    """The most that the platform's own processes (not the jobs) hold at once, sampled."""

    def __init__(self, data: Path) -> None:
        self._data, self._most, self._stop = str(data), 0, threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()

    def end(self) -> int:
        self._stop.set()
        self._thread.join()
        return self._most

    def _sample(self) -> None:
        while not self._stop.wait(0.5):
            self._most = max(self._most, sum(self._resident(pid) for pid in os.listdir("/proc") if pid.isdigit()))

    def _resident(self, pid: str) -> int:
        try:
            if self._data.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes() or b"shim" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return 0
            return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        except (OSError, IndexError):
            return 0


def floor(count: int) -> float:
    began = time.monotonic()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: subprocess.run([sys.executable, "-c", "print('done')"], check=True, capture_output=True), range(count)))
    return time.monotonic() - began


if __name__ == "__main__":
    main()
