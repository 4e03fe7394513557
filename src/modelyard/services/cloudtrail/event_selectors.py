"""Event selectors of trails, and what there is to say of Insights."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.services.cloudtrail import api, selectors
from modelyard.services.cloudtrail.trails import at_home, change, find


@api.operation
def get_event_selectors(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return _told(find(call, request["TrailName"]))


@api.operation
def put_event_selectors(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    record = at_home(call, request["TrailName"])
    return _told(change(call, record, selectors.checked(request)))


def _told(record: Record) -> dict[str, Any]:
    advanced = record.spec.get("Advanced")
    told = {"AdvancedEventSelectors": advanced} if advanced else {"EventSelectors": record.spec["Selectors"]}
    return {"TrailARN": record.arn, **told}


@api.operation
def get_insight_selectors(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    if "TrailName" not in request:
        raise api.error.UnsupportedOperationException("Event data stores are not built on this platform: name a trail.")
    record = find(call, request["TrailName"])
    raise api.error.InsightNotEnabledException(
        f"Trail {record.arn} does not have Insights enabled. Edit the trail settings to enable Insights, and then try the operation again."
    )


@api.operation
def put_insight_selectors(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    """Only "none" can be asked for: nothing looks for unusual activity here."""
    if "TrailName" not in request:
        raise api.error.UnsupportedOperationException("Event data stores are not built on this platform: name a trail.")
    record = at_home(call, request["TrailName"])
    if request.get("InsightSelectors"):
        raise api.error.UnsupportedOperationException("Insights events are not built on this platform: leave InsightSelectors empty.")
    return {"TrailARN": record.arn, "InsightSelectors": []}
