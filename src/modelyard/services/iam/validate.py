"""The grammar of policy documents, with the texts IAM answers (MalformedPolicyDocument, 400).

Source: IAM User Guide, "Grammar of the IAM JSON policy language"; texts as the service answers them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.services.iam.conditions import known
from modelyard.services.iam.document import as_list

VERSIONS = ("2012-10-17", "2008-10-17")
_STATEMENT = {"Sid", "Effect", "Action", "NotAction", "Resource", "NotResource", "Condition", "Principal", "NotPrincipal"}
_ACTION = re.compile(r"^[A-Za-z0-9-]+:[A-Za-z0-9*?]+$")


def identity_policy(text: str) -> Mapping[str, Any]:
    """A policy of a role, user or group, or a managed one: no Principal, and a Resource."""
    document = _parsed(text)
    for statement in _statements(document):
        if "Principal" in statement or "NotPrincipal" in statement:
            raise malformed("Policy document should not specify a principal.")
        _effect(statement)
        _actions(statement)
        _resources(statement)
        _conditions(statement)
    _unique_sids(document)
    return document


def trust_policy(text: str) -> Mapping[str, Any]:
    """A role's trust policy: a Principal, sts actions, no Resource."""
    document = _parsed(text)
    for statement in _statements(document):
        if "Resource" in statement or "NotResource" in statement:
            raise malformed("Has prohibited field Resource")
        _effect(statement)
        if "Principal" not in statement and "NotPrincipal" not in statement:
            raise malformed("Missing required field Principal")
        _principal(statement.get("Principal", statement.get("NotPrincipal")))
        _actions(statement)
        for action in as_list(statement.get("Action", [])):
            if not action.lower().startswith("sts:") and action != "*":
                raise malformed("AssumeRole policy may only specify STS AssumeRole actions.")
        _conditions(statement)
    _unique_sids(document)
    return document


def malformed(message: str) -> ApiError:
    return ApiError("MalformedPolicyDocument", message, 400)


def _parsed(text: str) -> Mapping[str, Any]:
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise malformed("Syntax errors in policy.")
    if not isinstance(document, dict):
        raise malformed("Syntax errors in policy.")
    if document.get("Version", VERSIONS[1]) not in VERSIONS:
        raise malformed("The policy must contain a valid version string.")
    if set(document) - {"Version", "Id", "Statement"} or "Statement" not in document:
        raise malformed("Syntax errors in policy.")
    return document


def _statements(document: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    statements = as_list(document["Statement"])
    if not statements or not all(isinstance(s, dict) and not set(s) - _STATEMENT for s in statements):
        raise malformed("Syntax errors in policy.")
    return statements


def _effect(statement: Mapping[str, Any]) -> None:
    if "Effect" not in statement:
        raise malformed("Missing required field Effect")
    if statement["Effect"] not in ("Allow", "Deny"):
        raise malformed(f"Invalid effect: {statement['Effect']}")
    if not isinstance(statement.get("Sid", ""), str):
        raise malformed("Syntax errors in policy.")


def _actions(statement: Mapping[str, Any]) -> None:
    actions = _strings(statement, "Action", "NotAction")
    if actions is None:
        raise malformed("Policy statement must contain actions.")
    for action in actions:
        if action == "*":
            continue
        if ":" not in action:
            raise malformed("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")
        if not _ACTION.match(action):
            raise malformed(f"The policy failed legacy parsing: action {action} is not valid.")


def _resources(statement: Mapping[str, Any]) -> None:
    resources = _strings(statement, "Resource", "NotResource")
    if resources is None:
        raise malformed("Policy statement must contain resources.")
    for resource in resources:
        if resource == "*" or resource.startswith("${"):
            continue
        parts = resource.split(":", 5)
        if parts[0] != "arn" and not re.fullmatch(r"[*?arn]+", parts[0]):
            raise malformed(f'Resource {resource} must be in ARN format or "*".')
        if len(parts) < 6 and not resource.endswith("*"):
            raise malformed("The policy failed legacy parsing")


def _strings(statement: Mapping[str, Any], name: str, negated: str) -> list[str] | None:
    if name in statement and negated in statement:
        raise malformed("Syntax errors in policy.")
    if name not in statement and negated not in statement:
        return None
    values = as_list(statement.get(name, statement.get(negated)))
    if not all(isinstance(value, str) for value in values):
        raise malformed("Syntax errors in policy.")
    return values or None


def _principal(element: Any) -> None:
    if element == "*":
        return
    if not isinstance(element, dict) or not element:
        raise malformed("Syntax errors in policy.")
    for kind, values in element.items():
        if kind not in ("AWS", "Service", "Federated", "CanonicalUser"):
            raise malformed(f"Invalid principal in policy: {kind}")
        for value in as_list(values):
            if not isinstance(value, str):
                raise malformed("Syntax errors in policy.")
            if kind == "AWS" and not re.fullmatch(r"\*|\d{12}|arn:aws[a-z-]*:(iam|sts)::(\d{12}|\*):.+|A[A-Z0-9]{15,}", value):
                raise malformed(f'Invalid principal in policy: "AWS":"{value}"')
            if kind == "Service" and not re.fullmatch(r"[a-z0-9.-]+\.(amazonaws\.com(\.cn)?|amazon\.com|internal)", value):
                raise malformed(f'Invalid principal in policy: "SERVICE":"{value}"')


def _conditions(statement: Mapping[str, Any]) -> None:
    block = statement.get("Condition", {})
    if not isinstance(block, dict):
        raise malformed("Syntax errors in policy.")
    for operator, keys in block.items():
        if not known(operator):
            raise malformed(f"Invalid Condition type : {operator}.")
        if not isinstance(keys, dict) or not keys:
            raise malformed("Syntax errors in policy.")
        for key, values in keys.items():
            if ":" not in key:
                raise malformed(f"Condition {key} must be prefaced by a vendor, e.g., aws, iam.")
            if not all(isinstance(value, (str, bool, int, float)) for value in as_list(values)):
                raise malformed("Syntax errors in policy.")


def _unique_sids(document: Mapping[str, Any]) -> None:
    sids = [s["Sid"] for s in as_list(document["Statement"]) if s.get("Sid")]
    if len(sids) != len(set(sids)):
        raise malformed("Statement IDs (SID) in a single policy must be unique.")
