"""Any policies, any request: the engine decides as the slow and obvious evaluator of tests/support/policy_reference.py does."""

from __future__ import annotations

from collections import Counter
from itertools import product
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelyard.kernel.identity import Principal
from modelyard.services.iam.conditions import compile_conditions
from modelyard.services.iam.context import Context
from modelyard.services.iam.document import PolicySet, compile_policy
from modelyard.services.iam.evaluate import Policies, evaluate
from tests.support import policy_reference as reference

A, B = "111111111111", "222222222222"
USER, ROLE = f"arn:aws:iam::{A}:user/ann", f"arn:aws:iam::{A}:role/R"
SESSION, GUEST, ROOT = f"arn:aws:sts::{A}:assumed-role/R/s", f"arn:aws:sts::{A}:federated-user/g", f"arn:aws:iam::{A}:root"
CALLERS = [
    (Principal("user", A, USER, "AIDAANN"), {}),
    (Principal("role", A, SESSION, "AROAR:s", role_arn=ROLE), {"role_arn": ROLE}),
    (Principal("federated-user", A, GUEST, f"{A}:g", session={"user_arn": USER, "user_id": "AIDAANN"}), {"user_arn": USER}),
    (Principal("root", A, ROOT, A), {}),
    (Principal("anonymous", "", "*", "ANONYMOUS"), {}),
]
WORDS = ["a", "b", "ab", "A", "*", "?", "a*"]
ARNS = ["arn:aws:s3:::b/a", "arn:aws:s3:::b/b", "arn:aws:sns:us-east-1:1:t"]
DAYS = ["2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", "1704067200", "2024-01", "2024-01-02", "2024-01-02T00:00z"]
TEMPLATES = ["${k:text}", "a${k:text}", "${k:text, 'a'}", "${k:none, 'b'}", "${k:none}", "${*}", "${?}", "${k:list}"]
# Which values the request and the policy have for the operators of a family, and by which key.
FAMILIES = [
    (
        ["StringEquals", "StringNotEquals", "StringEqualsIgnoreCase", "StringNotEqualsIgnoreCase"],
        ["k:text", "k:list"],
        WORDS,
        WORDS + TEMPLATES,
    ),
    (["StringLike", "StringNotLike"], ["k:text", "k:list"], WORDS, WORDS + TEMPLATES),
    (
        [f"Numeric{o}" for o in ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")],
        ["k:number"],
        ["1", "2", "2.0", "-3"],
        ["1", "2", "10"],
    ),
    (
        [f"Date{o}" for o in ("Equals", "NotEquals", "LessThan", "LessThanEquals", "GreaterThan", "GreaterThanEquals")],
        ["k:date"],
        DAYS,
        DAYS,
    ),
    (["Bool"], ["k:bool"], ["true", "false"], ["true", "false", "TRUE"]),
    (["BinaryEquals"], ["k:bytes"], ["AAE=", "AQ=="], ["AAE=", "Ag=="]),
    (["IpAddress", "NotIpAddress"], ["k:ip"], ["10.0.0.1", "192.168.1.1", "::1"], ["10.0.0.0/8", "192.168.1.1", "::/64"]),
    (
        ["ArnEquals", "ArnNotEquals", "ArnLike", "ArnNotLike"],
        ["k:arn"],
        ARNS,
        ["arn:aws:s3:::b/*", "arn:*:s3:::b/?", "arn:aws:s*", "arn:aws:s3:::b/${k:text}", *ARNS],
    ),
]
NAMED: list[Any] = ["*", {"AWS": "*"}, {"AWS": A}, {"AWS": [B, ROOT]}, {"AWS": USER}, {"AWS": ROLE}, {"AWS": [SESSION, GUEST]}]
pick = st.sampled_from


@st.composite
def conditions(draw: Any) -> dict[str, Any]:
    block: dict[str, Any] = {}
    for _ in range(draw(pick([0, 0, 1, 1, 2]))):
        if draw(st.integers(0, 6)) == 0:
            block.setdefault("Null", {})[draw(pick(["k:text", "k:list", "k:none"]))] = draw(pick(["true", "false"]))
            continue
        names, keys, _, wanted = draw(pick(FAMILIES))
        operator = draw(pick(["", "", "ForAnyValue:", "ForAllValues:"])) + draw(pick(names)) + draw(pick(["", "", "IfExists"]))
        block.setdefault(operator, {})[draw(pick(keys))] = draw(st.lists(pick(wanted), min_size=1, max_size=2))
    return block


@st.composite
def statements(draw: Any, with_principal: bool) -> dict[str, Any]:
    resource = pick(
        ["*", "arn:aws:s3:::b/*", "arn:aws:s3:::b/a", "arn:aws:s3:::b/${k:text}", "arn:aws:s3:::?/${k:none, 'a'}", "arn:aws:sns:*:*:t"]
    )
    made = {
        "Effect": draw(pick(["Allow", "Allow", "Allow", "Deny"])),
        draw(pick(["Action", "Action", "NotAction"])): draw(
            st.lists(pick(["*", "s3:*", "S3:get*", "s3:GetObject", "sns:?ublish"]), min_size=1, max_size=2)
        ),
        draw(pick(["Resource", "Resource", "NotResource"])): draw(st.lists(resource, min_size=1, max_size=2)),
        "Condition": draw(conditions()),
    }
    if with_principal:
        made[draw(pick(["Principal"] * 4 + ["NotPrincipal"]))] = draw(pick(NAMED))
    return made


def documents(with_principal: bool = False) -> Any:
    return st.builds(
        lambda version, found: {"Version": version, "Statement": found},
        pick(["2012-10-17", "2012-10-17", "2008-10-17"]),
        st.lists(statements(with_principal), min_size=0 if with_principal else 1, max_size=3),
    )


@st.composite
def requests(draw: Any) -> tuple[Principal, dict[str, Any]]:
    principal, more = draw(pick(CALLERS))
    context: dict[str, Any] = {}
    for _, keys, values, _ in FAMILIES:
        for key in keys:
            if draw(st.booleans()):
                context[key] = draw(st.lists(pick(values), max_size=2)) if key == "k:list" else draw(pick(values))
    bare = principal.kind in ("root", "anonymous")
    return principal, {
        "caller": {"kind": principal.kind, "account": principal.account, "arn": principal.arn, **more},
        "action": draw(pick(["s3:GetObject", "s3:PutObject", "sns:Publish"])),
        "resource": draw(pick(ARNS)),
        "owner": B if principal.kind == "anonymous" else draw(pick([A, A, B])),
        "context": context,
        "identity": {"Statement": []} if bare else draw(documents()),
        "boundary": None if bare else draw(st.none() | documents()),
        "session": None if bare or principal.kind == "user" else draw(st.none() | documents()),
        "resource_policy": draw(st.none() | documents(True)),
    }


def compiled(document: Any) -> PolicySet | None:
    return None if document is None else PolicySet(compile_policy(document, "p"))


def test_every_operator() -> None:
    """Each with each qualifier, on each kind of value and on none: all combinations."""
    tried = 0
    for names, keys, values, wanted in FAMILIES:
        contexts: list[dict[str, Any]] = [{"k:text": "a"}, {"k:text": "*"}, *({key: value} for key in keys for value in values)]
        contexts += [
            {"k:list": ["a", "b"]},
            {"k:list": []},
            {"k:list": ""},
            {"k:text": ""},
            {"k:arn": "arn:aws:s3:::b/a", "k:text": "*"},
            {"k:arn": "arn:aws:s3:::b/*", "k:text": "*"},
        ]
        for name, qualifier, rest in product(names, ("", "ForAnyValue:", "ForAllValues:"), ("", "IfExists")):
            for key, want, told in product(keys, wanted, contexts):
                [test] = compile_conditions({f"{qualifier}{name}{rest}": {key: want}}, True)
                expected = reference.condition(f"{qualifier}{name}{rest}", key, [want], told, True)
                assert test(Context(told)) is expected, (qualifier, name, rest, key, want, told)
                tried += 1
    assert tried > 10_000


def test_every_way_to_be_named() -> None:
    """Who is named, by which side, within which limits: all combinations."""
    everything = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    nothing, allow, deny = (
        {"Version": "2012-10-17", "Statement": statements}
        for statements in ([], [everything], [everything, {**everything, "Effect": "Deny", "Action": "s3:*"}])
    )
    seen = Counter()
    for (principal, more), name, word, effect, owner in product(CALLERS, NAMED, ("Principal", "NotPrincipal"), ("Allow", "Deny"), (A, B)):
        resource_policy = {"Version": "2012-10-17", "Statement": [{**everything, "Effect": effect, word: name}]}
        bare = principal.kind in ("root", "anonymous")
        for identity, boundary, session in product(
            [nothing] if bare else [nothing, allow, deny], *[[None] if bare else [None, nothing, allow]] * 2
        ):
            r = {
                "caller": {"kind": principal.kind, "account": principal.account, "arn": principal.arn, **more},
                "action": "s3:GetObject",
                "resource": ARNS[0],
                "owner": owner,
                "context": {},
                "identity": identity,
                "boundary": boundary,
                "session": session,
                "resource_policy": resource_policy,
            }
            if principal.kind == "anonymous" and owner == A:
                continue
            assert decide(principal, r) is reference.allowed(r), r
            seen[principal.kind, reference.allowed(r)] += 1
    assert len(seen) == 2 * len(CALLERS) and sum(seen.values()) > 4_000


def decide(principal: Principal, r: dict[str, Any]) -> bool:
    policies = Policies(compiled(r["identity"]) or PolicySet(()), compiled(r["boundary"]), compiled(r["session"]))
    context = Context(r["context"])
    return evaluate(principal, policies, r["action"], r["resource"], context, compiled(r["resource_policy"]), r["owner"]).allowed


@settings(max_examples=120, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(requests())
def test_the_engine_decides_as_the_reference(case: tuple[Principal, dict[str, Any]]) -> None:
    principal, r = case
    assert decide(principal, r) is reference.allowed(r)


@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(requests(), documents())
def test_more_policies_of_a_limit_never_grant_more(case: tuple[Principal, dict[str, Any]], limit: Any) -> None:
    """A boundary or a session policy takes away, whatever it says; a Deny that is added does too."""
    principal, r = case
    identity = compiled(r["identity"]) or PolicySet(())
    ask = (r["action"], r["resource"], Context(r["context"]), compiled(r["resource_policy"]), r["owner"])
    free = evaluate(principal, Policies(identity), *ask)
    for policies in (Policies(identity, compiled(limit)), Policies(identity, None, compiled(limit))):
        assert free.allowed or not evaluate(principal, policies, *ask).allowed
    denying = compiled({**limit, "Statement": [{**s, "Effect": "Deny"} for s in limit["Statement"]]})
    assert denying is not None
    assert free.allowed or not evaluate(principal, Policies(PolicySet(identity.statements + denying.statements)), *ask).allowed
