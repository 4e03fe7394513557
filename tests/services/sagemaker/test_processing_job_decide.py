"""The pure walk of a processing job: what each look leads to."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.kernel.tasks import RUNNING, TaskState
from modelyard.runtime.base import RunState
from modelyard.services.sagemaker.jobs.admission import Place
from modelyard.services.sagemaker.processing_job.check import completed
from modelyard.services.sagemaker.processing_job.lifecycle import first_state
from modelyard.services.sagemaker.processing_job.reconcile import (
    PEER_GRACE_SECONDS,
    PEER_SECONDS,
    CleanUp,
    CollectOutputs,
    EndRuns,
    FetchInputs,
    Follow,
    Seen,
    StartRuns,
    StopRuns,
    decide,
)
from modelyard.services.sagemaker.processing_job.run import host_numbers, run_ids

NOW = 1_700_000_100.0
REQUEST = {
    "ProcessingJobName": "j",
    "AppSpecification": {"ImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1"},
    "RoleArn": "arn:aws:iam::123456789012:role/r",
    "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}},
}
OK, RUNS, ABSENT, LOST = RunState("exited", exit_code=0), RunState("running"), RunState("absent"), RunState("lost")
STOPPED = RunState("exited", exit_code=143, ended_by="stop")


def bad(code=1, at=1.0, ended_by=None):
    return RunState("exited", exit_code=code, finished_at=at, ended_by=ended_by)


def job(phase="image", status="InProgress", stop=False, hosts=1, **state):
    spec = completed(REQUEST, known_image=True)
    spec["ProcessingResources"]["ClusterConfig"]["InstanceCount"] = hosts
    begun = {} if phase == "image" else {"attempt": 1, "started_at": NOW - 5}
    state = {**first_state(), "phase": phase, **begun, **state}
    return Record(
        "u", "processing-job", "123456789012", "us-east-1", "j", "arn", None, status, spec | ({"stop": True} if stop else {}), state,
        1, NOW, 0, NOW - 10, NOW - 10,
    )  # fmt: skip


def kinds(step):
    return [type(action) for action in step.do]


def test_a_ready_image_leads_to_the_inputs_and_starts_the_time_that_counts():
    step = decide(job(), Seen("ready"), NOW)
    assert (step.status, step.state["phase"], step.state["started_at"], kinds(step)) == ("InProgress", "inputs", NOW, [FetchInputs])


@pytest.mark.parametrize(
    ("image", "reason"),
    [("unknown", "Cannot pull algorithm container. Either the image"), ("failed", "Cannot pull algorithm container. no wheel")],
)
def test_an_image_that_cannot_be_had_fails_the_job(image, reason):
    step = decide(job(), Seen(image, "no wheel" if image == "failed" else ""), NOW)
    assert step.status == "Failed" and step.state["reason"].startswith("ClientError: ") and reason in step.state["reason"]
    assert step.state["started_at"] == step.state["ended_at"] == NOW


def test_inputs_that_are_there_lead_to_the_runs_and_lost_ones_are_fetched_again():
    assert kinds(decide(job("inputs"), Seen(inputs=TaskState("done")), NOW)) == [StartRuns]
    assert kinds(decide(job("inputs"), Seen(), NOW)) == [FetchInputs]
    assert kinds(decide(job("inputs"), Seen(inputs=RUNNING), NOW)) == []


def test_a_failed_download_is_the_clients_error():
    error = ApiError("ClientError", "Data download failed:AccessDenied (403): no", 400)
    step = decide(job("inputs"), Seen(inputs=TaskState("failed", error=error)), NOW)
    assert (step.status, step.state["reason"]) == ("Failed", "ClientError: Data download failed:AccessDenied (403): no")


@pytest.mark.parametrize(
    ("runs", "stop", "outcome", "reason"),
    [
        ((OK,), False, "Completed", None),
        ((OK, OK), False, "Completed", None),
        ((bad(3),), False, "Failed", "AlgorithmError: See job logs for more information, exit code: 3 (boom)"),
        ((OK, bad(3)), False, "Failed", "AlgorithmError: See job logs for more information, exit code: 3 (algo-2: boom)"),
        ((bad(3, 9.0), bad(4, 8.0)), False, "Failed", "AlgorithmError: See job logs for more information, exit code: 4 (algo-2: boom)"),
        ((STOPPED, bad(5)), False, "Failed", "AlgorithmError: See job logs for more information, exit code: 5 (algo-2: boom)"),
        ((OK, bad(137, ended_by="oom")), False, "Failed", "ClientError: Please use an instance type with more memory, or reduce the size of job data processed on an instance., exit code: 137"),
        ((STOPPED,), True, "Stopped", None),
        ((RunState("exited", ended_by="stop"),), True, "Stopped", None),
        ((RunState("exited", exit_code=0, ended_by="stop"), OK), True, "Stopped", None),
        ((bad(1),), True, "Stopped", None),
        ((OK,), True, "Completed", None),
        ((bad(143, ended_by="max-runtime"), OK), False, "Stopped", None),
    ],
)  # fmt: skip
def test_how_the_runs_ended_decides_the_outcome(runs, stop, outcome, reason):
    the_job = job("run", "Stopping" if stop else "InProgress", stop, len(runs))
    step = decide(the_job, Seen(runs=runs, said=("boom",) * len(runs)), NOW)
    assert (step.state["outcome"], step.state["reason"]) == (outcome, reason)
    assert kinds(step) == [CollectOutputs], "outputs are kept, however it ended"


def test_hosts_that_are_not_there_are_started_and_running_ones_followed():
    assert kinds(decide(job("run", hosts=2), Seen(runs=(RUNS, ABSENT)), NOW)) == [StartRuns]
    assert kinds(decide(job("run", hosts=2), Seen(runs=(RUNS, OK)), NOW)) == [Follow]


def test_a_host_that_fails_ends_the_others_but_not_at_once():
    two = job("run", hosts=2)
    assert kinds(decide(two, Seen(runs=(bad(), RUNS), failed_for_s=PEER_SECONDS - 1), NOW)) == [Follow]
    (stop,) = decide(two, Seen(runs=(bad(), RUNS), failed_for_s=PEER_SECONDS + 1), NOW).do
    assert stop == StopRuns(two, PEER_GRACE_SECONDS)


def test_a_wish_to_stop_ends_the_runs_politely_or_the_job_at_once_before_there_are_any():
    step = decide(job("run", stop=True), Seen(runs=(RUNS,)), NOW)
    assert step.status == "Stopping" and kinds(step) == [StopRuns] and step.do[0].grace_s is None
    assert kinds(decide(job("run", "Stopping", stop=True), Seen(runs=(RUNS,)), NOW)) == [StopRuns]
    assert decide(job("run", "Stopping", stop=True), Seen(runs=(ABSENT,)), NOW).status == "Stopped"
    for early in (job(stop=True), job("inputs", stop=True)):
        assert decide(early, Seen(inputs=RUNNING), NOW).status == "Stopped"


def test_a_role_that_is_gone_fails_the_job():
    error = ApiError("ValidationException", "Could not assume role", 400)
    step = decide(job("run"), Seen(start=TaskState("failed", error=error)), NOW)
    assert (step.status, step.state["reason"]) == ("Failed", "ClientError: Could not assume role")


def test_a_host_that_has_written_more_than_its_volume_holds_is_ended_at_once():
    two = job("run", hosts=2)
    step = decide(two, Seen(runs=(RUNS, RUNS), full=2), NOW)
    assert (step.state, step.do) == ({"full": 2}, [StopRuns(two, 0.0)])
    two = job("run", hosts=2, full=2)
    assert kinds(decide(two, Seen(runs=(STOPPED, RUNS)), NOW)) == [StopRuns], "also where another engine goes on"
    end = decide(two, Seen(runs=(STOPPED, STOPPED)), NOW)
    reason = "ClientError: No space left on device: algo-2 has written more than the 1 GB of VolumeSizeInGB."
    assert end.status == "Failed" and end.state["reason"].startswith(reason)


def test_a_lost_host_lets_all_begin_again_a_few_times():
    step = decide(job("run", hosts=2), Seen(runs=(RUNS, LOST)), NOW)
    assert (step.state["attempt"], step.state["phase"], kinds(step)) == (2, "inputs", [EndRuns, FetchInputs])
    end = decide(job("run", hosts=2, attempt=3), Seen(runs=(LOST, RUNS)), NOW)
    assert end.status == "Failed" and end.state["reason"].startswith("InternalServerError")
    assert decide(job("run", "Stopping", stop=True), Seen(runs=(LOST,)), NOW).status == "Stopped"


def test_a_runs_id_is_used_once_over_hosts_and_attempts():
    many = job("run", hosts=3)
    ids = [run for attempt in (1, 2, 3) for run in run_ids(many, attempt)]
    assert ids == [f"u-{n}" for n in range(1, 10)] and list(host_numbers(many)) == [1, 2, 3]


def test_the_end_comes_once_the_outputs_are_up_and_then_one_look_cleans_up():
    step = decide(job("outputs", outcome="Completed"), Seen(outputs=TaskState("done", {"message": "fine"})), NOW)
    assert (step.status, step.state["message"], step.state["ended_at"], step.wake_at) == ("Completed", "fine", NOW, NOW)
    assert kinds(decide(job("outputs", outcome="Completed"), Seen(), NOW)) == [CollectOutputs]
    assert kinds(decide(job("outputs", outcome="Completed"), Seen(outputs=RUNNING), NOW)) == []
    assert kinds(decide(replace(job("end"), status="Completed"), Seen(), NOW)) == [CleanUp]


def test_a_failed_upload_fails_the_job_but_keeps_the_reason_it_had():
    failed = TaskState("failed", error=ApiError("ClientError", "Artifact upload failed:NoSuchBucket (404): gone", 400))
    step = decide(job("outputs", outcome="Completed"), Seen(outputs=failed), NOW)
    assert (step.status, step.state["reason"]) == ("Failed", "ClientError: Artifact upload failed:NoSuchBucket (404): gone")
    step = decide(job("outputs", outcome="Failed", reason="AlgorithmError: x"), Seen(outputs=failed), NOW)
    assert step.state["reason"] == "AlgorithmError: x"


def test_an_exit_message_that_is_no_text_fails_the_job():
    left = TaskState("done", {"broken": True})
    step = decide(job("outputs", outcome="Completed"), Seen(outputs=left), NOW)
    assert step.status == "Failed" and step.state["reason"].startswith("ClientError: ") and "UTF-8" in step.state["reason"]
    step = decide(job("outputs", outcome="Failed", reason="AlgorithmError: x"), Seen(outputs=left), NOW)
    assert step.state["reason"] == "AlgorithmError: x"


def test_a_job_waits_for_its_place_among_all_jobs():
    step = decide(job(), Seen("ready", place=Place(False, 3)), NOW)
    assert (step.status, step.state or {}, kinds(step)) == ("InProgress", {}, []) and step.wake_in_real_s > 1
