"""Queues: create, find, list, attributes, tags, purge, delete."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from modelyard.kernel.lifecycle import static
from modelyard.kernel.paging import decode_token, encode_token
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Taken
from modelyard.services.sqs import api
from modelyard.services.sqs.attributes import (
    COUNTS,
    QUEUE_NAMES,
    check_names,
    checked_attributes,
    configured,
    is_fifo,
    number,
    redrive_policy,
)
from modelyard.services.sqs.errors import bad, missing, no_queue

QUEUE = static("sqs-queue")
PURGE_S = 60.0
MOST_LISTED = 1000
TOLD = ("QueueArn", "CreatedTimestamp", "LastModifiedTimestamp")


@api.operation
def create_queue(call, request):
    """Idempotent: the same name with the same attributes, or with fewer, answers the queue that is there."""
    name, given = request["QueueName"], dict(request.get("Attributes") or {})
    fifo = name.endswith(".fifo")
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,80}|[A-Za-z0-9_-]{1,75}\.fifo", name):
        raise bad("Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length")
    if fifo is not ("FifoQueue" in given):
        raise bad(
            "The name of a FIFO queue can only include alphanumeric characters, hyphens, or underscores, must end with .fifo suffix and be 1 to 80 in length."
        )
    arn = queue_arn(call.account, call.region, name)
    attributes = checked_attributes(given, fifo, arn, call.store)
    _remember(call, attributes)
    try:
        call.store.create(
            QUEUE,
            account=call.account,
            region=call.region,
            name=name,
            arn=arn,
            spec={"Attributes": attributes},
            tags=request.get("tags"),
        )
    except Taken as taken:
        have = configured(taken.record)
        for attribute, value in attributes.items():
            if have.get(attribute, "") != value:
                raise api.error.QueueNameExists(
                    f"A queue already exists with the same name and a different value for attribute {attribute}"
                )
    return {"QueueUrl": queue_url(call, call.account, name)}


@api.operation
def get_queue_url(call, request):
    account = request.get("QueueOwnerAWSAccountId") or call.account
    if call.store.get(QUEUE.kind, account, call.region, request["QueueName"]) is None:
        raise no_queue()
    return {"QueueUrl": queue_url(call, account, request["QueueName"])}


@api.operation
def list_queues(call, request):
    """Without MaxResults the first thousand, as AWS does; with it, pages."""
    limit = request.get("MaxResults", MOST_LISTED)
    if not 1 <= limit <= MOST_LISTED:
        raise bad(f"Value {limit} for parameter MaxResults is invalid. Reason: Must be an integer between 1 and {MOST_LISTED}.")
    after = decode_token(request.get("NextToken"), lambda text: bad(text), "") or ""
    prefix = request.get("QueueNamePrefix", "")
    found = call.store.list(
        QUEUE.kind, call.account, call.region, contains=prefix or None, order_by="name", after=("", after) if after else None
    )
    page = [queue.name for queue in found if queue.name.startswith(prefix)]
    answer = {"QueueUrls": [queue_url(call, call.account, name) for name in page[:limit]]}
    if len(page) > limit and "MaxResults" in request:
        answer["NextToken"] = encode_token(page[limit - 1])
    return answer if answer["QueueUrls"] else {}


@api.operation
def list_dead_letter_source_queues(call, request):
    target, limit = the_queue(call, request), request.get("MaxResults", MOST_LISTED)
    after = decode_token(request.get("NextToken"), lambda text: bad(text), "") or ""
    queues = call.store.list(QUEUE.kind, target.account, target.region, order_by="name", after=("", after) if after else None)
    names = [queue.name for queue in queues if (redrive_policy(queue) or {}).get("deadLetterTargetArn") == target.arn]
    answer = {"queueUrls": [queue_url(call, target.account, name) for name in names[:limit]]}
    if len(names) > limit:
        answer["NextToken"] = encode_token(names[limit - 1])
    return answer


@api.operation
def delete_queue(call, request):
    """Its messages go with it. The record goes first: a crash in between leaves messages of no queue, which housekeeping removes."""
    queue = the_queue(call, request)
    call.store.delete(queue)
    call.platform.queues.messages.purge(queue.uid, forget=True)
    return {}


@api.operation
def purge_queue(call, request):
    queue = the_queue(call, request)
    if call.now() - queue.spec.get("PurgedAt", float("-inf")) < PURGE_S:
        raise api.error.PurgeQueueInProgress(f"Only one PurgeQueue operation on {queue.name} is allowed every 60 seconds.")
    call.store.request(queue, {"PurgedAt": call.now()}, due=False)
    call.platform.queues.messages.purge(queue.uid)
    return {}


@api.operation
def get_queue_attributes(call, request):
    queue, names = the_queue(call, request), request.get("AttributeNames") or []
    check_names(names, QUEUE_NAMES)
    values = configured(queue)
    values.update(QueueArn=queue.arn, CreatedTimestamp=str(int(queue.created_at)), LastModifiedTimestamp=str(int(queue.updated_at)))
    everything = "All" in names
    if everything or set(names) & set(COUNTS):
        counts = call.platform.queues.messages.counts(queue.uid)
        values.update(zip(COUNTS, map(str, counts), strict=True))
    found = values if everything else {name: values[name] for name in names if name in values}
    return {"Attributes": found} if found else {}


@api.operation
def set_queue_attributes(call, request):
    queue, given = the_queue(call, request), dict(request.get("Attributes") or {})
    if not given:
        raise missing("Attribute.Name")
    if "FifoQueue" in given and not (is_fifo(queue) and given["FifoQueue"] == "true"):
        raise api.error.InvalidAttributeName("Unknown Attribute FifoQueue.")
    attributes = checked_attributes(given, is_fifo(queue), queue.arn, call.store)
    _remember(call, attributes)
    changed = change_attributes(call, queue, attributes)
    if "MessageRetentionPeriod" in given:
        call.platform.queues.messages.set_retention(changed.uid, number(changed, "MessageRetentionPeriod"))
    return {}


@api.operation
def tag_queue(call, request):
    call.store.set_tags(the_queue(call, request).arn, request["Tags"])
    return {}


@api.operation
def untag_queue(call, request):
    call.store.remove_tags(the_queue(call, request).arn, request["TagKeys"])
    return {}


@api.operation
def list_queue_tags(call, request):
    tags = call.store.tags(the_queue(call, request).arn)
    return {"Tags": tags} if tags else {}


# --- helpers -------------------------------------------------------------------------------------


def the_queue(call, request) -> Record:
    """The queue of the request's QueueUrl, whatever host the URL names. Raises QueueDoesNotExist."""
    queue = find_queue(call, request.get("QueueUrl"))
    if queue is None:
        raise no_queue()
    return queue


