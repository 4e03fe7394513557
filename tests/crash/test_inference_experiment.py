"""Experiments, killed before or after every call: each ends, its endpoint ends where its plan says, and nothing is asked for again and again."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from modelyard.config import Settings
from modelyard.kernel import reconcile
from modelyard.kernel.clock import ManualClock
from modelyard.kernel.database import SQLite
from modelyard.kernel.errors import validation
from modelyard.kernel.lifecycle import static
from modelyard.kernel.platform import Platform
from modelyard.kernel.reconcile import Engine, Reconciler
from modelyard.kernel.store import Moved, Step, Store, Taken
from modelyard.kernel.tasks import Tasks
from modelyard.services.sagemaker.endpoint.lifecycle import ENDPOINT, status_of
from modelyard.services.sagemaker.inference_experiment import decide, plan
from modelyard.services.sagemaker.inference_experiment.lifecycle import EXPERIMENT, FINAL
from modelyard.services.sagemaker.inference_experiment.reconcile import see
from tests.support.chaos import Chaos, Crash

CONFIG = static("endpoint-config")
DAY = 86400.0
OUTCOMES = ["Promote", "Remove", "Retain", None]


def variant(name):
    config = {"InstanceType": "ml.m5.large", "InstanceCount": 1}
    infrastructure = {"InfrastructureType": "RealTimeInference", "RealTimeInferenceConfig": config}
    return {"ModelName": name, "VariantName": name, "InfrastructureConfig": infrastructure}


class Hosting:
    """Endpoints as their operations show them; what is asked for is there after `deploy`."""

    def __init__(self, store: Store, chaos: Chaos) -> None:
        self.store, self.chaos, self.asked = store, chaos, []

    def call(self, call, service, operation, request):
        self.chaos.point()
        if operation.startswith("Update") and self.chaos.random.random() < 0.2 and self.chaos.rate:
            raise validation('Cannot update in-progress endpoint "x".')  # somebody's update came in between, and is over at the next look
        answer = getattr(self, operation)(request)
        self.chaos.point()
        return answer

    def CreateEndpointConfig(self, request):
        name = request["EndpointConfigName"]
        try:
            self.store.create(CONFIG, account="1", region="r", name=name, arn=f"arn:config/{name}", spec=request)
        except Taken as taken:
            assert taken.record.spec == request, "one name, one content"
            raise validation("Cannot create already existing endpoint configuration x.") from None

    def CreateEndpoint(self, request):
        name = request["EndpointName"]
        wanted = self.deployment(request["EndpointConfigName"], 1)
        self.asked.append(name)
        try:
            self.store.create(ENDPOINT, account="1", region="r", name=name, arn=f"arn:{name}", spec={"wanted": wanted})
        except Taken:
            raise validation("Cannot create already existing endpoint x.") from None

    def UpdateEndpoint(self, request):
        self.wish(request["EndpointName"], lambda e, edition: self.deployment(request["EndpointConfigName"], edition))

    def UpdateEndpointWeightsAndCapacities(self, request):
        [change] = request["DesiredWeightsAndCapacities"]

        def wish(endpoint, edition):
            old = endpoint.state["serving"]
            shadows = [{**v, "weight": change["DesiredWeight"]} for v in old["shadows"] if v["name"] == change["VariantName"]]
            return {**old, "edition": edition, "shadows": shadows}

        self.wish(request["EndpointName"], wish)

    def wish(self, name, wish):
        endpoint = self.store.by_arn(f"arn:{name}")
        if status_of(endpoint) != "InService":
            raise validation(f'Cannot update in-progress endpoint "{endpoint.arn}".')
        self.asked.append(name)
        self.store.request(endpoint, {"wanted": wish(endpoint, endpoint.spec["wanted"]["edition"] + 1)})

    def deployment(self, config, edition):
        spec = self.store.by_arn(f"arn:config/{config}").spec
        rows = {
            kind: [{"name": v["VariantName"], "weight": v["InitialVariantWeight"]} for v in spec.get(member, [])]
            for kind, member in (("variants", "ProductionVariants"), ("shadows", "ShadowProductionVariants"))
        }
        return {"edition": edition, "config": config, **rows}

    def deploy(self, may_fail: bool) -> None:
        """Some of what is under way comes to its end, now and then by going back."""
        for endpoint in self.store.list(ENDPOINT.kind):
            wanted = endpoint.spec["wanted"]
            if endpoint.state.get("settled") == wanted["edition"] or self.chaos.random.random() < 0.3:
                continue
            back = may_fail and "serving" in endpoint.state and self.chaos.random.random() < 0.05
            end = {"failure": "rolled back"} if back else {"serving": wanted, "failure": None}
            if endpoint.status == "InService":
                endpoint = self.store.apply(ENDPOINT, endpoint, Step("Updating"), None)
            self.store.apply(ENDPOINT, endpoint, Step("InService", {**end, "settled": wanted["edition"]}), None)


class Simulation:
    def __init__(self, seed: int, tmp_path) -> None:
        self.chaos = Chaos(seed, rate=0.08)
        self.clock, self.settings = ManualClock(), Settings(data=tmp_path)
        self.settings.socket_dir.mkdir(parents=True, exist_ok=True)
        self.store = Store(SQLite(tmp_path / "s.db", durable=False), self.clock)
        self.hosting = Hosting(self.store, self.chaos)
        self.experiments = [self.create(number) for number in range(4)]

    def create(self, number: int):
        now, name = self.clock.now(), f"e{number}"
        before = None
        if number % 2:
            row = {"VariantName": "live", "ModelName": "live", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1}
            members = {"ProductionVariants": [{**row, "InitialVariantWeight": 1.0}]}
            self.store.create(
                CONFIG,
                account="1",
                region="r",
                name=f"c{number}",
                arn=f"arn:config/c{number}",
                spec={"EndpointConfigName": f"c{number}", **members},
            )
            wanted = self.hosting.deployment(f"c{number}", 1)
            endpoint = self.store.create(ENDPOINT, account="1", region="r", name=name, arn=f"arn:{name}", spec={"wanted": wanted})
            self.store.apply(ENDPOINT, endpoint, Step("InService", {"serving": wanted, "settled": 1}), None)
            before = {"name": f"c{number}", "config": members}
        spec = {
            "role": "role",
            "endpoint": name,
            "endpoint_arn": f"arn:{name}",
            "edition": 1,
            "shadow": {"of": "live", "name": "new", "percent": 50},
            "variants": [variant("live"), variant("new")],
            "before": before,
            "start_at": now + DAY,
            "end_at": now + 5 * DAY,
        }
        spec = {key: value for key, value in spec.items() if value is not None}
        return self.store.create(EXPERIMENT, account="1", region="r", name=f"x{number}", arn=f"arn:x{number}", spec=spec)

    def run(self, rounds: int) -> None:
        """An engine's life; its tasks die with it."""
        identity = SimpleNamespace(session_for_role=lambda *_: SimpleNamespace(principal=None))
        world = Platform(self.settings, self.clock, self.chaos.wrap(self.store), identity=identity)
        world.dispatch = self.hosting
        world.parts["tasks"] = Tasks()
        Engine(world, [Reconciler(EXPERIMENT, see, decide.decide)]).settle(rounds=rounds)

    def wish(self) -> None:
        """What people do meanwhile."""
        experiment = self.store.by_uid(self.chaos.random.choice(self.experiments).uid)
        spec = experiment.spec
        if experiment.status not in ("Created", "Running") or spec.get("stop"):
            return
        kind = self.chaos.random.choice(["percent", "start", "edition", "stop"])
        if kind == "percent":
            wish = {"shadow": {**spec["shadow"], "percent": self.chaos.random.choice([0, 10, 100])}}
        elif kind == "start" and experiment.status == "Created":
            wish = {"start": True}
        elif kind == "edition" and experiment.status == "Created":
            wish = {"edition": spec["edition"] + 1}
        elif kind == "stop" and (action := self.chaos.random.choice(OUTCOMES)):
            wish = {"stop": {"actions": {"live": "Retain", "new": action}, "state": "Completed"}}
        else:
            return
        try:
            self.store.request(experiment, wish)
        except Moved:
            return


