from __future__ import annotations

import json
from typing import Any

import pytest

from modelyard.kernel.errors import ApiError
from modelyard.services.iam.positions import statement_positions
from tests.services.iam.conftest import ACCOUNT, Yard, allow, deny, policy


def test_decisions_and_matched_statements(yard: Yard) -> None:
    arn = yard.role("R", allow("s3:*"), deny("s3:DeleteBucket"))
    got = yard("iam", "SimulatePrincipalPolicy", PolicySourceArn=arn, ActionNames=["s3:GetObject", "s3:DeleteBucket", "sqs:SendMessage"])
    results = {r["EvalActionName"]: r for r in got["EvaluationResults"]}
    assert {a: r["EvalDecision"] for a, r in results.items()} == {
        "s3:GetObject": "allowed",
        "s3:DeleteBucket": "explicitDeny",
        "sqs:SendMessage": "implicitDeny",
    }
    assert got["IsTruncated"] is False
    matched = results["s3:DeleteBucket"]["MatchedStatements"]
    assert [(m["SourcePolicyId"], m["SourcePolicyType"]) for m in matched] == [("role_R_inline", "IAM Policy")]
    text = policy(allow("s3:*"), deny("s3:DeleteBucket"))
    start, end = matched[0]["StartPosition"], matched[0]["EndPosition"]
    assert json.loads(text[start["Column"] - 2 : end["Column"] - 1]) == deny("s3:DeleteBucket")
    assert results["sqs:SendMessage"]["MatchedStatements"] == []


def test_the_simulator_agrees_with_the_engine(yard: Yard) -> None:
    arn = yard.role("R", allow("s3:GetObject", "arn:aws:s3:::b/*"), allow("sagemaker:*"), deny("sagemaker:DeleteModel"))
    session = yard.assume(arn)
    calls: list[tuple[str, str, str, dict[str, Any], str]] = [
        ("s3", "GetObject", "s3:GetObject", {"Bucket": "b", "Key": "k"}, "arn:aws:s3:::b/k"),
        ("s3", "GetObject", "s3:GetObject", {"Bucket": "c", "Key": "k"}, "arn:aws:s3:::c/k"),
        ("sagemaker", "ListModels", "sagemaker:ListModels", {}, "*"),
        ("sagemaker", "DeleteModel", "sagemaker:DeleteModel", {"ModelName": "m"}, f"arn:aws:sagemaker:us-east-1:{ACCOUNT}:model/m"),
    ]
    for service, operation, action, request, resource in calls:
        got = yard("iam", "SimulatePrincipalPolicy", PolicySourceArn=arn, ActionNames=[action], ResourceArns=[resource])
        try:
            yard.authorize(session, service, operation, **request)
            done = True
        except ApiError:
            done = False
        assert (got["EvaluationResults"][0]["EvalDecision"] == "allowed") is done


def test_pages_context_and_boundary(yard: Yard) -> None:
    tagged = allow("s3:*", Condition={"StringEquals": {"aws:RequestTag/team": "red"}})
    ask = {"PolicyInputList": [policy(tagged)], "ActionNames": ["s3:GetObject", "s3:PutObject", "s3:ListBucket"]}
    first = yard("iam", "SimulateCustomPolicy", MaxItems=2, **ask)
    rest = yard("iam", "SimulateCustomPolicy", MaxItems=2, Marker=first["Marker"], **ask)
    assert first["IsTruncated"] and [r["EvalActionName"] for r in rest["EvaluationResults"]] == ["s3:ListBucket"]
    assert first["EvaluationResults"][0]["MissingContextValues"] == ["aws:RequestTag/team"]
    entry = {"ContextKeyName": "aws:RequestTag/team", "ContextKeyValues": ["red"], "ContextKeyType": "string"}
    told = yard("iam", "SimulateCustomPolicy", ContextEntries=[entry], **ask)
    assert {r["EvalDecision"] for r in told["EvaluationResults"]} == {"allowed"}
    limited = yard(
        "iam", "SimulateCustomPolicy", ContextEntries=[entry], PermissionsBoundaryPolicyInputList=[policy(allow("s3:Get*"))], **ask
    )
    assert [r["EvalDecision"] for r in limited["EvaluationResults"]] == ["allowed", "implicitDeny", "implicitDeny"]
    assert limited["EvaluationResults"][1]["PermissionsBoundaryDecisionDetail"] == {"AllowedByPermissionsBoundary": False}


