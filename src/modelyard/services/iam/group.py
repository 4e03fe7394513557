"""Groups and who is in them."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.kernel.store import Taken
from modelyard.services.iam import api, keys, names
from modelyard.services.iam.checks import find, quota, rename, save, taken
from modelyard.services.iam.membership import groups_of, is_in, members
from modelyard.services.iam.pages import page
from modelyard.services.iam.user import describe as describe_user
from modelyard.services.iam.user import find_user

MAX_GROUPS = 10


def find_group(call: Call, name: str) -> Record:
    return find(call, names.GROUP, name, f"The group with name {name} cannot be found.")


def describe(record: Record) -> dict[str, Any]:
    return {
        "Path": record.spec["Path"],
        "GroupName": record.name,
        "GroupId": record.spec["GroupId"],
        "Arn": record.arn,
        "CreateDate": record.created_at,
    }


@api.operation
def create_group(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    name, path = request["GroupName"], request.get("Path", "/")
    message = f"Group with name {name} already exists."
    taken(call, names.GROUP, name, message)
    spec = {"Path": path, "GroupName": name, "GroupId": keys.unique_id(keys.GROUP), "Attached": [], "Inline": {}}
    arn = names.arn(call.account, "group", path, name)
    quota(call, names.GROUP, 300, "Groups")
    try:
        record = call.store.create(names.GROUP, account=call.account, region=names.GLOBAL, name=name, arn=arn, spec=spec)
    except Taken:
        raise api.error.EntityAlreadyExistsException(message)
    return {"Group": describe(record)}


@api.operation
def get_group(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    record = find_group(call, request["GroupName"])
    shown, more = page(members(call.store, record), request, lambda user: user.name)
    return {"Group": describe(record), "Users": [describe_user(user) for user in shown], **more}


@api.operation
def list_groups(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    prefix = request.get("PathPrefix", "/")
    records = sorted(call.store.list(names.GROUP.kind, call.account, names.GLOBAL), key=lambda r: r.name.lower())
    shown, more = page([r for r in records if r.spec["Path"].startswith(prefix)], request, lambda r: r.name.lower())
    return {"Groups": [describe(record) for record in shown], **more}


@api.operation
def delete_group(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    record = find_group(call, request["GroupName"])
    if members(call.store, record):
        raise api.error.DeleteConflictException("Cannot delete entity, must remove users from group first.")
    if record.spec["Attached"]:
        raise api.error.DeleteConflictException("Cannot delete entity, must detach all policies first.")
    if record.spec["Inline"]:
        raise api.error.DeleteConflictException("Cannot delete entity, must delete policies first.")
    call.store.delete(record)
    return {}


@api.operation
def update_group(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    """Its members stay members."""
    rename(call, lambda: find_group(call, request["GroupName"]), "group", request.get("NewGroupName"), request.get("NewPath"), "Group")
    return {}


@api.operation
def add_user_to_group(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    find_user(call, request["UserName"])
    group = find_group(call, request["GroupName"])

    def change(user: Record) -> dict[str, Any]:
        if is_in(user, group):
            return {}
        if len(user.spec["Groups"]) >= MAX_GROUPS:
            raise api.error.LimitExceededException(f"Cannot exceed quota for GroupsPerUser: {MAX_GROUPS}")
        return {"Groups": [*user.spec["Groups"], group.uid]}

    save(call, lambda: find_user(call, request["UserName"]), change)
    return {}


@api.operation
def remove_user_from_group(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    group = find_group(call, request["GroupName"])

    def change(user: Record) -> dict[str, Any]:
        if not is_in(user, group):
            raise api.error.NoSuchEntityException(f"The user with name {user.name} is not in the group {group.name}.")
        return {"Groups": [entry for entry in user.spec["Groups"] if entry not in (group.uid, group.name)]}

    save(call, lambda: find_user(call, request["UserName"]), change)
    return {}


@api.operation
def list_groups_for_user(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    user = find_user(call, request["UserName"])
    shown, more = page(groups_of(call.store, user), request, lambda record: record.name)
    return {"Groups": [describe(record) for record in shown], **more}
