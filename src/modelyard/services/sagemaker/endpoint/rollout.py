"""What an endpoint does next. Pure.

Blue/green, all at once: every replica of the wanted deployment is up and healthy before the route table
changes; the table is read back from the store before old replicas are told to stop; a replica that cannot come up
leaves traffic where it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.store import Step
from modelyard.services.sagemaker.endpoint.actions import CreateReplica, Publish, StopReplica
from modelyard.services.sagemaker.endpoint.deployment import replica_names
from modelyard.services.sagemaker.endpoint.table import same_routes, table_of

LOOK_SECONDS = 2.0
"""A look that nobody asked for. Each change of a replica wakes its endpoint, so this is only a second line."""


@dataclass(frozen=True)
class Child:
    """A replica as its endpoint sees it; `route` is the row of a healthy one in the route table (endpoint/container.py)."""

    name: str
    uid: str
    status: str
    stopping: bool
    route: Mapping[str, Any] | None = None
    reason: str = ""


@dataclass(frozen=True)
class Seen:
    children: Sequence[Child]
    routes_version: int
    routes: Mapping[str, Any] | None


def decide(endpoint: Record, seen: Seen, now: float) -> Step:
    if endpoint.spec.get("delete"):
        return _delete(endpoint, seen, now)
    if endpoint.status == "Failed":
        return Step("Failed", do=_stops(seen.children), wake_in_real_s=LOOK_SECONDS if seen.children else None)
    if endpoint.state.get("settled") != endpoint.spec["wanted"]["edition"]:
        return _roll(endpoint, seen, now)
    return _serve(endpoint, seen)


def _delete(endpoint: Record, seen: Seen, now: float) -> Step:
    if endpoint.status != "Deleting":
        return Step("Deleting", wake_at=now)
    if seen.routes is not None:
        return Step("Deleting", do=[Publish(endpoint.arn, seen.routes_version + 1, None)], wake_at=now)
    if not seen.children:
        return Step("Deleting", delete=True)
    return Step("Deleting", do=_stops(seen.children), wake_in_real_s=LOOK_SECONDS)


def _roll(endpoint: Record, seen: Seen, now: float) -> Step:
    """On the way from `serving` (nothing yet, when it is created) to `wanted`."""
    wanted, serving = endpoint.spec["wanted"], endpoint.state.get("serving")
    if endpoint.status == "InService":
        return Step("Updating", {"failure": None}, wake_at=now)
    names = replica_names(endpoint.uid, wanted)
    mine = [c for c in seen.children if c.name in names]
    failed = next((c for c in mine if c.status == "Failed"), None)
    if failed is not None:
        end = "Failed" if serving is None else "InService"
        return Step(end, {"settled": wanted["edition"], "failure": failed.reason}, wake_at=now, detail={"reason": failed.reason})
    ready = [c for c in mine if c.route is not None and not c.stopping]
    if len(ready) == len(names):
        table = table_of(endpoint, wanted, seen.children)
        if seen.routes is not None and same_routes(seen.routes, table):
            return Step("InService", {"serving": wanted, "settled": wanted["edition"], "failure": None}, wake_at=now)
        return Step(endpoint.status, do=[_publish(endpoint, seen, table)], wake_at=now)
    do: list[Any] = [CreateReplica(endpoint, n, v) for n, v in names.items() if n not in {c.name for c in seen.children}]
    if serving is not None:
        do += _keep_routes(endpoint, serving, seen)
    return Step(endpoint.status, do=do, wake_in_real_s=LOOK_SECONDS)


def _serve(endpoint: Record, seen: Seen) -> Step:
    """In service: the table follows the health of the replicas; what is not wanted goes, what is missing comes."""
    serving = endpoint.state["serving"]
    names = replica_names(endpoint.uid, serving)
    do = _keep_routes(endpoint, serving, seen)
    have = {c.name for c in seen.children}
    do += [CreateReplica(endpoint, n, v) for n, v in names.items() if n not in have]
    extras = [c for c in seen.children if c.name not in names or c.status == "Failed"]
    if not do:  # only once the table without them is what gateways read
        do = _stops(extras)
    return Step("InService", do=do, wake_in_real_s=LOOK_SECONDS if do or extras else None)


def _keep_routes(endpoint: Record, deployment: Mapping[str, Any], seen: Seen) -> list[Any]:
    table = table_of(endpoint, deployment, seen.children)
    if seen.routes is not None and same_routes(seen.routes, table):
        return []
    return [_publish(endpoint, seen, table)]


def _publish(endpoint: Record, seen: Seen, table: dict[str, Any]) -> Publish:
    version = seen.routes_version + 1
    return Publish(endpoint.arn, version, {**table, "version": version})


def _stops(children: Sequence[Child]) -> list[Any]:
    return [StopReplica(c.uid) for c in children if not c.stopping]
