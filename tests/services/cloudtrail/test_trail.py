"""The audit trail: what calls leave in it, who reads it, and what must never be in it."""

import json
import os
import stat

import pytest
from botocore.exceptions import ClientError

from modelyard.kernel import models
from modelyard.kernel.clock import ManualClock
from modelyard.services.cloudtrail import files
from modelyard.services.cloudtrail.redact import HIDDEN, Redacted
from tests.support import inproc
from tests.support.platform import ACCOUNT, InProcess

NOW = 1_800_000_000.0
ALLOW_STS = json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "iam:GetUser", "Resource": "*"}})


@pytest.fixture
def clock():
    return ManualClock(NOW)


@pytest.fixture
def yard(tmp_path, clock):
    made = InProcess(tmp_path / "data", clock)
    yield made
    made.close()


def user(yard, name, policy=None):
    """A new user's boto3 keys."""
    iam = yard.client("iam")
    iam.create_user(UserName=name)
    if policy:
        iam.put_user_policy(UserName=name, PolicyName="own", PolicyDocument=policy)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return lambda service, **more: inproc.client(yard.gateway, service, key=key["AccessKeyId"], secret=key["SecretAccessKey"], **more)


def look(yard, **attribute):
    ((key, value),) = attribute.items() or [(None, None)]
    found = yard.client("cloudtrail").lookup_events(LookupAttributes=[{"AttributeKey": key, "AttributeValue": value}])
    return [json.loads(event["CloudTrailEvent"]) for event in found["Events"]]


def everything(yard):
    yard.platform.trail.flush()
    return b"".join(path.read_bytes() for path in yard.platform.trail.folder.rglob("*") if path.is_file())


def test_event_of_a_write(yard):
    yard.client("iam").create_role(
        RoleName="Worker",
        AssumeRolePolicyDocument=json.dumps(
            {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
            }
        ),
    )
    (event,) = look(yard, EventName="CreateRole")
    assert event["eventVersion"] >= "1.08" and event["eventTime"] == "2027-01-15T08:00:00Z"
    assert (event["eventSource"], event["awsRegion"], event["sourceIPAddress"]) == ("iam.amazonaws.com", "us-east-1", "127.0.0.1")
    assert event["userAgent"].startswith("Boto3/") and event["eventType"] == "AwsApiCall"
    assert event["requestParameters"]["roleName"] == "Worker" and event["responseElements"]["role"]["roleName"] == "Worker"
    assert not event["readOnly"] and event["managementEvent"] and event["recipientAccountId"] == ACCOUNT
    assert event["resources"] == [{"ARN": f"arn:aws:iam::{ACCOUNT}:role/Worker", "accountId": ACCOUNT, "type": "AWS::IAM::Role"}]
    who = event["userIdentity"]
    assert who["type"] == "AssumedRole" and who["arn"].startswith(f"arn:aws:sts::{ACCOUNT}:assumed-role/ModelyardExecutionRole/")
    issuer = who["sessionContext"]["sessionIssuer"]
    assert issuer["type"] == "Role" and issuer["userName"] == "ModelyardExecutionRole"
    assert who["principalId"].startswith(issuer["principalId"] + ":")
    assert who["sessionContext"]["attributes"]["mfaAuthenticated"] == "false"


def test_reads_have_no_answer_and_data_calls_no_event(yard):
    s3 = yard.client("s3")
    s3.create_bucket(Bucket="bucket-b")
    s3.put_object(Bucket="bucket-b", Key="dir/k", Body=b"x")
    s3.get_object(Bucket="bucket-b", Key="dir/k")
    yard.client("sts").get_caller_identity()
    (event,) = look(yard, EventName="GetCallerIdentity")
    assert event["readOnly"] and event["responseElements"] is None
    names = {event["eventName"] for event in look(yard, ReadOnly="false")}
    assert "CreateBucket" in names and "PutObject" not in names and look(yard, EventName="GetObject") == []


