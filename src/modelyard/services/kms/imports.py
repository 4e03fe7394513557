"""Keys whose material the user brings: GetParametersForImport, ImportKeyMaterial, DeleteImportedKeyMaterial.

The import token carries the private half of the wrapping key, sealed with the root key: nothing is kept between the two calls.
Source: "Importing key material for AWS KMS keys" of the KMS developer guide.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import orjson
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap_with_padding

from modelyard.kernel.errors import validation
from modelyard.kernel.records import Record
from modelyard.services.kms import api
from modelyard.services.kms.access import the_key
from modelyard.services.kms.family import home_of, is_replica, keeper, members, primary_of, whole
from modelyard.services.kms.keyring import DAY, EXPIRES, change, check_state, order_of, pending_of, sealed_for, spec_of
from modelyard.services.kms.material import fits, material_id, private_der, private_key, public_der
from modelyard.services.kms.root import WrongRoot
from modelyard.services.kms.specs import SYMMETRIC

TOKEN, NEW = "import token", "NEW_KEY_MATERIAL"
_HASHES = {"SHA_1": hashes.SHA1, "SHA_256": hashes.SHA256}


@api.operation
def get_parameters_for_import(call, request):
    key = _external(call, request)
    check_state(key, call.now(), "Enabled", "Disabled", "PendingImport")
    algorithm, spec = request["WrappingAlgorithm"], request["WrappingKeySpec"]
    if not spec.startswith("RSA_") or algorithm not in (
        "RSAES_OAEP_SHA_1",
        "RSAES_OAEP_SHA_256",
        "RSA_AES_KEY_WRAP_SHA_1",
        "RSA_AES_KEY_WRAP_SHA_256",
    ):
        raise api.error.UnsupportedOperationException(f"Wrapping with {algorithm} under {spec} is not supported.")
    wrapping, until = rsa.generate_private_key(65537, int(spec[4:])), call.now() + DAY
    content = {"key": key.arn, "algorithm": algorithm, "until": until, "private": base64.b64encode(private_der(wrapping)).decode()}
    token = base64.b64decode(call.platform.kms.root.seal(orjson.dumps(content), TOKEN))
    return {"KeyId": key.arn, "ImportToken": token, "PublicKey": public_der(wrapping), "ParametersValidTo": until}


@api.operation
def import_key_material(call, request):
    """The first material, the same again, or (symmetric keys) a new one that waits for RotateKeyOnDemand."""
    key = _external(call, request)
    until, described = _checked_times(call, request), request.get("KeyMaterialDescription")
    material = _unwrapped(call, key, request)
    if not fits(spec_of(key), material):
        raise api.error.IncorrectKeyMaterialException(f"The key material is not that of a {key.spec['KeySpec']} key.")
    name = material_id(material, home_of(key))
    if request.get("KeyMaterialId", name) != name:
        raise api.error.IncorrectKeyMaterialException("The key material is not that of the KeyMaterialId in the request.")
    sealed = call.platform.kms.root.seal(material, sealed_for(home_of(key), name))
    if key.owner:
        _begin_family(call, key, name)

    def held(now: Record) -> dict[str, Any]:
        check_state(now, call.now(), "PendingImport", "Enabled", "Disabled")
        _check_known(call, now, name, request.get("ImportType"))
        have = now.spec.get("Imports", {})
        kept = {"Description": have.get(name, {}).get("Description") if described is None else described}
        patch: dict[str, Any] = {"Imports": {**have, name: {"Sealed": sealed, "ValidTo": until, **kept}}}
        return patch if now.owner or order_of(now) else {**patch, "Order": [{"Id": name, "At": call.now(), "How": ""}]}

    change(call.store, key, held)
    return {"KeyId": key.arn, "KeyMaterialId": name}


@api.operation
def delete_imported_key_material(call, request):
    """Material that belongs to the key can come back by another import; what waits for its rotation is forgotten, in all regions."""
    key = _external(call, request)
    order, waits = order_of(key), pending_of(key)
    name = request.get("KeyMaterialId") or (order[-1]["Id"] if order else None)
    if request.get("KeyMaterialId") and name != waits and name not in [one["Id"] for one in order]:
        raise api.error.NotFoundException(f"{key.arn} has no key material {name}")

    def dropped(now: Record) -> dict[str, Any]:
        check_state(now, call.now(), "Enabled", "Disabled", "PendingImport", "PendingDeletion", "PendingReplicaDeletion")
        have = now.spec.get("Imports", {})
        if name not in have:
            return {}
        left = {other: one for other, one in have.items() if other != name}
        return {"Imports": left if name == pending_of(now) else {**left, name: {**have[name], "Sealed": None}}}

    wherever = [key] if name != waits or is_replica(key) or not key.owner else members(call.store, keeper(call.store, key))
    for one in wherever:
        change(call.store, whole(call.store, one), dropped)
    return {"KeyId": key.arn, **({"KeyMaterialId": name} if name else {})}


# --- helpers -------------------------------------------------------------------------------------


def _external(call: Any, request: Mapping[str, Any]) -> Record:
    key = the_key(call, request["KeyId"], request, own=True)
    if key.spec["Origin"] != "EXTERNAL":
        raise api.error.UnsupportedOperationException(f"{key.arn} origin is {key.spec['Origin']} which is not valid for this operation.")
    return key


def _checked_times(call: Any, request: Mapping[str, Any]) -> float | None:
    """When the material ends."""
    model, until = request.get("ExpirationModel", EXPIRES), request.get("ValidTo")
    if model == EXPIRES and until is None:
        raise validation("A validTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES")
    if model != EXPIRES and until is not None:
        raise validation("A validTo date cannot be set if the ExpirationModel is KEY_MATERIAL_DOES_NOT_EXPIRE")
    if until is not None and not call.now() < until <= call.now() + 365 * DAY:
        raise validation("ValidTo must be in the future, and at most 365 days from now.")
    return until


def _begin_family(call: Any, key: Record, name: str) -> None:
    """The first material of multi-Region keys: the primary says which one it is, before it has it."""
    if is_replica(key):
        return

    def begun(family: Record) -> dict[str, Any]:
        return {} if family.spec.get("Order") else {"Order": [{"Id": name, "At": call.now(), "How": ""}]}

    change(call.store, keeper(call.store, key), begun)


def _check_known(call: Any, key: Record, name: str, kind: str | None) -> None:
    """Raises unless this material may go into the key: one that it knows, or a new one where it may take one."""
    known, waits = [one["Id"] for one in order_of(key)], pending_of(key)
    if is_replica(key):
        primary = primary_of(call.store, keeper(call.store, key))
        if kind == NEW or primary is None or name not in {*known, *primary.spec.get("Imports", {})}:
            raise api.error.IncorrectKeyMaterialException("A replica key takes the key material that was imported into its primary key.")
        return
    if not known or name in known or name == waits:
        return
    if kind != NEW or spec_of(key).family != SYMMETRIC:
        raise api.error.IncorrectKeyMaterialException("The key material is not one that was imported into this key before.")
    if waits is not None:
        raise api.error.KMSInvalidStateException(
            f"New key material (id: {name}) cannot be imported into KMS key {key.arn}, because another key material (id: {waits}) is pending "
            "rotation."
        )


def _unwrapped(call: Any, key: Record, request: Mapping[str, Any]) -> bytes:
    """The material in the clear. Raises KMS's errors for a token or a ciphertext that is not right."""
    try:
        token = orjson.loads(call.platform.kms.root.open(base64.b64encode(request["ImportToken"]).decode(), TOKEN))
    except (WrongRoot, ValueError):
        token = {}
    if token.get("key") != key.arn:
        raise api.error.InvalidImportTokenException("The import token is not valid, or is that of another key.")
    if call.now() >= token["until"]:
        raise api.error.ExpiredImportTokenException("The import token has expired: ask for new parameters for import.")
    wrapping, algorithm, blob = private_key(base64.b64decode(token["private"])), token["algorithm"], request["EncryptedKeyMaterial"]
    digest = _HASHES[algorithm[algorithm.index("SHA") :]]
    scheme = padding.OAEP(padding.MGF1(digest()), digest(), None)
    try:
        if algorithm.startswith("RSAES"):
            return wrapping.decrypt(blob, scheme)
        size = wrapping.key_size // 8
        return aes_key_unwrap_with_padding(wrapping.decrypt(blob[:size], scheme), blob[size:])
    except (ValueError, InvalidUnwrap):
        raise api.error.InvalidCiphertextException(
            "The key material cannot be unwrapped with the key and algorithm of the import token."
        ) from None
