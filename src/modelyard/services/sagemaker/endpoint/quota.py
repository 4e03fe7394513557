"""How many instances of a type the endpoints of an account may have: AWS's quota, at the size of one machine.

While an endpoint is updated both of its fleets count: blue/green needs room for the old one and the new one together, a rolling
update for its largest batch beside what is left of the old one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.endpoint import shadows
from modelyard.services.sagemaker.endpoint.lifecycle import ENDPOINT

MOST_INSTANCES = 32
"""Per instance type, account and region. Each is a process here, so a slip of the finger must not start a thousand."""


def check_quota(call: Any, deployment: dict[str, Any], endpoint_arn: str) -> None:
    """Raises ResourceLimitExceeded in AWS's words, where the deployment needs more instances at once than may be."""
    endpoints = [e for e in call.store.list(ENDPOINT.kind, call.account, call.region) if e.status != "Failed"]
    used: Counter[str] = sum((there(e) for e in endpoints), Counter())
    [serving, have] = next(((e.state.get("serving"), there(e)) for e in endpoints if e.arn == endpoint_arn), (None, Counter()))
    for kind, needed in most(serving, deployment).items():
        delta = needed - have[kind]
        if delta > 0 and used[kind] + delta > MOST_INSTANCES:
            raise api.error.ResourceLimitExceeded(
                f"The account-level service limit '{kind} for endpoint usage' is {MOST_INSTANCES} Instances, with current utilization of "
                f"{used[kind]} Instances and a request delta of {delta} Instances. Please use AWS Service Quotas to request an increase for this "
                "quota. If AWS Service Quotas is not available, contact AWS support to request an increase for this quota."
            )


def there(endpoint: Record) -> Counter[str]:
    """Instances by type that an endpoint has, or has at most until it is where it wants to be."""
    serving, wanted = endpoint.state.get("serving"), endpoint.spec["wanted"]
    if serving is not None and endpoint.state.get("settled") == wanted["edition"]:
        return _instances(serving)
    return most(serving, wanted)


def most(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> Counter[str]:
    """Instances by type that there are at the fullest moment on the way from one deployment to another. Pure."""
    if old is None:
        return _instances(new)
    if new.get("scale"):  # the same fleet, larger or smaller
        return _instances(old) | _instances(new)
    plan = new.get("plan") or {}
    if plan.get("kind") != "rolling":
        return _instances(old) + _instances(new)
    left, fullest = None, Counter()
    for step in plan["steps"]:
        fullest |= _instances(old, left) + _instances(new, step["green"])
        left = step["blue"]
    return fullest


def _instances(deployment: Mapping[str, Any], counts: Mapping[str, int] | None = None) -> Counter[str]:
    """By type; `counts`: so many of each production variant. Serverless variants have their MaxConcurrency instead."""
    found: Counter[str] = Counter()
    for variant in shadows.everyone(deployment):
        if not variant.get("serverless"):
            hosts = variant.get("mode") == "Components" and (counts is None or counts.get(variant["name"]))
            found[variant["instance_type"]] += variant["count"] if hosts else shadows.wanted_count(variant, counts)
    return found
