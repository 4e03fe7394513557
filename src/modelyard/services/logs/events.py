"""Log events: put, get by stream, filter over streams."""

from __future__ import annotations

from time import monotonic

from modelyard.kernel.paging import decode_token, encode_token
from modelyard.services.logs import api
from modelyard.services.logs.groups import the_group, the_named_group
from modelyard.services.logs.log_store import END, START, Group, LogEvent, Stream
from modelyard.services.logs.patterns import matcher
from modelyard.services.logs.streams import sequence_token, the_stream

BATCH_BYTES, BATCH_EVENTS, EVENT_OVERHEAD, EVENT_BYTES = 1_048_576, 10_000, 26, 1_048_576
OLDEST_MS, NEWEST_MS, SPAN_MS = 14 * 86_400_000, 2 * 3_600_000, 24 * 3_600_000
PAGE_EVENTS, PAGE_BYTES = 10_000, 1_000_000
PAGE_SECONDS, LOOK_EVERY = 0.15, 64
"""How long one page of FilterLogEvents looks for matches: then it answers with what it has and a token, as AWS does."""
MOST_NAMED_STREAMS = 100


@api.operation
def put_log_events(call, request):
    group = the_group(call, request["logGroupName"])
    stream = the_stream(call, group, request["logStreamName"])
    events = [(event["timestamp"], event["message"]) for event in request["logEvents"]]
    _check_batch(events)
    now = int(call.now() * 1000)
    oldest, kept_from = now - OLDEST_MS, group.oldest_ms(now)
    kept = [(at, text) for at, text in events if at >= oldest and at >= kept_from and at <= now + NEWEST_MS]
    call.platform.logs.put(stream, kept)
    answer = {"nextSequenceToken": sequence_token(stream)}
    too_old = sum(at < oldest for at, _ in events)
    expired = sum(at < kept_from for at, _ in events)
    too_new = sum(at > now + NEWEST_MS for at, _ in events)
    rejected = {}
    if too_old:
        rejected["tooOldLogEventEndIndex"] = too_old
    if expired > too_old:
        rejected["expiredLogEventEndIndex"] = expired
    if too_new:
        rejected["tooNewLogEventStartIndex"] = len(events) - too_new
    if rejected:
        answer["rejectedLogEventsInfo"] = rejected
    return answer


@api.operation
def get_log_events(call, request):
    """Tokens name a place in the stream. At an end the same token comes back: so readers know."""
    group = the_named_group(call, request)
    stream = the_stream(call, group, request["logStreamName"])
    limit = request.get("limit", PAGE_EVENTS)
    way, place = _read_token(request.get("nextToken"))
    forward = way == "f" if way else request.get("startFromHead", False)
    found = call.platform.logs.events(
        [stream.id],
        after=place if way == "f" else START,
        before=place if way == "b" else END,
        start_ms=max(request.get("startTime", 0), group.oldest_ms(int(call.now() * 1000))),
        end_ms=request.get("endTime"),
        newest_first=not forward,
        limit=limit,
    )
    page = _bounded(found)
    if not forward:
        page.reverse()
    if page:
        first, last = (page[0].at_ms, page[0].seq), (page[-1].at_ms, page[-1].seq)
    else:
        first = last = place if way else (START if forward else END)
        if way == "b":
            last = (place[0], place[1] - 1)
        elif way == "f":
            first = (place[0], place[1] + 1)
    return {
        "events": [{"timestamp": e.at_ms, "message": e.message, "ingestionTime": e.ingested_ms} for e in page],
        "nextForwardToken": _token("f", last),
        "nextBackwardToken": _token("b", first),
    }


