"""The meter, killed at every point: no hour lost, none billed twice, whatever the reader saw of a record and whenever."""

from __future__ import annotations

import random

import pytest

from modelyard.config import Settings
from modelyard.kernel.bus import Bus, Reader
from modelyard.kernel.clock import ManualClock
from modelyard.kernel.database import SQLite
from modelyard.kernel.platform import Platform
from modelyard.kernel.store import Step, Store
from modelyard.services.sagemaker.cost import bill, prices, reader
from modelyard.services.sagemaker.cost.meters import Meters
from modelyard.services.sagemaker.endpoint.actions import bill_of
from modelyard.services.sagemaker.endpoint.lifecycle import REPLICA
from modelyard.services.sagemaker.processing_job.lifecycle import LIFECYCLE as PROCESSING
from tests.support.chaos import Chaos, Crash

START = 1_700_000_000.0


class World:
    """A store and a clock that outlive the engines; `expected` are the seconds that each thing is to be billed."""

    def __init__(self, folder, seed: int) -> None:
        self.random, self.clock = random.Random(seed), ManualClock(START)
        self.store = Store(SQLite(folder / "store.db"), self.clock)
        self.chaos = Chaos(seed, 0.3)
        self.expected: dict[str, float] = {}
        self.began: dict[str, float] = {}
        self.living: list = []

    def make(self) -> None:
        number = self.store.last_seq()
        if self.random.random() < 0.5:
            spec = {"ProcessingResources": {"ClusterConfig": {"InstanceType": "ml.m5.xlarge", "InstanceCount": 1, "VolumeSizeInGB": 0}}}
            lifecycle, detail = PROCESSING, None
        else:
            lifecycle, spec, detail = (
                REPLICA,
                {"endpoint": f"e{number}"},
                {"bill": bill_of(f"e{number}", {"instance_type": "ml.m5.xlarge"})},
            )
        record = self.store.create(
            lifecycle, account="1", region="r", name=f"n{number}", arn=f"arn:{number}", spec=spec, state={"version": 1}, detail=detail
        )
        self.expected[record.uid] = 0.0
        self.living.append(record.uid)

    def move(self) -> None:
        uid = self.random.choice(self.living)
        record = self.store.by_uid(uid)
        now = self.clock.now()
        if record.kind == PROCESSING.kind:
            if uid not in self.began:
                self.began[uid] = now
                self.store.apply(PROCESSING, record, Step("InProgress", {"started_at": now}), None)
            else:
                self.store.apply(PROCESSING, record, Step("Completed", {"ended_at": now}), None)
                self._over(uid, now)
            return
        following = {"Preparing": "Starting", "Starting": "InService", "InService": self.random.choice(["Restarting", "Stopping"])}
        status = {**following, "Restarting": "Starting", "Stopping": None}[record.status]
        if status is None:
            self.store.apply(REPLICA, record, Step("Stopping", delete=True), None)
            self.living.remove(uid)
            return
        self.store.apply(REPLICA, record, Step(status), None)
        if status == "InService":
            self.began.setdefault(uid, now)
        elif status == "Stopping":
            self.expected[uid] = now - self.began[uid]

    def _over(self, uid: str, now: float) -> None:
        self.expected[uid] = now - self.began[uid]
        self.living.remove(uid)

    def engine(self) -> None:
        """One engine's life: it reads what it can until it is killed."""
        platform = Platform(Settings(data=None), self.clock, self.store)  # type: ignore[arg-type]
        platform.parts["meters"] = self.chaos.wrap(Meters(self.store.db))
        bus = Bus(
            self.chaos.wrap(self.store),
            [Reader("cost", lambda event: reader.read(event, platform), frozenset({*reader.JOBS, REPLICA.kind}))],
        )
        try:
            while bus.drain():
                pass
        except Crash:
            return


@pytest.mark.parametrize("seed", range(12))
def test_every_second_is_billed_once(tmp_path, seed):
    world = World(tmp_path, seed)
    for _ in range(150):
        if not world.living or world.random.random() < 0.2:
            world.make()
        else:
            world.move()
        world.clock.advance(float(world.random.randint(0, 500)))
        if world.random.random() < 0.4:
            world.engine()
    world.chaos.rate = 0.0
    world.engine()
    now, table = world.clock.now(), prices.load()
    billed = {}
    for meter in Meters(world.store.db).of("1", 0.0, now + 1):
        billed[meter.uid] = sum(line.quantity for line in bill.of_meter(meter, table, 0.0, now, now)) * 3600
    for uid, began in world.began.items():
        record = world.store.by_uid(uid)
        over = world.expected[uid] > 0 or record is None or record.status in ("Stopping", "Completed")
        seconds = world.expected[uid] if over else now - began
        if record is not None and record.kind == PROCESSING.kind and over:
            seconds = max(1.0, round(seconds)) if seconds else 0.0
        assert billed.get(uid, 0.0) == pytest.approx(seconds), (uid, record)
    assert set(billed) <= set(world.began), "nothing is billed that never began"
    assert world.chaos.crashes > 5
