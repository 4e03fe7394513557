"""What a replica does next, as a table. (What an endpoint does: test_rollout_decide.py.)"""

from __future__ import annotations

import pytest

from modelyard.kernel.records import Record
from modelyard.kernel.tasks import ABSENT, RUNNING, TaskState
from modelyard.runtime.base import RunState
from modelyard.services.sagemaker.endpoint import replica
from modelyard.services.sagemaker.endpoint.replica import Part

NOW, REAL = 100.0, 5000.0


def record(kind, status, spec, state):
    return Record("uid", kind, "1", "r", "e", "arn:e", None, status, spec, state, 1, None, 0, 0.0, 0.0)


def names(step):
    return [type(action).__name__ for action in step.do]


# --- replicas --------------------------------------------------------------------------------------

SPEC = {"name": "a", "startup_s": 60.0}
RUNNING_RUN, EXITED, NO_RUN = RunState("running"), RunState("exited", exit_code=1), RunState("absent")
FIRST = {"attempt": 1, "since": REAL - 10, "tries": 0}
SERVED = {**FIRST, "served": True, "healthy_since": REAL - 5}


def seen(**more):
    part = Part(more.pop("run", NO_RUN), more.pop("healthy", None), more.pop("failed_pings", 0))
    return replica.Seen(**{"real_now": REAL, "parts": (part,), **more})


REPLICAS = [
    ("model and image are fetched at once", "Preparing", {}, seen(image="absent"), "Preparing", ["BuildImage", "FetchModel"]),
    ("the image is still built", "Preparing", {}, seen(image="building", files_ready=True), "Preparing", ["BuildImage"]),
    ("no such image", "Preparing", {}, seen(image="unknown"), "Failed", []),
    ("no model", "Preparing", {}, seen(files=TaskState("failed", error=Exception("gone"))), "Failed", []),
    ("all is there", "Preparing", {}, seen(files_ready=True), "Starting", []),
    ("the run starts", "Starting", FIRST, seen(), "Starting", ["StartAttempt"]),
    ("no ping yet", "Starting", FIRST, seen(run=RUNNING_RUN), "Starting", ["StartAttempt"]),
    ("healthy", "Starting", FIRST, seen(run=RUNNING_RUN, healthy=True), "InService", ["WatchAttempt"]),
    ("too late", "Starting", {**FIRST, "since": REAL - 61}, seen(run=RUNNING_RUN), "Failed", ["KillRun"]),
    ("crash at the first start", "Starting", FIRST, seen(run=EXITED), "Restarting", ["KillRun"]),
    ("crash at the third start", "Starting", {**FIRST, "attempt": 3, "tries": 2}, seen(run=EXITED), "Failed", ["EndAttempt"]),
    ("one that served never fails for good", "Starting", {**SERVED, "attempt": 9}, seen(run=EXITED), "Restarting", ["KillRun"]),
    ("nor when it is slow", "Starting", {**SERVED, "since": REAL - 61}, seen(run=RUNNING_RUN), "Restarting", ["KillRun"]),
    ("all is well", "InService", SERVED, seen(run=RUNNING_RUN, healthy=True), "InService", ["WatchAttempt"]),
    ("two pings failed", "InService", SERVED, seen(run=RUNNING_RUN, healthy=False, failed_pings=2), "InService", ["WatchAttempt"]),
    ("three pings failed", "InService", SERVED, seen(run=RUNNING_RUN, healthy=False, failed_pings=3), "Restarting", ["KillRun"]),
    ("it died", "InService", SERVED, seen(run=RunState("lost")), "Restarting", ["KillRun"]),
    ("the old run is still there", "Restarting", {**SERVED, "resume_at": REAL - 1}, seen(run=RUNNING_RUN), "Restarting", ["KillRun"]),
    ("the pause is not over", "Restarting", {**SERVED, "resume_at": REAL + 1}, seen(run=EXITED), "Restarting", []),
    ("again", "Restarting", {**SERVED, "resume_at": REAL - 1}, seen(run=EXITED), "Starting", ["EndAttempt"]),
    ("a failed one's run goes", "Failed", FIRST, seen(run=RUNNING_RUN), "Failed", ["KillRun"]),
    ("and it stays as a witness", "Failed", FIRST, seen(run=EXITED), "Failed", []),
    ("stop", "InService", SERVED, seen(wanted=False, run=RUNNING_RUN), "Stopping", []),
    ("in use by a gateway", "Stopping", {**SERVED, "stopping_since": REAL - 1}, seen(wanted=False, run=RUNNING_RUN), "Stopping", []),
    ("no longer in use", "Stopping", {**SERVED, "stopping_since": REAL - 1}, seen(wanted=False, run=RUNNING_RUN, retired=True), "Stopping", ["StopRun"]),
    ("in use for too long", "Stopping", {**SERVED, "stopping_since": REAL - 600}, seen(wanted=False, run=RUNNING_RUN), "Stopping", ["StopRun"]),
    ("its model is still copied", "Stopping", {"stopping_since": REAL}, seen(wanted=False, files=RUNNING, retired=True), "Stopping", []),
]  # fmt: skip


