"""Containers that host many models: a model is brought when it is first asked for and unloaded when others need its place.

The contract with the container is AWS's ("Custom containers contract for multi-model endpoints"): `POST /models` loads (409: it is
loaded; 507: no memory), `GET /models` lists, `DELETE /models/<name>` unloads, `POST /models/<name>/invoke` answers. The container's word
is what counts: what a gateway remembers of it is a shortcut, asked for again when an answer says otherwise. Artifacts lie on a
`Shelf` beside the replica, one gateway at a time working on one of them; a killed gateway leaves its lock to the next.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

from modelyard.serving.notes import INSTANCES, Notes
from modelyard.serving.outcome import Outcome
from modelyard.serving.routes import Replica
from modelyard.serving.shelf import CannotBring, NoRoom, Shelf
from modelyard.serving.upstream import Reply, TimedOut, Upstream, UpstreamError

if TYPE_CHECKING:
    from modelyard.serving.pipeline import Request

LOAD_SECONDS = 360.0
"""AWS goes on bringing and loading a model for so long, whoever waits for it."""
UNLOAD_SECONDS = 60.0
LOCK_POLL_SECONDS = 0.02
CROWDED = 8
"""So many requests under way at an instance that has the model, and another one is given it as well."""
COUNT_EVERY_SECONDS = 60.0
MOST_TURNS = 3


@dataclass(slots=True)
class Model:
    used_at: float
    in_use: int = 0


@dataclass(slots=True)
class Cabinet:
    """One container's models, as this gateway knows them."""

    pool: Upstream
    models: dict[str, Model] = field(default_factory=dict)
    loads: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    known: bool = False
    counted_at: float = -COUNT_EVERY_SECONDS


class Failed(Exception):
    """A model did not come; `fill` writes the caller's outcome."""

    def __init__(self, kind: str, detail: str = "", reply: Reply | None = None) -> None:
        super().__init__(detail)
        self.kind, self.detail, self.reply = kind, detail, reply


def name_of(many: Mapping[str, Any], target: str) -> str:
    """The model's name to the container: opaque, and safe as the name of a folder."""
    return hashlib.sha256(f"{many['url']}\n{target}".encode()).hexdigest()[:32]


