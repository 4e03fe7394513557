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
    mark = key * sum(v.weight for v in variants)
    last = None
    for variant in variants:
        if variant.weight <= 0:
            continue
        if mark < variant.weight:
            return variant
        mark -= variant.weight
        last = variant
    return last


def named(table: RouteTable, name: str) -> Variant | None:
    """The variant a caller asked for by `TargetVariant`."""
    return next((v for v in table.variants if v.name == name), None)
