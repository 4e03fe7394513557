"""Rotation of symmetric keys: switched on and off, on demand, and told. What rotates them is in upkeep.py."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.records import Record
from modelyard.services.kms import api
from modelyard.services.kms.access import the_key
from modelyard.services.kms.keyring import change, check_state, materials, spec_of
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

    def enabled(now: Record) -> dict[str, Any]:
        check_state(now, call.now())
        have = now.spec.get("Rotation")
        wanted = period or (have["Period"] if have else PERIOD)
        return {"Rotation": have if have and have["Period"] == wanted else {"Period": wanted, "From": call.now()}}

    change(call.store, key, enabled)
    return {}


@api.operation
def disable_key_rotation(call, request):
    key = _rotatable(call, request)

    def disabled(now: Record) -> dict[str, Any]:
        check_state(now, call.now())
        return {"Rotation": None}

    change(call.store, key, disabled)
    return {}


@api.operation
def rotate_key_on_demand(call, request):
    """The engine makes the new material."""
    key = _rotatable(call, request)

    def asked(now: Record) -> dict[str, Any]:
        check_state(now, call.now())
        if pending_on_demand(now) is not None:
            raise api.error.ConflictException(f"{now.arn} is being rotated already.")
        if sum(one["How"] == ON_DEMAND for one in materials(now, call.now())) >= MOST_ON_DEMAND:
            raise api.error.LimitExceededException(f"A key may be rotated on demand at most {MOST_ON_DEMAND} times.")
        return {"OnDemand": call.now()}

    change(call.store, key, asked)
    return {"KeyId": key.arn}


@api.operation
def get_key_rotation_status(call, request):
    key = the_key(call, request["KeyId"], request, own=True)
    _check_symmetric(key)
    told: dict[str, Any] = {"KeyRotationEnabled": bool(key.spec.get("Rotation")), "KeyId": key.arn}
    if key.spec.get("Rotation") and key.spec.get("DeletionDate") is None:
        told |= {"RotationPeriodInDays": key.spec["Rotation"]["Period"], "NextRotationDate": next_rotation(key)}
    if (asked := pending_on_demand(key)) is not None:
        told["OnDemandRotationStartDate"] = asked
    return told


@api.operation
def list_key_rotations(call, request):
    key = the_key(call, request["KeyId"], request, own=True)
    _check_symmetric(key)
    whole = request.get("IncludeKeyMaterial") == "ALL_KEY_MATERIAL"
    have = materials(key, call.now())
    told = []
    for number, one in enumerate(have):
        if number == 0 and not whole:
            continue
        entry = {"KeyId": key.arn, "KeyMaterialId": one["Id"], "KeyMaterialState": "CURRENT" if one is have[-1] else "NON_CURRENT"}
        told.append((f"{number:06d}", entry | ({"RotationDate": one["At"], "RotationType": one["How"]} if one["How"] else {})))
    shown, more = page(told, request, lambda item: item[0], 100)
    return {"Rotations": [entry for _, entry in shown], **more}


# --- helpers -------------------------------------------------------------------------------------


def _rotatable(call: Any, request: Any) -> Record:
    key = the_key(call, request["KeyId"], request, own=True)
    check_customer(key)
    _check_symmetric(key)
    if key.spec["Origin"] != "AWS_KMS":
        raise api.error.UnsupportedOperationException(
            f"{key.arn} origin is {key.spec['Origin']} which is not valid for this operation: Modelyard has not built rotation of imported material."
        )
    return key


def _check_symmetric(key: Record) -> None:
    if spec_of(key).family != SYMMETRIC:
        raise api.error.UnsupportedOperationException(f"{key.arn} is not a symmetric encryption key: it cannot be rotated.")
