"""The processing job's reconciler with several hosts, killed at every point: nothing is lost, no host starts twice, nothing is left over."""

from __future__ import annotations

import shutil

import pytest

from modelyard.config import Settings
from modelyard.kernel import reconcile
from modelyard.kernel.clock import ManualClock
from modelyard.kernel.database import SQLite
from modelyard.kernel.platform import Platform
from modelyard.kernel.reconcile import Engine
from modelyard.kernel.store import Store
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.processing_job import actions, operations
from modelyard.services.sagemaker.processing_job import reconcile as job_reconcile
from modelyard.services.sagemaker.processing_job.check import completed
from modelyard.services.sagemaker.processing_job.lifecycle import FINAL, LIFECYCLE, first_state
from tests.crash.test_training_job import FakeIdentity, FakeRuntime, FakeTasks, Nothing
from tests.support.chaos import Chaos, Crash

HOSTS = 3
REQUEST = {
    "ProcessingJobName": "j",
    "AppSpecification": {"ImageUri": "123456789012.dkr.ecr.us-east-1.amazonaws.com/x:1"},
    "RoleArn": "arn:aws:iam::123456789012:role/r",
    "ProcessingOutputConfig": {
        "Outputs": [
            {"OutputName": "o", "S3Output": {"S3Uri": "s3://b/o", "LocalPath": "/opt/ml/processing/o", "S3UploadMode": "Continuous"}}
        ]
    },
    "ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": HOSTS, "VolumeSizeInGB": 1}},
}


@pytest.fixture
def fakes(monkeypatch):
    """What touches S3 and the disk, noted; and the engine's real time."""
    collected: list[str] = []

    def lay_out(job, world, attempt):
        job_reconcile.job_run.folder(job, world).mkdir(parents=True, exist_ok=True)
        return []

    def collect(session, spec, hosts, known):
        collected.append(hosts[0].parts[-4])
        return {"message": "m"}

    monkeypatch.setattr(actions, "fetch", lambda *a, **k: 0)
    monkeypatch.setattr(actions, "upload", lambda *a, **k: {})
    monkeypatch.setattr(actions, "collect", collect)
    monkeypatch.setattr(job_reconcile, "look_at_image", lambda world, uri, verb="": ("ready", ""))
    monkeypatch.setattr(job_reconcile.job_run, "lay_out", lay_out)
    spec = lambda job, world, role, host: type("S", (), {"id": job_reconcile.job_run.run_id(job, host)})  # noqa: E731
    monkeypatch.setattr(job_reconcile.job_run, "run_spec", spec)
    real = [1000.0]
    monkeypatch.setattr(reconcile, "real_now", lambda: real[0])
    return real, collected


@pytest.mark.parametrize("seed", range(30))
def test_killed_at_every_point(seed, tmp_path, fakes):
    real, collected = fakes
    chaos, clock = Chaos(seed, rate=0.08), ManualClock()
    db = SQLite(tmp_path / "s.db", durable=False)
    store, runtime = Store(db, clock), FakeRuntime(chaos, tmp_path)
    jobs = [
        store.create(
            LIFECYCLE, account="123456789012", region="us-east-1", name=f"j{n}", arn=f"arn:j{n}",
            spec=completed(REQUEST, known_image=True), state=first_state(),
        )
        for n in range(3)
    ]  # fmt: skip

    def engine():
        world = Platform(Settings(data=tmp_path), clock, chaos.wrap(store), identity=FakeIdentity())
        world.parts.update(runtime=chaos.wrap(runtime), tasks=chaos.wrap(FakeTasks()), follower=Nothing(), images=Nothing(), logs=Nothing())
        return Engine(world, [r for r in api.reconcilers if r.lifecycle.kind == LIFECYCLE.kind])

    for _ in range(600):
        if chaos.random.random() < 0.05:
            wished = store.by_uid(chaos.random.choice(jobs).uid)
            if wished.status == "InProgress" and not wished.spec.get("stop"):
                store.request(wished, {"stop": True})
        try:
            engine().settle(rounds=200)
            if all(store.by_uid(j.uid).status in FINAL for j in jobs):
                break
        except Crash:
            real[0] += 1000.0
    chaos.rate = 0.0
    real[0] += 1000.0
    engine().settle()

    for job in jobs:
        end = store.by_uid(job.uid)
        assert end.status in FINAL, "no job is lost"
        assert [e.revision for e in store.events_of(job.uid)] == list(range(1, end.revision + 1)), "one event per change, without gaps"
        assert operations.describe(end)["ProcessingEndTime"] >= operations.describe(end)["ProcessingStartTime"]
        if end.status == "Completed":
            assert end.state["message"] == "m" and job.uid in collected, "what a completed job made was uploaded"
    assert runtime.starts and all(count == 1 for count in runtime.starts.values()), "hosts are started, and none twice"
    assert all(state == "stopped" for state in runtime.runs.values()), "no run is left over"
    assert not any((tmp_path / "jobs").glob("*/*")), "no folder is left over"
    assert db.read("SELECT uid FROM places") == [], "no place among all jobs is kept"
    assert chaos.crashes > 5, "the test killed something"
    db.close()
    shutil.rmtree(tmp_path, ignore_errors=True)
