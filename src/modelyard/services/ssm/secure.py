"""Values of SecureStrings in and out of encryption.

A standard one is encrypted by the KMS key itself (kms:Encrypt); an advanced one, which may be larger than what KMS encrypts, with a data
key of its own (kms:GenerateDataKey), which lies beside it. Both need kms:Decrypt to be read. Source: "How AWS Systems Manager Parameter
Store uses AWS KMS" of the KMS developer guide.
"""

from __future__ import annotations

import base64
import secrets
import struct
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from modelyard.kernel.errors import ApiError
from modelyard.services.ssm import api

_MAGIC, NONCE_BYTES = b"\x01MP\x01", 12
_KMS_SAYS = {"NotFoundException", "DisabledException", "KMSInvalidStateException", "InvalidKeyUsageException", "InvalidCiphertextException"}


def sealed(call: Any, key: str, arn: str, tier: str, value: str) -> str:
    """The ciphertext, in base64. Raises AccessDenied without the right on the key, or InvalidKeyId where the key cannot be used."""
    kms, context = call.platform.kms, _context(arn)
    with _kms_errors():
        if tier != "Advanced":
            return _text(kms.encrypt(call.account, call.region, key, value.encode(), context, call))
        _, plain, blob = kms.data_key(call.account, call.region, key, context, call)
    nonce, head = secrets.token_bytes(NONCE_BYTES), _MAGIC + struct.pack(">H", len(blob)) + blob
    return _text(head + nonce + AESGCM(plain).encrypt(nonce, value.encode(), head))


def opened(call: Any, arn: str, text: str) -> str:
    """The value. Raises as `sealed`."""
    whole = base64.b64decode(text)
    blob, head = whole, b""
    if whole.startswith(_MAGIC):
        start = len(_MAGIC) + 2
        head = whole[: start + struct.unpack_from(">H", whole, len(_MAGIC))[0]]
        blob = head[start:]
    with _kms_errors():
        plain = call.platform.kms.decrypt(call.account, call.region, blob, _context(arn), call)[1]
    if head:
        body = whole[len(head) :]
        plain = AESGCM(plain).decrypt(body[:NONCE_BYTES], body[NONCE_BYTES:], head)
    return plain.decode()


def _context(arn: str) -> dict[str, str]:
    return {"PARAMETER_ARN": arn}


def _text(blob: bytes) -> str:
    return base64.b64encode(blob).decode()


class _kms_errors:
    """What KMS says of a key is InvalidKeyId here."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, problem: Any, trace: Any) -> None:
        if isinstance(problem, ApiError) and problem.code in _KMS_SAYS:
            raise api.error.InvalidKeyId(problem.message) from None
