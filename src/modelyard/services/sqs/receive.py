"""ReceiveMessage, also as a long poll that holds no thread."""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic
from typing import Any

from modelyard.kernel.records import Record
from modelyard.services.sqs import api
from modelyard.services.sqs.attributes import QUEUE_NAMES, SYSTEM_NAMES, check_names, is_fifo, number, redrive_policy
from modelyard.services.sqs.errors import bad_value
from modelyard.services.sqs.message import attributes_md5, check_token, md5, sequence_number, told_attributes
from modelyard.services.sqs.message_store import DeadLetters, Message
from modelyard.services.sqs.queue import find_queue, the_queue
from modelyard.services.sqs.receipt import receipt_handle

MOST_IN_FLIGHT = 120_000


@api.operation
async def receive_message(call, request):
    """Looks at once; then, if the request or the queue says so, waits until there is something."""
    loop, queues = asyncio.get_running_loop(), call.platform.queues
    queue = await loop.run_in_executor(queues.pool, the_queue, call, request)
    wait_s = _bounded(
        request, "WaitTimeSeconds", number(queue, "ReceiveMessageWaitTimeSeconds"), 0, 20, "Must be >= 0 and <= 20, if provided."
    )
    look = partial(_look, call, queue, request)
    if not wait_s:
        return _answer(await loop.run_in_executor(queues.pool, look), request, queue)
    until, event = monotonic() + wait_s, queues.waiters.join(queue.uid)
    try:
        while True:
            found = await loop.run_in_executor(queues.pool, look)
            left = until - monotonic()
            if found or left <= 0:
                return _answer(found, request, queue)
            await queues.waiters.wait(queue.uid, event, left)
    finally:
        queues.waiters.leave(queue.uid, event)


def _look(call: Any, queue: Record, request: dict[str, Any]) -> list[Message]:
    most = _bounded(request, "MaxNumberOfMessages", 1, 1, 10, "Must be between 1 and 10, if provided.")
    visibility = _bounded(
        request, "VisibilityTimeout", number(queue, "VisibilityTimeout"), 0, 43200, "Must be between 0 and 43200, if provided."
    )
    fifo, attempt = is_fifo(queue), request.get("ReceiveRequestAttemptId")
    if attempt is not None:
        if not fifo:
            raise bad_value(attempt, "ReceiveRequestAttemptId", "The request include parameter that is not valid for this queue type")
        check_token(attempt, "ReceiveRequestAttemptId")
    messages = call.platform.queues.messages
    if not messages.anything(queue.uid, fifo) and attempt is None:
        return []
    if find_queue(call, request["QueueUrl"]) is None:
        return []  # deleted while this waited
    if messages.in_flight_at_least(queue.uid, MOST_IN_FLIGHT):
        raise api.error.OverLimit(f"The maximum number of in flight messages is reached ({MOST_IN_FLIGHT}).")
    return messages.receive(queue.uid, fifo, most, float(visibility), _dead_letters(call, queue), attempt)


def _dead_letters(call: Any, queue: Record) -> DeadLetters | None:
    """Where messages received too often go; None: there is no such queue (any more), they stay."""
    policy = redrive_policy(queue)
    target = call.store.by_arn(policy["deadLetterTargetArn"]) if policy else None
    if target is None:
        return None
    return DeadLetters(target.uid, float(number(target, "MessageRetentionPeriod")), policy["maxReceiveCount"], queue.arn)


def _bounded(request: dict[str, Any], name: str, default: int, low: int, high: int, reason: str) -> int:
    value = request.get(name, default)
    if not low <= value <= high:
        raise bad_value(value, name, reason)
    return value


def _answer(found: list[Message], request: dict[str, Any], queue: Record) -> dict[str, Any]:
    wanted = _system_names(request)
    return {"Messages": [_told(message, wanted, request.get("MessageAttributeNames") or [], queue) for message in found]} if found else {}


def _system_names(request: dict[str, Any]) -> list[str]:
    """The older member and the newer mean the same, though the model says that the older takes names of queue attributes."""
    names = [*(request.get("AttributeNames") or []), *(request.get("MessageSystemAttributeNames") or [])]
    check_names(names, SYSTEM_NAMES | QUEUE_NAMES)
    return names


def _told(message: Message, system: list[str], names: list[str], queue: Record) -> dict[str, Any]:
    told: dict[str, Any] = {
        "MessageId": message.message_id,
        "ReceiptHandle": receipt_handle(queue.uid, message.seq, message.nonce or ""),
        "MD5OfBody": md5(message.body),
        "Body": message.body,
    }
    if system:
        known = {
            **message.system,
            "SentTimestamp": str(int(message.sent_at * 1000)),
            "ApproximateReceiveCount": str(message.received),
            "ApproximateFirstReceiveTimestamp": str(int((message.first_at or 0) * 1000)),
        }
        if message.source:
            known["DeadLetterQueueSourceArn"] = message.source
        if is_fifo(queue):
            known["SequenceNumber"] = sequence_number(message.seq)
        chosen = known if "All" in system else {name: known[name] for name in system if name in known}
        if chosen:
            told["Attributes"] = chosen
    if attributes := told_attributes(message.attributes, names):
        told["MessageAttributes"] = attributes
        told["MD5OfMessageAttributes"] = attributes_md5(attributes)
    return told
