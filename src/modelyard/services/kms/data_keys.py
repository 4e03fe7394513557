"""Data keys and data key pairs: made here, encrypted under a key, and forgotten."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.records import Record
from modelyard.services.kms import api
from modelyard.services.kms.access import check_dry, the_key
from modelyard.services.kms.ciphers import encrypt_with
from modelyard.services.kms.crypto import check_recipient, check_use
from modelyard.services.kms.keyring import materials
from modelyard.services.kms.material import new_material, private_key, public_der
from modelyard.services.kms.specs import SPECS

_SIZES = {"AES_256": 32, "AES_128": 16}


@api.operation
def generate_data_key(call, request):
    check_recipient(request)
    key, plaintext = _data_key(call, request)
    return {**_sealed(call, key, plaintext, request, "CiphertextBlob"), "Plaintext": plaintext}


@api.operation
def generate_data_key_without_plaintext(call, request):
    key, plaintext = _data_key(call, request)
    return _sealed(call, key, plaintext, request, "CiphertextBlob")


@api.operation
def generate_data_key_pair(call, request):
    check_recipient(request)
    key, private = _pair(call, request)
    return {**_told_pair(call, key, private, request), "PrivateKeyPlaintext": private}


@api.operation
def generate_data_key_pair_without_plaintext(call, request):
    key, private = _pair(call, request)
    return _told_pair(call, key, private, request)


# --- helpers -------------------------------------------------------------------------------------


def _data_key(call: Any, request: Mapping[str, Any]) -> tuple[Record, bytes]:
    key = _key(call, request)
    if ("KeySpec" in request) == ("NumberOfBytes" in request):
        raise validation("Please specify either number of bytes or key spec.")
    check_dry(request)
    return key, secrets.token_bytes(_SIZES[request["KeySpec"]] if "KeySpec" in request else request["NumberOfBytes"])


def _pair(call: Any, request: Mapping[str, Any]) -> tuple[Record, bytes]:
    key, spec = _key(call, request), SPECS.get(request["KeyPairSpec"])
    if spec is None:
        raise api.error.UnsupportedOperationException(
            f"Modelyard has not built key pairs of spec {request['KeyPairSpec']}; nothing was done."
        )
    check_dry(request)
    return key, new_material(spec)


def _key(call: Any, request: Mapping[str, Any]) -> Record:
    key = the_key(call, request["KeyId"], request)
    check_use(call, key, None, request.get("EncryptionContext"))
    return key


def _told_pair(call: Any, key: Record, private: bytes, request: Mapping[str, Any]) -> dict[str, Any]:
    sealed = _sealed(call, key, private, request, "PrivateKeyCiphertextBlob")
    return {**sealed, "PublicKey": public_der(private_key(private)), "KeyPairSpec": request["KeyPairSpec"]}


def _sealed(call: Any, key: Record, plaintext: bytes, request: Mapping[str, Any], member: str) -> dict[str, Any]:
    blob = encrypt_with(call.platform.kms.root, key, plaintext, request.get("EncryptionContext") or {}, call.now())
    return {member: blob, "KeyId": key.arn, "KeyMaterialId": materials(key, call.now())[-1]["Id"]}
