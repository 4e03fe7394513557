"""Route tables: where an endpoint's calls go. Immutable; swapped whole; written by the engine,
read by gateways (see `kernel/store.py`: `publish_routes`, `routes_since`)."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Replica:
    """One model server: its run id, and the unix socket on which it answers HTTP."""

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
    """`key` is the endpoint ARN; `version` rises with every change of this endpoint's table."""

    key: str
    account: str
    region: str
    endpoint: str
    version: int
    variants: tuple[Variant, ...] = field(default=())
