from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modelyard.kernel.errors import ApiError
from modelyard.services.iam.bootstrap import ensure_account
from tests.services.iam.conftest import ACCOUNT, Yard, allow, policy

OTHER = "210987654321"


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path)


def refused(yard: Yard, as_: str | None = None, **request: Any) -> tuple[str, int]:
    with pytest.raises(ApiError) as caught:
        yard("sts", "AssumeRole", as_, **{"RoleSessionName": "s", **request})
    return caught.value.code, caught.value.status


def test_shape(yard: Yard) -> None:
    arn = yard.role("R", Path="/team/")
    got = yard("sts", "AssumeRole", RoleArn=arn, RoleSessionName="me", DurationSeconds=900)
    assert got["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/R/me"
    assert got["AssumedRoleUser"]["AssumedRoleId"].endswith(":me")
    keys = got["Credentials"]
    assert keys["AccessKeyId"].startswith("ASIA") and keys["Expiration"] == yard.clock.now() + 900
    stored = yard.identity.credential(keys["AccessKeyId"])
    assert (stored.secret_key, stored.token) == (keys["SecretAccessKey"], keys["SessionToken"])


def test_who_may(yard: Yard) -> None:
    arn = yard.role("R", trust={"AWS": f"arn:aws:iam::{ACCOUNT}:root"})
    ann = yard.user("ann")
    assert refused(yard, ann, RoleArn=arn) == ("AccessDenied", 403)
    yard("iam", "PutUserPolicy", UserName="ann", PolicyName="p", PolicyDocument=policy(allow("sts:AssumeRole", arn)))
    assert yard.assume(arn, ann)
    direct = yard.role("Direct", trust={"AWS": f"arn:aws:iam::{ACCOUNT}:user/ann"})
    assert yard.assume(direct, ann), "a trust policy that names the user needs nothing else"
    assert refused(yard, RoleArn=direct) == ("AccessDenied", 403), "even an administrator must be trusted"
    with pytest.raises(ApiError) as caught:
        yard.assume(direct)
    missing = json.loads(caught.value.message.split("add this statement to the trust policy of role Direct: ")[1])
    assert missing["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:role/ModelyardExecutionRole"} and "Resource" not in missing
    assert refused(yard, RoleArn=yard.role("ForJobs", trust={"Service": "sagemaker.amazonaws.com"})) == ("AccessDenied", 403)
    assert refused(yard, RoleArn=f"arn:aws:iam::{ACCOUNT}:role/Missing") == ("AccessDenied", 403)
    assert refused(yard, RoleArn="nonsense-nonsense-nonsense") == ("ValidationError", 400)
    assert refused(yard, yard.root, RoleArn=arn) == ("AccessDenied", 403)


def test_external_id(yard: Yard) -> None:
    statement = {
        "Effect": "Allow",
        "Principal": {"AWS": ACCOUNT},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": "x"}},
    }
    arn = yard("iam", "CreateRole", RoleName="R", AssumeRolePolicyDocument=policy(statement))["Role"]["Arn"]
    assert refused(yard, RoleArn=arn) == ("AccessDenied", 403)
    assert refused(yard, RoleArn=arn, ExternalId="yy") == ("AccessDenied", 403)
    assert yard.assume(arn, ExternalId="x")


def test_other_accounts_need_both_sides(yard: Yard) -> None:
    other = ensure_account(yard.platform, OTHER)["session"]["AccessKeyId"]
    arn = yard.role("R", allow("s3:*"))
    assert refused(yard, other, RoleArn=arn) == ("AccessDenied", 403)
    shared = yard.role("Shared", trust={"AWS": OTHER})
    session = yard.assume(shared, other)
    assert yard("sts", "GetCallerIdentity", session)["Account"] == ACCOUNT


def test_durations(yard: Yard) -> None:
    arn = yard.role("R", MaxSessionDuration=7200)
    ann = yard.user("ann", allow("sts:AssumeRole"))
    assert refused(yard, RoleArn=arn, DurationSeconds=3601) == ("ValidationError", 400), "role chaining: one hour"
    assert refused(yard, ann, RoleArn=arn, DurationSeconds=7201) == ("ValidationError", 400)
    assert refused(yard, ann, RoleArn=arn, DurationSeconds=899) == ("ValidationError", 400)
    assert yard.assume(arn, ann, DurationSeconds=7200)


def test_tags_need_tag_session(yard: Yard) -> None:
    arn = yard.role("R")
    assert yard.assume(arn, Tags=[{"Key": "a", "Value": "b"}])
    trust = policy({"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "sts:AssumeRole"})
    yard("iam", "UpdateAssumeRolePolicy", RoleName="R", PolicyDocument=trust)
    ann = yard.user("ann", allow("sts:AssumeRole"))
    assert refused(yard, ann, RoleArn=arn, Tags=[{"Key": "a", "Value": "b"}]) == ("AccessDenied", 403)


def test_session_policies_are_one_limit(yard: Yard) -> None:
    arn = yard.role("R", allow("*"))
    session = yard.assume(
        arn, Policy=policy(allow("sagemaker:ListModels")), PolicyArns=[{"arn": "arn:aws:iam::aws:policy/AmazonS3ReadOnlyAccess"}]
    )
    yard.authorize(session, "s3", "ListBuckets")
    yard.authorize(session, "sagemaker", "ListModels")
    with pytest.raises(ApiError, match="no session policy allows"):
        yard.authorize(session, "sagemaker", "DeleteModel", ModelName="m")


def test_get_session_token(yard: Yard) -> None:
    ann = yard.user("ann", allow("s3:ListAllMyBuckets"))
    keys = yard("sts", "GetSessionToken", ann)["Credentials"]
    assert keys["Expiration"] == yard.clock.now() + 43_200
    assert yard("sts", "GetCallerIdentity", keys["AccessKeyId"])["Arn"] == f"arn:aws:iam::{ACCOUNT}:user/ann"
    yard.authorize(keys["AccessKeyId"], "s3", "ListBuckets")
    with pytest.raises(ApiError, match="Cannot call GetSessionToken with session credentials"):
        yard("sts", "GetSessionToken")
