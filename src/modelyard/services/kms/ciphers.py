"""Encrypting and decrypting with a key, whatever its spec; who may is asked before."""

from __future__ import annotations

from collections.abc import Mapping

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from modelyard.kernel.errors import ApiError, validation
from modelyard.kernel.records import Record
from modelyard.kernel.store import Store
from modelyard.services.kms import api, envelope
from modelyard.services.kms.family import whole
from modelyard.services.kms.keyring import KEY, materials, opened, spec_of
from modelyard.services.kms.material import private_key
from modelyard.services.kms.root import Root

_DIGESTS = {"RSAES_OAEP_SHA_1": hashes.SHA1, "RSAES_OAEP_SHA_256": hashes.SHA256}


def key_of_blob(store: Store, region: str, blob: bytes) -> Record:
    """The key that a symmetric ciphertext names. Raises InvalidCiphertextException, or AccessDeniedException where there is no such
    key in the region (any more): KMS does not tell strangers which keys there are."""
    try:
        named = envelope.read(blob)
    except envelope.Unreadable:
        raise unreadable() from None
    key = store.get(KEY.kind, named.account, region, named.key_id)
    if key is None:
        raise ApiError(
            "AccessDeniedException",
            "The ciphertext refers to a customer master key that does not exist, does not exist in this region, or you are not allowed to "
            "access.",
            400,
        )
    return whole(store, key)


def encrypt_with(root: Root, key: Record, plaintext: bytes, context: Mapping[str, str], now: float) -> bytes:
    newest = materials(key, now)[-1]
    return envelope.seal(opened(root, key, newest), key.name, key.account, newest["Id"], plaintext, context)


def decrypt_with(root: Root, key: Record, blob: bytes, context: Mapping[str, str], now: float) -> bytes:
    """With the material that the ciphertext was made with, however often the key was rotated since."""
    return envelope_opened(root, key, blob, context, now)[0]


def envelope_opened(root: Root, key: Record, blob: bytes, context: Mapping[str, str], now: float) -> tuple[bytes, str]:
    """(plaintext, id of the material)."""
    try:
        named = envelope.read(blob)
        material = next((one for one in materials(key, now) if one["Id"].startswith(named.material)), None)
        if named.key_id != key.name or material is None:
            raise unreadable()
        return envelope.unseal(opened(root, key, material), blob, context), material["Id"]
    except envelope.Unreadable:
        raise unreadable() from None


def rsa_encrypt(root: Root, key: Record, algorithm: str, plaintext: bytes, now: float) -> bytes:
    public, scheme = private_key(opened(root, key, materials(key, now)[-1])).public_key(), _oaep(algorithm)
    longest = spec_of(key).size // 8 - 2 * _DIGESTS[algorithm].digest_size - 2
    if len(plaintext) > longest:
        raise validation(f"Algorithm {algorithm} and key spec {spec_of(key).name} cannot encrypt data larger than {longest} bytes.")
    return public.encrypt(plaintext, scheme)


def rsa_decrypt(root: Root, key: Record, algorithm: str, blob: bytes, now: float) -> bytes:
    try:
        return private_key(opened(root, key, materials(key, now)[-1])).decrypt(blob, _oaep(algorithm))
    except ValueError:
        raise unreadable() from None


def _oaep(algorithm: str) -> padding.OAEP:
    digest = _DIGESTS[algorithm]
    return padding.OAEP(padding.MGF1(digest()), digest(), None)


def unreadable() -> ApiError:
    """KMS gives no reason."""
    return api.error.InvalidCiphertextException("")
