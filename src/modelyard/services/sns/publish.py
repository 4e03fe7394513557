"""Publishing: Publish, PublishBatch, and deliveries of other services to the ARN of a topic.

A publication is for the subscriptions that are confirmed now and whose filter it passes; what they will get is in the outbox
before the publisher hears of it.
"""

from __future__ import annotations

import base64
import hashlib
import re
import uuid
from collections.abc import Mapping
from typing import Any

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.services.iam.resource_documents import admits
from modelyard.services.sns import api
from modelyard.services.sns.envelope import sequence_number
from modelyard.services.sns.errors import invalid, no_topic
from modelyard.services.sns.figures import count
from modelyard.services.sns.filter_policy import matches
from modelyard.services.sns.outbox import Publication
from modelyard.services.sns.topic import find_topic, is_fifo, policy_of, the_topic

LONGEST, MOST_ENTRIES, LONGEST_SUBJECT = 256 << 10, 10, 100
_TYPE = re.compile(r"(String|Number|Binary)(\..+)?\Z")
_TOKEN = re.compile(r"[A-Za-z0-9!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~]{1,128}\Z")


@api.operation
def publish(call, request):
    if request.get("PhoneNumber"):
        raise invalid("PhoneNumber Reason: Modelyard sends no text messages; nothing was done.")
    arn = request.get("TopicArn") or request.get("TargetArn")
    if not arn:
        raise invalid("TopicArn or TargetArn Reason: no value for required parameter")
    topic = the_topic(call, arn)
    ((message_id, seq),) = send(call.platform, topic, [request])
    return {"MessageId": message_id, **({"SequenceNumber": sequence_number(seq)} if is_fifo(topic) else {})}


@api.operation
def publish_batch(call, request):
    topic, entries = the_topic(call, request["TopicArn"]), request["PublishBatchRequestEntries"]
    _check_entries(entries)
    good, failed = [], []
    for entry in entries:
        try:
            prepared(topic, entry, call.now())
            good.append(entry)
        except ApiError as error:
            failed.append({"Id": entry["Id"], "Code": error.code, "Message": error.message, "SenderFault": error.sender_fault})
    sent = send(call.platform, topic, good) if good else []
    fifo = is_fifo(topic)
    told = [
        {"Id": entry["Id"], "MessageId": name, **({"SequenceNumber": sequence_number(seq)} if fifo else {})}
        for entry, (name, seq) in zip(good, sent, strict=True)
    ]
    return {"Successful": told, "Failed": failed}


@api.target
def deliver(platform, delivery):
    """A service publishes to a topic, if the topic's policy lets it: the default policy lets those act that act for the topic's
    owner. `attributes`: MessageAttributes, MessageGroupId, MessageDeduplicationId."""
    topic = find_topic(platform.store, delivery.arn)
    if topic is None:
        raise no_topic()
    decision = admits(platform, delivery, "sns:Publish", topic.account, policy_of(topic))
    if not decision.allowed:
        raise api.error.AuthorizationErrorException(decision.message)
    request = {"Message": delivery.body, **delivery.attributes}
    if delivery.subject:
        request["Subject"] = delivery.subject[:LONGEST_SUBJECT]
    if is_fifo(topic):
        request.setdefault("MessageDeduplicationId", hashlib.sha256(delivery.key.encode()).hexdigest())
    send(platform, topic, [request])


def send(platform: Any, topic: Record, requests: list[Mapping[str, Any]]) -> list[tuple[str, int]]:
    """Writes the publications and says so; answers (message id, sequence number)."""
    now, subscriptions = platform.clock.now(), [s for s in platform.store.children(topic.uid) if s.spec["Confirmed"]]
    publications, filtered = [], 0
    for request in requests:
        body, group, token = prepared(topic, request, now)
        wanted = tuple(s.uid for s in subscriptions if _passes(s, body))
        filtered += len(subscriptions) - len(wanted)
        publications.append(Publication(body["MessageId"], topic.uid, body, wanted, group, token))
    sent = platform.topics.outbox.publish(publications)
    if subscriptions:
        platform.ring("sns")
    sizes = [len(publication.body["Message"].encode()) for publication in publications]
    count(platform, topic.arn, NumberOfMessagesPublished=len(publications), NumberOfNotificationsFilteredOut=filtered, PublishSize=sizes)
    return sent


