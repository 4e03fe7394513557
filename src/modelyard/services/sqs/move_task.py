"""Message move tasks: dead letters back to where they came from, or to another queue; moved by the engine at the asked rate.

A task has no place of its own in the queue: what is left in the source is what is left to do, so a crash repeats nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.records import Record, new_uid
from modelyard.kernel.store import Moved, Step
from modelyard.services.sqs import api
from modelyard.services.sqs.attributes import is_fifo, number, redrive_policy
from modelyard.services.sqs.errors import bad_value
from modelyard.services.sqs.queue import QUEUE

TASK = Lifecycle("sqs-move-task", "RUNNING", {"RUNNING": {"COMPLETED", "CANCELLED", "FAILED"}})
BATCH, MOST_PER_SECOND = 200, 500


@api.operation
def start_message_move_task(call, request):
    source = _source(call, request["SourceArn"])
    rate = request.get("MaxNumberOfMessagesPerSecond")
    if rate is not None and not 1 <= rate <= MOST_PER_SECOND:
        raise bad_value(rate, "MaxNumberOfMessagesPerSecond", f"Must be an integer between 1 and {MOST_PER_SECOND}.")
    queues = call.store.list(QUEUE.kind, source.account, source.region)
    if not any((redrive_policy(queue) or {}).get("deadLetterTargetArn") == source.arn for queue in queues):
        raise bad_value(source.arn, "SourceArn", "Source queue must be configured as a Dead Letter Queue.")
    for action in ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"):
        call.authorize(action, source.arn)
    target = request.get("DestinationArn")
    if target is not None:
        found = call.store.by_arn(target)
        if found is None or found.kind != QUEUE.kind:
            raise api.error.ResourceNotFoundException("The resource that you specified for the DestinationArn parameter doesn't exist.")
        if is_fifo(found) != is_fifo(source):
            raise bad_value(target, "DestinationArn", "Source and destination queues must be of the same type.")
        call.authorize("sqs:SendMessage", target)
    if any(task.status == "RUNNING" for task in call.store.children(source.uid, TASK.kind)):
        raise api.error.UnsupportedOperation(
            "There is already a task running. Only one active task is allowed for a source queue arn at a given time."
        )
    task = call.store.create(
        TASK,
        account=source.account,
        region=source.region,
        name=new_uid(),
        arn=f"{source.arn}/task",
        owner=source.uid,
        spec={
            "SourceArn": source.arn,
            "DestinationArn": target,
            "Rate": rate,
            "ToMove": sum(call.platform.queues.messages.counts(source.uid)),
        },
    )
    call.platform.ring(TASK.kind)
    return {"TaskHandle": task.name}


@api.operation
def list_message_move_tasks(call, request):
    source, limit = _source(call, request["SourceArn"]), request.get("MaxResults", 1)
    if not 1 <= limit <= 10:
        raise bad_value(limit, "MaxResults", "Must be an integer between 1 and 10.")
    tasks = sorted(call.store.children(source.uid, TASK.kind), key=lambda task: task.created_at, reverse=True)
    return {"Results": [_told(task) for task in tasks[:limit]]}


@api.operation
def cancel_message_move_task(call, request):
    task = next((t for t in call.store.list(TASK.kind, call.account, call.region, contains=request["TaskHandle"], limit=1)), None)
    if task is None or task.name != request["TaskHandle"] or task.status != "RUNNING":
        raise api.error.ResourceNotFoundException("Task does not exist.")
    call.authorize("sqs:CancelMessageMoveTask", task.spec["SourceArn"])
    try:
        call.store.request(task, {"Cancel": True})
    except Moved:
        return cancel_message_move_task(call, request)
    call.platform.ring(TASK.kind)
    return {"ApproximateNumberOfMessagesMoved": task.state.get("moved", 0)}


# --- the reconciler --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """`moves` are (seq, target uid, retention) of the next messages; `lost` says why the next one cannot go anywhere."""

    moves: list[tuple[int, str, float]]
    lost: str = ""
    gone: bool = False


@dataclass(frozen=True)
class Move:
    queue: str
    moves: list[tuple[int, str, float]]

    def perform(self, platform: Any) -> None:
        platform.queues.messages.move(self.queue, self.moves)


def observe(task: Record, platform: Any) -> Seen:
    source = platform.store.by_uid(task.owner)
    if source is None:
        return Seen([], gone=True)
    rate = task.spec.get("Rate")
    moves: list[tuple[int, str, float]] = []
    for seq, origin in platform.queues.messages.sources(source.uid, min(BATCH, rate or BATCH)):
        arn = task.spec.get("DestinationArn") or origin
        target = platform.store.by_arn(arn) if arn else None
        if target is None:
            return Seen(moves, lost="CouldNotDetermineMessageSource" if not arn else "AWS.SimpleQueueService.NonExistentQueue")
        moves.append((seq, target.uid, float(number(target, "MessageRetentionPeriod"))))
    return Seen(moves)


@api.reconciler(TASK, observe)
def decide(task: Record, seen: Seen, now: float) -> Step:
    if task.status != "RUNNING":
        return Step(task.status)
    if seen.gone:
        return Step("FAILED", {"failure": "AWS.SimpleQueueService.NonExistentQueue"})
    if task.spec.get("Cancel"):
        return Step("CANCELLED")
    if not seen.moves:
        return Step("FAILED", {"failure": seen.lost}) if seen.lost else Step("COMPLETED")
    moved = {"moved": task.state.get("moved", 0) + len(seen.moves)}
    return Step("RUNNING", moved, [Move(task.owner or "", seen.moves)], wake_at=now + (1.0 if task.spec.get("Rate") else 0.0))


def _source(call: Any, arn: str) -> Record:
    queue = call.store.by_arn(arn)
    if queue is None or queue.kind != QUEUE.kind or queue.account != call.account:
        raise api.error.ResourceNotFoundException("The resource that you specified for the SourceArn parameter doesn't exist.")
    call.authorize(f"sqs:{call.operation}", arn)
    return queue


def _told(task: Record) -> Mapping[str, Any]:
    told = {
        "Status": task.status,
        "SourceArn": task.spec["SourceArn"],
        "ApproximateNumberOfMessagesMoved": task.state.get("moved", 0),
        "ApproximateNumberOfMessagesToMove": task.spec["ToMove"],
        "StartedTimestamp": int(task.created_at * 1000),
    }
    if task.status == "RUNNING":
        told["TaskHandle"] = task.name
    for name, value in (
        ("DestinationArn", task.spec.get("DestinationArn")),
        ("MaxNumberOfMessagesPerSecond", task.spec.get("Rate")),
        ("FailureReason", task.state.get("failure")),
    ):
        if value is not None:
            told[name] = value
    return told
