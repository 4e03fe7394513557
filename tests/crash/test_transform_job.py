"""Transform jobs, killed at every point of engine and workers: no object is lost, none is done again once it is on record, no instance stays."""

from __future__ import annotations

import contextlib
from collections import Counter
from types import SimpleNamespace

import pytest

from modelyard.config import Settings
from modelyard.kernel import reconcile
from modelyard.kernel.clock import ManualClock
from modelyard.kernel.database import SQLite
from modelyard.kernel.platform import Platform
from modelyard.kernel.reconcile import Engine
from modelyard.kernel.store import Moved, Store
from modelyard.kernel.tasks import ABSENT, TaskState
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.endpoint.lifecycle import REPLICA
from modelyard.services.sagemaker.jobs.inputs import Item
from modelyard.services.sagemaker.transform_job import actions, host
from modelyard.services.sagemaker.transform_job import reconcile as job_reconcile
from modelyard.services.sagemaker.transform_job.ledger import Ledger
from modelyard.services.sagemaker.transform_job.lifecycle import FINAL, LIFECYCLE
from modelyard.services.sagemaker.transform_job.output import FIRST_PART_BYTES
from modelyard.serving.transform.errors import Refused
from tests.crash.test_endpoint import FakeProbes, FakeRuntime, Nothing, fakes  # noqa: F401
from tests.support.chaos import Chaos, Crash

OBJECTS = 7
SPEC = {
    "ModelName": "m",
    "model": {"containers": [{"hostname": "", "image": "i", "environment": {}, "data": None, "mode": ""}], "role": "r", "isolated": True},
    "TransformInput": {"DataSource": {"S3DataSource": {"S3Uri": "s3://in/", "S3DataType": "S3Prefix"}}, "SplitType": "Line", "CompressionType": "None"},
    "TransformOutput": {"S3OutputPath": "s3://out", "AssembleWith": "Line"},
    "TransformResources": {"InstanceType": "ml.m5.large", "InstanceCount": 2},
    "DataProcessing": {},
    "MaxConcurrentTransforms": 2, "MaxPayloadInMB": 1, "BatchStrategy": "SingleRecord",
}  # fmt: skip


class Bucket:
    """S3, which outlives everything. A worker that was killed does nothing more: nobody tidies up after it."""

    def __init__(self, chaos: Chaos) -> None:
        self.chaos, self.dead = chaos, False
        self.puts: Counter[str] = Counter()
        self.data: dict[str, bytes] = {}
        self.uploads: dict[str, list[bytes]] = {}

    def point(self) -> None:
        if self.dead:
            raise Crash
        try:
            self.chaos.point()
        except Crash:
            self.dead = True
            raise

    def session(self, *_, **__):
        return SimpleNamespace(stream=self.stream, put=self.put, ask=self.ask)

    def stream(self, bucket, key):
        self.point()
        data = b"large\n" if key.endswith("3") else b"".join(b"%d\n" % n for n in range(4))
        return len(data), "", iter([data + key.encode()])

    def put(self, bucket, key, body, **_):
        self.point()
        self.data[key], self.puts[key] = body, self.puts[key] + 1
        self.point()

    def ask(self, operation, request):
        self.point()
        answer = {}
        if operation == "CreateMultipartUpload":
            answer = {"UploadId": f"upload{len(self.uploads) + sum(self.puts.values())}x{self.chaos.random.random()}"}
            self.uploads[answer["UploadId"]] = []
        elif operation == "UploadPart":
            self.uploads[request["UploadId"]].append(request["Body"])
            answer = {"ETag": "e"}
        elif operation == "CompleteMultipartUpload":
            self.data[request["Key"]] = b"".join(self.uploads.pop(request["UploadId"]))
            self.puts[request["Key"]] += 1
        else:
            self.uploads.pop(request["UploadId"], None)
        self.point()
        return answer


class Model:
    """In the place of caller.Caller."""

    def __init__(self, *_):
        pass

    async def sockets(self):
        return ["s"]

    async def ask(self, body, once=False):
        if body.startswith(b"bad"):
            raise Refused("ClientError", "ClientError: 400", b"no")
        return SimpleNamespace(body=b"x" * (FIRST_PART_BYTES + 5) if body == b"large" else body.upper())

    def close(self): ...


class FakeTasks:
    """Work is done at once; the death of a worker is that of its engine, and the other way round."""

    def __init__(self):
        self.states = {}

    def ensure(self, key, work, on_end=lambda: None):
        if key not in self.states:
            try:
                self.states[key] = TaskState("done", work())
            except BaseExceptionGroup as group:
                raise Crash from group
        return self.states[key]

    def look(self, key):
        return self.states.get(key, ABSENT)

    def forget(self, key):
        self.states.pop(key, None)


