"""Managed policies: customer ones (records with up to five versions) and AWS's (data)."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.kernel.store import Taken
from modelyard.services.iam import api, entity_policies, keys, managed, names
from modelyard.services.iam.checks import list_tags, new_tags, policy_arn, quota, tag, tag_list, taken, untag
from modelyard.services.iam.managed import ManagedPolicy
from modelyard.services.iam.pages import page
from modelyard.services.iam.validate import managed_policy

MAX_DOCUMENT = 6144  # characters, white space not counted
_ENTITIES = ((names.ROLE, "Role"), (names.USER, "User"), (names.GROUP, "Group"))
_MANAGED_BY_AWS = "Policy is outside your own account."


def find_policy(call: Call, arn: str) -> Record | ManagedPolicy:
    aws = managed.find(arn)
    return aws if aws is not None else find_own(call, arn)


def find_own(call: Call, arn: str) -> Record:
    """A customer-managed policy of the caller's account. AWS's own cannot be changed: AccessDenied."""
    if managed.find(policy_arn(arn)) is not None:
        raise ApiError("AccessDenied", _MANAGED_BY_AWS, 403)
    record = call.store.get(names.POLICY.kind, call.account, names.GLOBAL, arn.rsplit("/", 1)[-1])
    if record is None or record.arn != arn:
        raise api.error.NoSuchEntityException(f"Policy {arn} was not found.")
    return record


def attachments(call: Call) -> dict[str, list[tuple[str, Record]]]:
    """Policy ARN → the (Role | User | Group, record) it is attached to."""
    found: dict[str, list[tuple[str, Record]]] = {}
    for kind, word in _ENTITIES:
        for record in call.store.list(kind.kind, call.account, names.GLOBAL, order_by="name"):
            for arn in record.spec["Attached"]:
                found.setdefault(arn, []).append((word, record))
    return found


def boundary_uses(call: Call) -> dict[str, list[tuple[str, Record]]]:
    found: dict[str, list[tuple[str, Record]]] = {}
    for kind, word in _ENTITIES[:2]:
        for record in call.store.list(kind.kind, call.account, names.GLOBAL, order_by="name"):
            if arn := record.spec.get("PermissionsBoundary"):
                found.setdefault(arn, []).append((word, record))
    return found


def describe(policy: Record | ManagedPolicy, attached: int, boundaries: int) -> dict[str, Any]:
    """The Policy structure as ListPolicies has it."""
    if isinstance(policy, ManagedPolicy):
        own = {"PolicyName": policy.name, "PolicyId": policy.policy_id, "Path": policy.path, "DefaultVersionId": policy.version}
        created, updated = policy.created_at, policy.updated_at
    else:
        own = {key: policy.spec[key] for key in ("PolicyName", "PolicyId", "Path", "DefaultVersionId")}
        created, updated = policy.created_at, policy.updated_at
    return {
        **own,
        "Arn": policy.arn,
        "AttachmentCount": attached,
        "PermissionsBoundaryUsageCount": boundaries,
        "IsAttachable": True,
        "CreateDate": created,
        "UpdateDate": updated,
    }


def check_size(document: str) -> None:
    if len("".join(document.split())) > MAX_DOCUMENT:
        raise api.error.LimitExceededException(f"Cannot exceed quota for PolicySize: {MAX_DOCUMENT}")


@api.operation
def create_policy(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    name, path, document = request["PolicyName"], request.get("Path", "/"), request["PolicyDocument"]
    managed_policy(document)
    check_size(document)
    message = f"A policy called {name} already exists. Duplicate names are not allowed."
    taken(call, names.POLICY, name, message)
    spec = {
        "Path": path,
        "PolicyName": name,
        "PolicyId": keys.unique_id(keys.POLICY),
        "Description": request.get("Description", ""),
        "DefaultVersionId": "v1",
        "LastVersion": 1,
        "Versions": {"v1": {"Document": document, "CreateDate": call.now()}},
    }
    arn = names.arn(call.account, "policy", path, name)
    quota(call, names.POLICY, 1500, "Policies")
    try:
        record = call.store.create(
            names.POLICY, account=call.account, region=names.GLOBAL, name=name, arn=arn, spec=spec, tags=new_tags(request)
        )
    except Taken:
        raise api.error.EntityAlreadyExistsException(message)
    tags = tag_list(call, record)
    return {"Policy": {**describe(record, 0, 0), **({"Tags": tags} if tags else {})}}


@api.operation
def get_policy(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    arn = request["PolicyArn"]
    policy = find_policy(call, arn)
    whole = describe(policy, len(attachments(call).get(arn, [])), len(boundary_uses(call).get(arn, [])))
    if isinstance(policy, ManagedPolicy):
        description, tags = policy.description, []
    else:
        description, tags = policy.spec["Description"], tag_list(call, policy)
    return {"Policy": {**whole, **({"Description": description} if description else {}), "Tags": tags}}


@api.operation
def list_policies(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    scope, prefix = request.get("Scope", "All"), request.get("PathPrefix", "/")
    found: list[Record | ManagedPolicy] = []
    if scope in ("All", "AWS"):
        found += [policy for policy in managed.all_policies() if policy.path.startswith(prefix)]
    if scope in ("All", "Local"):
        own = call.store.list(names.POLICY.kind, call.account, names.GLOBAL, order_by="name")
        found += [record for record in own if record.spec["Path"].startswith(prefix)]
    attached, boundaries = attachments(call), boundary_uses(call)
    usage = request.get("PolicyUsageFilter")
    if request.get("OnlyAttached") or usage == "PermissionsPolicy":
        found = [policy for policy in found if policy.arn in attached]
    if usage == "PermissionsBoundary":
        found = [policy for policy in found if policy.arn in boundaries]
    shown, more = page(sorted(found, key=lambda p: p.arn), request, lambda policy: policy.arn)
    return {"Policies": [describe(p, len(attached.get(p.arn, [])), len(boundaries.get(p.arn, []))) for p in shown], **more}


@api.operation
def delete_policy(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    record = find_own(call, request["PolicyArn"])
    if record.arn in attachments(call) or record.arn in boundary_uses(call):
        raise api.error.DeleteConflictException("Cannot delete a policy attached to entities.")
    if len(record.spec["Versions"]) > 1:
        raise api.error.DeleteConflictException(
            "This policy has more than one version. Before you delete a policy, you must delete the policy's versions. The default version is deleted with the policy."
        )
    call.store.delete(record)
    for _, entity in attachments(call).get(record.arn, []):  # attached in between
        entity_policies.release(call, lambda entity=entity: call.store.by_uid(entity.uid) or entity, record.arn)
    return {}


@api.operation
def list_entities_for_policy(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    arn = request["PolicyArn"]
    find_policy(call, arn)
    uses = boundary_uses(call) if request.get("PolicyUsageFilter") == "PermissionsBoundary" else attachments(call)
    wanted, prefix = request.get("EntityFilter"), request.get("PathPrefix", "/")
    found = [(w, r) for w, r in uses.get(arn, []) if wanted in (None, w) and r.spec["Path"].startswith(prefix)]
    shown, more = page(sorted(found, key=lambda f: f[1].arn), request, lambda f: f[1].arn)
    answer: dict[str, Any] = {"PolicyRoles": [], "PolicyUsers": [], "PolicyGroups": []}
    for word, record in shown:
        answer[f"Policy{word}s"].append({f"{word}Name": record.name, f"{word}Id": record.spec[f"{word}Id"]})
    return {**answer, **more}


# --- tags --------------------------------------------------------------------------------------------


@api.operation
def tag_policy(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return tag(call, lambda: find_own(call, request["PolicyArn"]), request)


@api.operation
def untag_policy(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return untag(call, lambda: find_own(call, request["PolicyArn"]), request)


@api.operation
def list_policy_tags(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return list_tags(call, find_own(call, request["PolicyArn"]), request)
