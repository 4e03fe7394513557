"""What time does to secrets: deletion when the recovery window is over, rotation when its schedule says so. By the engine.

A rotation calls its Lambda function four times, one step after the other, waiting for each. A crash repeats it from the first step:
rotation functions are written for that, since every step gets the version's id as its token.
"""

from __future__ import annotations

import json
import logging
import uuid
from dataclasses import dataclass
from typing import Any

from modelyard.kernel import targets
from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Step
from modelyard.services.secretsmanager import api
from modelyard.services.secretsmanager.replicas import BEHIND, Copy, state_of
from modelyard.services.secretsmanager.rotation import begun
from modelyard.services.secretsmanager.schedule import next_rotation
from modelyard.services.secretsmanager.secret import SECRET

log = logging.getLogger("modelyard.secretsmanager")
STEPS = ("createSecret", "setSecret", "testSecret", "finishSecret")
LOOK_S = 5.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 60.0, 3600.0
"""How long a rotation that failed waits for its next try (platform time)."""
_TOKENS = uuid.UUID("4f8f7b62-3c55-4bd6-9d55-0d3b0c7a5a10")


@dataclass(frozen=True)
class Begin:
    """Writes the pending version of a rotation that the schedule asks for. The token follows from the time: a crash repeats the same one."""

    uid: str
    due: float

    def perform(self, world: Any) -> None:
        record = world.store.by_uid(self.uid)
        if record is None or record.spec["Rotation"].get("Run") or next_rotation(record) != self.due:
            return
        token = str(uuid.uuid5(_TOKENS, f"{self.uid} {self.due}"))
        try:
            now = world.clock.now()
            world.store.request(record, begun(record, token, {**record.spec["Rotation"], "Since": now}, now))
        except Moved:
            return  # somebody changed it: it is looked at again


@dataclass(frozen=True)
class Run:
    """Calls the function, beside the loop; its end is written by the task."""

    uid: str
    token: str

    def perform(self, world: Any) -> None:
        key = f"rotate {self.uid} {self.token}"
        if world.tasks.look(key).state in ("done", "failed"):
            world.tasks.forget(key)  # its end did not get into the store
        world.tasks.ensure(key, lambda: _rotate(world, self.uid, self.token), lambda: world.wake(self.uid))


def observe(record: Record, world: Any) -> list[str]:
    """Regions whose replica does not say yet what this primary says; one that failed waits until it is asked for again."""
    return [one["Region"] for one in record.spec.get("Replicas") or [] if state_of(world.store, record, one)[0] == BEHIND]


@api.reconciler(SECRET, observe)
def decide(record: Record, seen: list[str], now: float) -> Step:
    deletion, rotation = record.spec.get("Deletion"), record.spec.get("Rotation") or {}
    if deletion is not None:
        return Step("Active", delete=True) if now >= deletion["Due"] else Step("Active", wake_at=deletion["Due"])
    behind = [Copy(record.uid, region) for region in seen]
    if rotation.get("Run") and rotation["Run"]["Next"] > now:
        return Step("Active", do=behind, wake_at=rotation["Run"]["Next"], wake_in_real_s=LOOK_S if behind else None)
    if rotation.get("Run"):
        return Step("Active", do=[Run(record.uid, rotation["Run"]["Token"]), *behind], wake_in_real_s=LOOK_S)
    due = next_rotation(record)
    if due is not None and due <= now:
        return Step("Active", do=[Begin(record.uid, due), *behind], wake_at=now)
    return Step("Active", do=behind, wake_at=due, wake_in_real_s=LOOK_S if behind else None)


@api.reader("secret-forget", kinds={SECRET.kind})
def forget(event, platform):
    """A secret is gone: so are its values."""
    if event.new is None:
        platform.secrets.forget(event.uid)


# --- the rotation itself ---------------------------------------------------------------------------


def _rotate(world: Any, uid: str, token: str) -> None:
    record = world.store.by_uid(uid)
    if record is None or not _is_run(record, token):
        return
    failed = ""
    for step in STEPS:
        body = json.dumps({"Step": step, "SecretId": record.arn, "ClientRequestToken": token, "RotationToken": token})
        delivery = targets.Delivery(
            record.spec["Rotation"]["Lambda"], body, "secretsmanager.amazonaws.com", record.arn, record.account, record.region,
            f"{token} {step}", attributes={"InvocationType": "RequestResponse"},
        )  # fmt: skip
        try:
            targets.deliver(world, delivery)
        except ApiError as problem:
            failed = f"{step}: {problem.code}"
            log.warning("rotation of %s failed at %s: %s", record.name, step, problem.code)
            break
        except Exception as problem:  # whatever went wrong, the rotation waits for its next try
            failed = f"{step}: {type(problem).__name__}"
            log.exception("rotation of %s failed at %s", record.name, step)
            break
    _end(world, uid, token, failed)


def _end(world: Any, uid: str, token: str, failed: str) -> None:
    while (record := world.store.by_uid(uid)) is not None and _is_run(record, token):
        rotation, now, run = record.spec["Rotation"], world.clock.now(), record.spec["Rotation"]["Run"]
        if failed:  # the same version again, later and later
            pause = min(FIRST_PAUSE_S * 2 ** min(run["Tries"], 16), LONGEST_PAUSE_S)
            again = {**run, "Tries": run["Tries"] + 1, "Next": now + pause}
            patch: dict[str, Any] = {"Rotation": {**rotation, "Failed": failed, "Run": again}}
        else:
            patch = {"Rotation": {**rotation, "Failed": None, "Run": None, "Since": now}, "Rotated": now, "Changed": now}
        try:
            world.store.request(record, patch, detail={"rotation": "failed" if failed else "succeeded"})
            return
        except Moved:
            continue


def _is_run(record: Record, token: str) -> bool:
    run = (record.spec.get("Rotation") or {}).get("Run")
    return bool(run) and run["Token"] == token
