"""The training job's reconciler, killed at every point: nothing is lost, nothing runs twice, nothing is left over."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from modelyard.config import Settings
from modelyard.kernel import reconcile
from modelyard.kernel.clock import ManualClock
from modelyard.kernel.database import SQLite
from modelyard.kernel.identity import Credential, Principal
from modelyard.kernel.platform import Platform
from modelyard.kernel.reconcile import Engine
from modelyard.kernel.store import Moved, Store
from modelyard.kernel.tasks import ABSENT, TaskState
from modelyard.runtime.base import RunState
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.training_job import actions as job_actions
from modelyard.services.sagemaker.training_job import operations
from modelyard.services.sagemaker.training_job import reconcile as job_reconcile
from modelyard.services.sagemaker.training_job.lifecycle import LIFECYCLE, first_state
from tests.support.chaos import Chaos, Crash

SPEC = {
    "RoleArn": "arn:aws:iam::123456789012:role/r",
    "AlgorithmSpecification": {"TrainingImage": "x/sagemaker-xgboost:1.7-1", "TrainingInputMode": "File"},
    "OutputDataConfig": {"S3OutputPath": "s3://b/out"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1},
    "StoppingCondition": {"MaxRuntimeInSeconds": 100},
}


SPECS = [
    SPEC,
    {**SPEC, "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 3}},
    {
        **SPEC,
        "EnableManagedSpotTraining": True,
        "StoppingCondition": {"MaxRuntimeInSeconds": 100, "MaxWaitTimeInSeconds": 200},
        "CheckpointConfig": {"S3Uri": "s3://b/checkpoints"},
    },
    {**SPEC, "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "KeepAlivePeriodInSeconds": 60}},
]


@dataclass
class FakeRuntime:
    """Outlives engines, as real runs do. A run ends after some looks; some are lost for good."""

    chaos: Chaos
    folder_: Path
    runs: dict[str, str] = field(default_factory=dict)
    starts: dict[str, int] = field(default_factory=dict)
    looks: dict[str, int] = field(default_factory=dict)

    def ensure(self, spec):
        if self.runs.get(spec.id) is None:
            self.runs[spec.id] = "running"
            self.starts[spec.id] = self.starts.get(spec.id, 0) + 1
        return self.look(spec.id)

    def look(self, run_id):
        state = self.runs.get(run_id, "absent")
        if state == "running":
            self.looks[run_id] = self.looks.get(run_id, 0) + 1
            if self.chaos.random.random() < 0.02:
                self.runs[run_id] = "lost"
            elif self.looks[run_id] > 3:
                self.runs[run_id] = self.chaos.random.choice(["ok", "ok", "bad"])
        return {
            "absent": RunState("absent"),
            "running": RunState("running"),
            "lost": RunState("lost"),
            "stopped": RunState("exited", exit_code=143, ended_by="stop"),
            "ok": RunState("exited", exit_code=0),
            "bad": RunState("exited", exit_code=1),
        }[self.runs.get(run_id, "absent")]

    def stop(self, run_id, grace_s=None):
        if self.runs.get(run_id, "running") == "running":
            self.runs[run_id] = "stopped"

    def remove(self, run_id):
        self.runs.pop(run_id, None)

    def no_network(self):
        return None

    def folder(self, run_id):
        return self.folder_ / run_id


class FakeTasks:
    """Work is done at once or fails with the engine; the results are this engine's only."""

    def __init__(self):
        self.states: dict[str, TaskState] = {}

    def ensure(self, key, work, on_end=lambda: None):
        if key not in self.states:
            self.states[key] = TaskState("done", work())
        return self.states[key]

    def attempt(self, key, work, final):
        work()

    def look(self, key):
        return self.states.get(key, ABSENT)

    def forget(self, key):
        self.states.pop(key, None)


class Nothing:
    def __getattr__(self, name):
        return lambda *a, **k: None


class FakeIdentity:
    def session_for_role(self, *a, **k):
        return Credential("AK", "SK", Principal("role", "123456789012", "arn", "id"), "T", 1e12)


