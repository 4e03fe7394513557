"""Model package groups: a name under which versions of a model are counted, and a policy for other accounts."""

from __future__ import annotations

from typing import Any

from modelyard.kernel.errors import ApiError, validation
from modelyard.kernel.lifecycle import static
from modelyard.kernel.records import Record
from modelyard.kernel.store import Moved, Taken
from modelyard.services.iam.resource_documents import BadDocument, checked
from modelyard.services.sagemaker import api
from modelyard.services.sagemaker.common import arn_of, changed, full_arn, list_page, tags_of, user_context

LIFECYCLE = static("model-package-group", "Completed")


@api.operation
def create_model_package_group(call, request):
    name, arn = request["ModelPackageGroupName"], arn_of(call, LIFECYCLE.kind, request["ModelPackageGroupName"])
    spec = {key: value for key, value in request.items() if key != "Tags"} | {"CreatedBy": user_context(call), "last_version": 0}
    tags = tags_of(request)
    if call.store.by_arn(arn):
        raise _taken(arn)
    try:
        call.store.create(LIFECYCLE, account=call.account, region=call.region, name=name, arn=arn, spec=spec, tags=tags)
    except Taken:
        raise _taken(arn) from None
    return {"ModelPackageGroupArn": arn}


@api.operation
def describe_model_package_group(call, request):
    return describe(the_group(call, request["ModelPackageGroupName"]))


@api.operation
def list_model_package_groups(call, request):
    """CrossAccount answers what other accounts made discoverable through AWS RAM, which is not here: nothing."""
    if request.get("CrossAccountFilterOption") == "CrossAccount":
        return {"ModelPackageGroupSummaryList": []}
    groups, more = list_page(call, LIFECYCLE.kind, request, default_order="Ascending")
    members = ("ModelPackageGroupName", "ModelPackageGroupArn", "ModelPackageGroupDescription", "CreationTime", "ModelPackageGroupStatus")
    rows = [{member: row[member] for member in members if member in row} for row in map(describe, groups)]
    return {"ModelPackageGroupSummaryList": rows, **more}


@api.operation
def delete_model_package_group(call, request):
    while True:
        group = the_group(call, request["ModelPackageGroupName"])
        if call.store.children(group.uid):
            raise api.error.ConflictException(
                f"Model Package Group {group.arn} cannot be deleted because it still contains model packages: delete its versions first."
            )
        try:
            call.store.delete(group)
            return {}
        except Moved:
            continue


def describe(group: Record) -> dict[str, Any]:
    said = {
        "ModelPackageGroupName": group.name,
        "ModelPackageGroupArn": group.arn,
        "CreationTime": group.created_at,
        "CreatedBy": group.spec["CreatedBy"],
        "ModelPackageGroupStatus": group.status,
    }
    return said | {key: group.spec[key] for key in ("ModelPackageGroupDescription", "ManagedConfiguration") if key in group.spec}


def the_group(call: Any, name: str) -> Record:
    """The group of this name or ARN; an ARN may be of another account, whose policy was asked by then."""
    group = find_group(call, name)
    if group is None:
        raise validation(f"ModelPackageGroup {full_arn(call, LIFECYCLE.kind, name)} does not exist.")
    return group


def find_group(call: Any, name: str) -> Record | None:
    group = call.store.by_arn(full_arn(call, LIFECYCLE.kind, name))
    return group if group is not None and group.kind == LIFECYCLE.kind else None


def next_version(call: Any, group: Record) -> int:
    """Counts up: a version number is never given twice, also when its package is deleted or its making failed."""
    return changed(call, lambda: the_group(call, group.arn), lambda now: {"last_version": now.spec["last_version"] + 1}).spec[
        "last_version"
    ]


def _taken(arn: str) -> ApiError:
    return validation(f"Model Package Group already exists: {arn}")


# --- policy --------------------------------------------------------------------------------------


@api.operation
def put_model_package_group_policy(call, request):
    _the_named(call, request)
    try:
        document = checked(request["ResourcePolicy"], "sagemaker")
    except BadDocument as problem:
        raise validation(f"Invalid resource policy: {problem}.") from None
    call.platform.identity.remember_named(request["ResourcePolicy"])
    group = changed(
        call, lambda: _the_named(call, request), lambda _: {"policy": {"text": request["ResourcePolicy"], "document": document}}
    )
    return {"ModelPackageGroupArn": group.arn}


@api.operation
def get_model_package_group_policy(call, request):
    group = _the_named(call, request)
    return {"ResourcePolicy": call.platform.identity.policy_in_force(_the_policy(group)["text"])}


@api.operation
def delete_model_package_group_policy(call, request):
    _the_policy(_the_named(call, request))
    changed(call, lambda: _the_named(call, request), lambda _: {"policy": None})
    return {}


def _the_named(call: Any, request: dict[str, Any]) -> Record:
    group = find_group(call, request["ModelPackageGroupName"])
    if group is None:
        raise validation(f"Cannot find Model Package Group: {arn_of(call, LIFECYCLE.kind, request['ModelPackageGroupName'])}")
    return group


def _the_policy(group: Record) -> dict[str, Any]:
    policy = group.spec.get("policy")
    if policy is None:
        raise validation(f"Cannot find resource policy for: {group.arn}")
    return policy
