"""LookupEvents: management events of the last 90 days, newest first. Source: CloudTrail API reference."""

from __future__ import annotations

from typing import Any

import orjson

from modelyard.kernel.paging import decode_token, encode_token
from modelyard.kernel.service import Call
from modelyard.services.cloudtrail import api
from modelyard.services.cloudtrail.event import username
from modelyard.services.cloudtrail.files import KEPT_S
from modelyard.services.cloudtrail.resources import name_of

MOST = 50
_IN_LINE = {"EventName": "eventName", "EventSource": "eventSource", "EventId": "eventID", "AccessKeyId": "accessKeyId"}
"""Attributes that are a text of the event as it stands in its line: lines without it need no closer look."""


@api.operation
def lookup_events(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    attributes = request.get("LookupAttributes", [])
    if len(attributes) > 1:
        raise api.error.InvalidLookupAttributesException("You can only specify one attribute key in a lookup attributes list.")
    size = request.get("MaxResults", MOST)
    if not 1 <= size <= MOST:
        raise api.error.InvalidMaxResultsException(f"MaxResults must be between 1 and {MOST}.")
    if request.get("EventCategory") not in (None, "insight"):
        raise api.error.InvalidEventCategoryException("The only valid value of EventCategory is insight.")
    start, end = max(request.get("StartTime", 0.0), call.now() - KEPT_S), request.get("EndTime")
    if end is not None and request.get("StartTime", 0.0) > end:
        raise api.error.InvalidTimeRangeException("The specified time range is not valid. The start time must be before the end time.")
    if request.get("EventCategory") == "insight":
        return {"Events": []}  # nothing looks for unusual activity here
    after = decode_token(request.get("NextToken"), api.error.InvalidNextTokenException, like=0.0)
    found: list[tuple[float, dict[str, Any]]] = []
    for at, event in _events(call, attributes, start, end if after is None else min(after, end if end is not None else after)):
        if after is not None and at >= after:
            continue
        found.append((at, event))
        if len(found) > size:
            break
    shown = [_told(event, at) for at, event in found[:size]]
    return {"Events": shown, **({"NextToken": encode_token(found[size - 1][0])} if len(found) > size else {})}


def _events(call: Call, attributes: list[dict[str, str]], start: float, end: float | None) -> Any:
    needles = tuple(
        orjson.dumps(_IN_LINE[one["AttributeKey"]]) + b":" + orjson.dumps(one["AttributeValue"])
        for one in attributes
        if one["AttributeKey"] in _IN_LINE
    )
    for at, stored in call.platform.trail.events(start, end, needles):
        event = stored["e"]
        mine = event["recipientAccountId"] == call.account and event["managementEvent"] and event["awsRegion"] == call.region
        if mine and all(_has(event, one["AttributeKey"], one["AttributeValue"]) for one in attributes):
            yield at, event


def _has(event: dict[str, Any], key: str, value: str) -> bool:
    if key == "ReadOnly":
        return value.lower() == ("true" if event["readOnly"] else "false")
    if key == "Username":
        return username(event) == value
    if key == "AccessKeyId":
        return event["userIdentity"].get("accessKeyId") == value
    if key == "ResourceName":
        return any(value in (one["ARN"], name_of(one["ARN"])) for one in event["resources"])
    if key == "ResourceType":
        return any(one["type"] == value for one in event["resources"])
    return event[_IN_LINE[key]] == value


def _told(event: dict[str, Any], at: float) -> dict[str, Any]:
    told = {
        "EventId": event["eventID"],
        "EventName": event["eventName"],
        "ReadOnly": "true" if event["readOnly"] else "false",
        "AccessKeyId": event["userIdentity"].get("accessKeyId"),
        "EventTime": float(int(at)),
        "EventSource": event["eventSource"],
        "Username": username(event),
        "Resources": [{"ResourceType": one["type"], "ResourceName": name_of(one["ARN"])} for one in event["resources"]],
        "CloudTrailEvent": orjson.dumps(event).decode(),
    }
    return {name: value for name, value in told.items() if value is not None}