def test_failed_and_denied_calls(yard):
    anna = user(yard, "anna")
    with pytest.raises(ClientError) as denied:
        anna("sagemaker").list_models()
    with pytest.raises(ClientError):
        yard.client("iam").get_role(RoleName="nobody")
    (event,) = look(yard, Username="anna")
    assert (event["errorCode"], event["eventName"], event["userIdentity"]["type"]) == ("AccessDenied", "ListModels", "IAMUser")
    assert event["userIdentity"]["userName"] == "anna" and event["errorMessage"] == denied.value.response["Error"]["Message"]
    assert event["requestID"] == denied.value.response["ResponseMetadata"]["RequestId"]
    assert look(yard, EventName="GetRole")[0]["errorCode"] == "NoSuchEntityException"


def test_identities(yard):
    yard.root("iam").list_users()
    assert look(yard, Username="root")[0]["userIdentity"] | {"accessKeyId": ""} == {
        "type": "Root",
        "principalId": ACCOUNT,
        "arn": f"arn:aws:iam::{ACCOUNT}:root",
        "accountId": ACCOUNT,
        "accessKeyId": "",
    }
    fed = user(yard, "broker", json.dumps({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}))
    keys = fed("sts").get_federation_token(Name="visitor", Policy=ALLOW_STS)["Credentials"]
    visitor = inproc.client(yard.gateway, "iam", key=keys["AccessKeyId"], secret=keys["SecretAccessKey"], token=keys["SessionToken"])
    with pytest.raises(ClientError):
        visitor.list_users()
    who = look(yard, AccessKeyId=keys["AccessKeyId"])[0]["userIdentity"]
    assert who["type"] == "FederatedUser" and who["sessionContext"]["sessionIssuer"]["userName"] == "broker"


@pytest.mark.parametrize(
    "key, value, name",
    [
        ("EventSource", "ssm.amazonaws.com", "PutParameter"),
        ("ResourceType", "AWS::IAM::Group", "CreateGroup"),
        ("ResourceName", "crew", "CreateGroup"),
        ("EventName", "CreateGroup", "CreateGroup"),
    ],
)
def test_each_attribute_finds(yard, key, value, name):
    yard.client("iam").create_group(GroupName="crew")
    yard.client("ssm").put_parameter(Name="/p", Value="v", Type="String")
    found = look(yard, **{key: value})
    assert [event["eventName"] for event in found] == [name]
    assert look(yard, EventId=found[0]["eventID"])[0]["requestID"] == found[0]["requestID"]


def test_newest_first_in_pages_and_times(yard, clock):
    iam, trail = yard.client("iam"), yard.client("cloudtrail")
    for number in range(7):
        iam.create_group(GroupName=f"g{number}")
        clock.advance(10)
    wanted = [{"AttributeKey": "EventName", "AttributeValue": "CreateGroup"}]
    pages = list(trail.get_paginator("lookup_events").paginate(LookupAttributes=wanted, PaginationConfig={"PageSize": 3}))
    assert [len(page["Events"]) for page in pages] == [3, 3, 1]
    assert [e["Resources"][0]["ResourceName"] for page in pages for e in page["Events"]] == [f"g{n}" for n in range(6, -1, -1)]
    some = trail.lookup_events(LookupAttributes=wanted, StartTime=NOW + 15, EndTime=NOW + 35)["Events"]
    assert [e["Resources"][0]["ResourceName"] for e in some] == ["g3", "g2"]
    assert some[0]["EventTime"].timestamp() == NOW + 30


@pytest.mark.parametrize(
    "request_, code",
    [
        ({"LookupAttributes": [{"AttributeKey": "EventName", "AttributeValue": "a"}] * 2}, "InvalidLookupAttributesException"),
        ({"StartTime": 20, "EndTime": 10}, "InvalidTimeRangeException"),
        ({"NextToken": "nonsense"}, "InvalidNextTokenException"),
    ],
)
def test_wrong_lookups(yard, request_, code):
    with pytest.raises(ClientError) as wrong:
        yard.client("cloudtrail").lookup_events(**request_)
    assert wrong.value.response["Error"]["Code"] == code


