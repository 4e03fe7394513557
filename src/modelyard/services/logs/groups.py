"""Log groups: create, describe, retention, tags, delete."""

from __future__ import annotations

from modelyard.kernel.paging import decode_token, encode_token
from modelyard.services.logs import api
from modelyard.services.logs.log_store import Group

DESCRIBE_LIMIT = 50
RETENTIONS = {1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}


@api.operation
def create_log_group(call, request):
    name = request["logGroupName"]
    made = call.platform.logs.create_group(
        call.account, call.region, name, request.get("kmsKeyId"), request.get("logGroupClass", "STANDARD")
    )
    if not made:
        raise api.error.ResourceAlreadyExistsException("The specified log group already exists")
    if request.get("tags"):
        call.store.set_tags(group_arn(call, name), request["tags"])
    return {}


@api.operation
def describe_log_groups(call, request):
    limit = request.get("limit", DESCRIBE_LIMIT)
    if request.get("logGroupNamePrefix") and request.get("logGroupNamePattern"):
        raise api.error.InvalidParameterException("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
    after = decode_token(request.get("nextToken"), api.error.InvalidParameterException, "") or ""
    found = call.platform.logs.groups(
        call.account,
        call.region,
        prefix=request.get("logGroupNamePrefix", ""),
        part=request.get("logGroupNamePattern", ""),
        after=after,
        limit=limit + 1,
    )
    answer = {"logGroups": [_describe(call, group) for group in found[:limit]]}
    if len(found) > limit:
        answer["nextToken"] = encode_token(found[limit - 1].name)
    return answer


@api.operation
def delete_log_group(call, request):
    call.platform.logs.delete_group(the_group(call, request["logGroupName"]))
    arn = group_arn(call, request["logGroupName"])
    call.store.remove_tags(arn, call.store.tags(arn))
    return {}


@api.operation
def put_retention_policy(call, request):
    if request["retentionInDays"] not in RETENTIONS:
        raise api.error.InvalidParameterException(f"Invalid retention value, must be one of {sorted(RETENTIONS)}")
    call.platform.logs.set_retention(the_group(call, request["logGroupName"]), request["retentionInDays"])
    return {}


@api.operation
def delete_retention_policy(call, request):
    call.platform.logs.set_retention(the_group(call, request["logGroupName"]), None)
    return {}


@api.operation
def tag_resource(call, request):
    call.store.set_tags(_tagged(call, request["resourceArn"]), request["tags"])
    return {}


@api.operation
def untag_resource(call, request):
    call.store.remove_tags(_tagged(call, request["resourceArn"]), request["tagKeys"])
    return {}


@api.operation
def list_tags_for_resource(call, request):
    return {"tags": call.store.tags(_tagged(call, request["resourceArn"]))}


# --- helpers -------------------------------------------------------------------------------------


def group_arn(call, name: str) -> str:
    return f"arn:aws:logs:{call.region}:{call.account}:log-group:{name}"


def the_group(call, name: str | None) -> Group:
    """The group of a name or an ARN; AWS's ResourceNotFoundException where there is none."""
    if name and name.startswith("arn:"):
        name = name.split(":log-group:", 1)[-1].removesuffix(":*")
    group = call.platform.logs.group(call.account, call.region, name) if name else None
    if group is None:
        raise api.error.ResourceNotFoundException("The specified log group does not exist.")
    return group


def _tagged(call, arn: str) -> str:
    the_group(call, arn)
    return arn.removesuffix(":*")


def _describe(call, group: Group) -> dict:
    arn = group_arn(call, group.name)
    said = {
        "logGroupName": group.name,
        "creationTime": group.created_ms,
        "metricFilterCount": 0,
        "arn": arn + ":*",
        "logGroupArn": arn,
        "storedBytes": group.bytes,
        "logGroupClass": group.log_class,
    }
    if group.retention_days is not None:
        said["retentionInDays"] = group.retention_days
    if group.kms_key:
        said["kmsKeyId"] = group.kms_key
    return said
