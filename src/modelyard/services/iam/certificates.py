"""Reading X.509 certificates that are handed in."""

from __future__ import annotations

from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as s

from modelyard.services.iam import api


def certificate(body: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(body.strip().encode())
    except ValueError:
        raise api.error.MalformedCertificateException("Unable to parse certificate. Please ensure the certificate is in PEM format.")


def chain(body: str) -> None:
    try:
        x509.load_pem_x509_certificates(body.strip().encode())
    except ValueError:
        raise api.error.MalformedCertificateException(
            "Unable to parse certificate chain. Please ensure the certificates are in PEM format."
        )


def matching_key(found: x509.Certificate, private_key: str) -> None:
    """Raises unless it is the certificate's own key. Neither the key nor what is wrong with it is told."""
    try:
        key: Any = s.load_pem_private_key(private_key.strip().encode(), None)
        same = _public(key.public_key()) == _public(found.public_key())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise api.error.MalformedCertificateException(
            "Unable to parse key. Please ensure the key is an unencrypted private key in PEM format."
        )
    if not same:
        raise api.error.KeyPairMismatchException("Private key does not match certificate.")


def _public(key: Any) -> bytes:
    return key.public_bytes(s.Encoding.DER, s.PublicFormat.SubjectPublicKeyInfo)
