"""Keys of the root user; names, times and ARNs as IAM words and writes them (a real client)."""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from modelyard.kernel.clock import ManualClock
from modelyard.services.iam.bootstrap import ensure_account
from tests.support import inproc
from tests.support.platform import InProcess

TRUST = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }
)


@pytest.fixture
def yard(tmp_path: Path) -> Any:
    made = InProcess(tmp_path, clock=ManualClock())
    yield made
    made.close()


def refused(function: Any, **request: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as caught:
        function(**request)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def test_root_has_two_keys_at_most_and_keeps_none_that_it_deleted(yard: InProcess) -> None:
    iam, first = yard.root("iam"), yard.secrets["root"]["AccessKeyId"]
    assert [key["AccessKeyId"] for key in iam.list_access_keys()["AccessKeyMetadata"]] == [first]
    new = iam.create_access_key()["AccessKey"]
    assert "UserName" not in new
    assert refused(iam.create_access_key) == ("LimitExceeded", "Cannot exceed quota for AccessKeysPerUser: 2")
    again = inproc.client(yard.gateway, "iam", key=new["AccessKeyId"], secret=new["SecretAccessKey"])
    assert again.get_user()["User"]["Arn"].endswith(":root")
    again.update_access_key(AccessKeyId=first, Status="Inactive")
    assert refused(iam.list_access_keys)[0] == "InvalidClientTokenId"
    again.delete_access_key(AccessKeyId=first)
    ensure_account(yard.platform, yard.settings.account)  # what every start does
    assert [key["AccessKeyId"] for key in again.list_access_keys()["AccessKeyMetadata"]] == [new["AccessKeyId"]]
    assert refused(iam.list_access_keys)[0] == "InvalidClientTokenId"
    assert again.list_mfa_devices()["MFADevices"] == [] and again.list_signing_certificates()["Certificates"] == []
    assert refused(yard.client("iam").create_access_key)[1] == "Must specify userName when calling with non-User credentials"


def test_the_key_of_an_account_that_was_made_before_roots_keys_had_records(yard: InProcess) -> None:
    store, key = yard.platform.store, yard.secrets["root"]["AccessKeyId"]
    store.delete(store.get("iam-access-key", yard.settings.account, "global", key))
    account = store.get("iam-account", yard.settings.account, "global", yard.settings.account)
    store.request(account, {"RootKeysListed": None}, due=False)
    assert yard.root("iam").list_access_keys()["AccessKeyMetadata"] == []
    ensure_account(yard.platform, yard.settings.account)
    assert [one["AccessKeyId"] for one in yard.root("iam").list_access_keys()["AccessKeyMetadata"]] == [key]


def test_times_have_no_fraction_of_a_second(yard: InProcess) -> None:
    iam, seen = yard.client("iam"), []
    iam.meta.events.register("before-parse.*", lambda response_dict, **_: seen.append(response_dict["body"].decode()))
    iam.create_user(UserName="ann")
    iam.create_access_key(UserName="ann")
    sts = yard.client("sts")
    sts.meta.events.register("before-parse.*", lambda response_dict, **_: seen.append(response_dict["body"].decode()))
    iam.create_role(RoleName="r", AssumeRolePolicyDocument=TRUST.replace('"Service": "sagemaker.amazonaws.com"', '"AWS": "*"'))
    sts.assume_role(RoleArn=f"arn:aws:iam::{yard.settings.account}:role/r", RoleSessionName="me")
    times = re.findall(r"<(?:CreateDate|Expiration)>(.*?)<", "".join(seen))
    assert len(times) >= 4 and all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", one) for one in times)


@pytest.mark.parametrize(
    ("operation", "request_", "code", "message"),
    [
        (
            "create_user",
            {"UserName": "a b"},
            "ValidationError",
            "The specified value for userName is invalid. It must contain only alphanumeric characters and/or the following: +=,.@_-",
        ),
        (
            "create_user",
            {"UserName": "a", "Path": "x"},
            "ValidationError",
            "The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.",
        ),
        (
            "create_role",
            {"RoleName": "a b", "AssumeRolePolicyDocument": TRUST, "Description": "\u2013"},
            "ValidationError",
            "1 validation error detected: Value at 'description' failed to satisfy constraint: "
            r"Member must satisfy regular expression pattern: [\u0009\u000A\u000D\u0020-\u007E\u00A1-\u00FF]*",
        ),
        (
            "attach_role_policy",
            {"RoleName": "here", "PolicyArn": "arn:aws:iam::policy/AmazonS3FullAccess"},
            "InvalidInput",
            "ARN arn:aws:iam::policy/AmazonS3FullAccess is not valid.",
        ),
        (
            "attach_role_policy",
            {"RoleName": "here", "PolicyArn": "arn:aws:iam::aws:policy/aws-service-role/AWSSupportServiceRolePolicy"},
            "PolicyNotAttachable",
            "Cannot attach a Service Role Policy to a Customer Role.",
        ),
    ],
)
def test_what_iam_says(yard: InProcess, operation: str, request_: dict[str, Any], code: str, message: str) -> None:
    iam = yard.client("iam")
    iam.create_role(RoleName="here", AssumeRolePolicyDocument=TRUST)
    assert refused(getattr(iam, operation), **request_) == (code, message)


# --- calls at the same time ---------------------------------------------------------------------------------


def together(calls: list[Any]) -> list[str]:
    """What each call came to: ok, or its error's code."""

    def one(call: Any) -> str:
        try:
            call()
        except ClientError as problem:
            return problem.response["Error"]["Code"]
        return "ok"

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(one, calls))


