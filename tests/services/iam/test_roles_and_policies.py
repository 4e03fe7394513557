"""Roles, policies, users, groups as a client sees them; among it the cells of an execution-role notebook in order."""

from __future__ import annotations

import json
import re
import urllib.parse
from typing import Any

import pytest

from modelyard.kernel.errors import ApiError
from tests.services.iam.conftest import ACCOUNT, Yard, allow, deny, policy

IAM = f"arn:aws:iam::{ACCOUNT}"
TRUST = policy({"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"})


def refused(yard: Yard, service: str, operation: str, as_: str | None = None, **request: Any) -> tuple[str, int, str]:
    with pytest.raises(ApiError) as caught:
        yard(service, operation, as_, **request)
    return caught.value.code, caught.value.status, caught.value.message


def test_lists_pass_over_the_case_of_names(yard: Yard) -> None:
    for name in ("Ad", "ac", "Ab", "aa"):
        yard("iam", "CreateUser", UserName=name, Path="/ordered/")
    first = yard("iam", "ListUsers", PathPrefix="/ordered/", MaxItems=2)
    second = yard("iam", "ListUsers", PathPrefix="/ordered/", Marker=first["Marker"])
    assert [one["UserName"] for one in first["Users"] + second["Users"]] == ["aa", "Ab", "ac", "Ad"]


def test_execution_role_notebook(yard: Yard) -> None:
    me = yard("sts", "GetCallerIdentity")["Arn"]
    for n in range(12):
        yard.role(f"Other{n:02d}")
    first = yard("iam", "ListRoles", MaxItems=10)
    second = yard("iam", "ListRoles", MaxItems=10, Marker=first["Marker"])
    assert len(first["Roles"]) == 10 and first["IsTruncated"] and len(second["Roles"]) == 3 and not second["IsTruncated"]

    trust = {"AWS": me, "Service": "sagemaker.amazonaws.com"}
    role = yard(
        "iam",
        "CreateRole",
        RoleName="SM",
        AssumeRolePolicyDocument=policy({"Effect": "Allow", "Principal": trust, "Action": "sts:AssumeRole"}),
    )
    arn = role["Role"]["Arn"]
    assert arn == f"{IAM}:role/SM" and re.fullmatch("AROA[A-Z2-7]{17}", role["Role"]["RoleId"])
    listing = yard("iam", "CreatePolicy", PolicyName="List", PolicyDocument=policy(allow("s3:ListAllMyBuckets")))["Policy"]
    yard("iam", "AttachRolePolicy", RoleName="SM", PolicyArn=listing["Arn"])
    session = yard.assume(arn)
    yard.authorize(session, "s3", "ListBuckets")
    with pytest.raises(ApiError, match="s3:CreateBucket"):
        yard.authorize(session, "s3", "CreateBucket", Bucket="b")
    making = yard("iam", "CreatePolicy", PolicyName="Make", PolicyDocument=policy(allow("s3:CreateBucket")))["Policy"]
    yard("iam", "AttachRolePolicy", RoleName="SM", PolicyArn=making["Arn"])
    yard.authorize(session, "s3", "CreateBucket", Bucket="b")
    with pytest.raises(ApiError, match="s3:DeleteBucket"):
        yard.authorize(session, "s3", "DeleteBucket", Bucket="b")

    marker: dict[str, str] = {}
    seen: list[str] = []
    while True:
        got = yard("iam", "ListPolicies", Scope="AWS", MaxItems=10, **marker)
        seen += [p["PolicyName"] for p in got["Policies"]]
        if not got["IsTruncated"]:
            break
        marker = {"Marker": got["Marker"]}
    assert "AmazonSageMakerFullAccess" in seen and len(seen) == len(set(seen)) > 50
    full = "arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"
    assert yard("iam", "GetPolicy", PolicyArn=full)["Policy"]["DefaultVersionId"] == "v29"
    assert [v["VersionId"] for v in yard("iam", "ListPolicyVersions", PolicyArn=full)["Versions"]] == ["v29"]
    document = yard("iam", "GetPolicyVersion", PolicyArn=full, VersionId="v29")["PolicyVersion"]["Document"]
    assert json.loads(urllib.parse.unquote(document))["Version"] == "2012-10-17"

    yard("iam", "AttachRolePolicy", RoleName="SM", PolicyArn=full)
    assert decisions(yard, arn, ["ecr:GetAuthorizationToken"]) == ["allowed"]
    assert decisions(yard, arn, ["s3:*"]) == ["implicitDeny"]
    four = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    assert decisions(yard, arn, four, ResourceArns=["arn:aws:s3:::*sagemaker*"]) == ["allowed"] * 4

    attached = yard("iam", "ListAttachedRolePolicies", RoleName="SM")["AttachedPolicies"]
    assert {p["PolicyName"] for p in attached} == {"List", "Make", "AmazonSageMakerFullAccess"}
    assert refused(yard, "iam", "DeleteRole", RoleName="SM")[:2] == ("DeleteConflict", 409)
    for entry in attached:
        yard("iam", "DetachRolePolicy", RoleName="SM", PolicyArn=entry["PolicyArn"])
    yard("iam", "DeleteRole", RoleName="SM")
    assert refused(yard, "iam", "GetRole", RoleName="SM") == ("NoSuchEntity", 404, "The role with name SM cannot be found.")


