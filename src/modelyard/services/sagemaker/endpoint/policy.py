"""A DeploymentConfig: what may be asked for, and the plan that comes of it. Pure.

A plan is plain data that the deployment carries (`wanted["plan"]`), so that a crash, or a later change of anything, finds it as it was:

    {"kind": "blue-green" | "rolling", "routing": "ALL_AT_ONCE" | "CANARY" | "LINEAR" | "ROLLING",
     "steps": [{"share": {variant: 0…1}, "active": {variant: n}, "green": {variant: n}, "blue": {variant: n}}…],
     "wait_s", "final_wait_s", "timeout_s" (None: none), "alarms": [name…], "rollback_batch": CapacitySize or None}

One step is what shall be at its end: `share` of the variant's traffic at the new fleet, which has `green` instances of which
`active` take it; `blue` instances of the old fleet take the rest. Limits are those of the API reference (BlueGreenUpdatePolicy,
TrafficRoutingConfig, RollingUpdatePolicy, CapacitySize): a canary is at most 50 % of a variant's instances, a linear step 10
to 50 %, a rolling batch 5 to 50 %, a batch of the rollback 5 to 100 %.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

from modelyard.kernel.errors import validation

SIZES = {"CANARY": ("CanarySize", 0, 50), "LINEAR": ("LinearStepSize", 10, 50)}
ROLLING, ROLLING_BACK = ("MaximumBatchSize", 5, 50), ("RollbackMaximumBatchSize", 5, 100)
Deployment = Mapping[str, Any]


def check_config(config: Mapping[str, Any] | None) -> None:
    """What can be said of a DeploymentConfig without the endpoint it is for. Raises ValidationException."""
    if not config:
        return
    blue_green, rolling = config.get("BlueGreenUpdatePolicy"), config.get("RollingUpdatePolicy")
    if blue_green and rolling:
        raise validation("Only one update policy may be used in DeploymentConfig: BlueGreenUpdatePolicy or RollingUpdatePolicy.")
    if blue_green:
        _check_routing(blue_green["TrafficRoutingConfiguration"])
    if rolling:
        _check_percent(rolling["MaximumBatchSize"], *ROLLING)
        if "RollbackMaximumBatchSize" in rolling:
            _check_percent(rolling["RollbackMaximumBatchSize"], *ROLLING_BACK)
    alarms = alarms_of(config)
    if len(alarms) != len(set(alarms)):
        raise validation("AutoRollbackConfiguration names an alarm more than once.")


def _check_routing(routing: Mapping[str, Any]) -> None:
    kind = routing["Type"]
    for owner, (member, low, high) in SIZES.items():
        size = routing.get(member)
        if owner == kind and size is None:
            raise validation(f"{member} is required in TrafficRoutingConfiguration of Type {kind}.")
        if owner != kind and size is not None:
            raise validation(f"{member} may only be given in TrafficRoutingConfiguration of Type {owner}; the Type is {kind}.")
        if size is not None:
            _check_percent(size, member, low, high)


def _check_percent(size: Mapping[str, Any], member: str, low: int, high: int) -> None:
    if size["Type"] == "CAPACITY_PERCENT" and not max(low, 1) <= size["Value"] <= high:
        raise validation(
            f"{member} must be between {max(low, 1)}% and {high}% of the variant's total instance count; it is {size['Value']}%."
        )


def alarms_of(config: Mapping[str, Any] | None) -> list[str]:
    """The names of the auto-rollback alarms."""
    alarms = ((config or {}).get("AutoRollbackConfiguration") or {}).get("Alarms", [])
    names = [a.get("AlarmName") for a in alarms]
    if not all(names):
        raise validation("AlarmName is required for each alarm of AutoRollbackConfiguration.")
    return names


def plan_of(config: Mapping[str, Any] | None, old: Deployment | None, new: Deployment, mixed: bool = False) -> dict[str, Any]:
    """The plan of an update from `old` to `new`; `mixed`: what serves is a mix that a failed rollback left. Raises
    ValidationException where the policy does not fit these fleets."""
    config = config or {}
    rolling = config.get("RollingUpdatePolicy")
    policy = rolling or config.get("BlueGreenUpdatePolicy") or {}
    routing = policy.get("TrafficRoutingConfiguration", {})
    kind = "ROLLING" if rolling else routing.get("Type", "ALL_AT_ONCE")
    if kind != "ALL_AT_ONCE" and old is not None:
        _check_fleets(kind, old, new, mixed)
    steps = _rolling(rolling, old or new, new) if rolling else _blue_green(kind, routing, old or new, new)
    wait = float(policy.get("WaitIntervalInSeconds", 0) if rolling else routing.get("WaitIntervalInSeconds", 0))
    return {
        "kind": "rolling" if rolling else "blue-green",
        "routing": kind,
        "steps": steps,
        "wait_s": wait,
        # A rolling batch is watched for as long as every other; blue/green waits for TerminationWaitInSeconds with all traffic on.
        "final_wait_s": wait if rolling else float(policy.get("TerminationWaitInSeconds", 0)),
        "timeout_s": policy.get("MaximumExecutionTimeoutInSeconds"),
        "alarms": alarms_of(config),
        "rollback_batch": policy.get("RollbackMaximumBatchSize"),
        "guarded": bool(config),
    }


def plain_plan(new: Deployment) -> dict[str, Any]:
    """All at once and unwatched: how endpoints are created and rescaled, and updated where nothing was asked for."""
    return plan_of(None, None, new)


def _check_fleets(kind: str, old: Deployment, new: Deployment, mixed: bool) -> None:
    names, before = [v["name"] for v in new["variants"]], [v["name"] for v in old["variants"]]
    if set(names) != set(before):
        raise validation(
            f"Traffic routing {kind} needs the production variants of the old endpoint configuration ({', '.join(sorted(before))}) "
            f"in the new one; it has {', '.join(sorted(names))}."
        )
    if any(v.get("kind", "instance") != "instance" for v in (*old["variants"], *new["variants"])):
        raise validation(f"Serverless production variants can only be updated all at once; {kind} is for variants with instances.")
    if kind == "ROLLING" and len(names) > 1:
        raise validation("RollingUpdatePolicy is not supported for endpoints with more than one production variant.")
    if kind == "ROLLING" and mixed:
        raise validation(
            "The endpoint serves a mix of two endpoint configurations since its rollback failed: update it with a BlueGreenUpdatePolicy."
        )


# --- steps ---------------------------------------------------------------------------------------


def _blue_green(kind: str, routing: Mapping[str, Any], old: Deployment, new: Deployment) -> list[dict[str, Any]]:
    green, blue = counts(new), counts(old)
    everything = {"share": dict.fromkeys(green, 1.0), "active": green, "green": green, "blue": blue}
    if kind == "ALL_AT_ONCE":
        return [everything]
    member, low, high = SIZES[kind]
    size = routing[member]
    _check_counts(size, green, member, low, high)
    first = {name: _share(size, count) for name, count in green.items()}
    many = 1 if kind == "CANARY" else ceil(round(1.0 / min(first.values()), 6)) - 1
    shares = [{name: min(1.0, round(share * (n + 1), 6)) for name, share in first.items()} for n in range(many)]
    steps = [
        {"share": share, "active": {v: active(share[v], n) for v, n in green.items()}, "green": green, "blue": blue} for share in shares
    ]
    return [*steps, everything]


def _rolling(policy: Mapping[str, Any], old: Deployment, new: Deployment) -> list[dict[str, Any]]:
    """Old instances go in the measure in which new ones come, counted against the new fleet's size."""
    size, green, blue = policy["MaximumBatchSize"], counts(new), counts(old)
    _check_counts(size, green, *ROLLING)
    if policy.get("RollbackMaximumBatchSize"):
        _check_counts(policy["RollbackMaximumBatchSize"], blue, *ROLLING_BACK)
    [name] = green
    batch, total = instances(size, green[name]), green[name]
    steps = []
    for up in [*range(batch, total, batch), total]:
        share = up / total if total else 1.0  # an asynchronous variant may be at zero
        left = ceil(blue[name] * (1 - share) - 1e-9)
        steps.append({"share": {name: share}, "active": {name: up}, "green": {name: up}, "blue": {name: left}})
    return steps


