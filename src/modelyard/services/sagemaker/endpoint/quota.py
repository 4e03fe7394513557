"""How many instances of a type the endpoints of an account may have: AWS's quota, at the size of one machine."""

from __future__ import annotations

from collections import Counter
from typing import Any

from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.endpoint import shadows
from modelyard.services.sagemaker.endpoint.lifecycle import ENDPOINT

MOST_INSTANCES = 32
"""Per instance type, account and region. Each is a process here, so a slip of the finger must not start a thousand."""


def check_quota(call: Any, deployment: dict[str, Any], endpoint_arn: str) -> None:
    """Raises ResourceLimitExceeded in AWS's words. What the endpoint itself has now is replaced, so it does not count."""
    used: Counter[str] = Counter()
    for endpoint in call.store.list(ENDPOINT.kind, call.account, call.region):
        if endpoint.arn != endpoint_arn and endpoint.status != "Failed":
            used.update(_instances(endpoint.spec["wanted"]))
    for kind, count in _instances(deployment).items():
        if used[kind] + count > MOST_INSTANCES:
            raise api.error.ResourceLimitExceeded(
                f"The account-level service limit '{kind} for endpoint usage' is {MOST_INSTANCES} Instances, with current utilization of "
                f"{used[kind]} Instances and a request delta of {count} Instances. Please use AWS Service Quotas to request an increase for this "
                "quota. If AWS Service Quotas is not available, contact AWS support to request an increase for this quota."
            )


def _instances(deployment: dict[str, Any]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for variant in shadows.everyone(deployment):
        if not variant.get("serverless"):  # those have their MaxConcurrency
            counts[variant["instance_type"]] += variant["count"]
    return counts
