"""The walk of one replica. Pure.

    Preparing → Starting → InService ⇄ Restarting → Starting …        any → Stopping → gone
         └──────────┴→ Failed (only before it was in service for the first time)

A replica is one instance with one or more containers, and in service only while all of them are healthy. Every start of a container
is a run with a number of its own, and a run begins only when the one before it has ended: so there are never two. It is on record
before it is started, so that whoever stops the replica knows of it. A container that dies or does not answer is started again; the
others go on. Times of the servers are real times, whatever the platform clock does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.store import Step
from modelyard.kernel.tasks import ABSENT, TaskState
from modelyard.runtime.base import RunState
from modelyard.services.sagemaker.endpoint import container
from modelyard.services.sagemaker.endpoint.attempts import (
    BuildImage,
    CleanUp,
    EndAttempt,
    FetchModel,
    KillRun,
    StartAttempt,
    StopRun,
    WatchAttempt,
)

QUICK_SECONDS, LOOK_SECONDS = 0.1, 5.0
MOST_FIRST_STARTS = 3
UNHEALTHY_PINGS = 3
FIRST_BACK_OFF_SECONDS, LONGEST_BACK_OFF_SECONDS = 0.25, 30.0
STEADY_SECONDS = 60.0
"""In service for so long, a replica's next crash counts as its first."""
DRAIN_SECONDS = 500.0
"""The longest a stopped replica waits for its requests: a response stream may last 8 minutes."""
NEVER_RAN = RunState("absent")
NOT_HEALTHY = "The {} for production variant {} did not pass the ping health check. Please check CloudWatch logs for this endpoint."


@dataclass(frozen=True)
class Part:
    """One container: its current run; what pings said last (None: none came back yet), and how many failed in a row."""

    run: RunState = NEVER_RAN
    healthy: bool | None = None
    failed_pings: int = 0

    @property
    def alive(self) -> bool:
        return self.run.state in ("starting", "running")


@dataclass(frozen=True)
class Seen:
    """`image` is unknown, absent, building, ready or failed. `parts` are the containers in their order. `retired`: no gateway uses
    the replica any more."""

    real_now: float
    wanted: bool = True
    image: str = "ready"
    image_reason: str = ""
    files: TaskState = ABSENT
    files_ready: bool = False
    parts: tuple[Part, ...] = (Part(),)
    retired: bool = False


def decide(replica: Record, seen: Seen, now: float) -> Step:
    if not seen.wanted:
        return _stop(replica, seen)
    walk = {"Preparing": _prepare, "Starting": _start, "InService": _serve, "Restarting": _restart, "Failed": _failed}
    return walk[replica.status](replica, seen)


def _prepare(replica: Record, seen: Seen) -> Step:
    if seen.image in ("unknown", "failed"):
        return _fail(f"The image for production variant {replica.spec['name']} cannot be used: {seen.image_reason}")
    if seen.files.state == "failed" and not seen.files_ready:
        return _fail(str(seen.files.error))
    do: list[Any] = []
    if seen.image != "ready":
        do.append(BuildImage(replica))
    if not seen.files_ready:
        do.append(FetchModel(replica))
    if do:
        return Step("Preparing", do=do, wake_in_real_s=1.0)
    runs = container.numbers(replica)
    state = {"attempt": runs[-1], "runs": runs, "since": seen.real_now, "tries": 0}
    return Step("Starting", state, wake_in_real_s=0.0)


def _start(replica: Record, seen: Seen) -> Step:
    served = replica.state.get("served", False)
    late = seen.real_now - replica.state["since"] > replica.spec["startup_s"]
    dead = _where(replica, seen, lambda part: part.run.ended)
    slow = _where(replica, seen, lambda part: not part.healthy)
    if dead or (late and served and slow):
        if not served and (late or replica.state.get("tries", 0) + 1 >= MOST_FIRST_STARTS):
            return _fail(_not_healthy(replica, dead), *(EndAttempt(replica, number) for number in dead))
        return _again(replica, seen, dead or slow)
    if not slow:
        return Step("InService", {"served": True, "healthy_since": seen.real_now}, do=[WatchAttempt(replica)], wake_in_real_s=LOOK_SECONDS)
    if late:
        return _fail(_not_healthy(replica, slow), *(KillRun(replica, number) for number in container.numbers(replica)))
    return Step("Starting", do=[StartAttempt(replica, number) for number in container.numbers(replica)], wake_in_real_s=1.0)


