"""The data plane of a gateway: route tables in, invocations through. `platform.invoker`.

It reads the store only to learn of new route tables; when the store or the engine is gone it goes on with the
tables it has.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

from modelyard.kernel.unchanged import Unchanged
from modelyard.serving import faults, sessions, split
from modelyard.serving import meter as metering
from modelyard.serving.abreast import Abreast
from modelyard.serving.awake import Awake
from modelyard.serving.capture import Capture
from modelyard.serving.errand import Errand
from modelyard.serving.flights import Flights
from modelyard.serving.multimodel import ManyModels
from modelyard.serving.notes import Notes
from modelyard.serving.outcome import NOTHING, Outcome, Wants, refusal
from modelyard.serving.pipeline import Pipelines
from modelyard.serving.replicas import MOST_CONNECTIONS, QueueFull, Replicas, refused
from modelyard.serving.routes import RouteTable, Variant, component_arn, endpoint_arn, from_body, instance_id
from modelyard.serving.sent import Ready, Sent, start
from modelyard.serving.serverless import Serverless
from modelyard.serving.shadow import Shadows
from modelyard.serving.upstream import Reply, TimedOut, Upstream, UpstreamError

log = logging.getLogger("modelyard.serving")
POLL_SECONDS = 0.1
IDLE_POLL_SECONDS = 1.0
FLUSH_SECONDS = 1.0
FLUSH_PLATFORM_SECONDS = 10.0
"""Figures and captures are handed over once a second, on a fast clock more often."""

Change = tuple[int, str, RouteTable | None]
"""(sequence number, endpoint ARN, its table or None for a deleted endpoint)."""


class Invoker:
    """Lives on the gateway's event loop; one background thread learns routes and hands metrics and captures over.

    `store` needs `routes_since` and `db`; `put_metrics` is `platform.metrics.put` or None; `meter_folder` is where counts outlive a kill.
    `capture_folder` and `put_object` (account, bucket, key, bytes) are for data capture; without them nothing is captured.
    `tell_needs` stores what serverless variants need (serving/serverless.py).
    `shelf_of` is for multi-model endpoints (serving/multimodel.py).
    """

    def __init__(
        self,
        store: Any,
        clock: Any,
        put_metrics: Any = None,
        capture_folder: Path | None = None,
        put_object: Any = None,
        meter_folder: Path | None = None,
        tell_needs: Any = None,
        shelf_of: Any = None,
    ) -> None:
        self._store = store
        self._tables: dict[str, RouteTable] = {}
        self._seq = 0
        self._seen: dict[str, int] = {}
        self._read_lock = threading.RLock()
        self._unchanged = Unchanged(store.db)
        self._bell = threading.Event()
        self._stopping = False
        self._meter = metering.Meter(put_metrics or (lambda *_, **__: None), clock.now, meter_folder, self._instances)
        self._sessions = sessions.Sessions(None if meter_folder is None else meter_folder.parent / "sessions")
        self._flush_s = min(FLUSH_SECONDS, max(POLL_SECONDS, FLUSH_PLATFORM_SECONDS / (clock.speed or 1.0)))
        self._notes = Notes(put_metrics or (lambda *_: None), clock.now)
        self._shared_folder = None if meter_folder is None else meter_folder.parent / "flights"
        self._flights = Flights(put_metrics or (lambda *_: None), clock.now, self._shared_folder)
        self._abreast = Abreast(self._shared_folder)
        self._models = ManyModels(self._notes, shelf_of)
        self._capture = Capture(capture_folder, put_object, clock.now) if capture_folder and put_object else None
        self._rotated = True
        self._random = random.random
        self._now, self._put_metrics, self._tell_needs = clock.now, put_metrics, tell_needs
        self._loop: asyncio.AbstractEventLoop | None = None
        self._replicas: Replicas | None = None
        self._shadows = Shadows(self._send, self.measure, self.failed, self._meter, self._capture)
        self._serverless: Serverless | None = None
        self._thread: threading.Thread | None = None

    # --- life ----------------------------------------------------------------------------------------

    def start(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        """On the loop that will invoke. The tables of the store are there when this returns."""
        self._loop = loop or asyncio.get_running_loop()
        self._replicas = Replicas(self._loop)
        self.answers, self.requests, self.under_way = Awake(self._loop), Awake(self._loop), 0
        self._serverless = Serverless(
            self._tables.get, self._replicas.has, self._now, self._tell_needs, self._put_metrics, Outcome, self._shared_folder
        )
        self._pipelines = Pipelines(self._replicas, self._notes, self._models)
        try:
            self._swap(self._read())
        except Exception:
            log.exception("the store did not tell its route tables; they are asked for again")
        self._thread = threading.Thread(target=self._learn, name="routes", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """On the loop. Requests under way are cut: stop the front door first."""
        self._rotate(everything=True)
        self._stopping = True
        self._bell.set()
        self._shadows.close()
        if self._thread is not None:
            self._thread.join(2.0)
        self._meter.close()
        self._flights.close()
        self._serverless.close()
        self._abreast.close()
        self._replicas.close()
        self.answers.close()
        self.requests.close()

    def ring(self) -> None:
        """Look for new route tables now (any thread)."""
        self._bell.set()

    # --- route tables ----------------------------------------------------------------------------------

    def _learn(self) -> None:
        rotate_at = monotonic() + self._flush_s
        while not self._stopping:
            self._bell.wait(POLL_SECONDS if self._tables else IDLE_POLL_SECONDS)
            self._bell.clear()
            try:
                self.catch_up()
                self._hand_over()
                if monotonic() >= rotate_at:
                    rotate_at = monotonic() + self._flush_s
                    self._loop.call_soon_threadsafe(self._rotate)
            except Exception:
                log.exception("learning routes or handing metrics over failed; serving goes on with what is known")
        try:
            self._hand_over()
        except Exception:
            log.exception("the last metrics or captures were not stored; captures are taken up by the next gateway")

    def _rotate(self, everything: bool = False) -> None:
        """On the loop: what was counted and captured so far is let go of; `_hand_over` takes it, on the thread."""
        self._meter.rotate()
        self._serverless.rotate()
        self._notes.rotate()
        self._flights.rotate(self._tables.values(), self._replicas)
        if self._capture is not None:
            self._capture.rotate(everything)
        self._rotated = True

    def _instances(self, key: metering.Key) -> int:
        """How many replicas serve a variant now."""
        account, region, endpoint, name, _, part = key
        component = part.removeprefix(metering.COMPONENT) if part.startswith(metering.COMPONENT) else ""
        table = self._tables.get(component_arn(account, region, component) if component else endpoint_arn(account, region, endpoint))
        return sum(len(v.replicas) for v in table.every if v.name == name) if table is not None else 1

    def _hand_over(self) -> None:
        if self._rotated:
            self._rotated = False
            self._meter.flush()
            self._serverless.flush()
            self._notes.flush()
            self._flights.flush()
            if self._capture is not None:
                self._capture.upload()

    def catch_up(self) -> None:
        """Calls that begin after this go by the tables that are in the store now (any thread): who is told that an endpoint's update is
        over must not be served by what was before. Without a loop yet there is nothing to catch up with."""
        if self._loop is not None:
            with self._read_lock:
                if self._unchanged.still():
                    return
                try:
                    changed = self._read()
                except Exception:
                    self._unchanged.forget()
                    raise
                if changed:
                    self._loop.call_soon_threadsafe(self._swap, changed)

    def all_caught_up(self) -> None:
        """As `catch_up`, and the other gateways of this machine have done so too: the next call may come to any of them."""
        self.catch_up()
        self._abreast.wait(self._seq)

    def _read(self) -> list[Change]:
        with self._read_lock:
            changed = [(seq, key, None if body is None else from_body(body)) for seq, key, body in self._store.routes_since(self._seq)]
            if changed:
                self._seq = changed[-1][0]
            return changed

    def _swap(self, changed: list[Change]) -> None:
        """Whole tables are replaced, on the loop; what was read later wins, in whatever order batches come."""
        for seq, key, table in changed:
            if seq <= self._seen.get(key, 0):
                continue
            self._seen[key] = seq
            if table is None:
                self._tables.pop(key, None)
            else:
                self._tables[key] = table
        if changed:
            self._replicas.adopt(self._tables.values())
            self._serverless.poke()
            self._abreast.at(changed[-1][0])

    async def table(self, account: str, region: str, endpoint: str, component: str | None = None) -> RouteTable | None:
        """The route table of an endpoint in service, or of an inference component of it; None where there is none."""
        key = component_arn(account, region, component) if component else endpoint_arn(account, region, endpoint)
        return self._tables.get(key) or await self._newest(key)

    async def _newest(self, key: str) -> RouteTable | None:
        """What the store says now: a table may have been published a moment ago."""
        try:
            await asyncio.to_thread(self.catch_up)
        except Exception:
            log.exception("the store did not tell its route tables")
        return self._tables.get(key)

    # --- invocations -----------------------------------------------------------------------------------

    def prepare(
        self,
        account: str,
        region: str,
        endpoint: str,
        head: bytes,
        *,
        target: str | None = None,
        content_type: str = "",
        inference_id: str | None = None,
        attributes: str | None = None,
        wants: Wants = NOTHING,
    ) -> Callable[[bytes, Callable[[Outcome], None]], Errand | None]:
        """`begin(body, tell)` for any number of calls like this one; the parameters are those of `invoke`."""
        sent = Sent(account, region, endpoint, head, b"", target, False, content_type, inference_id, attributes, wants)
        return partial(self.begin, Ready(sent))

    def begin(self, ready: Ready, body: bytes, tell: Callable[[Outcome], None]) -> Errand | None:
        """`invoke` without a coroutine, for endpoints of plain variants: `tell(outcome)` is called later. None: nothing was done,
        `invoke` must be awaited."""
        began = perf_counter()
        table = self._tables.get(ready.key)
        if table is None or not table.plain or not ready.plain:
            return None
        draw, target = self._random(), ready.sent.target
        variant = split.choose(table, draw) if target is None else split.named(table, target, draw)
        errand = Errand(self, ready, body, began, tell)
        pool = self._replicas.pick(variant) if variant is not None else None
        connection = pool.pooled() if pool is not None and pool.load < MOST_CONNECTIONS else None
        if connection is None:
            errand.by_task(self._whole(errand.sent(), began, draw))
        else:
            errand.send(table, variant, pool, connection)
        return errand

    async def invoke(
        self,
        account: str,
        region: str,
        endpoint: str,
        head: bytes,
        body: bytes,
        *,
        target: str | None = None,
        streaming: bool = False,
        content_type: str = "",
        inference_id: str | None = None,
        attributes: str | None = None,
        wants: Wants = NOTHING,
    ) -> Outcome:
        """Sends `POST /invocations` with the header lines `head` (each ended by CRLF) to a replica. `content_type`,
        `inference_id` and `attributes` are in `head` already; they go into captured data."""
        began = perf_counter()
        sent = Sent(account, region, endpoint, head, body, target, streaming, content_type, inference_id, attributes, wants)
        return await self._whole(sent, began, self._random())

    async def _whole(self, sent: Sent, began: float, draw: float) -> Outcome:
        table = await self.table(sent.account, sent.region, sent.endpoint, sent.wants.component)
        if sent.wants.component and (table is None or table.endpoint.lower() != sent.endpoint.lower()):
            return Outcome("no-component" if await self.table(sent.account, sent.region, sent.endpoint) else "no-endpoint")
        if table is None:
            return Outcome("no-endpoint")
        if table.asynchronous is not None:
            return Outcome("asynchronous", table)
        outcome = await self._through(table, sent, began, draw)
        return await self._concluded(outcome, sent, began)

    async def _concluded(self, outcome: Outcome, sent: Sent, began: float) -> Outcome:
        if outcome.kind in ("no-replica", "no-variant"):  # perhaps by a table that was replaced a moment ago
            newest = await self._newest(outcome.table.key)
            if newest is None:
                return Outcome("no-endpoint")
            if newest.version != outcome.table.version:
                outcome = await self._through(newest, sent, began, self._random())
        self.capture(outcome, sent, sent.body)
        return outcome

    async def _through(self, table: RouteTable, sent: Sent, began: float, draw: float) -> Outcome:
        variant = split.choose(table, draw) if sent.target is None else split.named(table, sent.target, draw)
        if variant is None:
            return Outcome("no-variant" if sent.target is not None else "no-replica", table)
        if reason := refusal(variant, sent.wants):
            return Outcome("refused", table, variant, detail=reason)
        in_session = sessions.HEADER in sent.head
        if in_session:
            variant = self._sessions.narrow(table, variant, sent.head, sent.target, self._replicas)
        sent_at = perf_counter()
        if variant.mode:
            outcome = await self._pipelines.send(table, variant, sent.head, sent.body, sent.streaming, sent.wants)
        else:
            send = self._send if variant.kind == "instance" else self._serverless.through(self._send)
            outcome = await send(table, variant, sent)
        self.measure(outcome, began, sent_at + outcome.waited_s, perf_counter(), len(sent.body))
        if in_session:
            self._sessions.heard(outcome)
        return outcome

    async def again(self, sent: Sent, table: RouteTable, variant: Variant, pool: Upstream, began: float) -> Outcome:
        """The second try of an errand whose pooled connection was stale."""
        sent_at = perf_counter()
        outcome = await self._send(table, variant, sent, pool)
        self.measure(outcome, began, sent_at, perf_counter(), len(sent.body))
        return await self._concluded(outcome, sent, began)

    async def _send(self, table: RouteTable, variant: Variant, sent: Sent, stale: Upstream | None = None) -> Outcome:
        if variant.fault is not None and (struck := await faults.strike(variant.fault)) is not None:
            return Outcome("answered", table, variant, struck[0], {b"content-type": b"text/plain"}, struck[1])
        body = sent.body
        request = b"%b%d\r\n\r\n" % (start(sent.head), len(body))
        tried: set[str] = set()
        while True:
            pool = stale or self._replicas.pick(variant, tried)
            if pool is None:
                return Outcome("no-replica", table, variant)
            try:
                if pool.load >= MOST_CONNECTIONS and stale is None:
                    await self._replicas.room(table, variant)
                reply = await pool.request(request, body, variant.timeout_s, sent.streaming, stale is not None)
            except QueueFull:
                return Outcome("full", table, variant)
            except UpstreamError as problem:
                if problem.sent:
                    return _by(pool, self.failed(table, variant, problem))
                refused(pool)
                tried.add(pool.socket)
                stale = None
                continue
            finally:
                self.left(table, variant)
            return _by(pool, self.answered(table, variant, reply))

    # --- the books of a call, also kept by errands --------------------------------------------------------

    @staticmethod
    def answered(table: RouteTable, variant: Variant, reply: Reply) -> Outcome:
        return Outcome("answered", table, variant, reply.status, reply.headers, reply.body, reply.stream)

    @staticmethod
    def failed(table: RouteTable, variant: Variant, problem: UpstreamError) -> Outcome:
        """A request that the model may have seen."""
        if isinstance(problem, TimedOut):
            return Outcome("timeout", table, variant)
        return Outcome("broken", table, variant, detail=str(problem))

    def left(self, table: RouteTable, variant: Variant) -> None:
        """A request of this variant is no longer under way."""
        self._replicas.done(table, variant)

    def measure(self, outcome: Outcome, began: float, sent_at: float, ended: float, sent_bytes: int) -> None:
        """`began`: the call came; `sent_at` and `ended`: the model had it. All by `perf_counter`. A streamed answer's bytes are not known."""
        table = outcome.table
        cell = self._meter.cell(table.account, table.region, table.endpoint, outcome.variant.name, outcome.variant.config)
        if outcome.kind == "answered" and 200 <= outcome.status < 300:
            cell.well(ended - sent_at, sent_at - began + perf_counter() - ended, sent_bytes, len(outcome.body))
        else:
            self._count(cell, outcome, began, sent_at, ended)
            cell.weigh(sent_bytes, len(outcome.body), ended - sent_at)
        if outcome.variant.component:
            part = f"{metering.COMPONENT}{outcome.variant.component}"
            cell = self._meter.cell(table.account, table.region, table.endpoint, outcome.variant.name, part=part)
            self._count(cell, outcome, began, sent_at, ended)
            cell.dropped += outcome.kind == "no-replica"
        if outcome.replica:
            instance = instance_id(outcome.replica)
            cell = self._meter.cell(table.account, table.region, table.endpoint, outcome.variant.name, part=instance)
            self._count(cell, outcome, began, sent_at, ended)

    @staticmethod
    def _count(cell: metering.Cell, outcome: Outcome, began: float, sent_at: float, ended: float) -> None:
        cell.invocations += 1
        if outcome.kind == "answered":
            if not 200 <= outcome.status < 300:
                _tally(cell, outcome)
            metering.count(cell.model_us, ended - sent_at)
            metering.count(cell.overhead_us, sent_at - began + perf_counter() - ended)
        else:
            _tally(cell, outcome)

    def capture(self, outcome: Outcome, sent: Sent, body: bytes) -> None:
        """The last of its books: what is captured of it, and its copies. `body` is what was sent."""
        event_id = None
        if (
            self._capture is not None
            and outcome.kind == "answered"
            and outcome.table.capture
            and 200 <= outcome.status < 300
            and not sent.streaming
        ):
            said = (outcome.header(b"content-type") or "", outcome.body)
            event_id = self._capture.record(
                outcome.table, outcome.variant.name, (sent.content_type, body), said, sent.inference_id, sent.attributes
            )
        if outcome.table.shadows:
            self._shadows.copy(outcome, sent.carrying(body), event_id)


def _by(pool: Upstream, outcome: Outcome) -> Outcome:
    """Says which replica had it, where that is counted."""
    if outcome.variant.enhanced:
        outcome.replica = next((r.id for r in outcome.variant.replicas if r.socket == pool.socket), "")
    return outcome


def _tally(cell: metering.Cell, outcome: Outcome) -> None:
    """What went wrong, of which kind."""
    if outcome.kind in ("answered", "timeout", "broken"):
        cell.model_errors += 1
    no_copies = outcome.kind == "no-replica" and outcome.variant.component
    if outcome.kind in ("no-model", "not-ready", "throttled") or no_copies or (outcome.kind == "answered" and 400 <= outcome.status < 500):
        cell.errors_4xx += 1
    else:
        cell.errors_5xx += 1
