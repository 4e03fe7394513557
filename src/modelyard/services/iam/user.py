"""Users: create, get, list, update, tags, permissions boundary, delete."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.kernel.store import Taken
from modelyard.services.iam import api, keys, names
from modelyard.services.iam.checks import boundary_field, boundary_of, find, save, tag_list, tags_of, taken
from modelyard.services.iam.pages import page


def find_user(call: Call, name: str) -> Record:
    return find(call, names.USER, name, f"The user with name {name} cannot be found.")


def own_name(call: Call, request: dict[str, Any]) -> str:
    """The named user, or the calling one where the request names none."""
    if request.get("UserName"):
        return request["UserName"]
    if call.principal.kind != "user":
        raise ApiError("ValidationError", "Must specify userName when calling with non-User credentials", 400)
    return call.principal.arn.rsplit("/", 1)[-1]


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
    try:
        record = call.store.create(
            names.USER, account=call.account, region=names.GLOBAL, name=name, arn=arn, spec=spec, tags=tags_of(request)
        )
    except Taken:
        raise api.error.EntityAlreadyExistsException(message)
    return {"User": describe_whole(call, record)}


@api.operation
def get_user(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    if not request.get("UserName") and call.principal.kind == "root":
        account = call.store.get(names.ACCOUNT.kind, call.account, names.GLOBAL, call.account)
        created = account.created_at if account else 0.0
        return {
            "User": {"Path": "/", "UserName": "root", "UserId": call.account, "Arn": names.root_arn(call.account), "CreateDate": created}
        }
    return {"User": describe_whole(call, find_user(call, own_name(call, request)))}


@api.operation
def list_users(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    prefix = request.get("PathPrefix", "/")
    records = call.store.list(names.USER.kind, call.account, names.GLOBAL, order_by="name")
    shown, more = page([r for r in records if r.spec["Path"].startswith(prefix)], request, lambda r: r.name)
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
    if call.store.children(record.uid, names.ACCESS_KEY.kind):
        raise api.error.DeleteConflictException("Cannot delete entity, must delete access keys first.")
    call.store.delete(record)
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
    record = find_user(call, request["UserName"])
    call.store.set_tags(record.arn, tags_of(request))
    save(call, lambda: find_user(call, request["UserName"]), lambda record: {})
    return {}


@api.operation
def untag_user(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    record = find_user(call, request["UserName"])
    call.store.remove_tags(record.arn, request["TagKeys"])
    save(call, lambda: find_user(call, request["UserName"]), lambda record: {})
    return {}


@api.operation
def list_user_tags(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    shown, more = page(tag_list(call, find_user(call, request["UserName"])), request, lambda tag: tag["Key"])
    return {"Tags": shown, **more}
