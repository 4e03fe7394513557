"""Metric filters: what of a group's events becomes points of metrics."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from modelyard.kernel.paging import decode_token, encode_token
from modelyard.services.logs import api
from modelyard.services.logs.conditions import as_number
from modelyard.services.logs.filter_store import METRIC, Filter, FilterStore, TooMany
from modelyard.services.logs.groups import the_group
from modelyard.services.logs.patterns import Pattern, matcher

MOST_DIMENSIONS, DESCRIBE_LIMIT = 3, 50
NOT_BUILT = ("applyOnTransformedLogs", "fieldSelectionCriteria", "emitSystemFieldDimensions")


@api.operation
def put_metric_filter(call, request):
    group = the_group(call, request["logGroupName"])
    refuse_unbuilt(request, NOT_BUILT)
    pattern = matcher(request["filterPattern"], api.error.InvalidParameterException)
    transformations = request["metricTransformations"]
    if len(transformations) != 1:
        raise api.error.InvalidParameterException("A metric filter has exactly one metric transformation.")
    for transformation in transformations:
        _check(transformation, pattern)
    try:
        FilterStore(call.platform.logs.db).put(
            group.id, METRIC, request["filterName"], request["filterPattern"], {"transformations": transformations}, int(call.now() * 1000)
        )
    except TooMany:
        raise api.error.LimitExceededException("Resource limit exceeded.") from None
    return {}


@api.operation
def describe_metric_filters(call, request):
    """Of a group, of a prefix of names, of a metric, or of the account."""
    if ("metricName" in request) != ("metricNamespace" in request):
        raise api.error.InvalidParameterException("metricName and metricNamespace must be given together.")
    group = the_group(call, request["logGroupName"]) if "logGroupName" in request else None
    found = FilterStore(call.platform.logs.db).list(
        call.account, call.region, METRIC, group_id=group.id if group else None, prefix=request.get("filterNamePrefix", "")
    )
    if "metricName" in request:
        wanted = (request["metricName"], request["metricNamespace"])
        found = [f for f in found if any((t["metricName"], t["metricNamespace"]) == wanted for t in f.spec["transformations"])]
    return paged(request, "metricFilters", found, lambda f: {"metricTransformations": f.spec["transformations"]})


@api.operation
def delete_metric_filter(call, request):
    delete_filter(call, request, METRIC)
    return {}


@api.operation
def test_metric_filter(call, request):
    pattern = matcher(request["filterPattern"], api.error.InvalidParameterException)
    matches = []
    for number, message in enumerate(request["logEventMessages"], 1):
        values = pattern.match(message)
        if values is not None:
            matches.append({"eventNumber": number, "eventMessage": message, "extractedValues": values})
    return {"matches": matches}


test_metric_filter.__test__ = False


# --- points ----------------------------------------------------------------------------------------


def points(metric_filter: Filter, pattern: Pattern, events: Iterable[tuple[int, str]]) -> list[dict[str, Any]]:
    """MetricDatum dicts of events: of those that match their value, and the default value (if there is one) of those that do not."""
    found = []
    for transformation in metric_filter.spec["transformations"]:
        for at_ms, message in events:
            value, dimensions = _of_event(transformation, pattern, message)
            if value is None:
                continue
            found.append(
                {
                    "MetricName": transformation["metricName"],
                    "Value": value,
                    "Timestamp": at_ms / 1000,
                    "Unit": transformation.get("unit", "None"),
                    "Dimensions": dimensions,
                }
            )
    return found


def _of_event(transformation: dict, pattern: Pattern, message: str) -> tuple[float | None, list[dict[str, str]]]:
    if not pattern(message):
        return transformation.get("defaultValue"), []
    said = transformation["metricValue"]
    value = as_number(pattern.value(message, said)) if said.startswith("$") else float(said)
    dimensions = []
    for name, selector in transformation.get("dimensions", {}).items():
        found = pattern.value(message, selector)
        if found is None:
            # AWS: an event that lacks one of the dimensions makes no point.
            return None, []
        dimensions.append({"Name": name, "Value": found[:1024]})
    return value, dimensions


# --- helpers ---------------------------------------------------------------------------------------


def _check(transformation: dict, pattern: Pattern) -> None:
    value, dimensions = transformation["metricValue"], transformation.get("dimensions", {})
    if not value.startswith("$") and as_number(value) is None:
        raise api.error.InvalidParameterException(f"Invalid metric value {value!r}: a number, or a selector such as $.latency or $size.")
    if len(dimensions) > MOST_DIMENSIONS:
        raise api.error.InvalidParameterException(f"A metric filter has at most {MOST_DIMENSIONS} dimensions.")
    if dimensions and "defaultValue" in transformation:
        raise api.error.InvalidParameterException(
            "Invalid metric transformation: dimensions and default value are mutually exclusive properties."
        )
    for said in [*dimensions.values(), *([value] if value.startswith("$") else [])]:
        if pattern.kind == "text" or not said.startswith("$"):
            raise api.error.InvalidParameterException(f"Invalid selector {said!r}: the filter pattern has no such field.")
        if pattern.kind == "columns" and said[1:] not in pattern.names:
            raise api.error.InvalidParameterException(f"Invalid selector {said!r}: the filter pattern has no such field.")
        pattern.value("{}", said)
    for member, letters in (("metricName", ":*$"), ("metricNamespace", "*$")):
        if any(letter in transformation[member] for letter in letters) or not transformation[member]:
            raise api.error.InvalidParameterException(f"Invalid {member}: it must not have the letters {' '.join(letters)}.")


_AS_IT_CAME = {"applyOnTransformedLogs": False}


def refuse_unbuilt(request: dict, members: tuple[str, ...]) -> None:
    for member in members:
        if request.get(member):
            raise api.error.InvalidParameterException(f"{member} is not built on this platform yet.")


def delete_filter(call, request: dict, kind: str) -> None:
    group = the_group(call, request["logGroupName"])
    if not FilterStore(call.platform.logs.db).delete(group.id, kind, request["filterName"]):
        raise api.error.ResourceNotFoundException(f"The specified {kind} filter does not exist.")


def paged(request: dict, member: str, found: list[Filter], more: Any) -> dict:
    size = request.get("limit", DESCRIBE_LIMIT)
    after = decode_token(request.get("nextToken"), api.error.InvalidParameterException, ["", ""])
    if after is not None:
        found = [f for f in found if [f.group, f.name] > after]
    answer = {
        member: [
            {
                "filterName": f.name,
                "filterPattern": f.pattern,
                "logGroupName": f.group,
                "creationTime": f.created_ms,
                **more(f),
                **_AS_IT_CAME,
            }
            for f in found[:size]
        ]
    }
    if len(found) > size:
        answer["nextToken"] = encode_token([found[size - 1].group, found[size - 1].name])
    return answer
