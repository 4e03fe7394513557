"""Trails: where copies of the events go. What is delivered, and when, is in delivery.py.

Source: CloudTrail API reference, and "Amazon S3 bucket policy for CloudTrail" of its user guide. Management events only.
"""

from __future__ import annotations

import re
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.lifecycle import static
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.kernel.store import Moved, Taken
from modelyard.services.cloudtrail import api
from modelyard.services.cloudtrail.delivery import may_write

TRAIL = static("trail")
MOST_TRAILS = 5
MOST_TAGS = 50
PAGE = 100
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9]|[._-](?![._-])){1,126}[A-Za-z0-9]").fullmatch
_ARN = re.compile(r"arn:aws:cloudtrail:([a-z0-9-]+):(\d{12}):trail/(.+)").fullmatch
_KEPT = ("S3BucketName", "S3KeyPrefix", "IncludeGlobalServiceEvents", "IsMultiRegionTrail")
_NOT_BUILT = {
    "SnsTopicName": "notifications of delivered files",
    "EnableLogFileValidation": "digest files",
    "CloudWatchLogsLogGroupArn": "delivery to CloudWatch Logs",
    "CloudWatchLogsRoleArn": "delivery to CloudWatch Logs",
    "KmsKeyId": "files under a KMS key (the bucket's default encryption is used)",
    "IsOrganizationTrail": "organisations",
}
_ALL = {"ReadWriteType": "All", "IncludeManagementEvents": True, "DataResources": [], "ExcludeManagementEventSources": []}


