"""What an endpoint does next: single looks as a table, whole rollouts as walks. Pure: no store, no engine, no process."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.services.sagemaker.endpoint import describe, policy, rollout
from modelyard.services.sagemaker.endpoint.actions import CreateReplica, Publish, StopReplica
from modelyard.services.sagemaker.endpoint.lifecycle import ENDPOINT
from modelyard.services.sagemaker.endpoint.rollout import Child

NOW, REAL = 100.0, 5000.0


def record(status, spec, state):
    return Record("uid", "endpoint", "1", "r", "e", "arn:e", None, status, spec, state, 1, None, 0, 0.0, 0.0)


def names(step):
    return [type(action).__name__ for action in step.do]


def wanted(edition=1, generation=1, count=2, weight=1.0, **more):
    variant = {"name": "a", "generation": generation, "weight": weight, "count": count}
    return {"edition": edition, "config": f"c{edition}", "capture": None, "variants": [variant], **more}


def child(n, status="InService", generation=1, stopping=False, reason=""):
    route = {"id": f"run{generation}-{n}", "socket": f"/s{generation}-{n}"} if status == "InService" else None
    return Child(f"uid/a/{generation}/{n}", f"u{generation}-{n}", status, stopping, route, reason)


def routes(*children, edition=1, version=3):
    rows = [c.route for c in children]
    variants = [{"name": "a", "weight": 1.0, "replicas": rows, "fleet": str(edition), "config": f"c{edition}", "share": 1.0}]
    return {"key": "arn:e", "account": "1", "region": "r", "endpoint": "e", "variants": variants, "capture": None, "version": version}


OLD = [child(0), child(1)]
NEW = [child(0, generation=2), child(1, generation=2)]
SERVING = {"serving": wanted(), "settled": 1}
FIRST = {"wanted": wanted()}


def on_the_way(stage="creating", edition=1, **more):
    where = {"edition": edition, "kind": "blue-green", "stage": stage, "step": 1, "steps": 1, "since": NOW, "since_real": REAL}
    return {"rollout": {**where, "started": NOW, "shares": {}, "deadline": None, **more}}


GOING = {**SERVING, **on_the_way(edition=2)}
MOVING = {**SERVING, **on_the_way("shifting", edition=2)}
UPDATE = {"wanted": wanted(2, 2)}

LOOKS = [
    ("new: the walk begins", "Creating", FIRST, {}, [], None, "Creating", []),
    ("its replicas are created", "Creating", FIRST, on_the_way(), [], None, "Creating", ["CreateReplica"] * 2),
    ("one is missing", "Creating", FIRST, on_the_way(), [child(0, "Starting")], None, "Creating", ["CreateReplica"]),
    ("not all are healthy", "Creating", FIRST, on_the_way(), [child(0), child(1, "Starting")], None, "Creating", []),
    ("all are healthy: routes", "Creating", FIRST, on_the_way(), OLD, None, "Creating", ["Publish"]),
    ("routes are not read back", "Creating", FIRST, on_the_way("shifting"), OLD, None, "Creating", ["Publish"]),
    ("routes are read back", "Creating", FIRST, on_the_way("shifting"), OLD, routes(*OLD), "InService", []),
    ("one failed", "Creating", FIRST, on_the_way(), [child(0), child(1, "Failed")], None, "Failed", []),
    ("failed: all go", "Failed", FIRST, {"settled": 1}, [child(0), child(1, "Failed")], None, "Failed", ["StopReplica"] * 2),
    ("an update begins", "InService", UPDATE, SERVING, OLD, routes(*OLD), "Updating", []),
    ("new ones beside the old", "Updating", UPDATE, GOING, OLD, routes(*OLD), "Updating", ["CreateReplica"] * 2),
    ("the old ones stay while the new start", "Updating", UPDATE, GOING, [*OLD, child(0, "Starting", 2), NEW[1]], routes(*OLD), "Updating", []),
    ("traffic moves", "Updating", UPDATE, GOING, [*OLD, *NEW], routes(*OLD), "Updating", ["Publish"]),
    ("it has moved", "Updating", UPDATE, MOVING, [*OLD, *NEW], routes(*NEW, edition=2), "InService", []),
    ("unwatched, one dies before the traffic moves: wait for it", "Updating", UPDATE, MOVING, [*OLD, NEW[0], child(1, "Restarting", 2)], routes(*OLD), "Updating", []),
    ("the old ones go", "InService", UPDATE, {"serving": wanted(2, 2), "settled": 2}, [*OLD, *NEW], routes(*NEW, edition=2), "InService", ["StopReplica"] * 2),
    ("the old ones stay until the table is out", "InService", UPDATE, {"serving": wanted(2, 2), "settled": 2}, [*OLD, *NEW], routes(*OLD), "InService", ["Publish"]),
    ("an update fails", "Updating", UPDATE, GOING, [*OLD, NEW[0], child(1, "Failed", 2)], routes(*OLD), "Updating", []),
    ("one dies while updating", "Updating", UPDATE, GOING, [OLD[0], child(1, "Restarting"), *NEW[:1], child(1, "Starting", 2)], routes(*OLD), "Updating", ["Publish"]),
    ("one dies", "InService", FIRST, SERVING, [OLD[0], child(1, "Restarting")], routes(*OLD), "InService", ["Publish"]),
    ("all is well", "InService", FIRST, SERVING, OLD, routes(*OLD), "InService", []),
    ("delete", "InService", {**FIRST, "delete": True}, SERVING, OLD, routes(*OLD), "Deleting", []),
    ("delete: no more calls", "Deleting", {**FIRST, "delete": True}, SERVING, OLD, routes(*OLD), "Deleting", ["Publish"]),
    ("delete: replicas go", "Deleting", {**FIRST, "delete": True}, SERVING, OLD, None, "Deleting", ["StopReplica"] * 2),
    ("delete: wait for them", "Deleting", {**FIRST, "delete": True}, SERVING, [child(0, stopping=True)], None, "Deleting", []),
    ("delete in mid-rollout", "Updating", {**UPDATE, "delete": True}, MOVING, [*OLD, *NEW], routes(*NEW, edition=2), "Deleting", []),
]  # fmt: skip


@pytest.mark.parametrize("status, spec, state, children, table, then, does", [row[1:] for row in LOOKS], ids=[row[0] for row in LOOKS])
def test_look(status, spec, state, children, table, then, does):
    step = rollout.decide(record(status, spec, state), rollout.Seen(children, 3, table, real_now=REAL), NOW)
    assert (step.status, names(step)) == (then, does)
    assert not step.delete and ENDPOINT.allows(status, step.status)


def test_deleted_endpoint_goes_when_its_replicas_are_gone():
    step = rollout.decide(record("Deleting", {**FIRST, "delete": True}, SERVING), rollout.Seen([], 4, None), NOW)
    assert step.delete


def test_versions_rise():
    step = rollout.decide(record("Creating", FIRST, on_the_way()), rollout.Seen(OLD, 41, None), NOW)
    assert step.do[0].version == 42 and step.do[0].body["version"] == 42


# --- whole rollouts --------------------------------------------------------------------------------


@dataclass
class Walk:
    """A world of one endpoint in service at deployment 1: `look` decides once and does what was decided."""

    count: int = 4
    state: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)
    status: str = "Creating"
    children: dict[str, Child] = field(default_factory=dict)
    table: dict[str, Any] | None = None
    now: float = 1000.0
    real: float = REAL
    alarms: dict[str, str | None] = field(default_factory=dict)
    sick: set[str] = field(default_factory=set)
    """Endings of names of replicas that fail when they are created."""
    events: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.spec = {"wanted": wanted(count=self.count)}
        self.settle()
        assert self.status == "InService"

    def update(self, config: dict[str, Any] | None, count: int | None = None, **more: Any) -> Walk:
        edition = self.spec["wanted"]["edition"] + 1
        new = wanted(edition, edition, self.count if count is None else count, **more)
        policy.check_config(config)
        self.spec = {"wanted": {**new, "plan": policy.plan_of(config, self.state["serving"], new, "mix" in self.state)}}
        self.alarms = {**dict.fromkeys(policy.alarms_of(config), "OK"), **self.alarms}
        self.events.clear()
        return self

    def look(self) -> bool:
        before = (self.status, self.state, self.table, dict(self.children))
        seen = rollout.Seen(list(self.children.values()), (self.table or {}).get("version", 0), self.table, self.alarms, self.real)
        step = rollout.decide(record(self.status, self.spec, self.state), seen, self.now)
        for action in step.do:
            self._do(action)
        assert ENDPOINT.allows(self.status, step.status), (self.status, step.status)
        if "rollout" in (step.detail or {}):
            self.events.append(step.detail["rollout"])
        self.status = step.status
        self.state = {k: v for k, v in {**self.state, **(step.state or {})}.items() if v is not None}
        return before != (self.status, self.state, self.table, self.children)

    def _do(self, action: Any) -> None:
        if isinstance(action, Publish):
            self.table = action.body
            assert not self.count or any(v["replicas"] for v in self.table["variants"]), "calls have somewhere to go"
        elif isinstance(action, StopReplica):
            [one] = [c for c in self.children.values() if c.uid == action.uid]
            assert one.route is None or one.route["id"] not in self.routed(), f"{one.name} is stopped while it is in the table"
            del self.children[one.name]
        elif isinstance(action, CreateReplica):
            _, _, generation, number = action.name.split("/")
            failed = any(action.name.endswith(end) for end in self.sick)
            self.children[action.name] = child(int(number), "Failed" if failed else "InService", int(generation), reason="no ping")

    def settle(self) -> Walk:
        for _ in range(100):
            if not self.look():
                return self
        raise AssertionError("it goes round in circles")

    def after(self, seconds: float) -> Walk:
        self.now += seconds
        return self.settle()

    def dies(self, generation: int, number: int) -> Walk:
        name = f"uid/a/{generation}/{number}"
        self.children[name] = replace(self.children[name], status="Restarting", route=None)
        return self.settle()

    def routed(self) -> set[str]:
        return {r["id"] for v in (self.table or {"variants": []})["variants"] for r in v["replicas"]}

    def fleets(self) -> dict[str, tuple[float, int]]:
        """{edition: (share of the traffic, instances that take it)}"""
        total = sum(v["weight"] for v in self.table["variants"])
        return {v["fleet"]: (round(v["weight"] / total, 4), len(v["replicas"])) for v in self.table["variants"]}

    def running(self) -> dict[int, int]:
        """{generation: replicas}"""
        generations = [int(name.split("/")[2]) for name in self.children]
        return {g: generations.count(g) for g in sorted(set(generations))}

    @property
    def stage(self) -> str:
        where = self.state.get("rollout")
        return f"{where['stage']} {where['step']}" if where else self.status


def blue_green(kind, size=None, wait=300, alarms=(), **more):
    member = {"CANARY": "CanarySize", "LINEAR": "LinearStepSize"}.get(kind)
    routing = {"Type": kind, "WaitIntervalInSeconds": wait, **({member: size} if size else {})}
    return {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": routing, **more}, **guards(alarms)}


def rolling(size, wait=60, alarms=(), **more):
    return {"RollingUpdatePolicy": {"MaximumBatchSize": size, "WaitIntervalInSeconds": wait, **more}, **guards(alarms)}


def guards(alarms):
    return {"AutoRollbackConfiguration": {"Alarms": [{"AlarmName": a} for a in alarms]}} if alarms else {}


def percent(value):
    return {"Type": "CAPACITY_PERCENT", "Value": value}


def number(value):
    return {"Type": "INSTANCE_COUNT", "Value": value}


def test_no_policy_moves_everything_at_once():
    walk = Walk().update(None).settle()
    assert (walk.status, walk.fleets(), walk.running()) == ("InService", {"2": (1.0, 4)}, {2: 4})


def test_all_at_once_bakes_for_the_termination_wait():
    walk = Walk().update(blue_green("ALL_AT_ONCE", TerminationWaitInSeconds=120)).settle()
    assert (walk.stage, walk.status, walk.fleets(), walk.running()) == ("baking 1", "Updating", {"2": (1.0, 4)}, {1: 4, 2: 4})
    assert walk.after(119).stage == "baking 1"
    assert (walk.after(1).stage, walk.running()) == ("InService", {2: 4})


@pytest.mark.parametrize(
    "size, canary", [(number(1), (0.25, 1)), (percent(25), (0.25, 1)), (percent(30), (0.3, 1)), (percent(50), (0.5, 2))]
)
def test_canary(size, canary):
    walk = Walk().update(blue_green("CANARY", size, wait=300, TerminationWaitInSeconds=60)).settle()
    assert walk.stage == "baking 1" and walk.fleets() == {"1": (1 - canary[0], 4), "2": canary} and walk.running() == {1: 4, 2: 4}
    assert walk.state["rollout"]["until"] == walk.now + 300 and walk.state["rollout"]["shares"] == {"a": canary[0]}
    assert walk.after(300).stage == "baking 2" and walk.fleets() == {"2": (1.0, 4)} and walk.running() == {1: 4, 2: 4}
    assert walk.after(60).stage == "InService" and walk.running() == {2: 4}
    assert [e["stage"] for e in walk.events] == ["creating", "shifting", "baking", "creating", "shifting", "baking", "completed"]


def test_linear():
    walk = Walk(count=10).update(blue_green("LINEAR", percent(30), wait=60)).settle()
    seen = [walk.fleets().get("2")]
    while walk.status == "Updating":
        seen.append(walk.after(60).fleets().get("2"))
    assert seen == [(0.3, 3), (0.6, 6), (0.9, 9), (1.0, 10)], "without TerminationWait the last step ends it"


def test_a_step_that_launches_nothing_tells_of_its_traffic():
    """Later steps of blue/green have their instances already."""
    new = wanted(2, 2, count=4)
    new["plan"] = policy.plan_of(blue_green("CANARY", percent(25)), wanted(count=4), new)
    told = []
    for step in (1, 2):
        where = {"stage": "creating", "step": step, "since": NOW, "reason": ""}
        told.append(describe._stage(record("Updating", {"wanted": new}, {}), new["variants"][0], where))
    assert [(one["Status"], one["StatusMessage"]) for one in told] == [
        ("Creating", "Launching 4 instance(s)."),
        ("ActivatingTraffic", "Activating traffic on full capacity of 4 instance(s)."),
    ]


def test_canary_of_an_only_instance_is_a_share_of_its_calls():
    walk = Walk(count=1).update(blue_green("CANARY", percent(10))).settle()
    assert walk.fleets() == {"1": (0.9, 1), "2": (0.1, 1)}


def test_shares_do_not_depend_on_how_a_configuration_counts_weights():
    walk = Walk().update(blue_green("CANARY", percent(20)), weight=100.0).settle()
    assert walk.fleets() == {"1": (0.8, 4), "2": (0.2, 1)}


@pytest.mark.parametrize("stage, pause", [("baking 1", 0), ("baking 2", 300)])
def test_alarm_in_a_bake_brings_the_old_fleet_back(stage, pause):
    walk = Walk().update(blue_green("CANARY", percent(25), alarms=["errors"], TerminationWaitInSeconds=600)).settle().after(pause)
    assert walk.stage == stage
    walk.alarms["errors"] = "INSUFFICIENT_DATA"
    assert walk.after(1).stage == stage, "no data is no alarm"
    walk.alarms["errors"] = "ALARM"
    walk.settle()
    assert (walk.status, walk.fleets(), walk.running()) == ("InService", {"1": (1.0, 4)}, {1: 4})
    assert "errors" in walk.state["failure"] and walk.state["serving"]["edition"] == 1 and "rollout" not in walk.state
    assert [e["stage"] for e in walk.events][-2:] == ["rolling-back", "rolled-back"]


def test_alarm_that_rings_already_lets_nothing_begin():
    walk = Walk()
    walk.alarms["errors"] = "ALARM"
    walk.update(blue_green("CANARY", percent(25), alarms=["errors"])).settle()
    assert (walk.status, walk.running()) == ("InService", {1: 4}) and "errors" in walk.state["failure"]


def test_alarm_deleted_in_mid_rollout():
    walk = Walk().update(blue_green("CANARY", percent(25), alarms=["errors"])).settle()
    walk.alarms["errors"] = None
    assert "does not exist any more" in walk.settle().state["failure"] and walk.fleets() == {"1": (1.0, 4)}


def test_replica_of_the_new_fleet_that_flaps_in_the_bake():
    walk = Walk().update(blue_green("CANARY", percent(25))).settle().dies(2, 3)
    assert (walk.status, walk.fleets(), walk.running()) == ("InService", {"1": (1.0, 4)}, {1: 4})
    assert "ping health check" in walk.state["failure"]


def test_replica_of_the_old_fleet_that_flaps_in_the_bake():
    walk = Walk().update(blue_green("CANARY", percent(25))).settle().dies(1, 0)
    assert (walk.stage, walk.fleets()) == ("baking 1", {"1": (0.75, 3), "2": (0.25, 1)})


def test_replica_that_cannot_come_up():
    walk = Walk()
    walk.sick = {"/2/3"}
    walk.update(blue_green("CANARY", percent(25))).settle()
    assert (walk.status, walk.state["failure"], walk.fleets(), walk.running()) == ("InService", "no ping", {"1": (1.0, 4)}, {1: 4})


def test_time_out():
    config = blue_green("LINEAR", percent(10), wait=300, MaximumExecutionTimeoutInSeconds=700)
    walk = Walk(count=10).update(config).settle().after(300).after(300)
    assert walk.stage == "baking 3" and walk.fleets()["2"] == (0.3, 3)
    walk.after(99)
    assert walk.stage == "baking 3"
    walk.after(1)
    assert walk.status == "InService" and walk.fleets() == {"1": (1.0, 10)} and "MaximumExecutionTimeoutInSeconds" in walk.state["failure"]


def test_time_out_counts_real_time_while_processes_start():
    walk = Walk().update(blue_green("CANARY", percent(25), MaximumExecutionTimeoutInSeconds=600))
    walk.look()
    walk.now += 5000.0  # a fast platform clock; 3 real seconds went by
    walk.real += 3.0
    walk.settle()
    assert walk.stage == "baking 1" and walk.state["rollout"]["deadline"] == pytest.approx(walk.now + 597)
    late = Walk().update(blue_green("CANARY", percent(25), MaximumExecutionTimeoutInSeconds=600))
    late.look()
    late.real += 601.0
    late.settle()
    assert late.status == "InService" and late.running() == {1: 4}


def test_rolling_takes_old_instances_away_batch_by_batch():
    walk = Walk(count=5).update(rolling(number(2), wait=60)).settle()
    seen = [(walk.fleets(), walk.running())]
    while walk.status == "Updating":
        walk.after(60)
        seen.append((walk.fleets(), walk.running()))
    assert seen == [
        ({"1": (0.6, 3), "2": (0.4, 2)}, {1: 5, 2: 2}),
        ({"1": (0.2, 1), "2": (0.8, 4)}, {1: 3, 2: 4}),
        ({"2": (1.0, 5)}, {1: 1, 2: 5}),
        ({"2": (1.0, 5)}, {2: 5}),
    ]


def test_rolling_to_a_fleet_of_another_size():
    walk = Walk(count=6).update(rolling(percent(50), wait=60), count=2).settle()
    assert (walk.fleets(), walk.running()) == ({"1": (0.5, 3), "2": (0.5, 1)}, {1: 6, 2: 1})
    assert (walk.after(60).fleets(), walk.running()) == ({"2": (1.0, 2)}, {1: 3, 2: 2})
    assert walk.after(60).running() == {2: 2}


@pytest.mark.parametrize("back, peak", [(None, {1: 8, 2: 6}), (number(2), {1: 8, 2: 2})])
def test_rolling_back_brings_the_old_instances_back(back, peak):
    more = {"RollbackMaximumBatchSize": back} if back else {}
    walk = Walk(count=8).update(rolling(number(2), alarms=["errors"], **more)).settle().after(60).after(60)
    assert walk.running() == {1: 4, 2: 6}
    walk.alarms["errors"] = "ALARM"
    most = {}
    while walk.look():
        most = max(most, walk.running(), key=lambda r: r.get(1, 0))
    assert (walk.status, walk.fleets(), walk.running()) == ("InService", {"1": (1.0, 8)}, {1: 8})
    assert most == peak


def test_rollback_that_fails_leaves_a_mix_that_serves():
    walk = Walk(count=4).update(rolling(number(2), alarms=["errors"])).settle().after(60)
    assert walk.running() == {1: 2, 2: 4}
    walk.sick, walk.alarms["errors"] = {"/1/2", "/1/3"}, "ALARM"
    walk.settle()
    assert walk.status == "UpdateRollbackFailed" and "The rollback failed: no ping" in walk.state["failure"]
    assert sum(n for _, n in walk.fleets().values()) == 4 and len(walk.routed()) == 4
    with pytest.raises(ApiError, match="mix"):
        walk.update(rolling(number(2)))
    walk.sick, walk.alarms = set(), {}
    walk.update(blue_green("CANARY", percent(25))).settle()
    assert walk.stage == "baking 1" and walk.fleets()["3"] == (0.25, 1)
    walk.after(300)
    assert (walk.status, walk.fleets(), walk.running()) == ("InService", {"3": (1.0, 4)}, {3: 4})
    assert "mix" not in walk.state


def test_rolling_back_does_not_send_calls_to_a_new_fleet_that_is_dead():
    walk = Walk(count=4).update(rolling(number(2), wait=60)).settle()
    walk.sick = {"/1/9"}
    for n in (0, 1):
        name = f"uid/a/2/{n}"
        walk.children[name] = replace(walk.children[name], status="Restarting", route=None)
    walk.settle()
    assert (walk.status, walk.fleets(), walk.running()) == ("InService", {"1": (1.0, 4)}, {1: 4})


def test_change_of_counts_that_fails_goes_back():
    walk = Walk(count=2)
    walk.sick = {"/1/3"}
    walk.spec = {"wanted": {**wanted(2, 1, 4), "scale": True}}
    seen = set()
    while walk.look():
        seen.add(walk.status)
    assert "RollingBack" in seen and walk.status == "InService" and walk.running() == {1: 2} and walk.state["failure"] == "no ping"


def test_change_of_counts_keeps_what_runs():
    walk = Walk(count=3)
    walk.spec = {"wanted": {**wanted(2, 1, 5), "scale": True}}
    assert (walk.settle().status, walk.fleets(), walk.running()) == ("InService", {"2": (1.0, 5)}, {1: 5})
    walk.spec = {"wanted": {**wanted(3, 1, 1), "scale": True}}
    assert (walk.settle().fleets(), walk.running()) == ({"3": (1.0, 1)}, {1: 1})


@pytest.mark.parametrize("config", [None, blue_green("CANARY", percent(25)), blue_green("LINEAR", percent(50)), rolling(percent(25))])
def test_asynchronous_endpoint_at_zero_instances(config):
    """Asynchronous variants scale to zero; an update that keeps the count finds nothing to start."""
    walk = Walk(count=1)
    walk.spec = {"wanted": {**wanted(2, 1, 0, asynchronous={}), "scale": True}}
    walk.count = 0
    walk.settle()
    assert walk.status == "InService" and walk.running() == {}
    walk.update(config, asynchronous={"OutputConfig": {}}).settle()
    while walk.status == "Updating":
        walk.after(300)
    assert (walk.status, walk.running(), walk.state["serving"]["edition"]) == ("InService", {}, 3)
    assert walk.table["asynchronous"]["OutputConfig"] == {}


def test_a_canary_of_an_asynchronous_endpoint_stays_asynchronous():
    walk = Walk()
    walk.spec["wanted"] = walk.state["serving"] = {**walk.state["serving"], "asynchronous": {"OutputConfig": {}}}
    walk.settle().update(blue_green("CANARY", percent(25)), asynchronous={"OutputConfig": {}}).settle()
    assert walk.stage == "baking 1" and walk.fleets()["2"] == (0.25, 1) and walk.table["asynchronous"]["OutputConfig"] == {}


# --- what may not be asked for -----------------------------------------------------------------------

BAD = [
    ("both policies", {**blue_green("ALL_AT_ONCE"), **rolling(percent(20))}, 4, "Only one update policy"),
    ("no canary size", blue_green("CANARY"), 4, "CanarySize is required"),
    ("no step size", blue_green("LINEAR"), 4, "LinearStepSize is required"),
    ("a size of another type", {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": "LINEAR", "WaitIntervalInSeconds": 1, "CanarySize": percent(10), "LinearStepSize": percent(10)}}}, 4, "may only be given in"),
    ("canary above half", blue_green("CANARY", percent(51)), 4, "between 1% and 50%"),
    ("canary bigger than the fleet", blue_green("CANARY", number(5)), 4, "at most 50%"),
    ("canary is the fleet", blue_green("CANARY", number(1)), 1, "at most 50%"),
    ("step too small", blue_green("LINEAR", percent(9)), 4, "between 10% and 50%"),
    ("step too big", blue_green("LINEAR", percent(60)), 4, "between 10% and 50%"),
    ("step too small for the fleet", blue_green("LINEAR", number(1)), 20, "between 10% and 50%"),
    ("batch too small", rolling(percent(4)), 4, "between 5% and 50%"),
    ("batch too big", rolling(number(3)), 4, "between 5% and 50%"),
    ("batch of the rollback", rolling(number(1), RollbackMaximumBatchSize=number(5)), 4, "RollbackMaximumBatchSize"),
    ("an alarm twice", blue_green("ALL_AT_ONCE", alarms=["x", "x"]), 4, "more than once"),
    ("an alarm without a name", {"AutoRollbackConfiguration": {"Alarms": [{}]}}, 4, "AlarmName is required"),
]  # fmt: skip


@pytest.mark.parametrize("config, count, text", [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_refused(config, count, text):
    with pytest.raises(ApiError, match=text) as caught:
        policy.check_config(config)
        policy.plan_of(config, wanted(count=count), wanted(2, 2, count))
    assert caught.value.code == "ValidationException"


def test_variants_must_have_their_names():
    new = wanted(2, 2)
    new["variants"][0]["name"] = "b"
    with pytest.raises(ApiError, match="needs the production variants of the old"):
        policy.plan_of(blue_green("CANARY", percent(25)), wanted(), new)
    policy.plan_of(blue_green("ALL_AT_ONCE"), wanted(), new)


def test_rolling_is_for_one_variant():
    many = wanted(2, 2)
    many["variants"].append({**many["variants"][0], "name": "b"})
    with pytest.raises(ApiError, match="more than one production variant"):
        policy.plan_of(rolling(percent(20)), many, many)


# --- quota -------------------------------------------------------------------------------------------


def test_both_fleets_count():
    from modelyard.services.sagemaker.endpoint.quota import most

    def fleet(count, **more):
        return {"variants": [{"name": "a", "count": count, "instance_type": "ml.m5.large"}], **more}

    old, new = fleet(10), fleet(12)
    assert most(None, new) == {"ml.m5.large": 12}
    assert most(old, {**new, "plan": policy.plan_of(None, old, new)}) == {"ml.m5.large": 22}
    rolling = {"RollingUpdatePolicy": {"MaximumBatchSize": {"Type": "INSTANCE_COUNT", "Value": 3}, "WaitIntervalInSeconds": 0}}
    assert most(old, {**new, "plan": policy.plan_of(rolling, old, new)}) == {"ml.m5.large": 15}, "12 new ones beside the last 3"
    assert most(old, {**new, "scale": True}) == {"ml.m5.large": 12}
    shadow = {"name": "s", "of": "a", "count": 2, "instance_type": "ml.m5.large"}
    assert most(old, {**new, "shadows": [shadow], "plan": policy.plan_of(None, old, new)}) == {"ml.m5.large": 24}
