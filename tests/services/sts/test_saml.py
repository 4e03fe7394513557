"""AssumeRoleWithSAML: responses signed as an identity provider signs them, with the canonical form of Python's own library, and every way to forge one."""

from __future__ import annotations

import base64
import hashlib
import re
import xml.etree.ElementTree as ET
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from modelyard.kernel.clock import real_now
from modelyard.kernel.errors import ApiError
from modelyard.kernel.identity import ANONYMOUS
from modelyard.services.sts.saml_response import ASSERTION, BadResponse, assertion, metadata
from modelyard.services.sts.xml_tree import BadXml, canonical, parse
from tests.services.iam.conftest import ACCOUNT, Yard, allow, policy

KEY, OTHER = rsa.generate_private_key(65537, 2048), rsa.generate_private_key(65537, 2048)
PROVIDER, ROLE = f"arn:aws:iam::{ACCOUNT}:saml-provider/Corp", f"arn:aws:iam::{ACCOUNT}:role/Lab"
SIGNIN = "https://signin.aws.amazon.com/saml"
EXCLUSIVE, DS = "http://www.w3.org/2001/10/xml-exc-c14n#", "http://www.w3.org/2000/09/xmldsig#"


def certificate() -> str:
    name, day = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "corp")]), datetime(2020, 1, 1)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(KEY.public_key()).serial_number(1)
    signed = made.not_valid_before(day).not_valid_after(day.replace(year=2021)).sign(KEY, SHA256())
    return base64.b64encode(signed.public_bytes(Encoding.DER)).decode()