@pytest.fixture
def fakes(monkeypatch):
    monkeypatch.setattr(job_actions.Fetch, "run", lambda self: None)
    monkeypatch.setattr(job_actions, "save", lambda *a, **k: None)
    monkeypatch.setattr(job_actions, "restore", lambda *a, **k: None)
    monkeypatch.setattr(job_actions, "collect", lambda *a, **k: {"model": "s3://b/out/model.tar.gz", "metrics": []})
    monkeypatch.setattr(job_reconcile, "look_at_image", lambda world, uri, verb="": ("ready", ""))
    monkeypatch.setattr(job_reconcile.job_run, "lay_out", lambda job, world, attempt, host: world.settings.data)
    monkeypatch.setattr(
        job_reconcile.job_run,
        "run_spec",
        lambda job, world, role, host: type("S", (), {"id": job_reconcile.job_run.run_id(job, host=host.number)}),
    )
    real = [1000.0]
    monkeypatch.setattr(reconcile, "real_now", lambda: real[0])
    return real


@pytest.mark.parametrize("seed", range(40))
def test_killed_at_every_point(seed, tmp_path, fakes):
    real = fakes
    chaos = Chaos(seed, rate=0.12)
    clock = ManualClock()
    db = SQLite(tmp_path / "s.db", durable=False)
    store = Store(db, clock)
    runtime = FakeRuntime(chaos, tmp_path)
    jobs = [
        store.create(
            LIFECYCLE,
            account="123456789012",
            region="us-east-1",
            name=f"j{n}",
            arn=f"arn:j{n}",
            spec=SPECS[n],
            state=first_state(clock.now()),
        )
        for n in range(4)
    ]

    def engine():
        world = Platform(Settings(data=tmp_path), clock, chaos.wrap(store), identity=FakeIdentity())
        world.parts.update(runtime=chaos.wrap(runtime), tasks=chaos.wrap(FakeTasks()), follower=Nothing(), images=Nothing(), logs=Nothing())
        return Engine(world, [r for r in api.reconcilers if r.lifecycle.kind == "training-job"])

    for _ in range(400):
        if chaos.random.random() < 0.1:
            wished = store.by_uid(chaos.random.choice(jobs).uid)
            if wished.status == "InProgress" and not wished.spec.get("stop"):
                store.request(wished, {"stop": True})
        if chaos.random.random() < 0.2:
            wished = store.by_uid(jobs[2].uid)
            if wished.status == "InProgress" and wished.state["secondary"] in ("Downloading", "Training"):
                store.request(wished, {"interrupt": wished.state["attempt"]})
        try:
            engine().settle(rounds=200)
            if all(LIFECYCLE.is_final(store.by_uid(j.uid).status) for j in jobs):
                break
        except Crash:
            real[0] += 1000.0
    chaos.rate = 0.0
    real[0] += 1000.0
    engine().settle()
    clock.advance(61)
    engine().settle()

    for job in jobs:
        end = store.by_uid(job.uid)
        assert LIFECYCLE.is_final(end.status), "no job is lost"
        events = store.events_of(job.uid)
        assert [e.revision for e in events] == list(range(1, end.revision + 1)), "one event per change, without gaps"
        assert [e.new for e in events if e.new in ("Completed", "Failed", "Stopped")].count(end.status) >= 1
        assert all("EndTime" in t for t in end.state["transitions"]), "every transition has ended"
        assert operations.describe(end)["TrainingJobStatus"] == end.status
        if end.status == "Completed":
            assert end.state["model"]
    assert runtime.starts and all(count == 1 for count in runtime.starts.values()), "runs are started, and none twice"
    assert runtime.runs == {} or all(state == "stopped" for state in runtime.runs.values()), "no run is left over"
    assert store.db.read("SELECT * FROM places") == [], "no place is left taken"
    assert chaos.crashes > 5, "the test killed something"
    db.close()
    shutil.rmtree(tmp_path, ignore_errors=True)


def test_a_stop_that_races_the_end_of_the_job_is_no_error(tmp_path):
    store = Store(SQLite(tmp_path / "s.db"), ManualClock())
    job = store.create(LIFECYCLE, account="1", region="r", name="j", arn="arn:j", spec=SPEC, state=first_state(0.0))
    store.request(job, {"stop": True})
    with pytest.raises(Moved):
        store.request(job, {"stop": True})
