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
from modelyard.services.kms.keyring import DAY, EXPIRES, change, check_state, imported, sealed_for, spec_of
from modelyard.services.kms.material import fits, material_id, private_der, private_key, public_der
from modelyard.services.kms.root import WrongRoot

TOKEN = "import token"
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
    """Material once imported can be imported again after its end, but no other into the same key."""
    key = _external(call, request)
    model, until = request.get("ExpirationModel", EXPIRES), request.get("ValidTo")
    if (model == EXPIRES) != (until is not None):
        raise validation("A ValidTo date must be set if the ExpirationModel is KEY_MATERIAL_EXPIRES, and only then.")
    if until is not None and not call.now() < until <= call.now() + 365 * DAY:
        raise validation("ValidTo must be in the future, and at most 365 days from now.")
    if request.get("ImportType", "EXISTING_KEY_MATERIAL") != "EXISTING_KEY_MATERIAL" and key.spec.get("ImportedId"):
        raise api.error.UnsupportedOperationException("Modelyard has not built several imported materials of a key; nothing was done.")
    material = _unwrapped(call, key, request)
    if not fits(spec_of(key), material):
        raise api.error.IncorrectKeyMaterialException(f"The key material is not that of a {key.spec['KeySpec']} key.")
    name = material_id(material, key.arn)
    sealed = call.platform.kms.root.seal(material, sealed_for(key.arn, name))

    def held(now: Record) -> dict[str, Any]:
        check_state(now, call.now(), "PendingImport", "Enabled", "Disabled")
        if now.spec.get("ImportedId", name) != name:
            raise api.error.IncorrectKeyMaterialException("The key material is not the one that was imported into this key before.")
        return {"ImportedId": name, "Imported": {"Id": name, "Sealed": sealed, "At": call.now(), "How": "", "ValidTo": until}}

    change(call.store, key, held)
    return {"KeyId": key.arn, "KeyMaterialId": name}


@api.operation
def delete_imported_key_material(call, request):
    key = _external(call, request)

    def dropped(now: Record) -> dict[str, Any]:
        check_state(now, call.now(), "Enabled", "Disabled", "PendingImport")
        if request.get("KeyMaterialId", now.spec.get("ImportedId")) != now.spec.get("ImportedId"):
            raise api.error.NotFoundException(f"{now.arn} has no key material {request['KeyMaterialId']}")
        return {"Imported": None}

    told = {"KeyId": key.arn}
    if found := imported(key, call.now()):
        told["KeyMaterialId"] = found["Id"]
    change(call.store, key, dropped)
    return told


# --- helpers -------------------------------------------------------------------------------------


def _external(call: Any, request: Mapping[str, Any]) -> Record:
    key = the_key(call, request["KeyId"], request, own=True)
    if key.spec["Origin"] != "EXTERNAL":
        raise api.error.UnsupportedOperationException(f"{key.arn} origin is {key.spec['Origin']} which is not valid for this operation.")
    return key


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