def test_other_accounts_and_strangers_see_nothing(yard):
    yard.client("iam").create_group(GroupName="crew")
    with pytest.raises(ClientError) as denied:
        user(yard, "eve")("cloudtrail").lookup_events()
    assert denied.value.response["Error"]["Code"] == "AccessDeniedException"


# --- secrets ---------------------------------------------------------------------------------------


def test_no_secret_is_in_the_trail(yard, tmp_path):
    secret = "Correct-Horse-7-Battery!"
    made = yard.client("secretsmanager").create_secret(Name="s", SecretString=secret)
    yard.client("secretsmanager").put_secret_value(SecretId=made["ARN"], SecretString=secret, ClientRequestToken="t" * 32)
    yard.client("secretsmanager").get_secret_value(SecretId="s")
    yard.client("ssm").put_parameter(Name="/p", Value=secret, Type="SecureString")
    yard.client("ssm").get_parameter(Name="/p", WithDecryption=True)
    iam = yard.client("iam")
    iam.create_user(UserName="u")
    iam.create_login_profile(UserName="u", Password=secret)
    key = iam.create_access_key(UserName="u")["AccessKey"]
    session = yard.client("sts").assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/ModelyardExecutionRole", RoleSessionName="worker")
    kms = yard.client("kms")
    sealed = kms.encrypt(KeyId=kms.create_key()["KeyMetadata"]["KeyId"], Plaintext=secret.encode())
    kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"])
    with pytest.raises(ClientError):
        yard.client("sagemaker").create_model(
            ModelName="bad name",
            ExecutionRoleArn=f"arn:aws:iam::{ACCOUNT}:role/nobody",
            PrimaryContainer={"Image": "i", "Environment": {"HF_TOKEN": secret}},
        )
    kept = everything(yard)
    for text in (secret, key["SecretAccessKey"], session["Credentials"]["SecretAccessKey"], session["Credentials"]["SessionToken"]):
        assert text.encode() not in kept
    (event,) = look(yard, EventName="CreateAccessKey")
    assert event["responseElements"]["accessKey"]["secretAccessKey"] == HIDDEN
    assert event["responseElements"]["accessKey"]["accessKeyId"] == key["AccessKeyId"]
    assert look(yard, EventName="AssumeRole")[0]["responseElements"] is None
    for path in (tmp_path / "data").rglob("*.log"):
        assert secret.encode() not in path.read_bytes()


def test_a_message_that_repeats_a_secret(yard):
    """What an error says of the request is told without its secret members."""
    with pytest.raises(ClientError) as wrong:
        yard.client("iam").create_login_profile(UserName="u", Password="\t" + "x" * 200)
    assert wrong.value.response["Error"]["Code"]
    assert b"xxxxxxxx" not in everything(yard)


def _filled(shapes, name, depth=0):
    """A value of this shape in which every text is the same word."""
    shape = shapes[name]
    kind = shape["type"]
    if depth > 6:
        return None
    if kind == "structure":
        found = {m: _filled(shapes, inner["shape"], depth + 1) for m, inner in shape["members"].items()}
        return {m: v for m, v in found.items() if v is not None}
    if kind == "list":
        return [v for v in [_filled(shapes, shape["member"]["shape"], depth + 1)] if v is not None]
    if kind == "map":
        inner = _filled(shapes, shape["value"]["shape"], depth + 1)
        return {"key": inner} if inner is not None else {}
    word = "SENSITIVE" if shape.get("sensitive") else "plain"
    return {"string": word, "blob": word.encode(), "boolean": True}.get(kind, 1)


def _services():
    from modelyard.app import load_services

    return sorted(load_services())


