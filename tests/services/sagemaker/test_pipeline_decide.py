"""The pure part of executions: what is decided from a record and what was seen."""

import json

import pytest

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.kernel.tasks import TaskState
from modelyard.services.sagemaker.pipeline import plan, retries
from modelyard.services.sagemaker.pipeline.actions import Begin, Forget, StopJob
from modelyard.services.sagemaker.pipeline.definition import read
from modelyard.services.sagemaker.pipeline.reconcile import Child, Seen, decide

ARN = "arn:aws:sagemaker:us-east-1:123456789012:pipeline/p/execution/abcdefghijkl"
AGAIN = [{"ExceptionType": ["SageMaker.RESOURCE_LIMIT", "Step.THROTTLING"], "IntervalSeconds": 10, "BackoffRate": 3.0, "MaxAttempts": 2}]


def step(name, kind="Training", **more):
    return {"Name": name, "Type": kind, "Arguments": {}, **more}


def definition(*steps):
    return read(json.dumps({"Version": "2020-12-01", "Steps": list(steps)}))


DEFINITION = definition(step("A", RetryPolicies=AGAIN), step("B", DependsOn=["A"]))


def execution(steps=None, status="Executing", **spec):
    spec = {"pipeline_arn": "arn:p", "version": "v", "parameters": {}, **spec}
    return Record("u", "pipeline-execution", "1", "r", ARN, ARN, "p", status, spec, {"steps": steps or {}}, 1, None, 0, 5.0, 5.0)


def starting(**more):
    return {"A": {"status": "Starting", "start": 10.0, "attempt": 1, "launch": 1, **more}}


def running(**more):
    return {
        "A": {
            "status": "Executing",
            "start": 10.0,
            "attempt": 1,
            "launch": 1,
            "arn": "arn:job",
            "metadata": {"TrainingJob": {"Arn": "arn:job"}},
            **more,
        }
    }


def seen(**more):
    return Seen(DEFINITION, **more)


def changed(move, name="A"):
    return move.state["steps"][name]


def test_the_first_step_starts_and_then_begins():
    move = decide(execution(), seen(), 20.0)
    assert changed(move) == {"status": "Starting", "start": 20.0, "attempt": 1, "launch": 1} and move.state["launches"] == {"A": 1}
    assert move.wake_at == 20.0 and move.detail["eventbridge"]["detail"]["currentStepStatus"] == "Starting"
    move = decide(execution(starting()), seen(), 20.0)
    assert move.state is None and [type(action) for action in move.do] == [Begin]


def test_what_a_start_came_to():
    result = {"status": "Executing", "arn": "arn:job", "metadata": {"TrainingJob": {"Arn": "arn:job"}}, "digest": None}
    move = decide(execution(starting()), seen(starts={"A": TaskState("done", result)}), 20.0)
    assert changed(move)["status"] == "Executing" and "digest" not in changed(move) and isinstance(move.do[0], Forget)
    throttled = {"failed": "ClientError: slow down", "type": retries.THROTTLED}
    move = decide(execution(starting()), seen(starts={"A": TaskState("done", throttled)}), 20.0)
    assert (changed(move)["status"], changed(move)["retry_at"], changed(move)["launch"]) == ("Starting", 30.0, 2)
    waiting = decide(execution(starting(retry_at=30.0)), seen(), 29.0)
    assert waiting.wake_at == 30.0 and not waiting.do
    refused = {"failed": "ClientError: no", "type": None}
    assert changed(decide(execution(starting()), seen(starts={"A": TaskState("done", refused)}), 20.0))["reason"] == "ClientError: no"
    broken = TaskState("failed", error=RuntimeError("a bug"))
    assert changed(decide(execution(starting()), seen(starts={"A": broken}), 20.0))["retry_at"] > 20.0, "as a fault of the service"


def test_a_stop_finds_what_a_killed_engine_has_begun():
    move = decide(execution(starting(), "Stopping", stop=True), seen(made={"A": "arn:job"}), 20.0)
    assert changed(move)["status"] == "Executing" and changed(move)["arn"] == "arn:job"
    move = decide(execution(running(), "Stopping", stop=True), seen(children={"A": Child("running")}), 21.0)
    assert changed(move)["status"] == "Stopping" and move.do == [StopJob("arn:job")]
    assert changed(decide(execution(starting(), "Stopping", stop=True), seen(), 20.0))["status"] == "Stopped", "nothing was begun"


@pytest.mark.parametrize(
    ("child", "status", "reason"),
    [
        (Child("succeeded"), "Succeeded", None),
        (Child("failed", "AlgorithmError: x"), "Failed", "ClientError: AlgorithmError: x"),
        (Child("stopped"), "Failed", "ClientError: The job of the step was stopped before it had ended."),
        (Child("gone", "ClientError: gone"), "Failed", "ClientError: gone"),
    ],
)
def test_ends_of_jobs(child, status, reason):
    after = changed(decide(execution(running()), seen(children={"A": child}), 20.0))
    assert (after["status"], after.get("reason"), after["end"]) == (status, reason, 20.0)


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        (ApiError("ThrottlingException", "x", 400), retries.THROTTLED),
        (ApiError("ResourceLimitExceeded", "x", 400), retries.LIMIT),
        (ApiError("InternalFailure", "x", 500), retries.FAULT),
        (ApiError("ValidationException", "x", 400), None),
    ],
)
def test_types_of_errors(problem, kind):
    assert retries.type_of_error(problem) == kind


def test_pauses_grow_and_attempts_end():
    a = DEFINITION.steps["A"]
    pauses = [retries.again(a, retries.LIMIT, {"0": used} if used else {}, 0.0, 100.0) for used in range(3)]
    assert [found and found.at for found in pauses] == [110.0, 130.0, None]
    assert retries.again(a, None, {}, 0.0, 100.0) is None and retries.again(a, retries.CAPACITY, {}, 0.0, 100.0) is None
    assert retries.again(DEFINITION.steps["B"], retries.FAULT, {}, 0.0, 100.0).at == 101.0, "AWS retries these by itself"


def test_which_steps_are_ready():
    nested = definition(
        step("A"),
        {
            "Name": "C",
            "Type": "Condition",
            "DependsOn": ["A"],
            "Arguments": {"Conditions": [], "IfSteps": [step("T")], "ElseSteps": [step("E")]},
        },
        step("Z", DependsOn=["T"]),
    )
    names = lambda states, only=None: [one.name for one in plan.ready(nested, states, only)]  # noqa: E731
    done = {"status": "Succeeded"}
    assert names({}) == ["A"] and names({"A": done}) == ["C"] and names({"A": {"status": "Failed"}}) == []
    assert names({"A": done, "C": {**done, "outcome": True}}) == ["T"] and names({"A": done, "C": {**done, "outcome": False}}) == ["E"]
    assert names({"A": done, "C": {**done, "outcome": True}, "T": done}) == ["Z"]
    assert names({}, ["T"]) == ["T"], "a selected step does not wait for a condition that is not selected"
    assert plan.missing_sources(nested, ["Z"]) == ["T"]