class ManyModels:
    """On the gateway's loop. `shelf_of(account, region, many, replica id)` gives the shelf of an instance."""

    def __init__(self, notes: Notes, shelf_of: Callable[[str, str, Mapping[str, Any], str], Shelf] | None) -> None:
        self._notes, self._shelf_of = notes, shelf_of
        self._cabinets: dict[str, Cabinet] = {}

    def rank(self, pool: Upstream, replica: Replica, many: Mapping[str, Any], target: str, load: int) -> tuple[int, int, bytes]:
        """Where a call goes, lowest first: to an instance that has the model and is not crowded, then where its name falls, so that
        gateways that know nothing of each other bring it to the same instance."""
        name, cabinet = name_of(many, target), self._cabinets.get(pool.socket)
        there = cabinet is not None and (name in cabinet.models or name in cabinet.loads)
        place = hashlib.sha256(f"{replica.id.rpartition('-')[0]} {name}".encode()).digest()
        if there:
            return (0, load, place) if load < CROWDED else (1, load, place)
        return 1, load // CROWDED * CROWDED, place

    async def ask(
        self,
        request: Request,
        many: Mapping[str, Any],
        replica: Replica,
        pool: Upstream,
        head: bytes,
        body: bytes,
        streaming: bool,
        outcome: Outcome,
    ) -> Reply | None:
        """The model's answer; None where it did not come to that: `outcome` says why. Raises UpstreamError as `Upstream.request`."""
        target = request.wants.model or ""
        name, cabinet = name_of(many, target), await self._cabinet(pool)
        shelf = self._shelf_of(request.table.account, request.table.region, many, replica.id)
        self._notes.add(request.table, request.variant, "ModelCacheHit", int(name in cabinet.models))
        target_line = b"X-Amzn-SageMaker-Target-Model: " + target.encode("latin-1", "replace") + b"\r\n"
        lines = b"POST /models/%b/invoke HTTP/1.1\r\nHost: localhost:8080\r\n%b%bContent-Length: %d\r\n\r\n"
        lines = lines % (name.encode(), head, target_line, len(body))
        for turn in range(MOST_TURNS):
            try:
                await self._have(request, cabinet, shelf, name, target, target_line)
            except Failed as problem:
                outcome.kind, outcome.detail = problem.kind, problem.detail
                return problem.reply
            reply = await self._invoke(cabinet, name, lines, body, request.deadline, streaming)
            again = turn + 1 < MOST_TURNS and (
                (reply.status == 404 and not await self._is_there(cabinet, name))
                or (reply.status == 507 and await self._unload_one(request, cabinet, but=name))
            )
            if not again:
                break
        if not many["cached"]:
            await self._let_go(request, cabinet, shelf, name)
        self._count(request, cabinet)
        return reply

    # --- what is loaded --------------------------------------------------------------------------------

    async def _cabinet(self, pool: Upstream) -> Cabinet:
        """Asks the container once what it has: this gateway may be younger than it."""
        found = self._cabinets.get(pool.socket)
        if found is None or found.pool is not pool:
            found = self._cabinets[pool.socket] = Cabinet(pool)
            for socket in [s for s, c in self._cabinets.items() if c.pool.closed and not c.loads]:
                del self._cabinets[socket]
        if not found.known:
            for name in await _loaded(pool):
                found.models.setdefault(name, Model(monotonic()))
            found.known = True
        return found

    async def _is_there(self, cabinet: Cabinet, name: str) -> bool:
        """Whether the container has the model; where it has not, it is forgotten."""
        reply = await _talk(cabinet.pool, b"GET", f"/models/{name}")
        if reply.status == 404:
            cabinet.models.pop(name, None)
        return reply.status != 404

    async def _invoke(self, cabinet: Cabinet, name: str, lines: bytes, body: bytes, deadline: float, streaming: bool) -> Reply:
        model = cabinet.models.setdefault(name, Model(monotonic()))
        model.used_at = monotonic()
        model.in_use += 1
        try:
            return await cabinet.pool.request(lines, body, max(deadline - monotonic(), 0.001), streaming)
        finally:
            model.in_use -= 1

    async def _have(self, request: Request, cabinet: Cabinet, shelf: Shelf, name: str, target: str, target_line: bytes) -> None:
        """Returns when the container has the model. All who want it wait for one load, which goes on when they give up."""
        if name in cabinet.models and name not in cabinet.loads:
            return
        began = perf_counter()
        load = cabinet.loads.get(name)
        if load is None:
            load = cabinet.loads[name] = asyncio.ensure_future(self._load(request, cabinet, shelf, name, target, target_line))
            load.add_done_callback(lambda done: (cabinet.loads.pop(name, None), done.cancelled() or done.exception()))
        try:
            await asyncio.wait_for(asyncio.shield(load), max(request.deadline - monotonic(), 0.001))
        except TimeoutError:
            raise Failed("not-ready") from None
        except UpstreamError as problem:
            if not problem.sent:
                raise
            raise Failed("broken", str(problem)) from None
        finally:
            self._notes.took(request.table, request.variant, "ModelLoadingWaitTime", perf_counter() - began)

    # --- loading ---------------------------------------------------------------------------------------

    async def _load(self, request: Request, cabinet: Cabinet, shelf: Shelf, name: str, target: str, target_line: bytes) -> None:
        deadline = monotonic() + LOAD_SECONDS
        pool = cabinet.pool
        pool.outstanding += 1  # the instance is in use, also when nobody waits any more
        try:
            async with _alone(shelf, name, deadline):
                await self._bring(request, cabinet, shelf, name, target)
                await self._load_it(request, cabinet, shelf, name, target_line, deadline)
        finally:
            pool.outstanding -= 1
            pool.quiet()
        cabinet.models.setdefault(name, Model(monotonic()))
        self._count(request, cabinet, changed=True)

    async def _bring(self, request: Request, cabinet: Cabinet, shelf: Shelf, name: str, target: str) -> None:
        while True:
            try:
                took = await asyncio.to_thread(shelf.bring, name, target, set(cabinet.models) | set(cabinet.loads))
                break
            except NoRoom as problem:
                if not await self._unload_one(request, cabinet, but=name):
                    raise Failed("no-model", str(problem)) from None
            except CannotBring as problem:
                raise Failed("no-model", str(problem)) from None
            except OSError as problem:  # the replica is gone, or the disk is full
                raise Failed("broken", f"the model's files could not be written ({problem.strerror})") from None
        if took is not None:
            self._notes.took(request.table, request.variant, "ModelDownloadingTime", took)

    async def _load_it(self, request: Request, cabinet: Cabinet, shelf: Shelf, name: str, target_line: bytes, deadline: float) -> None:
        asked = orjson.dumps({"model_name": name, "url": shelf.url(name)})
        while True:
            began = perf_counter()
            reply = await _talk(cabinet.pool, b"POST", "/models", target_line, asked, deadline - monotonic())
            if 200 <= reply.status < 300:
                self._notes.took(request.table, request.variant, "ModelLoadingTime", perf_counter() - began)
                return
            if reply.status == 409:
                return
            if reply.status != 507 or not await self._unload_one(request, cabinet, but=name):
                raise Failed("answered", "", reply)

    # --- unloading -------------------------------------------------------------------------------------

    async def _unload_one(self, request: Request, cabinet: Cabinet, but: str) -> bool:
        """Unloads the model that was not used for the longest time and is not in use; False where there is none."""
        idle = [(m.used_at, n) for n, m in cabinet.models.items() if not m.in_use and n != but and n not in cabinet.loads]
        if not idle:
            return False
        await self._unload(request, cabinet, min(idle)[1])
        return True

    async def _unload(self, request: Request, cabinet: Cabinet, name: str) -> None:
        cabinet.models.pop(name, None)
        began = perf_counter()
        await _talk(cabinet.pool, b"DELETE", f"/models/{name}", timeout_s=UNLOAD_SECONDS)
        self._notes.took(request.table, request.variant, "ModelUnloadingTime", perf_counter() - began)
        self._count(request, cabinet, changed=True)

    async def _let_go(self, request: Request, cabinet: Cabinet, shelf: Shelf, name: str) -> None:
        """ModelCacheSetting Disabled: after its last call under way a model goes, from memory and from the storage."""
        model = cabinet.models.get(name)
        if model is None or model.in_use or name in cabinet.loads:
            return
        done = shelf.lock(name)
        if done is None:
            return
        try:
            await self._unload(request, cabinet, name)
            await asyncio.to_thread(shelf.drop, name)
        except (UpstreamError, OSError):
            return  # the container is gone, and its models with it
        finally:
            done()

    def _count(self, request: Request, cabinet: Cabinet, changed: bool = False) -> None:
        if changed or monotonic() - cabinet.counted_at > COUNT_EVERY_SECONDS:
            cabinet.counted_at = monotonic()
            self._notes.add(request.table, request.variant, "LoadedModelCount", len(cabinet.models), namespace=INSTANCES)


