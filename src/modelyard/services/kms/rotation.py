"""Rotation of symmetric keys: switched on and off, on demand, and told. What rotates them is in upkeep.py."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.records import Record
from modelyard.services.kms import api
from modelyard.services.kms.access import the_key
from modelyard.services.kms.family import is_replica, keeper, members
from modelyard.services.kms.keyring import (
    EXPIRES,
    FOREVER,
    change,
    check_state,
    imports_of,
    is_here,
    materials,
    order_of,
    pending_of,
    spec_of,
)
from modelyard.services.kms.paging import page
from modelyard.services.kms.policy import check_customer
from modelyard.services.kms.specs import SYMMETRIC
from modelyard.services.kms.upkeep import ON_DEMAND, next_rotation, pending_on_demand

PERIOD, SHORTEST, LONGEST = 365, 90, 2560
MOST_ON_DEMAND = 25


@api.operation
def enable_key_rotation(call, request):
    key = _rotatable(call, request)
    period = request.get("RotationPeriodInDays")
    if period is not None and not SHORTEST <= period <= LONGEST:
        raise validation(f"RotationPeriodInDays must be from {SHORTEST} to {LONGEST}.")

    def enabled(keeper: Record) -> dict[str, Any]:
        have = keeper.spec.get("Rotation")
        wanted = period or (have["Period"] if have else PERIOD)
        return {"Rotation": have if have and have["Period"] == wanted else {"Period": wanted, "From": call.now()}}

    _change(call, key, enabled)
    return {}


@api.operation
def disable_key_rotation(call, request):
    _change(call, _rotatable(call, request), lambda keeper: {"Rotation": None})
    return {}


@api.operation
def rotate_key_on_demand(call, request):
    """The engine makes the new material; imported material that waits for it is taken at once."""
    key = _rotatable(call, request, "AWS_KMS", "EXTERNAL")

    def asked(keeper: Record) -> dict[str, Any]:
        now = call.now()
        done = keeper.spec.get("Order", []) if key.spec["Origin"] == "EXTERNAL" else keeper.state.get("Materials", [])
        if sum(one["How"] == ON_DEMAND for one in done) >= MOST_ON_DEMAND:
            raise api.error.LimitExceededException(
                "The on-demand rotations limit has been reached for the given keyId. No more on-demand rotations can be performed for this "
                f"key: {key.arn}"
            )
        if key.spec["Origin"] == "EXTERNAL":
            return {"Order": [*done, {"Id": _waiting(call, key), "At": now, "How": ON_DEMAND}]}
        if pending_on_demand(keeper) is not None:
            raise api.error.ConflictException(f"{key.arn} is being rotated already.")
        return {"OnDemand": now}

    _change(call, key, asked)
    return {"KeyId": key.arn}


@api.operation
def get_key_rotation_status(call, request):
    key = the_key(call, request["KeyId"], request, own=True)
    _check_symmetric(key)
    have = keeper(call.store, key)
    told: dict[str, Any] = {"KeyRotationEnabled": bool(have.spec.get("Rotation")), "KeyId": key.arn}
    if have.spec.get("Rotation") and key.spec.get("DeletionDate") is None:
        told |= {"RotationPeriodInDays": have.spec["Rotation"]["Period"], "NextRotationDate": next_rotation(have)}
    if (asked := pending_on_demand(have)) is not None:
        told["OnDemandRotationStartDate"] = asked
    return told


@api.operation
def list_key_rotations(call, request):
    key = the_key(call, request["KeyId"], request, own=True)
    _check_symmetric(key)
    whole = request.get("IncludeKeyMaterial") == "ALL_KEY_MATERIAL"
    brought = key.spec["Origin"] == "EXTERNAL"
    have = order_of(key) if brought else materials(key, call.now())
    told = []
    for number, one in enumerate(have):
        entry = {"KeyId": key.arn, "KeyMaterialId": one["Id"], "KeyMaterialState": "CURRENT" if one is have[-1] else "NON_CURRENT"}
        entry |= {"RotationDate": one["At"], "RotationType": one["How"]} if one["How"] else {}
        if one["How"] or whole:
            told.append((f"{number:06d}", entry | (_imported(call, key, one["Id"]) if brought else {})))
    if whole and (waits := pending_of(key)):
        state = "PENDING_ROTATION" if _is_everywhere(call, key, waits) else "PENDING_MULTI_REGION_IMPORT_AND_ROTATION"
        entry = {"KeyId": key.arn, "KeyMaterialId": waits, "KeyMaterialState": state}
        told.append((f"{len(have):06d}", entry | _imported(call, key, waits)))
    shown, more = page(told, request, lambda item: item[0], 100)
    return {"Rotations": [entry for _, entry in shown], **more}


# --- helpers -------------------------------------------------------------------------------------


def _change(call: Any, key: Record, changes: Callable[[Record], dict[str, Any]]) -> None:
    """Changes the record that has the key's rotation, while the key is in use."""

    def checked(have: Record) -> dict[str, Any]:
        check_state(key if key.owner else have, call.now())
        return changes(have)

    change(call.store, keeper(call.store, key), checked)


def _waiting(call: Any, key: Record) -> str:
    """The imported material that waits for its rotation, and is in every region."""
    waits = pending_of(key)
    if waits is None or waits not in imports_of(key, call.now()) or not _is_everywhere(call, key, waits):
        raise api.error.KMSInvalidStateException(f"No available key material pending rotation for the key: {key.arn}.")
    return waits


def _is_everywhere(call: Any, key: Record, material: str) -> bool:
    family = keeper(call.store, key) if key.owner else None
    return family is None or all(material in imports_of(one, call.now()) for one in members(call.store, family))


def _imported(call: Any, key: Record, material: str) -> dict[str, Any]:
    """What a list of rotations says of imported material."""
    one = key.spec.get("Imports", {}).get(material, {})
    told: dict[str, Any] = {"ImportState": "IMPORTED" if is_here(one, call.now()) else "PENDING_IMPORT"}
    if one.get("Description"):
        told["KeyMaterialDescription"] = one["Description"]
    if is_here(one, call.now()):
        told |= {"ExpirationModel": FOREVER} if one["ValidTo"] is None else {"ExpirationModel": EXPIRES, "ValidTo": one["ValidTo"]}
    return told


def _rotatable(call: Any, request: Any, *origins: str) -> Record:
    key = the_key(call, request["KeyId"], request, own=True)
    check_customer(key)
    check_state(key, call.now())
    _check_symmetric(key)
    if key.spec["Origin"] not in (origins or ("AWS_KMS",)):
        raise api.error.UnsupportedOperationException(f"{key.arn} origin is {key.spec['Origin']} which is not valid for this operation.")
    if is_replica(key):
        raise api.error.UnsupportedOperationException(f"{key.arn} is not a multi-region primary key.")
    return key


def _check_symmetric(key: Record) -> None:
    """KMS gives no reason; this does."""
    if spec_of(key).family != SYMMETRIC:
        raise api.error.UnsupportedOperationException(f"{key.arn} is not a symmetric encryption key: it cannot be rotated.")
