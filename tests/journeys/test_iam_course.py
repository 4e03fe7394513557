"""An execution role step by step, as the AACE course's first notebook makes one: each step allowed or refused as on AWS."""

import json

import boto3
import pytest
from botocore.exceptions import ClientError

SAGEMAKER = "arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"


def document(*actions, resource="arn:aws:s3:::*"):
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": list(actions), "Resource": [resource]}]})


@pytest.fixture(scope="module")
def iam(yard):
    return yard.client("iam")


@pytest.fixture(scope="module")
def role(yard, iam):
    """Trusts its maker and SageMaker."""
    caller = yard.client("sts").get_caller_identity()["Arn"]
    trust = {"Effect": "Allow", "Principal": {"AWS": caller, "Service": ["sagemaker.amazonaws.com"]}, "Action": "sts:AssumeRole"}
    made = iam.create_role(RoleName="basic-role", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))[
        "Role"
    ]
    assert made["Arn"].endswith(":role/basic-role")
    assert made["AssumeRolePolicyDocument"]["Statement"][0] == trust
    assert made["RoleId"].startswith("AROA")
    return made


@pytest.fixture(scope="module")
def session(yard, iam, role):
    """A session of the role with one policy, taken once and used by all tests: what is attached later must hold for it too."""
    attach(iam, "BasicS3Policy", "s3:List*")
    keys = yard.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="course")["Credentials"]
    made = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"], region_name="us-east-1")
    endpoint = yard.endpoint
    return lambda service: made.client(service, endpoint_url=endpoint)


def attach(iam, name, *actions):
    policy = iam.create_policy(PolicyName=name, PolicyDocument=document(*actions))["Policy"]
    assert (policy["DefaultVersionId"], policy["AttachmentCount"]) == ("v1", 0)
    iam.attach_role_policy(RoleName="basic-role", PolicyArn=policy["Arn"])
    assert iam.get_policy(PolicyArn=policy["Arn"])["Policy"]["AttachmentCount"] == 1
    return policy["Arn"]


def refused(call):
    with pytest.raises(ClientError) as problem:
        call()
    answer = problem.value.response
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == ("AccessDenied", 403)
    return answer["Error"]["Message"]


def test_roles_come_in_pages(iam, role):
    for n in range(12):
        iam.create_role(RoleName=f"page-{n}", AssumeRolePolicyDocument=json.dumps(role["AssumeRolePolicyDocument"]))
    seen, page = [], iam.list_roles(MaxItems=10)
    assert page["IsTruncated"] and len(page["Roles"]) == 10
    while True:
        seen += [r["RoleName"] for r in page["Roles"]]
        if "Marker" not in page:
            break
        page = iam.list_roles(MaxItems=10, Marker=page["Marker"])
    assert len(seen) == len(set(seen))
    assert {"basic-role", *(f"page-{n}" for n in range(12))} <= set(seen)
    for n in range(12):
        iam.delete_role(RoleName=f"page-{n}")


def test_who_the_session_is(session, role):
    account = role["Arn"].split(":")[4]
    assert session("sts").get_caller_identity()["Arn"] == f"arn:aws:sts::{account}:assumed-role/basic-role/course"


def test_first_refused_then_allowed_with_the_same_keys(session, iam):
    s3 = session("s3")
    assert "Buckets" in s3.list_buckets()
    assert "s3:CreateBucket" in refused(lambda: s3.create_bucket(Bucket="course-bucket"))
    attach(iam, "CreateBucket", "s3:CreateBucket")
    assert s3.create_bucket(Bucket="course-bucket")["Location"] == "/course-bucket"
    assert "s3:DeleteBucket" in refused(lambda: s3.delete_bucket(Bucket="course-bucket"))
    assert "s3:PutObject" in refused(lambda: s3.put_object(Bucket="course-bucket", Key="a", Body=b"a"))
    delete = attach(iam, "DeleteBucket", "s3:DeleteBucket")
    assert s3.delete_bucket(Bucket="course-bucket")["ResponseMetadata"]["HTTPStatusCode"] == 204
    iam.detach_role_policy(RoleName="basic-role", PolicyArn=delete)
    s3.create_bucket(Bucket="course-bucket")
    assert "s3:DeleteBucket" in refused(lambda: s3.delete_bucket(Bucket="course-bucket"))


