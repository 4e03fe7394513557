"""What time does to keys: rotation, the end of imported material, deletion. On the platform clock, by the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Step
from modelyard.services.kms import api
from modelyard.services.kms.aliases import ALIAS
from modelyard.services.kms.family import is_replica, replicas_of, whole
from modelyard.services.kms.keyring import DAY, KEY, is_here, order_of, state_of
from modelyard.services.kms.making import first_material

AUTOMATIC, ON_DEMAND = "AUTOMATIC", "ON_DEMAND"


@dataclass(frozen=True)
class EraseExpired:
    """Takes imported material that has expired out of the store. What waited for its rotation is forgotten with it."""

    uid: str
    now: float

    def perform(self, world: Any) -> None:
        key = world.store.by_uid(self.uid)
        if key is None:
            return
        key = whole(world.store, key)
        kept = {one["Id"] for one in order_of(key)}
        imports = {name: one if is_here(one, self.now) else {**one, "Sealed": None} for name, one in key.spec["Imports"].items()}
        try:
            world.store.request(key, {"Imports": {name: one for name, one in imports.items() if one["Sealed"] or name in kept}})
        except Moved:
            return  # somebody changed the key: it is looked at again


def observe(key: Record, world: Any) -> dict[str, Any]:
    """`fresh`: material, sealed, where the key may need it now; `held`: a primary that still has replicas is not deleted."""
    now = world.clock.now()
    if key.owner:
        found = whole(world.store, key)
        return {"fresh": None, "held": not is_replica(found) and bool(replicas_of(found))}
    due = state_of(key, now) == "Enabled" and rotation_due(key, now) is not None
    return {"fresh": first_material(world.kms.root, key.arn, key.spec["KeySpec"], now) if due else None, "held": False}


@api.reconciler(KEY, observe)
def decide(key: Record, seen: dict[str, Any], now: float) -> Step:
    """Deleted when its date has come; its material renewed when that is due or was asked for. Of multi-Region keys the family is
    renewed (replication.py)."""
    deletion = key.spec.get("DeletionDate")
    if deletion is not None:
        if now >= deletion and not seen["held"]:
            return Step("Active", delete=True)
        return Step("Active", wake_at=deletion if now < deletion else now + DAY)
    ends = [one["ValidTo"] for one in key.spec.get("Imports", {}).values() if one["Sealed"] and one["ValidTo"] is not None]
    if ends and min(ends) <= now:
        return Step("Active", do=[EraseExpired(key.uid, now)])
    if seen["fresh"] is not None:
        return rotated(key, seen["fresh"], now)
    return Step("Active", wake_at=min([*ends, *filter(None, [next_rotation(key)])], default=None))


def rotated(record: Record, fresh: dict[str, Any], now: float) -> Step:
    """The key or family with new material: what it has encrypted until now keeps the old one."""
    how = rotation_due(record, now)
    assert how is not None
    return Step(
        "Active",
        state={
            "Materials": [*record.state["Materials"], {**fresh, "At": now, "How": how}],
            **({"OnDemandDone": record.spec["OnDemand"]} if how == ON_DEMAND else {}),
        },
        wake_at=now if how == ON_DEMAND else now + record.spec["Rotation"]["Period"] * DAY,
        detail={"rotated": how},
    )


@api.reader("kms-forget", kinds={KEY.kind})
def forget(event, platform):
    """A key is gone: so are its aliases and grants."""
    if event.new is not None:
        return
    found = platform.store.children(event.uid, "kms-grant")
    found += [one for one in platform.store.list(ALIAS.kind, event.account, event.region) if one.spec["TargetKeyId"] == event.name]
    for record in found:
        platform.store.delete(record)


# --- pure ----------------------------------------------------------------------------------------


def rotation_due(key: Record, now: float) -> str | None:
    """How the key (or family) is to be rotated now; None: not now. Only keys in use are."""
    if pending_on_demand(key) is not None:
        return ON_DEMAND
    due = next_rotation(key)
    return AUTOMATIC if due is not None and due <= now else None


def pending_on_demand(key: Record) -> float | None:
    """When a rotation was asked for that is not done yet."""
    asked = key.spec.get("OnDemand")
    return asked if asked is not None and asked != key.state.get("OnDemandDone") else None


def next_rotation(key: Record) -> float | None:
    """When it is rotated by itself; None: it is not. Rotations on demand do not move it."""
    rotation = key.spec.get("Rotation")
    if rotation is None:
        return None
    done = [one["At"] for one in key.state.get("Materials", []) if one["How"] == AUTOMATIC]
    return max([rotation["From"], *done[-1:]]) + rotation["Period"] * DAY
