"""LeastPrivilege: the policy that allows what a principal did, and nothing else, from the uses in the audit trail."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import orjson

from modelyard.kernel.errors import validation
from modelyard.kernel.service import Call
from modelyard.services.iam import names
from modelyard.services.modelyard import api

MOST_OF_A_KIND = 25
"""Resources of one kind that are named one by one; more become a pattern of what they share."""
MOST_CHARACTERS = 6144
"""Of a managed policy; more statements than fit become several policies."""
_ONCE = re.compile(r"^(arn:aws:sagemaker:[^:]*:\d*:(?:training|processing|transform|hyper-parameter-tuning)-job/)(.*)$")
"""Resources whose names cannot come again: what is allowed is the next one like it."""
_MOMENT = re.compile(
    r"-(?:\d{4}(?:-\d\d){5}(?:-\d{3})?|\d{6}-\d{4}|\d{8}[-T]?\d{4,6}Z?|\d{10}(?:\d{3})?)(?:-[0-9a-f]{4,12})?(?=$|[/:.-]).*"
    r"|-(?=[0-9a-f]*\d)[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}(?=$|[/:.-]).*"
)
"""What SDKs and scripts add to a name so that it is new each time: a time, or a UUID."""
_OF_EXECUTION = re.compile(r"(/execution/|-job/pipelines-)[a-z0-9]{12}(?=$|-).*")
"""Executions of pipelines, and the jobs that they make."""
_RENEWED = ("arn:aws:sagemaker:", "arn:aws:s3:::")


@api.operation
def generate_least_privilege_policy(call: Call, request: dict[str, Any]) -> dict[str, Any]:
    principal = entity_of(call, request["PrincipalArn"])
    if f":{call.account}:" not in principal and principal != "*":
        raise validation(f"{request['PrincipalArn']} is not a principal of account {call.account}.")
    since = request.get("Since")
    if "LastSeconds" in request:
        since = call.now() - request["LastSeconds"]
    found = call.platform.trail.uses(principal, since)
    rows: dict[tuple[str, str, bool], dict[str, Any]] = {}
    for (action, resource, allowed, _), (count, at) in sorted(found.items()):
        row = rows.setdefault(
            (action, resource, allowed), {"Action": action, "Resource": resource, "Allowed": allowed, "Count": 0, "LastUsed": at}
        )
        row["Count"], row["LastUsed"] = row["Count"] + count, max(row["LastUsed"], at)
    documents = split(policy_of([(action, resource, given) for action, resource, allowed, given in found if allowed]))
    answer: dict[str, Any] = {"PrincipalArn": principal, "Uses": list(rows.values())}
    if documents:
        answer |= {"PolicyDocument": documents[0], "PolicyDocuments": documents}
    return answer


def entity_of(call: Call, arn: str) -> str:
    """The role of a session; others are what they are."""
    session = re.fullmatch(r"arn:aws:sts::(\d{12}):assumed-role/([^/]+)/.+", arn)
    if session is None:
        return arn
    role = call.store.get(names.ROLE.kind, session[1], names.GLOBAL, session[2])
    return role.arn if role is not None else f"arn:aws:iam::{session[1]}:role/{session[2]}"  # a session does not tell its role's path


def policy_of(uses: Iterable[tuple[str, ...]]) -> list[dict[str, Any]]:
    """Statements that allow these (action, resource[, condition]): actions on the same resources stand together, sorted."""
    by_action: dict[tuple[str, str], set[str]] = {}
    for action, resource, *given in uses:
        by_action.setdefault((action, given[0] if given else ""), set()).add(resource)
    together: dict[tuple[str, ...], list[str]] = {}
    for action, given in sorted(by_action):
        resources = narrowed({stable(one) for one in by_action[action, given]})
        together.setdefault((action.partition(":")[0], given, *resources), []).append(action)
    return [_statement(number, actions, key[1], list(key[2:])) for number, (key, actions) in enumerate(sorted(together.items()), 1)]


def split(statements: list[dict[str, Any]]) -> list[str]:
    """As documents that a managed policy can hold."""
    documents: list[list[dict[str, Any]]] = []
    for statement in statements:
        if documents and len(_document([*documents[-1], statement])) <= MOST_CHARACTERS:
            documents[-1].append(statement)
        else:
            documents.append([statement])
    return [_document(one) for one in documents]


def _document(statements: list[dict[str, Any]]) -> str:
    return orjson.dumps({"Version": "2012-10-17", "Statement": statements}).decode()


def _statement(number: int, actions: list[str], given: str, resources: list[str]) -> dict[str, Any]:
    prefix, _, name = actions[0].partition(":")
    sid = re.sub(r"[^A-Za-z0-9]", "", prefix.title() + name) + (f"And{len(actions) - 1}More" if len(actions) > 1 else "")
    key, _, value = given.partition("=")
    return {
        "Sid": f"{sid}{number}",
        "Effect": "Allow",
        "Action": actions if len(actions) > 1 else actions[0],
        "Resource": resources if len(resources) > 1 else resources[0],
        **({"Condition": {"StringEquals": {key: value}}} if given else {}),
    }


def stable(resource: str) -> str:
    """Without what is another one each time: the six characters after a secret's name, the streams of a log group, the time in the name of a job
    or endpoint and in the folders that are named like it."""
    if resource.startswith(_RENEWED):
        head, slash, name = resource.partition("/")
        renewed = _OF_EXECUTION.sub(r"\1*", head + slash + _MOMENT.sub("-*", name, count=1))
        if renewed == resource and (once := _ONCE.match(resource)) is not None and not resource.endswith("*"):
            renewed = once[1] + once[2].rstrip("0123456789-") + "*"
        resource = renewed
    resource = re.sub(r"^(arn:aws:secretsmanager:[^:]*:\d*:secret:.+)-[A-Za-z0-9]{6}$", r"\1-??????", resource)
    resource = re.sub(r"^(arn:aws:logs:[^:]*:\d*:log-group:[^:*]+):log-stream:.*", r"\1:*", resource)
    return "*" if resource == "arn:aws:s3:::*" else resource


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
