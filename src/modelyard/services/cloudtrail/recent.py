"""The last data calls that were allowed, so that they can be explained too: who called what, and what permission it needed.

They come by the thousand a second, so nothing of them is worked out when they are answered: a batch is written every 0.05 s, of a busier moment its last
calls, into files of their own of which a few are kept. Who kills the process takes the last batch with it; the call itself and its uses are not lost.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

import orjson

from modelyard.kernel.service import Call
from modelyard.services.cloudtrail import files, kinds
from modelyard.services.cloudtrail.event import moment, principal_of

MOST_AT_ONCE = 256
FILE_BYTES, FOLDER_BYTES = 4 << 20, 16 << 20


class Recent:
    """`note` is called from any thread; `take` from one at a time."""

    def __init__(self, folder: Path) -> None:
        self.writer = files.Writer(folder, FILE_BYTES, FOLDER_BYTES)
        self._calls: deque[tuple[str, float, Call, list[Any]]] = deque(maxlen=MOST_AT_ONCE)

    def note(self, request_id: str, at: float, call: Call, needs: list[Any]) -> None:
        """`needs`: (action, resource) pairs, kept as they are."""
        self._calls.append((request_id, at, call, needs))

    def __bool__(self) -> bool:
        return bool(self._calls)

    def take(self) -> list[Any]:
        """What goes into one line: [what calls have in common, [[request ID, time], …]], …"""
        found: dict[tuple[Any, ...], list[Any]] = {}
        while self._calls:
            request_id, at, call, needs = self._calls.popleft()
            further = [(action, resource, dict(condition)) for action, resource, condition in call.further or ()]
            key = (call.principal.access_key, call.operation, call.region, call.source_ip, call.user_agent, repr(needs), repr(further))
            if key not in found:
                found[key] = [_common(call, needs, further), []]
            found[key][1].append([request_id, at])
        return list(found.values())

    def find(self, account: str, request_id: str) -> dict[str, Any] | None:
        """As `Trail.find` answers it, with an event of what is known."""
        needle = orjson.dumps(request_id)
        for _, line in files.lines(self.writer.folder):
            stored = files.parse(line) if needle in line else None
            for common, calls in stored["d"] if stored is not None else ():
                at = next((at for known, at in calls if known == request_id), None)
                if at is not None and common["account"] == account:
                    return {"e": _event(common, request_id, at), "c": common}
        return None


def _common(call: Call, needs: list[Any], further: list[Any]) -> dict[str, Any]:
    return {
        "service": call.service,
        "operation": call.operation,
        "principal": principal_of(call.principal),
        "needs": [list(need) for need in needs],
        "further": further,
        "secure": call.secure,
        "host": call.host,
        "condition": call.condition,
        "request": None,
        "region": call.region,
        "account": call.account,
        "from": [call.source_ip, call.user_agent],
    }


def _event(common: dict[str, Any], request_id: str, at: float) -> dict[str, Any]:
    source_ip, agent = common["from"]
    return {
        "requestID": request_id,
        "eventTime": moment(at),
        "eventName": kinds.name(common["service"], common["operation"]),
        "eventSource": kinds.source(common["service"]),
        "recipientAccountId": common["account"],
        "awsRegion": common["region"],
        "sourceIPAddress": source_ip,
        "userAgent": agent,
    }