def decisions(yard: Yard, arn: str, actions: list[str], **more: Any) -> list[str]:
    got = yard("iam", "SimulatePrincipalPolicy", PolicySourceArn=arn, ActionNames=actions, **more)
    return [result["EvalDecision"] for result in got["EvaluationResults"]]


def test_role_documents_come_back_as_they_went_in(yard: Yard) -> None:
    text = json.dumps(json.loads(TRUST), indent=2)
    yard("iam", "CreateRole", RoleName="R", AssumeRolePolicyDocument=text, Description="d", MaxSessionDuration=7200, Path="/a/b/")
    role = yard("iam", "GetRole", RoleName="R")["Role"]
    assert urllib.parse.unquote(role["AssumeRolePolicyDocument"]) == text and "%" in role["AssumeRolePolicyDocument"]
    assert (role["Arn"], role["Path"], role["Description"], role["MaxSessionDuration"]) == (f"{IAM}:role/a/b/R", "/a/b/", "d", 7200)
    assert role["CreateDate"] == yard.clock.now()
    yard("iam", "UpdateRole", RoleName="R", Description="new")
    yard("iam", "UpdateAssumeRolePolicy", RoleName="R", PolicyDocument=TRUST)
    role = yard("iam", "GetRole", RoleName="R")["Role"]
    assert role["Description"] == "new" and urllib.parse.unquote(role["AssumeRolePolicyDocument"]) == TRUST
    assert [r["RoleName"] for r in yard("iam", "ListRoles", PathPrefix="/a/")["Roles"]] == ["R"]


def test_names_are_taken_whatever_their_case(yard: Yard) -> None:
    yard.role("R")
    said = refused(yard, "iam", "CreateRole", RoleName="r", AssumeRolePolicyDocument=TRUST)
    assert said == ("EntityAlreadyExists", 409, "Role with name r already exists.")
    yard.role("R2")
    yard("iam", "CreatePolicy", PolicyName="P", PolicyDocument=policy(allow("*")))
    said = refused(yard, "iam", "CreatePolicy", PolicyName="P", PolicyDocument=policy(allow("*")))
    assert said == ("EntityAlreadyExists", 409, "A policy called P already exists. Duplicate names are not allowed.")


