"""Signatures, MACs, shared secrets and public keys."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed

from modelyard.kernel.errors import validation
from modelyard.kernel.records import Record
from modelyard.services.kms import api
from modelyard.services.kms.access import check_dry, the_key
from modelyard.services.kms.ciphers import unreadable
from modelyard.services.kms.crypto import check_recipient, check_use
from modelyard.services.kms.keyring import algorithms_of, check_state, materials, old_spec, opened, spec_of
from modelyard.services.kms.material import private_key, public_der
from modelyard.services.kms.specs import AGREE, ECC, EDWARDS, ENCAPSULATE, MAC, MEMBER, PAIRS, SIGN

MU, MU_BYTES = "EXTERNAL_MU", 64
_WHOLE = {"ED25519_SHA_512": {"RAW"}, "ML_DSA_SHAKE_256": {"RAW", MU}}
"""Algorithms that hash the message themselves → the message types they take."""
_HASHES: dict[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


@api.operation
def sign(call, request):
    key, algorithm = _signer(call, request), request["SigningAlgorithm"]
    content = _content(request, algorithm)
    check_dry(request)
    private = private_key(_material(call, key))
    if request.get("MessageType") == MU:
        signature = private.sign_mu(content)
    else:
        signature = private.sign(content, *_scheme(spec_of(key).family, algorithm))
    return {"KeyId": key.arn, "Signature": signature, "SigningAlgorithm": algorithm}


@api.operation
def verify(call, request):
    key, algorithm = _signer(call, request), request["SigningAlgorithm"]
    content = _content(request, algorithm)
    public = private_key(_material(call, key)).public_key()
    try:
        if request.get("MessageType") == MU:
            public.verify_mu(request["Signature"], content)
        else:
            public.verify(request["Signature"], content, *_scheme(spec_of(key).family, algorithm))
    except InvalidSignature:
        raise api.error.KMSInvalidSignatureException("") from None
    check_dry(request)
    return {"KeyId": key.arn, "SignatureValid": True, "SigningAlgorithm": algorithm}


@api.operation
def generate_mac(call, request):
    key, mac = _mac(call, request)
    check_dry(request)
    return {"Mac": mac, "MacAlgorithm": request["MacAlgorithm"], "KeyId": key.arn}


@api.operation
def verify_mac(call, request):
    key, mac = _mac(call, request)
    if not hmac.compare_digest(mac, request["Mac"]):
        raise api.error.KMSInvalidMacException("")
    check_dry(request)
    return {"KeyId": key.arn, "MacValid": True, "MacAlgorithm": request["MacAlgorithm"]}


@api.operation
def derive_shared_secret(call, request):
    check_recipient(request)
    key = the_key(call, request["KeyId"], request)
    check_use(call, key, request["KeyAgreementAlgorithm"], None, AGREE)
    private = private_key(_material(call, key))
    try:
        public = serialization.load_der_public_key(request["PublicKey"])
    except (ValueError, TypeError):
        public = None
    if not isinstance(public, ec.EllipticCurvePublicKey) or public.curve.name != private.curve.name:
        raise validation(f"The public key is not a {key.spec['KeySpec']} key in DER-encoded X.509 SubjectPublicKeyInfo.")
    check_dry(request)
    told = {"KeyId": key.arn, "SharedSecret": private.exchange(ec.ECDH(), public)}
    return {**told, "KeyAgreementAlgorithm": "ECDH", "KeyOrigin": key.spec["Origin"]}


@api.operation
def get_public_key(call, request):
    key = the_key(call, request["KeyId"], request)
    spec = spec_of(key)
    if spec.family not in PAIRS:
        raise api.error.UnsupportedOperationException(f"{key.arn} is not an asymmetric key: it has no public key.")
    check_state(key, call.now())
    public = public_der(private_key(_material(call, key)))
    told = {"KeyId": key.arn, "PublicKey": public, "KeySpec": spec.name, **old_spec(key)}
    return {**told, "KeyUsage": key.spec["KeyUsage"], MEMBER[key.spec["KeyUsage"]]: list(algorithms_of(key))}


@api.operation
def encapsulate(call, request):
    """A new shared secret, and what the holder of the private key makes it from."""
    key = the_key(call, request["KeyId"], request)
    check_use(call, key, request["EncapsulationAlgorithm"], None, ENCAPSULATE)
    check_dry(request)
    shared, blob = private_key(_material(call, key)).public_key().encapsulate()
    told = {"KeyId": key.arn, "SharedSecret": shared, "SharedSecretCiphertextBlob": blob}
    return {**told, "EncapsulationAlgorithm": request["EncapsulationAlgorithm"]}


@api.operation
def decapsulate(call, request):
    """Of a changed or foreign ciphertext: another secret, not an error (implicit rejection)."""
    key = the_key(call, request["KeyId"], request)
    check_use(call, key, request["EncapsulationAlgorithm"], None, ENCAPSULATE)
    try:
        shared = private_key(_material(call, key)).decapsulate(request["SharedSecretCiphertextBlob"])
    except ValueError:
        raise unreadable() from None
    check_dry(request)
    return {"KeyId": key.arn, "SharedSecret": shared, "EncapsulationAlgorithm": request["EncapsulationAlgorithm"]}


# --- helpers -------------------------------------------------------------------------------------


def _signer(call: Any, request: Mapping[str, Any]) -> Record:
    key = the_key(call, request["KeyId"], {"MessageType": "RAW", **request})
    if request["SigningAlgorithm"] == "ED25519_PH_SHA_512" and spec_of(key).family == EDWARDS:
        raise api.error.UnsupportedOperationException("Modelyard has not built ED25519_PH_SHA_512: take ED25519_SHA_512; nothing was done.")
    check_use(call, key, request["SigningAlgorithm"], None, SIGN)
    return key


def _content(request: Mapping[str, Any], algorithm: str) -> bytes:
    """What the algorithm signs: the digest of the message, or the message where it is a digest (or mu) already; the message itself where
    the algorithm hashes it."""
    message, kind = request["Message"], request.get("MessageType", "RAW")
    if algorithm in _WHOLE:
        if kind not in _WHOLE[algorithm]:
            raise validation(f"MessageType {kind} is not valid for algorithm {algorithm}.")
        if kind == MU and len(message) != MU_BYTES:
            raise validation(f"Digest is invalid length for algorithm {algorithm}.")
        return message
    size = _hash(algorithm).digest_size
    if kind == "RAW":
        return hashlib.new(f"sha{size * 8}", message).digest()
    if kind != "DIGEST":
        raise validation(f"MessageType {kind} is not valid for algorithm {algorithm}.")
    if len(message) != size:
        raise validation(f"Digest is invalid length for algorithm {algorithm}.")
    return message


def _scheme(family: str, algorithm: str) -> tuple[Any, ...]:
    """What `sign` and `verify` of the key take beside the content."""
    if algorithm in _WHOLE:
        return ()
    prehashed = Prehashed(_hash(algorithm))
    return (ec.ECDSA(prehashed),) if family == ECC else (_padding(algorithm), prehashed)


def _hash(algorithm: str) -> hashes.HashAlgorithm:
    return _HASHES[algorithm[-3:]]


def _padding(algorithm: str) -> Any:
    if "PKCS1" in algorithm:
        return padding.PKCS1v15()
    digest = _hash(algorithm)
    return padding.PSS(padding.MGF1(digest), digest.digest_size)


def _mac(call: Any, request: Mapping[str, Any]) -> tuple[Record, bytes]:
    key = the_key(call, request["KeyId"], request)
    algorithm = check_use(call, key, request["MacAlgorithm"], None, MAC)
    return key, hmac.digest(_material(call, key), request["Message"], f"sha{algorithm[-3:]}")


def _material(call: Any, key: Record) -> bytes:
    return opened(call.platform.kms.root, key, materials(key, call.now())[-1])
