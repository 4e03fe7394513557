"""Inference components and their copies, killed at every point: copies = records = routes, whatever was asked for meanwhile."""

from __future__ import annotations

import pytest

from modelyard.kernel.store import Moved
from modelyard.services.sagemaker.endpoint import container, policy
from modelyard.services.sagemaker.endpoint.fleets import kept_names
from modelyard.services.sagemaker.endpoint.lifecycle import ENDPOINT
from modelyard.services.sagemaker.inference_component import reconcile  # noqa: F401  its reconciler is among the service's
from modelyard.services.sagemaker.inference_component.lifecycle import COMPONENT, SETTLED, status_of
from tests.crash import test_endpoint
from tests.crash.test_endpoint import Simulation, deployment, fakes  # noqa: F401  the fixture
from tests.support.chaos import Crash


class Components(Simulation):
    """The same world with components in the place of endpoints."""

    def create(self, number: int):
        spec = {"endpoint": "host", "wanted": {**deployment(1, 2, ("a", 2)), "component": f"c{number}"}}
        return self.store.create(COMPONENT, account="1", region="r", name=f"c{number}", arn=f"arn:c{number}", spec=spec)

    def wish(self) -> None:
        component = self.store.by_uid(self.chaos.random.choice(self.endpoints).uid)
        if component is None or component.status not in SETTLED or status_of(component) == "Updating":
            return
        old, edition = component.state["serving"], component.spec["wanted"]["edition"] + 1
        copies = self.chaos.random.randint(0, 4)
        if self.chaos.random.random() < 0.5:
            new = {**old, "edition": edition, "scale": True, "plan": None, "variants": [{**old["variants"][0], "count": copies}]}
        else:
            copies = max(copies, 2)
            new = {**deployment(edition, 2 * edition, ("a", copies)), "component": component.name}
            size = {"Type": "CAPACITY_PERCENT", "Value": 50}
            rolling = {"RollingUpdatePolicy": {"MaximumBatchSize": size, "WaitIntervalInSeconds": 60}}
            new["plan"] = policy.plan_of(rolling if self.chaos.random.random() < 0.5 and "mix" not in component.state else None, old, new)
        self.store.request(component, {"wanted": new})


@pytest.mark.parametrize("seed", range(8))
def test_killed_at_every_point(seed, tmp_path, fakes, monkeypatch):  # noqa: F811
    kinds = [r for r in test_endpoint.api.reconcilers if r.lifecycle.kind in (COMPONENT.kind, "endpoint-replica")]
    assert len(kinds) == 2 and not any(r.lifecycle is ENDPOINT for r in kinds)
    monkeypatch.setattr(test_endpoint, "Engine", lambda world, _: test_endpoint.reconcile.Engine(world, kinds))
    sim = Components(seed, tmp_path)
    for turn in range(120):
        sim.clock.advance(sim.chaos.random.choice([0.0, 20.0, 61.0]))
        if sim.chaos.random.random() < 0.4:
            sim.wish()
        sim.runtime.sick = turn > 20
        if turn == 80:
            sim.delete(sim.endpoints[0])
        try:
            sim.run(rounds=40)
        except Crash:
            fakes[0] += 70.0
        except Moved:
            continue
    sim.chaos.rate, sim.runtime.sick = 0.0, False
    fakes[0] += 1000.0
    for _ in range(12):
        sim.run(rounds=60)
        sim.clock.advance(61.0)
    sim.run(rounds=100)

    assert sim.chaos.crashes > 10
    assert sim.store.by_uid(sim.endpoints[0].uid) is None and sim.store.routes("arn:c0")[1] is None
    for made in sim.endpoints[1:]:
        there = sim.store.by_uid(made.uid)
        assert there.status in SETTLED and "rollout" not in there.state
        copies = sim.store.children(there.uid)
        assert {r.name for r in copies} == kept_names(there.uid, there.state).keys() and {r.status for r in copies} <= {"InService"}
        assert sim.routed(there.arn) == {container.run_id(r, number) for r in copies for number in container.numbers(r)}
        assert sim.store.routes(there.arn)[1]["variants"][0]["component"] == there.name
    assert sim.runtime.running() == sim.routed()
