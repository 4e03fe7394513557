"""The pure walk of a training job: what each look leads to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.kernel.tasks import RUNNING, TaskState
from modelyard.runtime.base import RunState
from modelyard.services.sagemaker.training_job.lifecycle import first_state
from modelyard.services.sagemaker.training_job.operations import describe
from modelyard.services.sagemaker.training_job.reconcile import CleanUp, CollectOutputs, FetchInputs, Seen, StartRun, StopRun, decide

NOW = 1_700_000_100.0
SPEC = {
    "RoleArn": "arn:aws:iam::123456789012:role/r",
    "AlgorithmSpecification": {"TrainingImage": "x/sagemaker-xgboost:1.7-1", "TrainingInputMode": "File"},
    "OutputDataConfig": {"S3OutputPath": "s3://b/out/"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    "StoppingCondition": {"MaxRuntimeInSeconds": 100},
}
DONE = TaskState("done", {"model": "s3://b/out/j/output/model.tar.gz", "metrics": []})


def job(phase="image", status="InProgress", stop=False, **state):
    state = {**first_state(NOW - 10), "phase": phase, **({} if phase == "image" else {"attempt": 1, "started_at": NOW - 5}), **state}
    spec = {**SPEC, "stop": True} if stop else SPEC
    return Record("u", "training-job", "123456789012", "us-east-1", "j", "arn", None, status, spec, state, 1, NOW, 0, NOW - 10, NOW - 10)


def kinds(step):
    return [type(action) for action in step.do]


def test_a_ready_image_leads_to_the_download_and_starts_the_time_that_counts():
    step = decide(job(), Seen("ready"), NOW)
    assert (step.status, step.state["phase"], step.state["secondary"], step.state["started_at"]) == (
        "InProgress",
        "inputs",
        "Downloading",
        NOW,
    )
    assert kinds(step) == [FetchInputs]


@pytest.mark.parametrize(
    ("image", "reason"),
    [("unknown", "Cannot pull algorithm container. Either the image"), ("failed", "Cannot pull algorithm container. no wheel")],
)
def test_an_image_that_cannot_be_had_fails_the_job_in_the_words_of_aws(image, reason):
    step = decide(job(), Seen(image, "no wheel" if image == "failed" else ""), NOW)
    assert step.status == "Failed" and step.state["reason"].startswith("ClientError: ") and reason in step.state["reason"]


def test_inputs_that_are_there_lead_to_the_run():
    step = decide(job("inputs"), Seen(inputs=TaskState("done")), NOW)
    assert step.state["secondary"] == "Training" and kinds(step) == [StartRun]


def test_inputs_lost_with_an_engine_are_fetched_again_and_running_ones_waited_for():
    assert kinds(decide(job("inputs"), Seen(), NOW)) == [FetchInputs]
    assert kinds(decide(job("inputs"), Seen(inputs=RUNNING), NOW)) == []


def test_a_failed_download_is_the_clients_error():
    error = ApiError("ClientError", "Data download failed:AccessDenied (403): no", 400)
    step = decide(job("inputs"), Seen(inputs=TaskState("failed", error=error)), NOW)
    assert (step.status, step.state["reason"]) == ("Failed", "ClientError: Data download failed:AccessDenied (403): no")


@pytest.mark.parametrize(
    ("run", "stop", "outcome", "last", "reason"),
    [
        (RunState("exited", exit_code=0), False, "Completed", "Completed", None),
        (RunState("exited", exit_code=3), False, "Failed", "Failed", "AlgorithmError: boom, exit code: 3"),
        (
            RunState("exited", exit_code=137, ended_by="oom"),
            False,
            "Failed",
            "Failed",
            "ClientError: Please use an instance type with more memory",
        ),
        (RunState("exited", exit_code=143, ended_by="stop"), True, "Stopped", "Stopped", None),
        (RunState("exited", exit_code=0, ended_by="stop"), True, "Stopped", "Stopped", None),
        (RunState("exited", exit_code=0), True, "Completed", "Completed", None),
        (RunState("exited", exit_code=143, ended_by="max-runtime"), False, "Stopped", "MaxRuntimeExceeded", None),
    ],
)
def test_how_a_run_ended_decides_the_outcome(run, stop, outcome, last, reason):
    step = decide(job("run", stop=stop, status="Stopping" if stop else "InProgress"), Seen(run=run, failure="boom"), NOW)
    assert (step.state["outcome"], step.state["last"]) == (outcome, last)
    assert (step.state["reason"] or "").startswith(reason or "")
    assert kinds(step) == [CollectOutputs] and step.do[0].keep_model == (outcome != "Failed")


def test_a_wish_to_stop_ends_the_run_politely_or_the_job_at_once_before_there_is_one():
    step = decide(job("run", stop=True), Seen(run=RunState("running")), NOW)
    assert step.status == "Stopping" and step.state["secondary"] == "Stopping" and kinds(step) == [StopRun]
    for early in (job(stop=True), job("inputs", stop=True)):
        assert decide(early, Seen(inputs=RUNNING), NOW).status == "Stopped"


def test_a_lost_instance_is_replaced_a_few_times():
    step = decide(job("run"), Seen(run=RunState("lost")), NOW)
    assert step.state["attempt"] == 2 and kinds(step) == [StopRun, FetchInputs] and step.state["secondary"] == "Downloading"
    assert [t["Status"] for t in step.state["transitions"]] == ["Starting", "Restarting", "Downloading"]
    end = decide(job("run", attempt=3, losses=2), Seen(run=RunState("lost")), NOW)
    assert end.status == "Failed" and end.state["reason"].startswith("InternalServerError")


def test_the_end_comes_once_the_outputs_are_up_and_then_one_look_cleans_up():
    step = decide(job("outputs", outcome="Completed", last="Completed"), Seen(outputs=DONE), NOW)
    assert (step.status, step.state["model"], step.state["ended_at"], step.wake_at) == ("Completed", DONE.result["model"], NOW, NOW)
    ended = replace(job("end"), status="Completed")
    assert kinds(decide(ended, Seen(), NOW)) == [CleanUp]


def test_a_failed_upload_fails_the_job_but_keeps_the_reason_it_had():
    error = ApiError("ClientError", "Artifact upload failed:NoSuchBucket (404): gone", 400)
    failed = TaskState("failed", error=error)
    assert (
        "Artifact upload failed" in decide(job("outputs", outcome="Completed", last="Completed"), Seen(outputs=failed), NOW).state["reason"]
    )
    assert (
        decide(job("outputs", outcome="Failed", last="Failed", reason="AlgorithmError: x"), Seen(outputs=failed), NOW).state["reason"]
        == "AlgorithmError: x"
    )


def test_describe_has_what_the_sdk_cannot_live_without():
    said = describe(job())
    assert said["OutputDataConfig"]["KmsKeyId"] == ""
    assert said["SecondaryStatusTransitions"][0]["StatusMessage"] == "Starting the training job"
    assert said["ModelArtifacts"]["S3ModelArtifacts"] == "s3://b/out/j/output/model.tar.gz"
    assert "FailureReason" not in said and "TrainingEndTime" not in said and "VpcConfig" not in said
