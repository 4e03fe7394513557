"""The tuning job's reconciler, killed at every point: no trial is lost, none is made twice, and the limit of parallel ones holds."""

from __future__ import annotations

import shutil

import pytest

from modelyard.config import Settings
from modelyard.kernel import reconcile
from modelyard.kernel.clock import ManualClock
from modelyard.kernel.database import SQLite
from modelyard.kernel.platform import Platform
from modelyard.kernel.reconcile import Engine
from modelyard.kernel.store import Step, Store
from modelyard.kernel.tasks import Tasks
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.training_job.lifecycle import LIFECYCLE as TRAINING_JOB
from modelyard.services.sagemaker.training_job.lifecycle import moved
from modelyard.services.sagemaker.tuning_job import operations
from modelyard.services.sagemaker.tuning_job import reconcile as tuning
from modelyard.services.sagemaker.tuning_job.lifecycle import LIFECYCLE
from modelyard.services.sagemaker.tuning_job.trials import trials_of
from tests.support.chaos import Chaos, Crash

JOBS, PARALLEL = 12, 3


def spec(strategy: str) -> dict:
    ranges = {"ContinuousParameterRanges": [{"Name": n, "MinValue": "0", "MaxValue": "1"} for n in "xy"]}
    definition = {
        "RoleArn": "arn:aws:iam::123456789012:role/r",
        "AlgorithmSpecification": {
            "TrainingImage": "x/mine:1",
            "TrainingInputMode": "File",
            "MetricDefinitions": [{"Name": "loss", "Regex": "(.*)"}],
        },
        "OutputDataConfig": {"S3OutputPath": "s3://b/out", "KmsKeyId": ""},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 100},
        "StaticHyperParameters": {"_tuning_objective_metric": "loss"},
    }
    config = {
        "Strategy": strategy,
        "HyperParameterTuningJobObjective": {"Type": "Minimize", "MetricName": "loss"},
        "ResourceLimits": {"MaxNumberOfTrainingJobs": JOBS, "MaxParallelTrainingJobs": PARALLEL},
        "ParameterRanges": ranges,
    }
    return {"HyperParameterTuningJobConfig": config, "definitions": [definition], "several": False, "tags": {"team": "blue"}}


def finish_one(store: Store, chaos: Chaos, clock: ManualClock) -> None:
    """A training job ends, as its own engine ends it: with a value, failed, or stopped where that was wished."""
    running = [child for child in store.list(TRAINING_JOB.kind) if not TRAINING_JOB.is_final(child.status)]
    if not running:
        return
    child = chaos.random.choice(running)
    stopped = child.spec.get("stop")
    status = "Stopped" if stopped else chaos.random.choice(["Completed"] * 9 + ["Failed"])
    values = child.spec["tuning"]["values"]
    loss = (float(values["x"]) - 0.3) ** 2 + float(values["y"])
    metrics = [{"MetricName": "loss", "Value": loss, "Timestamp": 1.0}] if status == "Completed" else []
    now = clock.advance(1.0)
    store.apply(TRAINING_JOB, child, Step(status, {**moved(child.state, status, now), "ended_at": now, "metrics": metrics}), None)


@pytest.mark.parametrize(("seed", "strategy"), [(n, "Random") for n in range(20)] + [(n, "Bayesian") for n in range(20, 26)])
def test_killed_at_every_point(seed, strategy, tmp_path, monkeypatch):
    real = [1000.0]
    monkeypatch.setattr(reconcile, "real_now", lambda: real[0])
    chaos, clock = Chaos(seed, rate=0.15), ManualClock()
    db = SQLite(tmp_path / "s.db", durable=False)
    store = Store(db, clock)
    job = store.create(
        LIFECYCLE, account="123456789012", region="us-east-1", name="t", arn="arn:t", spec=spec(strategy), state={"version": 1}
    )

    def engine() -> Engine:
        world = Platform(Settings(data=tmp_path), clock, chaos.wrap(store))
        world.parts.update(tasks=Tasks())
        return Engine(world, [r for r in api.reconcilers if r.lifecycle.kind == LIFECYCLE.kind])

    suggested: dict[int, set[str]] = {}
    for round_ in range(400):
        if seed % 4 == 0 and round_ == 25 and not LIFECYCLE.is_final(store.by_uid(job.uid).status):
            store.request(store.by_uid(job.uid), {"stop": True})
        try:
            engine().settle(rounds=100)
        except Crash:
            real[0] += 1000.0
        trials = trials_of(store, job)
        assert sum(not trial.is_ended for trial in trials) <= PARALLEL, "the limit holds at every moment"
        for trial in trials:
            suggested.setdefault(trial.number, set()).add(str(trial.tuned))
        if LIFECYCLE.is_final(store.by_uid(job.uid).status):
            break
        finish_one(store, chaos, clock)
    end, trials = store.by_uid(job.uid), trials_of(store, job)
    assert LIFECYCLE.is_final(end.status), "no tuning job is lost"
    assert [trial.number for trial in trials] == list(range(1, len(trials) + 1)), "no number is left out or used twice"
    assert all(len(values) == 1 for values in suggested.values()), "a trial keeps its values"
    assert len({str(trial.tuned) for trial in trials}) == len(trials), "no trial is repeated"
    assert all(trial.is_ended for trial in trials), "nothing runs on"
    assert all(store.tags(trial.arn) == {"team": "blue"} for trial in trials)
    if not end.spec.get("stop"):
        assert (end.status, len(trials)) == ("Completed", JOBS)
    said = operations.describe(store, end)
    assert sum(said["TrainingJobStatusCounters"].values()) == len(trials)
    assert [event.revision for event in store.events_of(job.uid)] == list(range(1, end.revision + 1))
    assert chaos.crashes > 3, "the test killed something"
    db.close()
    shutil.rmtree(tmp_path, ignore_errors=True)


def test_a_killed_launch_is_made_again_with_the_same_values(tmp_path):
    """The values come from the records alone: whoever asks for trial 5 gets the same."""
    store = Store(SQLite(tmp_path / "s.db", durable=False), ManualClock())
    job = store.create(LIFECYCLE, account="1", region="r", name="t", arn="arn:t", spec=spec("Bayesian"), state={})
    chaos = Chaos(1, rate=0.0)
    world = Platform(Settings(data=tmp_path), store.clock, store)
    world.parts.update(tasks=Tasks())
    for _ in range(5):
        Engine(world, [r for r in api.reconcilers if r.lifecycle.kind == LIFECYCLE.kind]).settle(rounds=20)
        finish_one(store, chaos, store.clock)
    trials = trials_of(store, job)
    observed = [trial for trial in trials if trial.value is not None]
    assert len(observed) >= 3
    first, again = (tuning.values_for(job, 5, trials, ()) for _ in range(2))
    assert first == again
    assert tuning.trial_uid(job, 5) == tuning.trial_uid(job, 5) != tuning.trial_uid(job, 6)
    store.db.close()


def test_two_engines_that_saw_the_same_make_one_trial(tmp_path):
    store = Store(SQLite(tmp_path / "s.db", durable=False), ManualClock())
    job = store.create(LIFECYCLE, account="1", region="r", name="t", arn="arn:t", spec=spec("Random"), state={})
    for _ in range(2):  # each with tasks of its own, as two processes have
        world = Platform(Settings(data=tmp_path), store.clock, store)
        world.parts.update(tasks=Tasks())
        step = tuning.decide(job, tuning.Seen(real=1.0), 1.0)
        for action in step.do:
            action.perform(world)
    assert [trial.number for trial in trials_of(store, job)] == [1]
    store.db.close()
