"""What the platform adds to a processing job: CreateProcessingJob of a no-op to its terminal status, seen by a client that only describes.

    python benchmarks/processing_overhead.py [--jobs 15] [--json FILE]

One host in the scikit-learn image (built before), one S3 input, one output folder with a file. Beside it the floor: the same
program by the bare interpreter. Every job must complete and have its output.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
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
BUCKET, OUT = "bench-processing", "/opt/ml/processing/output"
SCRIPT = "open('{}/done', 'w').write('1')\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=15)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-processing-") as folder:
        platform = Platform(Path(folder) / "data")
        try:
            s3 = platform.client("s3")
            s3.create_bucket(Bucket=BUCKET)
            s3.put_object(Bucket=BUCKET, Key="code/noop.py", Body=SCRIPT.format(OUT).encode())
            job(platform, "warm-up")  # builds the image where it is not built yet: not counted
            times, floors = [], []
            for number in range(options.jobs):
                times.append(job(platform, f"job-{number}"))
                floors.append(floor(folder))
        finally:
            platform.stop()
    p50, worst, bare = statistics.median(times), max(times), statistics.median(floors)
    print(f"CreateProcessingJob → terminal: p50 {p50 * 1000:.0f} ms, worst {worst * 1000:.0f} ms of {len(times)} (target p50 < 1000)")
    print(f"floor: plain python {bare * 1000:.0f} ms; {load_average()}")
    if options.json:
        options.json.write_text(json.dumps({"p50_s": p50, "worst_s": worst, "floor_s": bare, "times_s": times}, indent=2))


def job(platform: Platform, name: str) -> float:
    sagemaker = platform.client("sagemaker")
    code = {"S3Uri": f"s3://{BUCKET}/code/", "LocalPath": "/opt/ml/processing/input/code", "S3DataType": "S3Prefix", "S3InputMode": "File"}
    output = {"S3Uri": f"s3://{BUCKET}/out/{name}", "LocalPath": OUT, "S3UploadMode": "EndOfJob"}
    began = time.time()
    sagemaker.create_processing_job(
        ProcessingJobName=name,
        AppSpecification={"ImageUri": IMAGE, "ContainerEntrypoint": ["python3", "/opt/ml/processing/input/code/noop.py"]},
        RoleArn=ROLE,
        ProcessingInputs=[{"InputName": "code", "S3Input": code}],
        ProcessingOutputConfig={"Outputs": [{"OutputName": "out", "S3Output": output}]},
        ProcessingResources={"ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}},
    )
    while (told := sagemaker.describe_processing_job(ProcessingJobName=name))["ProcessingJobStatus"] in ("InProgress", "Stopping"):
        time.sleep(0.01)
    took = time.time() - began
    assert told["ProcessingJobStatus"] == "Completed", told.get("FailureReason")
    assert platform.client("s3").get_object(Bucket=BUCKET, Key=f"out/{name}/done")["Body"].read() == b"1"
    return took


def floor(folder: str) -> float:
    began = time.time()
    subprocess.run([sys.executable, "-c", SCRIPT.format(folder)], check=True)
    return time.time() - began


if __name__ == "__main__":
    main()