def test_policies_of_aws(iam):
    names = [p["PolicyName"] for page in iam.get_paginator("list_policies").paginate(Scope="AWS") for p in page["Policies"]]
    assert {"AmazonS3FullAccess", "AmazonS3ReadOnlyAccess", "AmazonSageMakerFullAccess", "AdministratorAccess"} <= set(names)
    local = [p["PolicyName"] for page in iam.get_paginator("list_policies").paginate(Scope="Local") for p in page["Policies"]]
    assert "BasicS3Policy" in local and "AmazonS3FullAccess" not in local
    policy = iam.get_policy(PolicyArn=SAGEMAKER)["Policy"]
    versions = iam.list_policy_versions(PolicyArn=SAGEMAKER)["Versions"]
    assert [v["VersionId"] for v in versions if v["IsDefaultVersion"]] == [policy["DefaultVersionId"]]
    default = iam.get_policy_version(PolicyArn=SAGEMAKER, VersionId=policy["DefaultVersionId"])["PolicyVersion"]
    assert default["Document"]["Version"] == "2012-10-17" and default["Document"]["Statement"]


def decisions(iam, role, actions, *resources):
    more = {"ResourceArns": list(resources)} if resources else {}
    said = iam.simulate_principal_policy(PolicySourceArn=role["Arn"], ActionNames=actions, **more)
    assert said["IsTruncated"] is False
    return {r["EvalActionName"]: r["EvalDecision"] for r in said["EvaluationResults"]}


def test_simulation(iam, role, session):
    assert decisions(iam, role, ["ecr:GetAuthorizationToken"]) == {"ecr:GetAuthorizationToken": "implicitDeny"}
    iam.attach_role_policy(RoleName="basic-role", PolicyArn=SAGEMAKER)
    assert decisions(iam, role, ["ecr:GetAuthorizationToken"]) == {"ecr:GetAuthorizationToken": "allowed"}
    assert decisions(iam, role, ["s3:*"]) == {"s3:*": "implicitDeny"}
    four = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload"]
    assert decisions(iam, role, four, "arn:aws:s3:::*sagemaker*") == dict.fromkeys(four, "allowed")


def test_what_was_simulated_is_what_happens(session, yard):
    s3 = session("s3")
    s3.create_bucket(Bucket="course-sagemaker")
    s3.put_object(Bucket="course-sagemaker", Key="a", Body=b"a")  # the policy of AWS names buckets with "sagemaker"
    assert "s3:PutObject" in refused(lambda: s3.put_object(Bucket="course-bucket", Key="a", Body=b"a"))
    assert session("sagemaker").list_training_jobs()["TrainingJobSummaries"] is not None
    assert refused(lambda: session("iam").create_user(UserName="x"))


def test_clean_up_in_order(iam, role, session):
    with pytest.raises(ClientError, match="DeleteConflict"):
        iam.delete_role(RoleName="basic-role")
    attached = iam.list_attached_role_policies(RoleName="basic-role")["AttachedPolicies"]
    assert {p["PolicyName"] for p in attached} == {"BasicS3Policy", "CreateBucket", "AmazonSageMakerFullAccess"}
    for policy in attached:
        iam.detach_role_policy(RoleName="basic-role", PolicyArn=policy["PolicyArn"])
    assert refused(session("s3").list_buckets)
    iam.delete_role(RoleName="basic-role")
    with pytest.raises(ClientError) as gone:
        session("s3").list_buckets()
    assert gone.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    with pytest.raises(ClientError, match="NoSuchEntity"):
        iam.get_role(RoleName="basic-role")
