"""Policies of queues, topics and the like: checked when put, changed by AddPermission and RemovePermission, asked about deliveries.

Made for other services: what a service does with its own resource policy lies here once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from modelyard.kernel.identity import Decision
from modelyard.kernel.platform import Platform
from modelyard.kernel.targets import Delivery
from modelyard.services.iam.conditions import known
from modelyard.services.iam.document import as_list
from modelyard.services.iam.principals import service_principal

VERSIONS = ("2008-10-17", "2012-10-17")


@dataclass(frozen=True)
class PoliciesOf:
    """In `parts["resource_policies"]`: a service of whose resources only some have policies. `about` are pieces of their ARNs; `find(arn)`
    answers (policy document, parsed or as text, or None, account that owns the resource). `must_grant`: within the account too, nobody may do anything
    that the resource's policy does not allow, be it by naming the account (key policies)."""

    about: tuple[str, ...]
    find: Callable[[str], tuple[Mapping[str, Any] | str | None, str | None]]
    must_grant: bool = False


class BadDocument(ValueError):
    """A policy document that cannot be evaluated; the text says why."""


def checked(text: str, service: str) -> dict[str, Any]:
    """The document of a resource policy of `service` (`sqs`). Raises BadDocument."""
    try:
        document = orjson.loads(text)
    except ValueError:
        raise BadDocument("Policy is not valid JSON") from None
    if not isinstance(document, dict) or not isinstance(document.get("Statement"), (dict, list)) or not document["Statement"]:
        raise BadDocument("Policy statement must be a list of statements")
    if document.get("Version", VERSIONS[0]) not in VERSIONS:
        raise BadDocument("Invalid policy version")
    for statement in as_list(document["Statement"]):
        _check(statement, service)
    sids = [statement["Sid"] for statement in as_list(document["Statement"]) if statement.get("Sid")]
    if len(sids) != len(set(sids)):
        raise BadDocument("Statement ids must be unique")
    return document


def _check(statement: Any, service: str) -> None:
    if not isinstance(statement, dict):
        raise BadDocument("A policy statement must be an object")
    if statement.get("Effect") not in ("Allow", "Deny"):
        raise BadDocument("Policy statement must have Effect Allow or Deny")
    principal = statement.get("Principal", statement.get("NotPrincipal"))
    if principal != "*" and not (isinstance(principal, dict) and principal and set(principal) <= {"AWS", "Service", "Federated"}):
        raise BadDocument("Policy statement must contain a valid Principal")
    if isinstance(principal, dict) and not all(_texts(names) for names in principal.values()):
        raise BadDocument("Invalid principal in policy")
    actions = statement.get("Action", statement.get("NotAction"))
    if not _texts(actions) or not all(re.match(rf"\*\Z|{service}:[A-Za-z*?]+\Z", action, re.IGNORECASE) for action in as_list(actions)):
        raise BadDocument("Policy statement action out of service scope!")
    if not _texts(statement.get("Resource", statement.get("NotResource", "*"))):
        raise BadDocument("Invalid resource in policy")
    conditions = statement.get("Condition", {})
    if not isinstance(conditions, dict):
        raise BadDocument("Invalid condition in policy")
    for operator, keys in conditions.items():
        if not known(operator):
            raise BadDocument(f"Invalid condition operator: {operator}")
        if not isinstance(keys, dict) or not all(isinstance(one, (str, bool, int, float)) for v in keys.values() for one in as_list(v)):
            raise BadDocument("Invalid condition in policy")


def _texts(value: Any) -> bool:
    return bool(value) and all(isinstance(one, str) for one in as_list(value))


def with_permission(text: str | None, name: str, label: str, accounts: Sequence[str], actions: Sequence[str], arn: str) -> str | None:
    """The policy with a statement that lets accounts do `actions` (as the service writes them: `SQS:SendMessage`); `name` is the Id
    of a new policy. None: a statement of this label is there."""
    document = orjson.loads(text) if text else {"Version": "2008-10-17", "Id": name, "Statement": []}
    statements = as_list(document["Statement"])
    if any(statement.get("Sid") == label for statement in statements):
        return None
    principals = [f"arn:aws:iam::{account}:root" for account in accounts]
    statements.append(
        {
            "Sid": label,
            "Effect": "Allow",
            "Principal": {"AWS": principals[0] if len(principals) == 1 else principals},
            "Action": actions[0] if len(actions) == 1 else list(actions),
            "Resource": arn,
        }
    )
    return json.dumps({**document, "Statement": statements}, separators=(",", ":"))


def without_permission(text: str | None, label: str) -> str | None:
    """The policy without the statement of this label ("" where none is left); None: there is no such statement."""
    document = orjson.loads(text) if text else {"Statement": []}
    left = [statement for statement in as_list(document["Statement"]) if statement.get("Sid") != label]
    if len(left) == len(as_list(document["Statement"])):
        return None
    return json.dumps({**document, "Statement": left}, separators=(",", ":")) if left else ""


def admits(
    platform: Platform,
    delivery: Delivery,
    action: str,
    account: str,
    policy: Mapping[str, Any] | None,
    more: Mapping[str, Any] | None = None,
) -> Decision:
    """Whether the resource's policy lets this service principal deliver. `aws:SourceOwner` is what old default policies ask for;
    S3 does not say it, so a topic's own policy must let S3 in, as on AWS."""
    if platform.settings.auth == "open":
        return Decision(True)
    condition = {"aws:SourceArn": delivery.source_arn, "aws:SourceAccount": delivery.account, **(more or {})}
    if delivery.source != "s3.amazonaws.com":
        condition["aws:SourceOwner"] = delivery.account
    return platform.identity.decide(service_principal(delivery.source), action, delivery.arn, condition, policy, account)