@api.operation
def create_trail(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    name = _checked_name(request["Name"])
    _check_built(request)
    if len(call.store.list(TRAIL.kind, call.account, call.region)) >= MOST_TRAILS:
        raise api.error.MaximumNumberOfTrailsExceededException(f"User: {call.account} already has {MOST_TRAILS} trails in {call.region}.")
    spec = {"IncludeGlobalServiceEvents": True, "IsMultiRegionTrail": False, **_members(request), "Selectors": [_ALL], "Logging": False}
    arn = f"arn:aws:cloudtrail:{call.region}:{call.account}:trail/{name}"
    _check_bucket(call, spec, arn)
    tags = {tag["Key"]: tag.get("Value", "") for tag in request.get("TagsList", [])}
    try:
        record = call.store.create(TRAIL, name=name, account=call.account, region=call.region, arn=arn, spec=spec, tags=tags)
    except Taken:
        raise api.error.TrailAlreadyExistsException(f"Trail {name} already exists for customer: {call.account}") from None
    return _told(record)


@api.operation
def update_trail(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    _check_built(request)
    record = _find(call, request["Name"])
    changes = _members(request)
    _check_bucket(call, {**record.spec, **changes}, record.arn)
    return _told(_change(call, record, changes))


@api.operation
def delete_trail(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    call.store.delete(_find(call, request["Name"]))
    return {}


@api.operation
def get_trail(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return {"Trail": _described(_find(call, request["Name"]))}


@api.operation
def describe_trails(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    """Trails of all regions that there is a shadow of here; names that are not there are left out."""
    shadows = request.get("includeShadowTrails", True)
    found = [t for t in call.store.list(TRAIL.kind, call.account) if t.region == call.region or (shadows and t.spec["IsMultiRegionTrail"])]
    wanted = set(request.get("trailNameList") or ())
    return {"trailList": [_described(one) for one in found if not wanted or wanted & {one.name, one.arn}]}


@api.operation
def list_trails(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    after = decode_token(request.get("NextToken"), lambda text: ApiError("InvalidTokenException", text, 400), like="")
    found = sorted(call.store.list(TRAIL.kind, call.account), key=lambda one: one.arn)
    shown = [one for one in found if after is None or one.arn > after]
    more = {"NextToken": encode_token(shown[PAGE - 1].arn)} if len(shown) > PAGE else {}
    return {"Trails": [{"TrailARN": one.arn, "Name": one.name, "HomeRegion": one.region} for one in shown[:PAGE]], **more}


@api.operation
def start_logging(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    record = _find(call, request["Name"])
    if not record.spec["Logging"]:
        _change(call, record, {"Logging": True, "Started": call.now(), "From": call.now()})
        call.platform.ring("trail")
    return {}


@api.operation
def stop_logging(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    """What was logged until now is still delivered."""
    record = _find(call, request["Name"])
    if record.spec["Logging"]:
        _change(call, record, {"Logging": False, "Stopped": call.now()})
    return {}


@api.operation
def get_trail_status(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    spec = _find(call, request["Name"]).spec
    times = {"StartLoggingTime": "Started", "StopLoggingTime": "Stopped", "LatestDeliveryTime": "Delivered", "LatestDeliveryError": "Error"}
    found = {name: spec[member] for name, member in times.items() if spec.get(member)}
    return {"IsLogging": spec["Logging"], **found}


@api.operation
def get_event_selectors(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    record = _find(call, request["TrailName"])
    return {"TrailARN": record.arn, "EventSelectors": record.spec["Selectors"]}


@api.operation
def put_event_selectors(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    record, selectors = _find(call, request["TrailName"]), request.get("EventSelectors")
    if not selectors or request.get("AdvancedEventSelectors"):
        raise api.error.UnsupportedOperationException("Advanced event selectors are not built on this platform: use EventSelectors.")
    if len(selectors) > 5:
        raise api.error.InvalidEventSelectorsException("A trail may have up to 5 event selectors.")
    if any(selector.get("DataResources") for selector in selectors):
        raise api.error.UnsupportedOperationException(
            "Data events are not delivered by trails of this platform: leave DataResources empty."
        )
    record = _change(call, record, {"Selectors": [{**_ALL, **selector} for selector in selectors]})
    return {"TrailARN": record.arn, "EventSelectors": record.spec["Selectors"]}


@api.operation
def add_tags(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    record = _find(call, request["ResourceId"])
    tags = {tag["Key"]: tag.get("Value", "") for tag in request["TagsList"]}
    if len({**call.store.tags(record.arn), **tags}) > MOST_TAGS:
        raise api.error.TagsLimitExceededException(f"The number of tags exceeds the permitted amount of {MOST_TAGS}.")
    call.store.set_tags(record.arn, tags)
    return {}


@api.operation
def remove_tags(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    call.store.remove_tags(_find(call, request["ResourceId"]).arn, [tag["Key"] for tag in request["TagsList"]])
    return {}


@api.operation
def list_tags(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    records = [_find(call, arn) for arn in request["ResourceIdList"]]
    tags = {record.arn: call.store.tags(record.arn) for record in records}
    return {
        "ResourceTagList": [{"ResourceId": arn, "TagsList": [{"Key": k, "Value": v} for k, v in own.items()]} for arn, own in tags.items()]
    }


def _checked_name(name: str) -> str:
    if not 3 <= len(name) <= 128:
        raise api.error.InvalidTrailNameException(f"Trail name must have a length between 3 and 128 characters: {name}")
    if not _NAME(name):
        raise api.error.InvalidTrailNameException(
            "Trail name or ARN can only contain uppercase letters, lowercase letters, numbers, periods (.), hyphens (-), and underscores (_). "
            "It must begin and end with a letter or number, and have no two of the signs side by side."
        )
    return name


def _find(call: Call, name: str) -> Record:
    arn = _ARN(name)
    if name.startswith("arn:") and arn is None:
        raise api.error.CloudTrailARNInvalidException(f"The ARN is not that of a trail: {name}")
    region, account, bare = arn.groups() if arn is not None else (call.region, call.account, _checked_name(name))
    record = call.store.get(TRAIL.kind, account, region, bare) if account == call.account else None
    if record is None:
        raise api.error.TrailNotFoundException(
            f"Unknown trail: arn:aws:cloudtrail:{region}:{account}:trail/{bare} for the user: {call.account}"
        )
    return record


def _members(request: dict[str, Any]) -> dict[str, Any]:
    return {name: request[name] for name in _KEPT if request.get(name) is not None}


def _check_built(request: dict[str, Any]) -> None:
    for member, what in _NOT_BUILT.items():
        if request.get(member):
            raise api.error.UnsupportedOperationException(f"{member}: {what} are not built on this platform; leave it out.")


def _check_bucket(call: Call, spec: dict[str, Any], arn: str) -> None:
    bucket = spec["S3BucketName"]
    if not call.platform.objects.bucket_exists(bucket):
        raise api.error.S3BucketDoesNotExistException(f"S3 bucket {bucket} does not exist!")
    if not may_write(call.platform, call.account, call.region, arn, spec):
        raise api.error.InsufficientS3BucketPolicyException(f"Incorrect S3 bucket policy is detected for bucket: {bucket}")


def _change(call: Call, record: Record, changes: dict[str, Any]) -> Record:
    while True:
        try:
            return call.store.request(record, changes, due=False)
        except Moved:
            record = _find(call, record.arn)


def _told(record: Record) -> dict[str, Any]:
    kept = {name: record.spec[name] for name in _KEPT if record.spec.get(name) is not None}
    return {"Name": record.name, "TrailARN": record.arn, "LogFileValidationEnabled": False, "IsOrganizationTrail": False, **kept}


def _described(record: Record) -> dict[str, Any]:
    return {
        **_told(record),
        "HomeRegion": record.region,
        "HasCustomEventSelectors": record.spec["Selectors"] != [_ALL],
        "HasInsightSelectors": False,
    }
