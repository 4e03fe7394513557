"""Attributes of queues: which there are, what they may be, how they are told. Source: CreateQueue in the SQS API reference."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.services.iam.resource_documents import BadDocument, checked
from modelyard.services.sqs import api

DEFAULTS = {
    "DelaySeconds": "0",
    "MaximumMessageSize": "1048576",
    "MessageRetentionPeriod": "345600",
    "ReceiveMessageWaitTimeSeconds": "0",
    "VisibilityTimeout": "30",
    "SqsManagedSseEnabled": "true",
}
FIFO_DEFAULTS = {"ContentBasedDeduplication": "false", "DeduplicationScope": "queue", "FifoThroughputLimit": "perQueue"}
_RANGES = {
    "DelaySeconds": (0, 900),
    "MaximumMessageSize": (1024, 1048576),
    "MessageRetentionPeriod": (60, 1209600),
    "ReceiveMessageWaitTimeSeconds": (0, 20),
    "VisibilityTimeout": (0, 43200),
    "KmsDataKeyReusePeriodSeconds": (60, 86400),
}
_CHOICES = {
    "SqsManagedSseEnabled": ("true", "false"),
    "FifoQueue": ("true",),
    "ContentBasedDeduplication": ("true", "false"),
    "DeduplicationScope": ("messageGroup", "queue"),
    "FifoThroughputLimit": ("perQueue", "perMessageGroupId"),
}
_TEXTS = ("Policy", "RedrivePolicy", "RedriveAllowPolicy", "KmsMasterKeyId")
MOST_RECEIVES = 1000
COUNTS = ("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed")
QUEUE_NAMES = {"All", "QueueArn", "CreatedTimestamp", "LastModifiedTimestamp", *COUNTS, *_RANGES, *_CHOICES, *_TEXTS}
SYSTEM_NAMES = {
    "All", "SenderId", "SentTimestamp", "ApproximateReceiveCount", "ApproximateFirstReceiveTimestamp", "SequenceNumber",
    "MessageDeduplicationId", "MessageGroupId", "AWSTraceHeader", "DeadLetterQueueSourceArn",
}  # fmt: skip


def check_names(names: Iterable[str], known: Collection[str]) -> None:
    for name in names:
        if name not in known:
            raise api.error.InvalidAttributeName(f"Unknown Attribute {name}.")


def checked_attributes(given: Mapping[str, Any], fifo: bool, arn: str, store: Any) -> dict[str, str]:
    """The attributes as they are kept (numbers as plain digits). Raises InvalidAttributeName or InvalidAttributeValue."""
    kept: dict[str, str] = {}
    for name, value in given.items():
        value = str(value)
        if name in _RANGES:
            low, high = _RANGES[name]
            if not re.fullmatch(r"\d{1,9}", value) or not low <= int(value) <= high:
                raise _wrong(name)
            value = str(int(value))
        elif name in _CHOICES:
            if value not in _CHOICES[name]:
                raise _wrong(name)
            if name in FIFO_DEFAULTS and not fifo:
                raise api.error.InvalidAttributeName(f"You can specify the {name} only when FifoQueue is set to true.")
        elif name not in _TEXTS:
            raise api.error.InvalidAttributeName(f"Unknown Attribute {name}.")
        elif value:
            value = _CHECKS[name](value, fifo, arn, store)
        kept[name] = value
    if kept.get("FifoThroughputLimit") == "perMessageGroupId" and kept.get("DeduplicationScope", "queue") != "messageGroup":
        raise api.error.InvalidAttributeValue(
            "The perMessageGroupId value of FifoThroughputLimit is allowed only when DeduplicationScope is messageGroup."
        )
    return kept


def number(queue: Record, name: str) -> int:
    return int(value_of(queue, name))


def value_of(queue: Record, name: str) -> str:
    return queue.spec["Attributes"].get(name) or DEFAULTS.get(name) or FIFO_DEFAULTS.get(name, "")


def is_fifo(queue: Record) -> bool:
    return queue.name.endswith(".fifo")


def redrive_policy(queue: Record) -> dict[str, Any] | None:
    text = queue.spec["Attributes"].get("RedrivePolicy")
    return orjson.loads(text) if text else None


def policy_of(queue: Record) -> dict[str, Any] | None:
    text = queue.spec["Attributes"].get("Policy")
    return orjson.loads(text) if text else None


def configured(queue: Record) -> dict[str, str]:
    """Every attribute that was set or has a default: what GetQueueAttributes tells beside counts and times."""
    found = {**DEFAULTS, **(FIFO_DEFAULTS if is_fifo(queue) else {}), **queue.spec["Attributes"]}
    if found.get("KmsMasterKeyId"):
        found = {"KmsDataKeyReusePeriodSeconds": "300", **found, "SqsManagedSseEnabled": "false"}
    return {name: value for name, value in found.items() if value}


# --- the ones that are documents -------------------------------------------------------------------


def _policy(value: str, fifo: bool, arn: str, store: Any) -> str:
    try:
        checked(value, "sqs")
    except BadDocument as problem:
        raise api.error.InvalidAttributeValue(f"Invalid value for the parameter Policy. Reason: {problem}.") from None
    return value


def _redrive(value: str, fifo: bool, arn: str, store: Any) -> str:
    said = _object(value, "RedrivePolicy")
    if set(said) != {"deadLetterTargetArn", "maxReceiveCount"}:
        raise _wrong_value(
            value, "RedrivePolicy", "Redrive policy does not contain mandatory attribute: deadLetterTargetArn, maxReceiveCount"
        )
    most = str(said["maxReceiveCount"])
    if not re.fullmatch(r"\d{1,4}", most) or not 1 <= int(most) <= MOST_RECEIVES:
        raise _wrong_value(
            value, "RedrivePolicy", f"Invalid value for maxReceiveCount: {most}, valid values are from 1 to {MOST_RECEIVES} both inclusive"
        )
    target = store.by_arn(str(said["deadLetterTargetArn"]))
    if target is None or target.kind != "sqs-queue":
        raise _wrong_value(value, "RedrivePolicy", "Dead letter target does not exist")
    if target.arn.rsplit(":", 1)[0] != arn.rsplit(":", 1)[0]:
        raise _wrong_value(value, "RedrivePolicy", "Dead-letter target owner or region should be same as the source")
    if is_fifo(target) != fifo:
        raise _wrong_value(value, "RedrivePolicy", "Dead-letter queue must be same type of queue as the source")
    if not may_bury(target, arn):
        raise _wrong_value(value, "RedrivePolicy", "The dead-letter queue's RedriveAllowPolicy does not allow this source queue")
    return orjson.dumps({"deadLetterTargetArn": target.arn, "maxReceiveCount": int(most)}).decode()


def may_bury(target: Record, source_arn: str) -> bool:
    """Whether the dead-letter queue lets this source use it."""
    text = target.spec["Attributes"].get("RedriveAllowPolicy")
    said = orjson.loads(text) if text else {"redrivePermission": "allowAll"}
    return said["redrivePermission"] == "allowAll" or source_arn in said.get("sourceQueueArns", ())


def _redrive_allow(value: str, fifo: bool, arn: str, store: Any) -> str:
    said = _object(value, "RedriveAllowPolicy")
    permission, arns = said.get("redrivePermission"), said.get("sourceQueueArns")
    if permission not in ("allowAll", "denyAll", "byQueue"):
        raise _wrong_value(value, "RedriveAllowPolicy", "redrivePermission must be allowAll, denyAll or byQueue")
    if (permission == "byQueue") != (isinstance(arns, list) and 1 <= len(arns) <= 10 and all(isinstance(one, str) for one in arns)):
        raise _wrong_value(value, "RedriveAllowPolicy", "sourceQueueArns takes 1 to 10 ARNs, with redrivePermission byQueue only")
    return orjson.dumps(said).decode()


def _object(value: str, name: str) -> dict[str, Any]:
    try:
        said = orjson.loads(value)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise _wrong_value(value, name, "not a JSON object")
    return said


_CHECKS = {
    "Policy": _policy,
    "RedrivePolicy": _redrive,
    "RedriveAllowPolicy": _redrive_allow,
    "KmsMasterKeyId": lambda value, fifo, arn, store: value,
}


def _wrong(name: str) -> ApiError:
    return api.error.InvalidAttributeValue(f"Invalid value for the parameter {name}.")


def _wrong_value(value: str, name: str, reason: str) -> ApiError:
    return ApiError("InvalidParameterValue", f"Value {value} for parameter {name} is invalid. Reason: {reason}.", 400)
