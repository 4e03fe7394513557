"""From CreateTrainingJob to the first line of user code, with a built image: real jobs in their boxes, one after the other.

    python benchmarks/job_start.py [--jobs 9] [--json FILE]

The script's first line writes down the time; it is read back from the job's CloudWatch logs. Script mode in the scikit-learn
image, one File channel; and the same script started by the bare interpreter of the image's environment as the floor. Every
job must complete and its log must hold the line.
"""

from __future__ import annotations

import argparse
import io
import json
import re
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "src")]

from support.platform import Platform, load_average  # noqa: E402

IMAGE, ROLE = (
    "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3",
    "arn:aws:iam::123456789012:role/ModelyardExecutionRole",
)
SCRIPT = "import time; print(f'FIRST LINE {time.time():.6f}', flush=True)\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=9)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-jobs-") as folder:
        platform = Platform(Path(folder) / "data")
        try:
            prepare(platform)
            job(platform, "warm-up")  # builds the image where it is not built yet: not counted
            times, floors = [], []
            for number in range(options.jobs):
                times.append(job(platform, f"job-{number}"))
                floors.append(floor())
        finally:
            platform.stop()
    p50, worst, bare = statistics.median(times), max(times), statistics.median(floors)
    print(f"CreateTrainingJob → first line: p50 {p50 * 1000:.0f} ms, worst {worst * 1000:.0f} ms of {len(times)} (target p50 < 500)")
    print(f"floor: bare interpreter → first line {bare * 1000:.0f} ms; {load_average()}")
    if options.json:
        options.json.write_text(json.dumps({"p50_s": p50, "worst_s": worst, "floor_s": bare, "times_s": times}, indent=2))


def prepare(platform: Platform) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        info = tarfile.TarInfo("train.py")
        info.size = len(SCRIPT)
        tar.addfile(info, io.BytesIO(SCRIPT.encode()))
    s3 = platform.client("s3")
    s3.create_bucket(Bucket="bench-jobs")
    s3.put_object(Bucket="bench-jobs", Key="code/sourcedir.tar.gz", Body=archive.getvalue())
    s3.put_object(Bucket="bench-jobs", Key="data/train.csv", Body=b"1,2,3\n")


def job(platform: Platform, name: str) -> float:
    """Seconds from before the call to the first line of the script."""
    sagemaker = platform.client("sagemaker")
    sagemaker.list_training_jobs(MaxResults=1)  # the connection, as any client has it already
    began = time.time()
    sagemaker.create_training_job(
        TrainingJobName=name,
        RoleArn=ROLE,
        AlgorithmSpecification={"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        HyperParameters={"sagemaker_program": '"train.py"', "sagemaker_submit_directory": '"s3://bench-jobs/code/sourcedir.tar.gz"'},
        InputDataConfig=[
            {"ChannelName": "train", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": "s3://bench-jobs/data/"}}}
        ],
        OutputDataConfig={"S3OutputPath": "s3://bench-jobs/out"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 600},
    )
    while (told := sagemaker.describe_training_job(TrainingJobName=name))["TrainingJobStatus"] in ("InProgress", "Stopping"):
        time.sleep(0.02)
    assert told["TrainingJobStatus"] == "Completed", told.get("FailureReason")
    line = first_line(platform, name)
    return line - began


def first_line(platform: Platform, name: str) -> float:
    logs, group = platform.client("logs"), "/aws/sagemaker/TrainingJobs"
    until = time.time() + 20
    while time.time() < until:
        for stream in logs.describe_log_streams(logGroupName=group, logStreamNamePrefix=f"{name}/")["logStreams"]:
            for event in logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"], startFromHead=True)["events"]:
                if found := re.search(r"FIRST LINE ([\d.]+)", event["message"]):
                    return float(found[1])
        time.sleep(0.1)
    raise SystemExit(f"the log of {name} has no first line")


def floor() -> float:
    began = time.time()
    told = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True).stdout
    return float(told.split()[2]) - began


if __name__ == "__main__":
    main()
