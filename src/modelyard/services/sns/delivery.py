"""One delivery to one subscription: what is sent where, and what its outcome means."""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.kernel.targets import Delivery, deliver
from modelyard.services.sns import envelope
from modelyard.services.sns.outbox import Due
from modelyard.services.sns.post import Undeliverable, post
from modelyard.services.sns.retries import content_type

log = logging.getLogger("modelyard.sns")
PRINCIPAL = "sns.amazonaws.com"
AGENT = "Amazon Simple Notification Service Agent"


@dataclass(frozen=True)
class Outcome:
    """`final`: a failure that trying again does not mend (the receiver refuses, or is gone)."""

    delivered: bool
    reason: str = ""
    final: bool = False


DELIVERED = Outcome(True)


def attempt(platform: Any, topic: Record, subscription: Record, due: Due) -> Outcome:
    """Tries once; never raises."""
    try:
        if subscription.spec["Protocol"] in ("http", "https"):
            return _post(platform, topic, subscription, due.body)
        _hand_over(platform, topic, subscription, due)
        return DELIVERED
    except ApiError as error:
        return Outcome(False, f"{error.code}: {error.message}", error.sender_fault)
    except Exception as problem:
        log.exception("delivering to %s failed", subscription.arn)
        return Outcome(False, repr(problem))


def bury(platform: Any, topic: Record, subscription: Record, due: Due, reason: str) -> bool | None:
    """To the subscription's dead-letter queue. True: it is there; False: it refuses; None: there is none."""
    text = subscription.spec["Attributes"].get("RedrivePolicy")
    if not text or due.body["Type"] != "Notification":
        return None
    code = reason.partition(":")[0][:256] or "Unknown"
    attributes: dict[str, Any] = {
        name: {"DataType": "String", "StringValue": value[:1024]}
        for name, value in (("RequestID", due.message), ("ErrorCode", code), ("ErrorMessage", reason or code))
    }
    more = {"MessageAttributes": attributes, **_group(due)}
    try:
        _deliver(platform, topic, orjson.loads(text)["deadLetterTargetArn"], _body(platform, topic, subscription, due.body), due, more)
        return True
    except ApiError as error:
        log.warning("the dead letters of %s were refused: %s", subscription.arn, error)
        return False


def _hand_over(platform: Any, topic: Record, subscription: Record, due: Due) -> None:
    """To another service of this platform."""
    raw = _is_raw(subscription, due.body)
    more = {**({"MessageAttributes": _sqs_attributes(due.body)} if raw and due.body.get("MessageAttributes") else {}), **_group(due)}
    body = _body(platform, topic, subscription, due.body)
    _deliver(platform, topic, subscription.spec["Endpoint"], body, due, more)


def _deliver(platform: Any, topic: Record, arn: str, body: str, due: Due, attributes: Mapping[str, Any]) -> None:
    key = f"sns {due.message} {due.subscription} {arn}"
    deliver(platform, Delivery(arn, body, PRINCIPAL, topic.arn, topic.account, topic.region, key, attributes=attributes))


def _group(due: Due) -> dict[str, str]:
    return {name: due.body[name] for name in ("MessageGroupId", "MessageDeduplicationId") if name in due.body}


def _sqs_attributes(body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {**value, **({"BinaryValue": base64.b64decode(value["BinaryValue"])} if "BinaryValue" in value else {})}
        for name, value in body["MessageAttributes"].items()
    }


def _is_raw(subscription: Record, body: Mapping[str, Any]) -> bool:
    return subscription.spec["Attributes"].get("RawMessageDelivery") == "true" and body["Type"] == "Notification"


def _body(platform: Any, topic: Record, subscription: Record, body: Mapping[str, Any]) -> str:
    if _is_raw(subscription, body):
        return envelope.message_for(body, subscription.spec["Protocol"])
    attributes = topic.spec["Attributes"]
    if body["Type"] != "Notification":
        return envelope.as_text(envelope.confirmation(platform, attributes, subscription, body))
    told = envelope.notification(platform, attributes, subscription, body)
    return envelope.lambda_event(told, subscription) if subscription.spec["Protocol"] == "lambda" else envelope.as_text(told)


def _post(platform: Any, topic: Record, subscription: Record, body: Mapping[str, Any]) -> Outcome:
    text = _body(platform, topic, subscription, body)
    headers = {
        "x-amz-sns-message-type": body["Type"],
        "x-amz-sns-message-id": body["MessageId"],
        "x-amz-sns-topic-arn": body["TopicArn"],
        "Content-Type": content_type(topic.spec["Attributes"], subscription.spec["Attributes"]),
        "User-Agent": AGENT,
    }
    if body["Type"] == "Notification":
        headers["x-amz-sns-subscription-arn"] = subscription.arn
    if _is_raw(subscription, body):
        headers["x-amz-sns-rawdelivery"] = "true"
    try:
        status = post(subscription.spec["Endpoint"], text.encode(), headers, platform.own_ports())
    except Undeliverable as problem:
        return Outcome(False, str(problem), problem.final)
    if 200 <= status < 300:
        return DELIVERED
    return Outcome(False, f"HTTP {status}", 300 <= status < 500 and status != 429)
