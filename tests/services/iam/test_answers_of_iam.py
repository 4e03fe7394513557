"""Small things that clients and their tests see of IAM: what an answer has, which complaint comes first, and in which words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from modelyard.services.iam import managed, service_linked_role
from tests.services.iam.conftest import ACCOUNT, Yard, allow, policy
from tests.services.iam.test_roles_and_policies import TRUST, refused
from tests.support import inproc
from tests.support.platform import InProcess


def test_a_new_role_tells_its_session_duration_only_where_it_was_set(yard: Yard) -> None:
    plain = yard("iam", "CreateRole", RoleName="plain", AssumeRolePolicyDocument=TRUST)["Role"]
    long = yard("iam", "CreateRole", RoleName="long", AssumeRolePolicyDocument=TRUST, MaxSessionDuration=7200)["Role"]
    assert "MaxSessionDuration" not in plain and long["MaxSessionDuration"] == 7200
    assert yard("iam", "GetRole", RoleName="plain")["Role"]["MaxSessionDuration"] == 3600


@pytest.mark.parametrize("what", ["Role", "User", "Group"])
def test_a_policy_is_attached_by_its_arn(yard: Yard, what: str) -> None:
    yard("iam", f"Create{what}", **{f"{what}Name": "x"}, **({"AssumeRolePolicyDocument": TRUST} if what == "Role" else {}))
    for arn in ("AmazonS3FullAccess-by-name", "policy/AmazonS3FullAccess"):
        answer = refused(yard, "iam", f"Attach{what}Policy", **{f"{what}Name": "x"}, PolicyArn=arn)
        assert answer == ("ValidationError", 400, "Invalid ARN:  Could not be parsed!")


def test_credentials_of_services(yard: Yard) -> None:
    unknown = "No such service lambda.amazonaws.com is supported for Service Specific Credentials"
    nobody = refused(yard, "iam", "CreateServiceSpecificCredential", UserName="nobody", ServiceName="lambda.amazonaws.com")
    assert nobody == ("NoSuchEntity", 404, "The user with name nobody cannot be found.")
    yard("iam", "CreateUser", UserName="ann")
    wrong = {"UserName": "ann", "ServiceName": "lambda.amazonaws.com"}
    assert refused(yard, "iam", "CreateServiceSpecificCredential", **wrong) == ("NoSuchEntity", 404, unknown)
    assert refused(yard, "iam", "ListServiceSpecificCredentials", **wrong) == ("NoSuchEntity", 404, unknown)
    yard("iam", "CreateServiceSpecificCredential", UserName="ann", ServiceName="codecommit.amazonaws.com")
    listed = yard("iam", "ListServiceSpecificCredentials", UserName="ann")
    assert len(listed["ServiceSpecificCredentials"]) == 1 and "IsTruncated" not in listed
    assert refused(yard, "iam", "DeleteUser", UserName="ann")[2] == "Cannot delete entity, must remove referenced objects first."


def test_every_service_linked_role_has_its_policy() -> None:
    roles = service_linked_role._roles()
    without = [service for service, (_, name) in roles.items() if name is None]
    missing = [name for _, name in roles.values() if name and managed.find(f"{managed.PREFIX}/aws-service-role/{name}") is None]
    assert len(roles) > 70 and not missing and not without


def test_service_linked_roles_as_aws_makes_them(yard: Yard) -> None:
    made = yard("iam", "CreateServiceLinkedRole", AWSServiceName="acm.amazonaws.com")["Role"]
    assert made["RoleName"] == "AWSServiceRoleForCertificateManager" and made["Path"] == "/aws-service-role/acm.amazonaws.com/"
    attached = yard("iam", "ListAttachedRolePolicies", RoleName=made["RoleName"])["AttachedPolicies"]
    assert [one["PolicyName"] for one in attached] == ["CertificateManagerServiceRolePolicy"]
    suffix = refused(yard, "iam", "CreateServiceLinkedRole", AWSServiceName="eks.amazonaws.com", CustomSuffix="mine")
    assert suffix == ("InvalidInput", 400, "Custom suffix is not allowed for eks.amazonaws.com")
    again = refused(yard, "iam", "CreateServiceLinkedRole", AWSServiceName="acm.amazonaws.com")
    assert again[2].startswith("Service role name AWSServiceRoleForCertificateManager has been taken in this account")
    with_suffix = yard("iam", "CreateServiceLinkedRole", AWSServiceName="lexv2.amazonaws.com", CustomSuffix="mine")["Role"]
    assert with_suffix["RoleName"] == "AWSServiceRoleForLexV2Bots_mine"


def test_the_simulator_counts_places_as_aws_does(yard: Yard) -> None:
    """The place after the brace that opens the statement, and the one after the brace that closes it."""
    text = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:PutObject", "Resource": "*"}})
    result = yard("iam", "SimulateCustomPolicy", PolicyInputList=[text], ActionNames=["s3:PutObject"])["EvaluationResults"][0]
    [matched] = result["MatchedStatements"]
    assert text[matched["StartPosition"]["Column"] - 2] == "{" and matched["StartPosition"] == {"Line": 1, "Column": 41}
    assert matched["EndPosition"] == {"Line": 1, "Column": len(text)} and result["EvalDecisionDetails"] == {}


def test_a_federation_token_tells_its_packed_size(yard: Yard) -> None:
    yard("iam", "CreateUser", UserName="ann")
    yard("iam", "PutUserPolicy", UserName="ann", PolicyName="p", PolicyDocument=policy(allow("sts:*")))
    key = yard("iam", "CreateAccessKey", UserName="ann")["AccessKey"]["AccessKeyId"]
    assert yard("sts", "GetFederationToken", key, Name="bob")["PackedPolicySize"] == 0
    assert yard("sts", "GetFederationToken", key, Name="bob", Policy=policy(allow("s3:*")))["PackedPolicySize"] > 0


@pytest.fixture
def client(tmp_path: Path) -> Any:
    yard = InProcess(tmp_path)
    keys = yard.secrets["root"]
    yield inproc.client(
        yard.gateway, "iam", key=keys["AccessKeyId"], secret=keys["SecretAccessKey"], config=Config(parameter_validation=False)
    )
    yard.close()


def test_iam_does_not_tell_the_wrong_value(client: Any) -> None:
    with pytest.raises(ClientError) as long:
        client.get_role(RoleName="r" * 65)
    assert long.value.response["Error"]["Message"] == (
        "1 validation error detected: Value at 'roleName' failed to satisfy constraint: Member must have length less than or equal to 64"
    )
    with pytest.raises(ClientError) as word:
        client.update_access_key(UserName="ann", AccessKeyId="AKIAIOSFODNN7EXAMPLE", Status="Off")
    assert word.value.response["Error"]["Message"] == (
        "1 validation error detected: Value at 'status' failed to satisfy constraint: Member must satisfy enum value set"
    )


def test_a_name_in_another_case_is_the_same_role_to_a_policy_too(yard: Yard) -> None:
    yard.role("Admin", Path="/protected/")
    keeper = yard.user(
        "ann",
        allow("iam:*"),
        {"Effect": "Deny", "Action": "iam:PutRolePolicy", "Resource": f"arn:aws:iam::{ACCOUNT}:role/protected/Admin"},
    )
    put = {"PolicyName": "p", "PolicyDocument": policy(allow("*"))}
    for name in ("Admin", "admin", "ADMIN"):
        assert yard("iam", "GetRole", keeper, RoleName=name)["Role"]["RoleName"] == "Admin"
        assert refused(yard, "iam", "PutRolePolicy", keeper, RoleName=name, **put)[0] == "AccessDenied"


def test_a_boundary_is_asked_for_by_whom_the_name_means(yard: Yard) -> None:
    fence = yard("iam", "CreatePolicy", PolicyName="Fence", PolicyDocument=policy(allow("s3:*")))["Policy"]["Arn"]
    yard.role("Inside", PermissionsBoundary=fence)
    within = {"StringEquals": {"iam:PermissionsBoundary": fence}}
    keeper = yard.user("ann", allow("iam:PutRolePolicy", Condition=within))
    put = {"PolicyName": "p", "PolicyDocument": policy(allow("s3:*"))}
    yard("iam", "PutRolePolicy", keeper, RoleName="inside", **put)
    assert refused(yard, "iam", "PutRolePolicy", keeper, RoleName="outside", **put)[0] == "AccessDenied"
