"""Calls of serverless variants: an instance for each call, started when it is needed, at most so many at once.

A call takes an idle instance, or waits (without a thread) until one is there. How many instances are needed, and were lately, is
told to the engine through the store (`tell`), which starts and stops them; a table that comes with another instance lets a waiting
call go on. Several gateways share the MaxConcurrency of a variant and its instances (serving/turns.py); what one of them lets go another
that waits sees within 20 ms.

Metrics are those of "Monitor a serverless endpoint": ModelSetupTime (microseconds a call waited for an instance to be started),
ServerlessConcurrentExecutionsUtilization and, with provisioned concurrency, ServerlessProvisionedConcurrency(Executions, Utilization,
Invocations, SpilloverInvocations). Utilizations are shares of 1.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

from modelyard.serving.meter import NAMESPACE
from modelyard.serving.routes import Replica, RouteTable, Variant
from modelyard.serving.turns import Turns

log = logging.getLogger("modelyard.serving.serverless")
LONGEST_WAIT_SECONDS = 60.0
"""AWS gives up a call after a minute, the start of an instance included."""
LOOK_SECONDS = 0.02
"""How often a call looks for instances that other gateways have."""
Tell = Callable[[str, str, list[float], bool], None]
"""(uid of the endpoint, variant, when the 1st, 2nd, … instance was needed last, whether one is missing now): stores it, on a thread."""


@dataclass
class Counts:
    """Of one second."""

    peak: int = 0
    provisioned: int = 0
    spilled: int = 0
    setup_us: list[float] = field(default_factory=list)


@dataclass
class Cell:
    """One variant: calls under way (waiting ones included), busy sockets, and who waits for an idle one."""

    table: RouteTable
    variant: Variant
    under: int = 0
    busy: set[str] = field(default_factory=set)
    waiters: deque[asyncio.Future[None]] = field(default_factory=deque)
    needed: list[float] = field(default_factory=list)
    missing: bool = False
    dirty: bool = False
    telling: bool = False
    elsewhere: bool = False
    """Whether another gateway had an instance at the last look."""
    counts: Counts = field(default_factory=Counts)

    def need(self, now: float) -> None:
        """As many instances as calls are under way are needed now."""
        if self.under:
            self.needed += [0.0] * (self.under - len(self.needed))
            self.needed[self.under - 1] = now
            self.dirty = True

    def times(self) -> list[float]:
        """When the first, second, … instance was needed last: whoever needed three needed two as well."""
        found, latest = [], 0.0
        for at in reversed(self.needed):
            latest = max(latest, at)
            found.append(latest)
        return found[::-1]


class Serverless:
    """Lives on the gateway's loop. `table(key)` is the newest route table, `usable(socket)` whether this gateway may use a replica;
    `outcome(kind, table, variant)` makes an Outcome (serving/invoker.py)."""

    def __init__(
        self,
        table: Callable[[str], RouteTable | None],
        usable: Callable[[str], bool],
        now: Callable[[], float],
        tell: Tell | None,
        put: Any,
        outcome: Callable[..., Any],
        folder: Path | None = None,
    ) -> None:
        self._outcome = outcome
        self._turns = Turns(folder / "serverless.turns" if folder else None)
        self._table, self._usable, self._now, self._tell = table, usable, now, tell
        self._put = put or (lambda *_: None)
        self._cells: dict[tuple[str, str], Cell] = {}
        self._counted: list[tuple[RouteTable, Variant, Counts]] = []

    def through(self, send: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        """`send(table, variant, …)` by way of an idle instance."""

        async def sent(table: RouteTable, variant: Variant, *rest: Any) -> Any:
            return await self._send(send, table, variant, *rest)

        return sent

    async def _send(self, send: Callable[..., Awaitable[Any]], table: RouteTable, variant: Variant, *rest: Any) -> Any:
        cell = self._cells.setdefault((table.key, variant.name), Cell(table, variant))
        cell.table, cell.variant = table, variant
        first = _place(f"{table.key}\n{variant.name}")
        turn = self._turns.take(range(first, first + variant.most_at_once)) if cell.under < variant.most_at_once else None
        if turn is None:
            return self._outcome("throttled", table, variant)
        cell.under += 1
        self._count(cell)
        deadline, waited = monotonic() + LONGEST_WAIT_SECONDS, 0.0
        try:
            while True:
                began = perf_counter()
                replica, cold = await self._instance(cell, deadline)
                waited += perf_counter() - began
                if replica is None:
                    return self._outcome("timeout", table, variant, waited_s=waited)
                try:
                    outcome = await send(table, replace(variant, replicas=(replica,)), *rest)
                finally:
                    cell.busy.discard(replica.socket)
                    self._turns.give(_place(replica.socket))
                    self._next(cell)
                if outcome.kind == "no-replica" and monotonic() < deadline:
                    await asyncio.sleep(0)  # it was retired a moment ago, and the next table says so
                    continue
                if cold:
                    cell.counts.setup_us.append(waited * 1e6)
                outcome.waited_s = waited
                return outcome
        finally:
            cell.under -= 1
            self._turns.give(turn)

    def close(self) -> None:
        self._turns.close()

    async def _instance(self, cell: Cell, deadline: float) -> tuple[Replica | None, bool]:
        """(an instance, now busy; whether it was started for this call); (None, …) where the time is up."""
        known, queued, asked = {r.socket for r in self._replicas(cell)}, bool(cell.waiters), False
        while True:
            replica = None if queued else self._idle(cell)  # who came earlier goes first
            queued = False
            if replica is not None:
                cell.busy.add(replica.socket)
                return replica, replica.socket not in known
            if not asked:
                self._ask(cell)
            asked, left = False, deadline - monotonic()
            waiter = asyncio.get_running_loop().create_future()
            cell.waiters.append(waiter)
            try:
                await asyncio.wait_for(waiter, max(min(left, LOOK_SECONDS) if cell.elsewhere else left, 0.0))
            except TimeoutError:
                if monotonic() >= deadline:
                    return None, False
                asked = True
            finally:
                if waiter in cell.waiters:
                    cell.waiters.remove(waiter)

    def _replicas(self, cell: Cell) -> list[Replica]:
        table = self._table(cell.table.key)
        rows = [v for v in table.variants if v.name == cell.variant.name] if table is not None else []
        same = [v for v in rows if v.fleet == cell.variant.fleet] or rows
        return [r for v in same for r in v.replicas]

    def _idle(self, cell: Cell) -> Replica | None:
        cell.elsewhere = False
        for replica in self._replicas(cell):
            if replica.socket not in cell.busy and self._usable(replica.socket):
                if self._turns.take((_place(replica.socket),)) is not None:
                    return replica
                cell.elsewhere = True
        return None

    def _next(self, cell: Cell) -> None:
        """An instance is idle: the call that waits longest looks again."""
        while cell.waiters:
            waiter = cell.waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def poke(self) -> None:
        """Tables changed: everybody who waits looks again, in order."""
        for cell in self._cells.values():
            for _ in range(len(cell.waiters)):
                self._next(cell)

    # --- what the engine is told ---------------------------------------------------------------------

    def _ask(self, cell: Cell) -> None:
        """There is no idle instance: the engine shall hear of it now."""
        cell.missing = True
        cell.need(self._now())
        self._hand(cell)

    def _hand(self, cell: Cell) -> None:
        """One at a time, so that what was said later is what stands."""
        if self._tell is None or not cell.dirty or cell.telling:
            return
        missing, cell.dirty, cell.missing, cell.telling = cell.missing, False, False, True
        uid = (cell.variant.extra or {}).get("wake", "")
        future = asyncio.get_running_loop().run_in_executor(None, self._tell, uid, cell.variant.name, cell.times(), missing)

        def told(done: asyncio.Future[Any]) -> None:
            cell.telling = False
            if not done.cancelled() and done.exception() is not None:  # said again with the next second
                log.error("the store did not take what a serverless variant needs: %s", done.exception())
                cell.dirty, cell.missing = True, cell.missing or missing
            elif cell.missing:
                self._hand(cell)

        future.add_done_callback(told)

    def _count(self, cell: Cell) -> None:
        cell.need(self._now())
        counts, warm = cell.counts, (cell.variant.extra or {}).get("provisioned", 0)
        counts.peak = max(counts.peak, cell.under)
        if warm:
            if cell.under > warm:
                counts.spilled += 1
            else:
                counts.provisioned += 1

    def rotate(self) -> None:
        """Once a second, on the loop: what was counted is for `flush`; and the engine hears what was needed."""
        for cell in self._cells.values():
            cell.need(self._now())
            if cell.counts.peak:
                self._counted.append((cell.table, cell.variant, cell.counts))
                cell.counts = Counts(peak=cell.under)
            self._hand(cell)

    def flush(self) -> None:
        """On a thread: to CloudWatch."""
        while self._counted:
            table, variant, counts = self._counted.pop(0)
            dimensions = [{"Name": "EndpointName", "Value": table.endpoint}, {"Name": "VariantName", "Value": variant.name}]
            at = self._now()
            data = [{**d, "Dimensions": dimensions, "Timestamp": at} for d in data_of(variant, counts)]
            self._put(table.account, table.region, NAMESPACE, data)


def _place(name: str) -> int:
    """Where the places of something begin; far from those of anything else."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6]) << 10


def data_of(variant: Variant, counts: Counts) -> list[dict[str, Any]]:
    warm = (variant.extra or {}).get("provisioned", 0)
    data: list[dict[str, Any]] = [_one("ServerlessConcurrentExecutionsUtilization", counts.peak / (variant.most_at_once or 1))]
    if counts.setup_us:
        data.append(
            {"MetricName": "ModelSetupTime", "Values": counts.setup_us, "Counts": [1] * len(counts.setup_us), "Unit": "Microseconds"}
        )
    if warm:
        data.append(_one("ServerlessProvisionedConcurrencyExecutions", float(min(counts.peak, warm))))
        data.append(_one("ServerlessProvisionedConcurrencyUtilization", min(counts.peak, warm) / warm))
        for name, number in (("Invocations", counts.provisioned), ("SpilloverInvocations", counts.spilled)):
            if number:
                data.append({"MetricName": f"ServerlessProvisionedConcurrency{name}", "Values": [1.0], "Counts": [number], "Unit": "None"})
    return data


def _one(name: str, value: float) -> dict[str, Any]:
    return {"MetricName": name, "Values": [value], "Counts": [1], "Unit": "None"}
