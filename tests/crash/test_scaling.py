"""Scalable targets and scheduled actions, killed at every point: no activity left open, no capacity asked for twice at once, bounds
set once for each due time, nothing left of a target that is gone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from modelyard.kernel import reconcile
from modelyard.kernel.clock import ManualClock
from modelyard.kernel.database import SQLite
from modelyard.kernel.platform import Platform
from modelyard.kernel.reconcile import Engine
from modelyard.kernel.store import Moved, Store
from modelyard.kernel.tasks import Tasks
from modelyard.services.applicationautoscaling import actions, api, look, removal, resource
from modelyard.services.applicationautoscaling import reconcile as _moves_targets  # noqa: F401
from modelyard.services.applicationautoscaling.policy import POLICY
from modelyard.services.applicationautoscaling.resource import INSTANCES, Capacity
from modelyard.services.applicationautoscaling.scheduled_action import ACTION
from modelyard.services.applicationautoscaling.target import TARGET, name_of
from tests.support.chaos import Chaos, Crash

RESOURCE = "endpoint/e/variant/v"
OFF = {"DynamicScalingInSuspended": False, "DynamicScalingOutSuspended": False, "ScheduledScalingSuspended": False}
MEMBERS = {"ServiceNamespace": "sagemaker", "ResourceId": RESOURCE, "ScalableDimension": INSTANCES}


@dataclass
class Hands:
    """An endpoint that takes a few looks for a change, and the alarms of CloudWatch."""

    chaos: Chaos
    capacity: Capacity = Capacity("InService", 1, 1)
    left: int = 0
    changes: list[int] = field(default_factory=list)
    alarms: set[str] = field(default_factory=set)
    ringing: str = ""

    def read(self, *_: Any) -> Capacity:
        self.chaos.point()
        if self.capacity.status == "Updating":
            self.left -= 1
            if self.left <= 0:
                self.capacity = Capacity("InService", self.capacity.desired, self.capacity.desired)
        return self.capacity

    def put(self, acting: Any, resource_id: str, dimension: str, capacity: int) -> None:
        self.chaos.point()
        assert self.capacity.status == "InService", "asked while it is busy"
        self.changes.append(capacity)
        self.capacity, self.left = replace(self.capacity, status="Updating", desired=capacity), 3
        self.chaos.point()

    def put_alarms(self, world: Any, policy: Any) -> None:
        self.chaos.point()
        self.alarms |= set(policy.spec["alarms"].values())
        self.chaos.point()

    def delete_alarms(self, world: Any, account: str, region: str, names: list[str]) -> None:
        self.chaos.point()
        self.alarms -= set(names)
        self.chaos.point()

    def policy(self, record: Any, *_: Any) -> look.Policy:
        high = self.ringing == "high"
        alarm = look.Alarm("a", bool(self.ringing), high, 100.0, (250.0,) if high else (10.0,))
        return look.Policy("p", "TargetTrackingScaling", {"TargetValue": 100.0, "ScaleInCooldown": 60, "ScaleOutCooldown": 60}, (alarm,))


class Simulation:
    def __init__(self, seed: int, tmp_path: Any, monkeypatch: Any) -> None:
        self.chaos, self.clock, self.real = Chaos(seed, rate=0.06), ManualClock(1_000_000.0), [1000.0]
        self.store = Store(SQLite(tmp_path / "s.db", durable=False), self.clock)
        self.hands = Hands(self.chaos)
        self.rows: dict[str, dict[str, Any]] = {}
        monkeypatch.setattr(reconcile, "real_now", self.now)
        monkeypatch.setattr(look, "acting", lambda *_: None)
        monkeypatch.setattr(actions, "acting", lambda *_: None)
        monkeypatch.setattr(resource, "read", self.hands.read)
        monkeypatch.setattr(resource, "put", self.hands.put)
        monkeypatch.setattr(look, "_policy", self.hands.policy)
        monkeypatch.setattr(removal, "delete_alarms", self.hands.delete_alarms)
        monkeypatch.setattr("modelyard.services.applicationautoscaling.policy.put_alarms", self.hands.put_alarms)
        monkeypatch.setattr("modelyard.services.applicationautoscaling.activity.write", self.write)
        spec = {**MEMBERS, "MinCapacity": 1, "MaxCapacity": 6, "SuspendedState": OFF, "edition": 1}
        place = {"account": "1", "region": "r"}
        self.target = self.store.create(TARGET, **place, name=name_of(RESOURCE, INSTANCES), arn="arn:t", spec=spec)
        policy = {**MEMBERS, "PolicyName": "p", "PolicyType": "TargetTrackingScaling", "config": {}, "edition": 1, "alarms": {"high": "h", "low": "l"}}  # fmt: skip
        self.store.create(POLICY, **place, name="p", arn="arn:p", spec=policy, owner=self.target.uid)
        action = {
            **MEMBERS, "ScheduledActionName": "s", "Schedule": "rate(10 minutes)", "Timezone": "UTC", "since": self.clock.now(), "edition": 1,
            "ScalableTargetAction": {"MinCapacity": 2},
        }  # fmt: skip
        self.store.create(ACTION, **place, name="s", arn="arn:s", spec=action, owner=self.target.uid)

    def now(self) -> float:
        self.real[0] += 0.05
        return self.real[0]

    def write(self, world: Any, account: str, region: str, body: Any) -> None:
        self.chaos.point()
        self.rows[body["ActivityId"]] = dict(body)
        self.chaos.point()

    def run(self, rounds: int) -> None:
        world = Platform(None, self.clock, self.chaos.wrap(self.store))  # type: ignore[arg-type]
        world.parts["tasks"] = Tasks()
        kinds = {TARGET.kind, POLICY.kind, ACTION.kind}
        Engine(world, [r for r in api.reconcilers if r.lifecycle.kind in kinds]).settle(rounds=rounds)

    def delete(self) -> None:
        while (record := self.store.by_uid(self.target.uid)) is not None:
            try:
                self.store.request(record, {"delete": True})
                return
            except Moved:
                continue


@pytest.mark.parametrize("seed", range(12))
def test_killed_at_every_point(seed, tmp_path, monkeypatch):
    sim = Simulation(seed, tmp_path, monkeypatch)
    for turn in range(80):
        sim.hands.ringing = ("high", "", "low", "")[turn // 5 % 4]
        sim.clock.advance(30.0)
        sim.store.wake(sim.target.uid)
        try:
            sim.run(rounds=15)
        except Crash:
            sim.real[0] += 10.0  # the lease of the dead engine runs out
    sim.chaos.rate, sim.hands.ringing = 0.0, ""
    sim.real[0] += 100.0
    sim.run(rounds=300)
    assert sim.chaos.crashes > 10, "the test killed something"
    target = sim.store.by_uid(sim.target.uid)
    assert target.status == "Active" and sim.hands.capacity.status == "InService"
    assert all(1 <= n <= 6 for n in sim.hands.changes) and len(sim.hands.changes) > 3
    scaled = [r for r in sim.rows.values() if r["Description"].startswith("Setting desired")]
    assert scaled and {r["StatusCode"] for r in scaled} == {"Successful"}, "no activity is left open"
    assert len(scaled) >= len(sim.hands.changes) - sim.chaos.crashes
    due = [r["ActivityId"] for r in sim.rows.values() if r["Cause"].startswith("scheduled action")]
    assert target.spec["MinCapacity"] == 2 and 1 <= len(due) <= 4, "every ten minutes once, however often it was killed"
    assert target.spec["edition"] == 1 + len(due)
    assert sim.hands.alarms == {"h", "l"}
    sim.chaos.rate = 0.06
    sim.delete()
    for _ in range(30):
        try:
            sim.run(rounds=15)
        except Crash:
            sim.real[0] += 10.0
    sim.chaos.rate = 0.0
    sim.real[0] += 100.0
    sim.run(rounds=50)
    assert sim.hands.alarms == set() and not sim.store.list(TARGET.kind)
    assert sim.store.list(POLICY.kind) == [] and sim.store.list(ACTION.kind) == []
