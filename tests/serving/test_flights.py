"""How many calls are under way: told per instance, with those that wait, and as zero now and then."""

from __future__ import annotations

from time import monotonic
from types import SimpleNamespace

import pytest

from modelyard.kernel.clock import ManualClock
from modelyard.serving.flights import FORGOTTEN_SECONDS, STALE_SECONDS, Flights
from modelyard.serving.routes import Replica, RouteTable, Stage, Variant


class FakeReplicas:
    def __init__(self) -> None:
        self.peaks, self.queue = {}, 0

    def pool(self, socket):
        return SimpleNamespace(take_peak=lambda: self.peaks.get(socket, 0)) if socket != "gone" else None

    def waiting(self, table, variant):
        return self.queue


def told(variant, replicas, clock=None, looks=1, **more):
    found = []
    clock = clock or ManualClock()
    flights = Flights(lambda account, region, namespace, data: found.append((namespace, data)), clock.now)
    table = RouteTable("arn", "1", "r", "e", 1, (variant,), **more)
    for _ in range(looks):
        flights.rotate([table], replicas)
        flights.flush()
        clock.advance(1)
    return found


def test_one_sample_per_instance_with_its_share_of_who_waits():
    replicas = FakeReplicas()
    replicas.peaks, replicas.queue = {"a": 3, "b": 1}, 4
    variant = Variant("v", 1.0, (Replica("ra", "a"), Replica("rb", "b")))
    [(namespace, [datum])] = told(variant, replicas)
    assert (namespace, datum["MetricName"], datum["Values"], datum["Counts"]) == (
        "AWS/SageMaker",
        "ConcurrentRequestsPerModel",
        [5, 3],
        [1, 1],
    )
    assert datum["Dimensions"] == [{"Name": "EndpointName", "Value": "e"}, {"Name": "VariantName", "Value": "v"}]


def test_by_instance_with_enhanced_metrics():
    replicas = FakeReplicas()
    replicas.peaks = {"a": 3, "a2": 7}
    uid = "0123456789abcdef01234567"
    variant = Variant("v", 1.0, (Replica(f"{uid}-4", "a", "one", (Stage("two", "a2"),)),), enhanced=True)
    [(_, [plain, instance])] = told(variant, replicas)
    assert plain["Values"] == instance["Values"] == [7], "the busiest container of the instance"
    assert instance["Dimensions"][-1] == {"Name": "InstanceId", "Value": "i-0123456789abcdef0"}


def test_nothing_under_way_is_told_every_ten_seconds():
    replicas = FakeReplicas()
    variant = Variant("v", 1.0, (Replica("ra", "a"), Replica("rb", "gone")))
    found = told(variant, replicas, looks=31)
    assert [data[0]["Values"] for _, data in found] == [[0, 0]] * 4


def test_what_is_not_told_of():
    replicas = FakeReplicas()
    replicas.peaks = {"a": 3}
    one = (Replica("ra", "a"),)
    assert not told(Variant("v", 1.0, one, kind="serverless"), replicas)
    assert not told(Variant("v", 1.0, ()), replicas)
    assert not told(Variant("v", 1.0, one), replicas, asynchronous={})


@pytest.fixture
def gateways(tmp_path):
    """Gateways of one platform: `look(n, under)` is one look of the nth, and answers what it told."""
    clock, made, found = ManualClock(), [], []
    variant = Variant("v", 1.0, (Replica("ra", "a"), Replica("rb", "b")))
    table = RouteTable("arn", "1", "r", "e", 1, (variant,))

    def look(number, **under):
        while len(made) <= number:
            made.append(Flights(lambda account, region, namespace, data: found.append(data[0]["Values"]), clock.now, tmp_path / "f"))
        replicas = FakeReplicas()
        replicas.peaks = under
        made[number].rotate([table], replicas)
        made[number].flush()
        told = list(found)
        found.clear()
        return told

    look.made, look.folder = made, tmp_path / "f"
    yield look
    for each in made:
        each.close()


def test_one_of_several_gateways_tells_for_all(gateways):
    assert gateways(0, a=3) == [[3, 0]]
    assert gateways(1, a=2, b=1) == [] and gateways(2, b=5) == []
    assert gateways(0, a=3) == [[5, 6]]
    gateways(1), gateways(2)
    assert gateways(0, a=1) == [[1, 0]]


def test_a_look_that_was_not_handed_over_is_not_forgotten():
    found, replicas = [], FakeReplicas()
    flights = Flights(lambda account, region, namespace, data: found.append(data[0]["Values"]), ManualClock().now)
    table = RouteTable("arn", "1", "r", "e", 1, (Variant("v", 1.0, (Replica("ra", "a"),)),))
    for peak in (5, 2):
        replicas.peaks = {"a": peak}
        flights.rotate([table], replicas)
    flights.flush()
    assert found == [[5]]


def test_when_the_teller_is_gone_another_tells(gateways):
    gateways(0, a=3), gateways(1, b=2)
    gateways.made.pop(0).close()
    assert gateways(0, b=2) == [[0, 2]], "not its own twice"


def test_an_old_look_says_nothing(gateways, monkeypatch):
    gateways(0), gateways(1, a=4)
    late = monotonic()
    monkeypatch.setattr("modelyard.serving.flights.monotonic", lambda: late + STALE_SECONDS + 1)
    assert gateways(0, a=1) == [[1, 0]]
    monkeypatch.setattr("modelyard.serving.flights.monotonic", lambda: late + FORGOTTEN_SECONDS + 1)
    gateways(0)
    assert not list(gateways.folder.glob("*.flights"))
