"""Trails: where copies of the events go. What is delivered, and when, is in delivery.py.

Source: CloudTrail API reference, and "Amazon S3 bucket policy for CloudTrail" of its user guide. Event selectors are in event_selectors.py.
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
from modelyard.services.cloudtrail import api, delivery, outlets, selectors
from modelyard.services.cloudtrail.event import moment

TRAIL = static("trail")
MOST_TRAILS = 5
MOST_TAGS = 50
PAGE = 100
_SIGNS = re.compile(r"[A-Za-z0-9._-]+").fullmatch
_ARN = re.compile(r"arn:aws:cloudtrail:([a-z0-9-]+):(\d{12}):trail/(.+)").fullmatch
_BUCKET = re.compile(r"[a-z0-9A-Z][a-zA-Z0-9._-]{1,253}[a-zA-Z0-9]").fullmatch
_KEPT = ("S3BucketName", "S3KeyPrefix", "IncludeGlobalServiceEvents", "IsMultiRegionTrail")
_OUTLETS = ("SnsTopicARN", "CloudWatchLogsLogGroupArn", "CloudWatchLogsRoleArn", "KmsKeyId")
_NOT_BUILT = {"IsOrganizationTrail": "organisations", "RecursiveLogging": "events of the deliveries themselves"}
MOST_PREFIX = 200


@api.operation
def create_trail(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    name = _checked_name(request["Name"])
    spec = {
        "IncludeGlobalServiceEvents": True,
        "IsMultiRegionTrail": False,
        **_members(request),
        "Selectors": [selectors.ALL],
        "Logging": False,
    }
    _check(request, spec)
    if len(call.store.list(TRAIL.kind, call.account, call.region)) >= MOST_TRAILS:
        raise api.error.MaximumNumberOfTrailsExceededException(f"User: {call.account} already has {MOST_TRAILS} trails in {call.region}.")
    arn = f"arn:aws:cloudtrail:{call.region}:{call.account}:trail/{name}"
    _check_bucket(call, spec, arn)
    spec = {key: value for key, value in {**spec, **outlets.checked(call, request, arn)}.items() if value is not None}
    tags = {tag["Key"]: tag.get("Value", "") for tag in request.get("TagsList", [])}
    try:
        record = call.store.create(TRAIL, name=name, account=call.account, region=call.region, arn=arn, spec=spec, tags=tags)
    except Taken:
        raise api.error.TrailAlreadyExistsException(f"Trail {name} already exists for customer: {call.account}") from None
    return _told(record)


@api.operation
def update_trail(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    record = at_home(call, request["Name"])
    changes = _members(request)
    merged = {**record.spec, **changes}
    _check(request, merged)
    _check_bucket(call, merged, record.arn)
    changes |= outlets.checked(call, {"S3BucketName": merged["S3BucketName"], **request}, record.arn)
    if record.spec["Logging"] and changes.get("Validate") and "Digest" not in record.spec:
        changes["Digest"] = delivery.new_chain(call.now())
    elif changes.get("Validate") is False and "Digest" in record.spec:
        record = delivery.digest(call.platform, record, call.now(), last=True)
    return _told(change(call, record, changes))


@api.operation
def delete_trail(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    record = at_home(call, request["Name"])
    delivery.finish(call.platform, record)
    call.store.delete(find(call, record.arn))
    call.platform.identity.changed()
    return {}


@api.operation
def get_trail(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return {"Trail": _described(find(call, request["Name"], bare=True))}


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
    record = at_home(call, request["Name"])
    if not record.spec["Logging"]:
        chain = delivery.new_chain(call.now()) if record.spec.get("Validate") else None
        change(call, record, {"Logging": True, "Started": call.now(), "From": call.now(), "Upto": None, "Digest": chain})
        call.platform.ring("trail")
    call.platform.identity.changed()
    return {}


@api.operation
def stop_logging(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    """What was logged until now is still delivered."""
    record = at_home(call, request["Name"])
    if record.spec["Logging"]:
        change(call, record, {"Logging": False, "Stopped": call.now()})
    call.platform.identity.changed()
    return {}


@api.operation
def get_trail_status(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    spec = find(call, request["Name"]).spec
    found = {name: spec[member] for name, member in _TIMES.items() if spec.get(member)}
    tried, noticed = spec.get("Delivered"), spec.get("NotificationAt")
    strings = {
        "LatestDeliveryAttemptTime": tried,
        "LatestDeliveryAttemptSucceeded": tried if not spec.get("Error") else None,
        "LatestNotificationAttemptTime": noticed,
        "LatestNotificationAttemptSucceeded": noticed if not spec.get("NotificationError") else None,
        "TimeLoggingStarted": spec.get("Started"),
        "TimeLoggingStopped": spec.get("Stopped"),
    }
    return {"IsLogging": spec["Logging"], **found, **{name: moment(at) if at else "" for name, at in strings.items()}}


_TIMES = {
    "StartLoggingTime": "Started",
    "StopLoggingTime": "Stopped",
    "LatestDeliveryTime": "Delivered",
    "LatestDeliveryError": "Error",
    "LatestDigestDeliveryTime": "DigestDelivered",
    "LatestNotificationTime": "NotificationAt",
    "LatestNotificationError": "NotificationError",
    "LatestCloudWatchLogsDeliveryTime": "LogsDeliveryAt",
    "LatestCloudWatchLogsDeliveryError": "LogsDeliveryError",
}


@api.operation
def add_tags(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    record = find(call, request["ResourceId"])
    tags = {tag["Key"]: tag.get("Value", "") for tag in request["TagsList"]}
    if len({**call.store.tags(record.arn), **tags}) > MOST_TAGS:
        raise api.error.TagsLimitExceededException(f"The number of tags exceeds the permitted amount of {MOST_TAGS}.")
    call.store.set_tags(record.arn, tags)
    return {}


@api.operation
def remove_tags(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    call.store.remove_tags(find(call, request["ResourceId"]).arn, [tag["Key"] for tag in request["TagsList"]])
    return {}


@api.operation
def list_tags(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    records = [find(call, arn) for arn in request["ResourceIdList"]]
    tags = {record.arn: call.store.tags(record.arn) for record in records}
    return {
        "ResourceTagList": [{"ResourceId": arn, "TagsList": [{"Key": k, "Value": v} for k, v in own.items()]} for arn, own in tags.items()]
    }


def _checked_name(name: str) -> str:
    said = None
    if len(name) < 3:
        said = f"Trail name too short. Minimum allowed length: 3 characters. Specified name length: {len(name)} characters."
    elif len(name) > 128:
        said = f"Trail name too long. Maximum allowed length: 128 characters. Specified name length: {len(name)} characters."
    elif not name[0].isascii() or not name[0].isalnum():
        said = "Trail name must starts with a letter or number."
    elif not name[-1].isascii() or not name[-1].isalnum():
        said = "Trail name must ends with a letter or number."
    elif not _SIGNS(name):
        said = "Trail name or ARN can only contain uppercase letters, lowercase letters, numbers, periods (.), hyphens (-), and underscores (_)."
    elif re.search(r"[._-]{2}", name):
        said = "Trail name cannot have adjacent periods (.), hyphens (-), or underscores (_)."
    if said is not None:
        raise api.error.InvalidTrailNameException(said)
    return name


def find(call: Call, name: str, bare: bool = False) -> Record:
    """A trail of the caller's by name or ARN. `bare`: a missing one is named as it was asked for."""
    arn = _ARN(name)
    if name.startswith("arn:") and arn is None:
        raise api.error.CloudTrailARNInvalidException(f"The ARN is not that of a trail: {name}")
    region, account, own = arn.groups() if arn is not None else (call.region, call.account, _checked_name(name))
    record = call.store.get(TRAIL.kind, account, region, own) if account == call.account else None
    if record is None:
        said = name if bare else f"arn:aws:cloudtrail:{region}:{account}:trail/{own}"
        raise api.error.TrailNotFoundException(f"Unknown trail: {said} for the user: {call.account}")
    return record