@pytest.mark.parametrize("seed", range(16))
def test_killed_at_every_point(seed, tmp_path, monkeypatch):
    now = [1000.0]

    def real_now():
        now[0] += 0.05
        return now[0]

    monkeypatch.setattr(reconcile, "real_now", real_now)
    sim = Simulation(seed, tmp_path)
    for _ in range(120):
        sim.clock.advance(sim.chaos.random.choice([3.0, 600.0, 6 * 3600.0]))
        if sim.chaos.random.random() < 0.3:
            sim.wish()
        try:
            sim.run(rounds=20)
        except Crash:
            now[0] += 70.0
        sim.hosting.deploy(may_fail=True)
    sim.chaos.rate = 0.0
    now[0] += 1000.0
    for _ in range(30):
        sim.clock.advance(DAY)
        sim.run(rounds=100)
        sim.hosting.deploy(may_fail=False)

    assert sim.chaos.crashes > 5, "the test killed something"
    for made in sim.experiments:
        experiment = sim.store.by_uid(made.uid)
        assert experiment.status in FINAL
        endpoint = sim.store.by_arn(experiment.spec["endpoint_arn"])
        assert endpoint.status == "InService" and endpoint.state["settled"] == endpoint.spec["wanted"]["edition"]
        goal = plan.after(experiment)
        serving = endpoint.state["serving"]["config"]
        if experiment.status == "Completed":
            assert serving == (goal or plan.during(experiment))[0]
        else:
            assert experiment.state["reason"] == "rolled back"
        events = sim.store.events_of(experiment.uid)
        assert [e.revision for e in events] == list(range(1, len(events) + 1)), "one event per change, without gaps"
        changes = sum(e.new != e.old for e in events)
        assert sim.hosting.asked.count(endpoint.name) <= 2 * changes, "an endpoint is not asked again and again"
