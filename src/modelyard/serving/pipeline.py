"""Calls of variants whose instances run several containers, or one with many models.

Serial: the body of each answer, with its Content-Type, is the request of the next container; all of them have the variant's time
together. The caller's Accept goes to the last container: the ones before it speak to the next container, in their own default type
(AWS's sample pipelines set SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT for that). Direct: one container, named by the caller.
A container of mode MultiModel is asked for one of its models (serving/multimodel.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic, perf_counter

from modelyard.serving import faults
from modelyard.serving.multimodel import ManyModels
from modelyard.serving.notes import Notes
from modelyard.serving.outcome import Outcome, Wants
from modelyard.serving.replicas import MOST_CONNECTIONS, QueueFull, Replicas, refused
from modelyard.serving.routes import Replica, RouteTable, Variant
from modelyard.serving.upstream import TimedOut, Upstream, UpstreamError


@dataclass(slots=True)
class Request:
    """One invocation on its way through a variant. `head` are the caller's header lines, each ended by CRLF."""

    table: RouteTable
    variant: Variant
    head: bytes
    body: bytes
    streaming: bool
    wants: Wants
    deadline: float


@dataclass(slots=True)
class Instance:
    """A replica with the pools of all its containers, in order."""

    replica: Replica
    names: tuple[str, ...]
    pools: list[Upstream]

    @property
    def load(self) -> int:
        return max(pool.load for pool in self.pools)


class Pipelines:
    """On the gateway's loop."""

    def __init__(self, replicas: Replicas, notes: Notes, models: ManyModels) -> None:
        self._replicas, self._notes, self._models = replicas, notes, models

    async def send(self, table: RouteTable, variant: Variant, head: bytes, body: bytes, streaming: bool, wants: Wants) -> Outcome:
        """The outcome of one invocation. An instance that refuses a connection is passed over for the next one."""
        if variant.fault is not None and (struck := await faults.strike(variant.fault)) is not None:
            return Outcome("answered", table, variant, struck[0], {b"content-type": b"text/plain"}, struck[1])
        request = Request(table, variant, head, body, streaming, wants, monotonic() + variant.timeout_s)
        tried: set[str] = set()
        while True:
            instance = self._pick(request, tried)
            if instance is None:
                return Outcome("no-replica", table, variant)
            try:
                if instance.load >= MOST_CONNECTIONS:
                    await self._replicas.room(table, variant)
                with _held(instance.pools):
                    outcome = await self._through(request, instance)
            except QueueFull:
                return Outcome("full", table, variant)
            finally:
                self._replicas.done(table, variant)
            if outcome is not None:
                outcome.replica = instance.replica.id if variant.enhanced else ""
                return outcome
            tried.add(instance.replica.socket)

    async def _through(self, request: Request, instance: Instance) -> Outcome | None:
        """None where a container took no connection: nothing of this call was answered."""
        if request.variant.mode == "Direct":
            place = instance.names.index(request.wants.hostname)
            outcome = await self._ask(request, instance, place, request.head, request.body, request.streaming)
            self._count(request, outcome)
            return outcome
        head, body, last = request.head, request.body, len(instance.pools) - 1
        for place in range(len(instance.pools)):
            lines = head if place == last else without(head, b"accept")
            outcome = await self._ask(request, instance, place, lines, body, request.streaming and place == last)
            if outcome is None or outcome.kind != "answered" or not 200 <= outcome.status < 300:
                return outcome
            body = outcome.body
            head = with_content_type(request.head, (outcome.headers or {}).get(b"content-type"))
        return outcome

    async def _ask(self, request: Request, instance: Instance, place: int, head: bytes, body: bytes, streaming: bool) -> Outcome | None:
        """One container's answer; None where it took no connection."""
        name, pool, variant = instance.names[place], instance.pools[place], request.variant
        outcome = Outcome("answered", request.table, variant, container=name or "primary")
        began = perf_counter()
        try:
            many = ((variant.extra or {}).get("models") or {}).get(name)
            if many is not None:
                found = await self._models.ask(request, many, instance.replica, pool, head, body, streaming, outcome)
            else:
                lines = b"POST /invocations HTTP/1.1\r\nHost: localhost:8080\r\n%bContent-Length: %d\r\n\r\n" % (head, len(body))
                found = await pool.request(lines, body, max(request.deadline - monotonic(), 0.001), streaming)
        except TimedOut:
            outcome.kind = "timeout"
        except UpstreamError as problem:
            if not problem.sent:
                refused(pool)
                return None
            outcome.kind, outcome.detail = "broken", str(problem)
        else:
            if found is not None:
                outcome.status, outcome.headers, outcome.body, outcome.stream = found.status, found.headers, found.body, found.stream
        if name:
            self._notes.took(request.table, variant, "ContainerLatency", perf_counter() - began, name)
        return outcome

    def _count(self, request: Request, outcome: Outcome | None) -> None:
        """What AWS counts of each container in Direct mode."""
        if outcome is None:
            return
        client = outcome.kind == "answered" and 400 <= outcome.status < 500
        good = outcome.kind == "answered" and 200 <= outcome.status < 300
        for name, value in (
            ("Invocations", 1),
            ("Invocation4XXErrors", int(client)),
            ("Invocation5XXErrors", int(not client and not good)),
        ):
            self._notes.add(request.table, request.variant, name, value, outcome.container)

    def _pick(self, request: Request, tried: set[str]) -> Instance | None:
        """The instance with the fewest requests under way; of those with many models, one that has the model."""
        now, best, best_rank = monotonic(), None, None
        many = next(iter(((request.variant.extra or {}).get("models") or {}).items()), None)
        for replica in request.variant.replicas:
            sockets = (replica.socket, *(s.socket for s in replica.stages))
            pools = [self._replicas.pool(socket) for socket in sockets]
            if replica.socket in tried or not all(pools):
                continue
            instance = Instance(replica, (replica.hostname, *(s.hostname for s in replica.stages)), pools)
            down = any(pool.down_until > now for pool in pools)
            if many is None:
                rank = (down, instance.load, pools[0].turn)
            else:
                pool = pools[instance.names.index(many[0])]
                rank = (down, *self._models.rank(pool, replica, many[1], request.wants.model or "", instance.load))
            if best_rank is None or rank < best_rank:
                best, best_rank = instance, rank
        if best is not None:
            best.pools[0].turn += 1
        return best


@contextmanager
def _held(pools: Sequence[Upstream]) -> Iterator[None]:
    """Keeps every container of an instance in use from the first one's request to the last one's answer."""
    for pool in pools:
        pool.outstanding += 1
    try:
        yield
    finally:
        for pool in pools:
            pool.outstanding -= 1
            pool.quiet()


def without(head: bytes, *names: bytes) -> bytes:
    """Header lines but for those of these (lower-case) names."""
    lines = head.split(b"\r\n")[:-1]
    return b"".join(line + b"\r\n" for line in lines if line.partition(b":")[0].lower() not in names)


def with_content_type(head: bytes, content_type: bytes | None) -> bytes:
    rest = without(head, b"content-type")
    return rest if content_type is None else b"Content-Type: " + content_type + b"\r\n" + rest