METADATA = (
    '<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://idp.corp.example">'
    f'<md:IDPSSODescriptor><md:KeyDescriptor use="signing"><ds:KeyInfo xmlns:ds="{DS}"><ds:X509Data><ds:X509Certificate>'
    f"{certificate()}</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor></md:IDPSSODescriptor></md:EntityDescriptor>"
)


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(real_now() + seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def attribute(name: str, *values: str) -> str:
    told = "".join(f'<saml:AttributeValue xsi:type="xs:string">{value}</saml:AttributeValue>' for value in values)
    return f'<saml:Attribute Name="https://aws.amazon.com/SAML/Attributes/{name}">{told}</saml:Attribute>'


def unsigned(
    more: str = "", *, name: str = "ann", audience: str = "urn:amazon:webservices", recipient: str = SIGNIN, issued: float = 0.0,
    until: float = 300.0, issuer: str = "https://idp.corp.example", session: str = "", role: str = f"{ROLE},{PROVIDER}", ID: str = "_a",
) -> str:  # fmt: skip
    return (
        '<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" xmlns:xs="http://www.w3.org/2001/XMLSchema" '
        f'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" Version="2.0" ID="{ID}" IssueInstant="{moment(issued)}">\r\n'
        f"<saml:Issuer>{issuer}</saml:Issuer><saml:Subject>"
        f'<saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">{name}@corp &amp; co</saml:NameID>'
        f'<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData NotOnOrAfter="{moment(until)}" '
        f'Recipient="{recipient}"/></saml:SubjectConfirmation></saml:Subject>'
        f'<saml:Conditions NotBefore="{moment(issued)}" NotOnOrAfter="{moment(until)}"><saml:AudienceRestriction>'
        f"<saml:Audience>{audience}</saml:Audience></saml:AudienceRestriction></saml:Conditions>"
        f'<saml:AuthnStatement AuthnInstant="{moment(issued)}"{session}/><saml:AttributeStatement>'
        f"{attribute('Role', role) if role else ''}{attribute('RoleSessionName', name) if name else ''}{more}"
        "</saml:AttributeStatement></saml:Assertion>"
    )


def signature(text: str, key: rsa.RSAPrivateKey = KEY, names: str = "", ID: str = "_a", method: str = EXCLUSIVE) -> str:
    digest = base64.b64encode(hashlib.sha256(ET.canonicalize(text).encode()).digest()).decode()
    info = (
        f'<ds:SignedInfo xmlns:ds="{DS}"><ds:CanonicalizationMethod Algorithm="{EXCLUSIVE}"/>'
        f'<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"/><ds:Reference URI="#{ID}"><ds:Transforms>'
        f'<ds:Transform Algorithm="{DS}enveloped-signature"/><ds:Transform Algorithm="{method}"/></ds:Transforms>'
        f'<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"/><ds:DigestValue>{digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>'
    )
    value = base64.b64encode(key.sign(ET.canonicalize(info).encode(), padding.PKCS1v15(), SHA256())).decode()
    return f'<ds:Signature xmlns:ds="{DS}">{info}<ds:SignatureValue>\n{value}\n</ds:SignatureValue></ds:Signature>'


def signed(text: str, **more: Any) -> str:
    return text.replace("</saml:Issuer>", f"</saml:Issuer>{signature(text, **more)}", 1)


def response(*inside: str) -> str:
    begin = '<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="_r" Version="2.0">'
    return f"<?xml version='1.0'?>\n{begin}{''.join(inside)}</samlp:Response>"


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    yard = Yard(tmp_path)
    made = yard("iam", "CreateSAMLProvider", Name="Corp", SAMLMetadataDocument=METADATA.ljust(1000))
    assert made["SAMLProviderArn"] == PROVIDER
    trust = {
        "Effect": "Allow",
        "Principal": {"Federated": PROVIDER},
        "Action": ["sts:AssumeRoleWithSAML", "sts:TagSession", "sts:SetSourceIdentity"],
        "Condition": {"StringEquals": {"saml:aud": SIGNIN, "saml:doc": f"{ACCOUNT}/Corp"}},
    }
    yard("iam", "CreateRole", RoleName="Lab", AssumeRolePolicyDocument=policy(trust), MaxSessionDuration=7200)
    mine = allow("s3:GetObject", "arn:aws:s3:::lab/${aws:PrincipalTag/team}/*")
    yard("iam", "PutRolePolicy", RoleName="Lab", PolicyName="p", PolicyDocument=policy(mine))
    return yard


def enter(yard: Yard, text: str, role: str = ROLE, provider: str = PROVIDER, **more: Any) -> dict[str, Any]:
    said = base64.b64encode(text.encode()).decode()
    return yard("sts", "AssumeRoleWithSAML", ANONYMOUS, RoleArn=role, PrincipalArn=provider, SAMLAssertion=said, **more)


def refusal(yard: Yard, text: str, **more: Any) -> tuple[str, str]:
    with pytest.raises(ApiError) as caught:
        enter(yard, text, **more)
    return caught.value.code, caught.value.message


def test_a_response_that_holds(yard: Yard) -> None:
    tags = attribute("PrincipalTag:team", "red") + attribute("SourceIdentity", "ann") + attribute("TransitiveTagKeys", "team")
    got = enter(yard, response(signed(unsigned(tags))))
    assert got["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/Lab/ann"
    told = (got["Subject"], got["SubjectType"], got["Issuer"], got["Audience"], got["SourceIdentity"])
    assert told == ("ann@corp & co", "persistent", "https://idp.corp.example", SIGNIN, "ann")
    named = hashlib.sha1(f"https://idp.corp.example{ACCOUNT}/Corp".encode()).digest()
    assert got["NameQualifier"] == base64.b64encode(named).decode()
    assert got["Credentials"]["Expiration"] == yard.clock.now() + 3600
    key = got["Credentials"]["AccessKeyId"]
    yard.authorize(key, "s3", "GetObject", Bucket="lab", Key="red/x")
    with pytest.raises(ApiError):
        yard.authorize(key, "s3", "GetObject", Bucket="lab", Key="blue/x")


def test_the_whole_response_may_be_signed(yard: Yard) -> None:
    text = response(unsigned()).partition("\n")[2]
    assert enter(yard, text.replace("<saml:Assertion", signature(text, ID="_r") + "<saml:Assertion", 1))["Subject"] == "ann@corp & co"


def test_how_long(yard: Yard) -> None:
    ends = partial(lambda text, **more: enter(yard, text, **more)["Credentials"]["Expiration"] - yard.clock.now())
    assert ends(response(signed(unsigned(attribute("SessionDuration", "5400"))))) == 5400
    assert ends(response(signed(unsigned(attribute("SessionDuration", "5400")))), DurationSeconds=1000) == 1000
    assert 600 < ends(response(signed(unsigned(session=f' SessionNotOnOrAfter="{moment(1200)}"')))) <= 1200
    assert "MaxSessionDuration" in refusal(yard, response(signed(unsigned())), DurationSeconds=7201)[1]
    assert refusal(yard, response(signed(unsigned(attribute("SessionDuration", "60")))))[0] == "InvalidIdentityToken"


INVALID = ("InvalidIdentityToken", "Response signature invalid")


def forged() -> dict[str, str]:
    """What somebody makes who has one good response (of ann), and not the key."""
    good, mine = signed(unsigned()), unsigned(name="root", ID="_b")
    only_mine = re.sub("<ds:Signature.*</ds:Signature>", "", good, flags=re.DOTALL).replace("ann", "root")
    mark = re.search("<ds:Signature.*</ds:Signature>", good, re.DOTALL)[0]
    return {
        "not signed": response(unsigned()),
        "changed": response(good.replace(">ann<", ">root<")),
        "another key": response(signed(unsigned(), key=OTHER)),
        "the signature of another": response(mine.replace("</saml:Issuer>", f"</saml:Issuer>{mark}", 1)),
        "beside the good one": response(mine, good),
        "around the good one": response(mine.replace("</saml:Issuer>", f"</saml:Issuer>{mark}<x>{good}</x>", 1)),
        "of the same ID": response(only_mine.replace("</saml:Issuer>", f"</saml:Issuer>{mark}", 1), f"<x>{good}</x>"),
        "twice signed": response(good.replace("</saml:Issuer>", f"</saml:Issuer>{mark}", 1)),
        "the good one within the signature": response(
            mine.replace(
                "</saml:Issuer>", "</saml:Issuer>" + mark.replace("</ds:Signature>", f"<ds:Object>{good}</ds:Object></ds:Signature>"), 1
            )
        ),
        "inclusive form": response(signed(unsigned(), method="http://www.w3.org/TR/2001/REC-xml-c14n-20010315")),
        "with a DTD": response(good).replace("\n", '<!DOCTYPE x [<!ENTITY a "root">]>', 1),
        "no response": good,
        "no XML": "hello",
    }


@pytest.mark.parametrize("way", forged())
def test_forged_responses(yard: Yard, way: str) -> None:
    code, message = refusal(yard, forged()[way])
    assert code == "InvalidIdentityToken" and (message == INVALID[1] or message.startswith("Invalid SAML response"))


def test_a_comment_within_a_name_cuts_nothing_off(yard: Yard) -> None:
    """The canonical form has no comments, so they may be put into what is signed; a reader who stops there would see another name."""
    text = response(signed(unsigned(name="root.evil")).replace(">root.evil<", ">root<!-- -->.evil<"))
    assert enter(yard, text)["AssumedRoleUser"]["Arn"].endswith("/root.evil")


@pytest.mark.parametrize(
    ("wrong", "code", "message"),
    [
        ({"issuer": "https://else"}, "InvalidIdentityToken", "Issuer not present in specified provider"),
        ({"audience": "https://else"}, "InvalidIdentityToken", "Response does not contain the required audience."),
        (
            {"recipient": "https://signin.aws.amazon.com.else/saml"},
            "InvalidIdentityToken",
            "Response does not contain the required recipient.",
        ),
        ({"until": -1.0}, "ExpiredTokenException", "Response has expired"),
        ({"session": ' SessionNotOnOrAfter="2020-01-01T00:00:00Z"'}, "ExpiredTokenException", "Response has expired"),
        ({"issued": -400.0}, "ExpiredTokenException", "Token must be redeemed within 5 minutes of issuance"),
        ({"issued": 900.0, "until": 1200.0}, "InvalidIdentityToken", "Response is not valid yet"),
        ({"name": ""}, "InvalidIdentityToken", "RoleSessionName is required in AuthnResponse"),
        ({"name": "a b"}, "InvalidIdentityToken", "RoleSessionName in AuthnResponse must match [a-zA-Z_0-9+=,.@-]{2,64}"),
        ({"role": ""}, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithSAML"),
        ({"role": f"{ROLE}2,{PROVIDER}"}, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithSAML"),
    ],
)
def test_signed_but_not_good_enough(yard: Yard, wrong: dict[str, Any], code: str, message: str) -> None:
    assert refusal(yard, response(signed(unsigned(**wrong)))) == (code, message)


def test_whom_the_role_trusts(yard: Yard) -> None:
    denied = ("AccessDenied", "Not authorized to perform sts:AssumeRoleWithSAML")
    trust = {"Effect": "Allow", "Principal": {"Federated": PROVIDER}, "Action": "sts:AssumeRoleWithSAML"}
    narrow = {**trust, "Condition": {"StringEquals": {"saml:sub": "bob@corp & co"}}}
    for name, statement in (("Others", narrow), ("NoTags", trust)):
        yard("iam", "CreateRole", RoleName=name, AssumeRolePolicyDocument=policy(statement))
    other, plain = (f"arn:aws:iam::{ACCOUNT}:role/{name}" for name in ("Others", "NoTags"))
    assert refusal(yard, response(signed(unsigned(role=f"{PROVIDER}, {other}"))), role=other) == denied
    assert enter(yard, response(signed(unsigned(role=f"{PROVIDER}, {plain}"))), role=plain)
    tagged = unsigned(attribute("PrincipalTag:team", "red"), role=f"{PROVIDER},{plain}")
    assert refusal(yard, response(signed(tagged)), role=plain) == denied  # it may not tag sessions
    missing = ROLE.replace("Lab", "None")
    assert refusal(yard, response(signed(unsigned(role=f"{missing},{PROVIDER}"))), role=missing) == denied
    assert refusal(yard, response(signed(unsigned())), provider=f"{PROVIDER}2")[1] == "Specified provider doesn't exist"


def test_encrypted_assertions_are_refused_in_plain_words() -> None:
    with pytest.raises(BadResponse, match="keeps no private key"):
        assertion(response('<e:EncryptedAssertion xmlns:e="urn:oasis:names:tc:SAML:2.0:assertion"/>').encode(), metadata(METADATA))


def test_the_canonical_form() -> None:
    """As the specification's examples have it: attributes by namespace, no unused declarations, characters as references."""
    text = '<a:x xmlns:a="urn:a" xmlns:b="urn:b" xmlns="urn:d" b:z="1" c="&lt;&#9;&quot;" a:y="2"><y xmlns=""/><!-- no --><b:w>\r\n&gt;&#13;]</b:w></a:x>'
    assert canonical(parse(text)).decode() == (
        '<a:x xmlns:a="urn:a" xmlns:b="urn:b" c="&lt;&#x9;&quot;" a:y="2" b:z="1"><y></y><b:w>\n&gt;&#xD;]</b:w></a:x>'
    )
    inner = parse(text).elements()[1]
    assert canonical(inner).startswith(b'<b:w xmlns:b="urn:b">')
    assert canonical(inner, inclusive=frozenset({"a", ""})).startswith(b'<b:w xmlns="urn:d" xmlns:a="urn:a" xmlns:b="urn:b">')
    for wrong in ("<a:x/>", "<x>" * 70 + "</x>" * 70, "<x><?php ?></x>", "<x"):
        with pytest.raises(BadXml):
            parse(wrong)
    assert parse("<x xmlns='urn:oasis:names:tc:SAML:2.0:assertion'/>").namespace == ASSERTION
