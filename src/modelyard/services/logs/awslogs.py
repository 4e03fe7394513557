"""The body of what CloudWatch Logs delivers: `{"awslogs": {"data": base64(gzip(JSON))}}`."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import orjson

SOURCE = "logs.amazonaws.com"


def packed(message: dict[str, Any]) -> str:
    data = base64.b64encode(gzip.compress(orjson.dumps(message), 6, mtime=0)).decode()
    return orjson.dumps({"awslogs": {"data": data}}).decode()


def control_message(arn: str, now_ms: int) -> str:
    """What goes to a destination before anything else, so that a wrong one is told at once."""
    return packed(
        {
            "messageType": "CONTROL_MESSAGE",
            "owner": "CloudwatchLogs",
            "logGroup": "",
            "logStream": "",
            "subscriptionFilters": [],
            "logEvents": [{"id": "", "timestamp": now_ms, "message": f"CWL CONTROL MESSAGE: Checking health of destination {arn}"}],
        }
    )
