"""Managed spot training for real: notice, checkpoints to S3 and back, new instances, limits, and the bill."""

from __future__ import annotations

import time

import pytest
from botocore.exceptions import ClientError

from tests.support.boxes import BUCKET, Boxes
from tests.support.clocks import JumpingClock

pytestmark = pytest.mark.slow
# Counts to 40, a checkpoint at each; goes on where the last checkpoint is. It waits before 40 until it has been interrupted
# (`holds` 1), always (2), or not at all: a machine that is slow must not let it end before its interruption.
COUNT = """
import json, os, signal, sys, time
conf = json.load(open('/opt/ml/input/config/hyperparameters.json'))
folder = conf.get('folder', '/opt/ml/checkpoints')
signal.signal(signal.SIGTERM, lambda *_: (print('told to end', flush=True), open(folder + '/bye', 'w').write('bye'), sys.exit(0)))
path = folder + '/epoch'
begin = int(open(path).read()) if os.path.exists(path) else 0
again = os.path.exists(folder + '/bye')
print('begin at', begin, again, flush=True)
for n in range(begin, 40):
    time.sleep(.1)
    while n == 39 and int(conf.get('holds', 0)) > again: time.sleep(.1)
    open(path + '.tmp', 'w').write(str(n + 1)); os.replace(path + '.tmp', path)
print('done', flush=True)
open('/opt/ml/model/m', 'w').write('model')
"""
SPOT = {
    "EnableManagedSpotTraining": True,
    "StoppingCondition": {"MaxRuntimeInSeconds": 3600, "MaxWaitTimeInSeconds": 7200},
    "CheckpointConfig": {"S3Uri": f"s3://{BUCKET}/checkpoints/job"},
}


@pytest.fixture
def boxes(tmp_path):
    made = Boxes(tmp_path / "data", clock=JumpingClock())
    made.own = made.yard.client("modelyard")
    yield made
    made.close()


def held(boxes, name, code=COUNT, holds=1, **more):
    """A request for a job that does not end before it was interrupted `holds` times."""
    asked = boxes.request(name, code, **{**SPOT, **more})
    asked["HyperParameters"]["holds"] = str(holds)
    return asked


def secondary(job):
    return [t["Status"] for t in job["SecondaryStatusTransitions"]]


def test_an_interrupted_job_goes_on_from_its_checkpoint(boxes):
    asked = held(boxes, "count", COUNT.replace("for n in", "print('seen=%d;' % begin)\nfor n in"))
    asked["AlgorithmSpecification"]["MetricDefinitions"] = [
        {"Name": "first", "Regex": "begin at (0)"},
        {"Name": "seen", "Regex": "seen=([0-9]+);"},
    ]
    boxes.sm.create_training_job(**asked)
    boxes.until("count", lambda job: "checkpoints/job/epoch" in boxes.keys("checkpoints/"))
    boxes.own.interrupt_training_job(TrainingJobName="count")
    job = boxes.end("count")
    assert job["TrainingJobStatus"] == "Completed", (job, boxes.log("count"))
    assert secondary(job) == [
        "Starting",
        "Downloading",
        "Training",
        "Interrupted",
        "Starting",
        "Downloading",
        "Training",
        "Uploading",
        "Completed",
    ]
    said = boxes.log("count")
    begins = [line for line in said if line.startswith("begin at")]
    assert begins[0] == "begin at 0 False" and len(begins) == 2
    assert begins[1].endswith("True") and int(begins[1].split()[2]) > 0, "what was written in the two minutes came back too"
    assert "told to end" in said and any("Spot interruption" in line for line in said) and said[-1] == "done"
    metrics = {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]}
    assert metrics["first"] == 0.0 and metrics["seen"] == float(begins[1].split()[2]), "of all attempts, the last value"
    assert job["BillableTimeInSeconds"] < job["TrainingTimeInSeconds"]
    assert boxes.s3.get_object(Bucket=BUCKET, Key="checkpoints/job/epoch")["Body"].read() == b"40"
    events = [e for e in boxes.platform.store.events(0, 10_000) if e.detail.get("notice")]
    assert [e.name for e in events] == ["count"]


def test_checkpoints_elsewhere_and_for_jobs_that_are_not_spot(boxes):
    boxes.put("checkpoints/old/epoch", b"38")
    boxes.put("checkpoints/old/deep/down", b"x")
    config = {"S3Uri": f"s3://{BUCKET}/checkpoints/old/", "LocalPath": "/tmp/my/checkpoints"}
    asked = boxes.request("elsewhere", COUNT, CheckpointConfig=config)
    asked["HyperParameters"]["folder"] = "/tmp/my/checkpoints"
    boxes.sm.create_training_job(**asked)
    job = boxes.end("elsewhere")
    assert job["TrainingJobStatus"] == "Completed", (job, boxes.log("elsewhere"))
    assert "begin at 38 False" in boxes.log("elsewhere")
    assert boxes.s3.get_object(Bucket=BUCKET, Key="checkpoints/old/epoch")["Body"].read() == b"40"


