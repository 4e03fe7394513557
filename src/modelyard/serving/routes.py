"""Route tables: where an endpoint's calls go. Immutable; swapped whole; written by the engine,
read by gateways (see `kernel/store.py`: `publish_routes`, `routes_since`).

In the store a table is plain JSON: `as_body` and `from_body` are the two directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Replica:
    """One model server: its run id, and the unix socket on which it answers HTTP.

    Beside the socket lies `<socket>.use`: a gateway holds a shared `flock` on it as long as it may still send
    to this replica or waits for its answer; the engine takes it exclusively before it stops the server. So a
    replica is stopped only when no gateway uses it, and the kernel frees the lock of a gateway that was killed.
    """

    id: str
    socket: str


@dataclass(frozen=True)
class Variant:
    name: str
    weight: float
    replicas: tuple[Replica, ...]
    timeout_s: float = 60.0


@dataclass(frozen=True)
class RouteTable:
    """`key` is the endpoint ARN; `version` rises with every change of this endpoint's table.

    `capture` is the DataCaptureConfig of the endpoint configuration where capture is on, else None.
    """

    key: str
    account: str
    region: str
    endpoint: str
    version: int
    variants: tuple[Variant, ...] = field(default=())
    capture: Mapping[str, Any] | None = None


def endpoint_arn(account: str, region: str, name: str) -> str:
    """AWS lower-cases the name in the ARN, so names that differ in case only are the same endpoint."""
    return f"arn:aws:sagemaker:{region}:{account}:endpoint/{name.lower()}"


def use_file(socket: str) -> str:
    return socket + ".use"


def as_body(table: RouteTable) -> dict[str, Any]:
    return asdict(table)


def from_body(body: Mapping[str, Any]) -> RouteTable:
    variants = tuple(
        Variant(v["name"], v["weight"], tuple(Replica(r["id"], r["socket"]) for r in v["replicas"]), v.get("timeout_s", 60.0))
        for v in body["variants"]
    )
    return RouteTable(body["key"], body["account"], body["region"], body["endpoint"], body["version"], variants, body.get("capture"))