# --- talking to a container --------------------------------------------------------------------------


async def _talk(pool: Upstream, method: bytes, path: str, head: bytes = b"", body: bytes = b"", timeout_s: float = 10.0) -> Reply:
    kind = b"Content-Type: application/json\r\nAccept: application/json\r\n"
    lines = b"%b %b HTTP/1.1\r\nHost: localhost:8080\r\n%b%bContent-Length: %d\r\n\r\n" % (method, path.encode(), kind, head, len(body))
    return await pool.request(lines, body, max(timeout_s, 0.001))


async def _loaded(pool: Upstream) -> set[str]:
    """The names that `GET /models` tells, page by page; none where the container does not say."""
    names: set[str] = set()
    path = "/models"
    for _ in range(1000):
        try:
            reply = await _talk(pool, b"GET", path)
            page = orjson.loads(reply.body) if reply.status == 200 else {}
            names |= {row["modelName"] for row in page.get("models", [])}
            token = page.get("nextPageToken")
        except (TimedOut, orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            break
        if not token:
            break
        path = f"/models?next_page_token={quote(str(token), safe='')}"
    return names


@asynccontextmanager
async def _alone(shelf: Shelf, name: str, deadline: float):
    """Waits until no other gateway works on the model."""
    while True:
        try:
            done = shelf.lock(name)
        except OSError as problem:
            raise Failed("broken", f"the instance is gone ({problem.strerror})") from None
        if done is not None:
            break
        if monotonic() > deadline:
            raise Failed("not-ready")
        await asyncio.sleep(LOCK_POLL_SECONDS)
    try:
        yield
    finally:
        done()
