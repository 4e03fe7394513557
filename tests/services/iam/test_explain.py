"""Permissions that teach: ExplainCall, GenerateLeastPrivilegePolicy, and the command that shows them."""

import json

import pytest
from botocore.exceptions import ClientError

from modelyard.cli import exits, own, parser
from modelyard.cli.policy import explained
from modelyard.kernel.clock import ManualClock
from modelyard.services.iam.least_privilege import narrowed, policy_of, split
from modelyard.services.iam.lint import lint
from tests.support import inproc
from tests.support.platform import ACCOUNT, InProcess

TRUST = {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


@pytest.fixture
def clock():
    return ManualClock(1_800_000_000.0)


@pytest.fixture
def yard(tmp_path, clock):
    made = InProcess(tmp_path / "data", clock)
    yield made
    made.close()


@pytest.fixture
def anna(yard):
    """(clients of a user, put): `put(document)` replaces her one policy."""
    iam = yard.client("iam")
    iam.create_user(UserName="anna")
    key = iam.create_access_key(UserName="anna")["AccessKey"]
    keys = {"key": key["AccessKeyId"], "secret": key["SecretAccessKey"]}

    def put(*statements):
        iam.put_user_policy(UserName="anna", PolicyName="own", PolicyDocument=policy(*statements))

    return lambda service: inproc.client(yard.gateway, service, **keys), put


def denied(act):
    with pytest.raises(ClientError) as problem:
        act()
    return problem.value.response["ResponseMetadata"]["RequestId"]


def explain(yard, request_id):
    found = yard.client("modelyard").explain_call(RequestId=request_id)
    found.pop("ResponseMetadata")
    return found


def test_a_missing_statement_is_ready_to_paste(yard, anna):
    client, put = anna
    request = denied(lambda: client("sagemaker").describe_model(ModelName="m"))
    found = explain(yard, request)
    (check,) = found["Checks"]
    assert found["DeniedThen"] and not found["AllowedNow"] and check["Decision"] == "implicitDeny"
    assert (check["Action"], check["AddTo"]) == ("sagemaker:DescribeModel", "a policy of user anna")
    put(json.loads(check["MissingStatement"]))
    found = explain(yard, request)
    assert found["Checks"][0] == check, "what was decided then stays as it was"
    assert found["AllowedNow"] and found["ChecksNow"][0]["Reason"] == "Allowed by statement number 1 of inline policy own of user anna."
    assert explained(found)[-1] == "It was denied then; the policies of now allow it."


def test_every_policy_that_had_a_say(yard, anna):
    client, put = anna
    put(
        {"Sid": "Others", "Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::other/*"},
        {"Sid": "Night", "Effect": "Allow", "Action": "s3:*", "Resource": "*", "Condition": {"Bool": {"aws:SecureTransport": "true"}}},
        {"Sid": "Never", "Effect": "Deny", "Action": "s3:Get*", "Resource": "arn:aws:s3:::data-b/secret/*"},
    )
    yard.client("s3").create_bucket(Bucket="data-b")
    found = explain(yard, denied(lambda: client("s3").get_object(Bucket="data-b", Key="secret/k")))
    check = next(c for c in found["Checks"] if c["Action"] == "s3:GetObject")
    assert check["Decision"] == "explicitDeny" and check["Reason"] == 'Denied by statement "Never" of inline policy own of user anna.'
    (own_policy,) = check["Policies"]
    assert [(s["Statement"], s["Applies"], s.get("Why")) for s in own_policy["Statements"]] == [
        ("Others", False, "speaks of other resources"),
        ("Night", False, 'its condition does not hold: Bool aws:SecureTransport "true", the request has "false"'),
        ("Never", True, None),
    ]
    assert "    Deny Never: applies" in explained(found)


def test_a_role_that_may_not_be_passed(yard, anna):
    client, put = anna
    yard.client("iam").create_role(RoleName="Worker", AssumeRolePolicyDocument=policy(TRUST))
    put({"Effect": "Allow", "Action": "sagemaker:*", "Resource": "*"})
    role = f"arn:aws:iam::{ACCOUNT}:role/Worker"
    model = {"ModelName": "m", "ExecutionRoleArn": role, "PrimaryContainer": {"Image": "i"}}
    found = explain(yard, denied(lambda: client("sagemaker").create_model(**model)))
    assert {check["Action"]: check["Decision"] for check in found["Checks"]} == {
        "sagemaker:CreateModel": "allowed",
        "iam:PassRole": "implicitDeny",
    }


def test_an_allowed_call_and_one_that_needs_nothing(yard):
    answer = yard.client("iam").list_users()
    found = explain(yard, answer["ResponseMetadata"]["RequestId"])
    assert not found["DeniedThen"] and found["AllowedNow"] and found["Checks"][0]["Decision"] == "allowed"
    nothing = yard.client("sts").get_caller_identity()["ResponseMetadata"]["RequestId"]
    assert "It needs no permission." in explained(explain(yard, nothing))


def test_unknown_requests_and_strangers(yard, anna):
    with pytest.raises(ClientError, match="has no call with the request ID"):
        yard.client("modelyard").explain_call(RequestId="00000000-0000-0000-0000-000000000000")
    client, _ = anna
    inside = client("sts").get_caller_identity()["ResponseMetadata"]["RequestId"]
    with pytest.raises(ClientError, match="modelyard:ExplainCall"):
        client("modelyard").explain_call(RequestId=inside)
    with pytest.raises(ClientError, match="modelyard:GenerateLeastPrivilegePolicy"):
        client("modelyard").generate_least_privilege_policy(PrincipalArn=f"arn:aws:iam::{ACCOUNT}:user/anna")


def least(yard, arn, **more):
    found = yard.client("modelyard").generate_least_privilege_policy(PrincipalArn=arn, **more)
    return json.loads(found["PolicyDocument"])["Statement"] if "PolicyDocument" in found else None, found["Uses"]


def test_the_least_policy_is_enough_and_no_more(yard, anna):
    """What it was written from works with it alone; what was not done is denied."""
    client, put = anna
    yard.client("iam").create_role(RoleName="Worker", AssumeRolePolicyDocument=policy(TRUST))
    put({"Effect": "Allow", "Action": "*", "Resource": "*"})
    model = {
        "ExecutionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/Worker",
        "PrimaryContainer": {"Image": "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"},
    }

    def work():
        s3 = client("s3")
        s3.put_object(Bucket="data-b", Key="in/one.csv", Body=b"1")
        s3.list_objects_v2(Bucket="data-b")
        client("sagemaker").create_model(ModelName="m", **model)
        client("sagemaker").delete_model(ModelName="m")

    yard.client("s3").create_bucket(Bucket="data-b")
    work()
    statements, _ = least(yard, f"arn:aws:iam::{ACCOUNT}:user/anna")
    put(*statements)
    work()
    actions = {action for s in statements for action in ([s["Action"]] if isinstance(s["Action"], str) else s["Action"])}
    assert {"iam:PassRole", "s3:PutObject", "s3:ListBucket", "sagemaker:CreateModel", "sagemaker:DeleteModel"} == actions
    denied(lambda: client("sagemaker").create_model(ModelName="other", **model))
    denied(lambda: client("s3").put_object(Bucket="data-b", Key="out/k", Body=b""))
    denied(lambda: client("s3").get_object(Bucket="data-b", Key="in/one.csv"))


def test_since_and_denials(yard, anna, clock):
    client, put = anna
    put({"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"})
    client("s3").list_buckets()
    yard.platform.trail.flush()
    yard.platform.trail.flush()
    clock.advance(3600)
    denied(lambda: client("iam").list_users())
    arn = f"arn:aws:iam::{ACCOUNT}:user/anna"
    statements, uses = least(yard, arn)
    assert [(s["Sid"], s["Action"]) for s in statements] == [("S3ListAllMyBuckets1", "s3:ListAllMyBuckets")]
    assert {(use["Action"], use["Allowed"]) for use in uses} == {("s3:ListAllMyBuckets", True), ("iam:ListUsers", False)}
    assert least(yard, arn, LastSeconds=600)[0] is None


def test_a_session_is_its_role(yard):
    me = yard.client("sts").get_caller_identity()["Arn"]
    yard.client("s3").list_buckets()
    statements, _ = least(yard, me)
    assert "s3:ListAllMyBuckets" in json.dumps(statements)
    with pytest.raises(ClientError, match="not a principal of account"):
        least(yard, "arn:aws:iam::999999999999:role/x")


def test_resources_are_grouped_and_narrowed():
    jobs = [f"arn:aws:sagemaker:us-east-1:1:training-job/churn-{n:03d}" for n in range(60)]
    assert narrowed(set(jobs)) == ["arn:aws:sagemaker:us-east-1:1:training-job/churn-0*"]
    assert narrowed({"arn:aws:s3:::b/a/*", "arn:aws:s3:::b/a/c/*", "arn:aws:s3:::b"}) == ["arn:aws:s3:::b", "arn:aws:s3:::b/a/*"]
    found = policy_of([("s3:GetObject", "arn:aws:s3:::b/*"), ("s3:PutObject", "arn:aws:s3:::b/*"), ("iam:ListUsers", "*")])
    assert [(s["Action"], s["Resource"]) for s in found] == [
        ("iam:ListUsers", "*"),
        (["s3:GetObject", "s3:PutObject"], "arn:aws:s3:::b/*"),
    ]


@pytest.mark.parametrize(
    ("used", "allowed"),
    [
        ("arn:aws:sagemaker:us-east-1:1:training-job/xgb-2026-11-22-04-43-31-123", "arn:aws:sagemaker:us-east-1:1:training-job/xgb-*"),
        ("arn:aws:sagemaker:us-east-1:1:training-job/churn-7", "arn:aws:sagemaker:us-east-1:1:training-job/churn*"),
        ("arn:aws:sagemaker:us-east-1:1:training-job/pipelines-abc123def456-Train-x1y2", "arn:aws:sagemaker:us-east-1:1:training-job/pipelines-*"),
        ("arn:aws:sagemaker:us-east-1:1:pipeline/p/execution/abc123def456", "arn:aws:sagemaker:us-east-1:1:pipeline/p/execution/*"),
        ("arn:aws:sagemaker:us-east-1:1:endpoint/xgb-2026-11-22-04-43-31-123", "arn:aws:sagemaker:us-east-1:1:endpoint/xgb-*"),
        ("arn:aws:sagemaker:us-east-1:1:endpoint/prod", "arn:aws:sagemaker:us-east-1:1:endpoint/prod"),
        ("arn:aws:s3:::sagemaker-us-east-1-123456789012/xgb-2026-11-22-04-43-31-123/source/*", "arn:aws:s3:::sagemaker-us-east-1-123456789012/xgb-*"),
        ("arn:aws:s3:::data/year-2026/*", "arn:aws:s3:::data/year-2026/*"),
    ],
)  # fmt: skip
def test_names_that_are_new_each_time_are_patterns(used, allowed):
    """So that the same script may run again with its policy alone."""
    assert policy_of([("x:Y", used)])[0]["Resource"] == allowed


# --- the command -----------------------------------------------------------------------------------------


def command(yard, monkeypatch, *words):
    monkeypatch.setattr(own, "client", lambda folder, service: yard.client(service))
    return parser.main(["policy", *words])


def test_the_command_explains_and_writes(yard, anna, monkeypatch, capsys):
    client, put = anna
    request = denied(lambda: client("iam").list_users())
    assert command(yard, monkeypatch, "explain", request) == exits.OK
    said = capsys.readouterr().out
    assert "implicitDeny: iam:ListUsers" in said and '"Action":"iam:ListUsers"' in said
    assert command(yard, monkeypatch, "explain", request, "--json") == exits.OK
    assert json.loads(capsys.readouterr().out)["DeniedThen"] is True
    put({"Effect": "Allow", "Action": "iam:ListUsers", "Resource": "*"})
    client("iam").list_users()
    arn = f"arn:aws:iam::{ACCOUNT}:user/anna"
    assert command(yard, monkeypatch, "least-privilege", "--principal", arn, "--since", "2h") == exits.OK
    out, err = capsys.readouterr()
    assert json.loads(out)["Statement"][0]["Action"] == "iam:ListUsers" and "denied" in err
    assert command(yard, monkeypatch, "least-privilege", "--principal", arn, "--since", "soon") == exits.USAGE
    assert command(yard, monkeypatch, "explain", "nothing") == exits.FAILED


def test_the_policies_of_then_decide(yard, anna):
    """An allowed call and a denied one, both told as they were after everything has changed."""
    client, put = anna
    put({"Sid": "Reading", "Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"})
    allowed = client("s3").list_buckets()["ResponseMetadata"]["RequestId"]
    yard.client("s3").create_bucket(Bucket="data-b")
    location = {
        "Sid": "Seeing",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/anna"},
        "Action": "s3:GetBucketLocation",
    }
    yard.client("s3").put_bucket_policy(Bucket="data-b", Policy=policy({**location, "Resource": "arn:aws:s3:::data-b"}))
    by_bucket = client("s3").get_bucket_location(Bucket="data-b")["ResponseMetadata"]["RequestId"]
    yard.client("iam").delete_user_policy(UserName="anna", PolicyName="own")
    yard.client("s3").delete_bucket_policy(Bucket="data-b")
    found = explain(yard, allowed)
    assert not found["DeniedThen"] and not found["AllowedNow"]
    assert found["Checks"][0]["Reason"] == 'Allowed by statement "Reading" of inline policy own of user anna.'
    assert found["ChecksNow"][0]["Decision"] == "implicitDeny"
    assert explained(found)[-1] == "It was allowed then; the policies of now deny it."
    found = explain(yard, by_bucket)
    assert found["Checks"][0]["Reason"] == 'Allowed by statement "Seeing" of the bucket policy.'
    assert found["ChecksNow"][0]["Decision"] == "implicitDeny"


def test_who_was_not_let_in_is_told_why(yard):
    stranger = inproc.client(yard.gateway, "sagemaker", key="AKIAIOSFODNN7EXAMPLE", secret="wrong")
    found = explain(yard, denied(stranger.list_models))
    assert (found["ErrorCode"], found["EventName"], found["Checks"]) == ("UnrecognizedClientException", "ListModels", [])
    assert "is not known here" in found["Hint"] and explained(found)[-1] == found["Hint"]
    mine = yard.secrets["root"]["AccessKeyId"]
    found = explain(yard, denied(inproc.client(yard.gateway, "s3", key=mine, secret="wrong").list_buckets))
    assert found["ErrorCode"] == "SignatureDoesNotMatch" and "The secret key is not the one of" in found["Hint"]
    assert found["PrincipalArn"] == f"arn:aws:iam::{ACCOUNT}:root"


def test_a_denied_data_call_and_an_assumed_role(yard, anna):
    client, _ = anna
    request = denied(lambda: client("sagemaker-runtime").invoke_endpoint(EndpointName="e", Body=b"x"))
    (check,) = explain(yard, request)["Checks"]
    assert (check["Action"], check["Decision"]) == ("sagemaker:InvokeEndpoint", "implicitDeny")
    trust = {"Sid": "Ours", "Effect": "Allow", "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:user/anna"}, "Action": "sts:AssumeRole"}
    yard.client("iam").create_role(RoleName="Worker", AssumeRolePolicyDocument=policy(trust))
    role = f"arn:aws:iam::{ACCOUNT}:role/Worker"
    request = client("sts").assume_role(RoleArn=role, RoleSessionName="own")["ResponseMetadata"]["RequestId"]
    (check,) = explain(yard, request)["Checks"]
    assert (check["Action"], check["Reason"]) == ("sts:AssumeRole", 'Allowed by statement "Ours" of the trust policy.')


