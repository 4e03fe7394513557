"""Where a document breaks the grammar of policies, in words that help: IAM itself says little more than "Syntax errors in policy."."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from typing import Any

from modelyard.services.iam.conditions import known
from modelyard.services.iam.document import as_list

DOCUMENT = ("Version", "Id", "Statement")
STATEMENT = ("Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition", "Principal", "NotPrincipal")
OPERATORS = [
    "StringEquals",
    "StringNotEquals",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
    "StringLike",
    "StringNotLike",
    "NumericEquals",
    "NumericNotEquals",
    "NumericLessThan",
    "NumericLessThanEquals",
    "NumericGreaterThan",
    "NumericGreaterThanEquals",
    "DateEquals",
    "DateNotEquals",
    "DateLessThan",
    "DateLessThanEquals",
    "DateGreaterThan",
    "DateGreaterThanEquals",
    "Bool",
    "BinaryEquals",
    "IpAddress",
    "NotIpAddress",
    "ArnEquals",
    "ArnLike",
    "ArnNotEquals",
    "ArnNotLike",
    "Null",
]
_VERSIONS = ("2012-10-17", "2008-10-17")
Fault = tuple[int, str]
"""(number of the statement, 0 for the document; what is wrong)"""


class Twice(ValueError):
    """A key that an object has twice."""


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """For `json.loads(object_pairs_hook=…)`."""
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise Twice(next(name for name in names if names.count(name) > 1))
    return found


def place_of_second(text: str, key: str) -> tuple[int, int]:
    """(line, column) of the second time that a document says a key."""
    found = [match.start() for match in re.finditer(re.escape(json.dumps(key)) + r"\s*:", text)]
    at = found[1] if len(found) > 1 else 0
    return text.count("\n", 0, at) + 1, at - (text.rfind("\n", 0, at) + 1) + 1


def faults(document: Any) -> Iterator[Fault]:
    if not isinstance(document, dict):
        yield 0, f"A policy is an object with Version and Statement, this is {_a(document)}."
        return
    yield from ((0, said) for said in _unknown(document, DOCUMENT, "a policy"))
    if "Version" in document and document["Version"] not in _VERSIONS:
        yield 0, f'Version is the one of the policy language, not of your policy: write "{_VERSIONS[0]}".'
    if "Statement" not in document:
        yield 0, "Statement is missing."
        return
    statements = as_list(document["Statement"])
    if not statements:
        yield 0, "Statement has no statements."
    for number, statement in enumerate(statements, 1):
        if not isinstance(statement, dict):
            yield number, f"A statement is an object, this is {_a(statement)}."
        else:
            yield from ((number, said) for said in _statement(statement))


def _statement(statement: dict[str, Any]) -> Iterator[str]:
    yield from _unknown(statement, STATEMENT, "a statement")
    effect = statement.get("Effect")
    if effect not in ("Allow", "Deny"):
        yield "Effect is missing." if effect is None else f'Effect is "Allow" or "Deny", in this spelling, not {json.dumps(effect)}.'
    for this, other in (("Action", "NotAction"), ("Resource", "NotResource"), ("Principal", "NotPrincipal")):
        if this in statement and other in statement:
            yield f"{this} and {other} stand together: one of them says it."
    for name in ("Action", "NotAction", "Resource", "NotResource"):
        for value in as_list(statement.get(name, [])):
            if not isinstance(value, str):
                yield f"{name} is a text or a list of texts, not {_a(value)}."
    conditions = statement.get("Condition", {})
    if not isinstance(conditions, dict):
        yield f"Condition is an object of operators, not {_a(conditions)}."
        return
    for operator, keys in conditions.items():
        if not known(operator):
            near = difflib.get_close_matches(operator, OPERATORS, 1)
            yield f"Condition: there is no operator {operator}." + (f" Is {near[0]} meant?" if near else "")
        elif not isinstance(keys, dict):
            yield f"Condition: {operator} holds an object of keys and values, not {_a(keys)}."
    yield from _principal(statement)


def _principal(statement: dict[str, Any]) -> Iterator[str]:
    for name in ("Principal", "NotPrincipal"):
        element = statement.get(name)
        if element is None or element == "*":
            continue
        if not isinstance(element, dict):
            yield f'{name} is "*" or an object such as {{"AWS": "arn:…"}} or {{"Service": "…amazonaws.com"}}.'
            continue
        for kind in element:
            if kind not in ("AWS", "Service", "Federated", "CanonicalUser"):
                yield f"{name}: there is no kind {kind}; AWS, Service, Federated and CanonicalUser are."
        for value in as_list(element.get("AWS", [])):
            if isinstance(value, str) and value != "*" and not _is_principal(value):
                yield f"{name}: {value} is no account (12 digits), ARN of a user, role or session, or unique id."


def _is_principal(value: str) -> bool:
    named = r"\d{12}|arn:aws:iam::\d{12}:(root|(user|role)/.+)|arn:aws:sts::\d{12}:(assumed-role/[^/]+/.+|federated-user/.+)"
    return re.fullmatch(rf"{named}|A(IDA|ROA|KIA)[A-Z0-9]{{10,}}|arn:aws:iam::cloudfront:.+", value) is not None


def _unknown(said: dict[str, Any], names: tuple[str, ...], what: str) -> Iterator[str]:
    for name in said:
        if name not in names:
            near = difflib.get_close_matches(name.title(), names, 1) or difflib.get_close_matches(name, names, 1)
            yield f"{name} is no element of {what}." + (f" Is {near[0]} meant?" if near else "")


def _a(value: Any) -> str:
    kinds = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "true or false",
        int: "a number",
        float: "a number",
        type(None): "null",
    }
    return kinds[type(value)]