def test_trust_names_principals_that_are_there(yard: Yard) -> None:
    def trusting(arn: str) -> str:
        return policy({"Effect": "Allow", "Principal": {"AWS": arn}, "Action": "sts:AssumeRole"})

    for missing in (
        f"{IAM}:user/nobody",
        f"{IAM}:role/none",
        f"arn:aws:sts::{ACCOUNT}:assumed-role/none/s",
        f"{IAM}:role/x/ModelyardExecutionRole",
    ):
        said = refused(yard, "iam", "CreateRole", RoleName="R", AssumeRolePolicyDocument=trusting(missing))
        assert said == ("MalformedPolicyDocument", 400, f'Invalid principal in policy: "AWS":"{missing}"')
    for number, there in enumerate((f"{IAM}:role/ModelyardExecutionRole", f"{IAM}:root", "arn:aws:iam::999999999999:user/far", "*")):
        yard("iam", "CreateRole", RoleName=f"R{number}", AssumeRolePolicyDocument=trusting(there))


def test_policy_versions(yard: Yard) -> None:
    arn = yard("iam", "CreatePolicy", PolicyName="P", PolicyDocument=policy(allow("s3:*")))["Policy"]["Arn"]
    session = yard.assume(yard.role("R"))
    yard("iam", "AttachRolePolicy", RoleName="R", PolicyArn=arn)
    assert yard("iam", "GetPolicy", PolicyArn=arn)["Policy"]["AttachmentCount"] == 1
    yard.authorize(session, "s3", "ListBuckets")
    version = yard("iam", "CreatePolicyVersion", PolicyArn=arn, PolicyDocument=policy(deny("s3:*")), SetAsDefault=True)["PolicyVersion"]
    assert version["VersionId"] == "v2" and version["IsDefaultVersion"]
    with pytest.raises(ApiError, match="explicit deny"):
        yard.authorize(session, "s3", "ListBuckets")
    yard("iam", "SetDefaultPolicyVersion", PolicyArn=arn, VersionId="v1")
    yard.authorize(session, "s3", "ListBuckets")
    assert refused(yard, "iam", "DeletePolicyVersion", PolicyArn=arn, VersionId="v1")[:2] == ("DeleteConflict", 409)
    for _ in range(3):
        yard("iam", "CreatePolicyVersion", PolicyArn=arn, PolicyDocument=policy(allow("*")))
    assert refused(yard, "iam", "CreatePolicyVersion", PolicyArn=arn, PolicyDocument=policy(allow("*")))[0] == "LimitExceeded"
    assert [v["VersionId"] for v in yard("iam", "ListPolicyVersions", PolicyArn=arn)["Versions"]] == ["v5", "v4", "v3", "v2", "v1"]
    yard("iam", "DeletePolicyVersion", PolicyArn=arn, VersionId="v5")
    assert refused(yard, "iam", "GetPolicyVersion", PolicyArn=arn, VersionId="v5")[:2] == ("NoSuchEntity", 404)
    assert refused(yard, "iam", "DeletePolicy", PolicyArn=arn)[:2] == ("DeleteConflict", 409)
    uses = yard("iam", "ListEntitiesForPolicy", PolicyArn=arn)
    assert [role["RoleName"] for role in uses["PolicyRoles"]] == ["R"] and uses["PolicyUsers"] == []
    yard("iam", "DetachRolePolicy", RoleName="R", PolicyArn=arn)
    assert refused(yard, "iam", "DetachRolePolicy", RoleName="R", PolicyArn=arn)[:2] == ("NoSuchEntity", 404)
    for version_id in ("v2", "v3", "v4"):
        yard("iam", "DeletePolicyVersion", PolicyArn=arn, VersionId=version_id)
    yard("iam", "DeletePolicy", PolicyArn=arn)
    assert refused(yard, "iam", "GetPolicy", PolicyArn=arn) == ("NoSuchEntity", 404, f"Policy {arn} was not found.")


def test_policies_of_aws_cannot_be_changed(yard: Yard) -> None:
    arn = "arn:aws:iam::aws:policy/AdministratorAccess"
    assert refused(yard, "iam", "DeletePolicy", PolicyArn=arn)[:2] == ("AccessDenied", 403)
    missing = "arn:aws:iam::aws:policy/NoSuchPolicy"
    said = refused(yard, "iam", "AttachRolePolicy", RoleName="ModelyardExecutionRole", PolicyArn=missing)
    assert said == ("NoSuchEntity", 404, f"Policy {missing} does not exist or is not attachable.")


