"""The engine against a slow and obvious evaluator that shares no code with it: same decision for any policies."""

from __future__ import annotations

import fnmatch
import ipaddress
import random
from collections import Counter
from typing import Any

from modelyard.kernel.identity import Principal
from modelyard.services.iam.context import Context
from modelyard.services.iam.document import PolicySet, compile_policy
from modelyard.services.iam.evaluate import Policies, evaluate

A, B = "111111111111", "222222222222"
PRINCIPALS = [
    Principal("user", A, f"arn:aws:iam::{A}:user/ann", "AIDAANN"),
    Principal("role", A, f"arn:aws:sts::{A}:assumed-role/R/s", "AROAR:s", role_arn=f"arn:aws:iam::{A}:role/R"),
    Principal("root", A, f"arn:aws:iam::{A}:root", A),
    Principal("anonymous", "", "*", "ANONYMOUS"),
]
ACTIONS = ["s3:GetObject", "s3:PutObject", "sqs:SendMessage"]
RESOURCES = ["arn:aws:s3:::b/x", "arn:aws:s3:::b/y", "arn:aws:s3:::c"]
NAMED = [
    "*",
    {"AWS": "*"},
    {"AWS": A},
    {"AWS": B},
    {"AWS": PRINCIPALS[0].arn},
    {"AWS": PRINCIPALS[1].arn},
    {"AWS": [PRINCIPALS[1].role_arn]},
]

TEXTS = ["a", "b", "ab", "a*", "?", "*"]
OPERATORS = [
    (["StringEquals", "StringNotEquals", "StringLike", "StringNotLike"], ["k:x", "k:many"], TEXTS),
    (["NumericLessThan", "NumericEquals"], ["k:n"], ["1", "2"]),
    (["IpAddress", "NotIpAddress"], ["k:ip"], ["10.0.0.0/8"]),
]
CASES = 8_000


class Dice(random.Random):
    """Draws policies and requests so that rules often meet: uniform draws seldom make two policies speak of one request."""

    def conditions(self) -> dict[str, Any]:
        block: dict[str, Any] = {}
        for _ in range(self.choice([0, 0, 0, 1, 1, 2])):
            if self.random() < 0.15:
                block.setdefault("Null", {})[self.choice(["k:x", "k:many"])] = [self.choice(["true", "false"])]
                continue
            operators, keys, values = self.choice(OPERATORS)
            name = self.choice(["", "", "ForAnyValue:", "ForAllValues:"]) + self.choice(operators) + self.choice(["", "", "IfExists"])
            block.setdefault(name, {})[self.choice(keys)] = [self.choice(values) for _ in range(self.randint(1, 2))]
        return block

    def statement(self, with_principal: bool) -> dict[str, Any]:
        action = self.choice(["*", "*", "s3:*", "s3:Get*", "S3:getobject", "s3:PutObject", "sqs:*"])
        resource = self.choice(["*", "*", "arn:aws:s3:::b/*", "arn:aws:s3:::?", "arn:aws:s3:::b/x"])
        made = {
            "Effect": self.choice(["Allow"] * 5 + ["Deny"]),
            self.choice(["Action"] * 5 + ["NotAction"]): action,
            self.choice(["Resource"] * 5 + ["NotResource"]): resource,
            "Condition": self.conditions(),
        }
        return {**made, "Principal": self.choice(NAMED)} if with_principal else made

    def document(self, with_principal: bool = False) -> dict[str, Any]:
        return {"Version": "2012-10-17", "Statement": [self.statement(with_principal) for _ in range(self.randint(0, 3))]}

    def maybe(self, document: Any, chance: float) -> Any:
        return document if self.random() < chance else None

    def context(self) -> dict[str, Any]:
        every = {
            "k:x": self.choice(TEXTS),
            "k:many": [self.choice(TEXTS) for _ in range(self.randint(1, 3))],
            "k:n": self.randint(0, 3),
            "k:ip": self.choice(["10.1.2.3", "9.9.9.9"]),
        }
        return {key: value for key, value in every.items() if self.random() < 0.6}


