"""Which production variant a call goes to: by weight, or by name. Pure."""

from __future__ import annotations

from modelyard.serving.routes import RouteTable, Variant


def choose(table: RouteTable, key: float) -> Variant | None:
    """The variant at `key` (0 ≤ key < 1) of the weights laid end to end; None where no weight is above 0.

    A variant gets `weight / sum of weights` of the calls whether its replicas are well or not: an unhealthy
    variant fails its own share, as on AWS, and never hides behind another model.
    """
    variants = table.variants
    if len(variants) == 1:
        return variants[0] if variants[0].weight > 0 else None
    mark = key * table.weights
    last = None
    for variant in variants:
        if variant.weight <= 0:
            continue
        if mark < variant.weight:
            return variant
        mark -= variant.weight
        last = variant
    return last


def named(table: RouteTable, name: str, key: float = 0.0) -> Variant | None:
    """The variant a caller asked for by `TargetVariant`; while two fleets have rows of that name, the one at `key` (0 ≤ key < 1)
    of their shares."""
    rows = [v for v in table.variants if v.name == name]
    if len(rows) < 2:
        return rows[0] if rows else None
    mark = key * sum(v.share for v in rows)
    for row in rows:
        if mark < row.share:
            return row
        mark -= row.share
    return rows[-1]
