"""Tags of parameters; those of other things of Systems Manager are not built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modelyard.kernel.errors import not_built, validation
from modelyard.kernel.records import Record
from modelyard.services.ssm import api
from modelyard.services.ssm.names import split_name
from modelyard.services.ssm.parameter import find

MOST = 50


@api.operation
def add_tags_to_resource(call, request):
    record = _tagged(call, request)
    call.store.set_tags(record.arn, checked_tags(request["Tags"], call.store.tags(record.arn)))
    return {}


@api.operation
def remove_tags_from_resource(call, request):
    call.store.remove_tags(_tagged(call, request).arn, request["TagKeys"])
    return {}


@api.operation
def list_tags_for_resource(call, request):
    return {"TagList": [{"Key": key, "Value": value} for key, value in call.store.tags(_tagged(call, request).arn).items()]}


def checked_tags(given: Sequence[Mapping[str, str]], have: Mapping[str, str]) -> dict[str, str]:
    """The tags by key. Raises ValidationException or TooManyTagsError."""
    tags = {tag["Key"]: tag["Value"] for tag in given}
    if any(name.lower().startswith("aws:") for name in tags):
        raise validation("Tag keys that begin with aws: are reserved.")
    if len(tags) != len(given):
        raise validation("Duplicate tag keys are not allowed.")
    if len({**have, **tags}) > MOST:
        raise api.error.TooManyTagsError(f"A parameter may have at most {MOST} tags.")
    return tags


def _tagged(call: Any, request: Mapping[str, Any]) -> Record:
    if request["ResourceType"] != "Parameter":
        raise not_built("ssm", f"{call.operation} of {request['ResourceType']}")
    names, selector = split_name(call, request["ResourceId"])
    record = None if selector else find(call, names)
    if record is None:
        raise api.error.InvalidResourceId(f"The resource ID {request['ResourceId']} is not that of a parameter.")
    return record