@pytest.mark.parametrize("service", _services())
def test_every_sensitive_shape_of_every_model(service):
    model, seen = models.service_model(service), 0
    for operation in model["operations"].values():
        for side in ("input", "output"):
            if side in operation:
                value = _filled(model["shapes"], operation[side]["shape"])
                kept = Redacted(service, operation[side]["shape"], value)
                assert "SENSITIVE" not in json.dumps(kept.value), operation["name"]
                seen += 1
    assert seen


def test_members_that_are_named_like_secrets_are_hidden_and_paging_is_not():
    kept = Redacted("iam", "CreateAccessKeyResponse", {"AccessKey": {"UserName": "u", "SecretAccessKey": "abcd", "AccessKeyId": "AKIA"}})
    assert kept.value == {"accessKey": {"userName": "u", "secretAccessKey": HIDDEN, "accessKeyId": "AKIA"}} and kept.secrets == ["abcd"]
    kept = Redacted("sagemaker", "ListModelsInput", {"NextToken": "abc", "MaxResults": 3})
    assert kept.value == {"nextToken": "abc", "maxResults": 3}


# --- files -----------------------------------------------------------------------------------------


def line(at, **more):
    return b'{"t":%.6f,' % at + json.dumps(more).encode()[1:] + b"\n"


def test_files_are_private(yard):
    yard.client("iam").list_users()
    yard.platform.trail.flush()
    folder = yard.platform.trail.folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()] == [0o600] * 2


def test_a_torn_line_is_passed_over(tmp_path):
    writer = files.Writer(tmp_path)
    writer.append([line(1, n=1), line(2, n=2)], 1)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes() + b'{"t":3.0,"n"')
    assert [at for at, _ in files.lines(tmp_path)] == [2, 1]
    other = files.Writer(tmp_path)
    other.append([line(2.5, n=3)], 2)
    assert [at for at, _ in files.lines(tmp_path)] == [2.5, 2, 1]
    assert [at for at, _ in files.lines(tmp_path, 1.5, 2.2)] == [2]


def test_long_files_are_read_backwards_whole(tmp_path):
    writer = files.Writer(tmp_path)
    writer.append([line(n, pad="x" * (n * 37 % 900)) for n in range(1, 1000)], 1)
    assert [at for at, _ in files.lines(tmp_path)] == list(range(999, 0, -1))
    assert all(files.parse(found)["t"] == at for at, found in files.lines(tmp_path))


