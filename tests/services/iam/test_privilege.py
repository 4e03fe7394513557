"""Every operation of IAM and STS is refused to who has no permission for it, and granted by its own permission alone."""

from __future__ import annotations

from typing import Any

import pytest

from modelyard.kernel.errors import ApiError
from modelyard.services import iam, sts
from modelyard.services.iam.actions import needs
from tests.services.iam.conftest import ACCOUNT, Yard, allow, deny, policy

ASK_THEMSELVES = {
    "iam": {"ChangePassword", "GetAccessKeyLastUsed"},
    "sts": {"AssumeRole", "AssumeRoleWithSAML", "AssumeRoleWithWebIdentity", "GetCallerIdentity", "GetSessionToken"},
}
OPERATIONS = [("iam", name) for name in sorted(iam.api.operations)] + [("sts", name) for name in sorted(sts.api.operations)]


def test_nobody_may_anything(yard: Yard) -> None:
    poor = yard.user("poor")
    open_ = {"iam": set(), "sts": set()}
    for service, operation in OPERATIONS:
        try:
            yard.authorize(poor, service, operation)
            open_[service].add(operation)
        except ApiError as problem:
            assert (problem.code, problem.status) == ("AccessDenied", 403) and f"{service}:{operation}" in problem.message
    assert open_ == ASK_THEMSELVES


def test_its_own_permission_is_enough(yard: Yard) -> None:
    actions = []
    for service, operation in OPERATIONS:
        found = needs(yard.call(service=service, operation=operation), {})
        assert operation in ASK_THEMSELVES[service] or {need.action for need in found} == {f"{service}:{operation}"}
        actions += [need.action for need in found]
    key = yard.user("rich")
    for number in range(0, len(actions), 60):
        arn = yard("iam", "CreatePolicy", PolicyName=f"P{number}", PolicyDocument=policy(allow(actions[number : number + 60])))["Policy"][
            "Arn"
        ]
        yard("iam", "AttachUserPolicy", UserName="rich", PolicyArn=arn)
    for service, operation in OPERATIONS:
        yard.authorize(key, service, operation)


def refused(yard: Yard, as_: str, operation: str, **request: Any) -> bool:
    try:
        yard("iam", operation, as_, **request)
    except ApiError as problem:
        assert problem.code == "AccessDenied", problem
        return True
    return False


def test_a_user_that_manages_itself(yard: Yard) -> None:
    """The policy of the user guide: `user/${aws:username}`, also where the request names no user."""
    mine = ["iam:*AccessKey*", "iam:*LoginProfile", "iam:ChangePassword", "iam:*MFADevice", "iam:*ServiceSpecificCredential*"]
    ann = yard.user(
        "ann", allow(mine, "arn:aws:iam::*:user/${aws:username}"), allow(["iam:CreateVirtualMFADevice"], "arn:aws:iam::*:mfa/ann*")
    )
    yard.user("bob")
    assert not refused(yard, ann, "ListAccessKeys") and not refused(yard, ann, "ListAccessKeys", UserName="ann")
    assert refused(yard, ann, "ListAccessKeys", UserName="bob")
    assert not refused(yard, ann, "GetAccessKeyLastUsed", AccessKeyId=ann)
    bobs = yard("iam", "ListAccessKeys", UserName="bob")["AccessKeyMetadata"][0]["AccessKeyId"]
    assert refused(yard, ann, "GetAccessKeyLastUsed", AccessKeyId=bobs)
    assert refused(yard, ann, "CreateVirtualMFADevice", VirtualMFADeviceName="bob")
    assert not refused(yard, ann, "CreateVirtualMFADevice", VirtualMFADeviceName="ann-phone")
    assert refused(yard, ann, "CreateServiceSpecificCredential", UserName="bob", ServiceName="codecommit.amazonaws.com")
    assert not refused(yard, ann, "CreateServiceSpecificCredential", UserName="ann", ServiceName="codecommit.amazonaws.com")


def test_a_new_name_needs_permission_too(yard: Yard) -> None:
    ann = yard.user("ann", allow("iam:UpdateUser", "arn:aws:iam::*:user/dev/*"))
    yard("iam", "CreateUser", UserName="eve", Path="/dev/")
    assert refused(yard, ann, "UpdateUser", UserName="eve", NewPath="/admin/")
    assert not refused(yard, ann, "UpdateUser", UserName="eve", NewUserName="eva")


