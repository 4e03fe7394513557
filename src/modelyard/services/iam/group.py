"""Groups and who is in them. A user's record holds the names of its groups."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.kernel.store import Taken
from modelyard.services.iam import api, keys, names
from modelyard.services.iam.checks import find, save, taken
from modelyard.services.iam.pages import page
from modelyard.services.iam.user import describe as describe_user
from modelyard.services.iam.user import find_user


def find_group(call: Call, name: str) -> Record:
    return find(call, names.GROUP, name, f"The group with name {name} cannot be found.")


def _describe(record: Record) -> dict[str, Any]:
    return {
        "Path": record.spec["Path"],
        "GroupName": record.name,
        "GroupId": record.spec["GroupId"],
        "Arn": record.arn,
        "CreateDate": record.created_at,
    }


def _members(call: Call, group: str) -> list[Record]:
    users = call.store.list(names.USER.kind, call.account, names.GLOBAL, order_by="name")
    return [user for user in users if group in user.spec["Groups"]]


@api.operation
def create_group(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    name, path = request["GroupName"], request.get("Path", "/")
    message = f"Group with name {name} already exists."
    taken(call, names.GROUP, name, message)
    spec = {"Path": path, "GroupName": name, "GroupId": keys.unique_id(keys.GROUP), "Attached": [], "Inline": {}}
    arn = names.arn(call.account, "group", path, name)
    try:
        record = call.store.create(names.GROUP, account=call.account, region=names.GLOBAL, name=name, arn=arn, spec=spec)
    except Taken:
        raise api.error.EntityAlreadyExistsException(message)
    return {"Group": _describe(record)}


@api.operation
def get_group(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    record = find_group(call, request["GroupName"])
    shown, more = page(_members(call, record.name), request, lambda user: user.name)
    return {"Group": _describe(record), "Users": [describe_user(user) for user in shown], **more}


@api.operation
def list_groups(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    prefix = request.get("PathPrefix", "/")
    records = call.store.list(names.GROUP.kind, call.account, names.GLOBAL, order_by="name")
    shown, more = page([r for r in records if r.spec["Path"].startswith(prefix)], request, lambda r: r.name)
    return {"Groups": [_describe(record) for record in shown], **more}


@api.operation
def delete_group(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    record = find_group(call, request["GroupName"])
    if _members(call, record.name):
        raise api.error.DeleteConflictException("Cannot delete entity, must remove users from group first.")
    if record.spec["Attached"]:
        raise api.error.DeleteConflictException("Cannot delete entity, must detach all policies first.")
    if record.spec["Inline"]:
        raise api.error.DeleteConflictException("Cannot delete entity, must delete policies first.")
    call.store.delete(record)
    return {}


@api.operation
def add_user_to_group(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    group = find_group(call, request["GroupName"]).name

    def change(user: Record) -> dict[str, Any]:
        return {"Groups": sorted({*user.spec["Groups"], group})}

    save(call, lambda: find_user(call, request["UserName"]), change)
    return {}


@api.operation
def remove_user_from_group(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    group = find_group(call, request["GroupName"]).name

    def change(user: Record) -> dict[str, Any]:
        if group not in user.spec["Groups"]:
            raise api.error.NoSuchEntityException(f"The user with name {user.name} is not in the group {group}.")
        return {"Groups": [name for name in user.spec["Groups"] if name != group]}

    save(call, lambda: find_user(call, request["UserName"]), change)
    return {}


@api.operation
def list_groups_for_user(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    user = find_user(call, request["UserName"])
    records = [call.store.get(names.GROUP.kind, call.account, names.GLOBAL, name) for name in user.spec["Groups"]]
    shown, more = page([record for record in records if record is not None], request, lambda record: record.name)
    return {"Groups": [_describe(record) for record in shown], **more}
