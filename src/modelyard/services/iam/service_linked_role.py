"""Service-linked roles: made for a service, which alone may change them. Deleting one is a task, which fails while the service uses the role."""

from __future__ import annotations

import uuid
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.kernel.store import Taken
from modelyard.services.iam import api, keys, names, service_principals
from modelyard.services.iam.managed import PREFIX
from modelyard.services.iam.role import DEFAULT_SESSION_S, describe_new, find_role

_WITH_SUFFIX = frozenset(["autoscaling.amazonaws.com", "connect.amazonaws.com", "lexv2.amazonaws.com"])


@cache
def _roles() -> dict[str, tuple[str, str | None]]:
    """Service → (name of its role, AWS's managed policy for it, below aws-service-role/)."""
    return orjson.loads((Path(__file__).parent / "data/service_linked_roles.json").read_bytes())


def _of(service: str) -> tuple[str, str | None]:
    """Services that are not in the data get a name in the same style, and no policy."""
    return _roles().get(service) or ("AWSServiceRoleFor" + service.removesuffix(".amazonaws.com").replace(".", "_"), None)


@api.operation
def create_service_linked_role(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    service = request["AWSServiceName"]
    if not service.endswith(".amazonaws.com") or (service not in _roles() and not service_principals.is_known(service)):
        raise api.error.InvalidInputException(f"{service} is not a valid service principal.")
    name, policy = _of(service)
    if request.get("CustomSuffix"):
        if service not in _WITH_SUFFIX:
            raise api.error.InvalidInputException(f"Custom suffix is not allowed for {service}")
        name += f"_{request['CustomSuffix']}"
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": service}, "Action": "sts:AssumeRole"}],
    }
    path = f"/aws-service-role/{service}/"
    spec = {
        "Path": path,
        "RoleName": name,
        "RoleId": keys.unique_id(keys.ROLE),
        "AssumeRolePolicyDocument": orjson.dumps(trust).decode(),
        "Description": request.get("Description", ""),
        "MaxSessionDuration": DEFAULT_SESSION_S,
        "Attached": [f"{PREFIX}/aws-service-role/{policy}"] if policy else [],
        "Inline": {},
    }
    arn = names.arn(call.account, "role", path, name)
    try:
        record = call.store.create(names.ROLE, account=call.account, region=names.GLOBAL, name=name, arn=arn, spec=spec)
    except Taken:
        raise api.error.InvalidInputException(f"Service role name {name} has been taken in this account, please try a different suffix.")
    return {"Role": describe_new(call, record, request)}


# Records that a service keeps only while it needs its role.
_USERS = {"sagemaker.application-autoscaling.amazonaws.com": ("scalable-target",)}


@api.operation
def delete_service_linked_role(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    """The task is done when this answers; its outcome is kept."""
    role = find_role(call, request["RoleName"])
    if not role.spec["Path"].startswith("/aws-service-role/"):
        raise ApiError("InvalidInput", f"Role {role.name} is not a service-linked role.", 400)
    service = role.spec["Path"].split("/")[2]
    task = f"task{role.spec['Path']}{role.name}/{uuid.uuid4()}"
    usage = _usage(call, service)
    spec: dict[str, Any] = {"Status": "FAILED" if usage else "SUCCEEDED"}
    if usage:
        spec["Reason"] = {"Reason": f"A service-linked role is required for {service} to manage its resources.", "RoleUsageList": usage}
    call.store.create(
        names.ROLE_DELETION, account=call.account, region=names.GLOBAL, name=task, arn=f"arn:aws:iam::{call.account}:{task}", spec=spec
    )
    if not usage:
        call.store.delete(role)
    return {"DeletionTaskId": task}


def _usage(call: Call, service: str) -> list[dict[str, Any]]:
    found: dict[str, list[str]] = {}
    for kind in _USERS.get(service, ()):
        for record in call.store.list(kind, call.account):
            found.setdefault(record.region, []).append(record.arn)
    return [{"Region": region, "Resources": arns} for region, arns in sorted(found.items())]


@api.operation
def get_service_linked_role_deletion_status(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    task: Record | None = call.store.get(names.ROLE_DELETION.kind, call.account, names.GLOBAL, request["DeletionTaskId"])
    if task is None:
        raise api.error.NoSuchEntityException(f"The deletion task {request['DeletionTaskId']} cannot be found.")
    return dict(task.spec)
