"""X.509 signing certificates of users: recorded, two at most."""

from __future__ import annotations

import secrets
from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.services.iam import api, certificates, names
from modelyard.services.iam.checks import save_status
from modelyard.services.iam.pages import page
from modelyard.services.iam.user import find_user, is_root_itself, own_name

MAX_CERTIFICATES = 2
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"


def _describe(user: Record, record: Record) -> dict[str, Any]:
    spec = {"CertificateBody": record.spec["Body"], "Status": record.spec["Status"]}
    return {"UserName": user.name, "CertificateId": record.name, **spec, "UploadDate": record.created_at}


def _find(call: Call, user: Record, name: str) -> Record:
    record = call.store.get(names.SIGNING_CERTIFICATE.kind, call.account, names.GLOBAL, name)
    if record is None or record.owner != user.uid:
        raise api.error.NoSuchEntityException(f"The Certificate with id {name} cannot be found.")
    return record


@api.operation
def upload_signing_certificate(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    user, body = find_user(call, own_name(call, request)), request["CertificateBody"]
    certificates.certificate(body)
    mine = call.store.children(user.uid, names.SIGNING_CERTIFICATE.kind)
    if any(one.spec["Body"].strip() == body.strip() for one in mine):
        raise api.error.DuplicateCertificateException("The certificate is already associated with this user.")
    if len(mine) >= MAX_CERTIFICATES:
        raise api.error.LimitExceededException(f"Cannot exceed quota for CertificatesPerUser: {MAX_CERTIFICATES}")
    name = "".join(secrets.choice(_LETTERS) for _ in range(32))
    spec = {"Body": body, "Status": "Active"}
    record = call.store.create(
        names.SIGNING_CERTIFICATE, account=call.account, region=names.GLOBAL, name=name, arn=f"{user.arn}/{name}", spec=spec, owner=user.uid
    )
    return {"Certificate": _describe(user, record)}


@api.operation
def list_signing_certificates(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    if is_root_itself(call, request):
        return {"Certificates": [], "IsTruncated": False}
    user = find_user(call, own_name(call, request))
    shown, more = page(call.store.children(user.uid, names.SIGNING_CERTIFICATE.kind), request, lambda record: record.name)
    return {"Certificates": [_describe(user, record) for record in shown], **more}


@api.operation
def update_signing_certificate(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    user = find_user(call, own_name(call, request))
    save_status(call, lambda: _find(call, user, request["CertificateId"]), request["Status"])
    return {}


@api.operation
def delete_signing_certificate(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    user = find_user(call, own_name(call, request))
    call.store.delete(_find(call, user, request["CertificateId"]))
    return {}
