"""The walk of one replica. Pure.

    Preparing → Starting → InService ⇄ Restarting → Starting …        any → Stopping → gone
         └──────────┴→ Failed (only before it was in service for the first time)

Every start is an attempt with a run id of its own, and an attempt begins only when the run before it has ended:
so there are never two. It is on record before it is started, so that whoever stops the replica knows of it.
Times of the server are real times, whatever the platform clock does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.store import Step
from modelyard.kernel.tasks import ABSENT, TaskState
from modelyard.runtime.base import RunState
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
NOT_HEALTHY = (
    "The primary container for production variant {} did not pass the ping health check. Please check CloudWatch logs for this endpoint."
)


@dataclass(frozen=True)
class Seen:
    """`image` is unknown, absent, building, ready or failed. `healthy` is what pings said last (None: none came
    back yet), `failed_pings` how many failed in a row. `retired`: no gateway uses the current attempt any more."""

    real_now: float
    wanted: bool = True
    image: str = "ready"
    image_reason: str = ""
    files: TaskState = ABSENT
    files_ready: bool = False
    run: RunState = NEVER_RAN
    healthy: bool | None = None
    failed_pings: int = 0
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
    return Step("Starting", {"attempt": 1, "since": seen.real_now, "tries": 0}, wake_in_real_s=0.0)


def _start(replica: Record, seen: Seen) -> Step:
    served, attempt = replica.state.get("served", False), replica.state["attempt"]
    late = seen.real_now - replica.state["since"] > replica.spec["startup_s"]
    if seen.run.ended or (late and served):
        if not served and (late or attempt >= MOST_FIRST_STARTS):
            return _fail(NOT_HEALTHY.format(replica.spec["name"]), EndAttempt(replica, attempt))
        return _again(replica, seen)
    if seen.healthy:
        return Step("InService", {"served": True, "healthy_since": seen.real_now}, do=[WatchAttempt(replica)], wake_in_real_s=LOOK_SECONDS)
    if late:
        return _fail(NOT_HEALTHY.format(replica.spec["name"]), KillRun(replica, attempt))
    return Step("Starting", do=[StartAttempt(replica, attempt)], wake_in_real_s=1.0)


def _serve(replica: Record, seen: Seen) -> Step:
    if seen.run.ended or seen.run.state == "absent" or seen.failed_pings >= UNHEALTHY_PINGS:
        return _again(replica, seen)
    return Step("InService", do=[WatchAttempt(replica)], wake_in_real_s=LOOK_SECONDS)


def _again(replica: Record, seen: Seen) -> Step:
    """The server died or does not answer: another attempt, after a pause that doubles."""
    steady = seen.real_now - replica.state.get("healthy_since", seen.real_now) > STEADY_SECONDS
    tries = 1 if steady else replica.state.get("tries", 0) + 1
    pause = min(FIRST_BACK_OFF_SECONDS * 2 ** min(tries - 1, 10), LONGEST_BACK_OFF_SECONDS)
    state = {"tries": tries, "resume_at": seen.real_now + pause}
    return Step("Restarting", state, do=[KillRun(replica, replica.state["attempt"])], wake_in_real_s=QUICK_SECONDS)


def _restart(replica: Record, seen: Seen) -> Step:
    attempt = replica.state["attempt"]
    if not seen.run.ended and seen.run.state != "absent":
        return Step("Restarting", do=[KillRun(replica, attempt)], wake_in_real_s=QUICK_SECONDS)
    if seen.real_now < replica.state["resume_at"]:
        return Step("Restarting", wake_in_real_s=max(replica.state["resume_at"] - seen.real_now, 0.02))
    # Before the first service the time for starting is one for all attempts; after it, one for each.
    since = seen.real_now if replica.state.get("served") else replica.state["since"]
    return Step("Starting", {"attempt": attempt + 1, "since": since}, do=[EndAttempt(replica, attempt)], wake_in_real_s=0.0)


def _failed(replica: Record, seen: Seen) -> Step:
    """Stays as the witness of its reason until the endpoint lets it go; its run does not."""
    if seen.run.state in ("starting", "running"):
        return Step("Failed", do=[KillRun(replica, replica.state["attempt"])], wake_in_real_s=QUICK_SECONDS)
    return Step("Failed")


def _stop(replica: Record, seen: Seen) -> Step:
    if replica.status != "Stopping":
        return Step("Stopping", {"stopping_since": seen.real_now}, wake_in_real_s=0.0)
    if (
        not seen.retired
        and seen.real_now - replica.state["stopping_since"] < replica.spec.get("drain_s", DRAIN_SECONDS)
        and not seen.run.ended
    ):
        return Step("Stopping", wake_in_real_s=QUICK_SECONDS)
    if seen.files.state == "running":
        return Step("Stopping", wake_in_real_s=QUICK_SECONDS)
    if seen.run.state in ("starting", "running"):
        return Step("Stopping", do=[StopRun(replica)], wake_in_real_s=QUICK_SECONDS)
    return Step("Stopping", do=[StopRun(replica), CleanUp(replica)], delete=True)


def _fail(reason: str, *do: Any) -> Step:
    return Step("Failed", {"reason": reason}, do=list(do), wake_in_real_s=QUICK_SECONDS, detail={"reason": reason})