def test_members_of_results(yard: Yard) -> None:
    """Positions of every policy, resources by themselves, both sides of a cross-account request."""
    inside, far = "arn:aws:s3:::b/x", "999999999999"
    resource_policy = policy({"Effect": "Allow", "Principal": {"AWS": ACCOUNT}, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::b/*"})
    ask = {
        "PolicyInputList": [policy(allow("s3:*"))],
        "ActionNames": ["s3:GetObject", "s3:PutObject"],
        "ResourceArns": [inside],
        "ResourcePolicy": resource_policy,
        "CallerArn": f"arn:aws:iam::{ACCOUNT}:user/ann",
    }
    got, put = yard("iam", "SimulateCustomPolicy", ResourceOwner=f"arn:aws:iam::{far}:root", **ask)["EvaluationResults"]
    assert (got["EvalDecision"], put["EvalDecision"]) == ("allowed", "implicitDeny")
    assert got["EvalDecisionDetails"] == {"IAM Policy": "allowed", "Resource Policy": "allowed"}
    assert put["EvalDecisionDetails"] == {"IAM Policy": "allowed", "Resource Policy": "implicitDeny"}
    assert [m["SourcePolicyId"] for m in got["MatchedStatements"]] == ["PolicyInputList.1", "ResourcePolicy"]
    assert all(m["StartPosition"]["Line"] == 1 for m in got["MatchedStatements"])
    [one] = got["ResourceSpecificResults"]
    assert (one["EvalResourceName"], one["EvalResourceDecision"]) == (inside, "allowed")
    at_home = yard("iam", "SimulateCustomPolicy", **ask)["EvaluationResults"]
    assert [r["EvalDecision"] for r in at_home] == ["allowed", "allowed"] and at_home[0]["EvalDecisionDetails"] == {}
    del ask["CallerArn"]
    for wrong in ({}, {"ActionNames": ["GetObject"]}, {"PolicyInputList": ["{"]}):
        with pytest.raises(ApiError) as caught:
            yard("iam", "SimulateCustomPolicy", **{**ask, **wrong})
        assert caught.value.code == "InvalidInput"


def test_context_keys_as_they_are_written(yard: Yard) -> None:
    text = policy(allow("s3:*", "arn:aws:s3:::b/${aws:username}/*", Condition={"Bool": {"aws:SecureTransport": "true"}}))
    assert yard("iam", "GetContextKeysForCustomPolicy", PolicyInputList=[text])["ContextKeyNames"] == [
        "aws:SecureTransport",
        "aws:username",
    ]


def test_bad_sources(yard: Yard) -> None:
    for arn, code in (("arn:aws:s3:::b", "InvalidInput"), (f"arn:aws:iam::{ACCOUNT}:role/Missing", "NoSuchEntity")):
        with pytest.raises(ApiError) as caught:
            yard("iam", "SimulatePrincipalPolicy", PolicySourceArn=arn, ActionNames=["s3:GetObject"])
        assert caught.value.code == code


def test_positions() -> None:
    text = '{\n "Statement": {"Effect": "Allow"},\n "Version": "x"\n}'
    assert statement_positions(text) == [({"Line": 2, "Column": 15}, {"Line": 2, "Column": 34})]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"ResourceArns": ["bucket"]}, "Invalid Resource ARN: bucket"),
        (
            {"CallerArn": "arn:aws:iam::123456789012:role/r"},
            "Invalid CallerArn: arn:aws:iam::123456789012:role/r is not the ARN of an IAM user.",
        ),
        (
            {"ContextEntries": [{"ContextKeyName": "s3:max-keys", "ContextKeyValues": ["x"], "ContextKeyType": "numeric"}]},
            "Invalid value for context key s3:max-keys: x is not of type numeric.",
        ),
        (
            {"ContextEntries": [{"ContextKeyName": "aws:SourceIp", "ContextKeyValues": ["x"], "ContextKeyType": "ipList"}]},
            "Invalid value for context key aws:SourceIp: x is not of type ip.",
        ),
    ],
)
def test_input_that_is_none(yard: Yard, more: dict[str, Any], said: str) -> None:
    with pytest.raises(ApiError) as caught:
        yard("iam", "SimulateCustomPolicy", PolicyInputList=[policy(allow("s3:*"))], ActionNames=["s3:GetObject"], **more)
    assert (caught.value.code, caught.value.message) == ("InvalidInput", said)
