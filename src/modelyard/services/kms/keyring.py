"""The record of a key: its state, its material, what KeyMetadata says of it.

`spec` is what operations wish (enabled, rotation, deletion date, imported material), `state` has the material that the platform
made, oldest first: [{Id, Sealed, At, How}]. The state that clients see follows from both and the time; nothing moves it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.lifecycle import Lifecycle
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Store
from modelyard.services.kms import api
from modelyard.services.kms.root import Root, WrongRoot
from modelyard.services.kms.specs import MEMBER, SPECS, SYMMETRIC, Spec

KEY = Lifecycle("kms-key", "Active")
DAY = 86400.0
EXPIRES, FOREVER = "KEY_MATERIAL_EXPIRES", "KEY_MATERIAL_DOES_NOT_EXPIRE"


def spec_of(key: Record) -> Spec:
    return SPECS[key.spec["KeySpec"]]


def algorithms_of(key: Record) -> tuple[str, ...]:
    return spec_of(key).algorithms[key.spec["KeyUsage"]]


def imported(key: Record, now: float) -> dict[str, Any] | None:
    """The imported material, unless it has expired."""
    found = key.spec.get("Imported")
    return None if found is None or (found["ValidTo"] is not None and found["ValidTo"] <= now) else found


def state_of(key: Record, now: float) -> str:
    """KeyState: Enabled, Disabled, PendingDeletion or PendingImport."""
    if key.spec.get("DeletionDate") is not None:
        return "PendingDeletion"
    if key.spec["Origin"] == "EXTERNAL" and imported(key, now) is None:
        return "PendingImport"
    return "Enabled" if key.spec["Enabled"] else "Disabled"


def check_state(key: Record, now: float, *allowed: str) -> None:
    """Raises DisabledException or KMSInvalidStateException unless the key is in one of these states (Enabled, when none is given)."""
    state = state_of(key, now)
    if state in (allowed or ("Enabled",)):
        return
    if state == "Disabled":
        raise api.error.DisabledException(f"{key.arn} is disabled.")
    said = {"PendingDeletion": "is pending deletion.", "PendingImport": "is pending import.", "Enabled": "is enabled."}[state]
    raise api.error.KMSInvalidStateException(f"{key.arn} {said}")


def materials(key: Record, now: float) -> list[dict[str, Any]]:
    """Oldest first; the last one encrypts."""
    if key.spec["Origin"] == "EXTERNAL":
        found = imported(key, now)
        return [found] if found else []
    return list(key.state.get("Materials", []))


def opened(root: Root, key: Record, material: Mapping[str, Any]) -> bytes:
    """The bare material. Raises KMSInternalException where the root key is not the store's."""
    try:
        return root.open(material["Sealed"], sealed_for(key.arn, material["Id"]))
    except WrongRoot as problem:
        raise api.error.KMSInternalException(str(problem)) from None


def sealed_for(arn: str, material_id: str) -> str:
    return f"{arn} {material_id}"


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
        "CustomerMasterKeySpec": spec["KeySpec"],
        "KeySpec": spec["KeySpec"],
        MEMBER[spec["KeyUsage"]]: list(algorithms_of(key)),
        "MultiRegion": False,
    }
    if state == "PendingDeletion":
        told["DeletionDate"] = spec["DeletionDate"]
    if found := imported(key, now):
        told["ExpirationModel"] = FOREVER if found["ValidTo"] is None else EXPIRES
        if found["ValidTo"] is not None:
            told["ValidTo"] = found["ValidTo"]
    if spec_of(key).family == SYMMETRIC and (have := materials(key, now)):
        told["CurrentKeyMaterialId"] = have[-1]["Id"]
    return told


def change(store: Store, key: Record, changes: Callable[[Record], Mapping[str, Any]]) -> Record:
    """Merges `changes(the key as it is now)` into its spec; what they raise is raised. A key that is gone meanwhile is NotFound."""
    while True:
        try:
            return store.request(key, changes(key))
        except Moved:
            found = store.by_uid(key.uid)
            if found is None:
                raise no_key(key.arn) from None
            key = found


def no_key(arn: str) -> ApiError:
    return api.error.NotFoundException(f"Key '{arn}' does not exist")
