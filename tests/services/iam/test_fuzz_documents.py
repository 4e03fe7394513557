"""Whatever a policy document holds: it is refused as malformed, or it compiles and decides. Never anything else."""

from __future__ import annotations

import fnmatch
import json
import random
import time
from typing import Any

from modelyard.kernel.errors import ApiError
from modelyard.kernel.identity import Principal
from modelyard.services.iam.context import Context
from modelyard.services.iam.document import PolicySet, compile_policy
from modelyard.services.iam.evaluate import Policies, evaluate
from modelyard.services.iam.patterns import glob
from modelyard.services.iam.positions import statement_positions
from modelyard.services.iam.validate import identity_policy, trust_policy

A = "111111111111"
USER = Principal("user", A, f"arn:aws:iam::{A}:user/ann", "AIDAANN")
ODD = [
    None,
    True,
    0,
    -1.5,
    "",
    "*",
    "${",
    "${}",
    "${aws:username",
    "${a, 'b'}",
    "\\",
    "[",
    "\u0000",
    "ä" * 50,
    [],
    {},
    [[]],
    [None],
    {"a": {}},
    "arn:::::",
    "s3:*",
]
GOOD = {
    "Version": "2012-10-17",
    "Id": "x",
    "Statement": [
        {
            "Sid": "a",
            "Effect": "Allow",
            "Action": ["s3:Get*"],
            "Resource": ["arn:aws:s3:::b/${aws:username}/*"],
            "Condition": {"ForAllValues:StringLike": {"aws:TagKeys": ["a*"]}, "IpAddress": {"aws:SourceIp": "10.0.0.0/8"}},
        }
    ],
}
TRUST = {
    "Version": "2012-10-17",
    "Statement": {
        "Effect": "Allow",
        "Principal": {"AWS": [A], "Service": "sagemaker.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {},
    },
}


def spoil(value: Any, dice: random.Random) -> Any:
    """A copy with one or two places changed, dropped or renamed."""
    if dice.random() < 0.12:
        return dice.choice(ODD)
    if isinstance(value, dict):
        made = {key: spoil(inner, dice) for key, inner in value.items() if dice.random() > 0.04}
        if dice.random() < 0.05:
            made[dice.choice(["Action", "NotAction", "Resource", "Principal", "StringLike", "x", "", "NumericEquals", "Null"])] = (
                dice.choice(ODD)
            )
        return made
    if isinstance(value, list):
        return [spoil(inner, dice) for inner in value]
    return value


def test_documents() -> None:
    dice, kept = random.Random(7), 0
    for _ in range(6000):
        for good, check in ((GOOD, identity_policy), (TRUST, trust_policy)):
            text = json.dumps(spoil(good, dice), indent=dice.choice([None, 2]))
            try:
                check(text)
            except ApiError as problem:
                assert (problem.code, problem.status) == ("MalformedPolicyDocument", 400)
                continue
            kept += 1
            statements = PolicySet(compile_policy(text, "p"))
            context = Context({"aws:TagKeys": ["a"], "aws:SourceIp": "not an address", "aws:username": "ann"})
            for action in ("s3:GetObject", "sts:AssumeRole"):
                evaluate(USER, Policies(statements), action, "arn:aws:s3:::b/ann/x", context, statements, A)
            assert len(statement_positions(text)) == len(statements.statements)
    assert kept > 500, "too little got through to be a test of the engine"


def test_text_that_is_no_json() -> None:
    for text in ("", " ", "{", "nul", '{"Statement":', "[" * 5000, '{"a":1}' * 2, "\ufeff{}", '{"Statement":[],"Statement":[]}'):
        try:
            identity_policy(text)
        except ApiError as problem:
            assert problem.code == "MalformedPolicyDocument"
        else:
            raise AssertionError(text)


def test_patterns_do_not_explode() -> None:
    """No pattern makes the engine hang, with or without variables in it."""
    for resource in ("arn:" + "*a" * 40 + "b", "arn:${aws:username}" + "*a?" * 40 + "b", "arn:" + "*" * 3000 + "b"):
        hostile = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": resource}]}
        began = time.perf_counter()
        policies = Policies(PolicySet(compile_policy(hostile, "p")))
        assert not evaluate(USER, policies, "s3:GetObject", "arn:" + "a" * 4000, Context({"aws:username": "a"})).allowed
        assert time.perf_counter() - began < 20


def test_wildcards_agree_with_fnmatch() -> None:
    dice = random.Random(11)
    for _ in range(20_000):
        pattern = "".join(dice.choice("ab*?") for _ in range(dice.randint(0, 7)))
        value = "".join(dice.choice("ab\n") for _ in range(dice.randint(0, 8)))
        assert glob(pattern)(value) is fnmatch.fnmatchcase(value, pattern), (pattern, value)
