"""How many calls are under way: told per instance, with those that wait, and as zero now and then."""

from __future__ import annotations

from types import SimpleNamespace

from modelyard.kernel.clock import ManualClock
from modelyard.serving.flights import Flights
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
