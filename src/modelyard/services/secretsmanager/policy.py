"""Resource policies of secrets: put, get, delete, validate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from modelyard.services.iam.present import strangers
from modelyard.services.iam.resource_documents import BadDocument, checked
from modelyard.services.secretsmanager import api
from modelyard.services.secretsmanager.secret import change, check_alive, check_primary, the_secret

NAME = "default"
_LIMITING = {"aws:sourceaccount", "aws:sourcearn", "aws:sourcevpc", "aws:sourcevpce", "aws:sourceip", "aws:principalorgid", "aws:principalarn",
             "aws:principalaccount", "aws:userid", "aws:sourceowner", "aws:sourceorgid"}  # fmt: skip


@api.operation
def put_resource_policy(call, request):
    record, text = the_secret(call, request["SecretId"]), request["ResourcePolicy"]
    document = _checked(text)
    check_primary(record)
    if strangers(call.store, document):
        raise api.error.MalformedPolicyDocumentException("This resource policy contains an unsupported principal.")
    if request.get("BlockPublicPolicy") and is_public(document):
        raise api.error.PublicPolicyException(
            "You can't use a resource policy that allows public access. The BlockPublicPolicy parameter was set to block it."
        )
    call.platform.identity.remember_named(text)
    record = change(call, record, lambda now: (check_alive(now), {"Policy": text, "Changed": call.now()})[1])
    return {"ARN": record.arn, "Name": record.name}


@api.operation
def get_resource_policy(call, request):
    record = the_secret(call, request["SecretId"], deleted=True)
    text = record.spec.get("Policy")
    policy = {"ResourcePolicy": call.platform.identity.policy_in_force(text)} if text else {}
    return {"ARN": record.arn, "Name": record.name, **policy}


@api.operation
def delete_resource_policy(call, request):
    record = the_secret(call, request["SecretId"], deleted=True)
    check_primary(record)
    record = change(call, record, lambda now: {"Policy": None})
    return {"ARN": record.arn, "Name": record.name}


@api.operation
def validate_resource_policy(call, request):
    if request.get("SecretId"):
        the_secret(call, request["SecretId"])
    try:
        document = checked(request["ResourcePolicy"], "secretsmanager")
    except BadDocument as problem:
        return {"PolicyValidationPassed": False, "ValidationErrors": [{"CheckName": "ResourcePolicySyntax", "ErrorMessage": str(problem)}]}
    errors = (
        [{"CheckName": "BlockPublicPolicy", "ErrorMessage": "The resource policy allows public access."}] if is_public(document) else []
    )
    return {"PolicyValidationPassed": not errors, "ValidationErrors": errors}


# --- helpers -------------------------------------------------------------------------------------


def _checked(text: str) -> Mapping[str, Any]:
    try:
        return checked(text, "secretsmanager")
    except BadDocument as problem:
        raise api.error.MalformedPolicyDocumentException(f"This resource policy contains a syntax error: {problem}.") from None


def is_public(document: Mapping[str, Any]) -> bool:
    """Whether a statement lets everyone in, without a condition that says who of them."""
    statements = document["Statement"]
    return any(_open(one) for one in (statements if isinstance(statements, list) else [statements]))


def _open(statement: Mapping[str, Any]) -> bool:
    if statement["Effect"] != "Allow":
        return False
    if "NotPrincipal" in statement:
        return True
    principal = statement.get("Principal")
    everyone = principal == "*" or (isinstance(principal, dict) and "*" in json.dumps(principal.get("AWS", "")))
    keys = {key.lower() for operator, tests in statement.get("Condition", {}).items() if not operator.startswith("Null") for key in tests}
    return everyone and not keys & _LIMITING
