"""SSH public keys of users, for Git over SSH."""

from __future__ import annotations

import hashlib
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.services.iam import api, keys, names
from modelyard.services.iam.checks import save_status
from modelyard.services.iam.pages import page
from modelyard.services.iam.user import find_user, own_name

MAX_KEYS = 5
_ENCODINGS = {
    "SSH": (s.Encoding.OpenSSH, s.PublicFormat.OpenSSH),
    "PEM": (s.Encoding.PEM, s.PublicFormat.SubjectPublicKeyInfo),
}


def _read(body: str) -> RSAPublicKey:
    text = body.strip().encode()
    try:
        key = s.load_pem_public_key(text) if text.startswith(b"-----BEGIN") else s.load_ssh_public_key(text)
    except (ValueError, UnsupportedAlgorithm):
        raise api.error.InvalidPublicKeyException("The public key is invalid.")
    if not isinstance(key, RSAPublicKey) or key.key_size < 2048:
        raise api.error.InvalidPublicKeyException(
            "The public key must be encoded in ssh-rsa format or PEM format, with at least 2048 bits."
        )
    return key


def _fingerprint(key: RSAPublicKey) -> str:
    digest = hashlib.md5(key.public_bytes(s.Encoding.DER, s.PublicFormat.SubjectPublicKeyInfo), usedforsecurity=False).hexdigest()
    return ":".join(digest[i : i + 2] for i in range(0, 32, 2))


def _describe(user: Record, record: Record) -> dict[str, Any]:
    return {"UserName": user.name, "SSHPublicKeyId": record.name, "Status": record.spec["Status"], "UploadDate": record.created_at}


def _find(call: Call, user: Record, key_id: str) -> Record:
    record = call.store.get(names.SSH_KEY.kind, call.account, names.GLOBAL, key_id)
    if record is None or record.owner != user.uid:
        raise api.error.NoSuchEntityException(f"The Public Key with id {key_id} cannot be found.")
    return record


@api.operation
def upload_ssh_public_key(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    user = find_user(call, request["UserName"])
    key = _read(request["SSHPublicKeyBody"])
    mine = call.store.children(user.uid, names.SSH_KEY.kind)
    if any(one.spec["Fingerprint"] == _fingerprint(key) for one in mine):
        raise api.error.DuplicateSSHPublicKeyException("The SSH public key is already associated with this user.")
    if len(mine) >= MAX_KEYS:
        raise api.error.LimitExceededException(f"Cannot exceed quota for SSHPublicKeysPerUser: {MAX_KEYS}")
    key_id = keys.unique_id("APKA")
    spec = {"Status": "Active", "Body": request["SSHPublicKeyBody"].strip(), "Fingerprint": _fingerprint(key)}
    record = call.store.create(
        names.SSH_KEY, account=call.account, region=names.GLOBAL, name=key_id, arn=f"{user.arn}/{key_id}", spec=spec, owner=user.uid
    )
    return {"SSHPublicKey": {**_describe(user, record), "Fingerprint": spec["Fingerprint"], "SSHPublicKeyBody": spec["Body"]}}


@api.operation
def get_ssh_public_key(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    user = find_user(call, request["UserName"])
    if request["Encoding"] not in _ENCODINGS:
        raise api.error.UnrecognizedPublicKeyEncodingException(f"The encoding {request['Encoding']} is not one of SSH, PEM.")
    record = _find(call, user, request["SSHPublicKeyId"])
    body = _read(record.spec["Body"]).public_bytes(*_ENCODINGS[request["Encoding"]]).decode()
    return {"SSHPublicKey": {**_describe(user, record), "Fingerprint": record.spec["Fingerprint"], "SSHPublicKeyBody": body}}


@api.operation
def list_ssh_public_keys(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    user = find_user(call, own_name(call, request))
    shown, more = page(call.store.children(user.uid, names.SSH_KEY.kind), request, lambda record: record.name)
    return {"SSHPublicKeys": [_describe(user, record) for record in shown], **more}


@api.operation
def update_ssh_public_key(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    user = find_user(call, request["UserName"])
    save_status(call, lambda: _find(call, user, request["SSHPublicKeyId"]), request["Status"])
    return {}


@api.operation
def delete_ssh_public_key(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    user = find_user(call, request["UserName"])
    call.store.delete(_find(call, user, request["SSHPublicKeyId"]))
    return {}