def test_rotation_and_retention(tmp_path):
    writer = files.Writer(tmp_path, file_bytes=100)
    for day in range(5):
        writer.append([line(day * 86400 + 1, pad="x" * 120)], day * 86400 + 1)
    assert len(list(tmp_path.iterdir())) == 5
    writer.append([line(92 * 86400.0)], 92 * 86400.0)
    assert sorted(at // 86400 for at, _ in files.lines(tmp_path)) == [2, 3, 4, 92]
    small = files.Writer(tmp_path, file_bytes=100, folder_bytes=250)
    small.append([line(92 * 86400.0 + 5)], 92 * 86400.0 + 5)
    assert sorted(at // 86400 for at, _ in files.lines(tmp_path)) == [4, 92, 92]


def test_a_writer_whose_file_is_gone_begins_another(tmp_path):
    writer = files.Writer(tmp_path)
    writer.append([line(1)], 1)
    os.unlink(next(tmp_path.iterdir()))
    writer.append([line(2)], 2)
    assert [at for at, _ in files.lines(tmp_path)] == [2]


def test_calls_are_counted_by_principal(yard, clock):
    s3 = yard.client("s3")
    s3.create_bucket(Bucket="bucket-b")
    for number in range(3):
        s3.put_object(Bucket="bucket-b", Key=f"a/b/c/{number}", Body=b"")
    role = f"arn:aws:iam::{ACCOUNT}:role/ModelyardExecutionRole"
    uses = yard.platform.trail.uses(role)
    assert uses["s3:PutObject", "arn:aws:s3:::bucket-b/a/b/*", True, ""] == (3, pytest.approx(NOW, abs=1))
    clock.advance(60)
    assert yard.platform.trail.uses(role, NOW + 30) == {}


def test_what_was_used_first_is_written_before_the_answer(yard, clock):
    """Only how often may be lost with a process that is killed."""
    trail, s3 = yard.platform.trail, yard.client("s3")
    s3.create_bucket(Bucket="bucket-b")
    trail.flush = lambda: None  # what is gathered is lost: what is not written now, never is

    def written(action):
        rows = [use for _, line in files.lines(trail.folder) for use in (files.parse(line) or {}).get("u", ())]
        return [use[2] for use in rows if use[1] == action]

    for number in range(3):
        s3.put_object(Bucket="bucket-b", Key=f"a/{number}", Body=b"")
        s3.get_object(Bucket="bucket-b", Key=f"a/{number}")["Body"].read()
    assert written("s3:PutObject") == written("s3:GetObject") == ["arn:aws:s3:::bucket-b/a/*"]
    s3.put_object(Bucket="bucket-b", Key="b/1", Body=b"")
    assert written("s3:PutObject") == ["arn:aws:s3:::bucket-b/b/*", "arn:aws:s3:::bucket-b/a/*"]
    clock.advance(3600)
    s3.put_object(Bucket="bucket-b", Key="a/4", Body=b"")
    assert len(written("s3:PutObject")) == 3, "for those who ask what was used since then"


def test_both_accounts_hear_of_a_call_between_them(yard):
    from modelyard.services.iam.bootstrap import ensure_account

    theirs = ensure_account(yard.platform, "999988887777")["session"]
    keys = {"key": theirs["AccessKeyId"], "secret": theirs["SecretAccessKey"], "token": theirs["SessionToken"]}
    trust = {"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::999988887777:root"}, "Action": "sts:AssumeRole"}
    yard.client("iam").create_role(RoleName="guest", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))
    inproc.client(yard.gateway, "sts", **keys).assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/guest", RoleSessionName="visit")
    (ours,) = [one for one in look(yard, EventName="AssumeRole") if one["requestParameters"]["roleSessionName"] == "visit"]
    found = inproc.client(yard.gateway, "cloudtrail", **keys).lookup_events(
        LookupAttributes=[{"AttributeKey": "EventName", "AttributeValue": "AssumeRole"}]
    )
    (other,) = [json.loads(one["CloudTrailEvent"]) for one in found["Events"]]
    assert ours["userIdentity"]["type"] == "AWSAccount" and ours["userIdentity"]["accountId"] == "999988887777"
    assert other["userIdentity"]["type"] == "AssumedRole" and ours["sharedEventID"] == other["sharedEventID"]
    assert ours["eventID"] != other["eventID"] and ours["requestID"] == other["requestID"]
    assert (ours["recipientAccountId"], other["recipientAccountId"]) == (ACCOUNT, "999988887777")


def test_what_events_say_of_s3_and_new_things(yard):
    s3, kms = yard.client("s3"), yard.client("kms")
    s3.create_bucket(Bucket="bucket-b")
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::bucket-b/x"}],
    }
    s3.put_bucket_policy(Bucket="bucket-b", Policy=json.dumps(policy))
    s3.put_bucket_versioning(Bucket="bucket-b", VersioningConfiguration={"Status": "Enabled"})
    (put,) = look(yard, EventName="PutBucketPolicy")
    assert put["requestParameters"]["bucketPolicy"] == policy and put["requestParameters"]["policy"] == ""
    assert put["requestParameters"]["bucketName"] == "bucket-b" and "Host" in put["requestParameters"]
    assert put["additionalEventData"]["AuthenticationMethod"] == "AuthHeader"
    (versions,) = look(yard, EventName="PutBucketVersioning")
    assert versions["requestParameters"]["VersioningConfiguration"] == {"Status": "Enabled"}
    key = kms.create_key()["KeyMetadata"]["Arn"]
    (made,) = look(yard, EventName="CreateKey")
    assert made["resources"] == [{"ARN": key, "accountId": ACCOUNT, "type": "AWS::KMS::Key"}]
    assert made["responseElements"]["keyMetadata"]["creationDate"].endswith("M")
    yard.client("ssm").put_parameter(Name="/team/one", Value="v", Type="String")
    (found,) = yard.client("cloudtrail").lookup_events(LookupAttributes=[{"AttributeKey": "ResourceName", "AttributeValue": "/team/one"}])[
        "Events"
    ]
    assert found["EventName"] == "PutParameter"


