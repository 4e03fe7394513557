"""Endpoints and replicas, killed at every point: no lost endpoint, no orphan replica, no double start, no request's way cut."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from modelyard.config import Settings
from modelyard.kernel import reconcile
from modelyard.kernel.clock import ManualClock
from modelyard.kernel.database import SQLite
from modelyard.kernel.lifecycle import static
from modelyard.kernel.platform import Platform
from modelyard.kernel.reconcile import Engine
from modelyard.kernel.store import Moved, Step, Store
from modelyard.kernel.tasks import ABSENT, TaskState
from modelyard.runtime.base import RunState
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.endpoint import container, policy
from modelyard.services.sagemaker.endpoint import reconcile as endpoint_reconcile
from modelyard.services.sagemaker.endpoint.fleets import kept_names
from modelyard.services.sagemaker.endpoint.health import Health
from modelyard.services.sagemaker.endpoint.lifecycle import ENDPOINT, REPLICA, status_of
from tests.support.chaos import Chaos, Crash

ALARM = static("metric-alarm")


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
    made = {"edition": edition, "config": f"c{edition}", "capture": None, "variants": rows}
    if len(rows) == 1 and generation % 2:  # a shadow comes and goes with every other update
        made["shadows"] = [{**rows[0], "name": "shadow", "of": rows[0]["name"], "count": 2}]
    return made


@pytest.fixture
def fakes(monkeypatch):
    """Real time moves a little at each look, so that back-offs and limits pass."""
    now = [1000.0]

    def real_now():
        now[0] += 0.05
        return now[0]

    monkeypatch.setattr(reconcile, "real_now", real_now)
    monkeypatch.setattr(endpoint_reconcile, "real_now", real_now)
    monkeypatch.setattr(container, "look_at_image", lambda world, uri, verb="": ("ready", ""))
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
        self.chaos = Chaos(seed, rate=0.015)
        self.clock, self.data = ManualClock(), tmp_path
        self.store = Store(SQLite(tmp_path / "s.db", durable=False), self.clock)
        self.runtime = FakeRuntime(self.chaos, self.routed)
        Settings(data=tmp_path).socket_dir.mkdir(parents=True, exist_ok=True)
        self.edition = 1
        self.endpoints = [self.create(n) for n in range(3)]

    def create(self, number: int):
        spec = {"wanted": deployment(1, 1, ("a", 2), *([] if number == 2 else [("b", 1)]))}
        return self.store.create(ENDPOINT, account="1", region="r", name=f"e{number}", arn=f"arn:e{number}", spec=spec)

    def routed(self, endpoint: str = "") -> set[str]:
        """The runs in the table of this endpoint (""; of all)."""
        found = set()
        for _, key, body in self.store.routes_since(0):
            if endpoint and key != endpoint:
                continue
            rows = [*body["variants"], *(s["variant"] for s in body.get("shadows", ()))] if body else []
            for replica in (r for v in rows for r in v["replicas"]):
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

    def alarm(self) -> None:
        """Created once; now and then it rings, and stops ringing."""
        alarm = self.store.get(ALARM.kind, "1", "r", "errors")
        if alarm is None:
            alarm = self.store.create(ALARM, account="1", region="r", name="errors", arn="arn:errors", spec={}, state={"state": "OK"})
        ringing = self.chaos.random.random() < 0.15
        self.store.apply(ALARM, alarm, Step("Active", {"state": "ALARM" if ringing else "OK"}), None)

    def policy(self, single: bool) -> dict | None:
        """Every kind of rollout, some of them watched by the alarm, some with a deadline."""
        kind = self.chaos.random.choice(["none", "ALL_AT_ONCE", "CANARY", "LINEAR", *(["ROLLING"] * 3 if single else [])])
        if kind == "none":
            return None
        half = {"Type": "CAPACITY_PERCENT", "Value": self.chaos.random.choice([30, 50])}
        guards = {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": "errors"}]}} if self.chaos.random.random() < 0.6 else {}
        if kind == "ROLLING":
            back = {"RollbackMaximumBatchSize": half} if self.chaos.random.random() < 0.5 else {}
            return {"RollingUpdatePolicy": {"MaximumBatchSize": half, "WaitIntervalInSeconds": 60, **back}, **guards}
        sizes = {"CANARY": {"CanarySize": half}, "LINEAR": {"LinearStepSize": half}}.get(kind, {})
        routing = {"Type": kind, "WaitIntervalInSeconds": 60, **sizes}
        late = {"MaximumExecutionTimeoutInSeconds": 600} if self.chaos.random.random() < 0.3 else {}
        return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, "TerminationWaitInSeconds": 60, **late}, **guards}

    def wish(self) -> None:
        endpoint = self.store.by_uid(self.chaos.random.choice(self.endpoints).uid)
        if endpoint is None or status_of(endpoint) not in ("InService", "UpdateRollbackFailed"):
            return
        old, edition = endpoint.state["serving"], endpoint.spec["wanted"]["edition"] + 1
        single = len(old["variants"]) == 1
        counts = [("a", self.chaos.random.randint(1, 4)), *([] if single else [("b", 1)])]
        if self.chaos.random.random() < 0.7 or "mix" in endpoint.state:
            new = deployment(edition, edition, *counts)
            how = self.policy(single and "mix" not in endpoint.state)
            new["plan"] = policy.plan_of(how, old, new, "mix" in endpoint.state)
        else:
            new = {**deployment(edition, old["variants"][0]["generation"], *counts), "scale": True}
        self.store.request(endpoint, {"wanted": new})

    def delete(self, endpoint) -> None:
        while (record := self.store.by_uid(endpoint.uid)) is not None:
            try:
                self.store.request(record, {"delete": True})
                return
            except Moved:
                continue


def is_whole(sim, there):
    """Settled, with exactly the replicas that it shall have, all of them routed."""
    assert status_of(there) == there.status, "no rollout is forgotten"
    replicas = sim.store.children(there.uid)
    if there.status == "Failed":
        assert not replicas and not sim.routed(there.arn)
        return
    assert there.status in ("InService", "UpdateRollbackFailed") and "rollout" not in there.state
    assert {r.name for r in replicas} == kept_names(there.uid, there.state).keys() and {r.status for r in replicas} == {"InService"}
    assert sim.routed(there.arn) == {container.run_id(r, number) for r in replicas for number in container.numbers(r)}
    assert {len(container.numbers(r)) for r in replicas} == ({1} if there.name == "e2" else {1, 3}), "some are pipelines"


@pytest.mark.parametrize("seed", range(16))
def test_killed_at_every_point(seed, tmp_path, fakes):
    sim = Simulation(seed, tmp_path)
    for turn in range(140):
        sim.alarm()
        sim.clock.advance(sim.chaos.random.choice([0.0, 20.0, 61.0]))
        if sim.chaos.random.random() < 0.3:
            sim.wish()
        sim.runtime.sick = turn > 20
        if turn == 90:
            sim.delete(sim.endpoints[0])
        try:
            sim.run(rounds=40)
        except Crash:
            fakes[0] += 70.0  # the leases of the dead engine run out
    sim.chaos.rate, sim.runtime.sick = 0.0, False
    fakes[0] += 1000.0
    for _ in range(12):  # as many bakes as a rollout has at most
        sim.run(rounds=60)
        sim.clock.advance(61.0)
        if all("rollout" not in e.state for e in sim.store.list(ENDPOINT.kind)):
            break
    sim.run(rounds=100)

    assert sim.chaos.crashes > 10, "the test killed something"
    assert sim.store.by_uid(sim.endpoints[0].uid) is None, "a deleted endpoint goes"
    assert sim.store.routes("arn:e0")[1] is None
    assert sim.store.children(sim.endpoints[0].uid) == [], "and its replicas with it"
    for endpoint in sim.endpoints[1:]:
        is_whole(sim, sim.store.by_uid(endpoint.uid))
    routed = {r for number in (1, 2) for r in sim.routed(f"arn:e{number}")}
    assert sim.runtime.running() == routed == sim.routed(), "no run without a record, no record without a run"
    for endpoint in sim.endpoints:
        revisions = [e.revision for e in sim.store.events_of(endpoint.uid)]
        assert revisions == list(range(1, len(revisions) + 1)), "one event per change, without gaps"
    for endpoint in sim.endpoints[1:]:
        sim.delete(endpoint)
    sim.run(rounds=300)
    assert not sim.runtime.runs and sim.store.list(REPLICA.kind) == [] and sim.store.list(ENDPOINT.kind) == []
    assert list((tmp_path / "endpoints").iterdir()) == []
