"""Endpoints and replicas, killed at every point: no lost endpoint, no orphan replica, no double start, no request's way cut."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from modelyard.config import Settings
from modelyard.kernel import reconcile
from modelyard.kernel.clock import ManualClock
from modelyard.kernel.database import SQLite
from modelyard.kernel.platform import Platform
from modelyard.kernel.reconcile import Engine
from modelyard.kernel.store import Moved, Store
from modelyard.kernel.tasks import ABSENT, TaskState
from modelyard.runtime.base import RunState
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.endpoint import container
from modelyard.services.sagemaker.endpoint import reconcile as endpoint_reconcile
from modelyard.services.sagemaker.endpoint.health import Health
from modelyard.services.sagemaker.endpoint.lifecycle import ENDPOINT, REPLICA, status_of
from tests.support.chaos import Chaos, Crash


@dataclass
class FakeRuntime:
    """Outlives engines. `routed()` are the runs in the published tables: none of them may be stopped politely."""

    chaos: Chaos
    routed: object = None
    runs: dict[str, str] = field(default_factory=dict)
    starts: list[str] = field(default_factory=list)
    places: dict[str, int] = field(default_factory=dict)
    sick: bool = False

    def ensure(self, spec):
        if spec.id not in self.runs:
            replica = spec.id.rpartition("-")[0]
            alive = [r for r, state in self.runs.items() if r.startswith(replica) and state == "running" and self.places[r] == spec.place]
            assert not alive, f"{spec.id} starts beside {alive}"
            self.places[spec.id] = spec.place
            assert spec.id not in self.starts, f"{spec.id} is started twice"
            self.runs[spec.id] = "running"
            self.starts.append(spec.id)
        return self.look(spec.id)

    def look(self, run_id):
        state = self.runs.get(run_id)
        if state == "running" and self.sick and self.chaos.random.random() < 0.01:
            state = self.runs[run_id] = self.chaos.random.choice(["lost", "exited"])
        if state is None:
            return RunState("absent")
        started = None if state == "tombstone" else 1.0
        return RunState("exited" if state == "tombstone" else state, started_at=started)

    def stop(self, run_id, grace_s=None):
        if self.runs.get(run_id) == "running":
            assert grace_s == 0.0 or run_id not in self.routed(), f"{run_id} is stopped while gateways send to it"
            self.runs[run_id] = "exited"
        else:
            self.runs.setdefault(run_id, "tombstone")

    def remove(self, run_id):
        self.runs.pop(run_id, None)

    def folder(self, run_id):
        return Path("/none") / run_id

    def running(self):
        return {r for r, state in self.runs.items() if state == "running"}


class FakeProbes:
    """Of one engine: healthy from the second look on, now and then not."""

    def __init__(self, chaos, runtime):
        self.chaos, self.runtime, self.looks = chaos, runtime, {}

    def ensure(self, key, *_): ...

    def forget(self, key): ...

    def look(self, key):
        self.looks[key] = self.looks.get(key, 0) + 1
        if self.looks[key] < 2:
            return Health()
        if self.runtime.sick and self.chaos.random.random() < 0.01:
            return Health(False, 3)
        return Health(True)


class FakeTasks:
    def __init__(self):
        self.states = {}

    def ensure(self, key, work, on_end=lambda: None):
        if key not in self.states:
            self.states[key] = TaskState("done", work())
        return self.states[key]

    def look(self, key):
        return self.states.get(key, ABSENT)

    def forget(self, key):
        self.states.pop(key, None)


class Nothing:
    def __getattr__(self, name):
        return lambda *a, **k: None


PIPELINE = [{"hostname": f"container-{n}", "image": "i", "environment": {}, "data": None} for n in (1, 2, 3)]


def deployment(edition: int, generation: int, *variants: tuple[str, int]) -> dict:
    rows = [
        {
            "name": n,
            "generation": generation,
            "weight": 1.0,
            "count": c,
            "image": "i",
            "startup_s": 20_000.0,
            "instance_type": "ml.m5.large",
            **({"mode": "Serial", "containers": PIPELINE} if n == "b" else {}),
        }
        for n, c in variants
    ]
    return {"edition": edition, "config": f"c{edition}", "capture": None, "variants": rows}


@pytest.fixture
def fakes(monkeypatch):
    """Real time moves a little at each look, so that back-offs and limits pass."""
    now = [1000.0]

    def real_now():
        now[0] += 0.05
        return now[0]

    monkeypatch.setattr(reconcile, "real_now", real_now)
    monkeypatch.setattr(endpoint_reconcile, "real_now", real_now)
    monkeypatch.setattr(container, "look_at_image", lambda world, uri: ("ready", ""))
    monkeypatch.setattr(container, "fetch_model", lambda replica, world: container.ml_folder(replica, world).mkdir(parents=True))
    monkeypatch.setattr(
        container,
        "run_spec",
        lambda replica, number, world, path: type(
            "S", (), {"id": container.run_id(replica, number), "place": container.place_of(replica, number)}
        ),
    )
    return now


class Simulation:
    def __init__(self, seed: int, tmp_path: Path) -> None:
        self.chaos = Chaos(seed, rate=0.04)
        self.clock, self.data = ManualClock(), tmp_path
        self.store = Store(SQLite(tmp_path / "s.db", durable=False), self.clock)
        self.runtime = FakeRuntime(self.chaos, self.routed)
        Settings(data=tmp_path).socket_dir.mkdir(parents=True, exist_ok=True)
        self.edition = 1
        self.endpoints = [self.create(n) for n in range(2)]

    def create(self, number: int):
        spec = {"wanted": deployment(1, 1, ("a", 2), ("b", 1))}
        return self.store.create(ENDPOINT, account="1", region="r", name=f"e{number}", arn=f"arn:e{number}", spec=spec)

    def routed(self) -> set[str]:
        found = set()
        for _, _, body in self.store.routes_since(0):
            for replica in (r for v in (body or {"variants": []})["variants"] for r in v["replicas"]):
                sockets = [replica["socket"], *(s["socket"] for s in replica.get("stages", ()))]
                found |= {Path(s).name.removesuffix(".sock") for s in sockets}
        return found

    def run(self, rounds: int) -> None:
        """An engine's life: it ends after so many rounds, or earlier."""
        world = Platform(Settings(data=self.data), self.clock, self.chaos.wrap(self.store), identity=Nothing())
        runtime = self.chaos.wrap(self.runtime)
        probes = FakeProbes(self.chaos, self.runtime)
        world.parts.update(runtime=runtime, tasks=FakeTasks(), follower=Nothing(), images=Nothing(), logs=Nothing(), probes=probes)
        engine = Engine(world, [r for r in api.reconcilers if r.lifecycle.kind.startswith("endpoint")])
        engine.settle(rounds=rounds)

    def wish(self) -> None:
        endpoint = self.store.by_uid(self.chaos.random.choice(self.endpoints).uid)
        if endpoint is None or status_of(endpoint) != "InService":
            return
        edition = endpoint.spec["wanted"]["edition"] + 1
        counts = [("a", self.chaos.random.randint(1, 3)), ("b", 1)]
        generation = edition if self.chaos.random.random() < 0.6 else endpoint.state["serving"]["variants"][0]["generation"]
        self.store.request(endpoint, {"wanted": deployment(edition, generation, *counts)})

    def delete(self, endpoint) -> None:
        while (record := self.store.by_uid(endpoint.uid)) is not None:
            try:
                self.store.request(record, {"delete": True})
                return
            except Moved:
                continue


