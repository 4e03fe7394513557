"""Deliveries from one service to another by ARN: an alarm to a topic, a topic to a queue, a rule to a function.

A service that can be delivered to says so once, where its resource lives:

    @api.target
    def deliver(platform, delivery): ...        # runs on a thread of the engine or of a gateway; raises ApiError

The name in the third place of an ARN (`sns`, `sqs`, `lambda`, `autoscaling`, …) finds it. A sender never imports a receiver.
Deliveries are ensure-shaped on the receiver's side where it can be (`key`), because a crash repeats them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from modelyard.kernel.errors import ApiError

if TYPE_CHECKING:
    from modelyard.kernel.platform import Platform


@dataclass(frozen=True)
class Delivery:
    """`source` is the service principal that sends (`cloudwatch.amazonaws.com`), `source_arn` the resource for whose sake:
    what a resource policy of the receiver is asked about. `key` names this delivery: the same key again is the same one."""

    arn: str
    body: str
    source: str
    source_arn: str
    account: str
    region: str
    key: str
    subject: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)


def deliver(platform: Platform, delivery: Delivery) -> None:
    """Hands it to the service of its ARN; raises ApiError where that service refuses, or takes no deliveries."""
    service = delivery.arn.split(":")[2] if delivery.arn.count(":") >= 5 else ""
    for candidate in platform.services.values():
        if candidate.target_function is not None and service in candidate.target_names:
            candidate.target_function(platform, delivery)
            return
    raise ApiError("InvalidTarget", f"Nothing on this platform takes deliveries for {delivery.arn}.", 400)
