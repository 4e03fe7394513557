"""What a trail does beside its files: tells a topic of them, sends the events to a log group, and has them encrypted with a key.

Source: CloudTrail User Guide, "Configuring Amazon SNS notifications for CloudTrail", "Sending events to CloudWatch Logs", "Configure AWS KMS key policies".
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.kernel.identity import Principal
from modelyard.kernel.service import Call
from modelyard.kernel.targets import Delivery, deliver
from modelyard.services.cloudtrail import api
from modelyard.services.iam.resource_documents import admits

log = logging.getLogger("modelyard.trail")
SERVICE = "cloudtrail.amazonaws.com"
MOST_MESSAGE = 256 << 10
"""Bytes of an event that goes to a log group; larger ones are only in the files."""
_TOPIC = re.compile(r"arn:aws:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256}").fullmatch
_GROUP = re.compile(r"arn:aws:logs:([a-z0-9-]+):(\d{12}):log-group:([^:*]+):\*").fullmatch
_ROLE = re.compile(r"arn:aws:iam::\d{12}:role/.+").fullmatch


def checked(call: Call, request: Mapping[str, Any], arn: str) -> dict[str, Any]:
    """The members of the trail's record that the request changes; "" takes one away. Raises what CreateTrail raises."""
    changes: dict[str, Any] = {}
    if "SnsTopicName" in request:
        changes["SnsTopicARN"] = _topic(call, request["SnsTopicName"], arn) if request["SnsTopicName"] else None
    if "KmsKeyId" in request:
        changes["KmsKeyId"] = _key(call, request["KmsKeyId"], arn, request.get("S3BucketName", "")) if request["KmsKeyId"] else None
    group, role = request.get("CloudWatchLogsLogGroupArn"), request.get("CloudWatchLogsRoleArn")
    if group or role:
        changes |= _group(call, group or "", role or "")
    elif group == "" or role == "":
        changes |= {"CloudWatchLogsLogGroupArn": None, "CloudWatchLogsRoleArn": None}
    return changes


def _topic(call: Call, name: str, trail: str) -> str:
    arn = name if name.startswith("arn:") else f"arn:aws:sns:{call.region}:{call.account}:{name}"
    if not _TOPIC(arn):
        raise api.error.InvalidSnsTopicNameException(f"SNS topic name is invalid: {name}")
    policy, account = call.platform.parts["resource_policies"]["sns"](call, {"TopicArn": arn})
    asked = Delivery(arn, "", SERVICE, trail, call.account, call.region, "")
    if account is None or policy is None or not admits(call.platform, asked, "sns:Publish", account, policy).allowed:
        raise api.error.InsufficientSnsTopicPolicyException("SNS Topic does not exist or the topic policy is incorrect!")
    return arn


def _key(call: Call, ref: str, trail: str, bucket: str) -> str:
    try:
        arn = call.platform.kms.arn(call.account, call.region, ref)
    except ApiError as problem:
        raise api.error.KmsKeyNotFoundException(f"KMS key {ref} is not found: {problem.message}") from None
    policy, account = call.platform.parts["resource_policies"]["kms"].find(arn)
    asked = Delivery(arn, "", SERVICE, trail, call.account, call.region, "")
    context = {"kms:EncryptionContext:aws:cloudtrail:arn": trail}
    decision = admits(call.platform, asked, "kms:GenerateDataKey", account or call.account, policy, context)
    if not decision.allowed:
        raise api.error.InsufficientEncryptionPolicyException(f"Insufficient permissions to access S3 bucket {bucket} or KMS key {arn}.")
    return arn


def _group(call: Call, group: str, role: str) -> dict[str, Any]:
    found = _GROUP(group)
    if found is None or found[2] != call.account:
        raise api.error.InvalidCloudWatchLogsLogGroupArnException(f"CloudTrail cannot validate the specified log group ARN: {group}")
    if not _ROLE(role):
        raise api.error.InvalidCloudWatchLogsRoleArnException(f"CloudTrail cannot validate the specified role ARN: {role}")
    if call.platform.logs.group(call.account, found[1], found[3]) is None:
        raise api.error.InvalidCloudWatchLogsLogGroupArnException(f"The specified log group does not exist: {found[3]}")
    try:
        call.platform.identity.check_pass_role(call, role, SERVICE)
    except ApiError as problem:
        if problem.denial is not None:
            raise
        raise api.error.InvalidCloudWatchLogsRoleArnException("Access denied. Check the trust relationships for your role.") from None
    if not _role_may(call.platform, call.account, group, role, f"{call.account}_CloudTrail_{call.region}"):
        raise api.error.InvalidCloudWatchLogsLogGroupArnException("Access denied. Check the permissions for your role.")
    return {"CloudWatchLogsLogGroupArn": group, "CloudWatchLogsRoleArn": role}


def _role_may(platform: Any, account: str, group: str, role: str, stream: str) -> bool:
    if platform.settings.auth == "open":
        return True
    record = platform.identity.role(role)
    if record is None:
        return False
    session = "CLOUDWATCH_LOGS_DELIVERY_SESSION"
    arn, user_id = f"arn:aws:sts::{account}:assumed-role/{record.name}/{session}", f"{record.spec['RoleId']}:{session}"
    who = Principal("role", account, arn, user_id, "", role)
    resource = f"{group.removesuffix(':*')}:log-stream:{stream}"
    return all(platform.identity.decide(who, action, resource, {}).allowed for action in ("logs:CreateLogStream", "logs:PutLogEvents"))


def tell(platform: Any, trail: Any, events: Mapping[str, list[dict[str, Any]]], keys: list[str]) -> dict[str, Any]:
    """After the files are there; answers what changes in the trail's record. What fails here fails no delivery."""
    spec, changes, now = trail.spec, {}, platform.clock.now()
    if spec.get("SnsTopicARN"):
        body = orjson.dumps({"s3Bucket": spec["S3BucketName"], "s3ObjectKey": keys}).decode()
        notice = Delivery(spec["SnsTopicARN"], body, SERVICE, trail.arn, trail.account, trail.region, keys[0])
        changes |= _attempt("Notification", lambda: deliver(platform, notice), now)
    if spec.get("CloudWatchLogsLogGroupArn"):
        changes |= _attempt("LogsDelivery", lambda: _append(platform, trail, events), now)
    return changes


def _attempt(what: str, act: Any, now: float) -> dict[str, Any]:
    try:
        act()
    except ApiError as problem:
        log.warning("a trail's %s failed: %s", what, problem.message)
        return {f"{what}Error": problem.code}
    return {f"{what}At": now, f"{what}Error": None}


def _append(platform: Any, trail: Any, events: Mapping[str, list[dict[str, Any]]]) -> None:
    group = trail.spec["CloudWatchLogsLogGroupArn"]
    _, _, _, region, account, _, name, _ = group.split(":")
    for where, found in events.items():
        stream = f"{trail.account}_CloudTrail_{where}"
        if platform.logs.group(account, region, name) is None:
            raise ApiError("ResourceNotFoundException", "The specified log group does not exist.", 400)
        if not _role_may(platform, trail.account, group, trail.spec["CloudWatchLogsRoleArn"], stream):
            raise ApiError("AccessDenied", "The role may not write to the log group.", 400)
        rows = [(int(datetime.fromisoformat(one["eventTime"]).timestamp() * 1000), orjson.dumps(one).decode()) for one in found]
        platform.logs.append(account, region, name, stream, [row for row in rows if len(row[1]) <= MOST_MESSAGE])
