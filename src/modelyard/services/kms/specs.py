"""Key specs: what each kind of key is for, and which algorithms it has. Source: "Key spec reference" in the KMS developer guide."""

from __future__ import annotations

from dataclasses import dataclass

SYMMETRIC, RSA, ECC, HMAC, EDWARDS, ML_DSA, ML_KEM = "symmetric", "rsa", "ecc", "hmac", "edwards", "ml-dsa", "ml-kem"
ENCRYPT, SIGN, MAC, AGREE = "ENCRYPT_DECRYPT", "SIGN_VERIFY", "GENERATE_VERIFY_MAC", "KEY_AGREEMENT"
ENCAPSULATE = "ENCAPSULATE_DECAPSULATE"


@dataclass(frozen=True)
class Spec:
    """`size` is in bits (of lattice keys: the parameter set). `algorithms` by key usage."""

    name: str
    family: str
    size: int
    algorithms: dict[str, tuple[str, ...]]


_OAEP = ("RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256")
_RSA_SIGN = tuple(f"RSASSA_{padding}_SHA_{size}" for padding in ("PKCS1_V1_5", "PSS") for size in (256, 384, 512))
_ECDH = ("ECDH",)


def _ecc(name: str, size: int, digest: int, agrees: bool = True) -> Spec:
    return Spec(name, ECC, size, {SIGN: (f"ECDSA_SHA_{digest}",), **({AGREE: _ECDH} if agrees else {})})


SPECS: dict[str, Spec] = {
    spec.name: spec
    for spec in (
        Spec("SYMMETRIC_DEFAULT", SYMMETRIC, 256, {ENCRYPT: ("SYMMETRIC_DEFAULT",)}),
        *(Spec(f"RSA_{size}", RSA, size, {ENCRYPT: _OAEP, SIGN: _RSA_SIGN}) for size in (2048, 3072, 4096)),
        _ecc("ECC_NIST_P256", 256, 256),
        _ecc("ECC_NIST_P384", 384, 384),
        _ecc("ECC_NIST_P521", 521, 512),
        _ecc("ECC_SECG_P256K1", 256, 256, agrees=False),
        *(Spec(f"HMAC_{size}", HMAC, size, {MAC: (f"HMAC_SHA_{size}",)}) for size in (224, 256, 384, 512)),
        Spec("ECC_NIST_EDWARDS25519", EDWARDS, 256, {SIGN: ("ED25519_SHA_512",)}),
        *(Spec(f"ML_DSA_{size}", ML_DSA, size, {SIGN: ("ML_DSA_SHAKE_256",)}) for size in (44, 65, 87)),
        *(Spec(f"ML_KEM_{size}", ML_KEM, size, {ENCAPSULATE: ("ML_KEM",)}) for size in (768, 1024)),
    )
}
PAIRS = (RSA, ECC, EDWARDS, ML_DSA, ML_KEM)
"""Families of key pairs: those that have a public key."""
MEMBER = {
    ENCRYPT: "EncryptionAlgorithms",
    SIGN: "SigningAlgorithms",
    MAC: "MacAlgorithms",
    AGREE: "KeyAgreementAlgorithms",
    ENCAPSULATE: "EncapsulationAlgorithms",
}
"""How KeyMetadata and GetPublicKey call the algorithms of a usage."""
