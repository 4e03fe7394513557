"""Versions of managed policies: up to five of a customer's, the default one of AWS's."""

from __future__ import annotations

import urllib.parse
from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.services.iam import api
from modelyard.services.iam.checks import save
from modelyard.services.iam.managed import ManagedPolicy
from modelyard.services.iam.pages import page
from modelyard.services.iam.policy import check_size, find_own, find_policy
from modelyard.services.iam.validate import managed_policy

MAX_VERSIONS = 5


def describe_version(policy: Record | ManagedPolicy, version: str, with_document: bool) -> dict[str, Any]:
    if isinstance(policy, ManagedPolicy):
        known = version == policy.version
        document, created, default = policy.document, policy.updated_at, policy.version
    else:
        known = version in policy.spec["Versions"]
        found = policy.spec["Versions"].get(version, {})
        document, created, default = found.get("Document", ""), found.get("CreateDate"), policy.spec["DefaultVersionId"]
    if not known:
        raise api.error.NoSuchEntityException(f"Policy {policy.arn} version {version} does not exist or is not attachable.")
    shown = {"VersionId": version, "IsDefaultVersion": version == default, "CreateDate": created}
    return {"Document": urllib.parse.quote(document, safe=""), **shown} if with_document else shown


def version_ids(policy: Record | ManagedPolicy) -> list[str]:
    """Newest first."""
    return [policy.version] if isinstance(policy, ManagedPolicy) else sorted(policy.spec["Versions"], key=lambda v: -int(v[1:]))


@api.operation
def get_policy_version(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    return {"PolicyVersion": describe_version(find_policy(call, request["PolicyArn"]), request["VersionId"], True)}


@api.operation
def list_policy_versions(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    """Newest first, as AWS lists them. Of AWS's policies only the default version is here."""
    policy = find_policy(call, request["PolicyArn"])
    shown, more = page(version_ids(policy), request, lambda version: f"{10**9 - int(version[1:]):09d}")
    return {"Versions": [describe_version(policy, version, False) for version in shown], **more}


@api.operation
def create_policy_version(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    arn, document = request["PolicyArn"], request["PolicyDocument"]
    find_own(call, arn)
    managed_policy(document)
    check_size(document)

    def change(record: Record) -> dict[str, Any]:
        versions = record.spec["Versions"]
        if len(versions) >= MAX_VERSIONS:
            raise api.error.LimitExceededException(
                "A managed policy can have up to 5 versions. Before you create a new version, you must delete an existing version."
            )
        number = record.spec["LastVersion"] + 1
        wanted = {"LastVersion": number, "Versions": {**versions, f"v{number}": {"Document": document, "CreateDate": call.now()}}}
        return {**wanted, **({"DefaultVersionId": f"v{number}"} if request.get("SetAsDefault") else {})}

    record = save(call, lambda: find_own(call, arn), change)
    return {"PolicyVersion": describe_version(record, f"v{record.spec['LastVersion']}", False)}


@api.operation
def set_default_policy_version(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    def change(record: Record) -> dict[str, Any]:
        describe_version(record, request["VersionId"], False)
        return {"DefaultVersionId": request["VersionId"]}

    save(call, lambda: find_own(call, request["PolicyArn"]), change)
    return {}


@api.operation
def delete_policy_version(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    def change(record: Record) -> dict[str, Any]:
        describe_version(record, request["VersionId"], False)
        if request["VersionId"] == record.spec["DefaultVersionId"]:
            raise api.error.DeleteConflictException("Cannot delete the default version of a policy.")
        return {"Versions": {v: d for v, d in record.spec["Versions"].items() if v != request["VersionId"]}}

    save(call, lambda: find_own(call, request["PolicyArn"]), change)
    return {}