@pytest.mark.parametrize("status, state, sees, then, does", [row[1:] for row in REPLICAS], ids=[row[0] for row in REPLICAS])
def test_replica(status, state, sees, then, does):
    step = replica.decide(record("endpoint-replica", status, SPEC, state), sees, NOW)
    assert (step.status, names(step)) == (then, does)
    assert not step.delete


@pytest.mark.parametrize("run", [NO_RUN, EXITED])
def test_stopped_replica_goes(run):
    step = replica.decide(
        record("endpoint-replica", "Stopping", SPEC, {"stopping_since": REAL}), seen(wanted=False, run=run, retired=True, files=ABSENT), NOW
    )
    assert step.delete and names(step) == ["StopRun", "CleanUp"]


def test_back_off_doubles_and_is_bounded():
    pauses = []
    state = SERVED
    for _ in range(12):
        step = replica.decide(record("endpoint-replica", "InService", SPEC, state), seen(run=EXITED), NOW)
        pauses.append(step.state["resume_at"] - REAL)
        state = {**state, **step.state}
    assert pauses[:4] == [0.25, 0.5, 1.0, 2.0] and pauses[-1] == 30.0
    steady = {**state, "healthy_since": REAL - 61}
    assert replica.decide(record("endpoint-replica", "InService", SPEC, steady), seen(run=EXITED), NOW).state["tries"] == 1


# --- replicas of several containers ------------------------------------------------------------------

THREE = {**SPEC, "containers": [{"hostname": h, "image": "i"} for h in ("one", "two", "three")]}
WELL = Part(RUNNING_RUN, True)


def three(status, state, *parts, **more):
    sees = replica.Seen(REAL, parts=parts, **more)
    return replica.decide(record("endpoint-replica", status, THREE, {"attempt": 3, "runs": [1, 2, 3], "since": REAL, **state}), sees, NOW)


def test_each_container_gets_a_run():
    step = replica.decide(
        record("endpoint-replica", "Preparing", THREE, {}), replica.Seen(REAL, parts=(Part(),) * 3, files_ready=True), NOW
    )
    assert step.state["runs"] == [1, 2, 3] and step.state["attempt"] == 3
    step = three("Starting", {}, Part(), Part(), Part())
    assert [a.attempt for a in step.do] == [1, 2, 3]


def test_in_service_only_when_all_are_healthy():
    assert three("Starting", {}, WELL, WELL, Part(RUNNING_RUN)).status == "Starting"
    assert three("Starting", {}, WELL, WELL, WELL).status == "InService"


def test_one_dead_container_is_started_again_and_the_others_go_on():
    step = three("InService", {"served": True}, WELL, Part(EXITED), WELL)
    assert step.status == "Restarting" and [a.attempt for a in step.do] == [2]
    step = three("Restarting", {"served": True, **step.state, "resume_at": REAL - 1}, WELL, Part(EXITED), WELL)
    assert step.status == "Starting" and names(step) == ["EndAttempt"] and step.state["runs"] == [1, 4, 3] and step.state["attempt"] == 4


def test_a_container_that_dies_while_another_restarts_is_started_with_it():
    step = three("Restarting", {"served": True, "sick": [2], "resume_at": REAL - 1}, Part(EXITED), Part(EXITED), WELL)
    assert step.state["runs"] == [4, 5, 3] and [a.attempt for a in step.do] == [1, 2]


def test_a_container_that_does_not_answer_is_ended_before_it_is_started_again():
    step = three("InService", {"served": True}, WELL, WELL, Part(RUNNING_RUN, False, 3))
    assert [a.attempt for a in step.do] == [3]
    state = {"served": True, **step.state, "resume_at": REAL - 1}
    assert names(three("Restarting", state, WELL, WELL, Part(RUNNING_RUN))) == ["KillRun"]
    assert three("Restarting", state, WELL, WELL, Part(EXITED)).state["runs"] == [1, 2, 4]


def test_the_container_that_never_answers_is_named():
    step = three("Starting", {"since": REAL - 61}, WELL, Part(RUNNING_RUN), WELL)
    assert step.status == "Failed" and len(step.do) == 3
    assert step.state["reason"].startswith("The two for production variant a did not pass the ping health check.")


def test_stop_waits_for_every_container():
    stopping = {"stopping_since": REAL}
    assert not three("Stopping", stopping, Part(EXITED), WELL, Part(EXITED), wanted=False, retired=True).delete
    assert three("Stopping", stopping, Part(EXITED), Part(EXITED), Part(EXITED), wanted=False, retired=True).delete
