"""SNS's errors in its words."""

from __future__ import annotations

from modelyard.kernel.errors import ApiError
from modelyard.services.sns import api


def invalid(text: str) -> ApiError:
    return api.error.InvalidParameterException(f"Invalid parameter: {text}")


def no_topic() -> ApiError:
    return api.error.NotFoundException("Topic does not exist")


def no_subscription() -> ApiError:
    return api.error.NotFoundException("Subscription does not exist")
