"""A serverless endpoint whose need of instances changes, killed at every point: no orphan, no double start, and in the end as many
instances as are needed."""

from __future__ import annotations

import pytest

from modelyard.services.sagemaker.endpoint import container, serverless
from modelyard.services.sagemaker.endpoint.lifecycle import ENDPOINT, REPLICA
from modelyard.services.sagemaker.endpoint.serverless import IDLE_SECONDS
from tests.crash.test_endpoint import Simulation, deployment, fakes  # noqa: F401


def elastic() -> dict:
    made = {**deployment(1, 1, ("a", 1)), "shadows": []}
    made["variants"][0].update(serverless.frozen({"MemorySizeInMB": 1024, "MaxConcurrency": 4}))
    return made


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_every_point(seed, tmp_path, fakes, monkeypatch):  # noqa: F811
    from tests.support.chaos import Crash

    sim = Simulation(seed, tmp_path)
    for other in sim.endpoints:
        sim.delete(other)
    there = sim.store.create(ENDPOINT, account="1", region="r", name="s", arn="arn:s", spec={"wanted": elastic()})
    needed: list[float] = []
    monkeypatch.setattr(serverless, "needs_of", lambda endpoint, world: {"a": [list(needed)]})
    for turn in range(80):
        sim.runtime.sick = 20 < turn < 60
        if sim.chaos.random.random() < 0.3:
            needed[:] = [sim.clock.now()] * sim.chaos.random.randint(0, 6)
            sim.store.wake(there.uid)
        sim.clock.advance(sim.chaos.random.choice([1.0, 100.0, IDLE_SECONDS]))
        try:
            sim.run(rounds=20)
        except Crash:
            fakes[0] += 70.0
    sim.chaos.rate, sim.runtime.sick = 0.0, False
    fakes[0] += 1000.0
    for count in (3, 9, 0):
        sim.clock.advance(2 * IDLE_SECONDS)
        needed[:] = [sim.clock.now()] * count
        sim.store.wake(there.uid)
        sim.run(rounds=300)
        replicas = sim.store.children(there.uid)
        assert len(replicas) == min(count, 4) and {r.status for r in replicas} <= {"InService"}
        assert sim.runtime.running() == sim.routed() == {container.run_id(r, container.numbers(r)[0]) for r in replicas}
    assert sim.chaos.crashes > 10, "the test killed something"
    assert sim.store.by_uid(there.uid).status == "InService"
    sim.delete(there)
    sim.run(rounds=200)
    assert not sim.runtime.runs and sim.store.list(REPLICA.kind) == []