def test_a_fresh_principal_repeats_it_all_with_that_policy_alone(yard, anna):
    """What anna did, another user can do again with the policies that were written from it, and they are without fault."""
    iam, (client, put) = yard.client("iam"), anna
    put({"Effect": "Allow", "Action": "*", "Resource": "*"})
    trust = policy(TRUST)
    yard.client("s3").create_bucket(Bucket="data-b")
    key = yard.client("kms").create_key()["KeyMetadata"]["Arn"]

    def work(client, name):
        s3, iam = client("s3"), client("iam")
        s3.list_buckets()
        for number in range(3):
            s3.put_object(Bucket="data-b", Key=f"in/{number}.csv", Body=b"1", ServerSideEncryption="aws:kms", SSEKMSKeyId=key)
        s3.get_object(Bucket="data-b", Key="in/0.csv")
        iam.create_role(RoleName="Worker", AssumeRolePolicyDocument=trust)
        image = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
        role = f"arn:aws:iam::{ACCOUNT}:role/Worker"
        client("sagemaker").create_model(ModelName="m", ExecutionRoleArn=role, PrimaryContainer={"Image": image})
        client("sagemaker").delete_model(ModelName="m")
        iam.delete_role(RoleName="Worker")
        client("secretsmanager").create_secret(Name=name, SecretString="x")
        client("secretsmanager").get_secret_value(SecretId=name)
        client("secretsmanager").delete_secret(SecretId=name, ForceDeleteWithoutRecovery=True)
        client("ssm").put_parameter(Name="/a/b", Value="v", Type="SecureString", KeyId=key, Overwrite=True)
        client("ssm").get_parameters_by_path(Path="/a", WithDecryption=True)
        client("logs").describe_log_groups()
        client("sts").assume_role(RoleArn=f"arn:aws:iam::{ACCOUNT}:role/ModelyardExecutionRole", RoleSessionName="own")

    work(client, "db")
    found = yard.client("modelyard").generate_least_privilege_policy(PrincipalArn=f"arn:aws:iam::{ACCOUNT}:user/anna")
    iam.create_user(UserName="fresh")
    for number, text in enumerate(found["PolicyDocuments"]):
        assert lint(text) == [], text
        arn = iam.create_policy(PolicyName=f"least-{number}", PolicyDocument=text)["Policy"]["Arn"]
        iam.attach_user_policy(UserName="fresh", PolicyArn=arn)
    made = iam.create_access_key(UserName="fresh")["AccessKey"]
    work(lambda service: inproc.client(yard.gateway, service, key=made["AccessKeyId"], secret=made["SecretAccessKey"]), "db")
    statements = [statement for text in found["PolicyDocuments"] for statement in json.loads(text)["Statement"]]
    passing = next(one for one in statements if one["Action"] == "iam:PassRole")
    assert passing["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}


def test_long_policies_are_split():
    uses = [(f"s3:Get{n}", f"arn:aws:s3:::{'b' * 50}-{n}/*") for n in range(100)]
    documents = split(policy_of(uses))
    assert len(documents) > 1 and all(len(text) <= 6144 for text in documents)
    assert sum(len(json.loads(text)["Statement"]) for text in documents) == 100


def test_the_last_denied_call_needs_no_id(yard, anna, monkeypatch, capsys):
    client, _ = anna
    assert command(yard, monkeypatch, "explain") == exits.FAILED
    denied(lambda: client("iam").list_users())
    yard.client("iam").list_groups()
    assert command(yard, monkeypatch, "explain") == exits.OK
    assert "implicitDeny: iam:ListUsers" in capsys.readouterr().out


def test_the_last_data_calls_are_explained_too(yard, anna):
    s3 = yard.client("s3")
    s3.create_bucket(Bucket="data")
    answer = s3.put_object(Bucket="data", Key="in/one", Body=b"x")
    found = explain(yard, answer["ResponseMetadata"]["RequestId"])
    assert found["EventName"] == "PutObject" and not found["DeniedThen"] and "those of now" in found["Hint"]
    (check,) = found["Checks"]
    assert check["Resource"] == "arn:aws:s3:::data/in/one" and check["Decision"] == "allowed"
