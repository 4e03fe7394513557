"""The decision, row by row: what AWS's documentation says of each kind of policy."""

from __future__ import annotations

from typing import Any

import pytest

from modelyard.kernel.identity import ANONYMOUS, Principal
from modelyard.services.iam.context import Context
from modelyard.services.iam.document import PolicySet, compile_policy
from modelyard.services.iam.evaluate import BOUNDARY, IDENTITY, RESOURCE, SESSION, Policies, evaluate
from modelyard.services.iam.principals import service_principal

A, B = "111111111111", "222222222222"
USER = Principal("user", A, f"arn:aws:iam::{A}:user/ann", "AIDAANN")
ROLE = Principal("role", A, f"arn:aws:sts::{A}:assumed-role/R/s", "AROAR:s", role_arn=f"arn:aws:iam::{A}:role/R")
ROOT = Principal("root", A, f"arn:aws:iam::{A}:root", A)
BUCKET = "arn:aws:s3:::data/x"


def doc(*statements: dict[str, Any], version: str = "2012-10-17") -> dict[str, Any]:
    return {"Version": version, "Statement": list(statements)}


def st(effect: str, action: Any = "s3:GetObject", resource: Any = "*", **more: Any) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource, **more}


def grants(principal: Any, effect: str = "Allow", **more: Any) -> dict[str, Any]:
    return st(effect, Principal=principal, **more)


def compiled(document: dict[str, Any] | None) -> PolicySet | None:
    return PolicySet(compile_policy(document, "p")) if document is not None else None


def run(principal, identity=None, boundary=None, session=None, resource=None, owner=None, action="s3:GetObject", on=BUCKET, context=None):
    policies = Policies(compiled(identity) or PolicySet(()), compiled(boundary), compiled(session))
    return evaluate(principal, policies, action, on, Context(context or {}), compiled(resource), owner)


ALLOW, DENY = doc(st("Allow")), doc(st("Deny"))
OTHER = doc(st("Allow", "s3:PutObject"))

