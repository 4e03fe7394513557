"""The tracking server's reconciler, killed at every point: one run at a time, the last wish wins, nothing is left over."""

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
from modelyard.runtime.base import RunState
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.tracking_server import box
from modelyard.services.sagemaker.tracking_server import reconcile as walk
from modelyard.services.sagemaker.tracking_server.lifecycle import ACTIVE, LIFECYCLE
from tests.support.chaos import Chaos, Crash

SPEC = {"RoleArn": "r", "ArtifactStoreUri": "s3://b/x", "TrackingServerSize": "Small", "on": True, "asked": 1, "edition": 1}
ROUNDS = 1000


@dataclass
class Runs:
    """Outlives engines, as real runs do; now and then one dies by itself."""

    chaos: Chaos
    living: dict[str, int] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    most_at_once: int = 0
    mortal: bool = True

    def ensure(self, run_id: str, edition: int) -> None:
        if run_id not in self.living and run_id not in self.ended:
            self.living[run_id] = edition
            self.most_at_once = max(self.most_at_once, len(self.living))

    def look(self, run_id):
        if self.mortal and run_id in self.living and self.chaos.random.random() < 0.02:
            self.stop(run_id)
        if run_id in self.living:
            return RunState("running", started_at=1.0)
        return RunState("exited", exit_code=1) if run_id in self.ended else RunState("absent")

    def stop(self, run_id, grace_s=None):
        self.living.pop(run_id, None)
        self.ended.add(run_id)

    def remove(self, run_id):
        self.stop(run_id)
        self.ended.discard(run_id)

    def folder(self, run_id):
        return Path("/none") / run_id


class Quiet:
    def follow(self, *_): ...
    def drain(self, *_): ...


@pytest.mark.parametrize("seed", range(40))
def test_wishes_come_true_whatever_dies(seed, tmp_path, monkeypatch):
    chaos = Chaos(seed, 0.2)
    clock = ManualClock()
    store = Store(SQLite(tmp_path / "store.db"), clock)
    runs = Runs(chaos)
    monkeypatch.setattr(reconcile, "real_now", clock.now)
    monkeypatch.setattr(walk, "real_now", clock.now)
    monkeypatch.setattr(walk, "look_at_environment", lambda world, name: ("ready", ""))
    monkeypatch.setattr(box, "answers", lambda server, world: chaos.random.random() < 0.7)
    monkeypatch.setattr(
        box, "start", lambda server, attempt, world: world.runtime.ensure(box.run_id(server, attempt), server.spec["edition"])
    )
    platform = Platform(Settings(data=tmp_path), clock, chaos.wrap(store))
    platform.parts = {"runtime": chaos.wrap(runs), "follower": Quiet()}
    found = [r for r in api.reconcilers if r.lifecycle is LIFECYCLE]

    def step() -> None:
        """An engine's life, often a short one."""
        engine = Engine(platform, found)
        try:
            for record in store.claim((LIFECYCLE.kind,), clock.now(), clock.now(), 3.0, 4):
                engine._work(record)
        except Crash:
            pass
        clock.advance(6.0)  # a dead engine's leases run out

    def wish(**spec) -> None:
        while True:
            try:
                store.request(store.by_arn("arn"), spec)
                return
            except Moved:
                continue

    def until(is_so) -> None:
        for _ in range(ROUNDS):
            server = store.by_arn("arn")
            if is_so(server):
                return
            if server is not None and server.status.endswith("Failed"):  # unlucky three times: a user asks again
                wish(asked=server.spec["asked"] + 1, **({"edition": server.spec["edition"] + 1} if server.status == "UpdateFailed" else {}))
            step()
            assert len(runs.living) <= 1
        raise AssertionError(f"{store.by_arn('arn')} {runs}")

    store.create(LIFECYCLE, account="1", region="r", name="t", arn="arn", spec=SPEC)
    until(lambda s: s.status in ACTIVE)
    wish(edition=2)
    runs.mortal = False  # nothing but the update may end the old run
    until(
        lambda s: s.status in ACTIVE and s.state.get("edition") == s.spec["edition"] and list(runs.living.values()) == [s.spec["edition"]]
    )
    runs.mortal = True
    wish(on=False)
    until(lambda s: s.status == "Stopped" and not runs.living)
    wish(on=True, asked=store.by_arn("arn").spec["asked"] + 1)
    until(lambda s: s.status in ACTIVE)
    wish(delete=True)
    until(lambda s: s is None)
    assert not runs.living and not runs.ended and runs.most_at_once == 1 and chaos.crashes > 0
    store.db.close()
