"""IAM and STS through the whole gateway, judged by boto3: signatures, query protocol, answers against the model (strict)."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from modelyard.kernel.clock import real_now
from modelyard.services import iam, sts
from modelyard.wire.gateway import Gateway
from tests.services.iam import tour
from tests.services.iam.conftest import ACCOUNT, Yard, allow, policy
from tests.services.sts import test_saml
from tests.support import inproc

TRUST = policy({"Effect": "Allow", "Principal": {"AWS": ACCOUNT, "Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"})


class Wire:
    """`wire.iam()` is a client of the default session; other credentials as STS or IAM answered them."""

    def __init__(self, data: Path) -> None:
        self.yard = Yard(data, strict=True)
        self.gateway = Gateway(self.yard.platform)
        self.asked: set[tuple[str, str]] = set()

    def client(self, service: str, keys: dict[str, str] | None = None, **more: Any) -> Any:
        keys = keys or self.yard.secrets["session"]
        made = inproc.client(
            self.gateway, service, key=keys["AccessKeyId"], secret=keys["SecretAccessKey"], token=keys.get("SessionToken"), **more
        )
        made.meta.events.register("before-call", lambda model, **_: self.asked.add((service, model.name)))
        return made


@pytest.fixture
def wire(tmp_path: Path) -> Iterator[Wire]:
    made = Wire(tmp_path)
    yield made
    made.gateway.close()


def refused(function: Any, **request: Any) -> tuple[str, int, str]:
    with pytest.raises(ClientError) as caught:
        function(**request)
    said = caught.value.response
    return said["Error"]["Code"], said["ResponseMetadata"]["HTTPStatusCode"], said["Error"]["Message"]


def test_every_operation_once(wire: Wire) -> None:
    client, tokens = wire.client("iam"), wire.client("sts")
    roles(client)
    policies(client)
    users(client)
    groups(client)
    simulator(client)
    profiles(client)
    client.get_account_summary()
    tokens.get_caller_identity()
    tokens.get_access_key_info(AccessKeyId=wire.yard.root)
    tokens.assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/R", RoleSessionName="ss", Policy=policy(allow("*")))
    wire.client("sts", wire.yard.secrets["root"]).get_session_token()
    yard, other = wire.yard, Wire.client
    tour.everything(client, lambda keys: other(wire, "iam", keys))
    keys = client.create_access_key(UserName="bea")["AccessKey"]
    yard("iam", "AttachUserPolicy", UserName="bea", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    got = wire.client("sts", keys).get_federation_token(Name="guest", Policy=policy(allow("s3:*")))
    assert got["FederatedUser"]["FederatedUserId"] == f"{ACCOUNT}:guest" and got["PackedPolicySize"] > 0
    assert refused(tokens.decode_authorization_message, EncodedMessage="x")[:2] == ("InvalidAuthorizationMessageException", 400)
    said = refused(
        tokens.assume_role_with_web_identity, RoleArn=f"arn:aws:iam::{ACCOUNT}:role/R", RoleSessionName="ss", WebIdentityToken="x.y.z"
    )
    assert said[:2] == ("InvalidIdentityToken", 400)
    saml(client, tokens)
    built = {("iam", name) for name in iam.api.operations} | {("sts", name) for name in sts.api.operations}
    assert built - wire.asked == set()


def saml(client: Any, tokens: Any) -> None:
    client.create_saml_provider(Name="Corp", SAMLMetadataDocument=test_saml.METADATA.ljust(1000))
    trust = policy({"Effect": "Allow", "Principal": {"Federated": test_saml.PROVIDER}, "Action": "sts:AssumeRoleWithSAML"})
    client.create_role(RoleName="Lab", AssumeRolePolicyDocument=trust)
    said = base64.b64encode(test_saml.response(test_saml.signed(test_saml.unsigned())).encode()).decode()
    got = tokens.assume_role_with_saml(RoleArn=test_saml.ROLE, PrincipalArn=test_saml.PROVIDER, SAMLAssertion=said)
    assert got["AssumedRoleUser"]["Arn"].endswith(":assumed-role/Lab/ann") and got["Issuer"] == "https://idp.corp.example"


def roles(client: Any) -> None:
    made = client.create_role(RoleName="R", AssumeRolePolicyDocument=TRUST, Description="d", Tags=[{"Key": "a", "Value": "b"}])["Role"]
    assert made["AssumeRolePolicyDocument"] == json.loads(TRUST) and made["CreateDate"].year == 2023
    role = {"RoleName": "R"}
    client.put_role_permissions_boundary(PermissionsBoundary="arn:aws:iam::aws:policy/PowerUserAccess", **role)
    got = client.get_role(**role)["Role"]
    assert got["PermissionsBoundary"]["PermissionsBoundaryArn"].endswith("PowerUserAccess") and got["Tags"] == [{"Key": "a", "Value": "b"}]
    client.delete_role_permissions_boundary(**role)
    assert "PermissionsBoundary" not in client.get_role(**role)["Role"]
    client.update_role(MaxSessionDuration=7200, **role)
    assert client.update_role_description(Description="x", **role)["Role"]["MaxSessionDuration"] == 7200
    client.update_assume_role_policy(PolicyDocument=TRUST, **role)
    client.tag_role(Tags=[{"Key": "c", "Value": "d"}], **role)
    client.untag_role(TagKeys=["a"], **role)
    assert client.list_role_tags(**role)["Tags"] == [{"Key": "c", "Value": "d"}]
    inline(client, "role", role)
    pages = client.get_paginator("list_roles").paginate(PaginationConfig={"PageSize": 1})
    assert [r["RoleName"] for page in pages for r in page["Roles"]] == ["ModelyardExecutionRole", "R"]
    client.create_role(RoleName="Gone", AssumeRolePolicyDocument=TRUST)
    client.delete_role(RoleName="Gone")


def inline(client: Any, what: str, name: dict[str, str]) -> None:
    getattr(client, f"put_{what}_policy")(PolicyName="p", PolicyDocument=policy(allow("s3:*")), **name)
    assert getattr(client, f"get_{what}_policy")(PolicyName="p", **name)["PolicyDocument"]["Statement"] == [allow("s3:*")]
    assert getattr(client, f"list_{what}_policies")(**name)["PolicyNames"] == ["p"]
    getattr(client, f"delete_{what}_policy")(PolicyName="p", **name)
    arn = "arn:aws:iam::aws:policy/AmazonS3FullAccess"
    getattr(client, f"attach_{what}_policy")(PolicyArn=arn, **name)
    got = getattr(client, f"list_attached_{what}_policies")(**name)["AttachedPolicies"]
    assert got == [{"PolicyName": "AmazonS3FullAccess", "PolicyArn": arn}]
    getattr(client, f"detach_{what}_policy")(PolicyArn=arn, **name)


def policies(client: Any) -> None:
    made = client.create_policy(PolicyName="P", PolicyDocument=policy(allow("s3:*")), Description="d", Tags=[{"Key": "a", "Value": "b"}])[
        "Policy"
    ]
    arn = made["Arn"]
    client.tag_policy(PolicyArn=arn, Tags=[{"Key": "c", "Value": "d"}])
    client.untag_policy(PolicyArn=arn, TagKeys=["a"])
    assert client.list_policy_tags(PolicyArn=arn)["Tags"] == [{"Key": "c", "Value": "d"}]
    client.attach_role_policy(RoleName="R", PolicyArn=arn)
    got = client.get_policy(PolicyArn=arn)["Policy"]
    assert (got["AttachmentCount"], got["Description"], got["Tags"]) == (1, "d", [{"Key": "c", "Value": "d"}])
    assert [r["RoleName"] for r in client.list_entities_for_policy(PolicyArn=arn)["PolicyRoles"]] == ["R"]
    client.detach_role_policy(RoleName="R", PolicyArn=arn)
    client.create_policy_version(PolicyArn=arn, PolicyDocument=policy(allow("*")))
    client.set_default_policy_version(PolicyArn=arn, VersionId="v2")
    assert client.get_policy_version(PolicyArn=arn, VersionId="v2")["PolicyVersion"]["Document"]["Statement"] == [allow("*")]
    client.delete_policy_version(PolicyArn=arn, VersionId="v1")
    assert [v["VersionId"] for v in client.list_policy_versions(PolicyArn=arn)["Versions"]] == ["v2"]
    pages = client.get_paginator("list_policies").paginate(Scope="All", PaginationConfig={"PageSize": 10})
    assert {"P", "AdministratorAccess"} <= {p["PolicyName"] for page in pages for p in page["Policies"]}
    assert [p["PolicyName"] for p in client.list_policies(Scope="Local")["Policies"]] == ["P"]
    client.delete_policy(PolicyArn=arn)


def users(client: Any) -> None:
    assert client.create_user(UserName="ann", Path="/x/")["User"]["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/x/ann"
    ann = {"UserName": "ann"}
    client.tag_user(Tags=[{"Key": "c", "Value": "d"}, {"Key": "a", "Value": ""}], **ann)
    client.untag_user(TagKeys=["a"], **ann)
    assert client.list_user_tags(**ann)["Tags"] == client.get_user(**ann)["User"]["Tags"] == [{"Key": "c", "Value": "d"}]
    client.put_user_permissions_boundary(PermissionsBoundary="arn:aws:iam::aws:policy/PowerUserAccess", **ann)
    client.delete_user_permissions_boundary(**ann)
    inline(client, "user", ann)
    key = client.create_access_key(**ann)["AccessKey"]["AccessKeyId"]
    client.update_access_key(AccessKeyId=key, Status="Inactive", **ann)
    assert [k["Status"] for k in client.list_access_keys(**ann)["AccessKeyMetadata"]] == ["Inactive"]
    client.delete_access_key(AccessKeyId=key, **ann)
    client.create_user(UserName="bob")
    assert [u["UserName"] for u in client.list_users()["Users"]] == ["ann", "bob"]
    client.delete_user(UserName="bob")


def groups(client: Any) -> None:
    client.create_group(GroupName="G")
    client.add_user_to_group(GroupName="G", UserName="ann")
    assert [u["UserName"] for u in client.get_group(GroupName="G")["Users"]] == ["ann"]
    assert [g["GroupName"] for g in client.list_groups_for_user(UserName="ann")["Groups"]] == ["G"]
    inline(client, "group", {"GroupName": "G"})
    client.remove_user_from_group(GroupName="G", UserName="ann")
    assert [g["GroupName"] for g in client.list_groups()["Groups"]] == ["G"]
    client.delete_group(GroupName="G")


def profiles(client: Any) -> None:
    profile, both = {"InstanceProfileName": "I"}, {"InstanceProfileName": "I", "RoleName": "R"}
    assert client.create_instance_profile(**profile)["InstanceProfile"]["Roles"] == []
    client.add_role_to_instance_profile(**both)
    assert [r["RoleName"] for r in client.get_instance_profile(**profile)["InstanceProfile"]["Roles"]] == ["R"]
    for listed in (client.list_instance_profiles(), client.list_instance_profiles_for_role(RoleName="R")):
        assert [p["InstanceProfileName"] for p in listed["InstanceProfiles"]] == ["I"]
    assert refused(client.delete_role, RoleName="R")[:2] == ("DeleteConflict", 409)
    assert refused(client.delete_instance_profile, **profile)[:2] == ("DeleteConflict", 409)
    client.remove_role_from_instance_profile(**both)
    client.delete_instance_profile(**profile)
    linked = client.create_service_linked_role(AWSServiceName="sagemaker.application-autoscaling.amazonaws.com")["Role"]
    assert linked["RoleName"] == "AWSServiceRoleForApplicationAutoScaling_SageMakerEndpoint"
    assert refused(client.delete_role, RoleName=linked["RoleName"])[0] == "UnmodifiableEntity"


def simulator(client: Any) -> None:
    arn = f"arn:aws:iam::{ACCOUNT}:role/ModelyardExecutionRole"
    pages = client.get_paginator("simulate_principal_policy").paginate(
        PolicySourceArn=arn, ActionNames=["s3:GetObject", "sagemaker:ListModels"]
    )
    results = [r for page in pages for r in page["EvaluationResults"]]
    assert [r["EvalDecision"] for r in results] == ["allowed"] * 2
    assert results[0]["MatchedStatements"][0]["SourcePolicyId"] == "AdministratorAccess"
    text = policy(allow("s3:*", Condition={"StringEquals": {"s3:prefix": "a"}}))
    got = client.simulate_custom_policy(PolicyInputList=[text], ActionNames=["s3:ListBucket"])["EvaluationResults"]
    assert got[0]["EvalDecision"] == "implicitDeny" and got[0]["MissingContextValues"] == ["s3:prefix"]
    assert client.get_context_keys_for_custom_policy(PolicyInputList=[text])["ContextKeyNames"] == ["s3:prefix"]
    assert client.get_context_keys_for_principal_policy(PolicySourceArn=arn)["ContextKeyNames"] == []


def test_errors_in_the_query_dialect(wire: Wire) -> None:
    client = wire.client("iam")
    assert refused(client.get_role, RoleName="No") == ("NoSuchEntity", 404, "The role with name No cannot be found.")
    with pytest.raises(client.exceptions.NoSuchEntityException):
        client.get_role(RoleName="No")
    with pytest.raises(client.exceptions.MalformedPolicyDocumentException):
        client.create_policy(PolicyName="P", PolicyDocument="{")
    client.create_role(RoleName="R", AssumeRolePolicyDocument=TRUST)
    with pytest.raises(client.exceptions.EntityAlreadyExistsException):
        client.create_role(RoleName="R", AssumeRolePolicyDocument=TRUST)


def test_sessions_sign_expire_and_are_denied(wire: Wire) -> None:
    wire.client("iam").create_role(RoleName="R", AssumeRolePolicyDocument=TRUST)
    keys = wire.client("sts").assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/R", RoleSessionName="ss")["Credentials"]
    me, theirs = wire.client("sts", keys), wire.client("iam", keys)
    assert me.get_caller_identity()["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/R/ss"
    code, status, message = refused(theirs.list_users)
    assert (code, status) == ("AccessDenied", 403) and "is not authorized to perform: iam:ListUsers" in message
    wire.client("iam").put_role_policy(RoleName="R", PolicyName="p", PolicyDocument=policy(allow("iam:ListUsers")))
    assert theirs.list_users()["Users"] == []
    forged = wire.client("sts", {**keys, "SessionToken": "x" + keys["SessionToken"]})
    assert refused(forged.get_caller_identity)[0] == "InvalidClientTokenId"
    wrong = wire.client("sts", {**keys, "SecretAccessKey": "x" * 40})
    assert refused(wrong.get_caller_identity)[:2] == ("SignatureDoesNotMatch", 403)
    wire.yard.clock.advance(3601)
    assert refused(me.get_caller_identity)[0] == "ExpiredToken"


def test_user_keys_stop_working_at_once(wire: Wire) -> None:
    client = wire.client("iam")
    client.create_user(UserName="ann")
    keys = client.create_access_key(UserName="ann")["AccessKey"]
    ann = wire.client("sts", keys)
    assert ann.get_caller_identity()["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/ann"
    client.update_access_key(UserName="ann", AccessKeyId=keys["AccessKeyId"], Status="Inactive")
    assert refused(ann.get_caller_identity)[0] == "InvalidClientTokenId"


def test_older_clients_may_name_the_global_endpoint(wire: Wire) -> None:
    """botocore signs IAM for us-east-1 whatever the region; STS for the client's."""
    there = wire.client("sts", region="eu-central-1", config=Config(user_agent_extra="x"))
    assert there.get_caller_identity()["Account"] == ACCOUNT
    assert wire.client("iam", region="eu-central-1").list_roles()["Roles"]
    assert real_now() > wire.yard.clock.now(), "signatures are of real time, sessions of platform time"
