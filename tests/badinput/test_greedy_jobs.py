"""Jobs that take more than their share: they are ended and told why, and their neighbour does not notice."""

from __future__ import annotations

import pytest

from modelyard.services.sagemaker.training_job import run as job_run
from tests.support.boxes import Boxes

pytestmark = pytest.mark.slow
NEIGHBOUR = "import time\nfor n in range(100):\n    time.sleep(.05)\nprint('well')"


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    made = Boxes(tmp_path_factory.mktemp("greedy") / "data")
    yield made
    made.close()


@pytest.mark.parametrize("place", ["/opt/ml/output/data/x", "/tmp/x", "/opt/ml/model/x"])
def test_a_job_that_writes_and_writes_is_ended_at_its_volume(boxes, monkeypatch, place):
    monkeypatch.setattr(job_run, "VOLUME_ROOM_BYTES", -(1 << 30) + (64 << 20))
    name = "writes-" + place.split("/")[-2]
    neighbour = boxes.job(name + "-by", NEIGHBOUR)
    code = f"import time\nwith open({place!r}, 'wb') as file:\n    for n in range(20_000):\n        file.write(bytes(1 << 20)); file.flush()\n        time.sleep(.002 if n < 100 else .05)"
    job = boxes.run(name, code)
    assert job["TrainingJobStatus"] == "Failed", boxes.log(name)
    assert job["FailureReason"].startswith("ClientError: Insufficient disk space") and "VolumeSizeInGB" in job["FailureReason"]
    assert any("more than its volume holds (64 MiB)" in line for line in boxes.log(name))
    assert boxes.end(neighbour)["TrainingJobStatus"] == "Completed"
    assert not [key for key in boxes.keys(f"out/{name}/") if "model" in key]


def test_what_a_volume_holds_is_enough(boxes):
    job = boxes.run("fits", "open('/opt/ml/model/m', 'wb').write(bytes(100 << 20)); import time; time.sleep(2.5)")
    assert job["TrainingJobStatus"] == "Completed"


def test_instances_with_disks_of_their_own_have_no_volume(boxes):
    spec = {"ResourceConfig": {"InstanceType": "ml.m5d.large", "VolumeSizeInGB": 1}}
    assert job_run._volume(spec, job_run.FIRST) is None
    spec["ResourceConfig"]["InstanceType"] = "ml.m5.large"
    assert job_run._volume(spec, job_run.FIRST) == 2 << 30


def test_a_fork_bomb_leaves_its_neighbour_alone(boxes):
    """It is ended soon after it has all the processes it may have: kept at its limit, it would hold up every fork of the machine."""
    neighbour = boxes.job("bomb-by", NEIGHBOUR)
    boxes.job("bomb", "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass")
    job = boxes.end("bomb", 120)
    assert job["TrainingJobStatus"] == "Failed" and "1024 processes and threads" in job["FailureReason"], job
    assert boxes.end(neighbour)["TrainingJobStatus"] == "Completed"


def test_many_lines_and_binary_output(boxes):
    neighbour = boxes.job("talk-by", NEIGHBOUR)
    code = "import sys\nout = sys.stdout.buffer\nfor n in range(100_000): out.write(b'line %d\\n' % n)\nout.write(bytes(range(256)) * 40 + b'\\n')"
    job = boxes.end(boxes.job("talk", code), 120)
    assert job["TrainingJobStatus"] == "Completed"
    assert boxes.end(neighbour)["TrainingJobStatus"] == "Completed"
    group, stream = "/aws/sagemaker/TrainingJobs", boxes.logs.describe_log_streams(
        logGroupName="/aws/sagemaker/TrainingJobs", logStreamNamePrefix="talk/"
    )["logStreams"][0]["logStreamName"]  # fmt: skip
    tail = boxes.logs.get_log_events(logGroupName=group, logStreamName=stream, startFromHead=False, limit=200)["events"]
    assert any(event["message"] == "line 99999" for event in tail)


def test_a_gpu_is_told_at_once(boxes):
    resources = {"InstanceType": "ml.p3.2xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1}
    boxes.job("gpu", "print('on a cpu')", ResourceConfig=resources)
    first = boxes.sm.describe_training_job(TrainingJobName="gpu")["SecondaryStatusTransitions"][0]
    assert first["StatusMessage"].startswith("Starting the training job. ml.p3.2xlarge has 1 GPU(s) on AWS; this machine gives none")
    assert boxes.end("gpu")["TrainingJobStatus"] == "Completed"
    assert "runs on CPUs" in boxes.log("gpu")[0] and boxes.log("gpu")[-1] == "on a cpu"


def test_the_failure_reason_is_the_last_line_of_the_traceback(boxes):
    code = "import logging\nlogging.warning('before')\ndef f():\n    raise RuntimeError('the data has 3 columns, not 4')\nf()"
    assert boxes.run("raises", code)["FailureReason"] == "AlgorithmError: RuntimeError: the data has 3 columns, not 4, exit code: 1"
