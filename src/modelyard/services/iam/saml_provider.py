"""SAML providers: their metadata is checked and recorded; `sts/saml.py` believes what their keys signed."""

from __future__ import annotations

import uuid
import xml.etree.ElementTree as ET
from datetime import datetime
from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.kernel.store import Taken
from modelyard.services.iam import api, names
from modelyard.services.iam.checks import find, list_tags, new_tags, quota, save, tag, tag_list, untag

_METADATA = "{urn:oasis:names:tc:SAML:2.0:metadata}"
_CENTURY_S = 100 * 365.25 * 86_400


def _valid_until(text: str, now: float) -> float:
    """When the metadata ends; raises InvalidInput where they are none. Documents with entities of their own are refused unread."""
    unreadable = api.error.InvalidInputException("Could not parse metadata")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise unreadable
    try:
        root = ET.fromstring(text)
        entity = root if root.tag == f"{_METADATA}EntityDescriptor" else root.find(f".//{_METADATA}EntityDescriptor")
        if entity is None or not entity.get("entityID") or entity.find(f".//{_METADATA}IDPSSODescriptor") is None:
            raise unreadable
        until = entity.get("validUntil") or root.get("validUntil")
        return datetime.fromisoformat(until.replace("Z", "+00:00")).timestamp() if until else now + _CENTURY_S
    except (ET.ParseError, ValueError):
        raise unreadable


def _find(call: Call, arn: str) -> Record:
    if ":saml-provider/" not in arn:
        raise api.error.InvalidInputException(f"Invalid ARN:  {arn} is not a SAML provider.")
    return find(call, names.SAML_PROVIDER, arn.rsplit("/", 1)[-1], f"Manifest not found for arn {arn}")


def _no_encryption(request: dict[str, Any]) -> None:
    for member in ("AssertionEncryptionMode", "AddPrivateKey", "RemovePrivateKey"):
        if request.get(member):
            raise api.error.InvalidInputException(f"{member} is not built: Modelyard takes signed assertions, no encrypted ones.")


@api.operation
def create_saml_provider(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    _no_encryption(request)
    name, text = request["Name"], request["SAMLMetadataDocument"]
    spec = {"Metadata": text, "ValidUntil": _valid_until(text, call.now()), "UUID": str(uuid.uuid4())}
    arn = f"arn:aws:iam::{call.account}:saml-provider/{name}"
    quota(call, names.SAML_PROVIDER, 100, "SAMLProviders")
    try:
        record = call.store.create(
            names.SAML_PROVIDER, account=call.account, region=names.GLOBAL, name=name, arn=arn, spec=spec, tags=new_tags(request)
        )
    except Taken:
        raise api.error.EntityAlreadyExistsException(f"SAML Provider with name {name} already exists.")
    tags = tag_list(call, record)
    return {"SAMLProviderArn": arn, **({"Tags": tags} if tags else {})}


@api.operation
def get_saml_provider(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    record = _find(call, request["SAMLProviderArn"])
    tags = tag_list(call, record)
    return {
        "SAMLProviderUUID": record.spec["UUID"],
        "SAMLMetadataDocument": record.spec["Metadata"],
        "CreateDate": record.created_at,
        "ValidUntil": record.spec["ValidUntil"],
        **({"Tags": tags} if tags else {}),
    }


@api.operation
def list_saml_providers(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    records = call.store.list(names.SAML_PROVIDER.kind, call.account, names.GLOBAL, order_by="name")
    return {"SAMLProviderList": [{"Arn": r.arn, "ValidUntil": r.spec["ValidUntil"], "CreateDate": r.created_at} for r in records]}


@api.operation
def update_saml_provider(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    _no_encryption(request)
    arn, text = request["SAMLProviderArn"], request.get("SAMLMetadataDocument")
    wanted = {"Metadata": text, "ValidUntil": _valid_until(text, call.now())} if text else {}
    return {"SAMLProviderArn": save(call, lambda: _find(call, arn), lambda record: wanted).arn}


@api.operation
def delete_saml_provider(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    call.store.delete(_find(call, request["SAMLProviderArn"]))
    return {}


# --- tags --------------------------------------------------------------------------------------------


@api.operation
def tag_saml_provider(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return tag(call, lambda: _find(call, request["SAMLProviderArn"]), request)


@api.operation
def untag_saml_provider(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return untag(call, lambda: _find(call, request["SAMLProviderArn"]), request)


@api.operation
def list_saml_provider_tags(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return list_tags(call, _find(call, request["SAMLProviderArn"]), request)
