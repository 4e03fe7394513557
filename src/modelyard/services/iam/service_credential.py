"""Service-specific credentials: a name and a password of a user for one service (HTTPS Git of CodeCommit). The password is shown once."""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.identity import Principal
from modelyard.kernel.platform import Platform
from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.services.iam import api, keys, names, passwords
from modelyard.services.iam.checks import save
from modelyard.services.iam.pages import page
from modelyard.services.iam.user import find_user, own_name

PER_SERVICE = 2
WITH_NAME = ("codecommit.amazonaws.com", "cassandra.amazonaws.com")
WITH_SECRET = ("bedrock.amazonaws.com",)
DAY_S = 86_400.0


def _digest(password: str) -> str:
    """These passwords are 256 random bits: a plain hash is as good as a slow one, and Git asks with each request."""
    return sha256(password.encode()).hexdigest()


def verify(platform: Platform, service: str, user_name: str, password: str) -> Principal | None:
    """Whose credential of `service` this is; None: nobody's, or it is not active. For the services that take such passwords."""
    for record in platform.store.list(names.SERVICE_CREDENTIAL.kind):
        spec = record.spec
        if spec["ServiceName"] != service or spec["ServiceUserName"] != user_name or spec["Status"] != "Active":
            continue
        if spec.get("ExpirationDate") is not None and platform.clock.now() >= spec["ExpirationDate"]:
            continue
        user = platform.store.by_uid(record.owner or "")
        if user is not None and hmac.compare_digest(spec["Digest"], _digest(password)):
            return Principal("user", user.account, user.arn, user.spec["UserId"])
    return None


def _describe(user: Record, record: Record, password: str | None = None) -> dict[str, Any]:
    spec = record.spec
    secret = spec["ServiceName"] in WITH_SECRET
    told = {
        "UserName": user.name,
        "Status": spec["Status"],
        "ServiceCredentialAlias" if secret else "ServiceUserName": spec["ServiceUserName"],
        "CreateDate": spec["CreateDate"],
        "ServiceSpecificCredentialId": record.name,
        "ServiceName": spec["ServiceName"],
    }
    if spec.get("ExpirationDate") is not None:
        told["ExpirationDate"] = spec["ExpirationDate"]
    if password is not None:
        told["ServiceCredentialSecret" if secret else "ServicePassword"] = password
    return told


def _known(service: str) -> None:
    if service not in WITH_NAME + WITH_SECRET:
        raise api.error.NoSuchEntityException(f"No such service {service} is supported for Service Specific Credentials")


def _find(call: Call, user: Record, key: str) -> Record:
    record = call.store.get(names.SERVICE_CREDENTIAL.kind, call.account, names.GLOBAL, key)
    if record is None or record.owner != user.uid:
        raise api.error.NoSuchEntityException(f"No such credential {key} exists")
    return record


@api.operation
def create_service_specific_credential(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    service = request["ServiceName"]
    user = find_user(call, request["UserName"])
    _known(service)
    days = request.get("CredentialAgeDays")
    if days is not None and service not in WITH_SECRET:
        raise ApiError("ValidationError", f"CredentialAgeDays is not supported for {service}.", 400)
    mine = call.store.children(user.uid, names.SERVICE_CREDENTIAL.kind)
    have = {one.spec["ServiceUserName"] for one in mine if one.spec["ServiceName"] == service}
    if len(have) >= PER_SERVICE:
        raise api.error.LimitExceededException(f"Cannot exceed quota for ServiceSpecificCredentialsPerUser: {PER_SERVICE}")
    name = next(n for number in range(3) if (n := f"{user.name}{f'+{number}' if number else ''}-at-{call.account}") not in have)
    password = passwords.generated()
    key = keys.unique_id("ACCA")
    record = call.store.create(
        names.SERVICE_CREDENTIAL,
        account=call.account,
        region=names.GLOBAL,
        name=key,
        arn=f"{user.arn}/{key}",
        spec={
            "ServiceName": service,
            "ServiceUserName": name,
            "Status": "Active",
            "Digest": _digest(password),
            "CreateDate": call.now(),
            **({"ExpirationDate": call.now() + days * DAY_S} if days is not None else {}),
        },
        owner=user.uid,
    )
    return {"ServiceSpecificCredential": _describe(user, record, password)}


@api.operation
def list_service_specific_credentials(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    service = request.get("ServiceName")
    if service is not None:
        _known(service)
    if request.get("AllUsers"):
        users = call.store.list(names.USER.kind, call.account, names.GLOBAL, order_by="name")
    else:
        users = [find_user(call, own_name(call, request))]
    found = [(user, one) for user in users for one in call.store.children(user.uid, names.SERVICE_CREDENTIAL.kind)]
    found = sorted((pair for pair in found if service in (None, pair[1].spec["ServiceName"])), key=lambda pair: pair[1].name)
    shown, more = page(found, request, lambda pair: pair[1].name)
    # AWS tells IsTruncated of this list only where it is.
    return {"ServiceSpecificCredentials": [_describe(*pair) for pair in shown], **(more if more["IsTruncated"] else {})}


@api.operation
def update_service_specific_credential(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    user = find_user(call, own_name(call, request))
    wanted = {"Status": request["Status"]}
    save(call, lambda: _find(call, user, request["ServiceSpecificCredentialId"]), lambda record: wanted)
    return {}


@api.operation
def reset_service_specific_credential(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    """A new password; the old one is worthless at once."""
    user = find_user(call, own_name(call, request))
    password = passwords.generated()
    wanted = {"Digest": _digest(password)}
    record = save(call, lambda: _find(call, user, request["ServiceSpecificCredentialId"]), lambda record: wanted)
    return {"ServiceSpecificCredential": _describe(user, record, password)}


@api.operation
def delete_service_specific_credential(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    user = find_user(call, own_name(call, request))
    call.store.delete(_find(call, user, request["ServiceSpecificCredentialId"]))
    return {}
