"""Names that a service had on the `query` protocol and that its present model, being JSON, no longer carries.

SQS moved in 2023; clients from before say `Attribute.1.Name=…` and read `<QueueUrl>` items. The names are those of
the SQS API reference of 2012-11-05 (the "Query" form).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from modelyard.wire.shapes import Model, model

_SQS_NAMES = {
    "QueueAttributeMap": "Attribute",
    "MessageSystemAttributeMap": "Attribute",
    "MessageBodyAttributeMap": "MessageAttribute",
    "MessageBodySystemAttributeMap": "MessageSystemAttribute",
    "TagMap": "Tag",
    "TagKeyList": "TagKey",
    "AWSAccountIdList": "AWSAccountId",
    "ActionNameList": "ActionName",
    "AttributeNameList": "AttributeName",
    "MessageAttributeNameList": "MessageAttributeName",
    "MessageSystemAttributeList": "MessageSystemAttributeName",
    "QueueUrlList": "QueueUrl",
    "MessageList": "Message",
    "StringList": "StringListValue",
    "BinaryList": "BinaryListValue",
}
"""The tag or parameter name of every member that has this shape; `…EntryList` are named by their entries."""


def queue_of_path(path: str, members: Mapping[str, Any], parsed: dict[str, Any]) -> dict[str, Any]:
    """Query requests to SQS may say the queue by the path they are sent to, `/account/name`."""
    if "QueueUrl" in members and "QueueUrl" not in parsed and path.count("/") == 2:
        parsed["QueueUrl"] = path
    return parsed


@cache
def model_for(service: str, protocol: str) -> Model:
    """The model of a service as this protocol sees it."""
    if service == "sqs" and protocol == "query":
        return Model(_sqs(model(service).raw), service)
    return model(service)


def _sqs(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {**raw, "shapes": {name: _shape(name, shape) for name, shape in raw["shapes"].items()}}


def _shape(name: str, shape: dict[str, Any]) -> dict[str, Any]:
    if shape["type"] == "map":
        key, value = ("Key", "Value") if name == "TagMap" else ("Name", "Value")
        return {**shape, "key": {**shape["key"], "locationName": key}, "value": {**shape["value"], "locationName": value}}
    if shape["type"] == "structure":
        return {**shape, "members": {member: _member(reference) for member, reference in shape["members"].items()}}
    return shape


def _member(reference: dict[str, Any]) -> dict[str, Any]:
    target = reference["shape"]
    name = _SQS_NAMES.get(target) or (target.removesuffix("List") if target.endswith("EntryList") else None)
    return {**reference, "locationName": name} if name else reference
