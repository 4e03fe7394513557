"""Key material: made, opened, and named. Private keys are PKCS #8 in DER; the others are the bare bytes."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, mlkem, rsa

from modelyard.services.kms.specs import ECC, PAIRS, RSA, Spec

CURVES: dict[str, ec.EllipticCurve] = {
    "ECC_NIST_P256": ec.SECP256R1(),
    "ECC_NIST_P384": ec.SECP384R1(),
    "ECC_NIST_P521": ec.SECP521R1(),
    "ECC_SECG_P256K1": ec.SECP256K1(),
}
_CLASSES: dict[str, Any] = {
    "ECC_NIST_EDWARDS25519": ed25519.Ed25519PrivateKey,
    "ML_DSA_44": mldsa.MLDSA44PrivateKey,
    "ML_DSA_65": mldsa.MLDSA65PrivateKey,
    "ML_DSA_87": mldsa.MLDSA87PrivateKey,
    "ML_KEM_768": mlkem.MLKEM768PrivateKey,
    "ML_KEM_1024": mlkem.MLKEM1024PrivateKey,
}


def new_material(spec: Spec) -> bytes:
    if spec.family == RSA:
        return private_der(rsa.generate_private_key(65537, spec.size))
    if spec.family == ECC:
        return private_der(ec.generate_private_key(CURVES[spec.name]))
    if spec.name in _CLASSES:
        return private_der(_CLASSES[spec.name].generate())
    return secrets.token_bytes(spec.size // 8)


def material_id(material: bytes, arn: str) -> str:
    """64 hexadecimal characters that tell one material of a key from another and nothing about it."""
    return hmac.new(material, arn.encode(), hashlib.sha256).hexdigest()


def private_der(key: Any) -> bytes:
    return key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def public_der(key: Any) -> bytes:
    """SubjectPublicKeyInfo of a private key."""
    return key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def private_key(material: bytes) -> Any:
    return serialization.load_der_private_key(material, None)


def fits(spec: Spec, material: bytes) -> bool:
    """Whether imported material is a key of this spec."""
    if spec.family not in PAIRS:
        return len(material) == spec.size // 8
    try:
        key = private_key(material)
    except (ValueError, TypeError):
        return False
    if spec.family == RSA:
        return isinstance(key, rsa.RSAPrivateKey) and key.key_size == spec.size
    if spec.name in _CLASSES:
        return isinstance(key, _CLASSES[spec.name])
    return isinstance(key, ec.EllipticCurvePrivateKey) and key.curve.name == CURVES[spec.name].name
