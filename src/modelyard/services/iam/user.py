"""Users: create, get, list, update, tags, permissions boundary, delete."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.kernel.store import Taken
from modelyard.services.iam import api, keys, names
from modelyard.services.iam.checks import (
    boundary_field,
    boundary_of,
    find,
    list_tags,
    new_tags,
    quota,
    rename,
    save,
    tag,
    tag_list,
    taken,
    untag,
)
from modelyard.services.iam.pages import page

_IN_THE_WAY = {
    names.ACCESS_KEY.kind: "delete access keys",
    names.SIGNING_CERTIFICATE.kind: "delete signing certificates",
    names.SSH_KEY.kind: "delete SSH public keys",
    names.SERVICE_CREDENTIAL.kind: "remove referenced objects",
}


def find_user(call: Call, name: str) -> Record:
    return find(call, names.USER, name, f"The user with name {name} cannot be found.")


def own_name(call: Call, request: dict[str, Any]) -> str:
    """The named user, or the calling one where the request names none."""
    if request.get("UserName"):
        return request["UserName"]
    if call.principal.kind != "user":
        raise ApiError("ValidationError", "Must specify userName when calling with non-User credentials", 400)
    return call.principal.arn.rsplit("/", 1)[-1]


def is_root_itself(call: Call, request: dict[str, Any]) -> bool:
    """Whether the root user asks about itself: what it cannot have here, it has none of."""
    return not request.get("UserName") and call.principal.kind == "root"


def describe(record: Record) -> dict[str, Any]:
    return {
        "Path": record.spec["Path"],
        "UserName": record.name,
        "UserId": record.spec["UserId"],
        "Arn": record.arn,
        "CreateDate": record.created_at,
    }


def describe_whole(call: Call, record: Record) -> dict[str, Any]:
    tags = tag_list(call, record)
    return {**describe(record), **({"Tags": tags} if tags else {}), **boundary_field(record)}


@api.operation
def create_user(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    name, path = request["UserName"], request.get("Path", "/")
    message = f"User with name {name} already exists."
    taken(call, names.USER, name, message)
    spec = {
        "Path": path,
        "UserName": name,
        "UserId": keys.unique_id(keys.USER),
        "Attached": [],
        "Inline": {},
        "Groups": [],
        **boundary_of(call, request),
    }
    arn = names.arn(call.account, "user", path, name)
    quota(call, names.USER, 5000, "Users")
    try:
        record = call.store.create(
            names.USER, account=call.account, region=names.GLOBAL, name=name, arn=arn, spec=spec, tags=new_tags(request)
        )
    except Taken:
        raise api.error.EntityAlreadyExistsException(message)
    return {"User": describe_whole(call, record)}


@api.operation
def get_user(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    if is_root_itself(call, request):
        account = call.store.get(names.ACCOUNT.kind, call.account, names.GLOBAL, call.account)
        created = account.created_at if account else 0.0
        return {
            "User": {"Path": "/", "UserName": "root", "UserId": call.account, "Arn": names.root_arn(call.account), "CreateDate": created}
        }
    return {"User": describe_whole(call, find_user(call, own_name(call, request)))}


@api.operation
def list_users(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    prefix = request.get("PathPrefix", "/")
    records = sorted(call.store.list(names.USER.kind, call.account, names.GLOBAL), key=lambda r: r.name.lower())
    shown, more = page([r for r in records if r.spec["Path"].startswith(prefix)], request, lambda r: r.name.lower())
    return {"Users": [describe(record) for record in shown], **more}


@api.operation
def delete_user(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    record = find_user(call, request["UserName"])
    if record.spec["Groups"]:
        raise api.error.DeleteConflictException("Cannot delete entity, must remove users from group first.")
    if record.spec["Attached"]:
        raise api.error.DeleteConflictException("Cannot delete entity, must detach all policies first.")
    if record.spec["Inline"]:
        raise api.error.DeleteConflictException("Cannot delete entity, must delete policies first.")
    for kind, things in _IN_THE_WAY.items():
        if call.store.children(record.uid, kind):
            raise api.error.DeleteConflictException(f"Cannot delete entity, must {things} first.")
    if record.spec.get("Login"):
        raise api.error.DeleteConflictException("Cannot delete entity, must delete login profile first.")
    if any(d.spec.get("UserId") == record.spec["UserId"] for d in call.store.list(names.MFA_DEVICE.kind, call.account, names.GLOBAL)):
        raise api.error.DeleteConflictException("Cannot delete entity, must delete MFA device first.")
    call.store.delete(record)
    return {}


@api.operation
def update_user(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    """The keys of a user go on under its new name; its sessions of before do not."""
    old = find_user(call, request["UserName"])
    new = rename(call, lambda: find_user(call, old.name), "user", request.get("NewUserName"), request.get("NewPath"), "User")
    credentials = call.platform.identity.credentials
    for key in call.store.children(new.uid, names.ACCESS_KEY.kind):
        if (known := credentials.get(key.name)) is not None:
            credentials.put(replace(known, principal=replace(known.principal, arn=new.arn)))
        save(call, lambda key=key: call.store.by_uid(key.uid) or key, lambda record: {"UserName": new.name})
    for device in call.store.list(names.MFA_DEVICE.kind, call.account, names.GLOBAL):
        if device.spec.get("UserId") == new.spec["UserId"]:
            save(call, lambda device=device: call.store.by_uid(device.uid) or device, lambda record: {"UserName": new.name})
    return {}


@api.operation
def put_user_permissions_boundary(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    wanted = boundary_of(call, request)
    save(call, lambda: find_user(call, request["UserName"]), lambda record: wanted)
    return {}


@api.operation
def delete_user_permissions_boundary(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    save(call, lambda: find_user(call, request["UserName"]), lambda record: {"PermissionsBoundary": None})
    return {}


@api.operation
def tag_user(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return tag(call, lambda: find_user(call, request["UserName"]), request)


@api.operation
def untag_user(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return untag(call, lambda: find_user(call, request["UserName"]), request)


@api.operation
def list_user_tags(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return list_tags(call, find_user(call, request["UserName"]), request)