def test_what_the_platform_does_for_a_role_counts_too(yard):
    """A job's downloads are made in the name of its role, by an engine."""
    from modelyard.services.sagemaker.role_session import RoleSession

    yard.client("s3").create_bucket(Bucket="bucket-b")
    yard.client("s3").put_object(Bucket="bucket-b", Key="in/x", Body=b"1")
    role = f"arn:aws:iam::{ACCOUNT}:role/Worker"
    trust = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam = yard.client("iam")
    iam.create_role(RoleName="Worker", AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": trust}))
    iam.attach_role_policy(RoleName="Worker", PolicyArn="arn:aws:iam::aws:policy/AmazonS3FullAccess")
    session = RoleSession(yard.platform, ACCOUNT, "us-east-1", role)
    assert session.read("bucket-b", "in/x", 10) == b"1"
    assert ("s3:GetObject", "arn:aws:s3:::bucket-b/in/*", True, "") in yard.platform.trail.uses(role)


def test_permissions_asked_by_the_thousand_are_kept_in_bounds(yard):
    s3 = yard.client("s3")
    s3.create_bucket(Bucket="bucket-b")
    answer = s3.delete_objects(Bucket="bucket-b", Delete={"Objects": [{"Key": f"k{n}"} for n in range(1000)]})
    assert len(answer["Deleted"]) == 1000
    role = f"arn:aws:iam::{ACCOUNT}:role/ModelyardExecutionRole"
    assert yard.platform.trail.uses(role)["s3:DeleteObject", "arn:aws:s3:::bucket-b/*", True, ""][0] == 1000


def test_secrets_of_command_lines_and_addresses_are_hidden():
    words = ["python", "run.py", "--password", "hunter2", "--api-key=abcd", "--epochs", "3", "--token"]
    asked = {"AppSpecification": {"ImageUri": "i", "ContainerEntrypoint": words}}
    found = Redacted("sagemaker", "CreateProcessingJobRequest", asked)
    assert found.value["appSpecification"]["containerEntrypoint"] == [
        "python", "run.py", "--password", HIDDEN, f"--api-key={HIDDEN}", "--epochs", "3", "--token",
    ]  # fmt: skip
    assert found.without_secrets("no program hunter2 here") == f"no program {HIDDEN} here"
    asked = {"CodeRepositoryName": "r", "GitConfig": {"RepositoryUrl": "https://ann:hunter2@git.example/x.git"}}
    found = Redacted("sagemaker", "CreateCodeRepositoryInput", asked)
    assert found.value["gitConfig"]["repositoryUrl"] == f"https://ann:{HIDDEN}@git.example/x.git"


def test_what_services_do_with_keys_for_a_caller(yard):
    secrets = yard.client("secretsmanager")
    secrets.create_secret(Name="word", SecretString="hunter2")
    secrets.get_secret_value(SecretId="word")
    (made,), (read,) = look(yard, EventName="GenerateDataKey"), look(yard, EventName="Decrypt")
    for event in (made, read):
        assert event["eventSource"] == "kms.amazonaws.com" and event["userIdentity"]["type"] == "AssumedRole"
        assert event["userIdentity"]["invokedBy"] == event["sourceIPAddress"] == "secretsmanager.amazonaws.com"
        assert event["resources"][0]["type"] == "AWS::KMS::Key" and "SecretARN" in event["requestParameters"]["encryptionContext"]
    assert "hunter2" not in json.dumps([made, read])
