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
    # A variant at zero instances (asynchronous) has its row all the same.
    variants = {v["name"]: {"name": v["name"], "weight": v["weight"], "replicas": []} for v in deployment["variants"]}
    for name, variant in replica_names(endpoint.uid, dict(deployment)).items():
        row = variants[variant["name"]]
        if name in routes:
            row["replicas"].append({"id": routes[name][0], "socket": routes[name][1]})
    asynchronous = deployment.get("asynchronous")
    return {
        "key": endpoint.arn,
        "account": endpoint.account,
        "region": endpoint.region,
        "endpoint": endpoint.name,
        "variants": list(variants.values()),
        "capture": deployment["capture"],
        **({"asynchronous": {**asynchronous, "incarnation": endpoint.uid}} if asynchronous else {}),
    }


def same_routes(published: Mapping[str, Any], table: Mapping[str, Any]) -> bool:
    return {**published, "version": 0} == {**table, "version": 0}