@pytest.mark.parametrize("seed", range(16))
def test_killed_at_every_point(seed, tmp_path, fakes, monkeypatch):  # noqa: F811
    chaos, clock, now = Chaos(seed, rate=0.03), ManualClock(), fakes
    store = Store(SQLite(tmp_path / "s.db", durable=False), clock)
    runtime = FakeRuntime(chaos, routed=set)
    bucket = Bucket(chaos)
    Settings(data=tmp_path).socket_dir.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(reconcile, "real_now", lambda: now[0])
    monkeypatch.setattr(job_reconcile, "look_at_image", lambda world, uri, verb="": ("ready", ""))
    monkeypatch.setattr(actions, "session", bucket.session)
    monkeypatch.setattr(actions, "objects", lambda *_: [Item("in", f"k{n}", f"k{n}", 1) for n in range(OBJECTS)])
    monkeypatch.setattr(host, "RoleSession", bucket.session)
    monkeypatch.setattr(host, "Caller", Model)
    on_record: dict[tuple[str, int], int] = {}

    def mark(ledger, which, number, problem, real=Ledger.mark):
        bucket.point()
        real(ledger, which, number, problem)
        uid = ledger.folder.name
        assert (uid, number) not in on_record, "no object is done again once it is on record"
        on_record[uid, number] = bucket.puts[f"{uid}/k{number}.out"]
        bucket.point()

    monkeypatch.setattr(Ledger, "mark", mark)
    jobs = []
    for n in range(3):
        job = store.create(LIFECYCLE, account="1", region="r", name=f"j{n}", arn=f"arn:j{n}", spec=SPEC)
        jobs.append(store.request(job, {"TransformOutput": {"S3OutputPath": f"s3://out/{job.uid}", "AssembleWith": "Line"}}))

    def engine() -> None:
        world = Platform(Settings(data=tmp_path), clock, chaos.wrap(store), identity=Nothing())
        bucket.dead = False
        world.parts.update(
            runtime=chaos.wrap(runtime), tasks=FakeTasks(), follower=Nothing(), images=Nothing(), logs=Nothing(), probes=FakeProbes(chaos, runtime)
        )  # fmt: skip
        Engine(world, [r for r in api.reconcilers if r.lifecycle.kind in ("transform-job", REPLICA.kind)]).settle(rounds=60)

    def over() -> bool:
        return all(store.by_uid(j.uid).status in FINAL for j in jobs) and not store.list(REPLICA.kind)

    for turn in range(3000):
        if over():
            break
        if turn > 2700:
            chaos.rate = 0.0
        runtime.sick = turn < 2000
        victim = store.by_uid(jobs[2].uid)
        if chaos.random.random() < 0.01 and victim.status == "InProgress" and not victim.spec.get("stop"):
            with contextlib.suppress(Moved):
                store.request(victim, {"stop": True})
        try:
            engine()
        except Crash:
            now[0] += 20.0
        except TimeoutError:
            pass
        now[0] += 1.0
        clock.advance(0.3)
    assert over(), [(j.name, store.by_uid(j.uid).status, store.by_uid(j.uid).state) for j in jobs]
    chaos.rate = 0.0
    now[0] += 1000.0
    engine()

    for job in jobs:
        end = store.by_uid(job.uid)
        done = {number for uid, number in on_record if uid == job.uid}
        there = {key for key in bucket.data if key.startswith(job.uid)}
        assert end.status == "Completed" or (end.status == "Stopped" and end.spec.get("stop")), end.state
        if end.status == "Completed":
            assert done == set(range(OBJECTS)) and there == {f"{job.uid}/k{n}.out" for n in range(OBJECTS)}, "no object is lost"
        for number in done:
            key = f"{job.uid}/k{number}.out"
            assert bucket.puts[key] == on_record[job.uid, number], "what is on record is not done again"
            expected = b"x" * (FIRST_PART_BYTES + 5) + b"\n" if number == 3 else b"0\n1\n2\n3\n"
            assert bucket.data[key] == expected + f"K{number}\n".encode(), "outputs are whole"
        events = store.events_of(job.uid)
        assert [e.revision for e in events] == list(range(1, end.revision + 1))
        assert len([e for e in events if e.new in FINAL and e.old != e.new]) == 1
        assert not (tmp_path / "jobs" / job.uid).exists(), "nothing of the job stays on disk"
    assert not runtime.running() and not store.list(REPLICA.kind), "no instance is left"
    assert not store.db.read("SELECT * FROM places"), "no place is held"
    assert not any(bucket.uploads.values()), "no part of an upload lies about"
    assert chaos.crashes > 5, "the test killed something"
    store.db.close()
