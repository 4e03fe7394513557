"""Receipts: what a receive hands out, and what deletes a message or changes its visibility."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.services.sqs import api
from modelyard.services.sqs.attributes import is_fifo
from modelyard.services.sqs.batch import check_entries, failure
from modelyard.services.sqs.errors import bad_value
from modelyard.services.sqs.queue import the_queue

LONGEST_VISIBILITY_S = 43200


@api.operation
def delete_message(call, request):
    queue = the_queue(call, request)
    call.platform.queues.messages.delete(queue.uid, [_deletable(call, queue, request["ReceiptHandle"])])
    call.platform.queues.waiters.wake(queue.uid)  # of a FIFO queue the next message of the group is free now
    return {}


@api.operation
def delete_message_batch(call, request):
    queue, entries = the_queue(call, request), request.get("Entries") or []
    check_entries(entries, "DeleteMessageBatchRequestEntry")
    good, failed = [], []
    for entry in entries:
        try:
            good.append((entry["Id"], _deletable(call, queue, entry["ReceiptHandle"])))
        except ApiError as error:
            failed.append(failure(entry["Id"], error))
    call.platform.queues.messages.delete(queue.uid, [receipt for _, receipt in good])
    call.platform.queues.waiters.wake(queue.uid)
    return {"Successful": [{"Id": name} for name, _ in good], "Failed": failed}


@api.operation
def change_message_visibility(call, request):
    _change(call, the_queue(call, request), request)
    return {}


@api.operation
def change_message_visibility_batch(call, request):
    queue, entries = the_queue(call, request), request.get("Entries") or []
    check_entries(entries, "ChangeMessageVisibilityBatchRequestEntry")
    done, failed = [], []
    for entry in entries:
        try:
            _change(call, queue, entry)
            done.append({"Id": entry["Id"]})
        except ApiError as error:
            failed.append(failure(entry["Id"], error))
    return {"Successful": done, "Failed": failed}


def receipt_handle(queue: str, seq: int, nonce: str) -> str:
    return base64.b64encode(f"{queue} {seq} {nonce} {'=' * 32}".encode()).decode()


def read_handle(queue: Record, handle: str) -> tuple[int, str]:
    """(seq, nonce). Raises ReceiptHandleIsInvalid for what no receive of this queue has handed out."""
    try:
        uid, seq, nonce, _ = base64.b64decode(handle.encode(), validate=True).decode().split(" ")
        if uid == queue.uid and seq.isdigit():
            return int(seq), nonce
    except (ValueError, binascii.Error):
        pass
    raise api.error.ReceiptHandleIsInvalid(f'The input receipt handle "{handle}" is not a valid receipt handle.')


def _deletable(call: Any, queue: Record, handle: str) -> tuple[int, str]:
    """Of a FIFO queue a receipt is over with its visibility timeout; of a standard queue it deletes until the next receive."""
    seq, nonce = read_handle(queue, handle)
    if is_fifo(queue):
        message = call.platform.queues.messages.find(queue.uid, seq)
        if message is not None and (message.nonce != nonce or message.visible_at <= call.now()):
            raise bad_value(handle, "ReceiptHandle", "The receipt handle has expired.")
    return seq, nonce


def _change(call: Any, queue: Record, entry: dict[str, Any]) -> None:
    seq, nonce = read_handle(queue, entry["ReceiptHandle"])
    timeout = entry.get("VisibilityTimeout", 0)
    if not 0 <= timeout <= LONGEST_VISIBILITY_S:
        raise bad_value(timeout, "VisibilityTimeout", "VisibilityTimeout must be an integer between 0 and 43200.")
    messages = call.platform.queues.messages
    message = messages.find(queue.uid, seq)
    if message is None or message.nonce != nonce:
        reason = "Message does not exist or is not available for visibility timeout change."
        raise bad_value(entry["ReceiptHandle"], "ReceiptHandle", reason)
    if not messages.change_visibility(queue.uid, seq, nonce, float(timeout)):
        raise api.error.MessageNotInflight(
            f"Value {entry['ReceiptHandle']} for parameter ReceiptHandle is invalid. Reason: Message is not in flight."
        )
    if timeout == 0:
        call.platform.queues.waiters.wake(queue.uid)
