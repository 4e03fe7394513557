"""What an endpoint does next. Pure.

Creating and updating are a walk of their own (shift.py). In service, the route table follows the health of the replicas: what is
not wanted goes once the table without it is what gateways read, what is missing comes.
"""

from __future__ import annotations

from modelyard.kernel.records import Record
from modelyard.kernel.store import Step
from modelyard.services.sagemaker.endpoint import serverless, shift
from modelyard.services.sagemaker.endpoint.actions import CreateReplica, Publish
from modelyard.services.sagemaker.endpoint.fleets import Child, Seen, base_parts, kept_names
from modelyard.services.sagemaker.endpoint.shift import LOOK_SECONDS, keep_routes, stops

__all__ = ["Child", "Seen", "decide"]


def decide(endpoint: Record, seen: Seen, now: float) -> Step:
    if endpoint.spec.get("delete"):
        return _delete(endpoint, seen, now)
    if endpoint.status == "Failed":
        return Step("Failed", do=stops(seen.children), wake_in_real_s=LOOK_SECONDS if seen.children else None)
    if endpoint.state.get("settled") != endpoint.spec["wanted"]["edition"]:
        return shift.roll(endpoint, seen, now)
    return serverless.timed(endpoint, seen.needs, _serve(serverless.fitted(endpoint, seen.needs, now), seen), now)


def _delete(endpoint: Record, seen: Seen, now: float) -> Step:
    if endpoint.status != "Deleting":
        return Step("Deleting", {"rollout": None}, wake_at=now)
    if seen.routes is not None:
        return Step("Deleting", do=[Publish(endpoint.arn, seen.routes_version + 1, None)], wake_at=now)
    if not seen.children:
        return Step("Deleting", delete=True)
    return Step("Deleting", do=stops(seen.children), wake_in_real_s=LOOK_SECONDS)


def _serve(endpoint: Record, seen: Seen) -> Step:
    names = kept_names(endpoint.uid, endpoint.state)
    do = keep_routes(endpoint, base_parts(endpoint.state), seen)
    have = {c.name for c in seen.children}
    do += [CreateReplica(endpoint, n, v) for n, v in names.items() if n not in have]
    extras = [c for c in seen.children if c.name not in names or c.status == "Failed"]
    if not do:  # only once the table without them is what gateways read
        do = stops(extras)
    return Step(endpoint.status, do=do, wake_in_real_s=LOOK_SECONDS if do or extras else None)
