"""Fleets: which replicas of which deployments there shall be, and who of them takes how much of the traffic. Pure.

While an endpoint is updated two deployments run side by side, the old ("blue") and the new ("green"); after a rolling update
whose rollback failed too, a mix of them serves for good (`state["mix"]`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.sagemaker.endpoint.deployment import replica_names


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
    """`alarms`: the state of each alarm the rollout watches, None for one that is gone. `real_now`: for what waits for processes.
    `needs`: what gateways need of serverless variants (serverless.py). `faults`: variant → the fault of a rehearsal (fault.py)."""

    children: Sequence[Child]
    routes_version: int
    routes: Mapping[str, Any] | None
    alarms: Mapping[str, str | None] = field(default_factory=dict)
    real_now: float = 0.0
    faults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    needs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    """What of a deployment takes traffic: by variant its share (None: all) and how many instances, from number 0 on (None: all)."""

    deployment: Mapping[str, Any]
    share: Mapping[str, float] | None = None
    active: Mapping[str, int] | None = None


def base_parts(state: Mapping[str, Any]) -> list[Part]:
    """What serves outside of a rollout; nothing before an endpoint was in service."""
    serving, mix = state.get("serving"), state.get("mix")
    if serving is None:
        return []
    if mix is None:
        return [Part(serving)]
    return [
        Part(serving, {v: 1.0 - share for v, share in mix["share"].items()}, mix["blue"]),
        Part(mix["deployment"], mix["share"], mix["active"]),
    ]


def parts_at(state: Mapping[str, Any], wanted: Mapping[str, Any], step: Mapping[str, Any] | None) -> list[Part]:
    """Who takes traffic once a step is done (None: before the first)."""
    base = base_parts(state)
    if step is None:
        return base
    old = []
    for part in base:
        left = {v["name"]: _left(part, v["name"], step) for v in part.deployment["variants"]}
        old.append(Part(part.deployment, left, step["blue"] if part.active is None else part.active))
    parts = [*old, Part(wanted, step["share"], step["active"])]
    parts = [p for p in parts if any((p.share or {}).values())]
    whole = len(parts) == 1 and set((parts[0].share or {}).values()) == {1.0}
    return [Part(parts[0].deployment, None, parts[0].active)] if whole else parts


def _left(part: Part, variant: str, step: Mapping[str, Any]) -> float:
    """What a step leaves to an old part. A variant that the new deployment lacks goes with the step that moves everything."""
    mine = 1.0 if part.share is None else part.share.get(variant, 0.0)
    return round(mine * (1.0 - step["share"].get(variant, 1.0)), 9)


def kept_names(uid: str, state: Mapping[str, Any], blue: Mapping[str, int] | None = None) -> dict[str, Mapping[str, Any]]:
    """The replicas, each with its variant, of what serves; of the old fleet the first `blue` of each variant (None: all)."""
    serving, mix = state.get("serving"), state.get("mix")
    if serving is None:
        return {}
    if mix is None:
        return replica_names(uid, serving, blue)
    return {**replica_names(uid, serving, mix["blue"]), **replica_names(uid, mix["deployment"], mix["green"])}


def is_ready(child: Child) -> bool:
    return child.route is not None and not child.stopping


def plan_in(endpoint: Record) -> Mapping[str, Any]:
    from modelyard.services.sagemaker.endpoint.policy import plain_plan

    wanted = endpoint.spec["wanted"]
    return wanted.get("plan") or plain_plan(wanted)
