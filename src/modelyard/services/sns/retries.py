"""When a delivery is tried again. Pure. Source: "Amazon SNS message delivery retries" in the developer guide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from modelyard.kernel.errors import ApiError

DEFAULT = {
    "minDelayTarget": 20,
    "maxDelayTarget": 20,
    "numRetries": 3,
    "numMaxDelayRetries": 0,
    "numNoDelayRetries": 0,
    "numMinDelayRetries": 0,
    "backoffFunction": "linear",
}
"""Of http and https endpoints without a policy of their own."""
OF_AWS = {
    "minDelayTarget": 1,
    "maxDelayTarget": 20,
    "numRetries": 100_015,
    "numNoDelayRetries": 3,
    "numMinDelayRetries": 2,
    "numMaxDelayRetries": 100_000,
    "backoffFunction": "exponential",
}
"""Of queues and functions: 100,015 times over 23 days."""
FUNCTIONS = ("linear", "arithmetic", "geometric", "exponential")
_BOUNDS = {
    "minDelayTarget": (1, 3600),
    "maxDelayTarget": (1, 3600),
    "numRetries": (0, 100),
    "numNoDelayRetries": (0, 100),
    "numMinDelayRetries": (0, 100),
    "numMaxDelayRetries": (0, 100),
}


def delay(policy: Mapping[str, Any], failures: int) -> float | None:
    """Seconds to wait after the n-th failed attempt (1, 2, …) until the next; None: there is none."""
    if failures > policy["numRetries"]:
        return None
    low, high = float(policy["minDelayTarget"]), float(policy["maxDelayTarget"])
    place = failures - policy["numNoDelayRetries"]
    if place <= 0:
        return 0.0
    place -= policy["numMinDelayRetries"]
    if place <= 0:
        return low
    steps = policy["numRetries"] - policy["numNoDelayRetries"] - policy["numMinDelayRetries"] - policy["numMaxDelayRetries"]
    if place > steps:
        return high
    return _between(policy["backoffFunction"], low, high, (place - 1) / (steps - 1) if steps > 1 else 1.0)


def _between(function: str, low: float, high: float, part: float) -> float:
    """From `low` to `high`; the steeper functions wait less in the beginning."""
    if function == "linear":
        return low + (high - low) * part
    if function == "arithmetic":
        return low + (high - low) * part * (1 + part) / 2
    if function == "geometric":
        return low * (high / low) ** part
    return low + (high - low) * (2 ** (10 * part) - 1) / (2**10 - 1)


def effective(topic: Mapping[str, Any], subscription: Mapping[str, Any], protocol: str) -> dict[str, Any]:
    """The retry policy of a subscription: its own, else (or if the topic says so, always) the topic's, else the default."""
    if protocol not in ("http", "https"):
        return OF_AWS
    of_topic = (_loaded(topic.get("DeliveryPolicy")).get("http") or {}) if topic else {}
    own = _loaded(subscription.get("DeliveryPolicy")).get("healthyRetryPolicy")
    if of_topic.get("disableSubscriptionOverrides"):
        own = None
    return {**DEFAULT, **(own or of_topic.get("defaultHealthyRetryPolicy") or {})}


def content_type(topic: Mapping[str, Any], subscription: Mapping[str, Any]) -> str:
    own = _loaded(subscription.get("DeliveryPolicy")).get("requestPolicy") or {}
    of_topic = (_loaded(topic.get("DeliveryPolicy")).get("http") or {}).get("defaultRequestPolicy") or {}
    return own.get("headerContentType") or of_topic.get("headerContentType") or "text/plain; charset=UTF-8"


def _loaded(text: Any) -> dict[str, Any]:
    return orjson.loads(text) if text else {}


def check_delivery_policy(text: str, of_topic: bool) -> None:
    """Raises InvalidParameter for a DeliveryPolicy that cannot be followed."""
    try:
        document = orjson.loads(text)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise _wrong("Unexpected JSON member or not a JSON object")
    known = {"http"} if of_topic else {"healthyRetryPolicy", "sicklyRetryPolicy", "throttlePolicy", "requestPolicy", "guaranteed"}
    if set(document) - known:
        raise _wrong(f"Unexpected JSON member: {sorted(set(document) - known)[0]}")
    retry = (document.get("http") or {}).get("defaultHealthyRetryPolicy") if of_topic else document.get("healthyRetryPolicy")
    if retry is not None:
        _check_retry(retry)


def _check_retry(retry: Any) -> None:
    if not isinstance(retry, dict):
        raise _wrong("healthyRetryPolicy must be an object")
    for name, value in retry.items():
        if name == "backoffFunction":
            if value not in FUNCTIONS:
                raise _wrong(f"backoffFunction must be one of {', '.join(FUNCTIONS)}")
        elif name not in _BOUNDS:
            raise _wrong(f"Unexpected JSON member: {name}")
        elif isinstance(value, bool) or not isinstance(value, int) or not _BOUNDS[name][0] <= value <= _BOUNDS[name][1]:
            raise _wrong(f"healthyRetryPolicy.{name} must be between {_BOUNDS[name][0]} and {_BOUNDS[name][1]}")
    full = {**DEFAULT, **retry}
    if full["minDelayTarget"] > full["maxDelayTarget"]:
        raise _wrong("healthyRetryPolicy.minDelayTarget must be less than or equal to maxDelayTarget")
    if full["numNoDelayRetries"] + full["numMinDelayRetries"] + full["numMaxDelayRetries"] > full["numRetries"]:
        raise _wrong("healthyRetryPolicy.numRetries must be at least the sum of the retries of its phases")


def _wrong(reason: str) -> ApiError:
    return ApiError("InvalidParameter", f"Invalid parameter: DeliveryPolicy: {reason}", 400)
