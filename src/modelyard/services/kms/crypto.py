"""Encrypt, Decrypt, ReEncrypt, GenerateRandom."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from modelyard.kernel.errors import validation
from modelyard.kernel.records import Record
from modelyard.services.kms import api, ciphers
from modelyard.services.kms.access import authorize, check_dry, find_key, of_context, the_key
from modelyard.services.kms.keyring import algorithms_of, check_state, materials, spec_of
from modelyard.services.kms.specs import ENCRYPT, SYMMETRIC

DEFAULT = "SYMMETRIC_DEFAULT"


@api.operation
def encrypt(call, request):
    key = the_key(call, request["KeyId"], request)
    algorithm = check_use(call, key, request.get("EncryptionAlgorithm"), request.get("EncryptionContext"))
    if not request["Plaintext"]:
        raise validation(
            "1 validation error detected: Value at 'plaintext' failed to satisfy constraint: Member must have length greater than or equal to 1"
        )
    check_dry(request)
    return {"CiphertextBlob": _encrypted(call, key, algorithm, request["Plaintext"], request.get("EncryptionContext")),
            "KeyId": key.arn, "EncryptionAlgorithm": algorithm}  # fmt: skip


@api.operation
def decrypt(call, request):
    """Ciphertext of a symmetric key says which key; that of an RSA key does not."""
    check_recipient(request)
    key = _source(call, request, request.get("KeyId"), "Decrypt", request.get("EncryptionContext"))
    algorithm = check_use(call, key, request.get("EncryptionAlgorithm"), request.get("EncryptionContext"))
    if _ignores_ciphertext(request):
        check_dry(request)
    plaintext, material = _decrypted(call, key, algorithm, _blob(request), request.get("EncryptionContext"))
    check_dry(request)
    return {"KeyId": key.arn, "Plaintext": plaintext, "EncryptionAlgorithm": algorithm, **material}


@api.operation
def re_encrypt(call, request):
    """The plaintext never leaves: decrypted under one key and encrypted under another, or in another context."""
    old, new = request.get("SourceEncryptionContext"), request.get("DestinationEncryptionContext")
    to = find_key(call.store, call.account, call.region, request["DestinationKeyId"])
    source = _source(call, request, request.get("SourceKeyId"), "ReEncryptFrom", old, to)
    same = {"kms:ReEncryptOnSameKey": source.uid == to.uid}
    target = the_key(call, request["DestinationKeyId"], {**request, "EncryptionContext": new}, action="ReEncryptTo", **same)
    read = check_use(call, source, request.get("SourceEncryptionAlgorithm"), old)
    write = check_use(call, target, request.get("DestinationEncryptionAlgorithm"), new)
    if _ignores_ciphertext(request):
        check_dry(request)
    plaintext, material = _decrypted(call, source, read, _blob(request), old)
    check_dry(request)
    blob = _encrypted(call, target, write, plaintext, new)
    told = {"CiphertextBlob": blob, "SourceKeyId": source.arn, "KeyId": target.arn}
    told |= {"SourceEncryptionAlgorithm": read, "DestinationEncryptionAlgorithm": write}
    if material:
        told["SourceKeyMaterialId"] = material["KeyMaterialId"]
    if spec_of(target).family == SYMMETRIC:
        told["DestinationKeyMaterialId"] = materials(target, call.now())[-1]["Id"]
    return told


@api.operation
def generate_random(call, request):
    check_recipient(request)
    if request.get("CustomKeyStoreId"):
        raise api.error.UnsupportedOperationException("Modelyard has not built custom key stores; nothing was done.")
    if "NumberOfBytes" not in request:
        raise validation("NumberOfBytes is required.")
    return {"Plaintext": secrets.token_bytes(request["NumberOfBytes"])}


# --- helpers -------------------------------------------------------------------------------------


def check_use(call: Any, key: Record, algorithm: str | None, context: Mapping[str, str] | None, usage: str = ENCRYPT) -> str:
    """The algorithm, if the key is in use, made for this, and has it."""
    check_state(key, call.now())
    if key.spec["KeyUsage"] != usage:
        raise api.error.InvalidKeyUsageException(f"{key.arn} key usage is {key.spec['KeyUsage']} which is not valid for {call.operation}.")
    algorithm = algorithm or DEFAULT
    if algorithm not in algorithms_of(key):
        raise api.error.InvalidKeyUsageException(f"Algorithm {algorithm} is incompatible with key spec {key.spec['KeySpec']}.")
    if context and algorithm != DEFAULT:
        raise validation("An encryption context is supported with symmetric encryption keys only.")
    return algorithm


def _source(
    call: Any,
    request: Mapping[str, Any],
    ref: str | None,
    action: str,
    context: Mapping[str, str] | None,
    to: Record | None = None,
) -> Record:
    """The key to decrypt with, authorised: the one that is named, which must be the one of the ciphertext, or that one. `to` is the
    key that encrypts anew."""

    def more(key: Record) -> dict[str, Any]:
        return {} if to is None else {"kms:ReEncryptOnSameKey": key.uid == to.uid}

    if ref is not None:
        named = more(find_key(call.store, call.account, call.region, ref))
        key = the_key(call, ref, {**request, "EncryptionContext": context}, action=action, **named)
        asked = request.get("EncryptionAlgorithm") or request.get("SourceEncryptionAlgorithm") or DEFAULT
        if (
            asked == DEFAULT
            and not _ignores_ciphertext(request)
            and ciphers.key_of_blob(call.store, call.region, _blob(request)).uid != key.uid
        ):
            raise api.error.IncorrectKeyException("The key ID in the request does not identify a CMK that can perform this operation.")
        return key
    if _ignores_ciphertext(request):
        raise validation("A KeyId is required where DryRunModifiers is IGNORE_CIPHERTEXT.")
    algorithm = request.get("EncryptionAlgorithm") or request.get("SourceEncryptionAlgorithm") or DEFAULT
    if algorithm != DEFAULT:
        raise validation("A KeyId is required to decrypt what an asymmetric key encrypted.")
    key = ciphers.key_of_blob(call.store, call.region, _blob(request))
    authorize(call, key, action, {**of_context(context), "kms:EncryptionAlgorithm": algorithm, **more(key)})
    return key


def _blob(request: Mapping[str, Any]) -> bytes:
    if not request.get("CiphertextBlob"):
        raise validation(
            "1 validation error detected: Value null at 'ciphertextBlob' failed to satisfy constraint: Member must not be null"
        )
    return request["CiphertextBlob"]


def _ignores_ciphertext(request: Mapping[str, Any]) -> bool:
    """Whether only the permissions are tried; the key must be named then."""
    return bool(request.get("DryRun")) and "IGNORE_CIPHERTEXT" in (request.get("DryRunModifiers") or ())


def _encrypted(call: Any, key: Record, algorithm: str, plaintext: bytes, context: Mapping[str, str] | None) -> bytes:
    root, now = call.platform.kms.root, call.now()
    if algorithm != DEFAULT:
        return ciphers.rsa_encrypt(root, key, algorithm, plaintext, now)
    return ciphers.encrypt_with(root, key, plaintext, context or {}, now)


def _decrypted(call: Any, key: Record, algorithm: str, blob: bytes, context: Mapping[str, str] | None) -> tuple[bytes, dict[str, str]]:
    root, now = call.platform.kms.root, call.now()
    if algorithm != DEFAULT:
        return ciphers.rsa_decrypt(root, key, algorithm, blob, now), {}
    plaintext, material = ciphers.envelope_opened(root, key, blob, context or {}, now)
    return plaintext, {"KeyMaterialId": material}


def check_recipient(request: Mapping[str, Any]) -> None:
    if request.get("Recipient"):
        raise api.error.UnsupportedOperationException("Modelyard has not built recipients (Nitro enclaves); nothing was done.")
