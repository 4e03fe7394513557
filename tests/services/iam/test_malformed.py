"""Policy documents of every wrong kind, and what IAM says of each."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelyard.kernel.errors import ApiError
from modelyard.services.iam.validate import identity_policy, managed_policy, trust_policy
from tests.services.iam.conftest import ACCOUNT, Yard, allow, deny, policy

SYNTAX, LEGACY = "Syntax errors in policy.", "The policy failed legacy parsing"
VERSION = "Policy document must be version 2012-10-17 or greater."
NO_ACTIONS, NO_RESOURCES = "Policy statement must contain actions.", "Policy statement must contain resources."
VENDOR = "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
KINDS = (
    "user/, federated-user/, role/, group/, instance-profile/, mfa/, server-certificate/, policy/, sms-mfa/, saml-provider/, "
    "oidc-provider/, report/, access-report/"
)


def old(*statements: dict[str, Any], version: str | None = None) -> str:
    return json.dumps({**({"Version": version} if version else {}), "Statement": list(statements)})


def when(operator: str, value: Any) -> str:
    return policy(allow("s3:*", Condition={operator: {"aws:CurrentTime": value}}))


MANAGED = [
    ("{", SYNTAX),
    ("[]", SYNTAX),
    ("", SYNTAX),
    ('{"Version":"2012-10-17"}', SYNTAX),
    ('{"Version":"2012-10-17","Statement":[]}', SYNTAX),
    ('{"Version":"2012-10-17","Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}', SYNTAX),
    ('{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Effect":"Allow","Action":"*","Resource":"*"}]}', SYNTAX),
    (old(allow("*"), version="2013"), SYNTAX),
    (old(allow("*"), version="2008-10-17"), VERSION),
    (old(allow("*")), VERSION),
    (policy({"Action": "*", "Resource": "*"}), SYNTAX),
    (policy({**allow("*"), "Effect": "Permit"}), SYNTAX),
    (policy({**allow("*"), "Effect": "allow"}), LEGACY),
    (policy({**allow("*"), "Nonsense": 1}), SYNTAX),
    (policy({**allow("*"), "NotAction": "s3:*"}), SYNTAX),
    (policy(allow(["s3:*", 1])), SYNTAX),
    (policy(allow("*", {})), SYNTAX),
    (policy({"Effect": "Allow", "Resource": "*"}), NO_ACTIONS),
    (policy({"Effect": "Allow", "Action": [], "Resource": "*"}), NO_ACTIONS),
    (policy({"Effect": "Allow", "Action": "*"}), NO_RESOURCES),
    (policy(allow("s3:*", [])), NO_RESOURCES),
    (policy(allow("GetObject")), VENDOR),
    (policy(allow("s3:Get:Object")), "Actions/Condition can contain only one colon."),
    (policy(allow("s 3:GetObject")), "Vendor s 3 is not valid"),
    (policy(allow("*", "bucket")), 'Resource bucket must be in ARN format or "*".'),
    (policy(allow("*", "arn:other:s3:::b")), 'Partition "other" is not valid for resource "arn:other:s3:::b".'),
    (policy(allow("*", "arn:aws")), "Resource vendor must be fully qualified and cannot contain regexes."),
    (policy(allow("*", "arn:aws:s3::b")), LEGACY),
    (policy(allow("*", "arn:aws::::b")), LEGACY),
    (policy(allow("*", "arn:aws:s3:us-east-1::b")), "Resource arn:aws:s3:us-east-1::b can not contain region information."),
    (
        policy(allow("*", "arn:aws:iam:us-east-1:1:role/x")),
        "IAM resource arn:aws:iam:us-east-1:1:role/x cannot contain region information.",
    ),
    (policy(allow("*", "arn:aws:iam::1:roles/x")), f'IAM resource path must either be "*" or start with {KINDS}.'),
    (policy(allow("*", Principal="*")), "Policy document should not specify a principal."),
    (policy(allow("*", Condition={"StringIs": {"a:b": "c"}})), SYNTAX),
    (policy(allow("*", Condition={"StringEquals": "c"})), SYNTAX),
    (policy(allow("*", Condition={"StringEquals": {"a:b": {}}})), SYNTAX),
    (policy(allow("*", Condition={"NullIfExists": {"a:b": "true"}})), SYNTAX),
    (when("DateLessThan", "yesterday"), LEGACY),
    (when("DateLessThan", "2024-13-01"), LEGACY),
    (when("ForAnyValue:DateLessThanIfExists", ["2024-01-01T00:00:00Z", "2024-01-01T25:00:00Z"]), LEGACY),
    (policy(allow("*", Sid="a"), deny("*", Sid="a")), "Statement IDs (SID) in a single policy must be unique."),
    (
        policy(allow("*", Sid="a b")),
        "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*",
    ),
]
GOOD = [
    policy(allow("*")),
    policy(allow(["s3:Get*", "EC2:describeinstances"], ["arn:aws:s3:::b/${aws:username}/*", "arn:aws:ec2:*:*:instance/*"])),
    policy({"Effect": "Deny", "NotAction": "iam:*", "NotResource": "arn:aws:s3:::b"}),
    policy(
        allow("iam:PassRole", "arn:aws:iam::123456789012:role/*", Condition={"StringEquals": {"iam:PassedToService": "x.amazonaws.com"}})
    ),
    when("DateLessThan", "2024-01-01T00:00:00Z"),
    when("DateGreaterThan", "2024-01-01T00:00:00.000+02:00"),
    when("DateLessThanIfExists", 1700000000),
    json.dumps({"Version": "2012-10-17", "Id": "x", "Statement": allow("*")}),
]


@pytest.mark.parametrize(("document", "message"), MANAGED)
def test_identity_documents(document: str, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        managed_policy(document)
    assert (caught.value.code, caught.value.status, caught.value.message) == ("MalformedPolicyDocument", 400, message)


@pytest.mark.parametrize("document", GOOD)
def test_sound_documents(document: str) -> None:
    managed_policy(document)


def test_inline_policies_may_be_of_the_old_version() -> None:
    identity_policy(old(allow("*"), version="2008-10-17"))
    identity_policy(old(allow("*")))


TRUSTING = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "sagemaker.amazonaws.com"}}
TRUST = [
    ("{", "This policy contains invalid Json"),
    (json.dumps({"Version": "2012-10-17"}), "Missing required field Statement"),
    (json.dumps({"Version": "2012-10-17", "Statement": [TRUSTING], "Comment": "x"}), "Unknown field Comment"),
    (policy({**TRUSTING, "Resource": "*"}), "Has prohibited field Resource"),
    (policy({**TRUSTING, "Principal": {"Service": "sagemaker"}}), 'Invalid principal in policy: "SERVICE":"sagemaker"'),
    (policy({**TRUSTING, "Principal": {"AWS": "ann"}}), 'Invalid principal in policy: "AWS":"ann"'),
    (policy({**TRUSTING, "Principal": {"Federated": "idp"}}), "Federated principals must be valid domain names or SAML metadata ARNs"),
    (policy({**TRUSTING, "Action": "s3:*"}), "AssumeRole policy may only specify STS AssumeRole actions."),
    (policy({**TRUSTING, "Action": ["sts:AssumeRole", "sts:BadAssumeRole"]}), "AssumeRole policy may only specify STS AssumeRole actions."),
    (policy({**TRUSTING, "Action": "sts:GetCallerIdentity"}), "AssumeRole policy may only specify STS AssumeRole actions."),
    (policy({key: value for key, value in TRUSTING.items() if key != "Principal"}), "Missing required field Principal"),
    (policy({key: value for key, value in TRUSTING.items() if key != "Effect"}), "Missing required field Effect"),
    (policy({key: value for key, value in TRUSTING.items() if key != "Action"}), "Missing required field Action"),
    (policy({**TRUSTING, "Effect": "Permit"}), "Invalid effect: Permit"),
]


@pytest.mark.parametrize(("document", "message"), TRUST)
def test_trust_documents(document: str, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        trust_policy(document)
    assert (caught.value.code, caught.value.status, caught.value.message) == ("MalformedPolicyDocument", 400, message)


def refusal(yard: Yard, operation: str, **request: Any) -> tuple[str, int]:
    with pytest.raises(ApiError) as caught:
        yard("iam", operation, **request)
    return caught.value.code, caught.value.status


def long(characters: int) -> str:
    """A sound document of so many characters, white space not counted."""
    empty = policy(allow("s3:*", "arn:aws:s3:::"))
    return policy(allow("s3:*", "arn:aws:s3:::" + "b" * (characters - len("".join(empty.split())))))


def test_sizes(yard: Yard) -> None:
    """White space does not count, a character more than the quota does."""
    arn = yard("iam", "CreatePolicy", PolicyName="Long", PolicyDocument=json.dumps(json.loads(long(6144)), indent=8))["Policy"]["Arn"]
    assert refusal(yard, "CreatePolicy", PolicyName="Longer", PolicyDocument=long(6145)) == ("LimitExceeded", 409)
    assert refusal(yard, "CreatePolicyVersion", PolicyArn=arn, PolicyDocument=long(6145)) == ("LimitExceeded", 409)
    yard("iam", "CreateUser", UserName="ann")
    yard("iam", "CreateGroup", GroupName="g")
    yard.role("R")
    for kind, name, most in (("User", "ann", 2048), ("Group", "g", 5120), ("Role", "R", 10_240)):
        who = {f"{kind}Name": name}
        yard("iam", f"Put{kind}Policy", PolicyName="a", PolicyDocument=long(most - 1000), **who)
        assert refusal(yard, f"Put{kind}Policy", PolicyName="b", PolicyDocument=long(1001), **who) == ("LimitExceeded", 409), "together"
        yard("iam", f"Put{kind}Policy", PolicyName="b", PolicyDocument=long(1000), **who)
    trust = policy({**TRUSTING, "Condition": {"StringEquals": {"aws:SourceAccount": "1" * 2048}}})
    assert refusal(yard, "CreateRole", RoleName="T", AssumeRolePolicyDocument=trust) == ("LimitExceeded", 409)


def test_ten_policies_at_most(yard: Yard) -> None:
    yard.role("R")
    for number in range(11):
        arn = yard("iam", "CreatePolicy", PolicyName=f"P{number}", PolicyDocument=policy(allow("s3:*")))["Policy"]["Arn"]
        if number == 10:
            assert refusal(yard, "AttachRolePolicy", RoleName="R", PolicyArn=arn) == ("LimitExceeded", 409)
        else:
            yard("iam", "AttachRolePolicy", RoleName="R", PolicyArn=arn)


# --- whom a trust policy may name -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "principal",
    [
        {"AWS": f"arn:aws:iam::{ACCOUNT}:role/*"},
        {"AWS": "arn:aws:iam::111111111111:role/*"},
        {"AWS": f"arn:aws:iam::{ACCOUNT}:*"},
        {"AWS": "arn:aws:iam::*:root"},
        {"AWS": f"arn:aws:iam::{ACCOUNT}:group/g"},
        {"AWS": f"arn:aws:sts::{ACCOUNT}:assumed-role/ModelyardExecutionRole/*"},
        {"AWS": "AROAXXXXXXXXXXXXXXXXX"},
        {"Service": "sagemker.amazonaws.com"},
    ],
)
def test_nobody_that_a_trust_policy_could_mean(yard: Yard, principal: dict[str, str]) -> None:
    [(kind, name)] = principal.items()
    document = policy({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"})
    with pytest.raises(ApiError) as caught:
        yard("iam", "CreateRole", RoleName="r", AssumeRolePolicyDocument=document)
    word = "SERVICE" if kind == "Service" else kind
    assert (caught.value.code, caught.value.message) == ("MalformedPolicyDocument", f'Invalid principal in policy: "{word}":"{name}"')


SERVICES = "ecs-tasks edgelambda delivery.logs states.us-east-1 vpc-flow-logs build.apprunner spotfleet monitoring.rds sagemaker eks-fargate-pods pipes scheduler"


@pytest.mark.parametrize("service", SERVICES.split())
def test_services_by_their_principals(yard: Yard, service: str) -> None:
    trust = policy({"Effect": "Allow", "Principal": {"Service": f"{service}.amazonaws.com"}, "Action": "sts:AssumeRole"})
    assert yard("iam", "CreateRole", RoleName="r", AssumeRolePolicyDocument=trust)["Role"]["RoleName"] == "r"
