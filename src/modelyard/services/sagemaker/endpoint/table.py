"""The route table of an endpoint: a deployment and the replicas that are healthy, as gateways read it (serving/routes.py). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from modelyard.kernel.records import Record
from modelyard.services.sagemaker.endpoint.deployment import replica_names

if TYPE_CHECKING:
    from modelyard.services.sagemaker.endpoint.rollout import Child


def table_of(endpoint: Record, deployment: Mapping[str, Any], children: Sequence[Child]) -> dict[str, Any]:
    """The route table (without its version) over the healthy replicas of a deployment."""
    routes = {c.name: c.route for c in children if c.route is not None and not c.stopping}
    variants: dict[str, dict[str, Any]] = {}
    for name, variant in replica_names(endpoint.uid, dict(deployment)).items():
        row = variants.setdefault(
            variant["name"], {"name": variant["name"], "weight": variant["weight"], "replicas": [], **_calls(variant)}
        )
        if name in routes:
            row["replicas"].append(routes[name])
    return {
        "key": endpoint.arn,
        "account": endpoint.account,
        "region": endpoint.region,
        "endpoint": endpoint.name,
        "variants": list(variants.values()),
        "capture": deployment["capture"],
    }


def _calls(variant: Mapping[str, Any]) -> dict[str, Any]:
    """How its containers are called, where that is not plain: see `Variant.mode` and `Variant.extra` in serving/routes.py."""
    return {member: variant[member] for member in ("mode", "extra") if variant.get(member)}


def same_routes(published: Mapping[str, Any], table: Mapping[str, Any]) -> bool:
    return {**published, "version": 0} == {**table, "version": 0}