def _serve(replica: Record, seen: Seen) -> Step:
    sick = _where(replica, seen, lambda part: not part.alive or part.failed_pings >= UNHEALTHY_PINGS)
    if sick:
        return _again(replica, seen, sick)
    return Step("InService", do=[WatchAttempt(replica)], wake_in_real_s=LOOK_SECONDS)


def _again(replica: Record, seen: Seen, sick: list[int]) -> Step:
    """Containers died or do not answer: another run of each, after a pause that doubles."""
    steady = seen.real_now - replica.state.get("healthy_since", seen.real_now) > STEADY_SECONDS
    tries = 1 if steady else replica.state.get("tries", 0) + 1
    pause = min(FIRST_BACK_OFF_SECONDS * 2 ** min(tries - 1, 10), LONGEST_BACK_OFF_SECONDS)
    state = {"tries": tries, "resume_at": seen.real_now + pause, "sick": sick}
    return Step("Restarting", state, do=[KillRun(replica, number) for number in sick], wake_in_real_s=QUICK_SECONDS)


def _restart(replica: Record, seen: Seen) -> Step:
    runs, last = container.numbers(replica), replica.state["attempt"]
    dead = _where(replica, seen, lambda part: not part.alive)
    sick = [number for number in runs if number in dead or number in replica.state.get("sick", runs)]
    living = [number for number in sick if number not in dead]
    if living:
        return Step("Restarting", do=[KillRun(replica, number) for number in living], wake_in_real_s=QUICK_SECONDS)
    if seen.real_now < replica.state["resume_at"]:
        return Step("Restarting", wake_in_real_s=max(replica.state["resume_at"] - seen.real_now, 0.02))
    fresh = {number: last + 1 + turn for turn, number in enumerate(sick)}
    # Before the first service the time for starting is one for all attempts; after it, one for each.
    since = seen.real_now if replica.state.get("served") else replica.state["since"]
    state = {"attempt": last + len(sick), "runs": [fresh.get(number, number) for number in runs], "since": since, "sick": []}
    return Step("Starting", state, do=[EndAttempt(replica, number) for number in sick], wake_in_real_s=0.0)


def _failed(replica: Record, seen: Seen) -> Step:
    """Stays as the witness of its reason until the endpoint lets it go; its runs do not."""
    alive = _where(replica, seen, lambda part: part.alive)
    if alive:
        return Step("Failed", do=[KillRun(replica, number) for number in alive], wake_in_real_s=QUICK_SECONDS)
    return Step("Failed")


def _stop(replica: Record, seen: Seen) -> Step:
    if replica.status != "Stopping":
        return Step("Stopping", {"stopping_since": seen.real_now}, wake_in_real_s=0.0)
    alive = any(part.alive for part in seen.parts)
    ended = all(part.run.ended for part in seen.parts)
    if not seen.retired and seen.real_now - replica.state["stopping_since"] < replica.spec.get("drain_s", DRAIN_SECONDS) and not ended:
        return Step("Stopping", wake_in_real_s=QUICK_SECONDS)
    if seen.files.state == "running":
        return Step("Stopping", wake_in_real_s=QUICK_SECONDS)
    if alive:
        return Step("Stopping", do=[StopRun(replica)], wake_in_real_s=QUICK_SECONDS)
    return Step("Stopping", do=[StopRun(replica), CleanUp(replica)], delete=True)


def _where(replica: Record, seen: Seen, is_so: Callable[[Part], bool]) -> list[int]:
    """The runs of those containers, by number."""
    return [number for number, part in zip(container.numbers(replica), seen.parts, strict=True) if is_so(part)]


def _not_healthy(replica: Record, sick: list[int]) -> str:
    hostname = container.containers(replica)[container.place_of(replica, sick[0])].get("hostname") if sick else ""
    return NOT_HEALTHY.format(hostname or "primary container", replica.spec["name"])


def _fail(reason: str, *do: Any) -> Step:
    return Step("Failed", {"reason": reason}, do=list(do), wake_in_real_s=QUICK_SECONDS, detail={"reason": reason})
