"""A full disk: what cannot be kept is refused or failed with a reason, what was kept stays whole, and with room again all goes on."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.support.boxes import BUCKET, Boxes, tar

MIB = 1 << 20


@pytest.fixture(scope="module")
def small():
    """A platform whose data folder has 48 MiB. It needs root, who may mount."""
    with tempfile.TemporaryDirectory(prefix="my-full-", ignore_cleanup_errors=True) as folder:
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m", "tmpfs", folder], capture_output=True, text=True)
        if mounted.returncode != 0:
            pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
        made = Boxes(Path(folder))
        try:
            yield made
            made.close()
        finally:
            subprocess.run(["umount", "-l", folder], check=True)


@pytest.fixture
def full(small):
    """`full(left)`: the disk has only so many bytes left, until the test's end."""
    ballast = small.platform.settings.data / "ballast"

    def fill(left: int) -> None:
        free = os.statvfs(ballast.parent).f_bavail * os.statvfs(ballast.parent).f_frsize
        with ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free - left)

    yield fill
    ballast.unlink(missing_ok=True)
    small.reserve.hold()
    assert small.run(f"after-{os.urandom(4).hex()}")["TrainingJobStatus"] == "Completed", "with room again jobs complete"


def test_a_put_that_does_not_fit_is_refused_and_leaves_what_was_there(small, full):
    small.put("kept", b"old")
    full(2 * MIB)
    with pytest.raises(ClientError) as found:
        small.put("kept", os.urandom(8 * MIB))
    said = found.value.response
    assert (said["ResponseMetadata"]["HTTPStatusCode"], said["Error"]["Code"]) == (507, "InsufficientStorage"), said
    assert small.s3.get_object(Bucket=BUCKET, Key="kept")["Body"].read() == b"old"
    objects = small.platform.settings.data / "objects"
    assert [p for p in objects.rglob("*") if p.is_file() and p.stat().st_size > MIB] == [], "nothing half is left"
    small.put("small", b"fits")


def test_inputs_that_do_not_fit_fail_the_job(small, full):
    small.put("big/x", os.urandom(8 * MIB))
    full(4 * MIB)
    channel = {"ChannelName": "train", "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/big/"}}}
    job = small.run("inputs", InputDataConfig=[channel])
    assert (job["TrainingJobStatus"], job["FailureReason"]) == ("Failed", "ClientError: Data download failed:Insufficient disk space")
    small.s3.delete_object(Bucket=BUCKET, Key="big/x")


@pytest.mark.parametrize("place", ["/tmp", "/opt/ml/model", "/root", "/opt/ml/output/data"])
def test_a_job_that_fills_the_disk_fails_alone(small, full, place):
    job = small.run("fills" + place.replace("/", "-"), f"with open('{place}/big', 'wb') as f:\n    while True: f.write(bytes(1 << 20))")
    assert job["TrainingJobStatus"] == "Failed", job
    assert job["FailureReason"].startswith("AlgorithmError: OSError: [Errno 28] No space left on device"), job["FailureReason"]


def test_a_model_that_does_not_fit_into_the_store_fails_the_job(small, full):
    code = "import os\nopen('/opt/ml/model/m','wb').write(os.urandom(18 << 20))"
    job = small.run("model", code)
    assert job["TrainingJobStatus"] == "Failed", job
    assert job["FailureReason"].startswith("ClientError: Artifact upload failed:"), job["FailureReason"]
    assert small.keys("out/model/") == []


def test_a_log_that_does_not_fit_costs_lines_not_the_job(small, full):
    code = "import sys\nfor n in range(80): sys.stdout.write('x' * 1023 * 1024 + '\\n')\nprint('end')"
    job = small.run("loud", code)
    assert job["TrainingJobStatus"] in ("Completed", "Failed"), job


def test_a_model_that_does_not_fit_fails_its_endpoint(small, full):
    small.model("fat", tar([("serve.py", b""), ("weights", os.urandom(12 * MIB))]))
    small.config("fat", "fat")
    full(9 * MIB)
    small.sm.create_endpoint(EndpointName="fat", EndpointConfigName="fat")
    there = small.settled("fat")
    assert there["EndpointStatus"] == "Failed" and "No space left on device" in there["FailureReason"], there
    small.sm.delete_endpoint(EndpointName="fat")
