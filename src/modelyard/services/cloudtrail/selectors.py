"""Which events a trail asks for: event selectors and advanced event selectors, checked when put, asked about each event.

Source: CloudTrail API reference (EventSelector, DataResource, AdvancedFieldSelector) and "Logging data events" of its user guide.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.services.cloudtrail import api

ALL = {"ReadWriteType": "All", "IncludeManagementEvents": True, "DataResources": [], "ExcludeManagementEventSources": []}
"""What a new trail has."""
MOST_SELECTORS, MOST_RESOURCES, MOST_VALUES = 5, 250, 500
_OF_BASIC = {"AWS::S3::Object": "s3", "AWS::Lambda::Function": "lambda", "AWS::DynamoDB::Table": "dynamodb"}
"""Types that event selectors take; all others are for advanced ones."""
_EXCLUDED = ("kms.amazonaws.com", "rdsdata.amazonaws.com")
_FIELDS = {
    "Management": {"eventCategory", "readOnly", "eventSource", "eventName", "eventType", "sessionCredentialFromConsole", "userIdentity.arn"},
    "Data": {
        "eventCategory", "readOnly", "eventSource", "eventName", "eventType", "resources.type", "resources.ARN",
        "sessionCredentialFromConsole", "userIdentity.arn",
    },
}  # fmt: skip
_EQUALS_ONLY = ("eventCategory", "readOnly", "resources.type")
_TYPE = re.compile(r"AWS::[A-Za-z0-9]+::[A-Za-z0-9]+").fullmatch
Event = Mapping[str, Any]


# --- checks ---------------------------------------------------------------------------------------------


def checked(request: Mapping[str, Any]) -> dict[str, Any]:
    """The two members of a trail's record: one has the selectors, the other is None."""
    basic, advanced = request.get("EventSelectors"), request.get("AdvancedEventSelectors")
    if basic and advanced:
        raise _wrong("You can use either EventSelectors or AdvancedEventSelectors, but not both.")
    if advanced:
        _check_advanced(advanced)
        return {"Advanced": advanced, "Selectors": None}
    if not basic:
        raise _wrong("At least one event selector must be specified.")
    _check_basic(basic)
    return {"Selectors": [{**ALL, **one} for one in basic], "Advanced": None}


def _wrong(text: str) -> ApiError:
    return api.error.InvalidEventSelectorsException(text)


def _check_basic(selectors: list[dict[str, Any]]) -> None:
    if len(selectors) > MOST_SELECTORS:
        raise _wrong(f"A trail can have up to {MOST_SELECTORS} event selectors.")
    resources = [one for selector in selectors for one in selector.get("DataResources", [])]
    if sum(len(one.get("Values", [])) for one in resources) > MOST_RESOURCES:
        raise _wrong(f"The total number of data resources across all event selectors of a trail cannot exceed {MOST_RESOURCES}.")
    for selector in selectors:
        for source in selector.get("ExcludeManagementEventSources", []):
            if source not in _EXCLUDED:
                raise _wrong(f"Value {source} for ExcludeManagementEventSources is invalid.")
    for one in resources:
        service = _OF_BASIC.get(one.get("Type", ""))
        if service is None:
            raise _wrong(f"Value {one.get('Type')} for DataResources.Type is invalid.")
        for value in one.get("Values", []):
            if not _is_basic_value(service, value):
                raise _wrong(f"Value {value} for DataResources.Values is invalid.")


def _is_basic_value(service: str, value: str) -> bool:
    if value == f"arn:aws:{service}":
        return True
    if service == "s3":
        return value == "arn:aws:s3:::" or re.fullmatch(r"arn:aws:s3:::[^/]+/.*", value, re.DOTALL) is not None
    return re.fullmatch(rf"arn:aws:{service}:[a-z0-9-]+:\d{{12}}:.+", value) is not None


