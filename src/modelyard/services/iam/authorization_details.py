"""GetAccountAuthorizationDetails: all users, groups, roles and policies of an account in one paged answer."""

from __future__ import annotations

import urllib.parse
from typing import Any

from modelyard.kernel.records import Record
from modelyard.kernel.service import Call
from modelyard.services.iam import api, managed, names
from modelyard.services.iam.checks import boundary_field, tag_list
from modelyard.services.iam.group import describe as describe_group
from modelyard.services.iam.instance_profile import describe as describe_profile
from modelyard.services.iam.managed import ManagedPolicy
from modelyard.services.iam.membership import groups_of
from modelyard.services.iam.pages import page
from modelyard.services.iam.policy import attachments, boundary_uses
from modelyard.services.iam.policy import describe as describe_policy
from modelyard.services.iam.policy_version import describe_version, version_ids
from modelyard.services.iam.role import describe as describe_role
from modelyard.services.iam.role import last_used
from modelyard.services.iam.user import describe as describe_user

_LISTS = {"User": "UserDetailList", "Group": "GroupDetailList", "Role": "RoleDetailList"}
_ORDER = ("User", "Group", "Role", "LocalManagedPolicy", "AWSManagedPolicy")
Item = tuple[str, Any]


@api.operation
def get_account_authorization_details(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    wanted = set(request.get("Filter") or ("User", "Role", "Group", "LocalManagedPolicy", "AWSManagedPolicy"))
    items: list[Item] = []
    for word, kind in (("Group", names.GROUP), ("LocalManagedPolicy", names.POLICY), ("Role", names.ROLE), ("User", names.USER)):
        if word in wanted:
            items += [(word, record) for record in call.store.list(kind.kind, call.account, names.GLOBAL)]
    attached, boundaries = attachments(call), boundary_uses(call)
    if "AWSManagedPolicy" in wanted:  # those in use
        items += [("AWSManagedPolicy", policy) for arn in attached | boundaries if (policy := managed.find(arn)) is not None]
    shown, more = page(sorted(items, key=_key), request, _key)
    answer: dict[str, Any] = {"UserDetailList": [], "GroupDetailList": [], "RoleDetailList": [], "Policies": []}
    for word, thing in shown:
        if word in _LISTS:
            answer[_LISTS[word]].append(_entity(call, word, thing))
        else:
            answer["Policies"].append(_policy(thing, len(attached.get(thing.arn, [])), len(boundaries.get(thing.arn, []))))
    return {**answer, **more}


def _key(item: Item) -> str:
    return f"{_ORDER.index(item[0])} {item[1].arn}"


def _entity(call: Call, word: str, record: Record) -> dict[str, Any]:
    inline = [
        {"PolicyName": name, "PolicyDocument": urllib.parse.quote(text, safe="")} for name, text in sorted(record.spec["Inline"].items())
    ]
    shared = {
        f"{word}PolicyList": inline,
        "AttachedManagedPolicies": [{"PolicyName": arn.rsplit("/", 1)[-1], "PolicyArn": arn} for arn in record.spec["Attached"]],
    }
    if word == "Group":
        return {**describe_group(record), **shared}
    shared |= {**boundary_field(record), "Tags": tag_list(call, record)}
    if word == "User":
        return {**describe_user(record), **shared, "GroupList": [group.name for group in groups_of(call.store, record)]}
    told = describe_role(call, record)
    profiles = (call.store.get(names.INSTANCE_PROFILE.kind, call.account, names.GLOBAL, n) for n in record.spec.get("InstanceProfiles", []))
    return {
        **{key: told[key] for key in ("Path", "RoleName", "RoleId", "Arn", "CreateDate", "AssumeRolePolicyDocument")},
        **shared,
        "InstanceProfileList": [describe_profile(call, profile) for profile in profiles if profile is not None],
        "RoleLastUsed": last_used(call, record),
    }


def _policy(policy: Record | ManagedPolicy, attached: int, boundaries: int) -> dict[str, Any]:
    description = policy.description if isinstance(policy, ManagedPolicy) else policy.spec["Description"]
    versions = [describe_version(policy, version, True) for version in version_ids(policy)]
    told = describe_policy(policy, attached, boundaries)
    return {**told, **({"Description": description} if description else {}), "PolicyVersionList": versions}
