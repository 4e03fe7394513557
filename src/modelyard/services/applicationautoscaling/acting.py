"""The hands of Application Auto Scaling: calls in the name of its service-linked role, authorised like anybody's."""

from __future__ import annotations

import os
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.service import Call

SERVICE = "sagemaker.application-autoscaling.amazonaws.com"
ROLE = "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
SESSION_NAME, SESSION_SECONDS = "AutoScaling-UpdateDesiredCapacity", 3600.0


def role_arn(account: str) -> str:
    return f"arn:aws:iam::{account}:role/aws-service-role/{SERVICE}/{ROLE}"


def ensure_role(call: Call) -> str:
    """The service-linked role of the account; made in the caller's name (iam:CreateServiceLinkedRole) where it is not there yet."""
    try:
        call.platform.identity.session_for_role(role_arn(call.account), SESSION_NAME, 1.0, service=SERVICE)
    except ApiError:
        try:
            call.invoke("iam", "CreateServiceLinkedRole", {"AWSServiceName": SERVICE})
        except ApiError as problem:
            if "has been taken" not in problem.message:
                raise
    return role_arn(call.account)


def acting(platform: Any, account: str, region: str) -> Call:
    """Calls of other services as the service-linked role. Raises ValidationException where somebody deleted the role."""
    credential = platform.identity.session_for_role(role_arn(account), SESSION_NAME, SESSION_SECONDS, service=SERVICE)
    return Call(platform, "application-autoscaling", "", account, region, credential.principal, f"scale-{os.urandom(6).hex()}")
