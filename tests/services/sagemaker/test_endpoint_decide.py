"""What a replica does next, as a table. (What an endpoint does: test_rollout_decide.py.)"""

from __future__ import annotations

import pytest

from modelyard.kernel.records import Record
from modelyard.kernel.tasks import ABSENT, RUNNING, TaskState
from modelyard.runtime.base import RunState
from modelyard.services.sagemaker.endpoint import replica

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
    return replica.Seen(**{"real_now": REAL, **more})


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
    ("crash at the third start", "Starting", {**FIRST, "attempt": 3}, seen(run=EXITED), "Failed", ["EndAttempt"]),
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