def test_an_administrator_with_a_leash(yard: Yard) -> None:
    """Users may be made and given policies only inside a boundary (user guide, "Delegating responsibility using permissions boundaries")."""
    fence = yard("iam", "CreatePolicy", PolicyName="Fence", PolicyDocument=policy(allow("s3:*")))["Policy"]["Arn"]
    inside = {"StringEquals": {"iam:PermissionsBoundary": fence}}
    made = ["iam:CreateUser", "iam:PutUserPolicy", "iam:AttachUserPolicy", "iam:PutUserPermissionsBoundary"]
    ann = yard.user("ann", allow(made, Condition=inside), deny("iam:DeleteUserPermissionsBoundary"))
    yard("iam", "CreateUser", UserName="free")
    assert refused(yard, ann, "CreateUser", UserName="bob")
    assert not refused(yard, ann, "CreateUser", UserName="bob", PermissionsBoundary=fence)
    everything = {"PolicyName": "p", "PolicyDocument": policy(allow("*"))}
    assert not refused(yard, ann, "PutUserPolicy", UserName="bob", **everything), "bob is inside"
    assert refused(yard, ann, "PutUserPolicy", UserName="free", **everything) and refused(
        yard, ann, "PutUserPolicy", UserName="ann", **everything
    )
    other = "arn:aws:iam::aws:policy/AdministratorAccess"
    assert refused(yard, ann, "PutUserPermissionsBoundary", UserName="bob", PermissionsBoundary=other)


@pytest.mark.parametrize("conditions", [
    {"StringEquals": {"aws:SourceAccount": "999999999999"}},
    {"ArnLike": {"aws:SourceArn": "arn:aws:sagemaker:*:999999999999:*"}},
    {"ArnLike": {"aws:SourceArn": "arn:aws:lambda:*:123456789012:*"}},
])  # fmt: skip
def test_services_are_no_deputies_of_other_accounts(yard: Yard, conditions: dict[str, Any]) -> None:
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    mine = {"StringEquals": {"aws:SourceAccount": ACCOUNT}, "ArnLike": {"aws:SourceArn": f"arn:aws:sagemaker:*:{ACCOUNT}:training-job/*"}}
    for name, condition in (("Mine", mine), ("Theirs", conditions)):
        yard("iam", "CreateRole", RoleName=name, AssumeRolePolicyDocument=policy({**trust, "Condition": condition}))
    assert yard.identity.session_for_role(f"arn:aws:iam::{ACCOUNT}:role/Mine", "s", 900)
    with pytest.raises(ApiError, match="Could not assume role"):
        yard.identity.session_for_role(f"arn:aws:iam::{ACCOUNT}:role/Theirs", "s", 900)
    yard("iam", "UpdateAssumeRolePolicy", RoleName="Mine", PolicyDocument=policy(trust, {**trust, "Effect": "Deny"}))
    with pytest.raises(ApiError, match="Could not assume role"):
        yard.identity.session_for_role(f"arn:aws:iam::{ACCOUNT}:role/Mine", "s", 900)


def test_secrets_are_told_once_and_kept_sealed(yard: Yard) -> None:
    """Nothing that a client keeps secret stands in the store, in any form that reads."""
    yard.user("ann")
    git = yard("iam", "CreateServiceSpecificCredential", UserName="ann", ServiceName="codecommit.amazonaws.com")[
        "ServiceSpecificCredential"
    ]
    seed = yard("iam", "CreateVirtualMFADevice", VirtualMFADeviceName="m")["VirtualMFADevice"]["Base32StringSeed"].decode()
    yard("iam", "CreateLoginProfile", UserName="ann", Password="correct-Horse-1")
    rows = str(yard.store.db.read("SELECT spec, state FROM records")) + str(yard.store.db.read("SELECT detail FROM events"))
    for secret in (git["ServicePassword"], seed, "correct-Horse-1"):
        assert secret not in rows
    from modelyard.services.iam.service_credential import verify

    name = ("codecommit.amazonaws.com", git["ServiceUserName"])
    found = verify(yard.platform, *name, git["ServicePassword"])
    assert found is not None and found.arn.endswith("user/ann") and verify(yard.platform, *name, "wrong") is None
    yard(
        "iam",
        "UpdateServiceSpecificCredential",
        UserName="ann",
        ServiceSpecificCredentialId=git["ServiceSpecificCredentialId"],
        Status="Inactive",
    )
    assert verify(yard.platform, *name, git["ServicePassword"]) is None
