"""StartLiveTail: what arrives from now on, told each second for as long as the client listens (three hours at most)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from time import monotonic
from typing import Any

from modelyard.kernel.ids import new_uuid
from modelyard.services.logs import api
from modelyard.services.logs.groups import group_arn, the_group
from modelyard.services.logs.log_store import Group
from modelyard.services.logs.patterns import Pattern, matcher

EVERY_S, LONGEST_S, MOST_EVENTS = 1.0, 3 * 3600.0, 500


@api.operation
async def start_live_tail(call, request):
    names, prefixes = request.get("logStreamNames", []), request.get("logStreamNamePrefixes", [])
    if (names or prefixes) and len(request["logGroupIdentifiers"]) != 1:
        raise api.error.InvalidParameterException("logStreamNames and logStreamNamePrefixes can only be used with a single log group.")
    if names and prefixes:
        raise api.error.InvalidParameterException("Only one of logStreamNames or logStreamNamePrefixes can be provided.")
    if not all(said.startswith("arn:") for said in request["logGroupIdentifiers"]):
        raise api.error.InvalidParameterException("Log groups are named by their ARN.")
    pattern = matcher(request.get("logEventFilterPattern", ""), api.error.InvalidParameterException)
    groups = [await asyncio.to_thread(the_group, call, said) for said in request["logGroupIdentifiers"]]
    start = await asyncio.to_thread(call.platform.logs.last_seq)
    return {"responseStream": _session(call, request, groups, pattern, start)}


async def _session(call: Any, request: dict, groups: list[Group], pattern: Pattern, seq: int) -> AsyncIterator[dict]:
    yield {"sessionStart": {**request, "requestId": call.request_id, "sessionId": new_uuid()}}
    until = monotonic() + LONGEST_S
    while True:
        seq, found = await asyncio.to_thread(partial(_news, call, request, groups, pattern, seq))
        yield {"sessionUpdate": {"sessionMetadata": {"sampled": len(found) > MOST_EVENTS}, "sessionResults": found[:MOST_EVENTS]}}
        if monotonic() >= until:
            break
        await asyncio.sleep(EVERY_S)
    yield {"SessionTimeoutException": {"message": "Your session has timed out."}}


def _news(call: Any, request: dict, groups: list[Group], pattern: Pattern, seq: int) -> tuple[int, list[dict]]:
    """(last number seen, what arrived after `seq` and is asked for)."""
    logs = call.platform.logs
    sources = {
        stream.id: (group, stream.name)
        for group in groups
        for stream in logs.streams(group, limit=1_000_000)
        if _wanted(request, stream.name)
    }
    last, found = seq, []
    for event in logs.arrived(seq):
        last = event.seq
        if event.stream_id in sources and pattern(event.message):
            group, stream = sources[event.stream_id]
            found.append(
                {
                    "logStreamName": stream,
                    "logGroupIdentifier": group_arn(call, group.name),
                    "message": event.message,
                    "timestamp": event.at_ms,
                    "ingestionTime": event.ingested_ms,
                }
            )
    return last, found


def _wanted(request: dict, stream: str) -> bool:
    names, prefixes = request.get("logStreamNames"), request.get("logStreamNamePrefixes")
    return (not names or stream in names) and (not prefixes or stream.startswith(tuple(prefixes)))
