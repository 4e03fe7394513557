"""Log groups: create, describe, retention, tags, delete."""

from __future__ import annotations

from modelyard.kernel.errors import ApiError
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.services.logs import api
from modelyard.services.logs.filter_store import METRIC, FilterStore
from modelyard.services.logs.log_store import Group

DESCRIBE_LIMIT, MOST_TAGS = 50, 50
TAGGED = ("log-destination", "log-delivery-destination")
RETENTIONS = {1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653}


@api.operation
def create_log_group(call, request):
    name = request["logGroupName"]
    if name.startswith("aws/"):
        raise api.error.InvalidParameterException("Log groups starting with AWS/ are reserved for AWS.")
    _check_tags(request.get("tags", {}), {})
    logs, key = call.platform.logs, _key_arn(call, request.get("kmsKeyId"))
    if not logs.create_group(call.account, call.region, name, key, request.get("logGroupClass", "STANDARD")):
        raise api.error.ResourceAlreadyExistsException("The specified log group already exists")
    if request.get("deletionProtectionEnabled"):
        logs.set_guarded(the_group(call, name), True)
    if request.get("tags"):
        call.store.set_tags(group_arn(call, name), request["tags"])
    return {}


@api.operation
def describe_log_groups(call, request):
    limit = request.get("limit", DESCRIBE_LIMIT)
    if request.get("logGroupNamePrefix") and request.get("logGroupNamePattern"):
        raise api.error.InvalidParameterException("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
    others = {call.account} - set(request.get("accountIdentifiers") or [call.account])
    if request.get("includeLinkedAccounts") and others:
        return {"logGroups": []}  # of accounts that are not linked to this one
    if request.get("logGroupIdentifiers"):
        named = (call.platform.logs.group(call.account, call.region, _name_of(said)) for said in request["logGroupIdentifiers"])
        return {"logGroups": [_describe(call, group) for group in named if group is not None]}
    found, token = _page(call, request, request.get("logGroupNamePrefix", ""), request.get("logGroupNamePattern", ""), limit)
    told = [_describe(call, group) for group in found]
    if request.get("logGroupNamePattern"):  # found by an index that does not have these
        told = [{name: value for name, value in one.items() if name not in ("storedBytes", "deletionProtectionEnabled")} for one in told]
    return {"logGroups": told, **token}


@api.operation
def list_log_groups(call, request):
    for member in ("dataSources", "fieldIndexNames", "logGroupTags"):
        if request.get(member):
            raise api.error.InvalidParameterException(f"Listing by {member} is not built on this platform yet.")
    found, token = _page(call, request, "", request.get("logGroupNamePattern", "").strip("^$"), request.get("limit", DESCRIBE_LIMIT))
    said = [{"logGroupName": g.name, "logGroupArn": group_arn(call, g.name), "logGroupClass": g.log_class} for g in found]
    return {"logGroups": said, **token}


@api.operation
def delete_log_group(call, request):
    group = the_group(call, request["logGroupName"])
    if group.guarded:
        raise ApiError("ValidationException", "The log group is protected from deletion: turn its deletion protection off first.", 400)
    call.platform.logs.delete_group(group)
    arn = group_arn(call, request["logGroupName"])
    call.store.remove_tags(arn, call.store.tags(arn))
    return {}


@api.operation
def put_log_group_deletion_protection(call, request):
    call.platform.logs.set_guarded(the_group(call, request["logGroupIdentifier"]), request["deletionProtectionEnabled"])
    return {}


@api.operation
def associate_kms_key(call, request):
    group = the_group(call, one_of(request, "logGroupName", "resourceIdentifier"))
    call.platform.logs.set_key(group, _key_arn(call, request["kmsKeyId"]))
    return {}


@api.operation
def disassociate_kms_key(call, request):
    call.platform.logs.set_key(the_group(call, one_of(request, "logGroupName", "resourceIdentifier")), None)
    return {}


@api.operation
def put_retention_policy(call, request):
    if request["retentionInDays"] not in RETENTIONS:
        raise api.error.InvalidParameterException(f"Invalid retention value. Valid values are: {sorted(RETENTIONS)}")
    group = the_group(call, request["logGroupName"])
    if group.log_class == "DELIVERY":
        raise api.error.InvalidParameterException("The retention of a log group of the class DELIVERY is one day and cannot be changed.")
    call.platform.logs.set_retention(group, request["retentionInDays"])
    return {}


@api.operation
def delete_retention_policy(call, request):
    call.platform.logs.set_retention(the_group(call, request["logGroupName"]), None)
    return {}


@api.operation
def tag_resource(call, request):
    arn = _tagged(call, request["resourceArn"])
    _check_tags(request["tags"], call.store.tags(arn))
    call.store.set_tags(arn, request["tags"])
    return {}


@api.operation
def untag_resource(call, request):
    call.store.remove_tags(_tagged(call, request["resourceArn"]), request["tagKeys"])
    return {}


@api.operation
def list_tags_for_resource(call, request):
    return {"tags": call.store.tags(_tagged(call, request["resourceArn"]))}


@api.operation
def tag_log_group(call, request):
    the_group(call, request["logGroupName"])
    arn = group_arn(call, request["logGroupName"])
    _check_tags(request["tags"], call.store.tags(arn))
    call.store.set_tags(arn, request["tags"])
    return {}


@api.operation
def untag_log_group(call, request):
    the_group(call, request["logGroupName"])
    call.store.remove_tags(group_arn(call, request["logGroupName"]), request["tags"])
    return {}


@api.operation
def list_tags_log_group(call, request):
    the_group(call, request["logGroupName"])
    return {"tags": call.store.tags(group_arn(call, request["logGroupName"]))}


# --- helpers -------------------------------------------------------------------------------------


def group_arn(call, name: str) -> str:
    return f"arn:aws:logs:{call.region}:{call.account}:log-group:{name}"


def the_group(call, name: str | None) -> Group:
    """The group of a name or an ARN; AWS's ResourceNotFoundException where there is none here."""
    if name and name.startswith("arn:"):
        name = _name_of(name) if name.startswith(group_arn(call, "")) else None
    group = call.platform.logs.group(call.account, call.region, name) if name else None
    if group is None:
        raise api.error.ResourceNotFoundException("The specified log group does not exist.")
    return group


def one_of(request: dict, *members: str) -> str:
    """The value of the one of these members that is given."""
    given = [member for member in members if request.get(member)]
    if len(given) != 1:
        both = "either " + " or ".join(members)
        raise api.error.InvalidParameterException(f"You must include {both}, but not both.")
    return request[given[0]]


def the_named_group(call, request: dict) -> Group:
    """Of `logGroupName` or `logGroupIdentifier`."""
    return the_group(call, one_of(request, "logGroupName", "logGroupIdentifier"))


def _check_tags(new: dict[str, str], there: dict[str, str]) -> None:
    if any(key.lower().startswith("aws:") for key in new):
        raise api.error.InvalidParameterException("aws: prefixed tag key names are not allowed for external use.")
    if len({**there, **new}) > MOST_TAGS:
        raise ApiError("TooManyTagsException", f"A resource can have at most {MOST_TAGS} tags.", 400)


def _name_of(said: str) -> str:
    return said.split(":log-group:", 1)[-1].removesuffix(":*")


def _page(call, request: dict, prefix: str, part: str, limit: int) -> tuple[list[Group], dict]:
    after = decode_token(request.get("nextToken"), api.error.InvalidParameterException, "") or ""
    log_class = request.get("logGroupClass", "")
    found = call.platform.logs.groups(
        call.account, call.region, prefix=prefix, part=part, log_class=log_class, after=after, limit=limit + 1
    )
    return found[:limit], {"nextToken": encode_token(found[limit - 1].name)} if len(found) > limit else {}


def _key_arn(call, key: str | None) -> str | None:
    """The ARN of an enabled symmetric key. It is recorded: log data lies on this machine as it is."""
    if key is None:
        return None
    try:
        return call.platform.kms.arn(call.account, call.region, key)
    except ApiError as problem:
        raise api.error.InvalidParameterException(
            f"The specified KMS key does not exist or is not allowed to be used: {problem.message}"
        ) from problem


def _tagged(call, arn: str) -> str:
    """The ARN of a group of this account, or of a destination (of either kind)."""
    there = call.store.by_arn(arn)
    if there is not None and there.kind in TAGGED and (there.account, there.region) == (call.account, call.region):
        return arn
    the_group(call, arn)
    return arn.removesuffix(":*")


def _describe(call, group: Group) -> dict:
    arn = group_arn(call, group.name)
    said = {
        "logGroupName": group.name,
        "creationTime": group.created_ms,
        "metricFilterCount": FilterStore(call.platform.logs.db).count(group.id, METRIC),
        "arn": arn + ":*",
        "logGroupArn": arn,
        "storedBytes": group.bytes,
        "logGroupClass": group.log_class,
        "deletionProtectionEnabled": group.guarded,
    }
    if group.retention_days is not None:
        said["retentionInDays"] = group.retention_days
    if group.kms_key:
        said["kmsKeyId"] = group.kms_key
    return said
