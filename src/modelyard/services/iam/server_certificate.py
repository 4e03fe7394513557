"""Server certificates: recorded, with their keys sealed. No operation answers a private key."""

from __future__ import annotations

import base64
from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.kernel.store import Taken
from modelyard.services.iam import api, certificates, keys, names
from modelyard.services.iam.checks import find, list_tags, new_tags, quota, rename, tag, tag_list, untag
from modelyard.services.iam.pages import page
from modelyard.services.iam.vault import Vault


def _find(call: Call, name: str) -> Record:
    return find(call, names.SERVER_CERTIFICATE, name, f"The Server Certificate with name {name} cannot be found.")


def _describe(record: Record) -> dict[str, Any]:
    return {
        "Path": record.spec["Path"],
        "ServerCertificateName": record.name,
        "ServerCertificateId": record.spec["ServerCertificateId"],
        "Arn": record.arn,
        "UploadDate": record.created_at,
        "Expiration": record.spec["Expiration"],
    }


@api.operation
def upload_server_certificate(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    name, path = request["ServerCertificateName"], request.get("Path", "/")
    found = certificates.certificate(request["CertificateBody"])
    certificates.matching_key(found, request["PrivateKey"])
    if request.get("CertificateChain"):
        certificates.chain(request["CertificateChain"])
    arn = names.arn(call.account, "server-certificate", path, name)
    sealed = Vault(call.platform.settings.secrets).seal(request["PrivateKey"], arn)
    spec = {
        "Path": path,
        "ServerCertificateId": keys.unique_id("ASCA"),
        "Body": request["CertificateBody"],
        "Chain": request.get("CertificateChain", ""),
        "Key": base64.b64encode(sealed).decode(),
        "SealedFor": arn,
        "Expiration": found.not_valid_after_utc.timestamp(),
    }
    quota(call, names.SERVER_CERTIFICATE, 20, "ServerCertificates")
    try:
        record = call.store.create(
            names.SERVER_CERTIFICATE, account=call.account, region=names.GLOBAL, name=name, arn=arn, spec=spec, tags=new_tags(request)
        )
    except Taken:
        raise api.error.EntityAlreadyExistsException(f"The Server Certificate with name {name} already exists.")
    tags = tag_list(call, record)
    return {"ServerCertificateMetadata": _describe(record), **({"Tags": tags} if tags else {})}


@api.operation
def get_server_certificate(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    record = _find(call, request["ServerCertificateName"])
    told: dict[str, Any] = {"ServerCertificateMetadata": _describe(record), "CertificateBody": record.spec["Body"]}
    if record.spec["Chain"]:
        told["CertificateChain"] = record.spec["Chain"]
    tags = tag_list(call, record)
    return {"ServerCertificate": {**told, **({"Tags": tags} if tags else {})}}


@api.operation
def list_server_certificates(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    prefix = request.get("PathPrefix", "/")
    records = call.store.list(names.SERVER_CERTIFICATE.kind, call.account, names.GLOBAL, order_by="name")
    shown, more = page([r for r in records if r.spec["Path"].startswith(prefix)], request, lambda r: r.name)
    return {"ServerCertificateMetadataList": [_describe(record) for record in shown], **more}


@api.operation
def update_server_certificate(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    name, path = request.get("NewServerCertificateName"), request.get("NewPath")
    rename(call, lambda: _find(call, request["ServerCertificateName"]), "server-certificate", name, path, "The Server Certificate")
    return {}


@api.operation
def delete_server_certificate(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    call.store.delete(_find(call, request["ServerCertificateName"]))
    return {}


# --- tags --------------------------------------------------------------------------------------------


@api.operation
def tag_server_certificate(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return tag(call, lambda: _find(call, request["ServerCertificateName"]), request)


@api.operation
def untag_server_certificate(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return untag(call, lambda: _find(call, request["ServerCertificateName"]), request)


@api.operation
def list_server_certificate_tags(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return list_tags(call, _find(call, request["ServerCertificateName"]), request)
