"""Which replica takes the next request: free slots of all replicas, variants by weight. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from modelyard.serving.asynchronous.queue import Place
from modelyard.serving.routes import RouteTable

MOST_PER_INSTANCE = 4
"""MaxConcurrentInvocationsPerInstance where the configuration names none ("SageMaker chooses an optimal value")."""


def limit(table: RouteTable) -> int:
    client = (table.asynchronous or {}).get("ClientConfig") or {}
    return client.get("MaxConcurrentInvocationsPerInstance", MOST_PER_INSTANCE)


def free(
    table: RouteTable, usable: Callable[[str], bool], running: Mapping[str, int], most: int, draw: Callable[[], float]
) -> Sequence[Place]:
    """At most `most` places. A variant gets work by its weight among those that have a free slot (a queue gives nothing to
    a variant that cannot take it); inside it the replica with the most free slots. `usable(socket)` says whether the driver may
    send to a replica; `draw()` is a random number from 0 to 1."""
    slots: dict[str, dict[str, int]] = {}
    weights: dict[str, float] = {}
    for row, variant in enumerate(table.variants):
        key = f"{row} {variant.name}"
        left = {r.id: limit(table) - running.get(r.id, 0) for r in variant.replicas if usable(r.socket)}
        left = {replica: number for replica, number in left.items() if number > 0}
        if left and variant.weight > 0:
            slots[key], weights[key] = left, variant.weight
    places: list[Place] = []
    while slots and len(places) < most:
        key = _choose({k: weights[k] for k in slots}, draw())
        replicas = slots[key]
        replica = max(replicas, key=lambda r: replicas[r])
        places.append((key.partition(" ")[2], replica))
        replicas[replica] -= 1
        if not replicas[replica]:
            del replicas[replica]
        if not replicas:
            del slots[key]
    return places


def _choose(weights: Mapping[str, float], mark: float) -> str:
    left = mark * sum(weights.values())
    for key, weight in weights.items():
        if left < weight:
            return key
        left -= weight
    return key
