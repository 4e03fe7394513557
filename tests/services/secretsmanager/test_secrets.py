"""Secrets by a real client: versions and stages, deletion, policies, passwords, rotation, what lies on disk."""

from __future__ import annotations

import base64
import json
import string
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelyard.kernel.errors import ApiError
from modelyard.kernel.service import Service
from modelyard.services.secretsmanager.secret import staged
from tests.support import inproc
from tests.support.platform import ACCOUNT

DAY = 86400.0
PATIENT = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TOKENS = [str(uuid.UUID(int=number)) for number in range(1, 8)]


def refused(code: str, call, text: str = "", **request):
    with pytest.raises(ClientError) as caught:
        call(**request)
    error = caught.value.response["Error"]
    assert error["Code"] == code, error
    assert text in error["Message"], error


def test_a_secret_is_made_and_read(sm):
    made = sm.create_secret(
        Name="db/main", SecretString="v1", ClientRequestToken=TOKENS[0], Description="d", Tags=[{"Key": "a", "Value": "b"}]
    )
    assert made["ARN"].startswith(f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:db/main-")
    assert len(made["ARN"].rpartition("-")[2]) == 6
    for given_id in ("db/main", made["ARN"], made["ARN"][:-7]):
        told = sm.get_secret_value(SecretId=given_id)
        assert (told["SecretString"], told["VersionId"], told["VersionStages"]) == ("v1", TOKENS[0], ["AWSCURRENT"])
    assert sm.create_secret(Name="db/main", SecretString="v1", ClientRequestToken=TOKENS[0])["ARN"] == made["ARN"]
    refused("ResourceExistsException", sm.create_secret, "the secret db/main already exists.", Name="db/main", SecretString="x")
    refused("ResourceNotFoundException", sm.get_secret_value, "Secrets Manager can't find the specified secret.", SecretId="nothing")
    refused("ValidationException", sm.create_secret, "Invalid name", Name="a b")
    binary = bytes(range(256))
    sm.create_secret(Name="binary", SecretBinary=binary)
    assert sm.get_secret_value(SecretId="binary")["SecretBinary"] == binary
    told = sm.describe_secret(SecretId="db/main")
    assert (told["Description"], told["Tags"], told["VersionIdsToStages"]) == (
        "d",
        [{"Key": "a", "Value": "b"}],
        {TOKENS[0]: ["AWSCURRENT"]},
    )
    assert "KmsKeyId" not in told
    assert "LastAccessedDate" in told
    sm.create_secret(Name="empty")
    refused("ResourceNotFoundException", sm.get_secret_value, "staging label: AWSCURRENT", SecretId="empty")


def test_versions_and_stages(sm):
    sm.create_secret(Name="s", SecretString="one", ClientRequestToken=TOKENS[0])
    assert sm.put_secret_value(SecretId="s", SecretString="two", ClientRequestToken=TOKENS[1])["VersionStages"] == ["AWSCURRENT"]
    assert sm.put_secret_value(SecretId="s", SecretString="two", ClientRequestToken=TOKENS[1])["VersionId"] == TOKENS[1]
    refused("ResourceExistsException", sm.put_secret_value, TOKENS[1], SecretId="s", SecretString="other", ClientRequestToken=TOKENS[1])
    assert sm.get_secret_value(SecretId="s", VersionStage="AWSPREVIOUS")["SecretString"] == "one"
    sm.put_secret_value(SecretId="s", SecretString="three", ClientRequestToken=TOKENS[2], VersionStages=["AWSPENDING", "mine"])
    assert sm.get_secret_value(SecretId="s")["SecretString"] == "two"
    assert sm.get_secret_value(SecretId="s", VersionStage="mine")["SecretString"] == "three"
    refused("InvalidRequestException", sm.get_secret_value, "not associated", SecretId="s", VersionId=TOKENS[2], VersionStage="AWSCURRENT")
    refused("ResourceNotFoundException", sm.get_secret_value, "staging label: no", SecretId="s", VersionStage="no")
    refused("ResourceNotFoundException", sm.get_secret_value, "VersionId: " + TOKENS[5], SecretId="s", VersionId=TOKENS[5])
    move = {"SecretId": "s", "VersionStage": "AWSCURRENT", "MoveToVersionId": TOKENS[2]}
    refused("InvalidParameterException", sm.update_secret_version_stage, "RemoveFromVersionId can't be empty", **move)
    sm.update_secret_version_stage(**move, RemoveFromVersionId=TOKENS[1])
    stages = sm.describe_secret(SecretId="s")["VersionIdsToStages"]
    assert {name: sorted(held) for name, held in stages.items()} == {
        TOKENS[2]: ["AWSCURRENT", "AWSPENDING", "mine"],
        TOKENS[1]: ["AWSPREVIOUS"],
    }
    sm.update_secret_version_stage(SecretId="s", VersionStage="mine", RemoveFromVersionId=TOKENS[2])
    refused(
        "InvalidParameterException",
        sm.update_secret_version_stage,
        "can't be completely removed",
        SecretId="s",
        VersionStage="AWSCURRENT",
        RemoveFromVersionId=TOKENS[2],
    )
    assert len(sm.list_secret_version_ids(SecretId="s")["Versions"]) == 2
    assert len(sm.list_secret_version_ids(SecretId="s", IncludeDeprecated=True)["Versions"]) == 3
    assert sm.get_secret_value(SecretId="s", VersionId=TOKENS[0])["SecretString"] == "one"
    updated = sm.update_secret(SecretId="s", SecretString="four", Description="new", ClientRequestToken=TOKENS[3])
    assert updated["VersionId"] == TOKENS[3]
    assert sm.get_secret_value(SecretId="s")["SecretString"] == "four"
    assert "VersionId" not in sm.update_secret(SecretId="s", Description="newer")
    assert sm.describe_secret(SecretId="s")["Description"] == "newer"
    refused("InvalidRequestException", sm.put_secret_value, "either SecretString or SecretBinary", SecretId="s")
    refused("InvalidParameterException", sm.put_secret_value, "both", SecretId="s", SecretString="x", SecretBinary=b"x")


@PATIENT
@given(
    st.lists(
        st.tuples(st.sampled_from("abcde"), st.lists(st.sampled_from(["AWSCURRENT", "AWSPENDING", "x", "y"]), unique=True, min_size=1)),
        max_size=12,
    )
)
def test_a_stage_is_on_one_version(moves):
    versions = {name: {"Stages": []} for name in "abcde"}
    for name, stages in moves:
        before = next((one for one in versions if "AWSCURRENT" in versions[one]["Stages"]), None)
        versions = staged(versions, name, stages)
        held = [stage for version in versions.values() for stage in version["Stages"]]
        assert len(held) == len(set(held))
        assert set(stages) <= set(versions[name]["Stages"])
        if "AWSCURRENT" in stages and before not in (None, name):
            assert "AWSPREVIOUS" in versions[before]["Stages"]


def test_writers_at_the_same_time_lose_nothing(sm, yard):
    sm.create_secret(Name="w", SecretString="0")
    clients = [yard.client("secretsmanager") for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        ids = list(pool.map(lambda n: clients[n % 4].put_secret_value(SecretId="w", SecretString=str(n))["VersionId"], range(1, 17)))
    assert [sm.get_secret_value(SecretId="w", VersionId=one)["SecretString"] for one in ids] == [str(n) for n in range(1, 17)]
    held = [stage for stages in sm.describe_secret(SecretId="w")["VersionIdsToStages"].values() for stage in stages]
    assert sorted(held) == ["AWSCURRENT", "AWSPREVIOUS"]
    with ThreadPoolExecutor(4) as pool:
        same = list(pool.map(lambda c: c.put_secret_value(SecretId="w", SecretString="same", ClientRequestToken=TOKENS[6]), clients))
    assert {one["VersionId"] for one in same} == {TOKENS[6]}
    assert yard.platform.store.db.read("SELECT count(*) FROM secret_values") == [(18,)]


def test_a_hundred_versions(sm, yard):
    sm.create_secret(Name="many", SecretString="0")
    for number in range(1, 104):
        sm.put_secret_value(SecretId="many", SecretString=str(number))
        yard.platform.clock.advance(1)
    assert len(sm.list_secret_version_ids(SecretId="many", IncludeDeprecated=True)["Versions"]) == 100
    assert yard.platform.store.db.read("SELECT count(*) FROM secret_values") == [(100,)]


def test_deletion_and_restoring(sm, yard):
    arn = sm.create_secret(Name="gone", SecretString="v")["ARN"]
    refused("InvalidParameterException", sm.delete_secret, "between 7 and 30 days", SecretId="gone", RecoveryWindowInDays=6)
    refused(
        "InvalidParameterException",
        sm.delete_secret,
        "in conjunction",
        SecretId="gone",
        RecoveryWindowInDays=7,
        ForceDeleteWithoutRecovery=True,
    )
    told = sm.delete_secret(SecretId="gone", RecoveryWindowInDays=7)
    assert told["DeletionDate"].timestamp() == yard.platform.clock.now() + 7 * DAY
    marked = "marked for deletion"
    refused("InvalidRequestException", sm.get_secret_value, marked, SecretId="gone")
    refused("InvalidRequestException", sm.put_secret_value, marked, SecretId="gone", SecretString="x")
    refused("InvalidRequestException", sm.create_secret, "already scheduled for deletion", Name="gone", SecretString="x")
    assert sm.list_secrets()["SecretList"] == []
    assert [one["Name"] for one in sm.list_secrets(IncludePlannedDeletion=True)["SecretList"]] == ["gone"]
    assert "DeletedDate" in sm.describe_secret(SecretId="gone")
    sm.restore_secret(SecretId="gone")
    assert sm.get_secret_value(SecretId="gone")["SecretString"] == "v"
    sm.delete_secret(SecretId="gone")
    yard.settle({"secret"})
    yard.platform.clock.advance(30 * DAY - 1)
    yard.settle({"secret"})
    assert sm.describe_secret(SecretId="gone")["ARN"] == arn
    yard.platform.clock.advance(1)
    yard.settle({"secret"})
    refused("ResourceNotFoundException", sm.describe_secret, SecretId="gone")
    assert yard.platform.store.db.read("SELECT count(*) FROM secret_values") == [(0,)]
    again = sm.create_secret(Name="gone", SecretString="w")["ARN"]
    assert again != arn
    refused("ResourceNotFoundException", sm.get_secret_value, SecretId=arn)
    sm.delete_secret(SecretId="gone", ForceDeleteWithoutRecovery=True)
    refused("ResourceNotFoundException", sm.describe_secret, SecretId="gone")
    sm.delete_secret(SecretId="never-was", ForceDeleteWithoutRecovery=True)
    refused("ResourceNotFoundException", sm.delete_secret, SecretId="never-was")


def test_listing_and_batches(sm, yard):
    for name in ("app/one", "app/two", "Other"):
        sm.create_secret(Name=name, SecretString=name, Description=f"the {name} secret", Tags=[{"Key": "k" + name[-1], "Value": "v"}])
        yard.platform.clock.advance(60)

    def names(**request):
        pages = sm.get_paginator("list_secrets").paginate(**request)
        return [one["Name"] for page in pages for one in page["SecretList"]]

    assert names(SortOrder="asc") == ["app/one", "app/two", "Other"]
    assert names() == names(SortOrder="asc") and names(SortOrder="desc") == ["Other", "app/two", "app/one"]
    assert names(SortBy="name", PaginationConfig={"PageSize": 1}) == ["Other", "app/one", "app/two"]
    assert names(Filters=[{"Key": "name", "Values": ["app/"]}], SortOrder="asc") == ["app/one", "app/two"]
    assert names(Filters=[{"Key": "name", "Values": ["!app/"]}]) == ["Other"]
    assert names(Filters=[{"Key": "tag-key", "Values": ["ko"]}]) == ["app/two"]
    assert names(Filters=[{"Key": "all", "Values": ["OTHER"]}]) == ["Other"]
    assert names(Filters=[{"Key": "tag-value", "Values": ["v"]}, {"Key": "description", "Values": ["one"]}]) == ["app/one"]
    refused("InvalidNextTokenException", sm.list_secrets, NextToken="nothing")
    for half, text in (({}, "filter key"), ({"Key": "name"}, "filter values for key: name"), ({"Values": ["a"]}, "filter key")):
        refused("InvalidParameterException", sm.list_secrets, f"Invalid {text}", Filters=[half])
    got = sm.batch_get_secret_value(SecretIdList=["app/one", "nothing", "Other"])
    assert [one["SecretString"] for one in got["SecretValues"]] == ["app/one", "Other"]
    assert [(one["SecretId"], one["ErrorCode"]) for one in got["Errors"]] == [("nothing", "ResourceNotFoundException")]
    page = sm.batch_get_secret_value(Filters=[{"Key": "name", "Values": ["app"]}], MaxResults=1)
    assert [one["Name"] for one in page["SecretValues"]] == ["app/one"]
    page = sm.batch_get_secret_value(Filters=[{"Key": "name", "Values": ["app"]}], NextToken=page["NextToken"])
    assert [one["Name"] for one in page["SecretValues"]] == ["app/two"]
    refused("InvalidParameterException", sm.batch_get_secret_value, "not both")


def test_nothing_lies_in_the_clear(sm, yard, caplog):
    text, binary = "plain-secret-0123456789", b"\x00binary-secret-9876543210"
    sm.create_secret(Name="s", SecretString=text)
    sm.put_secret_value(SecretId="s", SecretBinary=binary)
    refused("ResourceExistsException", sm.create_secret, Name="s", SecretString=text)
    wanted = [form for secret in (text.encode(), binary) for form in (secret, base64.b64encode(secret))]
    for path in yard.settings.data.rglob("*"):
        assert not path.is_file() or not any(form in path.read_bytes() for form in wanted), path
    assert text not in caplog.text


def _user(yard, name, *statements, service="secretsmanager"):
    iam = yard.client("iam")
    arn = iam.create_user(UserName=name)["User"]["Arn"]
    if statements:
        iam.put_user_policy(
            UserName=name, PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": list(statements)})
        )
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return inproc.client(yard.gateway, service, key=key["AccessKeyId"], secret=key["SecretAccessKey"]), arn


def test_permissions(sm, yard):
    arn = sm.create_secret(Name="app/db", SecretString="v", Tags=[{"Key": "team", "Value": "a"}])["ARN"]
    sm.create_secret(Name="other", SecretString="v")
    prefix = f"arn:aws:secretsmanager:us-east-1:{ACCOUNT}:secret:app/*"
    app, _ = _user(
        yard,
        "app",
        {
            "Effect": "Allow",
            "Action": ["secretsmanager:GetSecretValue", "secretsmanager:CreateSecret", "secretsmanager:BatchGetSecretValue"],
            "Resource": [prefix],
        },
    )
    assert app.get_secret_value(SecretId="app/db")["SecretString"] == "v"
    assert app.create_secret(Name="app/new", SecretString="x")["Name"] == "app/new"
    refused("AccessDeniedException", app.create_secret, "secretsmanager:CreateSecret", Name="else", SecretString="x")
    refused(
        "AccessDeniedException",
        app.create_secret,
        "secretsmanager:TagResource",
        Name="app/t",
        SecretString="x",
        Tags=[{"Key": "a", "Value": "b"}],
    )
    refused("AccessDeniedException", app.get_secret_value, "secret:other-", SecretId="other")
    exact, _ = _user(
        yard,
        "exact",
        {"Effect": "Allow", "Action": "secretsmanager:*", "Resource": arn},
        {"Effect": "Allow", "Action": "secretsmanager:BatchGetSecretValue", "Resource": "*"},
    )
    assert exact.get_secret_value(SecretId="app/db")["SecretString"] == "v"
    assert exact.get_secret_value(SecretId=arn[:-7])["SecretString"] == "v"
    batch = exact.batch_get_secret_value(SecretIdList=["app/db", "other"])
    assert ([one["Name"] for one in batch["SecretValues"]], [one["ErrorCode"] for one in batch["Errors"]]) == (
        ["app/db"],
        ["AccessDeniedException"],
    )
    by_tag, _ = _user(
        yard,
        "tag",
        {
            "Effect": "Allow",
            "Action": "secretsmanager:GetSecretValue",
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:ResourceTag/team": "a"}},
        },
    )
    assert by_tag.get_secret_value(SecretId="app/db")["SecretString"] == "v"
    refused("AccessDeniedException", by_tag.get_secret_value, SecretId="other")
    nobody, _ = _user(yard, "nobody")
    for method, request in (
        (nobody.describe_secret, {}), (nobody.put_secret_value, {"SecretString": "x"}), (nobody.update_secret, {"Description": "x"}),
        (nobody.delete_secret, {}), (nobody.restore_secret, {}), (nobody.rotate_secret, {}), (nobody.cancel_rotate_secret, {}),
        (nobody.get_resource_policy, {}), (nobody.put_resource_policy, {"ResourcePolicy": "{}"}), (nobody.delete_resource_policy, {}),
        (nobody.list_secret_version_ids, {}), (nobody.tag_resource, {"Tags": []}), (nobody.untag_resource, {"TagKeys": ["a"]}),
        (nobody.update_secret_version_stage, {"VersionStage": "x"}), (nobody.validate_resource_policy, {"ResourcePolicy": "{}"}),
        (nobody.get_secret_value, {}),
    ):  # fmt: skip
        refused("AccessDeniedException", method, SecretId="app/db", **request)
    for method in (nobody.list_secrets, nobody.get_random_password):
        refused("AccessDeniedException", method)


def test_a_key_of_ones_own_must_be_usable(sm, yard):
    kms = yard.client("kms")
    key = kms.create_key()["KeyMetadata"]
    sm.create_secret(Name="s", SecretString="v", KmsKeyId=key["KeyId"])
    assert sm.describe_secret(SecretId="s")["KmsKeyId"] == key["KeyId"]
    reader, _ = _user(yard, "reader", {"Effect": "Allow", "Action": "secretsmanager:*", "Resource": "*"})
    refused("AccessDeniedException", reader.get_secret_value, "Access to KMS is not allowed", SecretId="s")
    assert sm.get_secret_value(SecretId="s")["SecretString"] == "v"
    kms.disable_key(KeyId=key["KeyId"])
    refused("DecryptionFailure", sm.get_secret_value, "is disabled.", SecretId="s")
    refused("EncryptionFailure", sm.put_secret_value, "is disabled.", SecretId="s", SecretString="w")
    refused("EncryptionFailure", sm.create_secret, "alias/none is not found", Name="t", SecretString="x", KmsKeyId="alias/none")


def test_resource_policies_are_evaluated(sm, yard):
    sm.create_secret(Name="s", SecretString="v")
    guest, arn = _user(yard, "guest")
    refused("AccessDeniedException", guest.get_secret_value, SecretId="s")
    allow = {"Effect": "Allow", "Principal": {"AWS": arn}, "Action": "secretsmanager:GetSecretValue", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    sm.put_resource_policy(SecretId="s", ResourcePolicy=policy, BlockPublicPolicy=True)
    assert guest.get_secret_value(SecretId="s")["SecretString"] == "v"
    refused("AccessDeniedException", guest.describe_secret, SecretId="s")
    assert sm.get_resource_policy(SecretId="s")["ResourcePolicy"] == policy
    deny = json.dumps({"Version": "2012-10-17", "Statement": [{**allow, "Effect": "Deny", "Principal": "*"}]})
    sm.put_resource_policy(SecretId="s", ResourcePolicy=deny)
    refused("AccessDeniedException", sm.get_secret_value, "explicit deny", SecretId="s")
    sm.delete_resource_policy(SecretId="s")
    assert sm.get_secret_value(SecretId="s")["SecretString"] == "v"
    assert "ResourcePolicy" not in sm.get_resource_policy(SecretId="s")
    public = json.dumps({"Version": "2012-10-17", "Statement": [{**allow, "Principal": "*"}]})
    refused("PublicPolicyException", sm.put_resource_policy, SecretId="s", ResourcePolicy=public, BlockPublicPolicy=True)
    assert sm.validate_resource_policy(ResourcePolicy=policy)["PolicyValidationPassed"] is True
    assert sm.validate_resource_policy(ResourcePolicy=public)["ValidationErrors"][0]["CheckName"] == "BlockPublicPolicy"
    assert sm.validate_resource_policy(ResourcePolicy="{")["PolicyValidationPassed"] is False
    refused("MalformedPolicyDocumentException", sm.put_resource_policy, SecretId="s", ResourcePolicy="{")


def test_another_account_reads_with_a_policy_and_a_key_of_both(sm, yard):
    from modelyard.services.iam.bootstrap import ensure_account

    other = "210987654321"
    secrets = ensure_account(yard.platform, other)["session"]
    theirs = inproc.client(
        yard.gateway, "secretsmanager", key=secrets["AccessKeyId"], secret=secrets["SecretAccessKey"], token=secrets["SessionToken"]
    )
    everyone = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{other}:root"}, "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [{**everyone, "Action": "secretsmanager:GetSecretValue"}]})
    managed = sm.create_secret(Name="managed", SecretString="v")["ARN"]
    sm.put_resource_policy(SecretId="managed", ResourcePolicy=policy)
    refused("InvalidRequestException", theirs.get_secret_value, "different AWS account", SecretId=managed)
    refused("AccessDeniedException", theirs.put_secret_value, SecretId=managed, SecretString="w")
    own = {"Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}, "Action": "kms:*", "Resource": "*"}
    key_policy = json.dumps({"Version": "2012-10-17", "Statement": [own, {**everyone, "Action": "kms:Decrypt"}]})
    key = yard.client("kms").create_key(Policy=key_policy)["KeyMetadata"]["Arn"]
    shared = sm.create_secret(Name="shared", SecretString="v", KmsKeyId=key)["ARN"]
    refused("AccessDeniedException", theirs.get_secret_value, "no resource-based policy", SecretId=shared)
    sm.put_resource_policy(SecretId="shared", ResourcePolicy=policy)
    assert theirs.get_secret_value(SecretId=shared)["SecretString"] == "v"


@PATIENT
@given(
    st.integers(1, 100),
    st.sets(st.sampled_from(["Numbers", "Punctuation", "Uppercase", "Lowercase"])),
    st.booleans(),
    st.booleans(),
    st.text(string.printable, max_size=30),
)
def test_random_passwords(length, left_out, space, every, characters):
    from modelyard.services.secretsmanager.password import KINDS, get_random_password

    request = {"PasswordLength": length, "IncludeSpace": space, "RequireEachIncludedType": every, "ExcludeCharacters": characters}
    request |= {f"Exclude{kind}": True for kind in left_out}
    kinds = [set(text) - set(characters) for member, text in KINDS.items() if not request.get(member)]
    kinds = [kind for kind in kinds if kind]
    blank = {" "} - set(characters) if space else set()
    if not (kinds or blank) or (every and length < len(kinds)):
        with pytest.raises(ApiError):
            get_random_password(None, request)
        return
    made = get_random_password(None, request)["RandomPassword"]
    assert len(made) == length
    assert set(made) <= set().union(*kinds, blank)
    assert not (every and blank and length > len(kinds)) or " " in made
    assert not every or all(set(made) & kind for kind in kinds)


def test_a_random_password_by_the_client(sm):
    assert len(sm.get_random_password()["RandomPassword"]) == 32
    assert sm.get_random_password(PasswordLength=20, ExcludePunctuation=True)["RandomPassword"].isalnum()
    refused("InvalidParameterException", sm.get_random_password, "too short", PasswordLength=3)


# --- rotation --------------------------------------------------------------------------------------

FUNCTION = f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:rotate"


@pytest.fixture
def function(yard):
    """A service that takes deliveries for Lambda functions and does what AWS's rotation templates do."""
    fake, sm, steps = Service("lambda"), yard.client("secretsmanager"), []

    @fake.target
    def deliver(platform, delivery):
        event = json.loads(delivery.body)
        assert (delivery.source, delivery.source_arn) == ("secretsmanager.amazonaws.com", event["SecretId"])
        steps.append(event["Step"])
        if steps.count("fail") and event["Step"] == "setSecret":
            raise ApiError("FunctionError", "no")
        arn, token = event["SecretId"], event["ClientRequestToken"]
        stages = sm.describe_secret(SecretId=arn)["VersionIdsToStages"]
        assert "AWSPENDING" in stages[token]
        if event["Step"] == "createSecret":
            try:
                sm.get_secret_value(SecretId=arn, VersionId=token, VersionStage="AWSPENDING")
                return  # made at an earlier try
            except ClientError as problem:
                assert problem.response["Error"]["Code"] == "ResourceNotFoundException"
            sm.put_secret_value(SecretId=arn, ClientRequestToken=token, SecretString=f"made {token}", VersionStages=["AWSPENDING"])
        if event["Step"] == "finishSecret":
            current = next(name for name, held in stages.items() if "AWSCURRENT" in held)
            sm.update_secret_version_stage(SecretId=arn, VersionStage="AWSCURRENT", MoveToVersionId=token, RemoveFromVersionId=current)

    yard.platform.services["lambda"] = fake
    yield steps
    del yard.platform.services["lambda"]


def test_without_lambda_a_rotation_is_refused_and_nothing_is_kept(sm):
    sm.create_secret(Name="s", SecretString="v")
    refused("InvalidRequestException", sm.rotate_secret, "No Lambda rotation function ARN", SecretId="s")
    refused(
        "AccessDeniedException", sm.rotate_secret, "cannot invoke the specified Lambda function", SecretId="s", RotationLambdaARN=FUNCTION
    )
    assert "RotationEnabled" not in sm.describe_secret(SecretId="s")
    refused("InvalidRequestException", sm.cancel_rotate_secret, SecretId="s")


def test_rotation_by_a_function_at_once_and_by_schedule(sm, yard, function):
    sm.create_secret(Name="s", SecretString="v")
    token = sm.rotate_secret(
        SecretId="s", RotationLambdaARN=FUNCTION, RotationRules={"AutomaticallyAfterDays": 10}, ClientRequestToken=TOKENS[0]
    )["VersionId"]
    refused("InvalidRequestException", sm.rotate_secret, "previous rotation isn't complete", SecretId="s")
    yard.settle({"secret"})
    assert function == ["createSecret", "setSecret", "testSecret", "finishSecret"]
    assert sm.get_secret_value(SecretId="s")["SecretString"] == f"made {token}"
    told = sm.describe_secret(SecretId="s")
    assert told["RotationEnabled"] is True
    assert told["NextRotationDate"].timestamp() == yard.platform.clock.now() + 10 * DAY
    assert told["LastRotatedDate"].timestamp() == yard.platform.clock.now()
    yard.platform.clock.advance(10 * DAY - 1)
    yard.settle({"secret"})
    assert len(function) == 4
    yard.platform.clock.advance(1)
    yard.settle({"secret"})
    assert len(function) == 8
    assert sm.get_secret_value(SecretId="s", VersionStage="AWSPREVIOUS")["SecretString"] == f"made {token}"
    sm.rotate_secret(SecretId="s", RotationRules={"ScheduleExpression": "cron(0 8 1 * ? *)", "Duration": "3h"}, RotateImmediately=False)
    when = sm.describe_secret(SecretId="s")["NextRotationDate"]
    assert (when.astimezone(tz=None).timestamp() % DAY) / 3600 == 8
    sm.cancel_rotate_secret(SecretId="s")
    assert sm.describe_secret(SecretId="s")["RotationEnabled"] is False
    yard.platform.clock.advance(100 * DAY)
    yard.settle({"secret"})
    assert len(function) == 8
    for rules in (
        {"AutomaticallyAfterDays": 1, "ScheduleExpression": "rate(4 hours)"},
        {"ScheduleExpression": "rate(1 hour)"},
        {"ScheduleExpression": "at(1)"},
        {"AutomaticallyAfterDays": 1, "Duration": "25h"},
    ):
        refused("InvalidParameterException", sm.rotate_secret, SecretId="s", RotationRules=rules)


def test_a_rotation_that_fails_leaves_the_current_value(sm, yard, function):
    sm.create_secret(Name="s", SecretString="v")
    function.append("fail")
    sm.rotate_secret(SecretId="s", RotationLambdaARN=FUNCTION, RotationRules={"AutomaticallyAfterDays": 1})
    yard.settle({"secret"})
    assert function == ["fail", "createSecret", "setSecret"]
    assert sm.get_secret_value(SecretId="s")["SecretString"] == "v"
    assert "LastRotatedDate" not in sm.describe_secret(SecretId="s")
    refused("InvalidRequestException", sm.rotate_secret, "That rotation will be reattempted.", SecretId="s")
    yard.settle({"secret"})
    assert function.count("createSecret") == 2, "asked for again, it is tried at once"
    [pending] = [name for name, stages in sm.describe_secret(SecretId="s")["VersionIdsToStages"].items() if stages == ["AWSPENDING"]]
    for pause, tries in ((60, 2), (60, 3), (180, 3), (60, 4)):
        yard.platform.clock.advance(pause)
        yard.settle({"secret"})
        assert function.count("createSecret") == tries, "later and later"
    function.remove("fail")
    yard.platform.clock.advance(3600)
    yard.settle({"secret"})
    assert sm.get_secret_value(SecretId="s")["SecretString"].startswith("made ")
    assert sm.get_secret_value(SecretId="s")["VersionId"] == pending, "the same version as at first"


def test_the_stage_that_is_meant_is_a_condition(sm, yard):
    """`secretsmanager:VersionStage` is AWSCURRENT where a request names neither stage nor version."""
    sm.create_secret(Name="s", SecretString="one", ClientRequestToken=TOKENS[0])
    sm.put_secret_value(SecretId="s", SecretString="two")
    current = {"ForAnyValue:StringEquals": {"secretsmanager:VersionStage": "AWSCURRENT"}}
    iam = yard.client("iam")
    iam.create_user(UserName="reader")
    allow = {"Effect": "Allow", "Action": "secretsmanager:GetSecretValue", "Resource": "*", "Condition": current}
    iam.put_user_policy(UserName="reader", PolicyName="p", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [allow]}))
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    reader = inproc.client(yard.gateway, "secretsmanager", key=key["AccessKeyId"], secret=key["SecretAccessKey"])
    assert reader.get_secret_value(SecretId="s")["SecretString"] == "two"
    assert reader.get_secret_value(SecretId="s", VersionStage="AWSCURRENT")["SecretString"] == "two"
    refused("AccessDeniedException", reader.get_secret_value, SecretId="s", VersionStage="AWSPREVIOUS")
    refused("AccessDeniedException", reader.get_secret_value, SecretId="s", VersionId=TOKENS[0])
