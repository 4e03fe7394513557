"""LeastPrivilege: the policy that allows what a principal did, and nothing else, from the uses in the audit trail."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import orjson

from modelyard.kernel.errors import validation
from modelyard.kernel.service import Call
from modelyard.services.modelyard import api

MOST_OF_A_KIND = 25
"""Resources of one kind that are named one by one; more become a pattern of what they share."""
Use = tuple[str, str]


@api.operation
def generate_least_privilege_policy(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    principal = entity_of(request["PrincipalArn"])
    if f":{call.account}:" not in principal and principal != "*":
        raise validation(f"{request['PrincipalArn']} is not a principal of account {call.account}.")
    since = request.get("Since")
    if "LastSeconds" in request:
        since = call.now() - request["LastSeconds"]
    found = call.platform.trail.uses(principal, since)
    rows = [
        {"Action": action, "Resource": resource, "Allowed": allowed, "Count": count, "LastUsed": at}
        for (action, resource, allowed), (count, at) in sorted(found.items())
    ]
    statements = policy_of((row["Action"], row["Resource"]) for row in rows if row["Allowed"])
    document = orjson.dumps({"Version": "2012-10-17", "Statement": statements}).decode()
    return {"PrincipalArn": principal, "Uses": rows, **({"PolicyDocument": document} if statements else {})}


def entity_of(arn: str) -> str:
    """The role of a session; others are what they are."""
    session = re.fullmatch(r"arn:aws:sts::(\d{12}):assumed-role/([^/]+)/.+", arn)
    return f"arn:aws:iam::{session[1]}:role/{session[2]}" if session else arn


def policy_of(uses: Iterable[Use]) -> list[dict[str, Any]]:
    """Statements that allow these (action, resource): actions on the same resources stand together, sorted."""
    by_action: dict[str, set[str]] = {}
    for action, resource in uses:
        by_action.setdefault(action, set()).add(resource)
    together: dict[tuple[str, ...], list[str]] = {}
    for action in sorted(by_action):
        together.setdefault((action.partition(":")[0], *narrowed(by_action[action])), []).append(action)
    return [_statement(number, actions, list(key[1:])) for number, (key, actions) in enumerate(sorted(together.items()), 1)]


def _statement(number: int, actions: list[str], resources: list[str]) -> dict[str, Any]:
    prefix, _, name = actions[0].partition(":")
    sid = re.sub(r"[^A-Za-z0-9]", "", prefix.title() + name) + (f"And{len(actions) - 1}More" if len(actions) > 1 else "")
    return {
        "Sid": f"{sid}{number}",
        "Effect": "Allow",
        "Action": actions if len(actions) > 1 else actions[0],
        "Resource": resources if len(resources) > 1 else resources[0],
    }


def narrowed(resources: set[str]) -> list[str]:
    """As few ARNs as say the same: what another pattern covers goes, and many of one kind become what they begin with."""
    if "*" in resources:
        return ["*"]
    kinds: dict[str, list[str]] = {}
    for resource in sorted(resources):
        kinds.setdefault(_kind(resource), []).append(resource)
    found: list[str] = []
    for kind, members in kinds.items():
        found += members if len(members) <= MOST_OF_A_KIND else [_shared(kind, members) + "*"]
    patterns = [one[:-1] for one in found if one.endswith("*")]
    return sorted(one for one in found if not any(one.startswith(p) and one != p + "*" for p in patterns))


def _kind(arn: str) -> str:
    """Up to where the name of the resource begins."""
    parts = arn.split(":", 5)
    if len(parts) < 6:
        return arn
    if arn.startswith("arn:aws:s3:::"):
        return arn.partition("/")[0] + "/" if "/" in arn else "arn:aws:s3:::"
    kind = re.match(r"[^/:]*[/:]", parts[5])
    return ":".join(parts[:5]) + ":" + (kind[0] if kind else "")


def _shared(kind: str, members: list[str]) -> str:
    """The longest beginning that all members have, never shorter than their kind."""
    first, last = members[0], members[-1]  # sorted: what these two share, all share
    length = next((n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[: max(length, len(kind))]