def find_queue(call, url: str | None) -> Record | None:
    if not url:
        raise missing("QueueUrl")
    account, _, name = urlsplit(url).path.strip("/").rpartition("/")
    if not re.fullmatch(r"\d{12}", account or call.account):
        return None
    return call.store.get(QUEUE.kind, account or call.account, call.region, name)


def change_attributes(call, queue: Record, changes: dict[str, str]) -> Record:
    """An empty value takes an attribute away."""
    while True:
        attributes = {name: value for name, value in {**queue.spec["Attributes"], **changes}.items() if value}
        try:
            return call.store.request(queue, {"Attributes": attributes}, due=False)
        except Moved:
            queue = call.store.by_uid(queue.uid)
            if queue is None:
                raise no_queue() from None


def queue_arn(account: str, region: str, name: str) -> str:
    return f"arn:aws:sqs:{region}:{account}:{name}"


def queue_url(call, account: str, name: str) -> str:
    """At the host the client used."""
    host = call.host or f"{call.platform.settings.host}:{call.platform.settings.port}"
    return f"http{'s' if call.secure else ''}://{host}/{account}/{name}"


def _remember(call, attributes) -> None:
    """Whom a policy names now it does not cease to mean."""
    if attributes.get("Policy"):
        call.platform.identity.remember_named(attributes["Policy"])