def test_same_decision() -> None:
    dice, seen = Dice(20240607), Counter()
    for number in range(CASES):
        principal = dice.choice(PRINCIPALS)
        identity, boundary, session = dice.document(), dice.maybe(dice.document(), 0.3), dice.maybe(dice.document(), 0.3)
        if principal.kind in ("root", "anonymous"):
            identity, boundary, session = {"Statement": []}, None, None
        resource_policy = dice.maybe(dice.document(True), 0.7)
        owner, context = dice.choice([None, A, A, B]), dice.context()
        action, resource = dice.choice(ACTIONS), dice.choice(RESOURCES)
        policies = Policies(_set(identity), boundary and _set(boundary), session and _set(session))
        verdict = evaluate(principal, policies, action, resource, Context(context), resource_policy and _set(resource_policy), owner)
        case = (principal, identity, boundary, session, resource_policy, owner, action, resource, context)
        assert verdict.allowed is slow(*case), f"case {number}: {case}"
        seen[principal.kind, verdict.allowed, verdict.explicit, verdict.kind] += 1
    assert len(seen) > 20 and min(seen.values()) > 5, seen


def _set(document: dict[str, Any]) -> PolicySet:
    return PolicySet(compile_policy(document, "p"))


# --- the obvious one -----------------------------------------------------------------------------------


def slow(principal, identity, boundary, session, resource_policy, owner, action, resource, context) -> bool:
    def effects(document: Any, who: Any = None) -> set[str]:
        found = set()
        for s in document["Statement"] if document else []:
            if applies(s, action, resource, context) and (who is None or who(s["Principal"])):
                found.add(s["Effect"])
        return found

    everything = effects(identity) | effects(boundary) | effects(session) | effects(resource_policy, lambda p: names(p, principal) > 0)
    if "Deny" in everything:
        return False
    inside = all("Allow" in effects(limit) for limit in (boundary, session) if limit is not None)
    by_identity = principal.kind == "root" or ("Allow" in effects(identity) and inside)
    level = max(
        [names(s["Principal"], principal) for s in (resource_policy or {"Statement": []})["Statement"]
         if s["Effect"] == "Allow" and applies(s, action, resource, context)],
        default=0,
    )  # fmt: skip
    if principal.kind == "anonymous":
        return level == 3
    if owner is not None and owner != principal.account:
        return level > 0 and by_identity
    return by_identity or level == 3 or (level == 2 and inside)


def names(element: Any, principal: Principal) -> int:
    """3: the caller itself or everyone; 2: its role; 1: its account; 0: not at all."""
    values = ["*"] if element == "*" else [element["AWS"]] if isinstance(element["AWS"], str) else element["AWS"]
    if "*" in values:
        return 3
    if principal.kind == "anonymous":
        return 0
    if principal.arn in values:
        return 3
    if principal.role_arn in values:
        return 2
    if principal.account in values:
        return 3 if principal.kind == "root" else 1
    return 0


def applies(s: dict[str, Any], action: str, resource: str, context: dict[str, Any]) -> bool:
    def like(value: str, pattern: str) -> bool:
        return fnmatch.fnmatchcase(value, pattern)

    speaks = like(action.lower(), s["Action"].lower()) if "Action" in s else not like(action.lower(), s["NotAction"].lower())
    about = like(resource, s["Resource"]) if "Resource" in s else not like(resource, s["NotResource"])
    return speaks and about and all(condition(o, k, v, context) for o, keys in s["Condition"].items() for k, v in keys.items())


def condition(operator: str, key: str, wanted: list[str], context: dict[str, Any]) -> bool:
    have = context.get(key)
    have = None if have is None else [str(v) for v in have] if isinstance(have, list) else [str(have)]
    if operator == "Null":
        return (wanted == ["true"]) == (have is None)
    qualifier, _, bare = operator.rpartition(":")
    if have is None:
        if qualifier == "ForAllValues":
            return True
        return bare.endswith("IfExists") or ("Not" in bare and not qualifier)
    bare = bare.removesuffix("IfExists")
    test = {
        "StringEquals": lambda h: h in wanted,
        "StringLike": lambda h: any(fnmatch.fnmatchcase(h, w) for w in wanted),
        "NumericLessThan": lambda h: any(float(h) < float(w) for w in wanted),
        "NumericEquals": lambda h: any(float(h) == float(w) for w in wanted),
        "IpAddress": lambda h: ipaddress.ip_address(h) in ipaddress.ip_network(wanted[0]),
    }[bare.replace("Not", "")]
    held = [test(h) is not ("Not" in bare) for h in have]
    if qualifier == "ForAllValues" or (not qualifier and "Not" in bare):
        return all(held)
    return any(held)