def _check_counts(size: Mapping[str, Any], fleet: Mapping[str, int], member: str, low: int, high: int) -> None:
    """A size given as a number of instances, against each variant."""
    if size["Type"] != "INSTANCE_COUNT":
        return
    for name, count in fleet.items():
        if not low * count <= size["Value"] * 100 <= high * count:
            bounds = f"at most {high}%" if member == "CanarySize" else f"between {low}% and {high}%"
            raise validation(
                f"{member} must be {bounds} of the variant's total instance count: {size['Value']} instance(s) were asked for, and production "
                f"variant {name} has {count}."
            )


def counts(deployment: Deployment) -> dict[str, int]:
    """Instances by production variant."""
    return {v["name"]: v.get("count") or 0 for v in deployment["variants"]}


def instances(size: Mapping[str, Any], total: int) -> int:
    """A CapacitySize as instances of a fleet: never none."""
    return size["Value"] if size["Type"] == "INSTANCE_COUNT" else max(1, size["Value"] * total // 100)


def active(share: float, total: int) -> int:
    """How many of a fleet's instances take a share of the traffic."""
    return min(total, max(1, int(share * total + 1e-9)))


def _share(size: Mapping[str, Any], total: int) -> float:
    return size["Value"] / 100 if size["Type"] == "CAPACITY_PERCENT" else size["Value"] / max(total, 1)


def back_steps(plan: Mapping[str, Any], blue_left: Mapping[str, int], blue: Mapping[str, int]) -> Sequence[dict[str, Any]]:
    """How a rollback goes: blue/green in one step, because the old fleet is whole; a rolling one brings it back batch by batch."""
    none = dict.fromkeys(blue, 0)
    whole = {"share": dict.fromkeys(blue, 0.0), "active": none, "green": none, "blue": dict(blue)}
    if plan["kind"] != "rolling":
        return [whole]
    [(name, total)] = blue.items()
    batch = instances(plan["rollback_batch"], total) if plan["rollback_batch"] else max(total, 1)
    green = plan["steps"][-1]["green"][name]
    steps = []
    for up in range(blue_left.get(name, total) + batch, total, batch):
        left = ceil(green * (total - up) / total)
        steps.append({"share": {name: 1 - up / total}, "active": {name: left}, "green": {name: left}, "blue": {name: up}})
    return [*steps, whole]
