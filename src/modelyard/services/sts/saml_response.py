"""Responses of SAML identity providers: the signature checked against the certificates of the provider's metadata, then read.

Source: OASIS SAML 2.0 Core (5.4, signatures: enveloped, exclusive canonical form, one reference, to the signed element itself); W3C XML Signature.
Nothing but what was signed is ever read: the canonical text of the signed element, whose digest was checked, is parsed again and alone
believed. So another assertion beside or around it, a second element of its ID, or comments within a name change nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

from modelyard.services.sts.xml_tree import BadXml, Element, canonical, parse

PROTOCOL, ASSERTION = "urn:oasis:names:tc:SAML:2.0:protocol", "urn:oasis:names:tc:SAML:2.0:assertion"
METADATA, DS = "urn:oasis:names:tc:SAML:2.0:metadata", "http://www.w3.org/2000/09/xmldsig#"
EXCLUSIVE, ENVELOPED = "http://www.w3.org/2001/10/xml-exc-c14n#", f"{DS}enveloped-signature"
_SIGNATURES = {
    f"http://www.w3.org/2001/04/xmldsig-more#rsa-sha{bits}": hash for bits, hash in ((256, SHA256), (384, SHA384), (512, SHA512))
}
_DIGESTS = {
    "http://www.w3.org/2001/04/xmlenc#sha256": "sha256",
    "http://www.w3.org/2001/04/xmldsig-more#sha384": "sha384",
    "http://www.w3.org/2001/04/xmlenc#sha512": "sha512",
}
LEAST_RSA_BITS = 2048


class BadResponse(ValueError):
    """It cannot be believed; the text says why."""


@dataclass(frozen=True)
class Metadata:
    """What a provider says of itself: its name (entityID), and the keys it signs with."""

    entity: str
    keys: tuple[rsa.RSAPublicKey, ...]


@lru_cache(maxsize=64)
def metadata(text: str) -> Metadata:
    root = parse(text)
    entity = next(element for element in root.walk() if element.is_a(METADATA, "EntityDescriptor"))
    certificates = [
        _certificate(found.text)
        for described in entity.find(METADATA, "IDPSSODescriptor")
        for key in described.find(METADATA, "KeyDescriptor")
        if key.attributes.get("use", "signing") == "signing"
        for found in key.walk()
        if found.is_a(DS, "X509Certificate")
    ]
    keys = tuple(key for key in certificates if isinstance(key, rsa.RSAPublicKey) and key.key_size >= LEAST_RSA_BITS)
    return Metadata(entity.attributes["entityID"], keys)


def _certificate(text: str) -> object:
    try:
        return x509.load_der_x509_certificate(base64.b64decode("".join(text.split()))).public_key()
    except (ValueError, binascii.Error):
        return None


def assertion(text: bytes, provider: Metadata) -> Element:
    """The assertion of a response that holds: signed as a whole, or the assertion in it. Raises BadResponse."""
    try:
        root = parse(text)
        if not root.is_a(PROTOCOL, "Response"):
            raise BadResponse("Invalid SAML response: it is none.")
        names = [element.attributes["ID"] for element in root.walk() if "ID" in element.attributes]
        if len(names) != len(set(names)):
            raise BadResponse("Invalid SAML response: two of its elements have the same ID.")
        if root.find(ASSERTION, "EncryptedAssertion"):
            raise BadResponse("Encrypted assertions are not taken: Modelyard keeps no private key of a SAML provider.")
        if root.find(DS, "Signature"):
            return _signed(root, provider).only(ASSERTION, "Assertion")
        return _signed(root.only(ASSERTION, "Assertion"), provider)
    except BadXml as problem:
        raise BadResponse(f"Invalid SAML response: {problem}.") from None


def _signed(element: Element, provider: Metadata) -> Element:
    """The element as it was signed."""
    invalid = BadResponse("Response signature invalid")
    signature = element.only(DS, "Signature")
    by_hand = signature.only(DS, "SignedInfo")
    text = canonical(by_hand, inclusive=_prefixes(by_hand.only(DS, "CanonicalizationMethod")))
    info = parse(text)
    method = info.only(DS, "CanonicalizationMethod").attributes.get("Algorithm")
    hash_ = _SIGNATURES.get(info.only(DS, "SignatureMethod").attributes.get("Algorithm", ""))
    reference = info.only(DS, "Reference")
    steps = reference.only(DS, "Transforms").find(DS, "Transform")
    digest = _DIGESTS.get(reference.only(DS, "DigestMethod").attributes.get("Algorithm", ""))
    name = element.attributes.get("ID", "")
    if method != EXCLUSIVE or hash_ is None or digest is None or not name or reference.attributes.get("URI") != f"#{name}":
        raise invalid
    if [step.attributes.get("Algorithm") for step in steps] != [ENVELOPED, EXCLUSIVE]:
        raise invalid
    try:
        wanted = _bytes(reference.only(DS, "DigestValue").text)
        value = _bytes(signature.only(DS, "SignatureValue").text)
    except binascii.Error:
        raise invalid from None
    if not any(_holds(key, value, text, hash_()) for key in provider.keys):
        raise invalid
    body = canonical(element, without=signature, inclusive=_prefixes(steps[1]))
    if not hmac.compare_digest(hashlib.new(digest, body).digest(), wanted):
        raise invalid
    return parse(body)


def _holds(key: rsa.RSAPublicKey, value: bytes, text: bytes, hash_: SHA256 | SHA384 | SHA512) -> bool:
    try:
        key.verify(value, text, padding.PKCS1v15(), hash_)
    except InvalidSignature:
        return False
    return True


def _prefixes(method: Element) -> frozenset[str]:
    """Prefixes that this canonical form has even where nothing uses them."""
    found = " ".join(child.attributes.get("PrefixList", "") for child in method.find(EXCLUSIVE, "InclusiveNamespaces"))
    return frozenset("" if name == "#default" else name for name in found.split())


def _bytes(text: str) -> bytes:
    return base64.b64decode("".join(text.split()), validate=True)


def attributes(found: Element) -> dict[str, list[str]]:
    """Name → values of an assertion's attributes."""
    values: dict[str, list[str]] = {}
    for one in _attributes(found):
        values.setdefault(one.attributes.get("Name", ""), []).extend(v.text.strip() for v in one.find(ASSERTION, "AttributeValue"))
    return values


def _attributes(found: Element) -> Iterator[Element]:
    for statement in found.find(ASSERTION, "AttributeStatement"):
        yield from statement.find(ASSERTION, "Attribute")
