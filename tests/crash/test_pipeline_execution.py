"""The reconciler of executions, killed at every point: every job once for each launch, and every execution comes to its end."""

from __future__ import annotations

import itertools

import pytest

from modelyard.kernel import reconcile
from modelyard.kernel.reconcile import Engine
from modelyard.kernel.tasks import Tasks
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.pipeline.children import EXECUTION_TAG, STEP_TAG
from tests.support.chaos import Chaos, Crash
from tests.support.pipelines import LIFECYCLES, MOVED_BY_US, PipelineYard


class CrashingTasks(Tasks):
    """A task is done before `ensure` answers, or dies with its process: then nobody remembers it."""

    def __init__(self, chaos: Chaos) -> None:
        super().__init__()
        self._chaos = chaos

    def ensure(self, key, work, on_end=lambda: None):
        if self.look(key).state != "absent":
            return self.look(key)
        self._chaos.point()
        self._run(key, lambda: work(), lambda: None)
        self._chaos.point()
        return self.look(key)

    def _run(self, key, work, on_end):
        try:
            super()._run(key, work, on_end)
        finally:
            if isinstance(self._states[key].error, Crash):  # it went with its process
                raise self._states.pop(key).error


@pytest.fixture(scope="module")
def yard(tmp_path_factory):
    made = PipelineYard(tmp_path_factory.mktemp("pipelines") / "data")
    made.put("report.json", {"mse": 3})
    yield made
    made.close()


def steps_of(yard):
    cached = {"Enabled": True, "ExpireAfter": "P1D"}
    again = [{"ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"], "IntervalSeconds": 5, "MaxAttempts": 3}]
    value = {"Std:JsonGet": {"S3Uri": {"Std:Join": {"On": "/", "Values": ["s3://bucket", "report.json"]}}, "Path": "mse"}}
    good = yard.condition(
        "Good",
        [{"Type": "LessThan", "LeftValue": value, "RightValue": 6}],
        [yard.training("Last")],
        [yard.fail("Bad")],
        DependsOn=["Train"],
    )
    return [
        yard.processing("Prepare", CacheConfig=cached),
        yard.training("Train", DependsOn=["Prepare"], RetryPolicies=again),
        yard.training("Beside"),
        good,
    ]


@pytest.mark.parametrize("seed", range(12))
def test_killed_at_every_point(yard, seed, monkeypatch):
    yard.clear()
    real = [1000.0]
    monkeypatch.setattr(reconcile, "real_now", lambda: real[0])
    store = yard.platform.store
    yard.create(
        "p",
        *steps_of(yard),
        top={"PipelineExperimentConfig": {"ExperimentName": f"e{seed}", "TrialName": {"Get": "Execution.PipelineExecutionId"}}},
    )
    execution = yard.sm.start_pipeline_execution(PipelineName="p")["PipelineExecutionArn"]
    chaos = Chaos(seed, rate=0.06)
    reconcilers = [r for r in api.reconcilers if r.lifecycle.kind in MOVED_BY_US]
    monkeypatch.setitem(yard.platform.parts, "tasks", CrashingTasks(chaos))
    monkeypatch.setattr(yard.platform, "store", chaos.wrap(store))
    failures, ended = 0, 0
    for _ in range(600):
        try:
            Engine(yard.platform, reconcilers).settle(rounds=60)
        except Crash:
            real[0] += 100.0
            yard.platform.parts["tasks"] = CrashingTasks(chaos)
        record = store.by_arn(execution)
        if record.status in ("Succeeded", "Failed", "Stopped"):
            break
        if seed % 4 == 3 and ended == 1 and not record.spec.get("stop"):
            store.request(record, {"stop": True})
        failures, ended = _end_one(yard, store, execution, chaos, failures, ended)
    _check(store, store.by_arn(execution), stopped=seed % 4 == 3, failures=failures)
    assert chaos.crashes > (1 if seed % 4 == 3 else 3), "the test killed something"


def _end_one(yard, store, execution, chaos, failures, ended):
    """One running job ends, as its own engine ends it, and wakes the execution as the outbox reader does."""
    from modelyard.kernel.store import Step

    now = yard.clock.advance(6.0)
    jobs = [job for job in _jobs(store, execution) if job.status == "InProgress"]
    recorded = {str(s.get("arn")) for s in store.by_arn(execution).state["steps"].values()}
    if jobs:
        job = chaos.random.choice(jobs)
        internal = job.arn in recorded and "-Train-" in job.name and failures < 2 and chaos.random.random() < 0.7
        status = "Stopped" if job.spec.get("stop") else "Failed" if internal else "Completed"
        state = {"ended_at": now, "reason": "InternalServerError: again"} if internal else {"ended_at": now}
        store.apply(LIFECYCLES[job.kind], job, Step(status, state), None)
        failures, ended = failures + (status == "Failed"), ended + 1
    store.wake(store.by_arn(execution).uid)
    return failures, ended


def _jobs(store, execution):
    return [job for kind in LIFECYCLES for job in store.list(kind) if store.tags(job.arn).get(EXECUTION_TAG) == execution]


def _check(store, execution, stopped, failures):
    states, jobs = execution.state["steps"], _jobs(store, execution.arn)
    launches = {(store.tags(job.arn)[STEP_TAG], job.name) for job in jobs}
    assert len(launches) == len(jobs)
    assert all(job.status in ("Completed", "Failed", "Stopped") for job in jobs), "nothing runs on"
    assert [event.revision for event in store.events_of(execution.uid)] == list(range(1, execution.revision + 1))
    if stopped:
        assert execution.status == "Stopped"
        return
    assert execution.status == "Succeeded"
    assert {name: one["status"] for name, one in states.items()} == dict.fromkeys(
        ("Prepare", "Train", "Beside", "Good", "Last"), "Succeeded"
    )
    assert states["Train"]["attempt"] == failures + 1 and states["Good"]["outcome"] is True
    by_step = [store.tags(job.arn)[STEP_TAG] for job in jobs]
    assert {name: by_step.count(name) for name in set(by_step)} == {"Prepare": 1, "Train": failures + 1, "Beside": 1, "Last": 1}
    told = [event.detail["eventbridge"]["detail"] for event in store.events_of(execution.uid) if "eventbridge" in event.detail]
    for name in states:
        changes = [(one.get("previousStepStatus"), one["currentStepStatus"]) for one in told if one.get("stepName") == name]
        assert all(after[0] == before[1] for before, after in itertools.pairwise(changes)) and changes[-1][1] == "Succeeded"