ROWS = [
    # name, principal, identity, boundary, session, resource policy, owner -> allowed, kind, explicit
    ("nothing", USER, None, None, None, None, None, False, IDENTITY, False),
    ("allowed", USER, ALLOW, None, None, None, None, True, IDENTITY, False),
    ("deny wins", USER, doc(st("Allow"), st("Deny")), None, None, None, None, False, IDENTITY, True),
    ("boundary allows", USER, ALLOW, ALLOW, None, None, None, True, IDENTITY, False),
    ("boundary silent", USER, ALLOW, OTHER, None, None, None, False, BOUNDARY, False),
    ("boundary alone grants nothing", USER, None, ALLOW, None, None, None, False, IDENTITY, False),
    ("boundary denies", USER, ALLOW, DENY, None, None, None, False, BOUNDARY, True),
    ("session allows", ROLE, ALLOW, None, ALLOW, None, None, True, IDENTITY, False),
    ("session silent", ROLE, ALLOW, None, OTHER, None, None, False, SESSION, False),
    ("session denies", ROLE, ALLOW, None, DENY, None, None, False, SESSION, True),
    ("resource names the user", USER, None, None, None, doc(grants({"AWS": USER.arn})), A, True, RESOURCE, False),
    ("… past a silent boundary", USER, None, OTHER, None, doc(grants({"AWS": USER.arn})), A, True, RESOURCE, False),
    ("… not past a denying one", USER, None, DENY, None, doc(grants({"AWS": USER.arn})), A, False, BOUNDARY, True),
    ("resource names the session", ROLE, None, None, OTHER, doc(grants({"AWS": ROLE.arn})), A, True, RESOURCE, False),
    ("resource names the role", ROLE, None, None, None, doc(grants({"AWS": ROLE.role_arn})), A, True, RESOURCE, False),
    ("… within the session policy", ROLE, None, None, OTHER, doc(grants({"AWS": ROLE.role_arn})), A, False, SESSION, False),
    ("resource names the account", USER, None, None, None, doc(grants({"AWS": A})), A, False, IDENTITY, False),
    ("resource is for everyone", USER, None, None, None, doc(grants("*")), A, True, RESOURCE, False),
    ("AWS star is everyone", USER, None, None, None, doc(grants({"AWS": "*"})), A, True, RESOURCE, False),
    ("resource denies", USER, ALLOW, None, None, doc(grants("*", "Deny")), A, False, RESOURCE, True),
    ("other account, own side only", USER, ALLOW, None, None, None, B, False, RESOURCE, False),
    ("other account, its side only", USER, None, None, None, doc(grants({"AWS": USER.arn})), B, False, IDENTITY, False),
    ("other account, both", USER, ALLOW, None, None, doc(grants({"AWS": USER.arn})), B, True, IDENTITY, False),
    ("other account, by account", USER, ALLOW, None, None, doc(grants({"AWS": f"arn:aws:iam::{A}:root"})), B, True, IDENTITY, False),
    ("other account, someone else", USER, ALLOW, None, None, doc(grants({"AWS": B})), B, False, RESOURCE, False),
    ("root", ROOT, None, None, None, None, None, True, IDENTITY, False),
    ("root denied by the resource", ROOT, None, None, None, doc(grants("*", "Deny")), A, False, RESOURCE, True),
    ("root of another account", ROOT, None, None, None, None, B, False, RESOURCE, False),
    ("anonymous", ANONYMOUS, None, None, None, None, A, False, RESOURCE, False),
    ("anonymous, public", ANONYMOUS, None, None, None, doc(grants("*")), A, True, RESOURCE, False),
    ("anonymous, for an account", ANONYMOUS, None, None, None, doc(grants({"AWS": A})), A, False, RESOURCE, False),
    (
        "service",
        service_principal("sns.amazonaws.com"),
        None,
        None,
        None,
        doc(grants({"Service": "sns.amazonaws.com"})),
        A,
        True,
        RESOURCE,
        False,
    ),
    (
        "other service",
        service_principal("s3.amazonaws.com"),
        None,
        None,
        None,
        doc(grants({"Service": "sns.amazonaws.com"})),
        A,
        False,
        RESOURCE,
        False,
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_who_decides(row: tuple[Any, ...]) -> None:
    _, principal, identity, boundary, session, resource, owner, allowed, kind, explicit = row
    verdict = run(principal, identity, boundary, session, resource, owner)
    assert (verdict.allowed, verdict.kind, verdict.explicit) == (allowed, kind, explicit)


def test_root_can_always_repair_a_bucket_policy() -> None:
    locked = doc(st("Deny", "s3:*", Principal="*"))
    for action in ("s3:PutBucketPolicy", "s3:DeleteBucketPolicy", "s3:GetBucketPolicy"):
        assert run(ROOT, resource=locked, owner=A, action=action).allowed
    assert not run(ROOT, resource=locked, owner=A, action="s3:DeleteBucket").allowed
    assert not run(USER, doc(st("Allow", "*")), resource=locked, owner=A, action="s3:PutBucketPolicy").allowed


def test_not_principal_denies_everyone_else() -> None:
    only = doc({"Effect": "Deny", "NotPrincipal": {"AWS": [USER.arn]}, "Action": "*", "Resource": "*"})
    assert run(USER, ALLOW, resource=only, owner=A).allowed
    assert not run(ROLE, ALLOW, resource=only, owner=A).allowed


PATTERNS = [
    ("s3:GetObject", "s3:getobject", True),
    ("s3:Get*", "s3:GetObject", True),
    ("s3:Get?bject", "s3:GetObject", True),
    ("s3:*", "s3:GetObject", True),
    ("*", "s3:GetObject", True),
    ("s3:Put*", "s3:GetObject", False),
    ("iam:*", "s3:GetObject", False),
    ("s3:Get", "s3:GetObject", False),
]


@pytest.mark.parametrize(("pattern", "action", "allowed"), PATTERNS)
def test_actions(pattern: str, action: str, allowed: bool) -> None:
    assert run(USER, doc(st("Allow", pattern)), action=action).allowed is allowed
    inverse = {"Effect": "Allow", "NotAction": pattern, "Resource": "*"}
    assert run(USER, doc(inverse), action=action).allowed is not allowed


RESOURCES = [
    ("*", BUCKET, True),
    ("arn:aws:s3:::data/*", BUCKET, True),
    ("arn:aws:s3:::data/?", BUCKET, True),
    ("arn:aws:s3:::data", BUCKET, False),
    ("arn:aws:s3:::DATA/x", BUCKET, False),
    ("arn:aws:s3:::*sagemaker*", "arn:aws:s3:::my-sagemaker-b/k", True),
    ("arn:aws:s3:::a.b/*", "arn:aws:s3:::axb/k", False),
    ("arn:aws:s3:::d[a]ta/*", BUCKET, False),
]


@pytest.mark.parametrize(("pattern", "resource", "allowed"), RESOURCES)
def test_resources(pattern: str, resource: str, allowed: bool) -> None:
    assert run(USER, doc(st("Allow", resource=pattern)), on=resource).allowed is allowed
    inverse = {"Effect": "Allow", "Action": "*", "NotResource": pattern}
    assert run(USER, doc(inverse), on=resource).allowed is not allowed


def test_variables() -> None:
    home = doc(st("Allow", resource="arn:aws:s3:::home/${aws:username}/*"))
    assert run(USER, home, on="arn:aws:s3:::home/ann/x", context={"aws:username": "ann"}).allowed
    assert not run(USER, home, on="arn:aws:s3:::home/bob/x", context={"aws:username": "ann"}).allowed
    assert not run(USER, home, on="arn:aws:s3:::home//x").allowed, "a variable without a value matches nothing"
    assert not run(USER, home, on="arn:aws:s3:::home/bob/x", context={"aws:username": "*"}).allowed, "values are no wildcards"
    default = doc(st("Allow", resource="arn:aws:s3:::home/${aws:PrincipalTag/team, 'guests'}/*"))
    assert run(USER, default, on="arn:aws:s3:::home/guests/x").allowed
    old = doc(st("Allow", resource="arn:aws:s3:::home/${aws:username}/*"), version="2008-10-17")
    assert run(USER, old, on="arn:aws:s3:::home/${aws:username}/x", context={"aws:username": "ann"}).allowed
    literal = doc(st("Allow", resource="arn:aws:s3:::home/${*}${$}"))
    assert run(USER, literal, on="arn:aws:s3:::home/*$").allowed and not run(USER, literal, on="arn:aws:s3:::home/x$").allowed


CONDITIONS = [
    ("StringEquals", "s3:prefix", "a", {"s3:prefix": "a"}, True),
    ("StringEquals", "S3:Prefix", ["b", "a"], {"s3:PREFIX": "a"}, True),
    ("StringEquals", "s3:prefix", "a", {"s3:prefix": "A"}, False),
    ("StringEquals", "s3:prefix", "a", {}, False),
    ("StringEquals", "s3:prefix", "${aws:username}/", {"s3:prefix": "ann/", "aws:username": "ann"}, True),
    ("StringNotEquals", "s3:prefix", ["a", "b"], {"s3:prefix": "b"}, False),
    ("StringNotEquals", "s3:prefix", ["a", "b"], {"s3:prefix": "c"}, True),
    ("StringNotEquals", "s3:prefix", "a", {}, True),
    ("StringEqualsIgnoreCase", "s3:prefix", "aB", {"s3:prefix": "Ab"}, True),
    ("StringNotEqualsIgnoreCase", "s3:prefix", "aB", {"s3:prefix": "Ab"}, False),
    ("StringLike", "s3:prefix", "h*/?", {"s3:prefix": "home/x"}, True),
    ("StringLike", "s3:prefix", "${aws:username}/*", {"s3:prefix": "ann/x", "aws:username": "ann"}, True),
    ("StringLike", "s3:prefix", "${aws:username}/*", {"s3:prefix": "bob/x", "aws:username": "*"}, False),
    ("StringNotLike", "s3:prefix", "h*", {"s3:prefix": "home"}, False),
    ("NumericEquals", "s3:max-keys", "10", {"s3:max-keys": 10}, True),
    ("NumericNotEquals", "s3:max-keys", 10, {"s3:max-keys": 11}, True),
    ("NumericLessThan", "s3:max-keys", "10", {"s3:max-keys": 10}, False),
    ("NumericLessThanEquals", "s3:max-keys", "10", {"s3:max-keys": "10.0"}, True),
    ("NumericGreaterThan", "s3:max-keys", "10", {"s3:max-keys": 11}, True),
    ("NumericGreaterThanEquals", "s3:max-keys", "10", {"s3:max-keys": "many"}, False),
    ("DateEquals", "aws:CurrentTime", "2024-01-01T00:00:00Z", {"aws:CurrentTime": "1704067200"}, True),
    ("DateNotEquals", "aws:CurrentTime", "2024-01-01T00:00:00Z", {"aws:CurrentTime": "2024-01-01T00:00:00Z"}, False),
    ("DateLessThan", "aws:CurrentTime", "2024-01-01T00:00:00Z", {"aws:CurrentTime": "2023-12-31T23:59:59Z"}, True),
    ("DateLessThanEquals", "aws:CurrentTime", "2024-01-01", {"aws:CurrentTime": "2024-01-01T00:00:00Z"}, True),
    ("DateGreaterThan", "aws:CurrentTime", "2024-01-01T00:00:00+01:00", {"aws:CurrentTime": "2024-01-01T00:00:00Z"}, True),
    ("DateGreaterThanEquals", "aws:EpochTime", "1704067200", {"aws:EpochTime": 1704067199}, False),
    ("Bool", "aws:SecureTransport", "false", {"aws:SecureTransport": False}, True),
    ("Bool", "aws:SecureTransport", False, {"aws:SecureTransport": "false"}, True),
    ("Bool", "aws:SecureTransport", "true", {"aws:SecureTransport": False}, False),
    ("BinaryEquals", "x:key", "QmFzZTY0", {"x:key": b"Base64"}, True),
    ("BinaryEquals", "x:key", "QmFzZTY0", {"x:key": "!"}, False),
    ("IpAddress", "aws:SourceIp", ["10.0.0.0/8", "127.0.0.1"], {"aws:SourceIp": "127.0.0.1"}, True),
    ("IpAddress", "aws:SourceIp", "2001:db8::/32", {"aws:SourceIp": "2001:db8::1"}, True),
    ("IpAddress", "aws:SourceIp", "10.0.0.0/8", {"aws:SourceIp": "11.0.0.1"}, False),
    ("NotIpAddress", "aws:SourceIp", "10.0.0.0/8", {"aws:SourceIp": "10.1.1.1"}, False),
    ("NotIpAddress", "aws:SourceIp", "10.0.0.0/8", {"aws:SourceIp": "11.1.1.1"}, True),
    ("ArnLike", "aws:SourceArn", "arn:aws:sns:*:1:t*", {"aws:SourceArn": "arn:aws:sns:eu-west-1:1:topic"}, True),
    ("ArnLike", "aws:SourceArn", "arn:aws:*:t", {"aws:SourceArn": "arn:aws:sns:eu-west-1:1:t"}, False),
    ("ArnEquals", "aws:SourceArn", "arn:aws:sns:*:1:t", {"aws:SourceArn": "arn:aws:sns:eu-west-1:1:t"}, True),
    ("ArnNotEquals", "aws:SourceArn", "arn:aws:sns:*:1:t", {"aws:SourceArn": "arn:aws:sns:eu-west-1:1:t"}, False),
    ("ArnNotLike", "aws:SourceArn", "arn:aws:sns:*:1:t", {"aws:SourceArn": "arn:aws:sqs:eu-west-1:1:t"}, True),
    ("Null", "aws:TokenIssueTime", "true", {}, True),
    ("Null", "aws:TokenIssueTime", "true", {"aws:TokenIssueTime": "x"}, False),
    ("Null", "aws:TokenIssueTime", "false", {"aws:TokenIssueTime": "x"}, True),
    ("StringEqualsIfExists", "s3:prefix", "a", {}, True),
    ("StringEqualsIfExists", "s3:prefix", "a", {"s3:prefix": "b"}, False),
    ("BoolIfExists", "aws:MultiFactorAuthPresent", "true", {}, True),
    ("ForAnyValue:StringEquals", "aws:TagKeys", ["a", "b"], {"aws:TagKeys": ["x", "b"]}, True),
    ("ForAnyValue:StringEquals", "aws:TagKeys", "a", {"aws:TagKeys": ["x"]}, False),
    ("ForAnyValue:StringEquals", "aws:TagKeys", "a", {}, False),
    ("ForAnyValue:StringNotEquals", "aws:TagKeys", "a", {"aws:TagKeys": ["a", "x"]}, True),
    ("ForAnyValue:StringNotEquals", "aws:TagKeys", "a", {}, False),
    ("ForAllValues:StringEquals", "aws:TagKeys", ["a", "b"], {"aws:TagKeys": ["b", "a"]}, True),
    ("ForAllValues:StringEquals", "aws:TagKeys", ["a", "b"], {"aws:TagKeys": ["b", "x"]}, False),
    ("ForAllValues:StringEquals", "aws:TagKeys", "a", {}, True),
    ("ForAllValues:StringNotLike", "aws:TagKeys", "a*", {"aws:TagKeys": ["b", "ab"]}, False),
]


@pytest.mark.parametrize("row", CONDITIONS, ids=[f"{row[0]}-{i}" for i, row in enumerate(CONDITIONS)])
def test_conditions(row: tuple[Any, ...]) -> None:
    operator, key, wanted, context, holds = row
    assert run(USER, doc(st("Allow", Condition={operator: {key: wanted}})), context=context).allowed is holds


def test_all_conditions_must_hold() -> None:
    both = doc(st("Allow", Condition={"StringEquals": {"a:x": "1", "a:y": "2"}, "Bool": {"a:z": "true"}}))
    full = {"a:x": "1", "a:y": "2", "a:z": True}
    assert run(USER, both, context=full).allowed
    for key in full:
        assert not run(USER, both, context={k: v for k, v in full.items() if k != key}).allowed