def test_calls_at_the_same_time_do_not_pass_a_quota(yard: InProcess) -> None:
    iam = yard.client("iam")
    iam.create_user(UserName="ann")
    answers = together([lambda: iam.create_access_key(UserName="ann")] * 6)
    assert sorted(answers) == ["LimitExceeded"] * 4 + ["ok"] * 2
    keys = iam.list_access_keys(UserName="ann")["AccessKeyMetadata"]
    assert len(keys) == 2
    iam.delete_access_key(UserName="ann", AccessKeyId=keys[0]["AccessKeyId"])
    iam.create_access_key(UserName="ann")
    together([lambda n=n: iam.tag_user(UserName="ann", Tags=[{"Key": f"{n}-{m}", "Value": ""} for m in range(20)]) for n in range(6)])
    assert len(iam.list_user_tags(UserName="ann", MaxItems=1000)["Tags"]) <= 50


def test_a_place_whose_key_never_came_is_free_again(yard: InProcess) -> None:
    iam, store, clock = yard.client("iam"), yard.platform.store, yard.platform.clock
    iam.create_user(UserName="ann")
    user = store.get("iam-user", yard.settings.account, "global", "ann")
    store.request(user, {"KeyPlaces": {"A": clock.now(), "B": clock.now() - 100}}, due=False)
    iam.create_access_key(UserName="ann")
    assert refused(iam.create_access_key, UserName="ann")[0] == "LimitExceeded"
    clock.advance(61)
    iam.create_access_key(UserName="ann")


def test_a_policy_that_goes_while_it_is_attached_is_attached_to_nobody(yard: InProcess) -> None:
    iam, text = (
        yard.client("iam"),
        json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}),
    )
    for number in range(4):
        name = f"r{number}"
        arn = iam.create_policy(PolicyName=name, PolicyDocument=text)["Policy"]["Arn"]
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)
        together([partial(iam.attach_role_policy, RoleName=name, PolicyArn=arn), partial(iam.delete_policy, PolicyArn=arn)])
        there = arn in [policy["Arn"] for policy in iam.list_policies(Scope="Local")["Policies"]]
        assert (len(iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]) == 1) == there