def prepared(topic: Record, request: Mapping[str, Any], now: float) -> tuple[dict[str, Any], str | None, str | None]:
    """(what is kept of a message, its group, its deduplication id); raises what SNS says of a wrong one."""
    text, attributes = request["Message"], kept_attributes(request.get("MessageAttributes"))
    if not text:
        raise invalid("Empty message")
    size = len(text.encode()) + sum(
        len(n) + len(v["DataType"]) + len(v.get("StringValue", v.get("BinaryValue"))) for n, v in attributes.items()
    )
    if size > LONGEST:
        raise invalid("Message too long")
    subject = request.get("Subject")
    if subject is not None and (
        not subject or len(subject) > LONGEST_SUBJECT or "\n" in subject or not subject[0].isprintable() or subject[0].isspace()
    ):
        raise invalid("Subject")
    if request.get("MessageStructure"):
        _check_structure(request["MessageStructure"], text)
    body: dict[str, Any] = {
        "Type": "Notification",
        "MessageId": str(uuid.uuid4()),
        "TopicArn": topic.arn,
        "Message": text,
        "PublishedAt": now,
    }
    for name, value in (("Subject", subject), ("MessageStructure", request.get("MessageStructure")), ("MessageAttributes", attributes)):
        if value:
            body[name] = value
    group, token = request.get("MessageGroupId"), request.get("MessageDeduplicationId")
    if group is not None:
        body["MessageGroupId"] = _check_token(group, "MessageGroupId")
    if not is_fifo(topic):
        if token is not None:
            raise invalid(
                "MessageDeduplicationId Reason: The request includes MessageDeduplicationId parameter that is not valid for this topic type"
            )
        return body, None, None
    return body, *_fifo(topic, body, group, token)


def _fifo(topic: Record, body: dict[str, Any], group: str | None, token: str | None) -> tuple[str, str]:
    if not group:
        raise invalid("The MessageGroupId parameter is required for FIFO topics")
    if token is not None:
        _check_token(token, "MessageDeduplicationId")
    elif topic.spec["Attributes"].get("ContentBasedDeduplication") == "true":
        token = hashlib.sha256(body["Message"].encode()).hexdigest()
    else:
        raise invalid("The topic should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
    body["MessageDeduplicationId"] = token
    return group, f"{group} {token}" if topic.spec["Attributes"].get("FifoThroughputScope") == "MessageGroup" else token


def _check_structure(structure: str, text: str) -> None:
    if structure != "json":
        raise invalid("MessageStructure")
    try:
        said = orjson.loads(text)
    except ValueError:
        raise invalid("Message Structure - JSON message body failed to parse") from None
    if not isinstance(said, dict) or not isinstance(said.get("default"), str):
        raise invalid("Message Structure - No default entry in JSON message body")


def _passes(subscription: Record, body: Mapping[str, Any]) -> bool:
    attributes = subscription.spec["Attributes"]
    text = attributes.get("FilterPolicy")
    if not text:
        return True
    scope = attributes.get("FilterPolicyScope") or "MessageAttributes"
    return matches(orjson.loads(text), scope, body.get("MessageAttributes") or {}, body["Message"])


def kept_attributes(given: Mapping[str, Any] | None) -> dict[str, Any]:
    """{"DataType", "StringValue" | "BinaryValue" (base64)} by name."""
    kept: dict[str, Any] = {}
    for name, value in (given or {}).items():
        kind = value.get("DataType") or ""
        if not re.fullmatch(r"(?!\.)(?!.*\.\.)[A-Za-z0-9_.-]{1,256}(?<!\.)", name) or name.lower().startswith(("aws.", "amazon.")):
            raise invalid(f"Message attribute name can not start with AWS. or Amazon. and takes A-Z, a-z, 0-9, _, - and . only: {name}")
        if not _TYPE.match(kind):
            text = f"The message attribute '{name}' has an invalid message attribute type, the set of supported type prefixes is Binary, Number, and String."
            raise ApiError("ParameterValueInvalid", text, 400)
        member = "BinaryValue" if kind.startswith("Binary") else "StringValue"
        if not value.get(member):
            text = f"The message attribute '{name}' must contain non-empty message attribute value for message attribute type '{kind}'."
            raise ApiError("ParameterValueInvalid", text, 400)
        if kind.startswith("Number"):
            try:
                float(value[member])
            except ValueError:
                raise ApiError("ParameterValueInvalid", f"Could not cast message attribute '{name}' value to number.", 400) from None
        kept[name] = {"DataType": kind, member: base64.b64encode(value[member]).decode() if member == "BinaryValue" else value[member]}
    return kept


def _check_token(value: str, name: str) -> str:
    if not _TOKEN.match(value):
        raise invalid(f"{name} Reason: The {name} can only include alphanumeric and punctuation characters. 1 to 128 in length")
    return value


def _check_entries(entries: list[dict[str, Any]]) -> None:
    names = [entry["Id"] for entry in entries]
    if not entries:
        raise api.error.EmptyBatchRequestException("The batch request doesn't contain any entries.")
    if len(entries) > MOST_ENTRIES:
        raise api.error.TooManyEntriesInBatchRequestException("The batch request contains more entries than permissible.")
    if len(set(names)) < len(names):
        raise api.error.BatchEntryIdsNotDistinctException("Two or more batch entries in the request have the same Id.")
    if not all(re.fullmatch(r"[A-Za-z0-9_-]{1,80}", name) for name in names):
        raise api.error.InvalidBatchEntryIdException("The Id of a batch entry in a batch request doesn't abide by the specification.")
    if sum(len((entry.get("Message") or "").encode()) for entry in entries) > LONGEST:
        raise api.error.BatchRequestTooLongException("The length of all the batch messages put together is more than the limit.")
