"""Sending: SendMessage, SendMessageBatch, and deliveries of other services to the ARN of a queue."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.services.iam.resource_documents import admits
from modelyard.services.sqs import api
from modelyard.services.sqs.attributes import is_fifo, number, policy_of, value_of
from modelyard.services.sqs.batch import check_entries, failure
from modelyard.services.sqs.errors import bad, bad_value, missing
from modelyard.services.sqs.message import attributes_md5, check_body, check_token, kept_attributes, md5, sequence_number
from modelyard.services.sqs.message_store import Outgoing
from modelyard.services.sqs.queue import QUEUE, the_queue

LONGEST_BATCH = 1_048_576
DELIVERY_REMEMBERED_S = 3600.0


@api.operation
def send_message(call, request):
    queue = the_queue(call, request)
    message, _ = outgoing(queue, request, call.principal.user_id)
    ((message_id, seq),) = _send(call.platform, queue, [message])
    return _receipt(queue, message, message_id, seq)


@api.operation
def send_message_batch(call, request):
    queue, entries = the_queue(call, request), request.get("Entries") or []
    check_entries(entries, "SendMessageBatchRequestEntry")
    made, failed, size = [], [], 0
    for entry in entries:
        try:
            message, length = outgoing(queue, entry, call.principal.user_id)
        except ApiError as error:
            failed.append(failure(entry["Id"], error))
            continue
        size += length
        made.append((entry["Id"], message))
    if size > LONGEST_BATCH:
        raise api.error.BatchRequestTooLong(f"Batch requests cannot be longer than {LONGEST_BATCH} bytes. You have sent {size} bytes.")
    sent = _send(call.platform, queue, [message for _, message in made]) if made else []
    successful = [{"Id": name, **_receipt(queue, message, *one)} for (name, message), one in zip(made, sent, strict=True)]
    return {"Successful": successful, "Failed": failed}


@api.target
def deliver(platform, delivery):
    """A service sends a message to a queue, if the queue's policy lets it: nothing is delivered by default, as on AWS. The same
    key within an hour is the same message. `attributes`: MessageAttributes, MessageGroupId, MessageDeduplicationId."""
    queue = platform.store.by_arn(delivery.arn)
    if queue is None or queue.kind != QUEUE.kind:
        raise api.error.QueueDoesNotExist("The specified queue does not exist.")
    decision = admits(platform, delivery, "sqs:SendMessage", queue.account, policy_of(queue))
    if not decision.allowed:
        raise ApiError("AccessDenied", decision.message, 403)
    given = {
        name: delivery.attributes[name]
        for name in ("MessageAttributes", "MessageGroupId", "MessageDeduplicationId")
        if name in delivery.attributes
    }
    if not is_fifo(queue):
        given.pop("MessageDeduplicationId", None)
    message, _ = outgoing(queue, {"MessageBody": delivery.body, **given}, delivery.source)
    if message.token is None:
        message = Outgoing(**{**vars(message), "token": delivery.key, "scope": "delivery", "remembered_s": DELIVERY_REMEMBERED_S})
    _send(platform, queue, [message])


# --- helpers -------------------------------------------------------------------------------------


def outgoing(queue: Record, entry: dict[str, Any], sender: str) -> tuple[Outgoing, int]:
    """The message of a request (or of an entry of a batch) and its size; raises what SQS says of a wrong one."""
    attributes, body = kept_attributes(entry.get("MessageAttributes")), entry.get("MessageBody") or ""
    size = check_body(body, number(queue, "MaximumMessageSize"), attributes)
    system = {"SenderId": sender}
    traced = kept_attributes(entry.get("MessageSystemAttributes"))
    if traced:
        if set(traced) != {"AWSTraceHeader"} or not traced["AWSTraceHeader"]["DataType"].startswith("String"):
            raise bad("Message system attribute name must be AWSTraceHeader, of type String.")
        system["AWSTraceHeader"] = traced["AWSTraceHeader"]["StringValue"]
    delay, group, token, scope = entry.get("DelaySeconds"), entry.get("MessageGroupId"), entry.get("MessageDeduplicationId"), ""
    if group is not None:
        system["MessageGroupId"] = check_token(group, "MessageGroupId")
    if is_fifo(queue):
        token, scope = _fifo(queue, entry, body)
        system["MessageDeduplicationId"] = token
        delay = None
    elif token is not None:
        raise bad_value(token, "MessageDeduplicationId", "The request include parameter that is not valid for this queue type")
    if delay is None:
        delay = number(queue, "DelaySeconds")
    if not 0 <= delay <= 900:
        raise bad_value(delay, "DelaySeconds", "DelaySeconds must be >= 0 and <= 900.")
    retention = number(queue, "MessageRetentionPeriod")
    return Outgoing(str(uuid.uuid4()), body, attributes, system, group, float(delay), float(retention), token, scope), size


def _fifo(queue: Record, entry: dict[str, Any], body: str) -> tuple[str, str]:
    """(deduplication id, its scope) of a message for a FIFO queue."""
    if not entry.get("MessageGroupId"):
        raise missing("MessageGroupId")
    if entry.get("DelaySeconds"):
        raise bad_value(entry["DelaySeconds"], "DelaySeconds", "The request include parameter that is not valid for this queue type")
    token = entry.get("MessageDeduplicationId")
    if token is not None:
        check_token(token, "MessageDeduplicationId")
    elif value_of(queue, "ContentBasedDeduplication") == "true":
        token = hashlib.sha256(body.encode()).hexdigest()
    else:
        raise bad("The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided explicitly")
    return token, f"group {entry['MessageGroupId']}" if value_of(queue, "DeduplicationScope") == "messageGroup" else "queue"


def _send(platform: Any, queue: Record, messages: list[Outgoing]) -> list[tuple[str, int]]:
    sent = platform.queues.messages.send(queue.uid, messages)
    platform.queues.waiters.wake(queue.uid)
    return sent


def _receipt(queue: Record, message: Outgoing, message_id: str, seq: int) -> dict[str, Any]:
    told: dict[str, Any] = {"MessageId": message_id, "MD5OfMessageBody": md5(message.body)}
    if message.attributes:
        told["MD5OfMessageAttributes"] = attributes_md5(message.attributes)
    if "AWSTraceHeader" in message.system:
        header = {"AWSTraceHeader": {"DataType": "String", "StringValue": message.system["AWSTraceHeader"]}}
        told["MD5OfMessageSystemAttributes"] = attributes_md5(header)
    if is_fifo(queue):
        told["SequenceNumber"] = sequence_number(seq)
    return told
