"""SNS's metrics (namespace AWS/SNS, by TopicName), and the log of deliveries that failed."""

from __future__ import annotations

import json
import logging
from typing import Any

log = logging.getLogger("modelyard.sns")


def count(platform: Any, topic_arn: str, **values: float | list[int]) -> None:
    """Adds to metrics by name: a number, or a list of single values."""
    _, _, _, region, account, name = topic_arn.split(":")
    data = [
        {
            "MetricName": metric,
            "Dimensions": [{"Name": "TopicName", "Value": name}],
            "Unit": "Bytes" if metric == "PublishSize" else "Count",
            **({"Values": [float(v) for v in value], "Counts": [1.0] * len(value)} if isinstance(value, list) else {"Value": float(value)}),
        }
        for metric, value in values.items()
        if value
    ]
    if data:
        platform.metrics.put(account, region, "AWS/SNS", data)


def tell_failure(platform: Any, topic_arn: str, subscription: Any, message_id: str, attempts: int, reason: str, final: bool) -> None:
    """In the log group that AWS gives to failed deliveries, `sns/<region>/<account>/<topic>/Failure`, whatever the topic's roles say:
    a delivery that a policy refuses is otherwise silent."""
    _, _, _, region, account, name = topic_arn.split(":")
    now = platform.clock.now()
    told = {
        "notification": {"messageId": message_id, "topicArn": topic_arn},
        "delivery": {
            "destination": subscription.spec["Endpoint"],
            "providerResponse": reason,
            "attempts": attempts,
        },
        "status": "FAILURE" if final else "RETRY",
    }
    platform.logs.append(
        account, region, f"sns/{region}/{account}/{name}/Failure", subscription.name, [(int(now * 1000), json.dumps(told))]
    )
    if final:
        log.warning("a message of %s was not delivered to %s: %s", topic_arn, subscription.spec["Endpoint"], reason)