def _check_advanced(selectors: list[dict[str, Any]]) -> None:
    values = sum(len(found) for selector in selectors for one in selector["FieldSelectors"] for _, found in _asked(one))
    if values > MOST_VALUES:
        raise _wrong(f"The total number of values of all advanced event selectors of a trail cannot exceed {MOST_VALUES}.")
    for selector in selectors:
        fields = selector["FieldSelectors"]
        category = _single(fields, "eventCategory")
        if category not in _FIELDS:
            raise _wrong("Each advanced event selector must have an eventCategory field that Equals Management or Data.")
        kind = _single(fields, "resources.type")
        if category == "Data" and (kind is None or not _TYPE(kind)):
            raise _wrong("An advanced event selector for Data events must have a resources.type field that Equals one resource type.")
        names = [one["Field"] for one in fields]
        if len(set(names)) != len(names):
            raise _wrong("Each field of an advanced event selector may be named once.")
        for one in fields:
            if one["Field"] not in _FIELDS[category]:
                raise _wrong(f"Field {one['Field']} is not valid for the event category {category}.")
            if not _asked(one):
                raise _wrong(f"Field {one['Field']} must have at least one operator.")
            if one["Field"] in _EQUALS_ONLY and [name for name, _ in _asked(one)] != ["Equals"]:
                raise _wrong(f"Field {one['Field']} takes the operator Equals only.")


def _asked(field: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    return [(name, values) for name, values in field.items() if name != "Field" and values]


def _single(fields: Iterable[Mapping[str, Any]], name: str) -> str | None:
    found = [one for one in fields if one["Field"] == name]
    return found[0]["Equals"][0] if len(found) == 1 and len(found[0].get("Equals", [])) == 1 else None


# --- the question ---------------------------------------------------------------------------------------


def data_types(spec: Mapping[str, Any]) -> set[str]:
    """The types of resources whose data events a trail asks for."""
    found = {one["Type"] for selector in spec.get("Selectors") or () for one in selector["DataResources"] if one.get("Values")}
    kinds = (_single(one["FieldSelectors"], "resources.type") for one in spec.get("Advanced") or ())
    return found | {kind for kind in kinds if kind is not None}


def wanted(spec: Mapping[str, Any], event: Event) -> bool:
    """Whether the selectors of a trail's record take this event."""
    if spec.get("Advanced"):
        return any(all(_holds(one, event) for one in selector["FieldSelectors"]) for selector in spec["Advanced"])
    kind = "ReadOnly" if event["readOnly"] else "WriteOnly"
    return any(s["ReadWriteType"] in ("All", kind) and _by_basic(s, event) for s in spec.get("Selectors") or ())


def _by_basic(selector: Mapping[str, Any], event: Event) -> bool:
    if event["managementEvent"]:
        return selector["IncludeManagementEvents"] and event["eventSource"] not in selector["ExcludeManagementEventSources"]
    return any(_names(one, event) for one in selector["DataResources"])


def _names(resource: Mapping[str, Any], event: Event) -> bool:
    arns = [_arn(one) for one in event["resources"] if one["type"] == resource["Type"]]
    for value in resource.get("Values", []):
        everything = value.count(":") == 2 or value == "arn:aws:s3:::"
        if arns and (everything or any(arn.startswith(value) if ":s3:" in value else arn == value for arn in arns)):
            return True
    return False


def _holds(field: Mapping[str, Any], event: Event) -> bool:
    """One of the positive values, and none of the negative ones."""
    values, positive, found = _values(field["Field"], event), False, False
    for operator, asked in _asked(field):
        negative = operator.startswith("Not")
        hit = any(_compares[operator.removeprefix("Not")](value, one) for value in values for one in asked)
        if negative and hit:
            return False
        positive, found = positive or not negative, found or (hit and not negative)
    return found or not positive


_compares = {"Equals": str.__eq__, "StartsWith": str.startswith, "EndsWith": str.endswith}


def _values(name: str, event: Event) -> list[str]:
    if name == "resources.type":
        return [one["type"] for one in event["resources"]]
    if name == "resources.ARN":
        return [_arn(one) for one in event["resources"]][:1]
    if name == "userIdentity.arn":
        return [event["userIdentity"].get("arn", "")]
    if name == "readOnly":
        return ["true" if event["readOnly"] else "false"]
    if name == "sessionCredentialFromConsole":
        return [event.get(name, "false")]
    return [event[name]]


def _arn(resource: Mapping[str, str]) -> str:
    return resource.get("ARN") or resource.get("ARNPrefix", "")