def test_an_outage_interrupts_and_the_wait_has_its_limit(boxes):
    limits = {"MaxRuntimeInSeconds": 300, "MaxWaitTimeInSeconds": 600}
    boxes.sm.create_training_job(**held(boxes, "late", StoppingCondition=limits))
    boxes.until("late", lambda job: job["SecondaryStatus"] == "Training")
    now = boxes.own.describe_spot_market()["Now"].timestamp()
    boxes.own.put_spot_market(Outages=[{"Start": now, "End": now + 100_000}])
    boxes.until("late", lambda job: secondary(job)[-2:] == ["Interrupted", "Starting"])
    boxes.platform.clock.advance(700)
    job = boxes.end("late")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxWaitTimeExceeded"), job
    assert secondary(job)[-3:] == ["Interrupted", "Starting", "MaxWaitTimeExceeded"]
    boxes.job("never", COUNT, **{**SPOT, "StoppingCondition": {"MaxRuntimeInSeconds": 1, "MaxWaitTimeInSeconds": 1}})
    job = boxes.end("never")
    assert secondary(job) == ["Starting", "MaxWaitTimeExceeded"]
    boxes.own.put_spot_market(Outages=[])
    boxes.job("calm", "print('x')", **SPOT)
    assert boxes.end("calm")["TrainingJobStatus"] == "Completed"


def test_two_hosts_are_interrupted_and_resumed_together_and_a_stop_in_between_ends_them(boxes):
    boxes.own.put_spot_market(WaitInSeconds=3600)
    resources = {"InstanceType": "ml.m5.large", "InstanceCount": 2, "VolumeSizeInGB": 1}
    code = COUNT.replace("'/epoch'", "'/epoch-' + json.load(open('/opt/ml/input/config/resourceconfig.json'))['current_host']")
    boxes.sm.create_training_job(**held(boxes, "pair", code, holds=2, ResourceConfig=resources))
    both = {"checkpoints/job/epoch-algo-1", "checkpoints/job/epoch-algo-2"}  # there may be a .tmp of each beside them
    boxes.until("pair", lambda job: both <= set(boxes.keys("checkpoints/job/epoch-")))
    boxes.own.interrupt_training_job(TrainingJobName="pair")
    boxes.until("pair", lambda job: secondary(job)[-2:] == ["Interrupted", "Starting"])
    with pytest.raises(ClientError, match="holds no instances"):
        boxes.own.interrupt_training_job(TrainingJobName="pair")
    boxes.own.put_spot_market(WaitInSeconds=0)
    boxes.until("pair", lambda job: job["SecondaryStatus"] == "Training")
    boxes.own.put_spot_market(WaitInSeconds=3600)
    boxes.own.interrupt_training_job(TrainingJobName="pair")
    boxes.until("pair", lambda job: secondary(job)[-1] == "Starting")
    boxes.sm.stop_training_job(TrainingJobName="pair")
    assert boxes.end("pair")["TrainingJobStatus"] == "Stopped"
    assert not [run for run in boxes.runtime.ids() if boxes.runtime.look(run).state == "running"]


def test_who_may_interrupt_what(boxes):
    import json

    with pytest.raises(ClientError, match="There is no training job nobody"):
        boxes.own.interrupt_training_job(TrainingJobName="nobody")
    boxes.job("plain", "import time; time.sleep(600)")
    boxes.until("plain", lambda job: job["SecondaryStatus"] == "Training")
    with pytest.raises(ClientError, match="does not run on spot instances"):
        boxes.own.interrupt_training_job(TrainingJobName="plain")
    boxes.sm.stop_training_job(TrainingJobName="plain")
    with pytest.raises(ClientError, match="ends after its start"):
        boxes.own.put_spot_market(Outages=[{"Start": 10, "End": 10}])
    boxes.iam.create_user(UserName="u")
    keys = boxes.iam.create_access_key(UserName="u")["AccessKey"]
    document = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "modelyard:Describe*", "Resource": "*"}]}
    boxes.iam.put_user_policy(UserName="u", PolicyName="p", PolicyDocument=json.dumps(document))
    from tests.support import inproc

    theirs = inproc.client(boxes.yard.gateway, "modelyard", key=keys["AccessKeyId"], secret=keys["SecretAccessKey"])
    theirs.describe_spot_market()
    for call in (lambda: theirs.put_spot_market(WaitInSeconds=1), lambda: theirs.interrupt_training_job(TrainingJobName="plain")):
        with pytest.raises(ClientError) as denied:
            call()
        assert denied.value.response["Error"]["Code"] == "AccessDeniedException"


@pytest.mark.parametrize("path", ["checkpoints", "/opt/ml", "/opt/ml/model/x", "/usr/lib/x", "/tmp/../etc", "/"])
def test_local_paths_that_cannot_be(boxes, path):
    with pytest.raises(ClientError, match="LocalPath"):
        boxes.job("bad", COUNT, CheckpointConfig={"S3Uri": f"s3://{BUCKET}/c", "LocalPath": path})


def test_the_engine_may_die_in_the_two_minutes(boxes):
    boxes.sm.create_training_job(**held(boxes, "crash", COUNT.replace("sys.exit(0)", "time.sleep(2), sys.exit(0)")))
    boxes.until("crash", lambda job: "checkpoints/job/epoch" in boxes.keys("checkpoints/"))
    boxes.own.interrupt_training_job(TrainingJobName="crash")
    time.sleep(0.5)
    boxes.stop_engine()
    boxes.platform.parts["tasks"] = type(boxes.platform.tasks)()
    boxes.start_engine()
    job = boxes.end("crash")
    assert job["TrainingJobStatus"] == "Completed" and secondary(job).count("Interrupted") == 1
