"""Alarms killed at every point: no change of state is lost or told out of order, no action is lost, none has two keys."""

from __future__ import annotations

import json

import pytest

from modelyard.app import load_services
from modelyard.config import Settings
from modelyard.kernel import reconcile
from modelyard.kernel.bus import Bus, Reader
from modelyard.kernel.clock import ManualClock
from modelyard.kernel.database import SQLite
from modelyard.kernel.platform import Platform
from modelyard.kernel.reconcile import Engine
from modelyard.kernel.service import Service
from modelyard.kernel.store import Store
from modelyard.services.cloudwatch.alarm.actions import ACTION
from modelyard.services.cloudwatch.alarm.history import History
from modelyard.services.cloudwatch.alarm.lifecycle import COMPOSITE, METRIC, new_state
from modelyard.services.cloudwatch.alarm.looks import Looks
from modelyard.services.cloudwatch.metric_store import MetricStore
from tests.support.chaos import Chaos, Crash
from tests.support.platform import InlineTasks

START, TOPIC = 1_700_000_040.0, "arn:aws:sns:r:1:bell"
VALUES = [1, 9, 9, 1, 9, 1, 1, 9, 9, 9, 1, 1]


class Simulation:
    def __init__(self, seed, tmp_path):
        self.chaos = Chaos(seed, rate=0.05)
        self.clock, self.data = ManualClock(START), tmp_path
        self.store = Store(SQLite(tmp_path / "s.db", durable=False), self.clock)
        self.metrics = MetricStore(SQLite(tmp_path / "m.db", durable=False), self.clock)
        self.looks, self.history = Looks(self.metrics.db), History(self.store.db)
        self.sent = []
        Settings(data=tmp_path).socket_dir.mkdir(parents=True, exist_ok=True)
        common = {"EvaluationPeriods": 1, "Threshold": 5.0, "ComparisonOperator": "GreaterThanThreshold"}
        metric = {"Namespace": "App", "MetricName": "m", "Statistic": "Average", "Period": 60}
        both = {"AlarmActions": [TOPIC], "OKActions": [TOPIC]}
        self.alarm = self.create(METRIC, "a", {**common, **metric, **both})
        self.parent = self.create(COMPOSITE, "c", {"AlarmRule": "ALARM(a)", **both})

    def create(self, lifecycle, name, alarm):
        spec = {"alarm": alarm, "configured": START}
        return self.store.create(lifecycle, account="1", region="r", name=name, arn=f"arn:{name}", spec=spec, state=new_state(START))

    def deliver(self, platform, delivery):
        self.chaos.point()
        self.sent.append(delivery)
        self.chaos.point()

    def live(self):
        """One engine and its readers, from their start until they die or nothing is left to do."""
        wrap = self.chaos.wrap
        world = Platform(Settings(data=self.data), self.clock, wrap(self.store))
        world.parts.update(metrics=self.metrics, alarm_looks=wrap(self.looks), alarm_history=wrap(self.history), tasks=CrashingTasks())
        receiver = Service("sns")
        receiver.target(self.deliver)
        world.services = {"sns": receiver}
        api = load_services()["cloudwatch"]
        engine = Engine(world, api.reconcilers)
        readers = [Reader(name, lambda event, handle=handle: handle(event, world), kinds) for name, kinds, handle in api.readers]
        bus = Bus(world.store, readers)
        for _ in range(50):
            engine.settle()
            if not bus.drain():
                return
        raise TimeoutError("it did not settle")


class CrashingTasks(InlineTasks):
    """A crash in a task is a crash of the process."""

    def _run(self, key, work, on_end):
        super()._run(key, work, on_end)
        if isinstance(self.look(key).error, Crash):
            raise self.look(key).error


@pytest.mark.parametrize("seed", range(12))
def test_killed_at_every_point(seed, tmp_path, monkeypatch):
    real = [1000.0]
    monkeypatch.setattr(reconcile, "real_now", lambda: real[0])
    sim = Simulation(seed, tmp_path)
    for value in VALUES:
        sim.metrics.put("1", "r", "App", [{"MetricName": "m", "Value": float(value), "Timestamp": sim.clock.now()}])
        sim.clock.advance(60)
        for life in range(200):
            real[0] += 70.0  # the leases of the dead engine run out
            sim.chaos.rate = 0.05 if life < 190 else 0.0
            try:
                sim.live()
                break
            except Crash:
                continue
    assert sim.chaos.crashes > 10, "the test killed something"

    wanted = ["OK", "ALARM", "OK", "ALARM", "OK", "ALARM", "OK"]
    for record, name in ((sim.alarm, "a"), (sim.parent, "c")):
        events = sim.store.events_of(record.uid)
        assert [e.revision for e in events] == list(range(1, len(events) + 1))
        assert [e.detail["transition"]["new"] for e in events if "transition" in e.detail] == wanted, name
        first = {}
        for one in sim.sent:
            if one.source_arn == f"arn:{name}":
                first.setdefault(one.key, json.loads(one.body)["NewStateValue"])
        assert sorted(first.values()) == sorted(wanted), "each action once by its key, none lost"
    actions = sim.store.list(ACTION.kind)
    assert {one.status for one in actions} == {"Done"} and len(actions) == 2 * len(wanted)
    rows = sim.history.db.read("SELECT name, item, count(*) FROM alarm_history GROUP BY 1, 2 ORDER BY 1, 2")
    assert rows == [("a", "Action", 7), ("a", "StateUpdate", 7), ("c", "Action", 7), ("c", "StateUpdate", 7)]
