"""The reconciler of metric alarms: at each evaluation time one verdict, in order; a change of state is one step.

A look judges the evaluation times since the last look, and the last few again: data that came late (a gateway's flush, a slow
client) changes a verdict, and then the times from there on are judged again in order. A look that finds nothing new writes no event.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.store import Step
from modelyard.services.cloudwatch import api
from modelyard.services.cloudwatch.alarm import windows
from modelyard.services.cloudwatch.alarm.evaluate import RETAIN, Point, Verdict, judge, reason, reason_data
from modelyard.services.cloudwatch.alarm.lifecycle import METRIC, change, repeat
from modelyard.services.cloudwatch.alarm.looks import Look

AGAIN = 5
"""Evaluation times that are judged again for late data."""
MOST_AT_ONCE = 60
LONGEST_CATCH_UP = 1440
FLUSH_REAL_S, SETTLE_REAL_S = 1.2, 0.2
"""How long after a period its data may come: gateways hand theirs over once a (real) second; a client's are there at once."""
LATE_REAL_S = 2.0
"""Where the newest period has no data yet there is one more look so much later."""
BUSY_REAL_S = 0.25
"""At high clock speeds looks are no closer than this; a look then judges several times."""
REPEAT_S = 60.0


@dataclass(frozen=True)
class Seen:
    """Evaluation times with the points of their ranges, rising; which of them are new; and how far the platform's clock is ahead of data."""

    points: Mapping[float, list[Point]]
    look: Look | None
    first: float
    newest: float
    delay: float
    speed: float


def observe(record: Record, world: Any) -> Seen:
    alarm, now, speed = record.spec["alarm"], world.clock.now(), world.clock.speed
    delay = (FLUSH_REAL_S if windows.is_ours(alarm) else SETTLE_REAL_S) * speed
    look = world.alarm_looks.read(record.uid)
    first, newest = span(record, look, now - delay)
    grid = windows.grid_of(alarm)
    newest = min(newest, first + (MOST_AT_ONCE - 1) * grid)
    back = 0 if look is None else sum(1 for at in look.verdicts if at < first)
    times = [first + n * grid for n in range(-back, round((newest - first) / grid) + 1)]
    return Seen(windows.points(world.metrics, record, times), look, first, newest, delay, speed)


def span(record: Record, look: Look | None, until: float) -> tuple[float, float]:
    """(first, newest) evaluation time that is to be judged: those since the last look, or since the last change of state. After a
    change of the configuration only the newest: what was before was judged by other rules."""
    grid = windows.grid_of(record.spec["alarm"])
    newest = math.floor(until / grid) * grid
    since = record.state.get("at")
    if look is not None and look.of == version(record):
        first = look.last + grid
    elif since is not None and record.state.get("of") == record.spec["configured"]:
        first = since + grid
    else:
        first = newest
    oldest = newest - (LONGEST_CATCH_UP - 1) * grid
    return max(first, oldest), newest


def version(record: Record) -> tuple[float, int]:
    return (record.spec["configured"], record.state.get("change", 0))


@api.reconciler(METRIC, observe=observe)
def decide(record: Record, seen: Seen, now: float) -> Step:
    alarm, state = record.spec["alarm"], record.state["state"]
    same = seen.look is not None and seen.look.of == version(record)
    since = record.state.get("at", -math.inf)
    verdicts: dict[float, str] = {}
    late = False
    for at in sorted(seen.points):
        verdict = judge(alarm, seen.points[at])
        verdicts[at] = verdict.state
        before = seen.look.verdicts.get(at) if same and seen.look is not None else None
        late = late or (since < at < seen.first and before is not None and before != verdict.state)
        if (at >= seen.first or late) and verdict.state not in (RETAIN, state):
            return _change(record, verdict, seen.points[at], at, now)
    last = max(seen.newest, seen.look.last if same and seen.look is not None else since)
    look = Look(version(record), last, dict(sorted(verdicts.items())[-AGAIN:]))
    again = _repeat(record, seen.newest, now)
    return Step(
        record.status,
        state=again.state if again else None,
        detail=again.detail if again else None,
        do=[] if seen.look == look else [Remember(record.uid, look)],
        wake_at=_next(record, seen, now),
    )


def _change(record: Record, verdict: Verdict, points: list[Point], at: float, now: float) -> Step:
    alarm = record.spec["alarm"]
    made = change(
        record,
        verdict.state,
        reason(alarm, verdict),
        reason_data(alarm, verdict, points, now),
        now,
        more={"at": at, "of": record.spec["configured"], "repeated": None},
    )
    return Step(verdict.state, state=made.state, detail=made.detail, wake_at=now)


def _repeat(record: Record, newest: float, now: float) -> Any:
    last = record.state.get("repeated") or record.state.get("at")
    if last is None or newest < last + REPEAT_S:
        return None
    made = repeat(record, newest)
    return made if made.detail else None


def _next(record: Record, seen: Seen, now: float) -> float:
    """The next evaluation time and what its data need to come; sooner where the newest period has none yet."""
    grid = windows.grid_of(record.spec["alarm"])
    due = seen.newest + grid + seen.delay
    if due <= now:
        return now if due + grid * MOST_AT_ONCE / 2 <= now else max(due, now + BUSY_REAL_S * seen.speed)
    newest = seen.points.get(seen.newest, [])
    soon = seen.newest + seen.delay + LATE_REAL_S * seen.speed
    if newest and newest[-1].value is None and now < soon < due:
        return soon
    return max(due, now + BUSY_REAL_S * seen.speed)


@dataclass(frozen=True)
class Remember:
    uid: str
    look: Look

    def perform(self, world: Any) -> None:
        world.alarm_looks.write(self.uid, self.look)
