"""Tags of CloudWatch's resources: alarms and dashboards."""

from __future__ import annotations

from typing import Any

from modelyard.services.cloudwatch import api

MOST_TAGS = 50


@api.operation
def tag_resource(call, request):
    arn = _there(call, request["ResourceARN"])
    new = {tag["Key"]: tag["Value"] for tag in request["Tags"]}
    if any(key.lower().startswith("aws:") for key in new):
        raise api.error.InvalidParameterValueException("aws: prefixed tag key names are not allowed for external use.")
    if len({**call.store.tags(arn), **new}) > MOST_TAGS:
        raise api.error.InvalidParameterValueException(f"The number of tags exceeds the limit of {MOST_TAGS} per resource.")
    call.store.set_tags(arn, new)
    return {}


@api.operation
def untag_resource(call, request):
    call.store.remove_tags(_there(call, request["ResourceARN"]), request["TagKeys"])
    return {}


@api.operation
def list_tags_for_resource(call, request):
    arn = request["ResourceARN"]
    _check_arn(arn)
    tags = call.store.tags(arn) if _is_there(call, arn) else {}  # of what is not (any more) there AWS answers none
    return {"Tags": [{"Key": key, "Value": value} for key, value in tags.items()]}


def _there(call: Any, arn: str) -> str:
    _check_arn(arn)
    if not _is_there(call, arn):
        raise api.error.ResourceNotFoundException(f"{arn} does not exist", ResourceType="Alarm", ResourceId=arn)
    return arn


def _check_arn(arn: str) -> None:
    parts = arn.split(":")
    if len(parts) < 6 or parts[2] != "cloudwatch":
        raise api.error.InvalidParameterValueException(f"{arn} is not the ARN of a CloudWatch resource")


def _is_there(call: Any, arn: str) -> bool:
    record = call.store.by_arn(arn)
    return record is not None and record.account == call.account