@pytest.mark.parametrize("seed", range(16))
def test_killed_at_every_point(seed, tmp_path, fakes):
    sim = Simulation(seed, tmp_path)
    for turn in range(100):
        if sim.chaos.random.random() < 0.3:
            sim.wish()
        sim.runtime.sick = turn > 20
        if turn == 70:
            sim.delete(sim.endpoints[0])
        try:
            sim.run(rounds=20)
        except Crash:
            fakes[0] += 70.0  # the leases of the dead engine run out
    sim.chaos.rate, sim.runtime.sick = 0.0, False
    fakes[0] += 1000.0
    sim.run(rounds=300)

    assert sim.chaos.crashes > 10, "the test killed something"
    assert sim.store.by_uid(sim.endpoints[0].uid) is None, "a deleted endpoint goes"
    assert sim.store.routes("arn:e0")[1] is None
    assert sim.store.children(sim.endpoints[0].uid) == [], "and its replicas with it"
    there = sim.store.by_uid(sim.endpoints[1].uid)
    replicas = sim.store.children(there.uid)
    if there.status == "InService":
        wanted = sum(v["count"] for v in there.state["serving"]["variants"])
        assert len(replicas) == wanted and {r.status for r in replicas} == {"InService"}
        assert sim.routed() == {container.run_id(r, number) for r in replicas for number in container.numbers(r)}
        assert {len(container.numbers(r)) for r in replicas} == {1, 3}, "some are pipelines"
        assert sim.runtime.running() == sim.routed(), "no run without a record, no record without a run"
    else:
        assert there.status == "Failed" and not replicas and not sim.runtime.running(), replicas
    for endpoint in sim.endpoints:
        revisions = [e.revision for e in sim.store.events_of(endpoint.uid)]
        assert revisions == list(range(1, len(revisions) + 1)), "one event per change, without gaps"
    sim.delete(sim.endpoints[1])
    sim.run(rounds=200)
    assert not sim.runtime.runs and sim.store.list(REPLICA.kind) == [] and sim.store.list(ENDPOINT.kind) == []
    assert list((tmp_path / "endpoints").iterdir()) == []
