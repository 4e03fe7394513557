"""JSON Web Tokens of identity providers: taken apart, and verified against the provider's published keys (RFC 7515 to 7519)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

_HASHES = {"256": SHA256, "384": SHA384, "512": SHA512}
_CURVES = {"ES256": ("P-256", ec.SECP256R1, 32), "ES384": ("P-384", ec.SECP384R1, 48), "ES512": ("P-521", ec.SECP521R1, 66)}
_ALGORITHMS = ("RS256", "RS384", "RS512", *_CURVES)
LEAST_RSA_BITS = 2048


class BadToken(ValueError):
    """Not a token, or one that cannot be believed; the text says why."""


@dataclass(frozen=True)
class Token:
    header: Mapping[str, Any]
    claims: Mapping[str, Any]
    signed: bytes
    signature: bytes


def read(text: str) -> Token:
    parts = text.split(".")
    try:
        if len(parts) != 3:
            raise ValueError
        header, claims, signature = (_bytes(part) for part in parts)
        token = Token(orjson.loads(header), orjson.loads(claims), f"{parts[0]}.{parts[1]}".encode(), signature)
        if not isinstance(token.header, dict) or not isinstance(token.claims, dict):
            raise ValueError
    except ValueError:
        raise BadToken("The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)") from None
    return token


def verify(token: Token, keys: Sequence[Any]) -> None:
    """`keys` are those of a JWKS. The algorithm is the token's, the key must be one of that algorithm; "none" and shared secrets never hold."""
    algorithm, key_id = token.header.get("alg"), token.header.get("kid")
    if algorithm not in _ALGORITHMS:
        raise BadToken(f"The algorithm of the token is not supported: {str(algorithm)[:20]}")
    fitting = [
        key for key in keys if isinstance(key, dict) and (key_id is None or key.get("kid") == key_id) and key.get("use", "sig") == "sig"
    ]
    for key in fitting:
        try:
            _check(algorithm, key, token)
            return
        except (InvalidSignature, ValueError, KeyError, TypeError):
            continue
    raise BadToken("Couldn't verify the signature of the token with the keys of its provider")


def _check(algorithm: str, key: Mapping[str, Any], token: Token) -> None:
    digest = _HASHES[algorithm[2:]]()
    if algorithm.startswith("RS"):
        public = rsa.RSAPublicNumbers(_number(key["e"]), _number(key["n"])).public_key()
        if key["kty"] != "RSA" or public.key_size < LEAST_RSA_BITS:
            raise ValueError
        public.verify(token.signature, token.signed, padding.PKCS1v15(), digest)
        return
    name, curve, size = _CURVES[algorithm]
    if key["kty"] != "EC" or key["crv"] != name or len(token.signature) != 2 * size:
        raise ValueError
    point = ec.EllipticCurvePublicNumbers(_number(key["x"]), _number(key["y"]), curve()).public_key()
    r, s = (int.from_bytes(half, "big") for half in (token.signature[:size], token.signature[size:]))
    point.verify(encode_dss_signature(r, s), token.signed, ec.ECDSA(digest))


def _bytes(text: str) -> bytes:
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/") + "=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        raise ValueError from None


def _number(text: str) -> int:
    return int.from_bytes(_bytes(text), "big")
