"""Bucket policies: put, get, delete, status; and what the IAM engine asks about a bucket.

Source: PutBucketPolicy in the S3 API reference, "The meaning of public" in the S3 user guide.
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from modelyard.kernel.errors import ApiError
from modelyard.services.iam.conditions import known
from modelyard.services.s3 import api
from modelyard.services.s3.access import block
from modelyard.services.s3.depot import depot_of, owned_bucket
from modelyard.services.s3.errors import not_found, s3_error

_MOST_BYTES = 20 << 10
_VERSIONS = ("2008-10-17", "2012-10-17")


@api.operation
def put_bucket_policy(call, request):
    home, text = owned_bucket(call, request), _text(request["Policy"])
    document = parse_policy(text, home.name)
    if block(home.settings, "BlockPublicPolicy") and is_public(document):
        raise s3_error(
            "AccessDenied",
            f'User: {call.principal.arn} is not authorized to perform: s3:PutBucketPolicy on resource: "arn:aws:s3:::{home.name}" because public '
            "policies are prevented by the BlockPublicPolicy setting in S3 Block Public Access.",
        )
    call.platform.identity.remember_named(text)
    depot_of(call).index.change_bucket(home.name, policy=text)
    return {}


@api.operation
def get_bucket_policy(call, request):
    home = owned_bucket(call, request)
    if home.policy is None:
        raise _none(home.name)
    return {"Policy": call.platform.identity.policy_in_force(home.policy)}


@api.operation
def get_bucket_policy_status(call, request):
    home = owned_bucket(call, request)
    if home.policy is None:
        raise _none(home.name)
    return {"PolicyStatus": {"IsPublic": is_public(json.loads(home.policy))}}


@api.operation
def delete_bucket_policy(call, request):
    home = owned_bucket(call, request)
    depot_of(call).index.change_bucket(home.name, policy=None)
    return {}


def parse_policy(text: str, bucket: str) -> dict[str, Any]:
    """The document, after every check that S3 makes on putting it. Raises MalformedPolicy."""
    if len(text.encode()) > _MOST_BYTES:
        raise _malformed(f"Policy exceeds the maximum allowed document size of {_MOST_BYTES} bytes.")
    try:
        document = orjson.loads(text)  # knows a bound of nesting
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise _malformed("Policies must be valid JSON and the first byte must be '{'")
    if document.get("Version", _VERSIONS[0]) not in _VERSIONS:
        raise _malformed("The policy must contain a valid version string")
    statements = document.get("Statement")
    statements = [statements] if isinstance(statements, dict) else statements
    if not isinstance(statements, list) or not statements:
        raise _malformed("Missing required field Statement")
    for statement in statements:
        _check_statement(statement, bucket)
    return document


def _check_statement(statement: Any, bucket: str) -> None:
    if not isinstance(statement, dict):
        raise _malformed("Statement must be a JSON object")
    if statement.get("Effect") == "Allow" and "NotPrincipal" in statement:
        raise _malformed("Allow with NotPrincipal is not allowed.")
    if "Effect" not in statement:
        raise _malformed("Missing required field Effect")
    if statement["Effect"] not in ("Allow", "Deny"):
        raise _malformed(f"Invalid effect: {statement['Effect']}")
    for one in ("Principal", "Action", "Resource"):
        if (one in statement) == (f"Not{one}" in statement):
            raise _malformed(f"Missing required field {one}" if one not in statement else f"Statement has both {one} and Not{one}")
    principal = statement.get("Principal", statement.get("NotPrincipal"))
    if principal != "*" and not (
        isinstance(principal, dict) and principal and set(principal) <= {"AWS", "Service", "Federated", "CanonicalUser"}
    ):
        raise _malformed("Invalid policy syntax.")
    if isinstance(principal, dict) and not all(_all_are(names, str) for names in principal.values()):
        raise _malformed("Invalid principal in policy")
    for action in _listed(statement.get("Action", statement.get("NotAction"))):
        if not isinstance(action, str) or (action != "*" and not action.lower().startswith(("s3:", "s3*"))):
            raise _malformed("Policy has invalid action")
    for resource in _listed(statement.get("Resource", statement.get("NotResource"))):
        if not isinstance(resource, str) or not _of_bucket(resource, bucket):
            raise _malformed("Policy has invalid resource")
    _check_conditions(statement.get("Condition", {}))


def _check_conditions(block: Any) -> None:
    """A condition that cannot be evaluated would lock everybody out of the bucket: it is refused when it comes."""
    if not isinstance(block, dict):
        raise _malformed("Invalid policy syntax.")
    for operator, keys in block.items():
        if not known(operator):
            raise _malformed(f"Invalid Condition type : {operator}")
        if not isinstance(keys, dict) or not keys:
            raise _malformed("Invalid policy syntax.")
        if not all(_all_are(values, (str, bool, int, float)) for values in keys.values()):
            raise _malformed("Invalid policy syntax.")


def _of_bucket(resource: str, bucket: str) -> bool:
    """Whether a resource of the policy is this bucket or something in it (wildcards may reach further than it)."""
    from fnmatch import fnmatchcase

    if resource == "*":
        return False
    prefix, name = "arn:aws:s3:::", resource[len("arn:aws:s3:::") :].partition("/")[0]
    return resource.startswith(prefix) and fnmatchcase(bucket, name.replace("[", "[[]"))


def is_public(document: dict[str, Any]) -> bool:
    """Whether an allowing statement reaches everybody without a condition that pins it to somebody."""
    statements = document["Statement"]
    for statement in [statements] if isinstance(statements, dict) else statements:
        principal = statement.get("Principal")
        everybody = principal == "*" or (isinstance(principal, dict) and "*" in _listed(principal.get("AWS")))
        if statement["Effect"] == "Allow" and (everybody or "NotPrincipal" in statement) and not _pinned(statement.get("Condition") or {}):
            return True
    return False


_PINS = ("aws:sourceip", "aws:sourcearn", "aws:sourcevpc", "aws:sourcevpce", "aws:sourceowner", "aws:sourceaccount", "aws:userid",
         "aws:principalorgid", "aws:principalorgpaths", "aws:principalaccount", "aws:principalarn", "s3:dataaccesspointarn",
         "s3:dataaccesspointaccount")  # fmt: skip


def _pinned(condition: dict[str, Any]) -> bool:
    for operator, keys in condition.items():
        if operator.lower().startswith(("null", "stringnot", "arnnot", "notip")):
            continue
        for key, values in keys.items():
            if key.lower() in _PINS and all("*" not in str(value) and str(value) not in ("0.0.0.0/0", "::/0") for value in _listed(values)):
                return True
    return False


def _all_are(value: Any, kinds: Any) -> bool:
    return all(isinstance(one, kinds) for one in (value if isinstance(value, list) else [value]))


def _listed(value: Any) -> list[Any]:
    return [] if value is None else value if isinstance(value, list) else [value]


def _text(value: Any) -> str:
    try:
        return value.decode() if isinstance(value, bytes) else str(value)
    except UnicodeDecodeError:
        raise _malformed("Policies must be valid JSON and the first byte must be '{'") from None


def _malformed(message: str) -> ApiError:
    return ApiError("MalformedPolicy", message, 400)


def _none(bucket: str) -> ApiError:
    return not_found("NoSuchBucketPolicy", "The bucket policy does not exist", bucket)
