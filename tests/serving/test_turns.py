"""What several gateways share: the places of a file, and by them the instances of a serverless variant."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from modelyard.serving.routes import Replica, RouteTable, Variant
from modelyard.serving.serverless import Serverless
from modelyard.serving.turns import Turns


def test_a_place_is_one_gateways_until_it_gives_it_or_ends(tmp_path):
    one, other = Turns(tmp_path / "f" / "t"), Turns(tmp_path / "f" / "t")
    assert one.take([7]) == 7 and one.take([7]) is None and other.take([7]) is None
    assert other.take(range(7, 9)) == 8 and one.take(range(7, 9)) is None
    one.give(7)
    assert other.take([7]) == 7
    other.close()
    assert one.take([7]) == 7 and one.take([8]) == 8
    one.close()


def test_without_a_folder_a_gateway_is_alone():
    one, other = Turns(None), Turns(None)
    assert one.take([1]) == 1 and one.take([1]) is None and other.take([1]) == 1


class Gateways:
    """Two gateways before one variant with two instances; `calls` says who had which instance."""

    def __init__(self, folder, most: int) -> None:
        rows = (Replica("ra", "a"), Replica("rb", "b"))
        self.variant = Variant("v", 1.0, rows, kind="serverless", most_at_once=most)
        self.table = RouteTable("arn", "1", "r", "e", 1, (self.variant,))
        self.busy: set[str] = set()
        self.most = 0
        self.gateways = [Serverless(lambda _: self.table, lambda _: True, lambda: 0.0, None, None, self._outcome, folder) for _ in range(2)]

    @staticmethod
    def _outcome(kind, table, variant, **more):
        return SimpleNamespace(kind=kind, waited_s=0.0)

    async def _send(self, table, variant):
        (replica,) = variant.replicas
        assert replica.socket not in self.busy, "an instance has one call at a time"
        self.busy.add(replica.socket)
        self.most = max(self.most, len(self.busy))
        await asyncio.sleep(0.03)
        self.busy.discard(replica.socket)
        return self._outcome("answered", None, None)

    async def call(self, number: int) -> str:
        return (await self.gateways[number % 2].through(self._send)(self.table, self.variant)).kind

    async def calls(self, many: int) -> list[str]:
        return sorted(await asyncio.wait_for(asyncio.gather(*(self.call(n) for n in range(many))), 20))


def test_two_gateways_send_one_call_at_a_time_to_an_instance(tmp_path):
    yard = Gateways(tmp_path, 8)
    assert asyncio.run(yard.calls(8)) == ["answered"] * 8
    assert yard.most == 2, "both instances were used"


def test_two_gateways_admit_no_more_than_one_would(tmp_path):
    yard = Gateways(tmp_path, 3)
    assert asyncio.run(yard.calls(6)) == ["answered"] * 3 + ["throttled"] * 3
    assert asyncio.run(yard.calls(3)) == ["answered"] * 3, "their places are free again"