def at_home(call: Call, name: str) -> Record:
    """The same, for who changes it."""
    record = find(call, name)
    if record.region != call.region:
        raise api.error.InvalidHomeRegionException(
            f"The trail {record.arn} can only be changed from its home region, {record.region}; this request was for {call.region}."
        )
    return record


def _members(request: dict[str, Any]) -> dict[str, Any]:
    found = {name: request[name] for name in _KEPT if request.get(name) is not None}
    return {**found, **({"Validate": request["EnableLogFileValidation"]} if "EnableLogFileValidation" in request else {})}


def _check(request: dict[str, Any], spec: dict[str, Any]) -> None:
    for member, what in _NOT_BUILT.items():
        if request.get(member):
            raise api.error.UnsupportedOperationException(f"{member}: {what} are not built on this platform; leave it out.")
    if spec["IsMultiRegionTrail"] and not spec["IncludeGlobalServiceEvents"]:
        raise api.error.InvalidParameterCombinationException("Multi-Region trail must include global service events.")
    if not _BUCKET(spec["S3BucketName"]):
        raise api.error.InvalidS3BucketNameException(f"Bucket name is invalid: {spec['S3BucketName']}")
    if len(spec.get("S3KeyPrefix", "")) > MOST_PREFIX:
        raise api.error.InvalidS3PrefixException(f"S3 prefix is longer than maximum length: {MOST_PREFIX}")


def _check_bucket(call: Call, spec: dict[str, Any], arn: str) -> None:
    bucket = spec["S3BucketName"]
    if not call.platform.objects.bucket_exists(bucket):
        raise api.error.S3BucketDoesNotExistException(f"S3 bucket {bucket} does not exist!")
    if not delivery.may_write(call.platform, call.account, call.region, arn, spec):
        raise api.error.InsufficientS3BucketPolicyException(f"Incorrect S3 bucket policy is detected for bucket: {bucket}")


def change(call: Call, record: Record, changes: dict[str, Any]) -> Record:
    """Every process knows at its next call what trails ask for: this is told as changes of IAM are."""
    while True:
        try:
            changed = call.store.request(record, changes, due=False)
        except Moved:
            record = find(call, record.arn)
            continue
        call.platform.identity.changed()
        return changed


def _told(record: Record) -> dict[str, Any]:
    spec = record.spec
    kept = {name: spec[name] for name in (*_KEPT, *_OUTLETS) if spec.get(name) is not None}
    if "SnsTopicARN" in spec:
        kept["SnsTopicName"] = spec["SnsTopicARN"].rsplit(":", 1)[-1]
    fixed = {"LogFileValidationEnabled": spec.get("Validate", False), "IsOrganizationTrail": False}
    return {"Name": record.name, "TrailARN": record.arn, **fixed, **kept}


def _described(record: Record) -> dict[str, Any]:
    custom = bool(record.spec.get("Advanced")) or record.spec.get("Selectors") != [selectors.ALL]
    return {**_told(record), "HomeRegion": record.region, "HasCustomEventSelectors": custom, "HasInsightSelectors": False}
