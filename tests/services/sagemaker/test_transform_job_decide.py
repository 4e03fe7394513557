"""The pure walk of a transform job."""

from __future__ import annotations

import pytest

from modelyard.kernel.records import Record
from modelyard.kernel.tasks import RUNNING, TaskState
from modelyard.services.sagemaker.jobs.admission import Place
from modelyard.services.sagemaker.transform_job import actions
from modelyard.services.sagemaker.transform_job.reconcile import MOST_TRIES, Seen, decide

DONE, UP = TaskState("done"), ("InService", "")
SPEC = {"TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 3}, "TransformInput": {}, "TransformOutput": {}}
RUN = {"phase": "run", "objects": 4, "hosts": 2, "bytes": 4, "started_at": 1.0}


def job(status="InProgress", state=None, **spec):
    return Record("u", "transform-job", "1", "r", "j", "arn", None, status, {**SPEC, **spec}, state or {}, 1, None, 0, 0.0, 0.0)


def kinds(step):
    return [type(action).__name__ for action in step.do]


def test_no_more_instances_than_objects():
    step = decide(job(), Seen(listed=TaskState("done", (2, 10)), place=Place(True)), 5.0)
    assert step.state == {"phase": "run", "objects": 2, "bytes": 10, "hosts": 2, "started_at": 5.0}
    assert kinds(step) == ["StartInstance", "StartInstance"]


def test_it_waits_for_its_place():
    assert decide(job(), Seen(listed=TaskState("done", (2, 10)), place=Place(False, 3)), 5.0).state is None


def test_the_list_is_made_while_the_image_is_built():
    assert kinds(decide(job(), Seen(image="building"), 5.0)) == ["BuildImages", "ListObjects"]


@pytest.mark.parametrize(
    ("image", "listed", "text"),
    [
        ("unknown", {}, "Cannot pull algorithm container"),
        ("ready", {"listed": TaskState("failed", error=ValueError("x"))}, "InternalServerError"),
    ],
)
def test_what_ends_it_before_it_began(image, listed, text):
    step = decide(job(), Seen(image=image, image_reason="why", **listed), 5.0)
    assert step.status == "Failed" and text in step.state["reason"] and step.state["started_at"] == 5.0


def test_workers_begin_when_their_instance_is_up_or_with_it():
    seen = Seen(instances={1: UP, 2: ("Starting", "")})
    assert [a.host for a in decide(job(state=RUN), seen, 5.0).do] == [1]
    seen = Seen(instances={1: UP, 2: ("Starting", "")}, apart=True)
    assert [a.host for a in decide(job(state=RUN), seen, 5.0).do] == [1, 2]
    assert kinds(decide(job(state=RUN), Seen(instances={1: UP}, work={1: RUNNING}), 5.0)) == ["StartInstance"]


def test_a_host_that_is_through_is_left_alone():
    seen = Seen(instances={1: UP, 2: UP}, work={1: DONE, 2: RUNNING}, done={0: None, 2: None})
    assert decide(job(state=RUN), seen, 5.0).do == []


def test_a_worker_that_gets_on_is_started_again_without_end():
    died, state = TaskState("failed", error=RuntimeError("ended with -9")), dict(RUN)
    for turn in range(MOST_TRIES * 2):
        done = dict.fromkeys(range(1, 4, 2)) | ({0: None} if turn % 2 else {})
        step = decide(job(state=state), Seen(instances={1: UP, 2: UP}, work={1: died, 2: DONE}, done=done), 5.0)
        assert [(a.host, a.again) for a in step.do] == [(1, True)]
        state |= step.state
    for _ in range(MOST_TRIES):
        step = decide(job(state=state), Seen(instances={1: UP, 2: UP}, work={1: died, 2: DONE}, done={1: None, 3: None}), 5.0)
        state |= step.state or {}
    assert state["outcome"] == "Failed" and "ended with -9" in state["reason"]


def test_the_verdict_is_on_record_before_anything_goes():
    done = {0: None, 1: ["AlgorithmError", "one"], 2: None, 3: ["ClientError", "three"]}
    first = decide(job(state=RUN), Seen(work={1: DONE, 2: DONE}, done=done), 5.0)
    assert first.status == "InProgress" and first.do == () and first.state["outcome"] == "Failed"
    assert first.state["reason"] == "AlgorithmError: See job logs for more information. one (2 of 4 objects failed)"
    last = decide(job(state={**RUN, **first.state}), Seen(work={1: DONE, 2: DONE}), 6.0)
    assert last.status == "Failed" and kinds(last) == ["ReadLogs", "EndInstances"] and last.state["ended_at"] == 6.0


def test_an_instance_that_failed_ends_the_job_when_its_workers_have_ended():
    seen = Seen(instances={1: ("Failed", "AlgorithmError: no"), 2: UP}, work={2: RUNNING})
    verdict = decide(job(state=RUN), seen, 5.0)
    assert verdict.state == {"outcome": "Failed", "reason": "AlgorithmError: no"}
    waiting = decide(job(state={**RUN, **verdict.state}), seen, 5.0)
    assert waiting.status == "InProgress" and kinds(waiting) == ["EndInstances"]
    assert decide(job(state={**RUN, **verdict.state}), Seen(), 5.0).status == "Failed"


def test_a_stop():
    first = decide(job(state=RUN, stop=True), Seen(work={1: RUNNING}), 5.0)
    assert first.status == "Stopping" and kinds(first) == ["EndInstances"]
    assert decide(job("Stopping", RUN, stop=True), Seen(work={1: RUNNING}), 5.0).status == "Stopping"
    assert decide(job("Stopping", RUN, stop=True), Seen(), 5.0).status == "Stopped"
    assert decide(job(stop=True), Seen(), 5.0).status == "Stopped"
    late = {**RUN, "outcome": "Completed"}
    assert decide(job("Stopping", late, stop=True), Seen(), 5.0).status == "Stopped"


def test_a_capture_comes_before_the_end():
    state, capture = {**RUN, "outcome": "Completed"}, {"DestinationS3Uri": "s3://b/c"}
    assert kinds(decide(job(state=state, DataCaptureConfig=capture), Seen(), 5.0)) == ["Capture"]
    assert decide(job(state=state, DataCaptureConfig=capture), Seen(capture=DONE), 5.0).status == "Completed"
    failed = decide(job(state=state, DataCaptureConfig=capture), Seen(capture=TaskState("failed", error=ValueError("no"))), 5.0)
    assert failed.status == "Failed"


def test_after_the_end_it_tidies_up():
    assert decide(job("Completed", RUN), Seen(), 5.0).do == [actions.CleanUp(job("Completed", RUN))]
