"""SQS's errors that its model does not name, in its words."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.services.sqs import api


def bad_value(value: Any, parameter: str, reason: str) -> ApiError:
    return ApiError("InvalidParameterValue", f"Value {value} for parameter {parameter} is invalid. Reason: {reason}", 400)


def bad(message: str) -> ApiError:
    return ApiError("InvalidParameterValue", message, 400)


def missing(parameter: str) -> ApiError:
    return ApiError("MissingParameter", f"The request must contain the parameter {parameter}.", 400)


def no_queue() -> ApiError:
    return api.error.QueueDoesNotExist("The specified queue does not exist.")
