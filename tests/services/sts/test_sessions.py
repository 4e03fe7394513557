"""Sessions of every kind: tags, source identity, MFA, federation, chains, what they may not call, and how they end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from modelyard.kernel.clock import real_now
from modelyard.kernel.errors import ApiError
from modelyard.services.iam import totp
from modelyard.services.iam.context import iso
from tests.services.iam.conftest import ACCOUNT, Yard, allow, deny, policy

OBJECT = {"Bucket": "b", "Key": "x"}
TRUSTS_ACCOUNT = {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}


@pytest.fixture
def yard(tmp_path: Any) -> Yard:
    return Yard(tmp_path)


def trust(*actions: str, **more: Any) -> str:
    return policy({"Effect": "Allow", "Principal": TRUSTS_ACCOUNT, "Action": list(actions), **more})


def may(yard: Yard, as_: str, service: str = "s3", operation: str = "GetObject", **request: Any) -> bool:
    try:
        yard.authorize(as_, service, operation, **(request or OBJECT))
    except ApiError:
        return False
    return True


def refusal(yard: Yard, operation: str, as_: str | None = None, **request: Any) -> tuple[str, str]:
    with pytest.raises(ApiError) as caught:
        yard("sts", operation, as_, **request)
    return caught.value.code, caught.value.message


def role(yard: Yard, name: str, document: str, *statements: dict[str, Any]) -> str:
    arn = yard("iam", "CreateRole", RoleName=name, AssumeRolePolicyDocument=document)["Role"]["Arn"]
    if statements:
        yard("iam", "PutRolePolicy", RoleName=name, PolicyName="p", PolicyDocument=policy(*statements))
    return arn


def assume(yard: Yard, arn: str, as_: str | None = None, **more: Any) -> str:
    return yard("sts", "AssumeRole", as_, RoleArn=arn, RoleSessionName="me", **more)["Credentials"]["AccessKeyId"]


# --- session tags ----------------------------------------------------------------------------------------


def tags(**pairs: str) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in pairs.items()]


def test_session_tags_need_permission_and_decide(yard: Yard) -> None:
    plain = role(yard, "Plain", trust("sts:AssumeRole"))
    assert refusal(yard, "AssumeRole", RoleArn=plain, RoleSessionName="me", Tags=tags(team="ml"))[0] == "AccessDenied"
    tagged = role(
        yard,
        "Tagged",
        trust("sts:AssumeRole", "sts:TagSession", Condition={"StringEqualsIfExists": {"aws:RequestTag/team": ["ml", "web"]}}),
        allow("s3:GetObject", Condition={"StringEquals": {"aws:PrincipalTag/team": "ml"}}),
    )
    yard("iam", "TagRole", RoleName="Tagged", Tags=tags(team="ops"))
    assert may(yard, assume(yard, tagged, Tags=tags(team="ml"))), "the session's tag goes before the role's"
    assert not may(yard, assume(yard, tagged, Tags=tags(team="web")))
    assert not may(yard, assume(yard, tagged)), "the role's own tag is ops"
    assert refusal(yard, "AssumeRole", RoleArn=tagged, RoleSessionName="me", Tags=tags(team="hr"))[0] == "AccessDenied"
    twice = [{"Key": "a", "Value": "1"}, {"Key": "A", "Value": "2"}]
    assert "Duplicate tag keys" in refusal(yard, "AssumeRole", RoleArn=tagged, RoleSessionName="me", Tags=twice)[1]


def test_transitive_tags_go_through_the_chain(yard: Yard) -> None:
    both = trust("sts:AssumeRole", "sts:TagSession")
    wants = allow("s3:GetObject", Condition={"StringEquals": {"aws:PrincipalTag/team": "ml"}})
    first = role(yard, "First", both, allow(["sts:AssumeRole", "sts:TagSession"]))
    second = role(yard, "Second", both, wants)
    handed = assume(yard, first, Tags=tags(team="ml", desk="7"), TransitiveTagKeys=["team"])
    assert may(yard, assume(yard, second, handed))
    kept = assume(yard, first, Tags=tags(team="ml"))
    assert not may(yard, assume(yard, second, kept)), "tags that are not transitive stay behind"
    code, text = refusal(yard, "AssumeRole", handed, RoleArn=second, RoleSessionName="me", Tags=tags(team="web"))
    assert code == "InvalidParameterValue" and "conflicts with a transitive tag key" in text
    code, text = refusal(yard, "AssumeRole", RoleArn=first, RoleSessionName="me", TransitiveTagKeys=["team"])
    assert code == "InvalidParameterValue" and "must be included" in text


def test_source_identity_stays(yard: Yard) -> None:
    both = trust("sts:AssumeRole", "sts:SetSourceIdentity")
    first = role(yard, "First", both, allow("sts:*"))
    by_ann = {"StringEquals": {"aws:SourceIdentity": "ann"}}
    second = role(yard, "Second", both, allow("s3:GetObject", Condition=by_ann))
    plain = role(yard, "Plain", trust("sts:AssumeRole"))
    assert refusal(yard, "AssumeRole", RoleArn=plain, RoleSessionName="me", SourceIdentity="ann")[0] == "AccessDenied"
    got = yard("sts", "AssumeRole", RoleArn=first, RoleSessionName="me", SourceIdentity="ann")
    assert got["SourceIdentity"] == "ann"
    session = got["Credentials"]["AccessKeyId"]
    assert may(yard, assume(yard, second, session)), "the next role has it too"
    assert refusal(yard, "AssumeRole", session, RoleArn=second, RoleSessionName="me", SourceIdentity="bob")[0] == "AccessDenied"
    assert not may(yard, assume(yard, second, assume(yard, first, SourceIdentity="bob")))


# --- MFA -------------------------------------------------------------------------------------------------


def phone(yard: Yard, user: str) -> tuple[str, str, int]:
    """(serial, seed, a step whose code was not used yet)"""
    made = yard("iam", "CreateVirtualMFADevice", VirtualMFADeviceName=f"{user}-phone")["VirtualMFADevice"]
    seed, step = made["Base32StringSeed"].decode(), totp.step_at(real_now())
    yard(
        "iam",
        "EnableMFADevice",
        UserName=user,
        SerialNumber=made["SerialNumber"],
        AuthenticationCode1=totp.code(seed, step - 2),
        AuthenticationCode2=totp.code(seed, step - 1),
    )
    return made["SerialNumber"], seed, step


def test_mfa(yard: Yard) -> None:
    with_mfa = {"Bool": {"aws:MultiFactorAuthPresent": "true"}}
    ann = yard.user("ann", allow("s3:*", Condition=with_mfa), allow("sts:AssumeRole"), allow("iam:ListUsers"))
    serial, seed, step = phone(yard, "ann")
    assert not may(yard, ann)
    plain = yard("sts", "GetSessionToken", ann)["Credentials"]["AccessKeyId"]
    assert not may(yard, plain)
    code = totp.code(seed, step)
    session = yard("sts", "GetSessionToken", ann, SerialNumber=serial, TokenCode=code)["Credentials"]["AccessKeyId"]
    assert may(yard, session)
    code_, text = refusal(yard, "GetSessionToken", ann, SerialNumber=serial, TokenCode=code)
    assert code_ == "AccessDenied" and "invalid MFA one time pass code" in text, "a code holds once"
    wrong = f"{(int(totp.code(seed, step + 1)) + 1) % 10**6:06d}"
    assert "invalid MFA one time pass code" in refusal(yard, "GetSessionToken", ann, SerialNumber=serial, TokenCode=wrong)[1]
    assert "must provide both" in refusal(yard, "GetSessionToken", ann, SerialNumber=serial)[1]
    bob = yard.user("bob")
    assert "associated with this user" in refusal(yard, "GetSessionToken", bob, SerialNumber=serial, TokenCode=totp.code(seed, step + 1))[1]
    arn = role(yard, "Careful", trust("sts:AssumeRole", Condition=with_mfa), allow("s3:*"))
    assert refusal(yard, "AssumeRole", ann, RoleArn=arn, RoleSessionName="me")[0] == "AccessDenied"
    assumed = assume(yard, arn, ann, SerialNumber=serial, TokenCode=totp.code(seed, step + 1))
    assert may(yard, assumed) and assume(yard, arn, session), "a session with MFA may assume it too"
    assert may(yard, session, "iam", "ListUsers", PathPrefix="/") and not may(yard, plain, "iam", "ListUsers", PathPrefix="/")


# --- federation ------------------------------------------------------------------------------------------


def federate(yard: Yard, as_: str, **more: Any) -> str:
    return yard("sts", "GetFederationToken", as_, Name="guest", **more)["Credentials"]["AccessKeyId"]


def test_federated_users_may_what_both_allow(yard: Yard) -> None:
    ann = yard.user("ann", allow("s3:*"), allow("sts:GetFederationToken"))
    assert not may(yard, federate(yard, ann)), "without a policy, nothing"
    guest = federate(yard, ann, Policy=policy(allow(["s3:GetObject", "sqs:*"])))
    assert may(yard, guest) and not may(yard, guest, operation="PutObject") and not may(yard, guest, "sqs", "ListQueues", MaxResults=1)
    named = federate(yard, ann, PolicyArns=[{"arn": "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"}])
    assert may(yard, named) and not may(yard, named, operation="PutObject")
    assert yard("sts", "GetCallerIdentity", guest) == {
        "UserId": f"{ACCOUNT}:guest",
        "Account": ACCOUNT,
        "Arn": f"arn:aws:sts::{ACCOUNT}:federated-user/guest",
    }
    yard("iam", "PutUserPolicy", UserName="ann", PolicyName="no", PolicyDocument=policy(deny("s3:GetObject")))
    assert not may(yard, guest), "what its user loses it loses at once"
    of_root = federate(yard, yard.root, Policy=policy(allow("s3:*")))
    assert may(yard, of_root) and not may(yard, of_root, "sqs", "ListQueues", MaxResults=1)
    poor = yard.user("poor")
    assert refusal(yard, "GetFederationToken", poor, Name="guest")[0] == "AccessDenied"


# --- what sessions may not call ----------------------------------------------------------------------------


def test_calls_that_sessions_may_not_make(yard: Yard) -> None:
    yard.user("ann")
    yard("iam", "AttachUserPolicy", UserName="ann", PolicyArn="arn:aws:iam::aws:policy/AdministratorAccess")
    ann = yard("iam", "CreateAccessKey", UserName="ann")["AccessKey"]["AccessKeyId"]
    session = yard("sts", "GetSessionToken", ann)["Credentials"]["AccessKeyId"]
    guest = federate(yard, ann, Policy=policy(allow("*")))
    for key in (session, guest):
        with pytest.raises(ApiError) as caught:
            yard("iam", "ListUsers", key)
        assert (caught.value.code, caught.value.status) == ("InvalidClientTokenId", 403)
        assert refusal(yard, "GetFederationToken", key, Name="guest")[0] == "AccessDenied"
        assert refusal(yard, "GetSessionToken", key)[0] == "AccessDenied"
        assert yard("sts", "GetCallerIdentity", key)["Account"] == ACCOUNT
    arn = role(yard, "R", trust("sts:AssumeRole"))
    assert assume(yard, arn, session)
    assert refusal(yard, "AssumeRole", guest, RoleArn=arn, RoleSessionName="me")[0] == "AccessDenied"
    assumed = assume(yard, arn)
    assert refusal(yard, "GetSessionToken", assumed) == ("AccessDenied", "Cannot call GetSessionToken with session credentials")
    assert refusal(yard, "GetFederationToken", assumed, Name="guest")[0] == "AccessDenied"


# --- limits and ends ---------------------------------------------------------------------------------------


def test_durations(yard: Yard) -> None:
    first = role(yard, "First", trust("sts:AssumeRole"), allow("sts:AssumeRole"))
    second = role(yard, "Second", trust("sts:AssumeRole"))
    yard("iam", "UpdateRole", RoleName="First", MaxSessionDuration=7200)
    yard("iam", "UpdateRole", RoleName="Second", MaxSessionDuration=43_200)
    root = yard.root
    ann = yard.user("ann", allow("sts:AssumeRole"))
    assert assume(yard, first, ann, DurationSeconds=7200)
    assert "MaxSessionDuration" in refusal(yard, "AssumeRole", ann, RoleArn=first, RoleSessionName="me", DurationSeconds=7201)[1]
    chained = assume(yard, first, ann)
    assert assume(yard, second, chained, DurationSeconds=3600)
    text = refusal(yard, "AssumeRole", chained, RoleArn=second, RoleSessionName="me", DurationSeconds=3601)[1]
    assert text == "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining."
    got = yard("sts", "GetSessionToken", root, DurationSeconds=36_000)["Credentials"]
    assert got["Expiration"] == yard.clock.now() + 3600, "an hour at most for root"


def test_session_policies(yard: Yard) -> None:
    arn = role(yard, "R", trust("sts:AssumeRole"), allow("s3:*"))
    some = assume(yard, arn, Policy=policy(allow("s3:GetObject")), PolicyArns=[{"arn": "arn:aws:iam::aws:policy/AmazonSQSFullAccess"}])
    assert may(yard, some) and not may(yard, some, operation="PutObject") and not may(yard, some, "sqs", "ListQueues", MaxResults=1)
    request = {"RoleArn": arn, "RoleSessionName": "me"}
    assert refusal(yard, "AssumeRole", **request, Policy="{")[0] == "MalformedPolicyDocument"
    assert refusal(yard, "AssumeRole", **request, Policy=policy(allow("s3:*", "arn:aws:s3:::" + "b" * 2048)))[0] == "ValidationError"
    missing = [{"arn": f"arn:aws:iam::{ACCOUNT}:policy/none"}]
    assert refusal(yard, "AssumeRole", **request, PolicyArns=missing)[0] == "ValidationError"
    eleven = [{"arn": "arn:aws:iam::aws:policy/AmazonSQSFullAccess"}] * 11
    assert refusal(yard, "AssumeRole", **request, PolicyArns=eleven)[0] == "ValidationError"


def test_too_many_tags_for_a_token(yard: Yard) -> None:
    import random

    dice = random.Random(1)
    arn = role(yard, "R", trust("sts:AssumeRole", "sts:TagSession"))
    noise = [{"Key": f"{n}{dice.getrandbits(400):x}", "Value": f"{dice.getrandbits(900):x}"} for n in range(50)]
    code, text = refusal(yard, "AssumeRole", RoleArn=arn, RoleSessionName="me", Tags=noise)
    assert code == "PackedPolicyTooLarge" and "allotted space" in text


def test_sessions_are_revoked_by_their_time(yard: Yard) -> None:
    """As the console does it: a Deny on sessions that were issued before now."""
    arn = role(yard, "R", trust("sts:AssumeRole"), allow("s3:*"))
    old = assume(yard, arn)
    yard.clock.advance(60)
    revoke = {"DateLessThan": {"aws:TokenIssueTime": iso(yard.clock.now())}}
    document = policy({"Effect": "Deny", "Action": ["*"], "Resource": ["*"], "Condition": revoke})
    yard("iam", "PutRolePolicy", RoleName="R", PolicyName="AWSRevokeOlderSessions", PolicyDocument=document)
    assert not may(yard, old), "at the next call"
    assert may(yard, assume(yard, arn))


def test_a_name_is_trusted_for_whom_it_stood(yard: Yard) -> None:
    """A user made again under a trusted name is somebody else; a renamed one is the same."""
    ann = yard.user("ann")
    yard("iam", "CreateUser", UserName="bea")
    bea = yard("iam", "CreateAccessKey", UserName="bea")["AccessKey"]["AccessKeyId"]
    people = [f"arn:aws:iam::{ACCOUNT}:user/ann", f"arn:aws:iam::{ACCOUNT}:user/bea"]
    document = policy({"Effect": "Allow", "Principal": {"AWS": people}, "Action": "sts:AssumeRole"})
    arn = role(yard, "R", document)
    assert assume(yard, arn, ann) and assume(yard, arn, bea)
    yard("iam", "DeleteAccessKey", UserName="ann", AccessKeyId=ann)
    yard("iam", "DeleteUser", UserName="ann")
    impostor = yard.user("ann")
    assert refusal(yard, "AssumeRole", impostor, RoleArn=arn, RoleSessionName="me")[0] == "AccessDenied"
    from urllib.parse import unquote

    shown = json.loads(unquote(yard("iam", "GetRole", RoleName="R")["Role"]["AssumeRolePolicyDocument"]))
    assert shown["Statement"][0]["Principal"]["AWS"][0].startswith("AIDA") and shown["Statement"][0]["Principal"]["AWS"][1] == people[1]
    yard("iam", "UpdateUser", UserName="bea", NewUserName="beatrix", NewPath="/staff/")
    assert assume(yard, arn, bea), "her key goes on"
    assert yard("sts", "GetCallerIdentity", bea)["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/staff/beatrix"


# --- the end of whom a session is of ----------------------------------------------------------------------


def test_sessions_end_with_their_role_or_user(yard: Yard) -> None:
    arn = role(yard, "gone", trust("sts:AssumeRole"), allow("*"))
    session, key = assume(yard, arn), yard.user("ann", allow("*"))
    token = yard("sts", "GetSessionToken", key)["Credentials"]["AccessKeyId"]
    assert yard.identity.credential(session) and yard.identity.credential(token)
    yard("iam", "DeleteRolePolicy", RoleName="gone", PolicyName="p")
    yard("iam", "DeleteRole", RoleName="gone")
    assert yard.identity.credential(session) is None
    role(yard, "gone", trust("sts:AssumeRole"), allow("*"))
    assert yard.identity.credential(session) is None  # of the same name is not the same
    yard("iam", "DeleteUserPolicy", UserName="ann", PolicyName="inline")
    yard("iam", "DeleteAccessKey", UserName="ann", AccessKeyId=key)
    assert yard.identity.credential(token)
    yard("iam", "DeleteUser", UserName="ann")
    assert yard.identity.credential(token) is None
    root = yard("sts", "GetSessionToken", yard.root)["Credentials"]["AccessKeyId"]
    assert yard.identity.credential(root)
