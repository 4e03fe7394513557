"""Managed spot training, the pure part: the market, the walk of an interrupted job, the limits, the bill."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modelyard.kernel.tasks import TaskState
from modelyard.runtime.base import RunState
from modelyard.services.sagemaker.jobs.admission import Place
from modelyard.services.sagemaker.training_job import spot
from modelyard.services.sagemaker.training_job.actions import FetchInputs, GiveNotice, LeavePlace, SaveFolders, StopRun
from modelyard.services.sagemaker.training_job.operations import describe
from modelyard.services.sagemaker.training_job.reconcile import Seen, decide
from modelyard.services.sagemaker.training_job.spot import Market
from tests.services.sagemaker.test_training_job_decide import NOW, SPEC, job, kinds

LIMITS = {"MaxRuntimeInSeconds": 100, "MaxWaitTimeInSeconds": 200}
RUNNING = RunState("running", started_at=1.0)
TOLD = RunState("exited", exit_code=143, ended_by="stop", started_at=1.0, finished_at=31.0)


def spotty(phase="run", stop=False, interrupt=None, **state):
    held = {} if phase == "image" else {"held_from": NOW - 5, "attempt": 1, "discount": 70.0}
    made = job(phase, stop=stop, **{**held, **state})
    spec = {**made.spec, "EnableManagedSpotTraining": True, "StoppingCondition": LIMITS}
    if interrupt:
        spec["interrupt"] = interrupt
    return replace(made, spec=spec)


def after(record, step):
    """The record as the step leaves it."""
    state = {key: value for key, value in {**record.state, **(step.state or {})}.items() if value is not None}
    return replace(record, status=step.status, state=state)


def statuses(record):
    return [t["Status"] for t in record.state["transitions"]]


def test_a_calm_market_leaves_jobs_alone_and_other_jobs_see_none():
    assert kinds(decide(spotty(), Seen(run=RUNNING), NOW)) != [GiveNotice]
    wild = Market(rate=1e9)
    assert not spot.is_interrupted(job("run", held_from=0.0), wild, 1, NOW)


def test_the_rate_draws_the_same_for_the_same_instances_and_sooner_for_more():
    one, again = spotty(), spotty()
    market = Market(rate=6.0)
    at = spot.interruption_at(one, market, 1)
    assert at == spot.interruption_at(again, market, 1) > one.state["held_from"]
    assert spot.interruption_at(spotty(attempt=2), market, 1) != at
    assert spot.interruption_at(one, market, 4) - one.state["held_from"] == pytest.approx((at - one.state["held_from"]) / 4)
    lived = [spot.interruption_at(replace(one, uid=str(n)), market, 1) - one.state["held_from"] for n in range(2000)]
    assert sum(lived) / len(lived) == pytest.approx(600, rel=0.1)
    assert spot.is_interrupted(one, market, 1, at) and not spot.is_interrupted(one, market, 1, at - 1)


def test_an_outage_takes_instances_back_at_its_start_and_gives_none_before_its_end():
    market = Market(outages=((NOW + 10, NOW + 70), (NOW + 60, NOW + 90)))
    assert not spot.is_interrupted(spotty(), market, 1, NOW) and spot.is_interrupted(spotty(), market, 1, NOW + 10)
    assert spot.instance_at(spotty(), market, NOW) == NOW and spot.instance_at(spotty(), market, NOW + 20) == NOW + 90


def test_the_notice_is_given_once_and_is_an_event():
    record = spotty(interrupt=1)
    step = decide(record, Seen(run=RUNNING), NOW)
    assert kinds(step) == [GiveNotice] and step.detail["time"] == NOW + 120 and step.state["interruptions"] == 1
    assert step.detail["notice"] == "EC2 Spot Instance Interruption Warning"
    record = after(record, step)
    assert statuses(record)[-1] != "Interrupted", "the payload has its two minutes"
    again = decide(record, Seen(run=RUNNING), NOW + 1)
    assert again.do[0] == StopRun(record, 120.0) and not again.detail


def test_an_interrupted_job_saves_its_checkpoints_and_begins_anew():
    record = spotty(noticed=1)
    step = decide(record, Seen(run=TOLD, ran_s=30.0), NOW)
    assert kinds(step) == [StopRun, SaveFolders] and (step.state["phase"], step.state["ran_s"], step.state["held_s"]) == ("reclaim", 30.0, 5.0)
    record = after(record, step)
    assert statuses(record)[-1] == "Interrupted" and "held_from" not in record.state
    assert kinds(decide(record, Seen(saved=TaskState("absent")), NOW)) == [SaveFolders]
    step = decide(record, Seen(saved=TaskState("done")), NOW + 1)
    record = after(record, step)
    assert statuses(record)[-2:] == ["Interrupted", "Starting"] and kinds(step) == [LeavePlace]
    step = decide(record, Seen(place=Place(True), market=Market(discount=60.0)), NOW + 50)
    record = after(record, step)
    assert statuses(record)[-3:] == ["Interrupted", "Starting", "Downloading"] and step.do == [FetchInputs(step.do[0].job, 2)]
    assert record.state["waited_s"] == 49.0 and record.state["discount"] == 60.0
    assert record.state["started_at"] == NOW - 5, "TrainingStartTime is the first one"


def test_what_ends_by_itself_is_not_interrupted():
    done = replace(TOLD, exit_code=0, ended_by=None)
    assert decide(spotty(noticed=1), Seen(run=done), NOW).state["outcome"] == "Completed"
    bad = replace(TOLD, exit_code=1, ended_by=None)
    assert decide(spotty(noticed=1), Seen(run=bad, failure="x"), NOW).state["outcome"] == "Failed"
    assert decide(spotty(noticed=1, stop=True, status="Stopping"), Seen(run=TOLD), NOW).state["outcome"] == "Stopped"


def test_a_download_is_interrupted_too():
    step = decide(spotty("inputs", interrupt=1), Seen(inputs=TaskState("running")), NOW)
    assert step.state["phase"] == "reclaim"
    assert step.do[0] == StopRun(step.do[0].job, 0.0), "an earlier look may have started it, and come too late to say so"


def test_instances_whose_payload_never_started_are_given_back_at_once():
    record = spotty(noticed=1)
    assert decide(record, Seen(run=RunState("absent")), NOW).state["phase"] == "reclaim"


def test_no_capacity_is_waited_for_but_not_for_ever():
    closed = Market(outages=((0.0, NOW + 1e6),))
    record = spotty("image")
    step = decide(record, Seen(place=Place(False), market=closed), NOW)
    assert step.wake_at == NOW + 200 and kinds(step) == [LeavePlace]
    record = after(record, step)
    assert record.state["transitions"][-1]["StatusMessage"].startswith("Insufficient capacity")
    end = decide(record, Seen(place=Place(False), market=closed), NOW + 200)
    assert (end.status, end.state["secondary"]) == ("Stopped", "MaxWaitTimeExceeded")


def test_what_was_waited_and_run_before_counts():
    record = spotty("image", attempt=2, waited_s=100.0, ran_s=60.0, waiting_from=NOW - 10)
    assert spot.left_to_wait_s(record, NOW) == 30.0
    assert spot.runtime_left_s(spotty(waited_s=0.0, ran_s=60.0)) == 40.0
    assert spot.runtime_left_s(spotty(waited_s=120.0, ran_s=60.0)) == 20.0


@pytest.mark.parametrize(("waited", "secondary"), [(0.0, "MaxRuntimeExceeded"), (150.0, "MaxWaitTimeExceeded")])
def test_which_limit_was_met(waited, secondary):
    run = RunState("exited", exit_code=143, ended_by="max-runtime")
    assert decide(spotty(waited_s=waited), Seen(run=run), NOW).state["last"] == secondary


def test_the_bill_is_for_the_time_that_instances_were_held_less_the_discount():
    record = spotty("outputs", outcome="Completed", last="Completed", held_s=95.0)
    end = after(record, decide(record, Seen(outputs=TaskState("done", {"metrics": []})), NOW))
    told = describe(end)
    assert (told["TrainingTimeInSeconds"], told["BillableTimeInSeconds"]) == (100, 30)
    full = job("outputs", outcome="Completed", last="Completed", held_from=NOW - 5)
    told = describe(after(full, decide(full, Seen(outputs=TaskState("done", {"metrics": []})), NOW)))
    assert (told["TrainingTimeInSeconds"], told["BillableTimeInSeconds"]) == (5, 5)


def test_retries_are_as_many_as_asked_for():
    for asked, survives in ((None, 2), (0, 0), (5, 5)):
        spec = SPEC if asked is None else {**SPEC, "RetryStrategy": {"MaximumRetryAttempts": asked}}
        alive = replace(job("run", losses=survives - 1), spec=spec)
        assert survives == 0 or decide(alive, Seen(run=RunState("lost")), NOW).status == "InProgress"
        dead = decide(replace(job("run", losses=survives), spec=spec), Seen(run=RunState("lost")), NOW)
        assert dead.status == "Failed" and dead.state["reason"].startswith("InternalServerError: The instance of the job was lost ")
