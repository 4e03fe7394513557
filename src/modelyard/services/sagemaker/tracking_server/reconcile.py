"""The walk of a tracking server. `decide` is pure; times of the real process are real times.

    Creating | Starting | Updating → image → run → answers → Created | Started | Updated
    active: a run that died is started again under the same status; a wish to stop, update or delete leads on

Every start is a run with a number of its own, on record before it is started, and begins only when the one before has ended.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelyard.kernel.clock import real_now
from modelyard.kernel.reconcile import Step
from modelyard.kernel.records import Record
from modelyard.runtime.base import RunState
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.images import build_environment, look_at_environment
from modelyard.services.sagemaker.tracking_server import box
from modelyard.services.sagemaker.tracking_server.lifecycle import ACTIVE, ENDS, LIFECYCLE, SESSION

QUICK_SECONDS, LOOK_SECONDS = 0.2, 5.0
START_SECONDS = 300.0
MOST_STARTS = 3
NEVER_RAN = RunState("absent")


@dataclass(frozen=True)
class Seen:
    real_now: float
    image: str = "ready"
    image_reason: str = ""
    run: RunState = NEVER_RAN
    answers: bool = False

    @property
    def alive(self) -> bool:
        return self.run.state in ("starting", "running")


def observe(server: Record, world: Any) -> Seen:
    run = world.runtime.look(box.run_id(server)) if "attempt" in server.state else NEVER_RAN
    if server.spec.get("delete") or server.status not in ENDS:
        return Seen(real_now(), run=run)
    state, reason = look_at_environment(world, box.ENVIRONMENT)
    return Seen(real_now(), state, reason, run, run.state == "running" and box.answers(server, world))


@api.reconciler(LIFECYCLE, observe)
def decide(server: Record, seen: Seen, now: float) -> Step:
    if server.spec.get("delete"):
        return _delete(server, seen)
    if server.status in ENDS:
        return _up(server, seen)
    if server.status in ACTIVE or server.status == "UpdateFailed":
        return _active(server, seen)
    if server.status == "Stopping":
        return _stopping(server, seen)
    if server.spec["on"] and server.state.get("asked") != server.spec["asked"]:
        return Step("Starting", _fresh(server, seen), wake_in_real_s=0.0)
    return Step(server.status)


def _fresh(server: Record, seen: Seen) -> dict[str, Any]:
    """A new walk up: what it is for, and since when."""
    return {"since": seen.real_now, "tries": 0, "asked": server.spec["asked"], "edition": server.spec["edition"], "reason": None}


def _up(server: Record, seen: Seen) -> Step:
    good, bad = ENDS[server.status]
    if "since" not in server.state:
        return Step(server.status, _fresh(server, seen), wake_in_real_s=0.0)
    if seen.image == "failed":
        return _fail(server, bad, f"The environment of MLflow cannot be built: {seen.image_reason}")
    if seen.image != "ready":
        return Step(server.status, {"since": seen.real_now}, do=[BuildImage(server)], wake_in_real_s=1.0)
    if "attempt" not in server.state:
        return Step(server.status, {"attempt": 1, "running": server.spec["edition"]}, wake_in_real_s=0.0)
    if server.state.get("running") != server.spec["edition"] and seen.alive:
        return Step(server.status, do=[StopRun(server)], wake_in_real_s=QUICK_SECONDS)
    if seen.answers:
        return Step(good, {"edition": server.state["running"]}, do=[FollowLog(server)], wake_in_real_s=LOOK_SECONDS)
    if seen.run.ended or (seen.run.state == "absent" and server.state.get("running") != server.spec["edition"]):
        tries = server.state.get("tries", 0) + (server.state.get("running") == server.spec["edition"])
        if tries >= MOST_STARTS:
            return _fail(server, bad, f"The tracking server ended {MOST_STARTS} times before it answered; its log tells why.")
        return _next(server, server.status, {"tries": tries})
    if seen.real_now - server.state["since"] > START_SECONDS:
        return _fail(server, bad, f"The tracking server did not answer within {START_SECONDS:.0f} seconds; its log tells why.")
    act = StartRun(server) if seen.run.state == "absent" else FollowLog(server)
    return Step(server.status, do=[act], wake_in_real_s=QUICK_SECONDS)


def _next(server: Record, status: str, more: dict[str, Any]) -> Step:
    """Another run, once the number of it is on record."""
    attempt = server.state["attempt"]
    state = {"attempt": attempt + 1, "running": server.spec["edition"], **more}
    return Step(status, state, do=[EndRun(server, attempt)], wake_in_real_s=0.0)


def _fail(server: Record, status: str, reason: str) -> Step:
    return Step(status, {"reason": reason, "since": None}, do=[StopRun(server)], wake_in_real_s=LOOK_SECONDS, detail={"reason": reason})


def _active(server: Record, seen: Seen) -> Step:
    if not server.spec["on"]:
        return Step("Stopping", wake_in_real_s=0.0)
    if server.state.get("edition") != server.spec["edition"]:
        return Step("Updating", _fresh(server, seen), wake_in_real_s=0.0)
    if server.status == "UpdateFailed":
        return Step(server.status)
    if seen.run.ended:
        return _next(server, server.status, {})
    act = StartRun(server) if seen.run.state == "absent" else FollowLog(server)
    return Step(server.status, do=[act], wake_in_real_s=LOOK_SECONDS)


def _stopping(server: Record, seen: Seen) -> Step:
    if seen.alive:
        return Step("Stopping", do=[StopRun(server)], wake_in_real_s=QUICK_SECONDS)
    attempt = server.state.get("attempt")
    if attempt is None:
        return Step("Stopped", {"since": None})
    return Step("Stopped", {"since": None, "attempt": attempt + 1, "running": None}, do=[EndRun(server, attempt)], wake_in_real_s=0.0)


def _delete(server: Record, seen: Seen) -> Step:
    if seen.alive:
        return Step("Deleting", do=[StopRun(server)], wake_in_real_s=QUICK_SECONDS)
    ends = [EndRun(server, server.state["attempt"])] if "attempt" in server.state else []
    return Step("Deleting", do=[*ends, CleanUp(server)], delete=True)


# --- actions: ensure-shaped, done before the write -----------------------------------------------


@dataclass(frozen=True)
class BuildImage:
    server: Record

    def perform(self, world: Any) -> None:
        server = self.server

        def say(line: str) -> None:
            at = int(world.clock.now() * 1000)
            world.logs.append(server.account, server.region, box.LOG_GROUP + server.name, box.run_id(server), [(at, line)])

        build_environment(world, box.ENVIRONMENT, say, server.uid)


@dataclass(frozen=True)
class StartRun:
    server: Record

    def perform(self, world: Any) -> None:
        box.start(self.server, self.server.state["attempt"], world)


@dataclass(frozen=True)
class FollowLog:
    server: Record

    def perform(self, world: Any) -> None:
        box.follow(self.server, world)


@dataclass(frozen=True)
class StopRun:
    server: Record

    def perform(self, world: Any) -> None:
        if "attempt" in self.server.state:
            world.runtime.stop(box.run_id(self.server))


@dataclass(frozen=True)
class EndRun:
    server: Record
    attempt: int

    def perform(self, world: Any) -> None:
        box.end(self.server, self.attempt, world)


@dataclass(frozen=True)
class CleanUp:
    server: Record

    def perform(self, world: Any) -> None:
        for session in world.store.children(self.server.uid, SESSION.kind):
            world.store.delete(session)
        box.remove(self.server, world)
