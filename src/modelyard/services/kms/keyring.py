"""The record of a key: its state, its material, what KeyMetadata says of it.

`spec` is what operations wish (enabled, rotation, deletion date), `state` has the material that the platform made, oldest first:
[{Id, Sealed, At, How}]. A key of imported material has in `spec` Order, the materials that belong to it for good, oldest first:
[{Id, At, How}], and Imports, what is here of them and of the one that waits for its rotation: id → {Sealed, ValidTo, Description}.
The state that clients see follows from all this and the time; nothing moves it. Of a multi-Region key the material, its rotation and
Order lie with its family (family.py): functions here take a whole key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Store
from modelyard.services.kms import api
from modelyard.services.kms.family import configuration, home_of, is_multi_region, whole
from modelyard.services.kms.root import Root, WrongRoot
from modelyard.services.kms.specs import ECC, HMAC, MEMBER, RSA, SPECS, SYMMETRIC, Spec

KEY = Lifecycle("kms-key", "Active")
DAY = 86400.0
EXPIRES, FOREVER = "KEY_MATERIAL_EXPIRES", "KEY_MATERIAL_DOES_NOT_EXPIRE"


def spec_of(key: Record) -> Spec:
    return SPECS[key.spec["KeySpec"]]


def algorithms_of(key: Record) -> tuple[str, ...]:
    return spec_of(key).algorithms[key.spec["KeyUsage"]]


def order_of(key: Record) -> list[dict[str, Any]]:
    """The imported materials that belong to the key for good, oldest first; the last one encrypts."""
    return list((key.state if is_multi_region(key) else key.spec).get("Order", []))


def imports_of(key: Record, now: float) -> dict[str, dict[str, Any]]:
    """What is here of imported material: id → {Sealed, ValidTo, Description}."""
    return {name: one for name, one in key.spec.get("Imports", {}).items() if is_here(one, now)}


def is_here(imported: Mapping[str, Any], now: float) -> bool:
    """Neither deleted nor expired."""
    return imported.get("Sealed") is not None and (imported.get("ValidTo") is None or imported["ValidTo"] > now)


def pending_of(key: Record) -> str | None:
    """The imported material that waits for its rotation."""
    for_good = {one["Id"] for one in order_of(key)}
    return next((name for name in key.spec.get("Imports", {}) if name not in for_good), None)


def state_of(key: Record, now: float) -> str:
    """KeyState: Enabled, Disabled, PendingDeletion, PendingReplicaDeletion or PendingImport."""
    if key.spec.get("DeletionDate") is not None:
        return "PendingDeletion"
    if key.spec.get("DeletionWindow") is not None:
        return "PendingReplicaDeletion"
    if key.spec["Origin"] == "EXTERNAL":
        order, have = order_of(key), imports_of(key, now)
        if not order or any(one["Id"] not in have for one in order):
            return "PendingImport"
    return "Enabled" if key.spec["Enabled"] else "Disabled"


def check_state(key: Record, now: float, *allowed: str) -> None:
    """Raises DisabledException or KMSInvalidStateException unless the key is in one of these states (Enabled, when none is given)."""
    state = state_of(key, now)
    if state in (allowed or ("Enabled",)):
        return
    if state == "Disabled":
        raise api.error.DisabledException(f"{key.arn} is disabled.")
    said = {"PendingDeletion": "pending deletion", "PendingReplicaDeletion": "pending replica deletion", "PendingImport": "pending import"}
    raise api.error.KMSInvalidStateException(f"{key.arn} is {said.get(state, 'enabled')}.")


def materials(key: Record, now: float) -> list[dict[str, Any]]:
    """Oldest first; the last one encrypts."""
    if key.spec["Origin"] == "EXTERNAL":
        have = imports_of(key, now)
        return [{**have[one["Id"]], **one} for one in order_of(key) if one["Id"] in have]
    return list(key.state.get("Materials", []))


def opened(root: Root, key: Record, material: Mapping[str, Any]) -> bytes:
    """The bare material. Raises KMSInternalException where the root key is not the store's."""
    try:
        return root.open(material["Sealed"], sealed_for(home_of(key), material["Id"]))
    except WrongRoot as problem:
        raise api.error.KMSInternalException(str(problem)) from None


def sealed_for(home: str, material_id: str) -> str:
    return f"{home} {material_id}"


def old_spec(key: Record) -> dict[str, str]:
    """The old name of KeySpec, which does not have the newer specs."""
    return {"CustomerMasterKeySpec": key.spec["KeySpec"]} if spec_of(key).family in (SYMMETRIC, RSA, ECC, HMAC) else {}


def metadata(key: Record, now: float) -> dict[str, Any]:
    """KeyMetadata."""
    state, spec = state_of(key, now), key.spec
    told: dict[str, Any] = {
        "AWSAccountId": key.account,
        "KeyId": key.name,
        "Arn": key.arn,
        "CreationDate": key.created_at,
        "Enabled": state == "Enabled",
        "Description": spec["Description"],
        "KeyUsage": spec["KeyUsage"],
        "KeyState": state,
        "Origin": spec["Origin"],
        "KeyManager": spec["Manager"],
        **old_spec(key),
        "KeySpec": spec["KeySpec"],
        MEMBER[spec["KeyUsage"]]: list(algorithms_of(key)),
        "MultiRegion": is_multi_region(key),
    }
    if is_multi_region(key):
        told["MultiRegionConfiguration"] = configuration(key)
    if state == "PendingDeletion":
        told["DeletionDate"] = spec["DeletionDate"]
    if state == "PendingReplicaDeletion":
        told["PendingDeletionWindowInDays"] = spec["DeletionWindow"]
    if spec["Origin"] == "EXTERNAL" and (found := materials(key, now)):
        ends = min((one["ValidTo"] for one in found if one["ValidTo"] is not None), default=None)
        told |= {"ExpirationModel": FOREVER} if ends is None else {"ExpirationModel": EXPIRES, "ValidTo": ends}
    if spec_of(key).family == SYMMETRIC and (have := order_of(key) if spec["Origin"] == "EXTERNAL" else materials(key, now)):
        told["CurrentKeyMaterialId"] = have[-1]["Id"]
    return told


def change(store: Store, key: Record, changes: Callable[[Record], Mapping[str, Any]]) -> Record:
    """Merges `changes(the key as it is now)` into its spec; what they raise is raised. A key that is gone meanwhile is NotFound.
    A whole key stays whole."""
    while True:
        try:
            return whole(store, store.request(key, changes(key)))
        except Moved:
            found = store.by_uid(key.uid)
            if found is None:
                raise no_key(key.arn) from None
            key = whole(store, found)


def no_key(arn: str) -> ApiError:
    return api.error.NotFoundException(f"Key '{arn}' does not exist")
