"""Route tables: where an endpoint's calls go. Immutable; swapped whole; written by the engine,
read by gateways (see `kernel/store.py`: `publish_routes`, `routes_since`).

In the store a table is plain JSON: `as_body` and `from_body` are the two directions.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Stage:
    """A further container of the same instance: its ContainerHostname and the unix socket on which it answers HTTP."""

    hostname: str
    socket: str


@dataclass(frozen=True)
class Replica:
    """One instance: its run id, and the unix socket on which its (first) container answers HTTP. `hostname` and `stages` are
    there for models of several containers: a serial pipeline goes through socket and then each stage, in order; in Direct
    mode the caller names the hostname.

    Beside the socket lies `<socket>.use`: a gateway holds a shared `flock` on it as long as it may still send
    to this replica or waits for its answer; the engine takes it exclusively before it stops the server. So a
    replica is stopped only when no gateway uses it, and the kernel frees the lock of a gateway that was killed.
    """

    id: str
    socket: str
    hostname: str = ""
    stages: tuple[Stage, ...] = ()


@dataclass(frozen=True)
class Fault:
    """An injected fault for rehearsals: a share of calls (0 to 1) that fail with `status`, and seconds added to every call."""

    error_rate: float = 0.0
    status: int = 500
    latency_s: float = 0.0


@dataclass(frozen=True)
class Variant:
    """One row of the split. While a deployment shifts traffic, blue and green have rows of the same `name`, told apart by
    `fleet` (the edition of their deployment): their weights are the shares already, and TargetVariant chooses among the rows of
    its name by weight.

    `mode` is how its containers are called: "" (one container), Serial, Direct or MultiModel; Components: it has none of its own. `kind` is instance or serverless;
    `most_at_once` limits the calls under way in the whole variant (serverless MaxConcurrency), 0: only by replica.
    """

    name: str
    weight: float
    replicas: tuple[Replica, ...]
    timeout_s: float = 60.0
    fleet: str = ""
    mode: str = ""
    kind: str = "instance"
    most_at_once: int = 0
    fault: Fault | None = None
    extra: Mapping[str, Any] | None = None
    """What one mode or kind alone needs (multi-model: artifact prefix and role; serverless: record to wake)."""
    share: float = 1.0
    """Of the variant's calls, as long as two fleets have rows of its name: what TargetVariant goes by, also where the weight is 0."""
    config: str = ""
    """The endpoint configuration of its deployment (the EndpointConfigName dimension of metrics)."""
    enhanced: bool = False
    """Its invocations are counted by InstanceId too (EnableEnhancedMetrics)."""
    component: str = ""
    """The inference component that its replicas are copies of: the table is the component's, under its ARN."""

    @property
    def plain(self) -> bool:
        """Nothing but: choose a replica, send, answer. What the fast path of the gateway takes."""
        return not self.mode and self.kind == "instance" and self.fault is None and not self.enhanced and not self.component


@dataclass(frozen=True)
class Shadow:
    """Gets copies of `percent` of the calls that production variant `of` (of the same fleet) was sent; its answers reach nobody but
    metrics and capture."""

    of: str
    percent: float
    variant: Variant


@dataclass(frozen=True)
class RouteTable:
    """`key` is the endpoint ARN; `version` rises with every change of this endpoint's table.

    `capture` is the DataCaptureConfig of the endpoint configuration where capture is on, else None. `asynchronous` is the
    AsyncInferenceConfig of an asynchronous endpoint, else None.
    """

    key: str
    account: str
    region: str
    endpoint: str
    version: int
    variants: tuple[Variant, ...] = field(default=())
    capture: Mapping[str, Any] | None = None
    shadows: tuple[Shadow, ...] = ()
    asynchronous: Mapping[str, Any] | None = None

    @cached_property
    def plain(self) -> bool:
        """Every call is: choose a row, choose a replica, send, answer. Then it needs no coroutine (`Invoker.begin`)."""
        return self.asynchronous is None and all(v.plain and not v.most_at_once for v in self.variants)

    @property
    def every(self) -> tuple[Variant, ...]:
        """All rows that have replicas, those of shadows too."""
        return (*self.variants, *(shadow.variant for shadow in self.shadows)) if self.shadows else self.variants

    @cached_property
    def weights(self) -> float:
        """The sum of the variants' weights."""
        return sum(v.weight for v in self.variants)


def endpoint_arn(account: str, region: str, name: str) -> str:
    """AWS lower-cases the name in the ARN, so names that differ in case only are the same endpoint."""
    return f"arn:aws:sagemaker:{region}:{account}:endpoint/{name.lower()}"


def component_arn(account: str, region: str, name: str) -> str:
    return f"arn:aws:sagemaker:{region}:{account}:inference-component/{name.lower()}"


def instance_id(replica: str) -> str:
    """The InstanceId of a replica's log stream and metrics, from its id (or that of one of its runs)."""
    return f"i-{replica[:17]}"


def use_file(socket: str) -> str:
    return socket + ".use"


def as_body(table: RouteTable) -> dict[str, Any]:
    return asdict(table)


def from_body(body: Mapping[str, Any]) -> RouteTable:
    return RouteTable(
        body["key"],
        body["account"],
        body["region"],
        body["endpoint"],
        body["version"],
        tuple(_variant(v) for v in body["variants"]),
        body.get("capture"),
        tuple(Shadow(s["of"], s["percent"], _variant(s["variant"])) for s in body.get("shadows", ())),
        body.get("asynchronous"),
    )


def _variant(row: Mapping[str, Any]) -> Variant:
    fault = row.get("fault")
    return Variant(
        row["name"],
        row["weight"],
        tuple(_replica(r) for r in row["replicas"]),
        row.get("timeout_s", 60.0),
        row.get("fleet", ""),
        row.get("mode", ""),
        row.get("kind", "instance"),
        row.get("most_at_once", 0),
        Fault(**fault) if fault else None,
        row.get("extra"),
        row.get("share", 1.0),
        row.get("config", ""),
        row.get("enhanced", False),
        row.get("component", ""),
    )


def _replica(row: Mapping[str, Any]) -> Replica:
    stages = tuple(Stage(s["hostname"], s["socket"]) for s in row.get("stages", ()))
    return Replica(row["id"], row["socket"], row.get("hostname", ""), stages)
