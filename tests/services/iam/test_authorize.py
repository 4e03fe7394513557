"""Every call is decided: actions and resources from data, changes in force at the next call, denials that teach."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelyard.kernel.errors import ApiError
from modelyard.kernel.identity import ANONYMOUS
from modelyard.services.iam.actions import Need, needs
from tests.services.iam.conftest import ACCOUNT, Yard, allow, deny, policy

SM = f"arn:aws:sagemaker:us-east-1:{ACCOUNT}"
LOGS = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group"
IAM = f"arn:aws:iam::{ACCOUNT}"

NEEDS = [
    ("sagemaker", "CreateModel", {"ModelName": "MyModel"}, [("sagemaker:CreateModel", f"{SM}:model/mymodel")]),
    ("sagemaker", "CreateTrainingJob", {"TrainingJobName": "J"}, [("sagemaker:CreateTrainingJob", f"{SM}:training-job/j")]),
    (
        "sagemaker",
        "CreateEndpoint",
        {"EndpointName": "E", "EndpointConfigName": "C"},
        [("sagemaker:CreateEndpoint", f"{SM}:endpoint/e"), ("sagemaker:CreateEndpoint", f"{SM}:endpoint-config/c")],
    ),
    ("sagemaker", "ListModels", {}, [("sagemaker:ListModels", "*")]),
    ("sagemaker", "AddTags", {"ResourceArn": f"{SM}:model/m", "Tags": []}, [("sagemaker:AddTags", f"{SM}:model/m")]),
    ("sagemaker-runtime", "InvokeEndpoint", {"EndpointName": "E"}, [("sagemaker:InvokeEndpoint", f"{SM}:endpoint/e")]),
    ("s3", "ListBuckets", {}, [("s3:ListAllMyBuckets", "arn:aws:s3:::*")]),
    ("iam", "ListUsers", {}, [("iam:ListUsers", f"{IAM}:user/")]),
    ("iam", "ListRoles", {"PathPrefix": "/team/"}, [("iam:ListRoles", f"{IAM}:role/team/")]),
    ("s3", "ListObjectsV2", {"Bucket": "b"}, [("s3:ListBucket", "arn:aws:s3:::b")]),
    ("s3", "HeadBucket", {"Bucket": "b"}, [("s3:ListBucket", "arn:aws:s3:::b")]),
    ("s3", "CreateBucket", {"Bucket": "b"}, [("s3:CreateBucket", "arn:aws:s3:::b")]),
    ("s3", "GetObject", {"Bucket": "b", "Key": "K/x"}, [("s3:GetObject", "arn:aws:s3:::b/K/x")]),
    ("s3", "HeadObject", {"Bucket": "b", "Key": "k", "VersionId": "1"}, [("s3:GetObjectVersion", "arn:aws:s3:::b/k")]),
    ("s3", "PutObject", {"Bucket": "b", "Key": "k"}, [("s3:PutObject", "arn:aws:s3:::b/k")]),
    ("s3", "UploadPart", {"Bucket": "b", "Key": "k"}, [("s3:PutObject", "arn:aws:s3:::b/k")]),
    ("s3", "CreateMultipartUpload", {"Bucket": "b", "Key": "k"}, [("s3:PutObject", "arn:aws:s3:::b/k")]),
    (
        "s3",
        "PutObject",
        {"Bucket": "b", "Key": "k", "Tagging": "a=b"},
        [("s3:PutObject", "arn:aws:s3:::b/k"), ("s3:PutObjectTagging", "arn:aws:s3:::b/k")],
    ),
    (
        "s3",
        "CopyObject",
        {"Bucket": "b", "Key": "k", "CopySource": "src/a%20b"},
        [("s3:GetObject", "arn:aws:s3:::src/a b"), ("s3:PutObject", "arn:aws:s3:::b/k")],
    ),
    (
        "s3",
        "CopyObject",
        {"Bucket": "b", "Key": "k", "CopySource": {"Bucket": "src", "Key": "o", "VersionId": "7"}},
        [("s3:GetObjectVersion", "arn:aws:s3:::src/o"), ("s3:PutObject", "arn:aws:s3:::b/k")],
    ),
    ("s3", "DeleteObjects", {"Bucket": "b", "Delete": {"Objects": [{"Key": "k"}]}}, []),
    ("s3", "DeleteObject", {"Bucket": "b", "Key": "k", "VersionId": "1"}, [("s3:DeleteObjectVersion", "arn:aws:s3:::b/k")]),
    ("s3", "GetBucketEncryption", {"Bucket": "b"}, [("s3:GetEncryptionConfiguration", "arn:aws:s3:::b")]),
    ("s3", "PutBucketPolicy", {"Bucket": "b"}, [("s3:PutBucketPolicy", "arn:aws:s3:::b")]),
    ("logs", "CreateLogGroup", {"logGroupName": "/G"}, [("logs:CreateLogGroup", f"{LOGS}:/G:log-stream:")]),
    ("logs", "GetLogEvents", {"logGroupName": "/G", "logStreamName": "s"}, [("logs:GetLogEvents", f"{LOGS}:/G:log-stream:s")]),
    ("cloudwatch", "PutMetricData", {"Namespace": "n"}, [("cloudwatch:PutMetricData", "*")]),
    ("iam", "GetRole", {"RoleName": "r"}, [("iam:GetRole", f"{IAM}:role/r")]),
    ("iam", "CreateRole", {"RoleName": "r", "Path": "/p/"}, [("iam:CreateRole", f"{IAM}:role/p/r")]),
    ("iam", "AttachRolePolicy", {"RoleName": "r", "PolicyArn": "arn:aws:iam::aws:policy/x"}, [("iam:AttachRolePolicy", f"{IAM}:role/r")]),
    ("iam", "GetPolicy", {"PolicyArn": f"{IAM}:policy/x"}, [("iam:GetPolicy", f"{IAM}:policy/x")]),
    ("ssm", "GetParameter", {"Name": "/a/b"}, [("ssm:GetParameter", f"arn:aws:ssm:us-east-1:{ACCOUNT}:parameter/a/b")]),
    ("sqs", "SendMessage", {"QueueUrl": "http://x:1/42/q"}, [("sqs:SendMessage", "arn:aws:sqs:us-east-1:42:q")]),
    ("lambda", "Invoke", {"FunctionName": "f"}, [("lambda:InvokeFunction", f"arn:aws:lambda:us-east-1:{ACCOUNT}:function:f")]),
    (
        "stepfunctions",
        "StartExecution",
        {"stateMachineArn": "arn:aws:states:r:1:stateMachine:m", "name": "x"},
        [("states:StartExecution", "arn:aws:states:r:1:stateMachine:m")],
    ),
    ("sts", "GetCallerIdentity", {}, []),
    ("sagemaker", "SomethingNew", {}, [("sagemaker:SomethingNew", "*")]),
]


@pytest.mark.parametrize("row", NEEDS, ids=[f"{r[0]}-{r[1]}" for r in NEEDS])
def test_needs(yard: Yard, row: tuple[Any, ...]) -> None:
    service, operation, request, wanted = row
    assert needs(yard.call(service=service, operation=operation), request) == [Need(*pair) for pair in wanted]


def test_needs_know_the_path_of_a_role(yard: Yard) -> None:
    yard.role("R", Path="/team/")
    assert needs(yard.call(service="iam", operation="DeleteRole"), {"RoleName": "R"}) == [Need("iam:DeleteRole", f"{IAM}:role/team/R")]


def refusal(yard: Yard, *args: Any, **more: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        yard.authorize(*args, **more)
    return caught.value


def test_a_change_is_in_force_at_the_next_call_of_every_process(yard: Yard) -> None:
    session = yard.assume(yard.role("R"))
    other = Yard.open(yard)
    other_call = yard.call(session, service="s3", operation="ListBuckets")
    other_call.platform = other
    assert refusal(yard, session, "s3", "ListBuckets").code == "AccessDenied"
    with pytest.raises(ApiError):
        other.identity.authorize(other_call, {})
    yard("iam", "PutRolePolicy", RoleName="R", PolicyName="p", PolicyDocument=policy(allow("s3:ListAllMyBuckets")))
    other.identity.authorize(other_call, {})
    yard.authorize(session, "s3", "ListBuckets")
    yard("iam", "DeleteRolePolicy", RoleName="R", PolicyName="p")
    assert refusal(yard, session, "s3", "ListBuckets").code == "AccessDenied"
    with pytest.raises(ApiError):
        other.identity.authorize(other_call, {})


@pytest.mark.parametrize(
    ("service", "operation", "request_", "code", "status"),
    [
        ("sagemaker", "CreateModel", {"ModelName": "m"}, "AccessDeniedException", 400),
        ("s3", "ListBuckets", {}, "AccessDenied", 403),
        ("iam", "ListRoles", {}, "AccessDenied", 403),
        ("ec2", "DescribeInstances", {}, "UnauthorizedOperation", 403),
        ("sns", "Publish", {"TopicArn": "arn:aws:sns:us-east-1:1:t"}, "AuthorizationError", 403),
        ("lambda", "ListFunctions", {}, "AccessDeniedException", 403),
    ],
)
def test_dialects(yard: Yard, service: str, operation: str, request_: dict[str, Any], code: str, status: int) -> None:
    said = refusal(yard, yard.assume(yard.role("R")), service, operation, **request_)
    assert (said.code, said.status) == (code, status)


def test_a_denial_teaches(yard: Yard) -> None:
    session = yard.assume(yard.role("R", deny("sagemaker:DeleteModel", Sid="KeepModels")))
    said = refusal(yard, session, "sagemaker", "CreateModel", ModelName="m").message
    aws, _, help_ = said.partition(". To allow it, ")
    assert aws == (
        f"User: arn:aws:sts::{ACCOUNT}:assumed-role/R/s is not authorized to perform: sagemaker:CreateModel "
        f"on resource: {SM}:model/m because no identity-based policy allows the sagemaker:CreateModel action"
    )
    assert help_.startswith("add this statement to a policy of role R: ")
    missing = json.loads(help_.split(": ", 1)[1])
    yard("iam", "PutRolePolicy", RoleName="R", PolicyName="learnt", PolicyDocument=policy(missing))
    yard.authorize(session, "sagemaker", "CreateModel", ModelName="m")
    said = refusal(yard, session, "sagemaker", "DeleteModel", ModelName="m").message
    assert ' with an explicit deny in an identity-based policy. Denied by statement "KeepModels" of inline policy inline of role R.' in said


def test_s3_quotes_the_resource(yard: Yard) -> None:
    said = refusal(yard, ANONYMOUS, "s3", "GetObject", Bucket="b", Key="k").message
    assert said.startswith(
        'User: anonymous is not authorized to perform: s3:GetObject on resource: "arn:aws:s3:::b/k" because no resource-based'
    )


def test_boundary_and_session_policies_limit(yard: Yard) -> None:
    yard("iam", "CreatePolicy", PolicyName="Limit", PolicyDocument=policy(allow("s3:*")))
    arn = yard.role("R", allow("*"), PermissionsBoundary=f"{IAM}:policy/Limit")
    whole = yard.assume(arn)
    yard.authorize(whole, "s3", "ListBuckets")
    assert "no permissions boundary allows" in refusal(yard, whole, "sagemaker", "ListModels").message
    part = yard.assume(arn, Policy=policy(allow("s3:GetObject", "arn:aws:s3:::b/*")))
    yard.authorize(part, "s3", "GetObject", Bucket="b", Key="k")
    assert "no session policy allows" in refusal(yard, part, "s3", "ListBuckets").message


def test_conditions_of_the_request(yard: Yard) -> None:
    session = yard.assume(
        yard.role(
            "R",
            allow("s3:ListBucket", Condition={"StringLike": {"s3:prefix": "home/*"}}),
            allow("sagemaker:CreateTrainingJob", Condition={"ForAllValues:StringEquals": {"sagemaker:InstanceTypes": ["ml.m5.large"]}}),
            allow(["sagemaker:CreateModel", "sagemaker:AddTags"], Condition={"StringEquals": {"aws:RequestTag/team": "red"}}),
            allow("sagemaker:DeleteModel", Condition={"StringEquals": {"aws:ResourceTag/team": "red"}}),
            allow("s3:GetObject", Condition={"Bool": {"aws:SecureTransport": "true"}, "IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}),
            allow("s3:PutObject", Condition={"StringEquals": {"aws:RequestedRegion": "eu-west-1"}}),
        )
    )
    yard.authorize(session, "s3", "ListObjectsV2", Bucket="b", Prefix="home/a")
    refusal(yard, session, "s3", "ListObjectsV2", Bucket="b", Prefix="x")
    refusal(yard, session, "s3", "ListObjectsV2", Bucket="b")
    job = {"TrainingJobName": "j", "ResourceConfig": {"InstanceType": "ml.m5.large"}}
    yard.authorize(session, "sagemaker", "CreateTrainingJob", **job)
    refusal(yard, session, "sagemaker", "CreateTrainingJob", **{**job, "ResourceConfig": {"InstanceType": "ml.p4d.24xlarge"}})
    yard.authorize(session, "sagemaker", "CreateModel", ModelName="m", Tags=[{"Key": "team", "Value": "red"}])
    refusal(yard, session, "sagemaker", "CreateModel", ModelName="m", Tags=[{"Key": "team", "Value": "blue"}])
    yard.store.set_tags(f"{SM}:model/red", {"team": "red"})
    yard.authorize(session, "sagemaker", "DeleteModel", ModelName="red")
    refusal(yard, session, "sagemaker", "DeleteModel", ModelName="plain")
    inside = {"source_ip": "10.1.1.1", "secure": True}
    yard.authorize(session, "s3", "GetObject", inside, Bucket="b", Key="k")
    refusal(yard, session, "s3", "GetObject", {**inside, "secure": False}, Bucket="b", Key="k")
    yard.authorize(session, "s3", "PutObject", {"region": "eu-west-1"}, Bucket="b", Key="k")
    refusal(yard, session, "s3", "PutObject", Bucket="b", Key="k")


def test_who_makes_a_resource_with_tags_must_be_allowed_to_tag(yard: Yard) -> None:
    by_creation = {"StringEquals": {"sagemaker:TaggingAction": "CreateModel"}}
    makes = ["sagemaker:Create*", "iam:CreateRole", "sns:CreateTopic", "sqs:CreateQueue", "ssm:PutParameter", "logs:CreateLogGroup"]
    maker = yard.assume(yard.role("Maker", allow(makes), allow("sagemaker:AddTags", Condition=by_creation)))
    tags, as_map = [{"Key": "team", "Value": "red"}], {"team": "red"}
    yard.authorize(maker, "sagemaker", "CreateModel", ModelName="m", Tags=tags)
    refusal(yard, maker, "sagemaker", "AddTags", ResourceArn=f"{SM}:model/m", Tags=tags)
    for service, operation, request, missing in [
        ("sagemaker", "CreateEndpoint", {"EndpointName": "e", "EndpointConfigName": "c", "Tags": tags}, "sagemaker:AddTags"),
        ("sagemaker", "CreateTrainingJob", {"TrainingJobName": "j", "Tags": tags}, "sagemaker:AddTags"),
        ("iam", "CreateRole", {"RoleName": "r", "Tags": tags}, "iam:TagRole"),
        ("sns", "CreateTopic", {"Name": "t", "Tags": tags}, "sns:TagResource"),
        ("sqs", "CreateQueue", {"QueueName": "q", "tags": as_map}, "sqs:TagQueue"),
        ("ssm", "PutParameter", {"Name": "p", "Tags": tags}, "ssm:AddTagsToResource"),
        ("logs", "CreateLogGroup", {"logGroupName": "g", "tags": as_map}, "logs:TagResource"),
    ]:
        assert missing in refusal(yard, maker, service, operation, **request).message
        untagged = {name: value for name, value in request.items() if name.lower() != "tags"}
        yard.authorize(maker, service, operation, **untagged)


def test_keys_of_caller_and_resource(yard: Yard) -> None:
    policies: dict[str, Any] = {"theirs": ({"Statement": [{**allow("*"), "Principal": "*"}]}, "210987654321"), "mine": (None, ACCOUNT)}
    yard.platform.parts["resource_policies"] = {"s3": lambda call, request: policies[request["Bucket"]]}
    arn = yard.role("R", allow("s3:GetObject", Condition={"StringEquals": {"aws:ResourceAccount": "${aws:PrincipalAccount}"}}))
    session = yard.assume(arn)
    yard.authorize(session, "s3", "GetObject", Bucket="mine", Key="k")
    refusal(yard, session, "s3", "GetObject", Bucket="theirs", Key="k")
    mfa = deny("*", Condition={"Bool": {"aws:MultiFactorAuthPresent": "false"}})
    ann = yard.user("ann", allow("*"), mfa)
    yard.authorize(ann, "sagemaker", "ListModels")
    refusal(yard, yard.assume(yard.role("M", allow("*"), mfa)), "sagemaker", "ListModels")


def test_remembered_decisions_never_hide_a_condition(yard: Yard) -> None:
    """A denial that hangs on a condition comes into force for an (action, resource) that was allowed a moment ago."""
    only_tls = deny("s3:*", "arn:aws:s3:::b/*", Condition={"Bool": {"aws:SecureTransport": "false"}})
    session = yard.assume(yard.role("R", allow("s3:*"), only_tls))
    for _ in range(2):
        yard.authorize(session, "s3", "GetObject", {"secure": True}, Bucket="b", Key="k")
        refusal(yard, session, "s3", "GetObject", {"secure": False}, Bucket="b", Key="k")
        yard.authorize(session, "s3", "GetObject", {"secure": False}, Bucket="c", Key="k")
    by_agent = yard.assume(yard.role("H", allow("s3:GetObject", "arn:aws:s3:::${aws:UserAgent}/*")))
    for _ in range(2):
        yard.authorize(by_agent, "s3", "GetObject", {"user_agent": "x"}, Bucket="x", Key="k")
        refusal(yard, by_agent, "s3", "GetObject", {"user_agent": "y"}, Bucket="x", Key="k")


def test_principal_tags_and_names(yard: Yard) -> None:
    arn = yard.role("R", allow("s3:GetObject", "arn:aws:s3:::${aws:PrincipalTag/team}/*"), Tags=[{"Key": "team", "Value": "red"}])
    session = yard.assume(arn)
    yard.authorize(session, "s3", "GetObject", Bucket="red", Key="k")
    refusal(yard, session, "s3", "GetObject", Bucket="blue", Key="k")
    blue = yard.assume(arn, Tags=[{"Key": "team", "Value": "blue"}])
    yard.authorize(blue, "s3", "GetObject", Bucket="blue", Key="k")
    yard("iam", "TagRole", RoleName="R", Tags=[{"Key": "team", "Value": "green"}])
    yard.authorize(session, "s3", "GetObject", Bucket="green", Key="k")
    ann = yard.user("ann", allow("s3:GetObject", "arn:aws:s3:::home/${aws:username}/*"))
    yard.authorize(ann, "s3", "GetObject", Bucket="home", Key="ann/x")
    refusal(yard, ann, "s3", "GetObject", Bucket="home", Key="bob/x")


def test_bucket_policies(yard: Yard) -> None:
    policies: dict[str, Any] = {}
    yard.platform.parts["resource_policies"] = {"s3": lambda call, request: policies.get(request.get("Bucket"), (None, None))}
    nobody = yard.assume(yard.role("R", allow("s3:PutObject")))
    statement = {**allow("s3:GetObject", "arn:aws:s3:::mine/*"), "Principal": {"AWS": f"{IAM}:role/R"}}
    policies["mine"] = {"Version": "2012-10-17", "Statement": [statement]}, ACCOUNT
    yard.authorize(nobody, "s3", "GetObject", Bucket="mine", Key="k")
    refusal(yard, nobody, "s3", "GetObject", Bucket="other", Key="k")
    yard.authorize(nobody, "s3", "CopyObject", Bucket="other", Key="k", CopySource="mine/k")
    refusal(yard, nobody, "s3", "CopyObject", Bucket="mine", Key="k", CopySource="other/k")
    refusal(yard, ANONYMOUS, "s3", "GetObject", Bucket="mine", Key="k")
    policies["mine"] = {"Statement": [{**statement, "Principal": "*"}]}, ACCOUNT
    yard.authorize(ANONYMOUS, "s3", "GetObject", Bucket="mine", Key="k")
    policies["mine"] = None, ACCOUNT
    refusal(yard, nobody, "s3", "GetObject", Bucket="mine", Key="k")
    policies["mine"] = {"Statement": [{**statement, "Principal": "*"}]}, ACCOUNT
    yard.authorize(nobody, "s3", "GetObject", Bucket="mine", Key="k")
    policies["mine"] = {"Statement": [{**statement, "Principal": "*", "Effect": "Deny", "Action": "s3:*"}]}, ACCOUNT
    refusal(yard, nobody, "s3", "PutObject", Bucket="mine", Key="k")
    policies["mine"] = None, ACCOUNT
    yard.authorize(nobody, "s3", "PutObject", Bucket="mine", Key="k")
    policies["theirs"] = None, "210987654321"
    assert "no resource-based policy allows" in refusal(yard, None, "s3", "GetObject", Bucket="theirs", Key="k").message


def test_a_role_made_again_is_another_role(yard: Yard) -> None:
    session = yard.call(yard.assume(yard.role("R", allow("*")))).principal  # as of a call that is under way
    yard.authorize(session, "s3", "ListBuckets")
    yard("iam", "DeleteRolePolicy", RoleName="R", PolicyName="inline")
    yard("iam", "DeleteRole", RoleName="R")
    refusal(yard, session, "s3", "ListBuckets")
    yard.role("R", allow("*"))
    refusal(yard, session, "s3", "ListBuckets")


# --- roles passed to services ----------------------------------------------------------------------------


def passing(yard: Yard, as_: str | None, arn: str) -> ApiError | None:
    try:
        yard.identity.check_pass_role(yard.call(as_, service="sagemaker", operation="CreateTrainingJob"), arn)
    except ApiError as problem:
        return problem
    return None


def test_pass_role(yard: Yard) -> None:
    arn = yard.role("Job", allow("s3:*"))
    assert passing(yard, None, arn) is None
    gone = passing(yard, None, f"{IAM}:role/Missing")
    assert gone.code == "ValidationException" and gone.message == (
        f"Could not assume role {IAM}:role/Missing. Please ensure that the role exists and allows principal "
        "'sagemaker.amazonaws.com' to assume the role."
    )
    deaf = yard.role("Deaf", trust={"Service": "lambda.amazonaws.com"})
    assert passing(yard, None, deaf).message.startswith(f"Could not assume role {deaf}.")
    assert passing(yard, None, "arn:aws:iam::210987654321:role/Job").code == "ValidationException"
    weak = yard.assume(yard.role("Weak", allow("sagemaker:*")))
    said = passing(yard, weak, arn)
    assert said.code == "AccessDeniedException" and f"perform: iam:PassRole on resource: {arn}" in said.message
    fitting = allow("iam:PassRole", arn, Condition={"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}})
    yard("iam", "PutRolePolicy", RoleName="Weak", PolicyName="pass", PolicyDocument=policy(fitting))
    assert passing(yard, weak, arn) is None
    other = allow("iam:PassRole", arn, Condition={"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}})
    yard("iam", "PutRolePolicy", RoleName="Weak", PolicyName="pass", PolicyDocument=policy(other))
    assert passing(yard, weak, arn).code == "AccessDeniedException"


def test_session_for_role(yard: Yard) -> None:
    arn = yard.role("Job", allow("s3:ListAllMyBuckets"))
    credential = yard.identity.session_for_role(arn, "SageMaker", 60)
    assert credential.expires_at == yard.clock.now() + 60
    assert yard("sts", "GetCallerIdentity", credential.access_key)["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/Job/SageMaker"
    yard.authorize(credential.access_key, "s3", "ListBuckets")
    refusal(yard, credential.access_key, "sagemaker", "ListModels")
    yard.clock.advance(61)
    assert yard.identity.credential(credential.access_key).expires_at < yard.clock.now(), "the wire answers ExpiredToken"
    with pytest.raises(ApiError, match="Could not assume role"):
        yard.identity.session_for_role(arn, "x", 60, service="lambda.amazonaws.com")


def test_home_folders(yard: Yard) -> None:
    """AWS's own example: the top of the bucket may be listed, and one's own folder. A list without any prefix is another thing."""
    folders = {"Condition": {"StringLike": {"s3:prefix": ["", "home/", "home/${aws:username}/*"]}}}
    ann = yard.user("ann", allow("s3:ListBucket", "arn:aws:s3:::b", **folders))
    for prefix in ("", "home/", "home/ann/x"):
        yard.authorize(ann, "s3", "ListObjectsV2", Bucket="b", Prefix=prefix)
    for request in ({}, {"Prefix": "home/bob/"}, {"Prefix": "x"}):
        refusal(yard, ann, "s3", "ListObjectsV2", Bucket="b", **request)


def test_the_resource_that_a_role_will_belong_to(yard: Yard) -> None:
    arn = yard.role("Job", allow("s3:*"))
    models = {"Condition": {"ArnLike": {"iam:AssociatedResourceArn": "arn:aws:sagemaker:*:*:model/*"}}}
    ann = yard.user("ann", allow("sagemaker:*"), allow("iam:PassRole", **models))

    def passing_to(operation: str, **request: str) -> bool:
        call = yard.call(ann, service="sagemaker", operation=operation)
        yard.identity.authorize(call, request)
        try:
            yard.identity.check_pass_role(call, arn)
        except ApiError:
            return False
        return True

    assert passing_to("CreateModel", ModelName="m") and not passing_to("CreateTrainingJob", TrainingJobName="t")
