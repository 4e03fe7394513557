"""Actions of alarms: each is a record of its own, made from the event of the change of state.

The event is committed with the change, so no action is lost; the action's name is made of the event, so a reader that sees the event
again makes nothing new, and a delivery that is repeated after a crash carries the same key. A refusal by the target (it is not there,
it may not be) is final and told in the alarm's history, as AWS does; anything else is tried again for a while.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import orjson

from modelyard.kernel import targets
from modelyard.kernel.errors import ApiError
from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.records import Event, Record
from modelyard.kernel.store import Step, Taken
from modelyard.kernel.tasks import TaskState
from modelyard.services.cloudwatch import api
from modelyard.services.cloudwatch.alarm.lifecycle import COMPOSITE, LONGEST_HISTORY, METRIC, TYPES

ACTION = Lifecycle("alarm-action", first="Pending", arrows={"Pending": {"Done", "Failed"}, "Done": set(), "Failed": set()})
FIRST_PAUSE_S, LONGEST_PAUSE_S, MOST_ATTEMPTS = 1.0, 60.0, 10
"""Real seconds between attempts, doubled each time."""
KEEP_S = 3600.0
"""An action that is over stays so long, so that its event, seen again, does not begin it anew."""


@api.reader("alarm-actions", kinds={METRIC.kind, COMPOSITE.kind})
def begin(event: Event, world: Any) -> None:
    for place, one in enumerate(event.detail.get("actions", [])):
        name = f"{event.uid}-{event.revision}-{place}"
        spec = {
            **one,
            "alarm": event.name,
            "alarm_arn": event.arn,
            "type": TYPES[event.kind],
            "at": event.at,
            "quiet": bool(event.detail.get("repeat")),
        }
        with contextlib.suppress(Taken):
            world.store.create(ACTION, account=event.account, region=event.region, name=name, arn=f"{event.arn}/action/{name}", spec=spec)


def observe(record: Record, world: Any) -> TaskState:
    return world.tasks.look(key_of(record))


@api.reconciler(ACTION, observe=observe)
def decide(record: Record, seen: TaskState, now: float) -> Step:
    if record.status != "Pending":
        over = record.state["ended"] + KEEP_S
        return Step(record.status, delete=True) if now >= over else Step(record.status, wake_at=over)
    if seen.state in ("absent", "running"):
        return Step("Pending", do=[Deliver(record)] if seen.state == "absent" else [], wake_in_real_s=1.0)
    if seen.state == "done":
        return _over(record, "Done", None, now)
    attempt = record.state.get("attempt", 0) + 1
    problem = seen.error
    final = isinstance(problem, ApiError) and problem.status < 500
    if final or attempt >= MOST_ATTEMPTS:
        return _over(record, "Failed", str(problem), now)
    pause = min(FIRST_PAUSE_S * 2 ** (attempt - 1), LONGEST_PAUSE_S)
    return Step("Pending", state={"attempt": attempt, "problem": str(problem)}, wake_in_real_s=pause)


def _over(record: Record, status: str, problem: str | None, now: float) -> Step:
    detail = (
        {}
        if record.spec["quiet"] and problem is None
        else {"history": [told(record, problem)], "alarm": record.spec["alarm"], "type": record.spec["type"]}
    )
    return Step(status, state={"ended": now, "problem": problem}, detail=detail, wake_at=now + KEEP_S)


def told(record: Record, problem: str | None) -> dict[str, str]:
    """The history item of an action that is over."""
    arn = record.spec["arn"]
    data = {
        "actionState": "Succeeded" if problem is None else "Failed",
        "stateUpdateTimestamp": int(record.spec["at"] * 1000),
        "notificationResource": arn,
        "publishedMessage": orjson.dumps({"default": record.spec["body"]}).decode(),
        "error": problem,
    }
    text = orjson.dumps(data).decode()
    if len(text) > LONGEST_HISTORY:
        text = orjson.dumps({**data, "publishedMessage": None}).decode()
    done = f"Successfully executed action {arn}"
    return {
        "type": "Action",
        "summary": done if problem is None else f'Failed to execute action {arn}. Received error: "{problem}"'[:255],
        "data": text[:LONGEST_HISTORY],
    }


def key_of(record: Record) -> str:
    """Of one attempt: a new attempt is a new task of this process."""
    return f"alarm-action {record.name} {record.state.get('attempt', 0)}"


@dataclass(frozen=True)
class Deliver:
    record: Record

    def perform(self, world: Any) -> None:
        record = self.record
        delivery = targets.Delivery(
            record.spec["arn"],
            record.spec["body"],
            "cloudwatch.amazonaws.com",
            record.spec["alarm_arn"],
            record.account,
            record.region,
            record.name,
            record.spec["subject"],
        )
        world.tasks.ensure(key_of(record), lambda: targets.deliver(world, delivery), lambda: world.wake(record.uid))
