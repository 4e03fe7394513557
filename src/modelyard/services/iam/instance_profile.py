"""Instance profiles: a role for an EC2 instance to carry."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.kernel.store import Taken
from modelyard.services.iam import api, keys, names
from modelyard.services.iam.checks import find, list_tags, new_tags, quota, save, tag, tag_list, taken, untag
from modelyard.services.iam.pages import page
from modelyard.services.iam.role import describe as describe_role
from modelyard.services.iam.role import find_role


def _find(call: Call, name: str) -> Record:
    return find(call, names.INSTANCE_PROFILE, name, f"Instance Profile {name} cannot be found.")


def describe(call: Call, record: Record) -> dict[str, Any]:
    spec = record.spec
    role = call.store.get(names.ROLE.kind, call.account, names.GLOBAL, spec["Role"]) if spec.get("Role") else None
    tags = tag_list(call, record)
    return {
        "Path": spec["Path"],
        "InstanceProfileName": record.name,
        "InstanceProfileId": spec["InstanceProfileId"],
        "Arn": record.arn,
        "CreateDate": record.created_at,
        "Roles": [describe_role(call, role)] if role is not None else [],
        "Tags": tags,
    }


@api.operation
def create_instance_profile(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    name, path = request["InstanceProfileName"], request.get("Path", "/")
    message = f"Instance Profile {name} already exists."
    taken(call, names.INSTANCE_PROFILE, name, message)
    spec = {"Path": path, "InstanceProfileId": keys.unique_id(keys.INSTANCE_PROFILE)}
    arn = names.arn(call.account, "instance-profile", path, name)
    quota(call, names.INSTANCE_PROFILE, 1000, "InstanceProfiles")
    try:
        record = call.store.create(
            names.INSTANCE_PROFILE, account=call.account, region=names.GLOBAL, name=name, arn=arn, spec=spec, tags=new_tags(request)
        )
    except Taken:
        raise api.error.EntityAlreadyExistsException(message)
    return {"InstanceProfile": describe(call, record)}


@api.operation
def get_instance_profile(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return {"InstanceProfile": describe(call, _find(call, request["InstanceProfileName"]))}


@api.operation
def list_instance_profiles(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    prefix = request.get("PathPrefix", "/")
    records = call.store.list(names.INSTANCE_PROFILE.kind, call.account, names.GLOBAL, order_by="name")
    shown, more = page([r for r in records if r.spec["Path"].startswith(prefix)], request, lambda r: r.name)
    return {"InstanceProfiles": [describe(call, record) for record in shown], **more}


@api.operation
def list_instance_profiles_for_role(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    role = find_role(call, request["RoleName"])
    found = [_find(call, name) for name in role.spec.get("InstanceProfiles", [])]
    shown, more = page(found, request, lambda r: r.name)
    return {"InstanceProfiles": [describe(call, record) for record in shown], **more}


@api.operation
def add_role_to_instance_profile(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    """One role at most. The role's record names its profiles too, so that it is not deleted under them."""
    name, role = request["InstanceProfileName"], find_role(call, request["RoleName"]).name

    def take(record: Record) -> dict[str, Any]:
        if record.spec.get("Role"):
            raise api.error.LimitExceededException("Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1")
        return {"Role": role}

    save(call, lambda: _find(call, name), take)
    save(call, lambda: find_role(call, role), lambda record: {"InstanceProfiles": sorted({*record.spec.get("InstanceProfiles", []), name})})
    return {}


@api.operation
def remove_role_from_instance_profile(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    name, role = request["InstanceProfileName"], find_role(call, request["RoleName"]).name

    def leave(record: Record) -> dict[str, Any]:
        return {"InstanceProfiles": [other for other in record.spec.get("InstanceProfiles", []) if other != name]}

    def empty(record: Record) -> dict[str, Any]:
        if record.spec.get("Role") != role:
            raise api.error.NoSuchEntityException(f"Role {role} in Instance Profile {name} cannot be found.")
        return {"Role": None}

    save(call, lambda: _find(call, name), empty)
    save(call, lambda: find_role(call, role), leave)
    return {}


@api.operation
def delete_instance_profile(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    record = _find(call, request["InstanceProfileName"])
    if record.spec.get("Role"):
        raise api.error.DeleteConflictException("Cannot delete entity, must remove roles from instance profile first.")
    call.store.delete(record)
    return {}


@api.operation
def tag_instance_profile(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return tag(call, lambda: _find(call, request["InstanceProfileName"]), request)


@api.operation
def untag_instance_profile(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return untag(call, lambda: _find(call, request["InstanceProfileName"]), request)


@api.operation
def list_instance_profile_tags(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return list_tags(call, _find(call, request["InstanceProfileName"]), request)
