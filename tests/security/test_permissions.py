"""What a caller may do does not depend on how the names in the request are spelt."""

from __future__ import annotations

import json

import pytest
from botocore.exceptions import ClientError

from modelyard.services.iam.bootstrap import ensure_account
from tests.support import inproc
from tests.support.platform import ACCOUNT, InProcess

OTHER = "210987654321"


@pytest.fixture(scope="module")
def yard(tmp_path_factory):
    yard = InProcess(tmp_path_factory.mktemp("yard"))
    yield yard
    yard.close()


def user(yard: InProcess, name: str, *statements: dict):
    """`client(service)` of a new user with these statements."""
    iam = yard.root("iam")
    iam.create_user(UserName=name)
    document = json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
    iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return lambda service: inproc.client(yard.gateway, service, key=key["AccessKeyId"], secret=key["SecretAccessKey"])


def other_account(yard: InProcess, service: str):
    keys = ensure_account(yard.platform, OTHER)["root"]
    return inproc.client(yard.gateway, service, key=keys["AccessKeyId"], secret=keys["SecretAccessKey"])


def allow(action: str, *resources: str) -> dict:
    return {"Effect": "Allow", "Action": action, "Resource": list(resources)}


def refused(function, *codes: str, **arguments) -> str:
    with pytest.raises(ClientError) as problem:
        function(**arguments)
    code = problem.value.response["Error"]["Code"]
    assert code in (codes or ("AccessDenied", "AccessDeniedException")), problem.value
    return str(problem.value)


def test_a_key_that_looks_like_an_arn_is_a_key(yard):
    yard.root("s3").create_bucket(Bucket="victim")
    yard.root("s3").create_bucket(Bucket="mine")
    yard.root("s3").put_object(Bucket="victim", Key="arn:aws:s3:::mine/x", Body=b"secret")
    s3 = user(yard, "key", allow("s3:*", "arn:aws:s3:::mine", "arn:aws:s3:::mine/*"))("s3")
    s3.put_object(Bucket="mine", Key="arn:aws:s3:::mine/x", Body=b"fine")
    for key in ("x", "arn:aws:s3:::mine/x"):
        refused(s3.put_object, Bucket="victim", Key=key, Body=b"")
        refused(s3.get_object, Bucket="victim", Key=key)
        refused(s3.delete_object, Bucket="victim", Key=key)
        refused(s3.copy_object, Bucket="mine", Key="y", CopySource={"Bucket": "victim", "Key": key})


def test_another_account_reaches_no_bucket_by_a_key(yard):
    yard.root("s3").create_bucket(Bucket="theirs")
    s3 = other_account(yard, "s3")
    s3.create_bucket(Bucket="ours")
    refused(s3.put_object, Bucket="theirs", Key="arn:aws:s3:::ours/x", Body=b"")
    refused(s3.list_objects_v2, Bucket="theirs")


@pytest.mark.parametrize("spelling", ["prod", "PROD", "Prod"])
def test_a_deny_of_one_resource_holds_for_every_spelling(yard, spelling):
    arn = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:endpoint-config/"
    deny = {"Effect": "Deny", "Action": "sagemaker:*", "Resource": arn + "prod"}
    sagemaker = user(yard, f"deny-{len(yard.root('iam').list_users()['Users'])}", allow("sagemaker:*", "*"), deny)("sagemaker")
    refused(sagemaker.describe_endpoint_config, EndpointConfigName=spelling)
    refused(sagemaker.list_tags, ResourceArn=arn + spelling)
    refused(sagemaker.add_tags, ResourceArn=arn + spelling, Tags=[{"Key": "a", "Value": "b"}])


def test_resources_of_another_account_are_not_there(yard):
    sagemaker = other_account(yard, "sagemaker")
    arn = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:model/m"
    refused(sagemaker.list_tags, ResourceArn=arn)
    refused(sagemaker.add_tags, ResourceArn=arn, Tags=[{"Key": "a", "Value": "b"}])
    assert sagemaker.search(Resource="TrainingJob")["Results"] == []
    assert OTHER in other_account(yard, "sts").get_caller_identity()["Arn"]


def test_a_role_of_another_account_cannot_be_passed_or_assumed(yard):
    role = yard.root("iam").list_roles()["Roles"][0]["Arn"]
    model = {"ModelName": "m", "ExecutionRoleArn": role, "PrimaryContainer": {"Image": f"{OTHER}.dkr.ecr.us-east-1.amazonaws.com/x:1"}}
    refused(other_account(yard, "sagemaker").create_model, "ValidationException", "AccessDeniedException", **model)
    refused(other_account(yard, "sts").assume_role, RoleArn=role, RoleSessionName="session")


def test_creating_needs_pass_role(yard):
    role = yard.root("iam").list_roles()["Roles"][0]["Arn"]
    sagemaker = user(yard, "passer", allow("sagemaker:*", "*"))("sagemaker")
    model = {"ModelName": "m", "ExecutionRoleArn": role, "PrimaryContainer": {"Image": "x"}}
    assert "iam:PassRole" in refused(sagemaker.create_model, **model)


def test_a_user_without_iam_cannot_give_itself_more(yard):
    iam = user(yard, "small", allow("s3:*", "*"))("iam")
    everything = json.dumps({"Version": "2012-10-17", "Statement": [allow("*", "*")]})
    refused(iam.put_user_policy, UserName="small", PolicyName="p", PolicyDocument=everything)
    refused(iam.attach_user_policy, UserName="small", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    refused(iam.create_access_key, UserName="small")
    refused(iam.create_access_key)
    refused(iam.delete_user_permissions_boundary, UserName="small")


@pytest.mark.parametrize(
    "condition", ["x", [], {"StringEquals": "x"}, {"Nonsense": {"a": "b"}}, {"StringEquals": {"a": {"b": 1}}}, {"Bool": {"a": None}}]
)
def test_a_bucket_policy_that_makes_no_sense_is_refused_and_locks_nobody_out(yard, condition):
    s3 = yard.root("s3")
    s3.create_bucket(Bucket="policy")
    s3.delete_bucket_policy(Bucket="policy")
    statement = {"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::policy/*", "Condition": condition}
    refused(s3.put_bucket_policy, "MalformedPolicy", Bucket="policy", Policy=json.dumps({"Version": "2012-10-17", "Statement": statement}))
    s3.put_object(Bucket="policy", Key="k", Body=b"")
    s3.delete_bucket_policy(Bucket="policy")


@pytest.mark.parametrize("principal", [{"AWS": {"x": 1}}, {"AWS": [1]}, {"AWS": None}, []])
def test_a_principal_that_makes_no_sense_is_refused(yard, principal):
    s3 = yard.root("s3")
    s3.create_bucket(Bucket="policy")
    statement = {"Effect": "Allow", "Principal": principal, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::policy/*"}
    refused(s3.put_bucket_policy, "MalformedPolicy", Bucket="policy", Policy=json.dumps({"Statement": statement}))


def test_a_policy_nested_beyond_reason_is_malformed(yard):
    s3 = yard.root("s3")
    s3.create_bucket(Bucket="policy")
    refused(s3.put_bucket_policy, "MalformedPolicy", Bucket="policy", Policy='{"Statement":' + "[" * 9000 + "]" * 9000 + "}")
