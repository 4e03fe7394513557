"""Retry policies of steps (pure): which failure is of which type, and when the step is tried again (platform time)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.services.sagemaker.pipeline.definition import JOBS, BadDefinition, Step

FAULT, THROTTLED = "Step.SERVICE_FAULT", "Step.THROTTLING"
INTERNAL, CAPACITY, LIMIT = "SageMaker.JOB_INTERNAL_ERROR", "SageMaker.CAPACITY_ERROR", "SageMaker.RESOURCE_LIMIT"
TYPES = (FAULT, THROTTLED, INTERNAL, CAPACITY, LIMIT)
BY_ITSELF: Mapping[str, Any] = {"ExceptionType": [FAULT, THROTTLED], "IntervalSeconds": 1, "BackoffRate": 2.0, "MaxAttempts": 5}
"""AWS tries these again without being asked; a policy of the step takes its place."""
MEMBERS = ("ExceptionType", "IntervalSeconds", "BackoffRate", "MaxAttempts", "ExpireAfterMin", "FailureReason")
MOST_SECONDS = 14.5 * 86400


@dataclass(frozen=True)
class Again:
    """`at` is when; `policy` the place of the policy among the step's."""

    at: float
    policy: int


def check(step: Step) -> None:
    policies = step.raw.get("RetryPolicies", [])
    if policies and step.type not in JOBS:
        raise BadDefinition(f"Step '{step.name}' of type {step.type} cannot have RetryPolicies.")
    for policy in policies:
        if not isinstance(policy, dict):
            raise BadDefinition("Expecting start of Json Object.")
        for member in policy:
            if member not in MEMBERS:
                raise BadDefinition(f"Cannot parse object, unknown property '{member}'.")
        kinds = policy.get("ExceptionType")
        if not isinstance(kinds, list) or not kinds:
            raise BadDefinition(f"A retry policy of step '{step.name}' needs a list of ExceptionType.")
        for kind in kinds:
            if kind not in TYPES:
                raise BadDefinition(
                    f"Unknown ExceptionType '{kind}' in a retry policy of step '{step.name}'; it is one of {', '.join(TYPES)}."
                )
        for member, least in (("IntervalSeconds", 1), ("BackoffRate", 0), ("MaxAttempts", 1), ("ExpireAfterMin", 1)):
            value = policy.get(member)
            if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or value < least):
                raise BadDefinition(f"{member} of a retry policy of step '{step.name}' is a number of at least {least}.")
        if "MaxAttempts" in policy and "ExpireAfterMin" in policy:
            raise BadDefinition(f"A retry policy of step '{step.name}' has MaxAttempts or ExpireAfterMin, not both.")


def type_of_error(problem: BaseException | None) -> str | None:
    """Of the call that should start a job."""
    if not isinstance(problem, ApiError):
        return FAULT if problem is not None and not isinstance(problem, ValueError) else None
    if problem.code in ("ThrottlingException", "TooManyRequestsException", "Throttling"):
        return THROTTLED
    if problem.code == "ResourceLimitExceeded":
        return LIMIT
    return FAULT if not problem.sender_fault else None


def type_of_reason(reason: str, kind: str) -> str | None:
    """Of a job that failed. Tuning retries its jobs itself."""
    if reason.startswith("CapacityError") or "InsufficientCapacity" in reason or "Insufficient capacity" in reason:
        return CAPACITY
    if "InternalServerError" in reason.partition(":")[0] and kind != "Tuning":
        return INTERNAL
    return LIMIT if reason.startswith("ResourceLimitExceeded") else None


def again(step: Step, kind: str | None, used: Mapping[str, int], began: float, now: float) -> Again | None:
    """When to try once more. `used` counts the retries by the place of their policy, `began` is the start of the step."""
    policies: Sequence[Mapping[str, Any]] = [*step.raw.get("RetryPolicies", []), BY_ITSELF]
    place = next((n for n, policy in enumerate(policies) if kind in policy["ExceptionType"]), None)
    if kind is None or place is None:
        return None
    policy, done = policies[place], used.get(str(place), 0)
    if "ExpireAfterMin" not in policy and done >= policy.get("MaxAttempts", 5):
        return None
    pause = policy.get("IntervalSeconds", 1) * min(policy.get("BackoffRate", 2.0) ** min(done, 60), MOST_SECONDS)
    at = now + min(pause, MOST_SECONDS)
    if "ExpireAfterMin" in policy and at > began + policy["ExpireAfterMin"] * 60.0:
        return None
    return Again(at, place)


def last_word(step: Step, kind: str | None, execution_arn: str) -> str:
    """What AWS adds to the reason of a failure that a policy could have retried."""
    if kind is None:
        return ""
    told = kind.upper().replace(".", "_")
    about = f"on execution of step with PipelineExecutionArn {execution_arn} and StepId {step.name}"
    if any(kind in policy["ExceptionType"] for policy in (*step.raw.get("RetryPolicies", []), BY_ITSELF)):
        return f"\nRetry not appropriate {about}. The retry policy for the exception type {told} is exhausted."
    return f"\nRetry not appropriate {about}. No retry policy configured for the exception type {told}."
