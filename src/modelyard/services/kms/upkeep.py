"""What time does to keys: rotation, the end of imported material, deletion. On the platform clock, by the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Step
from modelyard.services.kms import api
from modelyard.services.kms.aliases import ALIAS
from modelyard.services.kms.keyring import DAY, KEY, state_of
from modelyard.services.kms.making import first_material

AUTOMATIC, ON_DEMAND = "AUTOMATIC", "ON_DEMAND"


@dataclass(frozen=True)
class EraseExpired:
    """Takes imported material that has expired out of the store."""

    uid: str
    material: str

    def perform(self, world: Any) -> None:
        key = world.store.by_uid(self.uid)
        if key is not None and (key.spec.get("Imported") or {}).get("Id") == self.material:
            try:
                world.store.request(key, {"Imported": None})
            except Moved:
                return  # somebody changed the key: it is looked at again


def observe(key: Record, world: Any) -> dict[str, Any] | None:
    """Fresh material, sealed, where the key may need it now."""
    now = world.clock.now()
    if rotation_due(key, now) is None or key.spec["KeySpec"] != "SYMMETRIC_DEFAULT":
        return None
    return first_material(world.kms.root, key.arn, key.spec["KeySpec"], now)


@api.reconciler(KEY, observe)
def decide(key: Record, fresh: dict[str, Any] | None, now: float) -> Step:
    """Deleted when its date has come; its material renewed when that is due or was asked for."""
    deletion = key.spec.get("DeletionDate")
    if deletion is not None:
        return Step("Active", delete=True) if now >= deletion else Step("Active", wake_at=deletion)
    imported = key.spec.get("Imported")
    if imported is not None and imported["ValidTo"] is not None:
        if imported["ValidTo"] <= now:
            return Step("Active", do=[EraseExpired(key.uid, imported["Id"])])
        return Step("Active", wake_at=imported["ValidTo"])
    how = rotation_due(key, now)
    if how is None or fresh is None:
        return Step("Active", wake_at=next_rotation(key))
    return Step(
        "Active",
        state={
            "Materials": [*key.state["Materials"], {**fresh, "At": now, "How": how}],
            **({"OnDemandDone": key.spec["OnDemand"]} if how == ON_DEMAND else {}),
        },
        wake_at=now if how == ON_DEMAND else now + key.spec["Rotation"]["Period"] * DAY,
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
    """How the key is to be rotated now; None: not now. Only keys in use are rotated."""
    if state_of(key, now) != "Enabled":
        return None
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