@api.operation
def filter_log_events(call, request):
    """Events of several streams in the order of time. A page ends when it is full, or after a moment of looking: it may be empty
    and have a token, as AWS's may."""
    group = the_named_group(call, request)
    streams = _searched(call, group, request)
    matches = matcher(request.get("filterPattern", ""), api.error.InvalidParameterException)
    limit, until = request.get("limit", PAGE_EVENTS), monotonic() + PAGE_SECONDS
    place = tuple(decode_token(request.get("nextToken"), api.error.InvalidParameterException, [0, 0]) or START)
    start, end = max(request.get("startTime", 0), group.oldest_ms(int(call.now() * 1000))), request.get("endTime")
    names = {stream.id: stream.name for stream in streams}
    found, size, answer = [], 0, {"searchedLogStreams": []}
    scan = call.platform.logs.scan(streams, after=place, start_ms=start, end_ms=end, contains=matches.terms)
    for count, event in enumerate(scan, 1):
        look = count % LOOK_EVERY == 0 or event.message is None
        if count > 1 and (len(found) >= limit or size >= PAGE_BYTES or (look and monotonic() > until)):
            answer["nextToken"] = encode_token([*place])
            break
        place = (event.at_ms, event.seq)
        if event.message is not None and matches(event.message):
            found.append(_filtered(event, names[event.stream_id]))
            size += len(event.message) + EVENT_OVERHEAD
    return {"events": found, **answer}


# --- helpers -------------------------------------------------------------------------------------


def _searched(call, group: Group, request: dict) -> list[Stream]:
    names, prefix = request.get("logStreamNames"), request.get("logStreamNamePrefix")
    if names and prefix:
        raise api.error.InvalidParameterException("logStreamNames and logStreamNamePrefix cannot be specified together.")
    if request.get("startTime", 0) > request.get("endTime", END[0]):
        raise api.error.InvalidParameterException("endTime must be greater than or equal to startTime.")
    if names:
        return [the_stream(call, group, name) for name in dict.fromkeys(names[:MOST_NAMED_STREAMS])]
    return call.platform.logs.streams(group, prefix=prefix or "", limit=1_000_000)


def _check_batch(events: list[tuple[int, str]]) -> None:
    """The limits AWS documents for PutLogEvents."""
    if len(events) > BATCH_EVENTS:
        raise api.error.InvalidParameterException(f"The batch has {len(events)} events; at most {BATCH_EVENTS} are allowed.")
    sizes = [len(message.encode()) + EVENT_OVERHEAD for _, message in events]
    if max(sizes, default=0) > EVENT_BYTES:
        raise api.error.InvalidParameterException(f"Log event too large: {max(sizes)} bytes exceeds limit of {EVENT_BYTES}")
    size = sum(sizes)
    if size > BATCH_BYTES:
        raise api.error.InvalidParameterException(f"Upload too large: {size} bytes exceeds limit of {BATCH_BYTES}")
    times = [at for at, _ in events]
    if times != sorted(times):
        raise api.error.InvalidParameterException("Log events in a single PutLogEvents request must be in chronological order.")
    if times and times[-1] - times[0] > SPAN_MS:
        raise api.error.InvalidParameterException(
            "The batch of log events in a single PutLogEvents request cannot span more than 24 hours."
        )


def _bounded(events: list[LogEvent]) -> list[LogEvent]:
    """As many events as fit in a page of 1 MB (at least one)."""
    size, page = 0, []
    for event in events:
        size += len(event.message) + EVENT_OVERHEAD
        if page and size > PAGE_BYTES:
            break
        page.append(event)
    return page


def _token(way: str, place: tuple[int, int]) -> str:
    return f"{way}/{place[0] + 2:020d}{place[1] + 2:022d}/s"


def _read_token(token: str | None) -> tuple[str, tuple[int, int]]:
    if token is None:
        return "", START
    way, _, rest = token.partition("/")
    digits = rest.removesuffix("/s")
    if way not in ("f", "b") or len(digits) != 42 or not digits.isdigit():
        raise api.error.InvalidParameterException("The specified nextToken is invalid.")
    return way, (int(digits[:20]) - 2, int(digits[20:]) - 2)


def _filtered(event: LogEvent, stream: str) -> dict:
    return {
        "logStreamName": stream,
        "timestamp": event.at_ms,
        "message": event.message,
        "ingestionTime": event.ingested_ms,
        "eventId": f"{event.at_ms:020d}{event.seq:036d}",
    }
