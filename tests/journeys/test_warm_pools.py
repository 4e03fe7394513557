"""Warm pools for real: the next job like it takes place and cache over; others do not; it ends with its time."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from tests.support.boxes import Boxes

pytestmark = pytest.mark.slow
CODE = """
import os
path = '/opt/ml/sagemaker/warmpoolcache/left'
print('found', open(path).read() if os.path.exists(path) else 'nothing')
if os.path.isdir(os.path.dirname(path)): open(path, 'w').write(os.environ['TRAINING_JOB_NAME'])
"""


@pytest.fixture
def boxes(tmp_path):
    made = Boxes(tmp_path / "data")
    yield made
    made.close()


def resources(keep=0, **more):
    return {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1, "KeepAlivePeriodInSeconds": keep, **more}


def messages(job):
    return [t["StatusMessage"] for t in job["SecondaryStatusTransitions"]]


def pool(boxes, name):
    return boxes.sm.describe_training_job(TrainingJobName=name).get("WarmPoolStatus")


def test_the_next_job_like_it_takes_the_pool_over(boxes):
    first = boxes.run("first", CODE, ResourceConfig=resources(1800))
    assert "found nothing" in boxes.log("first")
    boxes.until("first", lambda job: messages(job)[-1] == "Resource retained for reuse")
    assert pool(boxes, "first")["Status"] == "Available" and first["TrainingJobStatus"] == "Completed"
    other = boxes.run("other", CODE, ResourceConfig=resources(60, VolumeSizeInGB=2))
    assert other["TrainingJobStatus"] == "Completed" and "found nothing" in boxes.log("other")
    assert [j["TrainingJobName"] for j in boxes.sm.list_training_jobs(WarmPoolStatusEquals="Available")["TrainingJobSummaries"]] == [
        "other",
        "first",
    ]
    second = boxes.run("second", CODE, ResourceConfig=resources(1800))
    assert "found first" in boxes.log("second") and "Found matching resource for reuse" in messages(second)
    told = boxes.until("first", lambda job: job["WarmPoolStatus"]["Status"] == "Reused")
    assert told["WarmPoolStatus"]["ReusedByJob"] == "second" and messages(told)[-1] == "Resource reused by training job: second"
    third = boxes.run("third", CODE, ResourceConfig=resources())
    assert "found second" in boxes.log("third") and "WarmPoolStatus" not in third
    boxes.until("second", lambda job: job["WarmPoolStatus"]["Status"] == "Reused")
    boxes.run("fourth", CODE, ResourceConfig=resources())
    assert "found nothing" in boxes.log("fourth"), "the third kept nothing"


def test_a_pool_ends_with_its_time_or_when_it_is_told_to(boxes):
    boxes.run("short", CODE, ResourceConfig=resources(1))
    told = boxes.until("short", lambda job: job["WarmPoolStatus"]["Status"] == "Terminated")
    assert messages(told)[-1] == "Resource released due to keep alive period expiry"
    assert told["WarmPoolStatus"]["ResourceRetainedBillableTimeInSeconds"] == 1
    boxes.run("told", CODE, ResourceConfig=resources(3000))
    boxes.sm.update_training_job(TrainingJobName="told", ResourceConfig={"KeepAlivePeriodInSeconds": 3600})
    assert boxes.sm.describe_training_job(TrainingJobName="told")["ResourceConfig"]["KeepAlivePeriodInSeconds"] == 3600
    boxes.sm.update_training_job(TrainingJobName="told", ResourceConfig={"KeepAlivePeriodInSeconds": 0})
    boxes.until("told", lambda job: job["WarmPoolStatus"]["Status"] == "Terminated")
    with pytest.raises(ClientError, match="warm pool is Available"):
        boxes.sm.update_training_job(TrainingJobName="told", ResourceConfig={"KeepAlivePeriodInSeconds": 60})
    boxes.run("after", CODE, ResourceConfig=resources())
    assert "found nothing" in boxes.log("after")


def test_a_pool_does_not_keep_others_waiting_and_failed_jobs_leave_none(boxes):
    big = {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 3, "KeepAlivePeriodInSeconds": 3600}
    for n in range(3):
        boxes.run(f"pool-{n}", CODE, ResourceConfig={**big, "VolumeSizeInGB": 10 + n})
    assert boxes.run("beside", "print('x')")["TrainingJobStatus"] == "Completed"
    failed = boxes.run("failed", "raise SystemExit(3)", ResourceConfig=resources(3600))
    assert failed["WarmPoolStatus"]["Status"] == "Terminated"


@pytest.mark.parametrize(
    "more",
    [
        {"EnableManagedSpotTraining": True, "StoppingCondition": {"MaxRuntimeInSeconds": 1, "MaxWaitTimeInSeconds": 2}},
        {"ResourceConfig": {"KeepAlivePeriodInSeconds": 60, "VolumeSizeInGB": 1, "InstanceGroups": [{"InstanceGroupName": "a", "InstanceType": "ml.m5.large", "InstanceCount": 1}]}},
    ],
)  # fmt: skip
def test_what_has_no_warm_pool(boxes, more):
    with pytest.raises(ClientError, match="there is no warm pool of such instances"):
        boxes.job("none", CODE, **{"ResourceConfig": resources(60), **more})


def test_updates_of_a_running_job(boxes):
    boxes.job("long", "import time; time.sleep(600)")
    boxes.until("long", lambda job: job["SecondaryStatus"] == "Training")
    boxes.sm.update_training_job(
        TrainingJobName="long", ProfilerConfig={"S3OutputPath": "s3://data/profile", "ProfilingIntervalInMilliseconds": 500}
    )
    assert boxes.sm.describe_training_job(TrainingJobName="long")["ProfilerConfig"]["S3OutputPath"] == "s3://data/profile"
    with pytest.raises(ClientError, match="At least one of"):
        boxes.sm.update_training_job(TrainingJobName="long")
    with pytest.raises(ClientError, match="warm pool"):
        boxes.sm.update_training_job(TrainingJobName="long", ResourceConfig={"KeepAlivePeriodInSeconds": 60})
    boxes.sm.stop_training_job(TrainingJobName="long")
    boxes.end("long")
    with pytest.raises(ClientError, match="is in status Stopped"):
        boxes.sm.update_training_job(TrainingJobName="long", ProfilerConfig={"DisableProfiler": True})
    with pytest.raises(ClientError, match="Requested resource not found"):
        boxes.sm.update_training_job(TrainingJobName="nobody", ProfilerConfig={"DisableProfiler": True})


def test_tensorboard_and_debugger_output_is_uploaded(boxes):
    code = """
import os
for path in ('/opt/ml/output/tensorboard/run/events.out', '/opt/ml/output/tensors/t0'):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    open(path, 'w').write('x')
"""
    boxes.run(
        "board", code, TensorBoardOutputConfig={"S3OutputPath": "s3://data/board"},
        DebugHookConfig={"S3OutputPath": "s3://data/debug", "CollectionConfigurations": []},
        DebugRuleConfigurations=[{"RuleConfigurationName": "LossNotDecreasing", "RuleEvaluatorImage": "503895931360.dkr.ecr.us-east-1.amazonaws.com/sagemaker-debugger-rules:latest"}],
    )  # fmt: skip
    assert boxes.keys("board/") == ["board/board/tensorboard-output/run/events.out"]
    assert boxes.keys("debug/") == ["debug/board/debug-output/t0"]
    told = boxes.sm.describe_training_job(TrainingJobName="board")
    assert told["TensorBoardOutputConfig"]["S3OutputPath"] == "s3://data/board" and told["DebugRuleConfigurations"]