def test_inline_policies(yard: Yard) -> None:
    yard.role("R", allow("s3:*"))
    assert yard("iam", "ListRolePolicies", RoleName="R")["PolicyNames"] == ["inline"]
    got = yard("iam", "GetRolePolicy", RoleName="R", PolicyName="inline")
    assert got["RoleName"] == "R" and urllib.parse.unquote(got["PolicyDocument"]) == policy(allow("s3:*"))
    assert refused(yard, "iam", "DeleteRole", RoleName="R")[2] == "Cannot delete entity, must delete policies first."
    yard("iam", "DeleteRolePolicy", RoleName="R", PolicyName="inline")
    assert (
        refused(yard, "iam", "GetRolePolicy", RoleName="R", PolicyName="inline")[2] == "The role policy with name inline cannot be found."
    )


def test_tags(yard: Yard) -> None:
    yard.role("R", Tags=[{"Key": "a", "Value": "1"}])
    yard("iam", "TagRole", RoleName="R", Tags=[{"Key": "b", "Value": "2"}])
    assert yard("iam", "ListRoleTags", RoleName="R")["Tags"] == [{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}]
    yard("iam", "UntagRole", RoleName="R", TagKeys=["a"])
    assert yard("iam", "GetRole", RoleName="R")["Role"]["Tags"] == [{"Key": "b", "Value": "2"}]


def test_users_keys_and_groups(yard: Yard) -> None:
    key = yard.user("ann")
    assert yard("sts", "GetCallerIdentity", key)["Arn"] == f"{IAM}:user/ann"
    assert refused(yard, "iam", "ListRoles", key)[:2] == ("AccessDenied", 403)
    yard("iam", "CreateGroup", GroupName="readers")
    yard("iam", "PutGroupPolicy", GroupName="readers", PolicyName="p", PolicyDocument=policy(allow("iam:List*")))
    yard("iam", "AddUserToGroup", GroupName="readers", UserName="ann")
    assert yard("iam", "ListRoles", key)["Roles"]
    assert [g["GroupName"] for g in yard("iam", "ListGroupsForUser", UserName="ann")["Groups"]] == ["readers"]
    assert [u["UserName"] for u in yard("iam", "GetGroup", GroupName="readers")["Users"]] == ["ann"]
    yard("iam", "AttachUserPolicy", UserName="ann", PolicyArn="arn:aws:iam::aws:policy/IAMFullAccess")
    assert yard("iam", "GetUser", key)["User"]["UserName"] == "ann"
    yard("iam", "UpdateAccessKey", UserName="ann", AccessKeyId=key, Status="Inactive")
    assert yard.identity.credential(key) is None
    yard("iam", "UpdateAccessKey", UserName="ann", AccessKeyId=key, Status="Active")
    assert yard.identity.credential(key) is not None
    assert refused(yard, "iam", "DeleteUser", UserName="ann")[2] == "Cannot delete entity, must remove users from group first."
    yard("iam", "RemoveUserFromGroup", GroupName="readers", UserName="ann")
    yard("iam", "DetachUserPolicy", UserName="ann", PolicyArn="arn:aws:iam::aws:policy/IAMFullAccess")
    assert refused(yard, "iam", "DeleteUser", UserName="ann")[2] == "Cannot delete entity, must delete access keys first."
    yard("iam", "DeleteAccessKey", UserName="ann", AccessKeyId=key)
    assert yard.identity.credential(key) is None
    yard("iam", "DeleteUser", UserName="ann")
    assert refused(yard, "iam", "GetUser", UserName="ann")[:2] == ("NoSuchEntity", 404)


def test_summary(yard: Yard) -> None:
    assert yard("iam", "GetAccountSummary")["SummaryMap"]["Roles"] == 1
