"""Roles: create, get, list, update, trust policy, tags, permissions boundary, delete."""

from __future__ import annotations

import urllib.parse
from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.kernel.store import Taken
from modelyard.services.iam import api, keys, names, trust
from modelyard.services.iam.checks import (
    boundary_field,
    boundary_of,
    find,
    list_tags,
    new_tags,
    principals_exist,
    quota,
    save,
    tag,
    tag_list,
    taken,
    untag,
)
from modelyard.services.iam.pages import page
from modelyard.services.iam.validate import trust_policy

DEFAULT_SESSION_S = 3600
MAX_TRUST = 2048  # characters, white space not counted


def find_role(call: Call, name: str) -> Record:
    return find(call, names.ROLE, name, f"The role with name {name} cannot be found.")


def refuse_service_linked(record: Record) -> None:
    """Roles under /aws-service-role/ belong to their service."""
    if record.spec["Path"].startswith("/aws-service-role/"):
        service = record.spec["Path"].split("/")[2]
        raise api.error.UnmodifiableEntityException(
            f"Cannot perform the operation on the protected role '{record.name}' - this role is only modifiable by AWS ({service})"
        )


def describe(call: Call, record: Record) -> dict[str, Any]:
    """The Role structure; ListRoles leaves Tags and PermissionsBoundary out, as AWS does."""
    spec = record.spec
    return {
        "Path": spec["Path"],
        "RoleName": spec["RoleName"],
        "RoleId": spec["RoleId"],
        "Arn": record.arn,
        "CreateDate": record.created_at,
        "AssumeRolePolicyDocument": urllib.parse.quote(trust.in_force(call.store, record), safe=""),
        **({"Description": spec["Description"]} if spec.get("Description") else {}),
        "MaxSessionDuration": spec.get("MaxSessionDuration", DEFAULT_SESSION_S),
    }


def _trusted(call: Call, text: str) -> None:
    """Raises where the document is no trust policy, is too long, or names somebody who is not there."""
    principals_exist(call, trust_policy(text))
    if len("".join(text.split())) > MAX_TRUST:
        raise api.error.LimitExceededException(f"Cannot exceed quota for ACLSizePerRole: {MAX_TRUST}")


def describe_whole(call: Call, record: Record) -> dict[str, Any]:
    tags = tag_list(call, record)
    return {**describe(call, record), **({"Tags": tags} if tags else {}), **boundary_field(record), "RoleLastUsed": last_used(call, record)}


def describe_new(call: Call, record: Record, request: dict[str, Any]) -> dict[str, Any]:
    """A role as the answer to its creation has it: AWS tells MaxSessionDuration there only to who set it."""
    tags, told = tag_list(call, record), describe(call, record)
    if "MaxSessionDuration" not in request:
        del told["MaxSessionDuration"]
    return {**told, **({"Tags": tags} if tags else {}), **boundary_field(record)}


def last_used(call: Call, record: Record) -> dict[str, Any]:
    use = call.platform.identity.last_used.last(record.spec["RoleId"])
    return {"LastUsedDate": use.at, "Region": use.region} if use is not None else {}


@api.operation
def create_role(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    name, path = request["RoleName"], request.get("Path", "/")
    _trusted(call, request["AssumeRolePolicyDocument"])
    spec = {
        "Path": path,
        "RoleName": name,
        "RoleId": keys.unique_id(keys.ROLE),
        "AssumeRolePolicyDocument": request["AssumeRolePolicyDocument"],
        "TrustIds": trust.remembered(call.store, request["AssumeRolePolicyDocument"]),
        "Description": request.get("Description", ""),
        "MaxSessionDuration": request.get("MaxSessionDuration", DEFAULT_SESSION_S),
        "Attached": [],
        "Inline": {},
        **boundary_of(call, request),
    }
    taken(call, names.ROLE, name, f"Role with name {name} already exists.")
    quota(call, names.ROLE, 1000, "Roles")
    try:
        record = call.store.create(
            names.ROLE,
            account=call.account,
            region=names.GLOBAL,
            name=name,
            arn=names.arn(call.account, "role", path, name),
            spec=spec,
            tags=new_tags(request),
        )
    except Taken:
        raise api.error.EntityAlreadyExistsException(f"Role with name {name} already exists.")
    return {"Role": describe_new(call, record, request)}


@api.operation
def get_role(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return {"Role": describe_whole(call, find_role(call, request["RoleName"]))}


@api.operation
def list_roles(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    prefix = request.get("PathPrefix", "/")
    records = sorted(call.store.list(names.ROLE.kind, call.account, names.GLOBAL), key=lambda r: r.name.lower())
    shown, more = page([r for r in records if r.spec["Path"].startswith(prefix)], request, lambda r: r.name.lower())
    return {"Roles": [describe(call, record) for record in shown], **more}


@api.operation
def update_role(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    wanted = {key: request[key] for key in ("Description", "MaxSessionDuration") if key in request}
    save(call, lambda: find_role(call, request["RoleName"]), lambda record: wanted)
    return {}


@api.operation
def update_role_description(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    wanted = {"Description": request["Description"]}
    return {"Role": describe(call, save(call, lambda: find_role(call, request["RoleName"]), lambda record: wanted))}


@api.operation
def update_assume_role_policy(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    refuse_service_linked(find_role(call, request["RoleName"]))
    _trusted(call, request["PolicyDocument"])
    text = request["PolicyDocument"]
    wanted = {"AssumeRolePolicyDocument": text, "TrustIds": trust.remembered(call.store, text)}
    save(call, lambda: find_role(call, request["RoleName"]), lambda record: wanted)
    return {}


@api.operation
def delete_role(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    record = find_role(call, request["RoleName"])
    refuse_service_linked(record)
    if record.spec.get("InstanceProfiles"):
        raise api.error.DeleteConflictException("Cannot delete entity, must remove roles from instance profile first.")
    if record.spec["Attached"]:
        raise api.error.DeleteConflictException("Cannot delete entity, must detach all policies first.")
    if record.spec["Inline"]:
        raise api.error.DeleteConflictException("Cannot delete entity, must delete policies first.")
    call.store.delete(record)
    return {}


@api.operation
def put_role_permissions_boundary(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    wanted = boundary_of(call, request)
    save(call, lambda: find_role(call, request["RoleName"]), lambda record: wanted)
    return {}


@api.operation
def delete_role_permissions_boundary(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    save(call, lambda: find_role(call, request["RoleName"]), lambda record: {"PermissionsBoundary": None})
    return {}


@api.operation
def tag_role(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return tag(call, lambda: find_role(call, request["RoleName"]), request)


@api.operation
def untag_role(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return untag(call, lambda: find_role(call, request["RoleName"]), request)


@api.operation
def list_role_tags(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return list_tags(call, find_role(call, request["RoleName"]), request)
