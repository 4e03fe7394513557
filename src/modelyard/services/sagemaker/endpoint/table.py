"""The route table of an endpoint: what of which deployment takes traffic, over the replicas that are healthy, as gateways read it
(serving/routes.py). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.sagemaker.endpoint import serverless, shadows
from modelyard.services.sagemaker.endpoint.deployment import captures, replica_names
from modelyard.services.sagemaker.endpoint.fleets import Child, Part, is_ready

NO_FAULTS: Mapping[str, Mapping[str, Any]] = {}


def table_of(
    endpoint: Record, parts: Sequence[Part], children: Sequence[Child], faults: Mapping[str, Mapping[str, Any]] = NO_FAULTS
) -> dict[str, Any]:
    """The route table without its version. Two fleets side by side have rows of the same variant name: the weights of each
    fleet are made to sum up to 1, so that a fleet gets its share whatever weights its configuration counts in. What is said of
    the endpoint as a whole is the old deployment's until all traffic has moved."""
    routes = {c.name: c.route for c in children if is_ready(c)}
    asynchronous = parts[0].deployment.get("asynchronous")
    shadowed = [
        row
        for part in parts
        for row in shadows.rows(part.deployment, replica_names(endpoint.uid, part.deployment, part.active), routes, part.share, faults)
    ]
    return {
        "key": endpoint.arn,
        "account": endpoint.account,
        "region": endpoint.region,
        "endpoint": endpoint.spec.get("endpoint", endpoint.name),
        "variants": [
            {**row, **({"fault": faults[row["name"]]} if row["name"] in faults else {})}
            for part in parts
            for row in _rows(endpoint, part, routes, alone=len(parts) == 1)
        ],
        "capture": capture if captures(capture := parts[0].deployment["capture"]) else None,
        **({"shadows": shadowed} if shadowed else {}),
        **({"asynchronous": {**asynchronous, "incarnation": endpoint.uid}} if asynchronous else {}),
    }


def _rows(endpoint: Record, part: Part, routes: Mapping[str, Any], alone: bool) -> list[dict[str, Any]]:
    deployment, rows = part.deployment, {}
    total = sum(v["weight"] for v in deployment["variants"]) or 1.0
    for variant in deployment["variants"]:
        share = 1.0 if part.share is None else part.share.get(variant["name"], 0.0)
        if share > 0:
            weight = variant["weight"] if alone else variant["weight"] / total * share
            fleet = {"fleet": str(deployment["edition"]), "config": deployment["config"], "share": share}
            rows[variant["name"]] = {
                "name": variant["name"],
                "weight": weight,
                "replicas": [],
                **fleet,
                **_calls(variant),
                **shadows.enhanced(deployment),
                **({"component": deployment["component"]} if deployment.get("component") else {}),
                **serverless.row(endpoint, variant),
            }
    for name, variant in replica_names(endpoint.uid, deployment, part.active).items():
        if name in routes and variant["name"] in rows:
            rows[variant["name"]]["replicas"].append(routes[name])
    return list(rows.values())


def _calls(variant: Mapping[str, Any]) -> dict[str, Any]:
    """How its containers are called, where that is not plain: see `Variant.mode` and `Variant.extra` in serving/routes.py."""
    return {member: variant[member] for member in ("mode", "extra") if variant.get(member)}


def same_routes(published: Mapping[str, Any], table: Mapping[str, Any]) -> bool:
    return {**published, "version": 0} == {**table, "version": 0}
